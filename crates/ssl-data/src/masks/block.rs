use serde::{Deserialize, Serialize};

use super::{
    Grid, Mask, MaskError, PatchMask,
    error::{ASPECT, check_grids, check_range, check_views},
    rectangle::{Rectangle, patches},
};
use crate::{Generator, MaskKey};

/// Tries to put a block somewhere before a mask stays as it is (BEiT, iBOT and DINOv2 alike).
const ATTEMPTS: usize = 10;

const SHARE: u64 = 0;
const RATIO: u64 = 1;
const BLOCKS: u64 = 2;
const COMPLETE: u64 = 3;

/// Hides rectangles of patches in a share of the images.
///
/// An image with the ratio r has up to `⌊patches · r⌋` hidden patches. Blocks are added until there are so many, or
/// until one finds no place in ten tries; the area of a block is drawn from `min_patches` to what is missing. Views of
/// one image have masks of their own. Gives a [`Mask::Replace`].
///
/// Source: DINOv2 (Oquab et al. 2023, arXiv:2304.07193), `MaskingGenerator` of `masking.py` and `collate.py`; iBOT (Zhou
/// et al. 2021, arXiv:2111.07832), `loader.py`; both after BEiT (Bao et al. 2021, arXiv:2106.08254), algorithm 1.
/// Differences: DINOv2 also limits a block to half of the patches, which its ratios never reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlockMask {
    /// Share of the images that have a mask, 0 to 1; 0.5 (DINOv2, `mask_sample_probability`; iBOT, where `--pred_ratio 0
    /// 0.3` takes either ratio for half of the images).
    pub probability: f64,
    /// Range of the share of hidden patches in an image with a mask, above 0 and at most 1; `[0.1, 0.5]` (DINOv2,
    /// `mask_ratio_min_max`; iBOT, 0.3 ± 0.2).
    pub ratio: [f64; 2],
    /// What `probability` and `ratio` are drawn for; `"batch"` (DINOv2).
    pub drawn_per: DrawnPer,
    /// Smallest area of a block that is drawn while so many patches are missing, at least 1; 4 (DINOv2,
    /// `min_num_patches`). iBOT has a ninth of the view: 16 of 14 x 14 patches.
    pub min_patches: usize,
    /// Range of rows / columns of a block, drawn evenly on a logarithmic scale, above 0; `[0.3, 1 / 0.3]` (DINOv2, iBOT).
    pub aspect: [f64; 2],
    /// Whether random patches complete a mask whose last block found no place, so that exactly `⌊patches · r⌋` are
    /// hidden; false (DINOv2, iBOT). DINOv3 does so.
    pub complete: bool,
    /// Views that have masks, counted from 0 through all blocks; `[0, 1]` (the two global views of DINOv2 and iBOT).
    pub views: Vec<usize>,
}

/// What the share of masked images is drawn for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrawnPer {
    /// `"batch"`: exactly `⌊images · probability⌋` images of the batch have a mask, all views counted together, and
    /// their ratios are spread evenly over the range (DINOv2).
    #[default]
    Batch,
    /// `"image"`: every view of an image has a mask with this probability, and a ratio from anywhere in the range (iBOT).
    Image,
}

impl Default for BlockMask {
    fn default() -> Self {
        Self {
            probability: 0.5,
            ratio: [0.1, 0.5],
            drawn_per: DrawnPer::Batch,
            min_patches: 4,
            aspect: [0.3, 1.0 / 0.3],
            complete: false,
            views: vec![0, 1],
        }
    }
}

impl BlockMask {
    pub(super) fn validate(&self, grids: &[Grid]) -> Result<(), MaskError> {
        check_views("views", &self.views, grids)?;
        if !(0.0..=1.0).contains(&self.probability) {
            return Err(MaskError::key("probability", self.probability.to_string(), "a number from 0 to 1"));
        }
        check_range("ratio", self.ratio, 1.0)?;
        check_range("aspect", self.aspect, ASPECT)?;
        // A block is smaller than the view in both directions.
        check_grids("block", &self.views, grids, 2)?;
        let most = self.views.iter().map(|&view| patches(grids[view])).min().unwrap_or(0);
        if !(1..=most).contains(&self.min_patches) {
            let expected = format!("a number from 1 to {most}, the patches of a view");
            return Err(MaskError::key("min_patches", self.min_patches.to_string(), expected));
        }
        Ok(())
    }

