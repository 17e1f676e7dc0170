//! Shuffled batch norm: keys pass through the encoder in an order of their own.

use burn::tensor::{Device, Int, Tensor, TensorData};

/// Passes `images` through a network in another order and restores the order of the resulting rows. A batch norm over
/// groups of its batch then normalises each key together with other images than its query.
///
/// ```text
/// rows = network(images[order])[argsort(order)]
/// ```
///
/// # Shapes
/// - `images`: `[batch, channel, height, width]`; `order`: a permutation of `0..batch`
/// - returns: `[batch, dim]`, row `i` for image `i`
///
/// # Source
/// He et al. 2020, section 3.3, <https://arxiv.org/abs/1911.05722>; the official CIFAR-10 demo,
/// `_batch_shuffle_single_gpu`.
pub(crate) fn in_order(
    images: Tensor<4>,
    order: &[usize],
    network: impl FnOnce(Tensor<4>) -> Tensor<2>,
) -> Tensor<2> {
    let device = images.device();
    let rows = network(images.select(0, indices(order, &device)));
    let mut place = vec![0; order.len()];
    order.iter().enumerate().for_each(|(index, &image)| place[image] = index);
    rows.select(0, indices(&place, &device))
}

fn indices(places: &[usize], device: &Device) -> Tensor<1, Int> {
    let places: Vec<i64> = places.iter().map(|&place| place as i64).collect();
    let count = places.len();
    Tensor::from_data(TensorData::new(places, [count]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::DeviceSpec;

    fn numbered(count: usize) -> Tensor<4> {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        Tensor::<1, Int>::arange(0..count as i64, &device).float().reshape([count, 1, 1, 1])
    }

    #[test]
    fn the_network_sees_the_order_and_every_row_goes_back_to_its_image() {
        let mut seen = None;
        let rows = in_order(numbered(5), &[3, 0, 4, 1, 2], |images| {
            seen = Some(images.to_data());
            images.flatten::<2>(1, 3).mul_scalar(10.0)
        });
        let seen = seen.expect("the network ran").try_to_vec::<f32>().expect("floats");
        assert_eq!(seen, [3.0, 0.0, 4.0, 1.0, 2.0]);
        let rows = rows.into_data().try_to_vec::<f32>().expect("floats");
        assert_eq!(rows, [0.0, 10.0, 20.0, 30.0, 40.0]);
    }
}
