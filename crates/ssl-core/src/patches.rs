//! Patches: the pixels of each, and rows of tokens by their places.

use burn::tensor::{IndexingUpdateOp, Int, Tensor};

/// The pixels of each patch, patches row by row.
///
/// # Shapes
/// - `images`: `[batch, channel, height, width]`
/// - returns: `[batch, patch, pixel]`; the pixels of a patch row by row, all channels of a pixel together
///
/// # Panics
/// If patches of `size` pixels a side do not fill the images.
///
/// # Source
/// Official `models_mae.py` of arXiv:2111.06377, `patchify`.
pub fn patchify(images: Tensor<4>, size: usize) -> Tensor<3> {
    let [batch, channels, height, width] = images.dims();
    let fills = height.is_multiple_of(size) && width.is_multiple_of(size);
    assert!(fills, "patches of {size} pixels do not fill images of {height}×{width}");
    let (rows, columns) = (height / size, width / size);
    let pixels = images.reshape([batch, channels, rows, size, columns, size]).permute([0, 2, 4, 3, 5, 1]);
    pixels.reshape([batch, rows * columns, size * size * channels])
}

/// Rows with mean 0 and variance 1.
///
/// ```text
/// (x − mean) / sqrt(var + eps),   unbiased variance of the row: the sum of squares divided by dim − 1
/// ```
///
/// [`math::standardize`](crate::math::standardize) divides by `dim`, the biased variance.
///
/// # Shapes
/// - `rows`: `[batch, row, dim]`, `dim` at least 2
/// - returns: the same
pub fn standardize(rows: Tensor<3>, eps: f64) -> Tensor<3> {
    let [_, _, dim] = rows.dims();
    let centred = rows.clone() - rows.mean_dim(2);
    let variance = centred.clone().square().sum_dim(2).div_scalar(dim as f64 - 1.0);
    centred / variance.add_scalar(eps).sqrt()
}

/// The rows at the given places of each image, in the order given.
///
/// # Shapes
/// - `rows`: `[batch, row, dim]`
/// - `places`: `[batch, kept]`
/// - returns: `[batch, kept, dim]`
///
/// # Panics
/// If the batches differ.
pub fn rows_at(rows: Tensor<3>, places: Tensor<2, Int>) -> Tensor<3> {
    let ([batch, length, dim], [images, kept]) = (rows.dims(), places.dims());
    assert_eq!(images, batch, "kept places of {images} images do not fit a batch of {batch}");
    let starts = Tensor::arange(0..batch as i64, &places.device()).mul_scalar(length as i64);
    let places = places + starts.unsqueeze_dim(1);
    // Whole rows are copied; a gather would need an index for every value.
    rows.reshape([batch * length, dim]).select(0, places.reshape([batch * kept])).reshape([batch, kept, dim])
}

/// The rows of a table at the given places of each image: [`rows_at`] for rows that all images share.
///
/// # Shapes
/// - `table`: `[1, row, dim]`
/// - `places`: `[batch, kept]`
/// - returns: `[batch, kept, dim]`
pub fn shared_rows_at(table: Tensor<3>, places: Tensor<2, Int>) -> Tensor<3> {
    let ([_, _, dim], [batch, kept]) = (table.dims(), places.dims());
    table.squeeze_dim::<2>(0).select(0, places.reshape([batch * kept])).reshape([batch, kept, dim])
}

