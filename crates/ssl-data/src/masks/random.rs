use serde::{Deserialize, Serialize};

use super::{
    Grid, Mask, MaskError, PatchIndices,
    error::{check_grids, check_ratio, check_views},
    rectangle::patches,
};
use crate::{Generator, MaskKey};

const CHOOSE: u64 = 0;

/// Keeps the same number of patches of every image: `⌊patches · (1 − ratio)⌋`, each selection as likely as any other.
///
/// Gives a [`Mask::Keep`]; [`Mask::hidden`] has its other side, for methods with mask tokens.
///
/// Source: MAE (He et al. 2021, arXiv:2111.06377), section 3 and `random_masking` of `models_mae.py`. With `unit` 2 and
/// `ratio` 0.6 the masks of SimMIM (Xie et al. 2021, arXiv:2111.09886) for patches of 16 pixels: squares of 32. The
/// official code of MAE lists the kept patches in a random order, here they rise; the encoder's result is the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomMask {
    /// Share of the patches that is hidden, at least one and not all; 0.75 (MAE, section 4.1).
    pub ratio: f64,
    /// Patches a side of the squares that are kept or hidden together; divides rows and columns. 1 (MAE).
    pub unit: usize,
    /// Views that have masks, counted from 0 through all blocks; `[0]` (MAE has one view).
    pub views: Vec<usize>,
}

impl Default for RandomMask {
    fn default() -> Self {
        Self { ratio: 0.75, unit: 1, views: vec![0] }
    }
}

impl RandomMask {
    pub(super) fn validate(&self, grids: &[Grid]) -> Result<(), MaskError> {
        check_views("views", &self.views, grids)?;
        check_ratio("ratio", self.ratio)?;
        check_grids("random", &self.views, grids, 1)?;
        self.views.iter().try_for_each(|&view| self.check_unit(view, grids[view]))?;
        self.views.iter().try_for_each(|&view| {
            let units = patches(grids[view]) / self.unit.pow(2);
            check_kept("ratio", self.ratio, units)?;
            check_hidden(self.ratio, units)
        })
    }

    fn check_unit(&self, view: usize, [rows, columns]: Grid) -> Result<(), MaskError> {
        if self.unit > 0 && rows % self.unit == 0 && columns % self.unit == 0 {
            return Ok(());
        }
        let expected = format!("a divisor of the {rows} x {columns} patches of view {view}");
        Err(MaskError::key("unit", self.unit.to_string(), expected))
    }

    pub(super) fn draw(&self, key: MaskKey, grids: &[Grid], samples: &[u64]) -> Vec<(usize, Mask)> {
        let draw = |&view: &usize| (view, keep(key, view, grids[view], samples, self.ratio, self.unit));
        self.views.iter().map(draw).collect()
    }
}

/// How many of `count` patches, or squares of patches, stay: as Python's `int(count * (1 - ratio))`.
fn kept(count: usize, ratio: f64) -> usize {
    (count as f64 * (1.0 - ratio)) as usize
}

/// A ratio that leaves at least one of `units` patches, or squares of patches.
pub(super) fn check_kept(key: &'static str, ratio: f64, units: usize) -> Result<(), MaskError> {
    if kept(units, ratio) > 0 {
        return Ok(());
    }
    let most = 1.0 - 1.0 / units as f64;
    Err(MaskError::key(key, ratio.to_string(), format!("at most {most}, which keeps one of {units}")))
}

/// A ratio that hides at least one of `units` patches, or squares of patches.
fn check_hidden(ratio: f64, units: usize) -> Result<(), MaskError> {
    if kept(units, ratio) < units {
        return Ok(());
    }
    let expected = format!("a number that hides at least one of {units} patches");
    Err(MaskError::key("ratio", ratio.to_string(), expected))
}

/// Keeps random squares of `unit` by `unit` patches.
pub(super) fn keep(key: MaskKey, view: usize, grid: Grid, samples: &[u64], ratio: f64, unit: usize) -> Mask {
    let lists =
        samples.iter().map(|&sample| choose(&mut key.sample(sample, view, CHOOSE), grid, ratio, unit));
    Mask::Keep(PatchIndices::cut(grid, 1, &lists.collect::<Vec<_>>()))
}

