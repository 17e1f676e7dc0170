//! Recipes: everything that determines a run, as a document.

mod did_you_mean;
mod draft;
mod error;
mod hash;
mod keys;
mod made_for;
mod resume;
mod upgrade;

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, Precision, limits};
use ssl_data::{
    EvalTransform, MAX_VIEW_SIZE, MAX_WORKERS, MaskConfig, Masks, Normalization, ViewConfig, Views,
};
use ssl_encoders::{EncoderConfig, MODELS, Preprocessing};
use ssl_eval::KnnConfig;
use ssl_train::{BatchConfig, CheckpointConfig, OptimizerConfig, ScheduleConfig, TrainConfig, TrainError};
use toml::Table;

pub use did_you_mean::DidYouMean;
pub use draft::{Draft, Value};
pub(crate) use draft::{difference, typed};
pub use error::RecipeError;
pub use hash::hash;
pub(crate) use hash::leaves;
pub use made_for::MadeFor;
pub(crate) use resume::{TEACHER, TEACHER_HASH, changeable};
pub(crate) use upgrade::upgrade;

use crate::methods::{Methods, options_of, with_options};
use crate::{images, preparation};

/// The smallest images, in pixels a side (our choice).
pub(crate) const SMALLEST: usize = 8;

/// Everything that determines a run, except the device: method, network, images, views, optimizer and schedule.
///
/// A [`Draft`] builds one. As text it is TOML; a run directory contains it with every key written out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name of the method, such as `simclr`.
    pub method: String,
    /// Seed of the initial weights, the order of the images, the views and the random choices of the method. Default 0.
    #[serde(default)]
    pub seed: u64,
    /// The format that convolutions and linear layers compute in, if the device supports it. Default: float32.
    #[serde(default)]
    pub precision: Precision,
    /// The network to pretrain.
    pub encoder: EncoderConfig,
    /// Options of the method: the fields of its configuration.
    #[serde(default)]
    pub method_options: Table,
    /// The images.
    pub data: DataConfig,
    /// The views made of each image.
    pub views: Vec<ViewConfig>,
    /// The patches of the views to hide, for methods that hide some. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<MaskConfig>,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// How the batch of a step is split to save memory. Default: not at all.
    #[serde(default)]
    pub train: BatchConfig,
    /// Length of the training and learning rates.
    pub schedule: ScheduleConfig,
    /// What its numbers were chosen for. Default: not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_for: Option<MadeFor>,
    /// k-NN and a linear classifier before, during and after training.
    #[serde(default)]
    pub eval: EvalConfig,
    /// When checkpoints are written.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
}

/// The images of a run: the `[data]` section of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Their path: anything that [`Dataset::open`](ssl_data::Dataset::open) recognises, or `demo:train` or `demo:test`.
    #[serde(default)]
    pub path: PathBuf,
    /// Use only this many images, taken from each class in turn if there are labels. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Width and height of evaluated images in pixels; views have sizes of their own.
    pub image_size: usize,
    /// Threads that decode and augment; 0, the default, means one per core. Results do not depend on it.
    #[serde(default)]
    pub workers: usize,
    /// Bytes that one image may take while it is decoded, its file included; each worker decodes one at a time. A larger
    /// image is unreadable. Default: [`MAX_IMAGE_BYTES`](ssl_data::MAX_IMAGE_BYTES), 2 GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_image_bytes: Option<usize>,
    /// Mean of each channel, of pixels from 0 to 1.
    pub mean: [f64; 3],
    /// Standard deviation of each channel.
    pub std: [f64; 3],
}

/// Evaluation during a run: the `[eval]` section of a recipe. There is none unless `test` is set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalConfig {
    /// The labelled bank. Default: the images of the run, where they have labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<PathBuf>,
    /// The labelled queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// Epochs between two evaluations; there is always one before the first step and one at the end. Default 10 (our
    /// choice).
    pub every_epochs: u64,
    /// Use only this many queries. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Neighbours that vote. Default 20 (DINO).
    pub k: usize,
    /// Temperature of their votes. Default 0.07 (DINO).
    pub temperature: f64,
    /// Whether a linear classifier is fitted too, in closed form: see [`ridge`](ssl_eval::ridge()). Default: yes.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub linear: bool,
}

