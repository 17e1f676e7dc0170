//! What DINOv2 keeps in memory, counted before a run.

use ssl_core::{Footprint, HeadShape, LayerConfig, TokenShape};

use crate::config::HeadSizes;
use crate::{Centering, DinoV2Config};

const GLOBAL_VIEWS: f64 = 2.0;

/// Share of the patches that are hidden, for the estimate of memory: 0.3 in half of the images, as in the recipes.
const HIDDEN: f64 = 0.15;

/// What DINOv2 keeps in memory around an encoder.
pub(crate) fn of(config: &DinoV2Config, shape: &TokenShape) -> Footprint {
    let shapes = |sizes: HeadSizes| {
        let head = HeadShape::new(shape.feature_dim, sizes.layers);
        let last = HeadShape::new(head.outputs(), [LayerConfig::new(sizes.outputs)]);
        [head, last]
    };
    let of_class = shapes(config.head());
    let of_patches = config.patch_head().map(shapes).unwrap_or_else(|| of_class.clone());
    let rows = |head: &[HeadShape; 2]| 3.0 * (head[0].outputs() * head[1].outputs()) as f64;
    let images = shape.images as f64;
    let hidden = HIDDEN * GLOBAL_VIEWS * images * shape.patches as f64;
    // Of every view and hidden patch the logits and their gradient, of the global views and hidden patches the teacher's logits
    // and distributions as well; and the last layers' normalised weights.
    let class_rows = 2.0 * images * shape.views as f64 + 2.0 * GLOBAL_VIEWS * images;
    let loss = config.output_dim as f64 * class_rows
        + config.patch_outputs() as f64 * 4.0 * hidden
        + rows(&of_class)
        + if config.separate_patch_head { rows(&of_patches) } else { 0.0 }
        + Footprint::of_heads(of_patches.clone()).kept(hidden)
        + 4.0 * images * images;
    let heads = of_class.into_iter().chain(of_patches);
    let heads: Vec<_> = heads.take(if config.separate_patch_head { 4 } else { 2 }).collect();
    let has_centers = config.centering == Centering::Center;
    let centers = if has_centers { config.output_dim + config.patch_outputs() } else { 0 };
    Footprint {
        teacher_heads: Some(heads.len()),
        joint: true,
        state: centers as f64,
        loss,
        ..Footprint::of_heads(heads)
    }
}
