//! Which patches of the views are hidden: what a recipe declares, checks of it, and the draw.

mod batch;
mod block;
mod config;
mod error;
mod focal;
mod multi_block;
mod random;
mod rectangle;
mod shade;

pub use self::{
    batch::{Mask, MaskBatch, PatchIndices, PatchMask},
    block::{BlockMask, DrawnPer},
    config::MaskConfig,
    error::MaskError,
    focal::FocalMask,
    multi_block::MultiBlockMask,
    random::RandomMask,
    shade::shade_patches,
};
use crate::MaskKey;

/// Rows and columns of the patches of a view: its size divided by the size of a patch.
pub(crate) type Grid = [usize; 2];

/// The checked masks of a recipe, ready to draw.
///
/// Masks are drawn for a whole batch, since some kinds look at all its images: [`BlockMask`] hides patches of a share of
/// them, [`MultiBlockMask`] cuts all lists to the shortest. A process that trains on a part of the batch draws the whole
/// and [narrows](MaskBatch::narrow) it.
///
/// # Example
/// ```
/// use ssl_data::{Mask, MaskConfig, MaskKey, Masks, RandomMask};
///
/// // One view of 224 pixels in patches of 16.
/// let masks = Masks::new(MaskConfig::Random(RandomMask::default()), &[[14, 14]])?;
/// let batch = masks.draw(MaskKey { seed: 0, step: 0 }, &[31, 7]);
/// let Some(Mask::Keep(kept)) = &batch.views[0] else { panic!("a random mask keeps patches") };
/// assert_eq!(kept.list(0, 0).len(), 49); // A quarter of the 196 patches.
/// # Ok::<(), ssl_data::MaskError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Masks {
    config: MaskConfig,
    grids: Vec<Grid>,
}

impl Masks {
    /// Checks `config` for views of these patch grids: `[rows, columns]` of each view, through all blocks.
    ///
    /// # Errors
    /// The first key that does not fit; see [`MaskError`].
    pub fn new(config: MaskConfig, grids: &[[usize; 2]]) -> Result<Self, MaskError> {
        config.validate(grids)?;
        Ok(Self { config, grids: grids.to_vec() })
    }

    /// What was declared.
    pub fn config(&self) -> &MaskConfig {
        &self.config
    }

    /// Rows and columns of the patches of each view.
    pub fn grids(&self) -> &[[usize; 2]] {
        &self.grids
    }

    /// The masks of a batch, by `key`, of the images `samples` of the data set in the order of the batch.
    ///
    /// # Panics
    /// If there are no images.
    pub fn draw(&self, key: MaskKey, samples: &[u64]) -> MaskBatch {
        assert!(!samples.is_empty(), "masks of a batch of 0 images");
        let mut views = vec![None; self.grids.len()];
        let drawn = match &self.config {
            MaskConfig::Random(random) => random.draw(key, &self.grids, samples),
            MaskConfig::Block(block) => block.draw(key, &self.grids, samples),
            MaskConfig::MultiBlock(blocks) => blocks.draw(key, &self.grids, samples),
            MaskConfig::Focal(focal) => focal.draw(key, &self.grids, samples),
        };
        drawn.into_iter().for_each(|(view, mask)| views[view] = Some(mask));
        MaskBatch { views }
    }
}
