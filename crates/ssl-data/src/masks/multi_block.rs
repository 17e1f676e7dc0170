use serde::{Deserialize, Serialize};

use super::{
    Grid, Mask, MaskError, PatchIndices,
    error::{ASPECT, check_grids, check_range, check_views},
    rectangle::{Rectangle, patches},
};
use crate::{Generator, MaskKey};

/// Draws of all blocks of an image before its targets share one place.
const ATTEMPTS: usize = 20;

const TARGET_SIZE: u64 = 0;
const CONTEXT_SIZE: u64 = 1;
const PLACES: u64 = 2;

/// Rectangles to predict, and a larger rectangle without their patches to predict them from.
///
/// The sizes of the target blocks and of the context block are drawn once for the whole batch, their places for every
/// image. All lists of the batch are cut to the shortest, the targets and the contexts each. Gives a [`Mask::Predict`].
///
/// Source: I-JEPA (Assran et al. 2023, arXiv:2301.08243), section 3 and appendix A; `multiblock.py`. Differences: the
/// official code draws scale and aspect ratio of a block from one random number, here they are independent. Its blocks
/// are at least a patch shorter than the view and never reach the last row and column, here they may lie anywhere in the
/// view. Where it finds no context, it lets the context overlap the targets; here the blocks are drawn again, and in the
/// end the targets share one place and the context is all the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiBlockMask {
    /// Target blocks of an image, at least 1; 4 (section 3).
    pub targets: usize,
    /// Range of a target block's share of the patches, above 0 and at most 1; `[0.15, 0.2]` (section 3).
    pub target_scale: [f64; 2],
    /// Range of rows / columns of a target block, above 0; `[0.75, 1.5]` (section 3).
    pub target_aspect: [f64; 2],
    /// Range of the context block's share of the patches before the targets are taken from it, above 0 and at most 1;
    /// `[0.85, 1.0]` (section 3). The block is a square.
    pub context_scale: [f64; 2],
    /// Whether the context keeps the patches of the targets; false (`allow_overlap`).
    pub allow_overlap: bool,
    /// Patches that a context has at least; 10 (`min_keep`, of which the official code wants one more).
    pub min_keep: usize,
    /// Views that have masks, counted from 0 through all blocks; `[0]` (I-JEPA has one view).
    pub views: Vec<usize>,
}

impl Default for MultiBlockMask {
    fn default() -> Self {
        Self {
            targets: 4,
            target_scale: [0.15, 0.2],
            target_aspect: [0.75, 1.5],
            context_scale: [0.85, 1.0],
            allow_overlap: false,
            min_keep: 10,
            views: vec![0],
        }
    }
}

/// Blocks of targets of an image, at most: each has a list of patches. Published masks have 4 (arXiv 2301.08243, section 3).
const TARGETS: usize = 64;

/// The lists of one image.
struct Blocks {
    context: Vec<usize>,
    targets: Vec<Vec<usize>>,
}

impl MultiBlockMask {
    pub(super) fn validate(&self, grids: &[Grid]) -> Result<(), MaskError> {
        check_views("views", &self.views, grids)?;
        if !(1..=TARGETS).contains(&self.targets) {
            let expected = format!("1 to {TARGETS}: published masks have 4");
            return Err(MaskError::key("targets", self.targets.to_string(), expected));
        }
        check_range("target_scale", self.target_scale, 1.0)?;
        check_range("target_aspect", self.target_aspect, ASPECT)?;
        check_range("context_scale", self.context_scale, 1.0)?;
        check_grids("multi-block", &self.views, grids, 2)?;
        self.views.iter().try_for_each(|&view| self.check_min_keep(view, grids[view]))
    }

    /// What one target leaves of the view has to be enough, and what a context block has too.
    fn check_min_keep(&self, view: usize, grid: Grid) -> Result<(), MaskError> {
        let all = patches(grid);
        let context = ((all as f64 * self.context_scale[0]) as usize).max(1);
        let most = if self.allow_overlap { context } else { context.min(all - self.largest_target(grid)) };
        if (1..=most).contains(&self.min_keep) {
            return Ok(());
        }
        let [rows, columns] = grid;
        if most == 0 {
            let expected =
                format!("smaller blocks: one may cover all {rows} x {columns} patches of view {view}");
            return Err(MaskError::key("target_scale", format!("{:?}", self.target_scale), expected));
        }
        let expected = format!(
            "1 to {most}, which is what the scales leave of the {rows} x {columns} patches of view {view}"
        );
        Err(MaskError::key("min_keep", self.min_keep.to_string(), expected))
    }

