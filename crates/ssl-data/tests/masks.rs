//! Masks are what their kinds promise, and the same for ever.
#![allow(clippy::unwrap_used)] // Tests.

use proptest::prelude::*;
use ssl_data::{
    BlockMask, DrawnPer, FocalMask, Mask, MaskBatch, MaskConfig, MaskKey, Masks, MultiBlockMask,
    PatchIndices, PatchMask, RandomMask,
};

const KEY: MaskKey = MaskKey { seed: 5, step: 9 };

fn draw(config: MaskConfig, grids: &[[usize; 2]], key: MaskKey, samples: &[u64]) -> MaskBatch {
    Masks::new(config, grids).unwrap().draw(key, samples)
}

fn kept(mask: &Option<Mask>) -> &PatchIndices {
    match mask {
        Some(Mask::Keep(kept)) => kept,
        other => panic!("expected kept patches, found {other:?}"),
    }
}

fn replaced(mask: &Option<Mask>) -> &PatchMask {
    match mask {
        Some(Mask::Replace(mask)) => mask,
        other => panic!("expected replaced patches, found {other:?}"),
    }
}

fn predicted(mask: &Option<Mask>) -> (&PatchIndices, &PatchIndices) {
    match mask {
        Some(Mask::Predict { context, targets }) => (context, targets),
        other => panic!("expected context and targets, found {other:?}"),
    }
}

/// The hidden patches of each view and image.
fn hidden(batch: &MaskBatch) -> Vec<Vec<usize>> {
    let views = batch.views.iter().map(replaced);
    let images = views.flat_map(|mask| (0..mask.len()).map(|image| mask.image(image)));
    images.map(|image| (0..image.len()).filter(|&patch| image[patch]).collect()).collect()
}

// The golden values of these tests are from the same formulas in Python; a resumed run relies on them.

#[test]
fn golden_blocks() {
    let grids = [[6, 6], [4, 5]];
    let batch = draw(MaskConfig::Block(BlockMask::default()), &grids, KEY, &[2, 1000]);
    let second = vec![0, 3, 6, 9, 10, 12, 13, 14, 15, 16, 19, 20, 21, 22, 23];
    assert_eq!(hidden(&batch), [vec![16, 22, 24, 25, 26, 28], second, vec![], vec![]]);
}

#[test]
fn golden_completed_blocks() {
    let mask = |complete| BlockMask {
        probability: 1.0,
        ratio: [0.3, 0.9],
        min_patches: 12,
        complete,
        ..BlockMask::default()
    };
    let key = MaskKey { seed: 5, step: 0 };
    let batch = |complete| draw(MaskConfig::Block(mask(complete)), &[[6, 6], [4, 5]], key, &[2]);
    let first = vec![0, 1, 2, 3, 6, 7, 8, 9, 12, 13, 14, 15, 18, 19, 20, 21, 24, 25, 26, 27, 32, 33, 34];
    assert_eq!(hidden(&batch(false)), [first.clone(), vec![]], "no block of at least 12 patches was found");
    assert_eq!(hidden(&batch(true)), [first, vec![5, 7, 8, 11, 12, 15, 18, 19]]);
}

#[test]
fn golden_context_and_targets() {
    let batch = draw(MaskConfig::MultiBlock(MultiBlockMask::default()), &[[6, 6]], KEY, &[2, 1000]);
    let (context, targets) = predicted(&batch.views[0]);
    assert_eq!(
        context.indices,
        [
            [0, 1, 2, 3, 6, 7, 8, 9, 14, 15, 16, 17, 20, 23, 26, 29, 30, 31, 32, 33, 34, 35],
            [0, 1, 2, 5, 6, 7, 8, 11, 12, 17, 18, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32],
        ]
        .concat()
    );
    assert_eq!(
        targets.indices,
        [
            [4, 5, 10, 11, 21, 22, 27, 28, 12, 13, 18, 19, 18, 19, 24, 25],
            [13, 14, 19, 20, 14, 15, 20, 21, 3, 4, 9, 10, 9, 10, 15, 16],
        ]
        .concat()
    );
}

#[test]
fn golden_focal_blocks() {
    let config = FocalMask { focal_views: vec![2], ..FocalMask::default() };
    let batch = draw(MaskConfig::Focal(config), &[[6, 6]; 3], KEY, &[2, 1000]);
    let expected = [[21, 22, 23, 27, 28, 29, 33, 34, 35], [8, 9, 10, 14, 15, 16, 20, 21, 22]];
    assert_eq!(kept(&batch.views[2]).indices, expected.concat());
}

