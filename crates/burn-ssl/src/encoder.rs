//! Where a command takes its encoder from.

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ssl_core::{Encoder, Init};
use ssl_encoders::weights::{self, Metadata};
use ssl_encoders::{AnyEncoder, EncoderConfig};
use ssl_train::RunDir;

use crate::recipe::{Draft, RecipeName};
use crate::{Error, Recipe, classifier};

/// Where a command takes its encoder from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EncoderSource {
    /// The directory of a finished run, or of a classifier that `finetune` or `distill` wrote.
    Run(PathBuf),
    /// A file of weights: ours, torchvision's or timm's.
    Weights {
        /// The file.
        path: PathBuf,
        /// The network that it is for. Default: what the file says, which only ours does.
        config: Option<EncoderConfig>,
    },
    /// Nowhere: initial values from a seed, the same as those of a run with that seed.
    Untrained {
        /// The network.
        config: EncoderConfig,
        /// The seed.
        seed: u64,
    },
}

impl EncoderSource {
    /// The recipe of the run, where there is one.
    pub(crate) fn run_recipe(&self) -> Result<Option<Recipe>, Error> {
        match self.located() {
            Self::Run(path) => Ok(Some(Draft::of_run(&path)?.finish()?)),
            _ => Ok(None),
        }
    }

    /// The directory of the pretraining run, where there is one.
    pub(crate) fn run_dir(&self) -> Result<Option<RunDir>, Error> {
        match self.located() {
            Self::Run(path) => Ok(Some(RunDir::open(&path)?)),
            _ => Ok(None),
        }
    }

    /// A recipe that says how this encoder wants images of so many pixels: as the file of weights does, or as the usual
    /// recipe for such images.
    pub(crate) fn usual_recipe(&self, pixels: Option<usize>) -> Result<Recipe, Error> {
        let metadata = self.metadata()?;
        let pixels = metadata.as_ref().map(|metadata| metadata.image_size).or(pixels);
        let name = RecipeName::of_images(pixels.unwrap_or(usize::MAX)).map_or("", |recipe| recipe.as_str());
        let mut recipe = Recipe::named(name)?;
        if let Some(Metadata { image_size, mean, std, .. }) = metadata {
            recipe.data.image_size = image_size;
            (recipe.data.mean, recipe.data.std) = (mean.map(f64::from), std.map(f64::from));
        }
        Ok(recipe)
    }

    /// What the encoder is like.
    pub(crate) fn config(&self, recipe: &Recipe) -> Result<EncoderConfig, Error> {
        match self.located() {
            Self::Run(_) => Ok(recipe.encoder.clone()),
            Self::Weights { config: Some(config), .. } | Self::Untrained { config, .. } => Ok(config),
            Self::Weights { path, config: None } => match self.metadata()? {
                Some(metadata) => Ok(metadata.encoder),
                None => Err(Error::UnknownModel(path)),
            },
        }
    }

    /// The encoder for images of the recipe's size, on the given device.
    pub(crate) fn open(&self, recipe: &Recipe, device: &Device) -> Result<AnyEncoder, Error> {
        self.open_as(self.config(recipe)?, recipe.data.image_size, device)
    }

    /// [`open`](Self::open) with a configuration that has the same tensors.
    pub(crate) fn open_as(
        &self,
        config: EncoderConfig,
        size: usize,
        device: &Device,
    ) -> Result<AnyEncoder, Error> {
        let path = match self.located() {
            Self::Untrained { seed, .. } => return Ok(config.init(size, &mut Init::new(seed, device))?),
            Self::Run(path) => encoder_of_run(&path)?,
            Self::Weights { path, .. } => path,
        };
        // Where these weights started from does not matter any more.
        let config = EncoderConfig { init: None, ..config };
        Ok(weights::load(&path, config.init(size, &mut Init::new(0, device))?)?)
    }

    /// Fails if the encoder lies in a directory that is to be written.
    pub(crate) fn check_apart_from(&self, out: &Path) -> Result<(), Error> {
        match self {
            Self::Run(path) => classifier::check_apart(path, out),
            Self::Weights { path, .. } => {
                path.parent().map_or(Ok(()), |folder| classifier::check_apart(folder, out))
            }
            Self::Untrained { .. } => Ok(()),
        }
    }

    pub(crate) fn metadata(&self) -> Result<Option<Metadata>, Error> {
        match self.located() {
            Self::Weights { path, .. } => Ok(weights::read_metadata(&path)?),
            _ => Ok(None),
        }
    }

    /// The encoder of a directory that `finetune` or `distill` wrote is a file of weights that says all of itself.
    fn located(&self) -> Self {
        match self {
            Self::Run(path) if classifier::is_classifier(path) => {
                Self::Weights { path: path.join("encoder.safetensors"), config: None }
            }
            other => other.clone(),
        }
    }
}

impl fmt::Display for EncoderSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(path) => write!(f, "run {}", classifier::absolute(path).display()),
            Self::Weights { path, .. } => write!(f, "weights {}", classifier::absolute(path).display()),
            Self::Untrained { config, seed } => write!(f, "untrained {}, seed {seed}", config.name),
        }
    }
}

/// The encoder file of a finished run.
/// The encoder of a run of [`pretrain_encoder`](crate::pretrain_encoder), on a device without gradients.
///
/// `encoder` makes the network as it did for the run.
///
/// # Errors
/// A run that has not finished, and a network whose tensors are not those of the file.
pub fn load_encoder<E: Encoder>(
    run: &RunDir,
    encoder: impl FnOnce(&mut Init) -> E,
    device: &Device,
) -> Result<E, Error> {
    let file = run.encoder();
    if !file.is_file() {
        return Err(Error::NotFinished(run.path().into()));
    }
    Ok(weights::load(&file, encoder(&mut Init::new(0, device)))?)
}

fn encoder_of_run(path: &Path) -> Result<PathBuf, Error> {
    let file = RunDir::open(path)?.encoder();
    if file.is_file() { Ok(file) } else { Err(Error::NotFinished(path.into())) }
}
