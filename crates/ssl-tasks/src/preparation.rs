//! How images are prepared for an encoder.

use std::sync::Arc;

use ssl_core::ConfigError;
use ssl_data::ops::Interpolation;
use ssl_data::{
    Dataset, EvalLoader, EvalTransform, LoaderConfig, Normalization, OpConfig, TrainLoader, ViewConfig, Views,
};
use ssl_encoders::{Artifact, Preprocessing, weights};

use crate::recipe::{DataConfig, SMALLEST, check_largest};
use crate::{EncoderSource, Error, images};

/// Images in a batch of evaluation (our choice; results do not depend on it).
pub(crate) const EVAL_BATCH: usize = 256;

/// How images are prepared for an encoder, where it differs from what the encoder's file says.
///
/// Runs and files written by burn-ssl record it. For untrained encoders and weights of torchvision or timm, the defaults are
/// the mean and standard deviation of ImageNet, and the size that a ViT's positions are for, or else the size of the images if all have
/// the same.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PreprocessingOptions {
    /// Width and height of the images in pixels.
    pub image_size: Option<usize>,
    /// Mean of each channel, of pixels from 0 to 1.
    pub mean: Option<[f32; 3]>,
    /// Standard deviation of each channel.
    pub std: Option<[f32; 3]>,
}

impl PreprocessingOptions {
    /// The preprocessing for the encoder of a source with the given description, if any; otherwise the file of a ViT supplies a missing
    /// size, or else `dataset`.
    pub(crate) fn resolve_for(
        self,
        source: &EncoderSource,
        artifact: Option<&Artifact>,
        dataset: &Dataset,
    ) -> Result<Preprocessing, Error> {
        let image_size = match (self.image_size, artifact, source) {
            (None, None, EncoderSource::Weights { path, .. }) => weights::image_size(path)?,
            (given, ..) => given,
        };
        Self { image_size, ..self }.resolve(artifact, dataset)
    }

    /// The preprocessing for an encoder with the given description, if any; `dataset` supplies a missing size.
    pub(crate) fn resolve(
        &self,
        artifact: Option<&Artifact>,
        dataset: &Dataset,
    ) -> Result<Preprocessing, Error> {
        let known = artifact.map(|artifact| artifact.preprocessing);
        let of_encoder = match (known, self.image_size) {
            (Some(known), None) => known,
            (Some(known), Some(size)) => known.with_size(size),
            (None, Some(size)) => Preprocessing::new(size),
            (None, None) => Preprocessing::new(images::common_size(dataset).ok_or(Error::NoImageSize)?),
        };
        ConfigError::check(of_encoder.size >= SMALLEST, "image_size", of_encoder.size, "at least 8")?;
        check_largest("image_size", of_encoder.size)?;
        let (mean, std) = (self.mean.unwrap_or(of_encoder.mean), self.std.unwrap_or(of_encoder.std));
        Ok(of_encoder.with_normalization(mean, std))
    }
}

/// How images are prepared for an encoder, and on how many threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preparation {
    pub(crate) preprocessing: Preprocessing,
    /// 0 means one per core.
    pub(crate) workers: usize,
}

impl Preparation {
    /// What a recipe says.
    pub(crate) fn of(data: &DataConfig) -> Self {
        Self { preprocessing: data.preprocessing(), workers: data.workers }
    }

    /// A loader of all images of a set, as evaluation sees them.
    pub(crate) fn eval_loader(&self, set: &Arc<Dataset>) -> Result<EvalLoader, Error> {
        let transform = eval_transform(&self.preprocessing)?;
        Ok(EvalLoader::new(Arc::clone(set), transform, self.loader_config(EVAL_BATCH))?)
    }

    /// Batches of augmented images to train a classifier with, in an order that depends on the seed.
    pub(crate) fn train_loader(
        &self,
        set: &Arc<Dataset>,
        batch_size: usize,
        seed: u64,
    ) -> Result<TrainLoader, Error> {
        let config = self.loader_config(batch_size);
        Ok(TrainLoader::new(Arc::clone(set), self.crop_and_flip()?, seed, config)?)
    }

    /// One view per image: a random crop of 8 to 100 % of its area and a flip, as in the official code of the methods when it
    /// trains classifiers.
    fn crop_and_flip(&self) -> Result<Views, Error> {
        let crop = OpConfig::RandomResizedCrop {
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
            interpolation: Interpolation::Bilinear,
        };
        let ops = vec![crop, OpConfig::HorizontalFlip { p: 0.5 }];
        let view = ViewConfig { count: 1, size: self.preprocessing.size, ops };
        Ok(Views::new(&[view], normalization(&self.preprocessing))?)
    }

    fn loader_config(&self, batch_size: usize) -> LoaderConfig {
        LoaderConfig { batch_size, workers: worker_threads(self.workers) }
    }
}

