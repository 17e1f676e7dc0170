//! Dense evaluation of an encoder: k-NN on the features of places.

use std::sync::Arc;

use serde::Serialize;
use ssl_core::{ConfigError, DeviceSpec};
use ssl_data::{Mosaic, Synthetic};
use ssl_encoders::Preprocessing;
use ssl_eval::{KnnConfig, PatchFeatures, segment as by_neighbours};
use tracing::info;

use crate::preparation::Preparation;
use crate::{EncoderSource, EncoderSummary, Error, Methods, PreprocessingOptions};

/// Seeds of the bank and of the test images, apart from those of `demo:train` and `demo:test`.
const SEEDS: [u64; 2] = [3, 4];

/// Options of [`segment`].
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentOptions {
    /// The encoder.
    pub encoder: EncoderSource,
    /// Images of the bank, at least 1. Default 400 (our choice).
    pub bank: usize,
    /// Test images, at least 1. Default 200 (our choice).
    pub test: usize,
    /// Neighbours and temperature.
    pub knn: KnnConfig,
    /// How images are prepared, where it differs from what the encoder's file says. Default size: 32.
    pub preprocessing: PreprocessingOptions,
    /// Threads that render; 0, the default, means one per core.
    pub workers: usize,
    /// The device. Default `flex`.
    pub device: DeviceSpec,
}

impl SegmentOptions {
    /// An encoder on 400 and 200 images.
    pub fn new(encoder: EncoderSource) -> Self {
        Self {
            encoder,
            bank: 400,
            test: 200,
            knn: KnnConfig::default(),
            preprocessing: PreprocessingOptions::default(),
            workers: 0,
            device: DeviceSpec::Flex,
        }
    }
}

/// The result of a segmentation. Shares are in per cent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SegmentReport {
    /// Mean over classes of the intersection over union of predicted and true pixels.
    pub mean_iou: f64,
    /// Pixels whose class is right.
    pub pixel_accuracy: f64,
    /// The `pixel_accuracy` of positions that all have the class of most of their pixels.
    pub pixel_accuracy_bound: f64,
    /// Rows and columns of positions in an image.
    pub grid: [usize; 2],
    /// Neighbours that voted.
    pub k: usize,
    /// Temperature of their votes.
    pub temperature: f64,
    /// Test images.
    pub images: usize,
    /// The encoder.
    pub encoder: EncoderSummary,
}

/// Segments rendered images of two patterns each ([`Mosaic`]) by the nearest neighbours of every patch, or of every position of
/// a ResNet's last feature map.
///
/// # Errors
/// If the encoder, its preprocessing or the device cannot be used.
pub fn segment(methods: &impl Methods, options: &SegmentOptions) -> Result<SegmentReport, Error> {
    options.knn.validate()?;
    for (name, images) in [("bank", options.bank), ("test", options.test)] {
        ConfigError::check((1..=LARGEST).contains(&images), name, images, "1 to 10000 images")?;
    }
    let device = options.device.open()?;
    let found = options.encoder.find(methods)?;
    let small = Mosaic::new(SEEDS[0], 1, SIZE).dataset()?;
    let preprocessing = options.preprocessing.resolve(found.artifact.as_ref(), &small)?;
    // Masks are of whole images: none of them may be cropped.
    let preprocessing = Preprocessing { resize: preprocessing.size, ..preprocessing };
    let preparation = Preparation { preprocessing, workers: options.workers };
    let size = preprocessing.size;
    let encoder = found.open(size, &device)?;
    info!("encoder: {}", found.summary);
    let of_set = |seed: u64, images: usize| {
        let set = Mosaic::new(seed, images, size);
        let loader = preparation.eval_loader(&Arc::new(set.dataset()?))?;
        Ok::<_, Error>(PatchFeatures::of(&encoder, &loader, size, |index| set.mask(index), &device)?)
    };
    let (bank, test) = (of_set(SEEDS[0], options.bank)?, of_set(SEEDS[1], options.test)?);
    let scores = by_neighbours(Synthetic::CLASS_NAMES.len(), &bank, &test, &options.knn)?;
    Ok(SegmentReport {
        mean_iou: 100.0 * scores.mean_iou,
        pixel_accuracy: 100.0 * scores.pixel_accuracy,
        pixel_accuracy_bound: 100.0 * scores.bound,
        grid: test.grid,
        k: options.knn.k,
        temperature: options.knn.temperature,
        images: options.test,
        encoder: found.summary,
    })
}

/// Width and height of images where neither the encoder nor the options say.
const SIZE: usize = 32;
/// Most images of a set: all features of all places are in memory.
const LARGEST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::testing::AnyName;
    use ssl_encoders::EncoderConfig;

    fn report(change: impl FnOnce(&mut SegmentOptions)) -> Result<SegmentReport, Error> {
        let mut config = EncoderConfig::named("vit-tiny");
        (config.patch_size, config.embed_dim, config.depth, config.heads) =
            (Some(4), Some(32), Some(2), Some(2));
        let encoder = EncoderSource::Untrained { config, seed: 0 };
        let mut options = SegmentOptions { bank: 20, test: 10, ..SegmentOptions::new(encoder) };
        change(&mut options);
        segment(&AnyName, &options)
    }

    #[test]
    fn a_vit_segments_its_patches_and_a_resnet_its_positions() {
        let vit = report(|_| {}).expect("usable");
        assert_eq!((vit.grid, vit.images), ([8, 8], 10));
        assert!(vit.mean_iou > 0.0 && vit.pixel_accuracy < vit.pixel_accuracy_bound, "{vit:?}");
        assert!((80.0..100.0).contains(&vit.pixel_accuracy_bound), "{vit:?}");
        let resnet = report(|options| {
            options.encoder = EncoderSource::Untrained {
                config: EncoderConfig { width: 4, ..EncoderConfig::default() },
                seed: 0,
            };
        });
        assert_eq!(resnet.expect("usable").grid, [4, 4]);
    }

    #[test]
    fn numbers_without_images_are_named() {
        let error = report(|options| options.bank = 0).expect_err("no bank").to_string();
        assert_eq!(error, "bank is 0, expected 1 to 10000 images");
        assert!(report(|options| options.knn.k = 0).is_err());
    }
}
