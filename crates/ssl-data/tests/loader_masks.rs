//! Masks and shares of the training loader depend on data, seed and place in the run alone.
#![allow(clippy::unwrap_used)] // Tests.

mod common;

use std::sync::Arc;

use common::images;
use ssl_data::{
    Batch, BlockMask, DataError, Dataset, FocalMask, LoaderConfig, Mask, MaskBatch, MaskConfig, MaskError,
    MultiBlockMask, Normalization, OpConfig, RandomMask, TrainLoader, ViewConfig, Views,
};

/// The views of 8 pixels in patches of 1, that of 4 too.
const GRIDS: [[usize; 2]; 3] = [[8, 8], [8, 8], [4, 4]];

fn loader(batch_size: usize, workers: usize) -> TrainLoader {
    let labels = (0..43).map(|label| label % 3).collect();
    let dataset = Arc::new(Dataset::from_images(images(43, 12), Some(labels)));
    let ops = || vec![OpConfig::HorizontalFlip { p: 0.5 }, OpConfig::Grayscale { p: 0.5 }];
    let blocks = [ViewConfig { count: 2, size: 8, ops: ops() }, ViewConfig { count: 1, size: 4, ops: ops() }];
    let views = Views::new(&blocks, Normalization::CIFAR10).unwrap();
    TrainLoader::new(dataset, views, 5, LoaderConfig { batch_size, workers }).unwrap()
}

fn kinds() -> [MaskConfig; 4] {
    [
        MaskConfig::Random(RandomMask { views: vec![0, 2], ..RandomMask::default() }),
        MaskConfig::Block(BlockMask::default()),
        MaskConfig::MultiBlock(MultiBlockMask::default()),
        MaskConfig::Focal(FocalMask { focal_views: vec![0], ..FocalMask::default() }),
    ]
}

fn take(loader: &TrainLoader, epoch: u64, batch: usize, count: usize) -> Vec<Batch> {
    loader.batches(epoch, batch).unwrap().take(count).map(Result::unwrap).collect()
}

/// One mask behind the other.
fn join(parts: Vec<Mask>) -> Mask {
    let mut parts = parts.into_iter();
    let first = parts.next().unwrap();
    parts.fold(first, |joined, part| match (joined, part) {
        (Mask::Replace(mut joined), Mask::Replace(part)) => {
            joined.hidden.extend(part.hidden);
            Mask::Replace(joined)
        }
        (Mask::Keep(mut joined), Mask::Keep(part)) => {
            assert_eq!(joined.patches, part.patches, "lists are cut alike in all shares");
            joined.indices.extend(part.indices);
            Mask::Keep(joined)
        }
        (
            Mask::Predict { mut context, mut targets },
            Mask::Predict { context: more_context, targets: more_targets },
        ) => {
            assert_eq!(context.patches, more_context.patches, "lists are cut alike in all shares");
            assert_eq!(targets.patches, more_targets.patches, "lists are cut alike in all shares");
            context.indices.extend(more_context.indices);
            targets.indices.extend(more_targets.indices);
            Mask::Predict { context, targets }
        }
        (joined, part) => panic!("{joined:?} and {part:?} of one view"),
    })
}

/// The batch of which the shares are `parts`.
fn together(parts: Vec<Batch>) -> Batch {
    let mut whole = parts[0].clone();
    let masks: Vec<&MaskBatch> = parts.iter().map(|part| part.masks.as_ref().unwrap()).collect();
    let views = (0..masks[0].views.len()).map(|view| {
        let views: Option<Vec<Mask>> = masks.iter().map(|mask| mask.views[view].clone()).collect();
        views.map(join)
    });
    whole.masks = Some(MaskBatch { views: views.collect() });
    for part in &parts[1..] {
        assert_eq!((part.epoch, part.index), (whole.epoch, whole.index));
        whole.indices.extend(&part.indices);
        whole.labels.as_mut().unwrap().extend(part.labels.as_ref().unwrap());
        whole.views.iter_mut().zip(&part.views).for_each(|(view, part)| view.data.extend(&part.data));
    }
    whole
}