#[test]
fn seed_step_and_image_change_a_mask() {
    let mask = |seed, step, sample| {
        let config = MaskConfig::Random(RandomMask::default());
        draw(config, &[[14, 14]], MaskKey { seed, step }, &[sample])
    };
    assert_eq!(mask(1, 2, 3), mask(1, 2, 3));
    for other in [mask(0, 2, 3), mask(1, 0, 3), mask(1, 2, 0)] {
        assert_ne!(other, mask(1, 2, 3));
    }
}

/// Every list rises, and lies in the grid.
fn check_lists(lists: &PatchIndices, images: usize) {
    assert_eq!(lists.len(), images);
    assert_eq!(lists.indices.len(), images * lists.blocks * lists.patches);
    let patches = (lists.grid[0] * lists.grid[1]) as i64;
    for list in lists.indices.chunks(lists.patches) {
        assert!(list.is_sorted_by(|a, b| a < b), "{list:?}");
        assert!(list[0] >= 0 && *list.last().unwrap() < patches, "{list:?}");
    }
}

/// The patches make a whole rectangle.
fn check_rectangle(list: &[i64], grid: [usize; 2]) {
    let columns = grid[1] as i64;
    let width = list.iter().take_while(|&&patch| patch < list[0] / columns * columns + columns).count();
    assert_eq!(list.len() % width, 0, "{list:?}");
    for (place, &patch) in list.iter().enumerate() {
        assert_eq!(patch, list[0] + (place / width) as i64 * columns + (place % width) as i64, "{list:?}");
    }
}

fn grid() -> impl Strategy<Value = [usize; 2]> {
    [4usize..17, 4usize..17]
}

fn samples() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::hash_set(0u64..1000, 1..9).prop_map(|samples| samples.into_iter().collect())
}

fn key() -> impl Strategy<Value = MaskKey> {
    (any::<u64>(), any::<u64>()).prop_map(|(seed, step)| MaskKey { seed, step })
}