fn choose(generator: &mut Generator, grid: Grid, ratio: f64, unit: usize) -> Vec<usize> {
    let columns = grid[1] / unit;
    let units = columns * (grid[0] / unit);
    let square = |chosen: usize| {
        let corner = chosen / columns * unit * grid[1] + chosen % columns * unit;
        (0..unit.pow(2)).map(move |patch| corner + patch / unit * grid[1] + patch % unit)
    };
    let chosen = generator.choose(units, kept(units, ratio));
    let mut patches: Vec<usize> = chosen.into_iter().flat_map(square).collect();
    patches.sort_unstable();
    patches
}

#[cfg(test)]
mod tests {
    use super::{RandomMask, choose};
    use crate::{Mask, MaskConfig, MaskKey, Masks};

    #[test]
    fn golden_patches() {
        // From the formulas of `rng.rs` in Python; a resumed run relies on them.
        let masks = Masks::new(MaskConfig::Random(RandomMask::default()), &[[4, 4]]).expect("valid");
        let batch = masks.draw(MaskKey { seed: 5, step: 9 }, &[2, 1000]);
        let Some(Mask::Keep(kept)) = &batch.views[0] else { panic!("kept patches") };
        assert_eq!(kept.indices, [2, 10, 13, 14, 3, 10, 11, 12]);
    }

    #[test]
    fn squares_stay_together() {
        let mut generator = MaskKey { seed: 0, step: 0 }.batch(0, 0);
        for _ in 0..50 {
            let kept = choose(&mut generator, [4, 6], 0.6, 2);
            assert_eq!(kept.len(), 4 * 2);
            for patch in &kept {
                let corner = patch / 12 * 12 + patch % 6 / 2 * 2;
                assert!([0, 1, 6, 7].iter().all(|step| kept.contains(&(corner + step))), "{kept:?}");
            }
        }
    }

    #[test]
    fn every_patch_is_kept_equally_often() {
        let mut generator = MaskKey { seed: 1, step: 0 }.batch(0, 0);
        let mut counts = [0u32; 12];
        (0..8000).for_each(|_| choose(&mut generator, [3, 4], 0.75, 1).iter().for_each(|&i| counts[i] += 1));
        assert!(counts.iter().all(|&count| count.abs_diff(2000) < 200), "{counts:?}");
    }

    #[test]
    fn impossible_values_are_named() {
        let error =
            |mask: RandomMask, grids: &[[usize; 2]]| mask.validate(grids).expect_err("a mistake").to_string();
        let base = RandomMask::default;
        assert_eq!(
            error(RandomMask { ratio: 1.0, ..base() }, &[[4, 4]]),
            "mask.ratio is 1, expected a number from 0 to below 1"
        );
        assert_eq!(
            error(RandomMask { ratio: 0.9, ..base() }, &[[2, 2]]),
            "mask.ratio is 0.9, expected at most 0.75, which keeps one of 4"
        );
        assert_eq!(
            error(RandomMask { ratio: 0.0, ..base() }, &[[2, 2]]),
            "mask.ratio is 0, expected a number that hides at least one of 4 patches"
        );
        assert_eq!(
            error(RandomMask { unit: 3, ..base() }, &[[6, 4]]),
            "mask.unit is 3, expected a divisor of the 6 x 4 patches of view 0"
        );
        assert!(error(RandomMask { unit: 0, ..base() }, &[[6, 4]]).starts_with("mask.unit is 0"));
        assert_eq!(
            error(RandomMask { views: vec![2], ..base() }, &[[4, 4]; 2]),
            "mask.views is [2], expected at least one of the views 0 to 1, none twice"
        );
        assert_eq!(
            error(RandomMask { views: vec![], ..base() }, &[[4, 4]]),
            "mask.views is [], expected [0], the only view"
        );
        assert!(
            error(RandomMask { views: vec![0, 0], ..base() }, &[[4, 4]]).starts_with("mask.views is [0, 0]")
        );
        assert_eq!(
            error(base(), &[[0, 4]]),
            "view 0 has 0 x 4 patches, expected at least 1 x 1 for a mask of the kind 'random'"
        );
    }
}
