use serde::{Deserialize, Serialize};

use super::{
    Grid, Mask, MaskError, PatchIndices,
    error::{check_grids, check_range, check_ratio, check_views},
    random::{check_kept, keep},
    rectangle::{Rectangle, patches},
};
use crate::MaskKey;

const PLACE: u64 = 1;

/// Hides random patches of the anchor views, and all but one block of the focal views.
///
/// Other views have no mask: the target view, and focal views that are small crops of their own, as in the official
/// code (a `[[views]]` block of 96 pixels). Gives a [`Mask::Keep`].
///
/// Source: MSN (Assran et al. 2022, arXiv:2204.07141), section 4 on random and focal masks; `patch_drop` of `deit.py`.
/// Differences: the official code keeps the same patches of all images of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FocalMask {
    /// Share of an anchor's patches that is hidden, 0 to below 1; 0.15 (`patch_drop` of `msn_vits16.yaml`).
    pub ratio: f64,
    /// Anchor views, counted from 0 through all blocks; `[1]` (`rand_views` of `msn_vits16.yaml`, after the target view).
    pub views: Vec<usize>,
    /// Views that are masked around a block; none (the official code crops).
    pub focal_views: Vec<usize>,
    /// That block's share of the patches, above 0 and at most 1; 0.18 (the official crops of 96 of 224 pixels: 6 x 6 of
    /// 14 x 14 patches). The block is a square.
    pub focal_scale: f64,
}

impl Default for FocalMask {
    fn default() -> Self {
        Self { ratio: 0.15, views: vec![1], focal_views: Vec::new(), focal_scale: 0.18 }
    }
}

impl FocalMask {
    pub(super) fn validate(&self, grids: &[Grid]) -> Result<(), MaskError> {
        check_views("views", &self.views, grids)?;
        if !self.focal_views.is_empty() {
            check_views("focal_views", &self.focal_views, grids)?;
        }
        if self.focal_views.iter().any(|view| self.views.contains(view)) {
            let expected = format!("other views than mask.views, which is {:?}", self.views);
            return Err(MaskError::key("focal_views", format!("{:?}", self.focal_views), expected));
        }
        check_ratio("ratio", self.ratio)?;
        check_range("focal_scale", [self.focal_scale; 2], 1.0).map_err(|_| {
            MaskError::key("focal_scale", self.focal_scale.to_string(), "a number above 0 and at most 1")
        })?;
        check_grids("focal", &[&self.views[..], &self.focal_views].concat(), grids, 1)?;
        self.views.iter().try_for_each(|&view| check_kept("ratio", self.ratio, patches(grids[view])))
    }

    pub(super) fn draw(&self, key: MaskKey, grids: &[Grid], samples: &[u64]) -> Vec<(usize, Mask)> {
        let anchors =
            self.views.iter().map(|&view| (view, keep(key, view, grids[view], samples, self.ratio, 1)));
        let focal = self.focal_views.iter().map(|&view| (view, self.around(key, view, grids[view], samples)));
        anchors.chain(focal).collect()
    }

    fn around(&self, key: MaskKey, view: usize, grid: Grid, samples: &[u64]) -> Mask {
        let [rows, columns] = Rectangle::size(patches(grid) as f64 * self.focal_scale, 1.0);
        let size = [rows.clamp(1, grid[0]), columns.clamp(1, grid[1])];
        let block = |&sample: &u64| {
            Rectangle::place(size, grid, &mut key.sample(sample, view, PLACE)).patches(grid[1]).collect()
        };
        Mask::Keep(PatchIndices::cut(grid, 1, &samples.iter().map(block).collect::<Vec<_>>()))
    }
}

#[cfg(test)]
mod tests {
    use super::FocalMask;
    use crate::{Mask, MaskConfig, MaskKey, Masks};

    #[test]
    fn anchors_lose_patches_and_focal_views_keep_a_block() {
        let config = FocalMask { focal_views: vec![2], ..FocalMask::default() };
        let masks = Masks::new(MaskConfig::Focal(config), &[[14, 14]; 4]).expect("valid");
        let batch = masks.draw(MaskKey { seed: 0, step: 0 }, &[5, 6]);
        assert_eq!((&batch.views[0], &batch.views[3]), (&None, &None));
        let Some(Mask::Keep(anchor)) = &batch.views[1] else { panic!("kept patches") };
        assert_eq!((anchor.patches, anchor.len()), (166, 2)); // ⌊196 · 0.85⌋
        assert_ne!(anchor.list(0, 0), anchor.list(1, 0));
        let Some(Mask::Keep(focal)) = &batch.views[2] else { panic!("kept patches") };
        assert_eq!(focal.patches, 36);
        let block = focal.list(0, 0);
        assert!(block.iter().enumerate().all(|(i, &patch)| patch == block[0] + (i / 6 * 14 + i % 6) as i64));
    }

    #[test]
    fn impossible_values_are_named() {
        let error = |mask: FocalMask| mask.validate(&[[4, 4]; 3]).expect_err("a mistake").to_string();
        let base = FocalMask::default;
        assert_eq!(
            error(FocalMask { focal_views: vec![2, 1], ..base() }),
            "mask.focal_views is [2, 1], expected other views than mask.views, which is [1]"
        );
        assert!(error(FocalMask { focal_views: vec![3], ..base() }).starts_with("mask.focal_views is [3]"));
        assert_eq!(
            error(FocalMask { focal_scale: 0.0, ..base() }),
            "mask.focal_scale is 0, expected a number above 0 and at most 1"
        );
        assert!(error(FocalMask { ratio: f64::NAN, ..base() }).starts_with("mask.ratio is NaN"));
        assert!(error(FocalMask { views: vec![], ..base() }).starts_with("mask.views is []"));
    }
}