    pub(super) fn draw(&self, key: MaskKey, grids: &[Grid], samples: &[u64]) -> Vec<(usize, Mask)> {
        let ratios = self.ratios(key, samples);
        let masks = self.views.iter().zip(ratios.chunks_exact(samples.len()));
        let mask = |(&view, ratios): (&usize, &[f64])| {
            let grid = grids[view];
            let images = samples.iter().zip(ratios);
            let hidden =
                images.flat_map(|(&sample, &ratio)| self.image(key, sample, view, grid, ratio)).collect();
            (view, Mask::Replace(PatchMask { grid, hidden }))
        };
        masks.map(mask).collect()
    }

    /// `[view, batch]`: the share of hidden patches, 0 for images without a mask.
    fn ratios(&self, key: MaskKey, samples: &[u64]) -> Vec<f64> {
        let rows = self.views.iter().flat_map(|&view| samples.iter().map(move |&sample| (view, sample)));
        let rows = rows.map(|(view, sample)| key.sample(sample, view, RATIO));
        let [low, high] = self.ratio;
        match self.drawn_per {
            DrawnPer::Batch => self.spread(key, rows.collect()),
            DrawnPer::Image => {
                let drawn = rows.map(|mut row| (row.chance(self.probability), row.uniform(low, high)));
                drawn.map(|(masked, ratio)| if masked { ratio } else { 0.0 }).collect()
            }
        }
    }

    /// Gives each of some random rows a ratio from its own part of the range.
    fn spread(&self, key: MaskKey, mut rows: Vec<Generator>) -> Vec<f64> {
        let masked = (rows.len() as f64 * self.probability) as usize;
        let [low, high] = self.ratio;
        let part = (high - low) / masked as f64;
        let mut ratios = vec![0.0; rows.len()];
        for (place, row) in key.batch(0, SHARE).choose(rows.len(), masked).into_iter().enumerate() {
            ratios[row] = low + part * (place as f64 + rows[row].uniform(0.0, 1.0));
        }
        ratios
    }

    /// `[patch]`: the mask of one view of one image.
    fn image(&self, key: MaskKey, sample: u64, view: usize, grid: Grid, ratio: f64) -> Vec<bool> {
        let mut hidden = vec![false; patches(grid)];
        let mut missing = (patches(grid) as f64 * ratio) as usize;
        let mut random = key.sample(sample, view, BLOCKS);
        while missing > 0 {
            match self.add_block(&mut random, grid, missing, &mut hidden) {
                0 => break,
                added => missing -= added,
            }
        }
        if self.complete {
            let seen: Vec<usize> = (0..hidden.len()).filter(|&patch| !hidden[patch]).collect();
            let chosen = key.sample(sample, view, COMPLETE).choose(seen.len(), missing);
            chosen.into_iter().for_each(|place| hidden[seen[place]] = true);
        }
        hidden
    }