impl Default for EvalConfig {
    fn default() -> Self {
        let KnnConfig { k, temperature } = KnnConfig::default();
        Self { train: None, test: None, every_epochs: 10, limit: None, k, temperature, linear: true }
    }
}

impl Recipe {
    /// The recipe with every key written out: defaults of the method's options, the stem that `auto` selects, absolute
    /// paths.
    ///
    /// # Errors
    /// The first value out of range.
    pub fn resolved_by(mut self, methods: &impl Methods) -> Result<Self, RecipeError> {
        self.method_options = methods.resolve(&self.method, &self.method_options)?;
        self.resolved_around_method()
    }

    /// [`resolved_by`](Self::resolved_by) for a method that the registry does not know, with its configuration: the defaults
    /// overridden by the options of the recipe. `encoder` is the name of a custom encoder, if there is one.
    pub(crate) fn resolved_with<C>(
        mut self,
        defaults: C,
        encoder: Option<&str>,
        methods: &impl Methods,
    ) -> Result<(Self, C), RecipeError>
    where
        C: Serialize + DeserializeOwned,
    {
        if methods.contains(&self.method) {
            return Err(RecipeError::NotFromOutside(self.method));
        }
        let config = with_options(defaults, &self.method_options)?;
        self.method_options = options_of(&config)?;
        let resolved = match encoder {
            Some(name) => self.resolved_around_encoder(name),
            None => self.resolved_around_method(),
        };
        Ok((resolved?, config))
    }

    /// [`resolved_by`](Self::resolved_by) for a custom encoder, under the name `name`.
    pub(crate) fn resolved_for_encoder(
        mut self,
        name: &str,
        methods: &impl Methods,
    ) -> Result<Self, RecipeError> {
        self.method_options = methods.resolve(&self.method, &self.method_options)?;
        self.resolved_around_encoder(name)
    }

    /// Every key but the method's, with a custom encoder.
    fn resolved_around_encoder(mut self, name: &str) -> Result<Self, RecipeError> {
        let is_ours = MODELS.iter().any(|model| model.name == name);
        ConfigError::check(!is_ours, "encoder.name", format!("'{name}'"), "a name that no model here has")?;
        self.encoder = EncoderConfig::named(name);
        self.with_paths().checked_around_encoder()
    }

    /// Every key but the method's.
    fn resolved_around_method(mut self) -> Result<Self, RecipeError> {
        self.encoder = self.encoder.resolved(self.data.image_size);
        let recipe = self.with_paths();
        let size = recipe.data.image_size;
        recipe.encoder.validate(size)?;
        for view in &recipe.views {
            recipe.encoder.check_view(size, view.size)?;
        }
        recipe.checked_around_encoder()
    }

    /// The recipe with absolute paths.
    fn with_paths(mut self) -> Self {
        let given = [
            Some(&mut self.data.path),
            self.eval.train.as_mut(),
            self.eval.test.as_mut(),
            self.encoder.init.as_mut(),
        ];
        for path in given.into_iter().flatten().filter(|path| !images::is_rendered(path)) {
            // An empty path stays empty: built-in recipes name no images.
            *path = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        }
        self
    }

    /// The recipe as TOML.
    ///
    /// # Errors
    /// If TOML cannot hold a value: a seed above 2⁶³, a path that is not Unicode.
    pub fn to_toml(&self) -> Result<String, RecipeError> {
        toml::to_string(self).map_err(|error| RecipeError::NoText(error.to_string()))
    }

    /// A [`hash`] of everything that determines the final weights on given images: all keys except paths, threads,
    /// evaluation and checkpoints.
    pub fn hash(&self) -> String {
        let mut recipe = self.clone();
        recipe.data.path = PathBuf::new();
        recipe.encoder.init = recipe.encoder.init.and_then(|path| Some(path.file_name()?.into()));
        hash(&recipe.deciding())
    }

    /// The views that the recipe declares.
    ///
    /// # Errors
    /// The first view that cannot be rendered.
    pub fn views(&self) -> Result<Views, RecipeError> {
        Ok(Views::new(&self.views, self.data.normalization())?)
    }

