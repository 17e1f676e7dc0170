//! The sum of all elements, in a fixed order.

use burn::tensor::{Device, Tensor};

/// From this many elements on, Burn's flex backend adds partial sums in the order in which its threads finish.
const LARGE: usize = 4 * 1024 * 1024;

/// Elements added in one piece.
const PIECE: usize = 64 * 1024;

/// The sum of all elements, `[1]`.
///
/// Unlike Burn's `sum` on flex, it has the same bits on every run however busy the machine is: large tensors are added
/// in pieces of a fixed length.
pub fn sum<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let count = x.shape().num_elements();
    if count < LARGE || !depends_on_load(&x.device()) {
        return x.sum();
    }
    let flat = x.reshape([count]);
    match count % PIECE {
        0 => sum_pieces(flat),
        rest => {
            sum_pieces(flat.clone().narrow(0, 0, count - rest)) + flat.narrow(0, count - rest, rest).sum()
        }
    }
}

fn sum_pieces(x: Tensor<1>) -> Tensor<1> {
    let [count] = x.dims();
    x.reshape([count / PIECE, PIECE]).sum_dim(1).sum()
}

#[allow(unused_variables)] // a build may lack flex
fn depends_on_load(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    return super::flex::serves(&[device]);
    #[cfg(not(feature = "flex"))]
    false
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * 0.37).sin() * (1.0 + (i % 1000) as f32)).collect()
    }

    fn bits(x: &Tensor<1>) -> u32 {
        sum(x.clone()).into_scalar::<f32>().to_bits()
    }

    #[test]
    fn a_large_sum_has_the_bits_of_its_pieces_added_in_order() {
        for count in [LARGE, LARGE + PIECE, LARGE + 17] {
            let x = Tensor::<1>::from_data(TensorData::new(values(count), [count]), &Device::flex());
            let whole = count / PIECE * PIECE;
            let pieces: Vec<f32> = (0..whole / PIECE)
                .map(|i| x.clone().narrow(0, i * PIECE, PIECE).sum().into_scalar::<f32>())
                .collect();
            let pieces = Tensor::<1>::from_floats(pieces.as_slice(), &Device::flex()).sum();
            let want = match count - whole {
                0 => pieces,
                rest => pieces + x.clone().narrow(0, whole, rest).sum(),
            };
            assert_eq!(bits(&x), want.into_scalar::<f32>().to_bits(), "{count} elements");
        }
    }

    #[test]
    fn a_large_sum_has_the_same_bits_on_a_busy_machine() {
        let x = Tensor::<1>::from_data(TensorData::new(values(LARGE), [LARGE]), &Device::flex());
        let want = bits(&x);
        rayon::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|_| (0..4).for_each(|_| assert_eq!(bits(&x), want)));
            }
        });
    }

    #[test]
    fn the_gradient_is_one_everywhere() {
        let device = Device::flex().autodiff();
        let x = Tensor::<1>::ones([LARGE + 3], &device).require_grad();
        let gradient = x.grad(&sum(x.clone()).backward()).expect("a gradient");
        assert_eq!(gradient.clone().min().into_scalar::<f32>(), 1.0);
        assert_eq!(gradient.max().into_scalar::<f32>(), 1.0);
    }
}