/// The transform of evaluated images.
pub(crate) fn eval_transform(preprocessing: &Preprocessing) -> Result<EvalTransform, ssl_data::ViewError> {
    let transform = EvalTransform::new(preprocessing.size, normalization(preprocessing))?;
    Ok(transform.with_resize(preprocessing.resize, Interpolation::Bilinear))
}

/// Threads to decode with; 0 means one per core.
pub(crate) fn worker_threads(workers: usize) -> usize {
    match workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}

fn normalization(preprocessing: &Preprocessing) -> Normalization {
    Normalization { mean: preprocessing.mean, std: preprocessing.std }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;
    use ssl_core::named;
    use ssl_data::Image;
    use ssl_encoders::EncoderConfig;

    fn images(sizes: &[[usize; 2]]) -> Dataset {
        let image = |&[width, height]: &[usize; 2]| Image::new(width, height, vec![0; 3 * width * height]);
        Dataset::from_images(sizes.iter().map(image).collect(), None)
    }

    fn artifact() -> Artifact {
        let preprocessing = Preprocessing::new(64).with_normalization([0.5; 3], [0.25; 3]);
        Artifact::new(&EncoderConfig::default(), preprocessing)
    }

    #[test]
    fn the_file_of_an_encoder_says_how_images_are_prepared() {
        let (artifact, set) = (artifact(), images(&[[16, 16]]));
        let resolve = |options: PreprocessingOptions| options.resolve(Some(&artifact), &set).expect("usable");
        assert_eq!(resolve(PreprocessingOptions::default()), artifact.preprocessing);
        let smaller = resolve(PreprocessingOptions { image_size: Some(28), ..Default::default() });
        assert_eq!(smaller, artifact.preprocessing.with_size(28));
        let other = resolve(PreprocessingOptions { mean: Some([0.1; 3]), ..Default::default() });
        assert_eq!((other.mean, other.std, other.size), ([0.1; 3], [0.25; 3], 64));
    }

    #[test]
    fn an_encoder_without_a_file_gets_the_normalization_of_imagenet_and_the_size_of_the_images() {
        let options = PreprocessingOptions::default();
        let same = options.resolve(None, &images(&[[16, 16], [16, 16]]));
        assert_eq!(same.expect("of one size"), Preprocessing::new(16));
        for sizes in [&[[16, 16], [20, 20]][..], &[[16, 20], [16, 20]]] {
            let error = options.resolve(None, &images(sizes)).expect_err("which?").to_string();
            assert!(error.starts_with("the image size of the encoder is not known"), "{error}");
        }
        let given = PreprocessingOptions { image_size: Some(224), ..options };
        assert_eq!(given.resolve(None, &images(&[[16, 20]])).expect("given"), Preprocessing::new(224));
    }

    #[test]
    fn a_vit_of_others_sees_images_of_the_size_that_its_positions_are_for() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("theirs.safetensors");
        let zeros = |shape: &[usize]| TensorData::zeros::<f32, _>(shape.to_vec());
        // Two rows and columns of patches of 8 pixels, and a class token.
        let tensors = [("pos_embed", zeros(&[1, 5, 4])), ("patch_embed.proj.weight", zeros(&[4, 3, 8, 8]))];
        let tensors = tensors.map(|(name, tensor)| (name.to_owned(), tensor)).into();
        std::fs::write(&path, named::encode(&tensors, "")).expect("writable");
        let source = EncoderSource::Weights { path, config: None };
        let options = PreprocessingOptions::default();
        let size = |options: PreprocessingOptions, artifact| {
            options.resolve_for(&source, artifact, &images(&[[32, 32]])).expect("usable").size
        };
        assert_eq!(size(options, None), 16);
        assert_eq!(size(PreprocessingOptions { image_size: Some(24), ..options }, None), 24);
        assert_eq!(size(options, Some(&artifact())), 64, "the description comes first");
    }

    #[test]
    fn values_that_no_image_could_be_prepared_with_are_named() {
        let set = Arc::new(images(&[[16, 16]]));
        let loaded = |options: PreprocessingOptions| {
            let preprocessing = options.resolve(None, &set)?;
            Preparation { preprocessing, workers: 1 }.eval_loader(&set).map(|_| ())
        };
        let error = |options| loaded(options).expect_err("unusable").to_string();
        let zero = error(PreprocessingOptions { image_size: Some(0), ..Default::default() });
        assert_eq!(zero, "image_size is 0, expected at least 8");
        let flat = error(PreprocessingOptions { std: Some([0.2, 0.0, 0.2]), ..Default::default() });
        assert!(flat.ends_with("expected numbers of at most 10000, and std above 0"), "{flat}");
    }
}