    /// The masks that it declares, for the patches of its encoder; none without a section `[mask]`.
    ///
    /// # Errors
    /// If the encoder has no patches, or the masks do not fit the views.
    pub fn masks(&self) -> Result<Option<Masks>, crate::Error> {
        let Some(config) = &self.mask else { return Ok(None) };
        let encoder = &self.encoder;
        let patch = encoder.patch_pixels().ok_or_else(|| TrainError::Tokens(encoder.name.clone()))?;
        let views = self.views()?;
        let grids: Vec<_> = (0..views.len()).map(|view| [views.size(view) / patch; 2]).collect();
        Ok(Some(Masks::new(config.clone(), &grids).map_err(RecipeError::from)?))
    }

    /// The configuration of the trainer.
    pub fn train_config(&self) -> TrainConfig {
        TrainConfig {
            seed: self.seed,
            precision: self.precision,
            batch: self.train.clone(),
            optimizer: self.optimizer.clone(),
            schedule: self.schedule.clone(),
            checkpoint: self.checkpoint.clone(),
            log_every: 0,
            eval_every_epochs: self.eval.every_epochs,
        }
    }

    /// The configuration of k-NN.
    pub fn knn_config(&self) -> KnnConfig {
        KnnConfig { k: self.eval.k, temperature: self.eval.temperature }
    }

    fn checked_around_encoder(self) -> Result<Self, RecipeError> {
        let size = self.data.image_size;
        let expected = "at least 8: the smallest that methods are used with have 28 pixels";
        ConfigError::check(size >= SMALLEST, "data.image_size", size, expected)?;
        check_largest("data.image_size", size)?;
        for (field, limit) in [("data.limit", self.data.limit), ("eval.limit", self.eval.limit)] {
            limit.map_or(Ok(()), |limit| limits::images(field, limit))?;
        }
        images::check_bytes("data.max_image_bytes", self.data.max_image_bytes)?;
        limits::neighbours("eval.k", self.eval.k)?;
        limits::temperature("eval.temperature", self.eval.temperature)?;
        let expected = "at most 1024: threads beyond one per core make nothing faster";
        ConfigError::check(self.data.workers <= MAX_WORKERS, "data.workers", self.data.workers, expected)?;
        self.views()?;
        self.made_for.map_or(Ok(()), |made_for| made_for.validate())?;
        self.check_layer_decay()?;
        self.check_batch()?;
        Ok(self)
    }

    /// Checks the size of a batch and how it is cut, with the rest of what the trainer is told.
    ///
    /// # Errors
    /// The first value that does not fit.
    pub(crate) fn check_batch(&self) -> Result<(), RecipeError> {
        let config = self.train_config();
        config.validate()?;
        self.check_splits(config.pass())
    }

    /// Checks what only new runs must meet: a run of an earlier version that does not is still resumed.
    ///
    /// # Errors
    /// If the warm-up is longer than the run.
    pub fn check_new(&self) -> Result<(), ConfigError> {
        let (warmup, epochs) = (self.schedule.warmup_epochs, self.schedule.epochs);
        let expected = "at most schedule.epochs, or the rate never reaches its peak";
        let found = format!("{warmup} of {epochs}");
        ConfigError::check(warmup <= epochs as f64, "schedule.warmup_epochs", found, expected)
    }

    /// Layer-wise decay needs the numbered blocks of a ViT.
    fn check_layer_decay(&self) -> Result<(), RecipeError> {
        let Some(decay) = self.optimizer.layer_decay.filter(|_| !self.encoder.is_vit()) else {
            return Ok(());
        };
        let found = format!("{decay} for {}", self.encoder.name);
        let expected = "no such key: only the layers of a ViT have rates of their own";
        Ok(ConfigError::check(false, "optimizer.layer_decay", found, expected)?)
    }

    /// Each group of a split batch norm needs several images to compute statistics.
    fn check_splits(&self, batch: usize) -> Result<(), RecipeError> {
        let splits = self.encoder.bn_splits;
        let fits = splits == 1 || (batch.is_multiple_of(splits) && batch / splits > 1);
        let found = format!("{splits} for batches of {batch} images");
        let expected = "1, or a divisor of the batch that leaves every group 2 images or more";
        Ok(ConfigError::check(fits, "encoder.bn_splits", found, expected)?)
    }