#[test]
fn shares_put_together_are_the_whole_batch() {
    for config in kinds() {
        let loader = |rank, of| {
            let loader = loader(8, 2).with_masks(config.clone(), &GRIDS).unwrap();
            loader.with_share(rank, of).unwrap()
        };
        let whole = take(&loader(0, 1), 0, 3, 4); // Over the end of an epoch of 5 batches.
        for of in [2, 4] {
            let shares: Vec<Vec<Batch>> = (0..of).map(|rank| take(&loader(rank, of), 0, 3, 4)).collect();
            for (number, whole) in whole.iter().enumerate() {
                let parts: Vec<Batch> = shares.iter().map(|share| share[number].clone()).collect();
                assert!(parts.iter().all(|part| part.len() == 8 / of));
                assert_eq!(&together(parts), whole, "{of} shares");
            }
        }
    }
}

#[test]
fn a_share_of_one_is_the_batch_without_shares() {
    let with =
        |share| take(&if share { loader(8, 2).with_share(0, 1).unwrap() } else { loader(8, 2) }, 0, 0, 2);
    assert_eq!(with(true), with(false));
}

#[test]
fn masks_do_not_depend_on_workers() {
    for config in kinds() {
        let masked = |workers| take(&loader(8, workers).with_masks(config.clone(), &GRIDS).unwrap(), 0, 0, 6);
        let expected = masked(1);
        assert!(expected[0].masks.is_some());
        assert!(masked(3) == expected);
    }
}

#[test]
fn a_resumed_run_has_the_same_masks() {
    for config in kinds() {
        let loader = loader(8, 2).with_masks(config, &GRIDS).unwrap();
        let whole = take(&loader, 0, 0, 9);
        assert!(take(&loader, 1, 2, 2) == whole[7..]);
        assert!(take(&loader, 0, 7, 2) == whole[7..], "batches past the end of an epoch count on");
        assert_ne!(whole[7].masks, whole[2].masks, "the same batch of another epoch has other masks");
    }
}

#[test]
fn masks_leave_the_views_as_they_are() {
    let plain = take(&loader(8, 2), 0, 0, 3);
    assert!(plain.iter().all(|batch| batch.masks.is_none()));
    for config in kinds() {
        let mut masked = take(&loader(8, 2).with_masks(config, &GRIDS).unwrap(), 0, 0, 3);
        masked.iter_mut().for_each(|batch| batch.masks = None);
        assert_eq!(masked, plain);
    }
}

#[test]
fn the_masks_of_a_batch_fit_its_images() {
    for config in kinds() {
        for batch in take(&loader(8, 2).with_masks(config.clone(), &GRIDS).unwrap(), 0, 0, 2) {
            let masks = batch.masks.unwrap();
            assert_eq!(masks.views.len(), 3);
            for (view, mask) in masks.views.iter().enumerate() {
                let Some(mask) = mask else { continue };
                assert_eq!((mask.len(), mask.grid()), (8, GRIDS[view]));
            }
        }
    }
}

#[test]
fn shares_that_do_not_exist_are_errors() {
    let error = |rank, of| loader(8, 1).with_share(rank, of).map(drop).unwrap_err();
    assert_eq!(error(0, 3).to_string(), "a batch of 8 images does not divide into 3 equal shares");
    assert_eq!(error(2, 2).to_string(), "share 2 of 2 was asked for, expected a number below 2");
    assert!(matches!(error(0, 0), DataError::Zero { field: "of" }));
}

#[test]
fn masks_that_do_not_fit_the_views_are_errors() {
    let error = |config: MaskConfig, grids: &[[usize; 2]]| {
        loader(8, 1).with_masks(config, grids).map(drop).unwrap_err()
    };
    let random = || MaskConfig::Random(RandomMask::default());
    assert_eq!(error(random(), &GRIDS[..2]), MaskError::GridCount { found: 2, expected: 3 });
    assert_eq!(
        error(random(), &GRIDS[..2]).to_string(),
        "2 patch grids are given for 3 views, expected one for each"
    );
    let fourth = MaskConfig::Random(RandomMask { views: vec![3], ..RandomMask::default() });
    assert!(matches!(error(fourth, &GRIDS), MaskError::Key { key: "views", .. }));
}