    /// No target has more patches. Each side is rounded by up to a half.
    fn largest_target(&self, grid: Grid) -> usize {
        let area = patches(grid) as f64 * self.target_scale[1];
        let bound = |aspect: f64| ((area * aspect).sqrt() + 0.5) * ((area / aspect).sqrt() + 0.5);
        // As a function of the aspect ratio the bound is largest at one of the ends.
        let [low, high] = self.target_aspect.map(bound);
        (low.max(high) as usize).clamp(1, patches(grid))
    }

    /// The share of the patches in a context, as if every target took its share of what the others leave.
    pub(super) fn seen(&self) -> f64 {
        let mean = |[low, high]: [f64; 2]| (low + high) / 2.0;
        let left = if self.allow_overlap { 0.0 } else { mean(self.target_scale) };
        mean(self.context_scale) * (1.0 - left).powi(i32::try_from(self.targets).unwrap_or(i32::MAX))
    }

    pub(super) fn draw(&self, key: MaskKey, grids: &[Grid], samples: &[u64]) -> Vec<(usize, Mask)> {
        self.views.iter().map(|&view| (view, self.view(key, view, grids[view], samples))).collect()
    }

    fn view(&self, key: MaskKey, view: usize, grid: Grid, samples: &[u64]) -> Mask {
        let target = size(key.batch(view, TARGET_SIZE), grid, self.target_scale, self.target_aspect);
        let context = size(key.batch(view, CONTEXT_SIZE), grid, self.context_scale, [1.0, 1.0]);
        let (mut contexts, mut targets) = (Vec::new(), Vec::new());
        for &sample in samples {
            let blocks = self.image(&mut key.sample(sample, view, PLACES), grid, target, context);
            contexts.push(blocks.context);
            targets.extend(blocks.targets);
        }
        Mask::Predict {
            context: PatchIndices::cut(grid, 1, &contexts),
            targets: PatchIndices::cut(grid, self.targets, &targets),
        }
    }

    fn image(&self, random: &mut Generator, grid: Grid, target: Grid, context: Grid) -> Blocks {
        let drawn = (0..ATTEMPTS).find_map(|_| {
            let places = (0..self.targets).map(|_| Rectangle::place(target, grid, random)).collect();
            let context: Vec<usize> = Rectangle::place(context, grid, random).patches(grid[1]).collect();
            let blocks = self.blocks(grid, places, context);
            (blocks.context.len() >= self.min_keep).then_some(blocks)
        });
        drawn.unwrap_or_else(|| {
            let places = vec![Rectangle::place(target, grid, random); self.targets];
            self.blocks(grid, places, (0..patches(grid)).collect())
        })
    }

    /// Takes the targets from the context, unless they may overlap.
    fn blocks(&self, grid: Grid, targets: Vec<Rectangle>, mut context: Vec<usize>) -> Blocks {
        let targets: Vec<Vec<usize>> =
            targets.into_iter().map(|block| block.patches(grid[1]).collect()).collect();
        if !self.allow_overlap {
            let mut taken = vec![false; patches(grid)];
            targets.iter().flatten().for_each(|&patch| taken[patch] = true);
            context.retain(|&patch| !taken[patch]);
        }
        Blocks { context, targets }
    }
}