    /// Checks that a split batch norm works on what each of `processes` has of a batch, which they can share.
    ///
    /// # Errors
    /// If it cannot be split, or a group would have too few images.
    pub(crate) fn check_splits_of_share(&self, processes: usize) -> Result<(), RecipeError> {
        let (config, splits) = (self.train_config(), self.encoder.bn_splits);
        if processes < 2 || splits < 2 {
            return Ok(());
        }
        let share = config.micro_batch() / processes;
        // The last chunk has what the others leave.
        let chunk = config.batch.embed_chunk.unwrap_or(share).clamp(1, share.max(1));
        let rest = share % chunk;
        let least = if rest > 0 { rest } else { chunk };
        // Synchronised batch norm adds the groups of the other processes.
        let (synced, divides) =
            (config.batch.sync_bn, least.is_multiple_of(splits) && chunk.is_multiple_of(splits));
        let fits = divides && (synced || least / splits > 1);
        let found =
            format!("{splits} for the {least} images that each of {processes} processes has at a time");
        let expected = match synced {
            true => "1, or a divisor of these images",
            false => "1, or a divisor of these images that leaves every group 2 or more",
        };
        Ok(ConfigError::check(fits, "encoder.bn_splits", found, expected)?)
    }
}

/// Checks that images of `size` pixels a side are not too large.
pub(crate) fn check_largest(field: &'static str, size: usize) -> Result<(), ConfigError> {
    let expected = "at most 8192: published networks see up to 1024 pixels";
    ConfigError::check(size <= MAX_VIEW_SIZE, field, size, expected)
}

impl DataConfig {
    /// Mean and standard deviation of the channels.
    pub fn normalization(&self) -> Normalization {
        Normalization { mean: self.mean.map(|value| value as f32), std: self.std.map(|value| value as f32) }
    }

    /// How images are prepared for the encoder of the recipe.
    pub fn preprocessing(&self) -> Preprocessing {
        let Normalization { mean, std } = self.normalization();
        Preprocessing::new(self.image_size).with_normalization(mean, std)
    }

    /// The transform of evaluated images.
    ///
    /// # Errors
    /// If a size is 0, or a standard deviation is not above 0.
    pub fn eval_transform(&self) -> Result<EvalTransform, RecipeError> {
        Ok(preparation::eval_transform(&self.preprocessing())?)
    }

    /// Threads to decode with.
    pub fn worker_threads(&self) -> usize {
        preparation::worker_threads(self.workers)
    }
}

#[cfg(test)]
mod tests {
    use crate::methods::testing::recipe;

    #[test]
    fn every_process_has_enough_images_for_the_groups_of_a_split_batch_norm() {
        let fits = |batch: usize, processes: usize, sync: bool, chunk: Option<usize>| {
            let mut recipe = recipe("simclr/cifar10");
            (recipe.encoder.bn_splits, recipe.schedule.batch_size) = (8, batch);
            (recipe.train.sync_bn, recipe.train.embed_chunk) = (sync, chunk);
            recipe.check_splits_of_share(processes).map_err(|error| error.to_string())
        };
        assert_eq!(fits(8, 1, false, None), Ok(()), "of one process, the batch is checked elsewhere");
        assert_eq!(fits(256, 16, false, None), Ok(()));
        assert_eq!(fits(256, 32, true, None), Ok(()), "32 groups of one image each are one of 32");
        let refused = |images: usize, processes: usize, most: &str| {
            Err::<(), _>(format!(
                "encoder.bn_splits is 8 for the {images} images that each of {processes} processes has at a time, \
                 expected 1, or a divisor of these images{most}"
            ))
        };
        let more = " that leaves every group 2 or more";
        assert_eq!(fits(256, 32, false, None), refused(8, 32, more));
        assert_eq!(fits(160, 8, false, None), refused(20, 8, more));
        assert_eq!(fits(256, 64, true, None), refused(4, 64, ""));
        assert_eq!(fits(320, 8, false, Some(64)), Ok(()), "40 images are 5 in a group");
        assert_eq!(fits(320, 8, false, Some(32)), refused(8, 8, more), "the last chunk has 8 of 40");
    }
}