proptest! {
    #[test]
    fn random_masks_keep_the_exact_number(
        grid in grid(), samples in samples(), key in key(), ratio in 0.0..0.9,
    ) {
        let config = RandomMask { ratio, ..RandomMask::default() };
        let batch = draw(MaskConfig::Random(config), &[grid], key, &samples);
        let patches = grid[0] * grid[1];
        let lists = kept(&batch.views[0]);
        prop_assert_eq!(lists.patches, (patches as f64 * (1.0 - ratio)).floor() as usize);
        check_lists(lists, samples.len());
        let hidden = batch.views[0].as_ref().unwrap().hidden();
        for image in 0..samples.len() {
            let count = hidden.image(image).iter().filter(|&&hidden| hidden).count();
            prop_assert_eq!(count, patches - lists.patches);
        }
    }

    #[test]
    fn completed_block_masks_have_exact_numbers_in_a_share_of_the_batch(
        grids in [grid(), grid()], samples in samples(), key in key(), probability in 0.0..=1.0,
    ) {
        // One ratio for all, so that the number is known.
        let config = BlockMask { probability, ratio: [0.3, 0.3], complete: true, ..BlockMask::default() };
        let batch = draw(MaskConfig::Block(config), &grids, key, &samples);
        let images = hidden(&batch);
        let share = (2.0 * samples.len() as f64 * probability).floor() as usize;
        prop_assert_eq!(images.iter().filter(|hidden| !hidden.is_empty()).count(), share);
        for (place, hidden) in images.iter().enumerate() {
            let [rows, columns] = grids[place / samples.len()];
            let expected = ((rows * columns) as f64 * 0.3).floor() as usize;
            prop_assert!(hidden.is_empty() || hidden.len() == expected, "{} of {expected}", hidden.len());
        }
    }

    #[test]
    fn block_masks_never_hide_more_than_their_ratio(
        grid in grid(), samples in samples(), key in key(), high in 0.1..=1.0, per_image: bool,
    ) {
        let drawn_per = if per_image { DrawnPer::Image } else { DrawnPer::Batch };
        let config = BlockMask { ratio: [0.1, high], drawn_per, views: vec![1], ..BlockMask::default() };
        let batch = draw(MaskConfig::Block(config), &[[1, 1], grid], key, &samples);
        prop_assert!(batch.views[0].is_none());
        let mask = replaced(&batch.views[1]);
        prop_assert_eq!(mask.len(), samples.len());
        for image in 0..mask.len() {
            let count = mask.image(image).iter().filter(|&&hidden| hidden).count();
            prop_assert!(count <= ((grid[0] * grid[1]) as f64 * high).floor() as usize);
        }
    }

    #[test]
    fn targets_are_rectangles_and_the_context_has_none_of_their_patches(
        grid in grid(), samples in samples(), key in key(), targets in 1usize..6,
    ) {
        let config = MultiBlockMask { targets, ..MultiBlockMask::default() };
        let batch = draw(MaskConfig::MultiBlock(config), &[grid], key, &samples);
        let (context, blocks) = predicted(&batch.views[0]);
        check_lists(context, samples.len());
        check_lists(blocks, samples.len());
        prop_assert_eq!((context.blocks, blocks.blocks), (1, targets));
        prop_assert!(context.patches >= 10);
        for image in 0..samples.len() {
            for block in 0..targets {
                let target = blocks.list(image, block);
                check_rectangle(target, grid);
                prop_assert!(context.list(image, 0).iter().all(|patch| !target.contains(patch)));
            }
        }
    }

    #[test]
    fn a_context_that_may_overlap_is_a_rectangle(grid in grid(), samples in samples(), key in key()) {
        let config = MultiBlockMask { allow_overlap: true, ..MultiBlockMask::default() };
        let batch = draw(MaskConfig::MultiBlock(config), &[grid], key, &samples);
        let (context, _) = predicted(&batch.views[0]);
        (0..samples.len()).for_each(|image| check_rectangle(context.list(image, 0), grid));
    }

    #[test]
    fn focal_masks_keep_exact_numbers_and_one_rectangle(
        grids in [grid(), grid(), grid()], samples in samples(), key in key(),
        ratio in 0.0..0.9, focal_scale in 0.01..=1.0,
    ) {
        let config = FocalMask { ratio, focal_scale, focal_views: vec![2], ..FocalMask::default() };
        let batch = draw(MaskConfig::Focal(config), &grids, key, &samples);
        prop_assert!(batch.views[0].is_none());
        let anchor = kept(&batch.views[1]);
        check_lists(anchor, samples.len());
        let patches = (grids[1][0] * grids[1][1]) as f64;
        prop_assert_eq!(anchor.patches, (patches * (1.0 - ratio)).floor() as usize);
        let focal = kept(&batch.views[2]);
        check_lists(focal, samples.len());
        (0..samples.len()).for_each(|image| check_rectangle(focal.list(image, 0), grids[2]));
    }

    #[test]
    fn narrowed_parts_make_the_whole(
        samples in prop::collection::hash_set(0u64..1000, 6), key in key(), kind in 0usize..4,
    ) {
        let samples: Vec<u64> = samples.into_iter().collect();
        let config = match kind {
            0 => MaskConfig::Random(RandomMask::default()),
            1 => MaskConfig::Block(BlockMask::default()),
            2 => MaskConfig::MultiBlock(MultiBlockMask::default()),
            _ => MaskConfig::Focal(FocalMask::default()),
        };
        let whole = draw(config, &[[8, 8]; 2], key, &samples);
        prop_assert_eq!(&whole.narrow(0, 6), &whole);
        let parts = [whole.narrow(0, 2), whole.narrow(2, 3), whole.narrow(5, 1)];
        for (view, mask) in whole.views.iter().enumerate() {
            let values = |mask: &Option<Mask>| match mask {
                None => vec![],
                Some(Mask::Replace(mask)) => mask.hidden.iter().map(|&hidden| i64::from(hidden)).collect(),
                Some(Mask::Keep(kept)) => kept.indices.clone(),
                Some(Mask::Predict { targets, .. }) => targets.indices.clone(),
            };
            let joined: Vec<i64> = parts.iter().flat_map(|part| values(&part.views[view])).collect();
            prop_assert_eq!(joined, values(mask));
            let hidden: Vec<bool> = parts
                .iter()
                .filter_map(|part| part.views[view].as_ref())
                .flat_map(|mask| mask.hidden().hidden)
                .collect();
            prop_assert_eq!(hidden, mask.as_ref().map_or(vec![], |mask| mask.hidden().hidden));
        }
    }
}
