//! How several views pass through one network.
//!
//! One pass over all views differs from one pass per view in the batch statistics of batch norm and in the number of
//! updates to its running statistics, so every method states which one its reference uses.

use burn::tensor::Tensor;

use crate::tokens::token_encoder;
use crate::{Encoder, Head, Masking, Pass, Tokens, ViewRows};

/// One pass over all views together: batch norm sees `views · batch` images.
///
/// # Shapes
/// - `views`: each `[batch, channel, height, width]`, all of one shape
/// - returns: one `[batch, dim]` per view
pub fn embed_joint(
    encoder: &impl Encoder,
    head: &impl Head,
    views: &[Tensor<4>],
    pass: &Pass,
) -> Vec<Tensor<2>> {
    let features = encoder.encode(Tensor::cat(views.to_vec(), 0), pass);
    head.forward(features, pass).chunk(views.len(), 0)
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
    pass: &Pass,
) -> Vec<Tensor<2>> {
    let embed = |(index, view): (usize, &Tensor<4>)| {
        let pass = pass.part("view", index);
        head.forward(encoder.encode(view.clone(), &pass), &pass)
    };
    views.iter().enumerate().map(embed).collect()
}

/// Multi-crop: one encoder pass for each run of consecutive views of equal resolution, one head pass over all.
///
/// # Shapes
/// - `views`: each `[batch, channel, height, width]`, resolutions may differ
/// - returns: `[view · batch, dim]`
pub fn embed_crops(encoder: &impl Encoder, head: &impl Head, views: &[Tensor<4>], pass: &Pass) -> ViewRows {
    let runs = views.chunk_by(|a, b| a.dims() == b.dims());
    let encode = |(index, run): (usize, &[Tensor<4>])| {
        encoder.encode(Tensor::cat(run.to_vec(), 0), &pass.part("crops", index))
    };
    let features = runs.enumerate().map(encode).collect();
    ViewRows { rows: head.forward(Tensor::cat(features, 0), pass), views: views.len() }
}

/// The tokens of several crops.
#[derive(Clone, Debug)]
pub struct CropTokens {
    /// The class tokens of all crops, `[crops · batch, dim]`, crop after crop.
    pub class: Tensor<2>,
    /// The patches of the global crops, `[global crops · batch, patch, dim]`, crop after crop.
    pub patches: Tensor<3>,
}

/// Multi-crop with tokens: one pass for the global crops, which alone are masked, and one for each run of consecutive local crops of
/// equal resolution.
///
/// # Shapes
/// - `crops`: each `[batch, channel, height, width]`, first the `global` ones, all of one resolution
/// - `masking`: of the global crops, `[global · batch, ...]`
///
/// # Panics
/// If the encoder has no tokens, or no class token.
pub fn embed_crop_tokens(
    encoder: &impl Encoder,
    crops: &[Tensor<4>],
    global: usize,
    masking: Masking,
    pass: &Pass,
) -> CropTokens {
    let encoder = token_encoder(encoder);
    let (global, local) = crops.split_at(global);
    let images = |run: &[Tensor<4>]| Tensor::cat(run.to_vec(), 0);
    let Tokens { class, patches, .. } =
        encoder.encode_tokens(images(global), masking, &pass.part("crops", 0));
    let runs = local.chunk_by(|a, b| a.dims() == b.dims()).enumerate();
    let of_runs = runs
        .map(|(index, run)| encoder.encode_class(images(run), Masking::None, &pass.part("crops", index + 1)));
    let class =
        std::iter::once(class).chain(of_runs).map(|class| class.expect("an encoder with a class token"));
    CropTokens { class: Tensor::cat(class.collect(), 0), patches }
}
