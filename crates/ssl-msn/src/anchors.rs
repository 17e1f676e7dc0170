//! The anchors of a batch: large masked views and focal ones, in groups that pass the network together.

use burn::tensor::Tensor;
use ssl_core::tokens::token_encoder;
use ssl_core::{Encoder, EncoderWith, Head, Mask, Masking, Pass, Views};

/// The embeddings of all views but the first: one pass of encoder and projector for each run of views of one size that keep as many
/// patches.
///
/// # Shapes
/// - returns: one `[batch, dim]` per view
///
/// # Panics
/// If the encoder has no tokens, or a mask does not keep patches.
pub(crate) fn embed_anchors<E: Encoder>(
    network: &EncoderWith<E>,
    views: &Views,
    pass: &Pass,
) -> Vec<Tensor<2>> {
    let anchors: Vec<_> = (1..views.crops.len()).map(|view| Anchor::of(views, view)).collect();
    let groups = anchors.chunk_by(|a, b| a.shape() == b.shape());
    let embed = |(index, group): (usize, &[Anchor])| {
        let pass = pass.part("anchors", index);
        let images = Tensor::cat(group.iter().map(|anchor| anchor.images.clone()).collect(), 0);
        let encoder = token_encoder(&network.encoder);
        let features = encoder.encode_pooled(images, masking(group), &pass);
        network.projector.forward(features, &pass).chunk(group.len(), 0)
    };
    groups.enumerate().flat_map(embed).collect()
}

/// A view and what the student sees of it.
struct Anchor {
    images: Tensor<4>,
    masking: Masking,
}

impl Anchor {
    fn of(views: &Views, view: usize) -> Self {
        let masking = match views.masks.get(view) {
            None | Some(None) => Masking::None,
            Some(Some(mask @ Mask::Keep(_))) => mask.masking(),
            Some(Some(other)) => {
                panic!(
                    "MSN sees some patches of an anchor: expected a mask that keeps them, got {:?}",
                    other.kind()
                )
            }
        };
        Self { images: views.crops[view].clone(), masking }
    }

    /// Size of the images, and number of the patches kept.
    fn shape(&self) -> ([usize; 4], Option<usize>) {
        let kept = match &self.masking {
            Masking::Keep(places) => Some(places.dims()[1]),
            _ => None,
        };
        (self.images.dims(), kept)
    }
}

/// What the student sees of views that are alike.
fn masking(group: &[Anchor]) -> Masking {
    let places = group.iter().filter_map(|anchor| match &anchor.masking {
        Masking::Keep(places) => Some(places.clone()),
        _ => None,
    });
    match places.collect::<Vec<_>>() {
        none if none.is_empty() => Masking::None,
        all => Masking::Keep(Tensor::cat(all, 0)),
    }
}