    /// Hides one more block of at most `most` patches that were seen; returns how many there are, 0 if none was found.
    fn add_block(&self, random: &mut Generator, grid: Grid, most: usize, hidden: &mut [bool]) -> usize {
        for _ in 0..ATTEMPTS {
            let area = random.uniform(self.min_patches as f64, most as f64);
            let aspect = random.uniform(self.aspect[0].ln(), self.aspect[1].ln()).exp();
            let size = Rectangle::size(area, aspect);
            if size[0] >= grid[0] || size[1] >= grid[1] {
                continue;
            }
            let block = Rectangle::place(size, grid, random);
            let added = block.patches(grid[1]).filter(|&patch| !hidden[patch]).count();
            if (1..=most).contains(&added) {
                block.patches(grid[1]).for_each(|patch| hidden[patch] = true);
                return added;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::{BlockMask, DrawnPer};
    use crate::MaskKey;

    const KEY: MaskKey = MaskKey { seed: 4, step: 2 };

    #[test]
    fn a_batch_has_its_share_of_masks_with_ratios_spread_evenly() {
        let samples: Vec<u64> = (100..116).collect();
        let ratios = BlockMask::default().ratios(KEY, &samples);
        assert_eq!(ratios.len(), 32);
        let mut masked: Vec<f64> = ratios.into_iter().filter(|&ratio| ratio > 0.0).collect();
        masked.sort_by(f64::total_cmp);
        assert_eq!(masked.len(), 16);
        for (place, ratio) in masked.into_iter().enumerate() {
            let low = 0.1 + 0.4 / 16.0 * place as f64;
            assert!((low - 1e-12..=low + 0.4 / 16.0 + 1e-12).contains(&ratio), "{place}: {ratio}");
        }
    }

    #[test]
    fn images_alone_have_masks_with_the_probability() {
        let mask = BlockMask { drawn_per: DrawnPer::Image, probability: 0.25, ..BlockMask::default() };
        let samples: Vec<u64> = (0..4000).collect();
        let ratios = mask.ratios(KEY, &samples);
        let masked: Vec<f64> = ratios.iter().copied().filter(|&ratio| ratio > 0.0).collect();
        assert!(masked.len().abs_diff(2000) < 150, "{}", masked.len());
        assert!(masked.iter().all(|ratio| (0.1..0.5).contains(ratio)));
        let mean = masked.iter().sum::<f64>() / masked.len() as f64;
        assert!((mean - 0.3).abs() < 0.01, "{mean}");
        let alone = mask.ratios(KEY, &samples[7..8]);
        assert_eq!(alone, [ratios[7], ratios[4007]], "the other images of the batch do not matter");
    }

    #[test]
    fn patches_of_a_block_lie_together() {
        // Blocks of DINOv2 against single patches: the share of pairs of neighbours of which both are hidden.
        let mask = BlockMask::default();
        let (mut pairs, mut both, mut hidden) = (0, 0, 0);
        for sample in 0..200 {
            let image = mask.image(KEY, sample, 0, [14, 14], 0.3);
            hidden += image.iter().filter(|&&hidden| hidden).count();
            for (first, second) in
                image.iter().zip(&image[1..]).enumerate().filter(|(i, _)| i % 14 < 13).map(|x| x.1)
            {
                pairs += 1;
                both += usize::from(*first && *second);
            }
        }
        let single = (hidden as f64 / (200.0 * 196.0)).powi(2);
        let found = f64::from(both as u32) / f64::from(pairs);
        assert!(found > 2.0 * single, "{found} against {single} of single patches");
    }

    #[test]
    fn impossible_values_are_named() {
        let error = |mask: BlockMask| mask.validate(&[[14, 14], [4, 4]]).expect_err("a mistake").to_string();
        let base = BlockMask::default;
        assert_eq!(
            error(BlockMask { probability: -0.5, ..base() }),
            "mask.probability is -0.5, expected a number from 0 to 1"
        );
        assert_eq!(
            error(BlockMask { ratio: [0.5, 0.1], ..base() }),
            "mask.ratio is [0.5, 0.1], expected two numbers above 0 and at most 1, the smaller one first"
        );
        assert_eq!(
            error(BlockMask { aspect: [0.0, 1.0], ..base() }),
            "mask.aspect is [0.0, 1.0], expected two numbers above 0 and at most 1000, the smaller one first"
        );
        assert_eq!(
            error(BlockMask { min_patches: 17, ..base() }),
            "mask.min_patches is 17, expected a number from 1 to 16, the patches of a view"
        );
        assert_eq!(
            base().validate(&[[4, 4], [1, 4]]).expect_err("a mistake").to_string(),
            "view 1 has 1 x 4 patches, expected at least 2 x 2 for a mask of the kind 'block'"
        );
        assert_eq!(
            base().validate(&[[4, 4]]).expect_err("a mistake").to_string(),
            "mask.views is [0, 1], expected [0], the only view"
        );
    }
}
