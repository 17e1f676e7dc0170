//! Recipes: everything that decides a run, as a document.

mod draft;
mod error;
mod hash;
mod name;
mod upgrade;

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, Precision};
use ssl_data::{EvalTransform, MaskConfig, Normalization, ViewConfig, Views};
use ssl_encoders::{EncoderConfig, MODELS, Preprocessing};
use ssl_eval::KnnConfig;
use ssl_train::{BatchConfig, CheckpointConfig, OptimizerConfig, ScheduleConfig, TrainConfig};
use toml::Table;

pub use draft::{Draft, Value};
pub(crate) use draft::{difference, typed};
pub use error::RecipeError;
pub use hash::hash;
pub use name::RecipeName;
pub(crate) use upgrade::upgrade;

use crate::{images, preparation, registry};

/// Everything that decides a run but the device: what is learned, from which images, how and for how long.
///
/// Made from a file by [`Recipe::named`] or a [`Draft`]; its text form is TOML, and a run directory holds it with every
/// key written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name of the method, see [`METHODS`](crate::registry::METHODS).
    pub method: String,
    /// Seed of the initial weights, the order of the images, their views and the random choices of the method. Default 0.
    #[serde(default)]
    pub seed: u64,
    /// What convolutions and linear layers compute in, where the device can. Default float32.
    #[serde(default)]
    pub precision: Precision,
    /// The network that is pretrained.
    pub encoder: EncoderConfig,
    /// Options of the method: the fields of its configuration.
    #[serde(default)]
    pub method_options: Table,
    /// The images.
    pub data: DataConfig,
    /// What is made of each image.
    pub views: Vec<ViewConfig>,
    /// Which patches of the views are hidden, for methods that hide some. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<MaskConfig>,
    /// How weights change.
    pub optimizer: OptimizerConfig,
    /// How the batch of a step passes the network. Default: whole.
    #[serde(default)]
    pub train: BatchConfig,
    /// For how long, and at which rates.
    pub schedule: ScheduleConfig,
    /// k-NN before, during and after training.
    #[serde(default)]
    pub eval: EvalConfig,
    /// When the state of the run is saved.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
}

/// The images of a run: the `[data]` section of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Where they are: whatever [`Dataset::open`](ssl_data::Dataset::open) recognises, or `demo:train`, `demo:test`.
    #[serde(default)]
    pub path: PathBuf,
    /// Keep only so many, for quick runs: class by class in turn where there are labels. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Width and height in pixels of the images that are evaluated; views have their own.
    pub image_size: usize,
    /// Threads that decode and augment; 0, the default, stands for one per core. Results do not depend on it.
    #[serde(default)]
    pub workers: usize,
    /// Mean of each channel, of pixels from 0 to 1.
    pub mean: [f64; 3],
    /// Standard deviation of each channel.
    pub std: [f64; 3],
}

/// Online evaluation: the `[eval]` section of a recipe. It takes place if `test` is given.
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
    /// Keep only so many queries. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Neighbours that vote. Default 20 (DINO).
    pub k: usize,
    /// Temperature of their votes. Default 0.07 (DINO).
    pub temperature: f64,
}

impl Default for EvalConfig {
    fn default() -> Self {
        let KnnConfig { k, temperature } = KnnConfig::default();
        Self { train: None, test: None, every_epochs: 10, limit: None, k, temperature }
    }
}

