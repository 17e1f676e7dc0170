//! How several views pass through one network.
//!
//! One pass over all views and one pass per view differ in the batch statistics of batch norm and in the number of
//! updates of the running ones, so every method says which one its reference uses.

use burn::tensor::Tensor;

use crate::{Encoder, Head, Mode};

/// One pass over all views together: batch norm sees `views · batch` images.
///
/// # Shapes
/// - `views`: each `[batch, channel, height, width]`, all of one shape
/// - returns: one `[batch, dim]` per view
pub fn embed_joint(
    encoder: &impl Encoder,
    head: &impl Head,
    views: &[Tensor<4>],
    mode: Mode,
) -> Vec<Tensor<2>> {
    let features = encoder.encode(Tensor::cat(views.to_vec(), 0), mode);
    head.forward(features, mode).chunk(views.len(), 0)
}

/// One pass per view, in order: batch norm sees `batch` images at a time.
///
/// # Shapes
/// - `views`: each `[batch, channel, height, width]`
/// - returns: one `[batch, dim]` per view
pub fn embed_each(
    encoder: &impl Encoder,
    head: &impl Head,
    views: &[Tensor<4>],
    mode: Mode,
) -> Vec<Tensor<2>> {
    views.iter().map(|view| head.forward(encoder.encode(view.clone(), mode), mode)).collect()
}

/// Multi-crop: one pass of the encoder per run of views of equal resolution, one pass of the head over all.
///
/// # Shapes
/// - `views`: each `[batch, channel, height, width]`, resolutions may differ
/// - returns: one `[batch, dim]` per view
pub fn embed_crops(
    encoder: &impl Encoder,
    head: &impl Head,
    views: &[Tensor<4>],
    mode: Mode,
) -> Vec<Tensor<2>> {
    let runs = views.chunk_by(|a, b| a.dims() == b.dims());
    let features = runs.map(|run| encoder.encode(Tensor::cat(run.to_vec(), 0), mode)).collect();
    head.forward(Tensor::cat(features, 0), mode).chunk(views.len(), 0)
}