/// Rows and columns of a block, at least 1 and at most those of the view.
fn size(mut random: Generator, grid: Grid, scale: [f64; 2], aspect: [f64; 2]) -> Grid {
    let area = (patches(grid) as f64 * random.uniform(scale[0], scale[1])) as usize;
    let [rows, columns] = Rectangle::size(area as f64, random.uniform(aspect[0], aspect[1]));
    [rows.clamp(1, grid[0]), columns.clamp(1, grid[1])]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{MultiBlockMask, size};
    use crate::{Mask, MaskKey};

    #[test]
    fn sizes_follow_the_ranges() {
        let mut sizes = HashSet::new();
        for step in 0..300 {
            let key = MaskKey { seed: 0, step };
            let [rows, columns] = size(key.batch(0, 0), [14, 14], [0.15, 0.2], [0.75, 1.5]);
            assert!((25..=42).contains(&(rows * columns)), "{rows} x {columns}");
            assert!((4..=8).contains(&rows) && (4..=7).contains(&columns), "{rows} x {columns}");
            sizes.insert([rows, columns]);
            let context = size(key.batch(0, 1), [14, 14], [0.85, 1.0], [1.0, 1.0]);
            assert!((13..=14).contains(&context[0]) && context[0] == context[1], "{context:?}");
        }
        assert!(sizes.len() > 5, "{sizes:?}");
    }

    #[test]
    fn a_batch_has_blocks_of_one_size_at_places_of_their_own() {
        let Mask::Predict { targets, .. } =
            MultiBlockMask::default().view(MaskKey { seed: 1, step: 1 }, 0, [14, 14], &[3, 4, 5])
        else {
            panic!("targets")
        };
        let corners: HashSet<i64> = (0..12).map(|list| targets.list(list / 4, list % 4)[0]).collect();
        assert!(corners.len() > 6, "{corners:?}");
    }

    #[test]
    fn what_is_seen_is_near_the_mean_context() {
        let mean = |mask: &MultiBlockMask| {
            let contexts = (0..400).map(|step| {
                let Mask::Predict { context, .. } =
                    mask.view(MaskKey { seed: 2, step }, 0, [14, 14], &[step])
                else {
                    panic!("targets")
                };
                context.patches as f64 / 196.0
            });
            contexts.sum::<f64>() / 400.0
        };
        for allow_overlap in [false, true] {
            let mask = MultiBlockMask { allow_overlap, ..MultiBlockMask::default() };
            let (seen, mean) = (mask.seen(), mean(&mask));
            assert!((seen / mean - 1.0).abs() < 0.1, "{seen} expected, {mean} drawn");
        }
    }

    #[test]
    fn a_context_that_is_never_found_is_all_but_one_target() {
        // Four targets of half of the patches nearly always leave fewer than 100 of 196.
        let mask = MultiBlockMask { target_scale: [0.45, 0.45], min_keep: 95, ..MultiBlockMask::default() };
        mask.validate(&[[14, 14]]).expect("valid");
        let Mask::Predict { context, targets } = mask.view(MaskKey { seed: 1, step: 1 }, 0, [14, 14], &[3])
        else {
            panic!("targets")
        };
        assert_eq!(context.patches + targets.patches, 196);
        assert!((1..4).all(|block| targets.list(0, block) == targets.list(0, 0)));
    }

    #[test]
    fn impossible_values_are_named() {
        let error = |mask: MultiBlockMask| mask.validate(&[[4, 4]]).expect_err("a mistake").to_string();
        let base = MultiBlockMask::default;
        assert!(base().validate(&[[4, 4]]).is_ok());
        for (targets, found) in [(0, "0"), (1 << 40, "1099511627776")] {
            let expected = format!("mask.targets is {found}, expected 1 to 64: published masks have 4");
            assert_eq!(error(MultiBlockMask { targets, ..base() }), expected);
        }
        assert_eq!(
            error(MultiBlockMask { target_scale: [0.5, 1.5], ..base() }),
            "mask.target_scale is [0.5, 1.5], expected two numbers above 0 and at most 1, the smaller one first"
        );
        assert!(
            error(MultiBlockMask { target_aspect: [f64::NAN; 2], ..base() })
                .starts_with("mask.target_aspect")
        );
        assert!(
            error(MultiBlockMask { context_scale: [0.0, 0.5], ..base() }).starts_with("mask.context_scale")
        );
        assert_eq!(
            error(MultiBlockMask { min_keep: 12, ..base() }),
            "mask.min_keep is 12, expected 1 to 11, which is what the scales leave of the 4 x 4 patches of view 0"
        );
        assert!(error(MultiBlockMask { min_keep: 0, ..base() }).starts_with("mask.min_keep is 0"));
        let whole = MultiBlockMask { target_scale: [1.0, 1.0], min_keep: 1, ..base() };
        assert_eq!(
            error(whole),
            "mask.target_scale is [1.0, 1.0], expected smaller blocks: one may cover all 4 x 4 patches of view 0"
        );
    }
}