impl Recipe {
    /// A recipe of the library, such as `simclr/cifar10`; [`RecipeName::all`] lists them.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn named(name: &str) -> Result<Self, RecipeError> {
        Draft::named(name)?.finish()
    }

    /// The recipe with every key written: the defaults of the method's options, the stem that `auto` stands for, paths
    /// that mean the same in every folder.
    ///
    /// # Errors
    /// The first value that no run could use.
    pub fn resolved(mut self) -> Result<Self, RecipeError> {
        self.method_options = registry::resolve_options(&self.method, &self.method_options)?;
        self.resolved_around_method()
    }

    /// [`resolved`](Self::resolved) for a method that the registry does not know, and its configuration: the defaults
    /// with the options of the recipe.
    pub(crate) fn resolved_with<C>(mut self, defaults: C) -> Result<(Self, C), RecipeError>
    where
        C: Serialize + DeserializeOwned,
    {
        if registry::method(&self.method).is_ok() {
            return Err(RecipeError::NotFromOutside(self.method));
        }
        let config = registry::with_defaults(defaults, &self.method_options)?;
        self.method_options = registry::table(&config)?;
        Ok((self.resolved_around_method()?, config))
    }

    /// Every key but the method's.
    /// [`resolved`](Self::resolved) for an encoder of the caller's, which the recipe names `name`.
    pub(crate) fn resolved_for_encoder(mut self, name: &str) -> Result<Self, RecipeError> {
        self.method_options = registry::resolve_options(&self.method, &self.method_options)?;
        let is_ours = MODELS.iter().any(|model| model.name == name);
        ConfigError::check(!is_ours, "encoder.name", format!("'{name}'"), "a name that no model here has")?;
        self.encoder = EncoderConfig::named(name);
        self.with_paths().checked_around_encoder()
    }

    fn resolved_around_method(mut self) -> Result<Self, RecipeError> {
        self.encoder = self.encoder.resolved(self.data.image_size);
        let recipe = self.with_paths();
        recipe.encoder.validate(recipe.data.image_size)?;
        recipe.checked_around_encoder()
    }

    /// The recipe with paths that mean the same in every folder.
    fn with_paths(mut self) -> Self {
        let given = [
            Some(&mut self.data.path),
            self.eval.train.as_mut(),
            self.eval.test.as_mut(),
            self.encoder.init.as_mut(),
        ];
        for path in given.into_iter().flatten().filter(|path| !images::is_rendered(path)) {
            // An empty path stays empty: a recipe of the library names no images.
            *path = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        }
        self
    }

    /// The recipe as TOML.
    ///
    /// # Errors
    /// If a value has no place in TOML: a seed above 2⁶³, a path that is not Unicode.
    pub fn to_toml(&self) -> Result<String, RecipeError> {
        toml::to_string(self).map_err(|error| RecipeError::NoText(error.to_string()))
    }

    /// A [`hash`] of what decides the weights that a run ends with, on the same images: everything but the folders of files,
    /// threads, evaluation and checkpoints.
    pub fn hash(&self) -> String {
        let mut recipe = self.clone();
        recipe.data.path = PathBuf::new();
        recipe.encoder.init = recipe.encoder.init.and_then(|path| Some(path.file_name()?.into()));
        hash(&Draft::deciding(&recipe))
    }

    /// The views that it declares.
    ///
    /// # Errors
    /// The first declaration that cannot be rendered.
    pub fn views(&self) -> Result<Views, RecipeError> {
        Ok(Views::new(&self.views, self.data.normalization())?)
    }

    /// What the trainer needs of it.
    pub fn train_config(&self) -> TrainConfig {
        TrainConfig {
            seed: self.seed,
            precision: self.precision,
            batch: self.train.clone(),
            optimizer: self.optimizer.clone(),
            schedule: self.schedule.clone(),
            checkpoint: self.checkpoint.clone(),
            sync_batch_norm: false,
            log_every: 0,
            eval_every_epochs: self.eval.every_epochs,
        }
    }

    /// What k-NN needs of it.
    pub fn knn_config(&self) -> KnnConfig {
        KnnConfig { k: self.eval.k, temperature: self.eval.temperature }
    }

    fn checked_around_encoder(self) -> Result<Self, RecipeError> {
        let size = self.data.image_size;
        ConfigError::check(size > 0, "data.image_size", size, "at least 1")?;
        ConfigError::check(self.data.limit != Some(0), "data.limit", 0, "at least 1")?;
        ConfigError::check(self.eval.limit != Some(0), "eval.limit", 0, "at least 1")?;
        ConfigError::check(self.eval.k > 0, "eval.k", 0, "at least 1")?;
        let t = self.eval.temperature;
        ConfigError::check(t > 0.0 && t.is_finite(), "eval.temperature", t, "a number above 0")?;
        self.views()?;
        let config = self.train_config();
        config.validate()?;
        self.check_layer_decay()?;
        self.check_splits(config.pass())?;
        Ok(self)
    }

    /// Only a ViT has layers that its parameters name.
    fn check_layer_decay(&self) -> Result<(), RecipeError> {
        let Some(decay) = self.optimizer.layer_decay.filter(|_| !self.encoder.is_vit()) else {
            return Ok(());
        };
        let found = format!("{decay} for {}", self.encoder.name);
        let expected = "no such key: only the layers of a ViT have rates of their own";
        Ok(ConfigError::check(false, "optimizer.layer_decay", found, expected)?)
    }

    /// Every group of the encoder's batch norm needs several images to have statistics of.
    fn check_splits(&self, batch: usize) -> Result<(), RecipeError> {
        let splits = self.encoder.bn_splits;
        let fits = splits == 1 || (batch.is_multiple_of(splits) && batch / splits > 1);
        let found = format!("{splits} for batches of {batch} images");
        let expected = "1, or a divisor of the batch that leaves every group 2 images or more";
        Ok(ConfigError::check(fits, "encoder.bn_splits", found, expected)?)
    }
}

impl DataConfig {
    /// Mean and standard deviation of the channels.
    pub fn normalization(&self) -> Normalization {
        Normalization { mean: self.mean.map(|value| value as f32), std: self.std.map(|value| value as f32) }
    }