/// The inverse of [`rows_at`]: rows at their places among `length`, and `filler` at all others.
///
/// # Shapes
/// - `rows`: `[batch, kept, dim]`
/// - `places`: `[batch, kept]`, each once
/// - `filler`: `[1, 1, dim]`
/// - returns: `[batch, length, dim]`
pub fn put_back(rows: Tensor<3>, places: Tensor<2, Int>, filler: Tensor<3>, length: usize) -> Tensor<3> {
    let ([batch, kept, dim], device) = (rows.dims(), places.device());
    // Every place starts with the filler, which becomes the row behind all others.
    let filled = Tensor::<2, Int>::full([batch, length], kept as i64, &device);
    let back = Tensor::<1, Int>::arange(-(kept as i64)..0, &device).unsqueeze::<2>().expand([batch, kept]);
    let order = filled.scatter(1, places, back, IndexingUpdateOp::Add);
    rows_at(Tensor::cat(vec![rows, filler.expand([batch, 1, dim])], 1), order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;
    use burn::tensor::{Device, Tolerance};

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter().collect()
    }

    fn places() -> Tensor<2, Int> {
        Tensor::from_data([[3, 0], [1, 2]], &device())
    }

    fn rows() -> Tensor<3> {
        Tensor::<1, Int>::arange(0..16, &device()).float().reshape([2, 4, 2])
    }

    #[test]
    fn pixels_are_in_the_order_row_column_channel() {
        // Two channels of 2×4 pixels: the second is the first plus 100.
        let channel = Tensor::<1, Int>::arange(0..8, &device()).float().reshape([1, 1, 2, 4]);
        let images = Tensor::cat(vec![channel.clone(), channel + 100.0], 1);
        let first = [0.0, 100.0, 1.0, 101.0, 4.0, 104.0, 5.0, 105.0];
        let second = first.map(|value| value + 2.0);
        assert_eq!(floats(patchify(images, 2)), [first, second].concat());
    }

    #[test]
    #[should_panic(expected = "patches of 3 pixels do not fill images of 4×6")]
    fn patches_that_do_not_fill_the_images_are_refused() {
        patchify(Tensor::zeros([1, 3, 4, 6], &device()), 3);
    }

    #[test]
    fn rows_without_variance_become_zero() {
        let rows = Tensor::<3>::from_floats([[[5.0, 5.0], [1.0, 3.0]]], &device());
        let found = standardize(rows, 1e-6).into_data();
        let half = 0.5_f32.sqrt();
        let want = Tensor::<3>::from_floats([[[0.0, 0.0], [-half, half]]], &device()).into_data();
        found.assert_approx_eq::<f32>(&want, Tolerance::absolute(1e-5));
    }

    #[test]
    fn rows_come_in_the_order_given_and_go_back_to_their_places() {
        let kept = rows_at(rows(), places());
        assert_eq!(floats(kept.clone()), [6.0, 7.0, 0.0, 1.0, 10.0, 11.0, 12.0, 13.0]);
        let filler = Tensor::<3>::from_floats([[[-1.0, -2.0]]], &device());
        let back = floats(put_back(kept, places(), filler, 4));
        let first = [0.0, 1.0, -1.0, -2.0, -1.0, -2.0, 6.0, 7.0];
        assert_eq!(back, [first, [-1.0, -2.0, 10.0, 11.0, 12.0, 13.0, -1.0, -2.0]].concat());
    }

    #[test]
    fn a_shared_table_gives_every_image_its_rows() {
        let table = rows().narrow(0, 0, 1);
        assert_eq!(floats(shared_rows_at(table.clone(), places())), {
            floats(rows_at(table.expand([2, 4, 2]), places()))
        });
    }

    #[test]
    fn gradients_go_to_the_rows_that_were_taken_and_to_the_filler_as_often_as_it_was_used() {
        let device = device().autodiff();
        let rows = rows().autodiff().require_grad();
        let filler = Tensor::<3>::zeros([1, 1, 2], &device).require_grad();
        let back = put_back(rows_at(rows.clone(), places()), places(), filler.clone(), 4);
        let gradients = back.sum().backward();
        let of_rows = floats(rows.grad(&gradients).expect("rows were taken"));
        assert_eq!(of_rows, [1., 1., 0., 0., 0., 0., 1., 1., 0., 0., 1., 1., 1., 1., 0., 0.]);
        assert_eq!(floats(filler.grad(&gradients).expect("it was used")), [4.0, 4.0]);
    }
}