    /// What an encoder of the recipe wants its images to be like.
    pub fn preprocessing(&self) -> Preprocessing {
        let Normalization { mean, std } = self.normalization();
        Preprocessing::new(self.image_size).with_normalization(mean, std)
    }

    /// The view of evaluated images.
    ///
    /// # Errors
    /// A size of 0 or a standard deviation that is not above 0.
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
    use super::*;

    #[test]
    fn every_recipe_of_the_library_is_usable_and_survives_its_text() {
        for name in RecipeName::all() {
            let recipe = Recipe::named(name.as_str()).unwrap_or_else(|error| panic!("{name}: {error}"));
            let resolved = recipe.resolved().unwrap_or_else(|error| panic!("{name}: {error}"));
            let again = resolved.to_toml().and_then(|text| Draft::parse("its text", &text)?.finish());
            assert_eq!(again.as_ref(), Ok(&resolved), "{name}");
        }
    }

    #[test]
    fn a_resolved_recipe_has_every_key() {
        let recipe = Recipe::named("simclr/cifar10").and_then(Recipe::resolved).expect("usable");
        let text = recipe.to_toml().expect("numbers and names");
        for key in [
            "seed",
            "precision",
            "stem",
            "hidden_dim",
            "workers",
            "nesterov",
            "accumulate",
            "lr_end",
            "every_epochs",
            "keep",
        ] {
            assert!(text.lines().any(|line| line.starts_with(&format!("{key} = "))), "no {key} in\n{text}");
        }
    }

    #[test]
    fn the_hash_is_of_what_decides_the_weights() {
        let hash = |change: fn(&mut Recipe)| {
            let mut recipe = Recipe::named("simclr/cifar10").and_then(Recipe::resolved).expect("usable");
            change(&mut recipe);
            recipe.hash()
        };
        let same = hash(|_| ());
        assert_eq!(same, hash(|r| r.data.path = "/elsewhere/photos".into()));
        assert_eq!(same, hash(|r| r.data.workers = 3));
        assert_eq!(same, hash(|r| r.eval.k = 3));
        assert_eq!(same, hash(|r| r.checkpoint.keep = 3));
        assert_ne!(same, hash(|r| r.seed = 1));
        assert_ne!(same, hash(|r| r.schedule.epochs += 1));
        let [here, there, other] = [
            hash(|r| r.encoder.init = Some("/here/a.safetensors".into())),
            hash(|r| r.encoder.init = Some("/there/a.safetensors".into())),
            hash(|r| r.encoder.init = Some("/here/b.safetensors".into())),
        ];
        assert!(here == there && here != other && here != same, "{here} {there} {other}");
    }

    #[test]
    fn paths_of_a_resolved_recipe_mean_the_same_in_every_folder() {
        let mut recipe = Recipe::named("demo").expect("a recipe of the library");
        recipe.eval.train = Some("photos".into());
        let recipe = recipe.resolved().expect("usable");
        assert!(recipe.eval.train.is_some_and(|path| path.is_absolute() && path.ends_with("photos")));
        assert_eq!(recipe.data.path, PathBuf::from("demo:train"));
    }

    #[test]
    fn unusable_values_are_named_by_their_key() {
        let error = |change: fn(&mut Recipe)| {
            let mut recipe = Recipe::named("simclr/cifar10").expect("a recipe of the library");
            change(&mut recipe);
            recipe.resolved().expect_err("unusable").to_string()
        };
        assert_eq!(error(|r| r.data.image_size = 0), "data.image_size is 0, expected at least 1");
        assert_eq!(error(|r| r.eval.k = 0), "eval.k is 0, expected at least 1");
        assert!(
            error(|r| r.schedule.batch_size = 1).starts_with("schedule.batch_size is 1, expected at least 2")
        );
        assert!(error(|r| r.optimizer.lr = -1.0).starts_with("optimizer.lr is -1"));
        let layers = error(|r| r.optimizer.layer_decay = Some(0.75));
        assert!(
            layers.starts_with("optimizer.layer_decay is 0.75 for resnet18, expected no such key"),
            "{layers}"
        );
        assert!(error(|r| r.views.clear()).contains("no views"));
        let splits = |batch| {
            let mut recipe = Recipe::named("simclr/cifar10").expect("a recipe of the library");
            (recipe.encoder.bn_splits, recipe.schedule.batch_size) = (8, batch);
            recipe.resolved().map(|_| ()).map_err(|error| error.to_string())
        };
        let expected = "1, or a divisor of the batch that leaves every group 2 images or more";
        for batch in [8, 12] {
            let found = format!("encoder.bn_splits is 8 for batches of {batch} images, expected {expected}");
            assert_eq!(splits(batch), Err(found));
        }
        assert_eq!(splits(16), Ok(()));
        assert!(
            error(|r| (r.encoder.bn_splits, r.train.embed_chunk) = (8, Some(8))).contains("batches of 8")
        );
    }
}
