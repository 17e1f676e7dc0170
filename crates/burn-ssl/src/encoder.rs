//! Where a command takes its encoder from.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ssl_core::Init;
use ssl_encoders::weights::{self, Metadata};
use ssl_encoders::{AnyEncoder, EncoderConfig};
use ssl_train::RunDir;

use crate::recipe::{Draft, RecipeName};
use crate::{Error, Recipe};

/// Where a command takes its encoder from.
#[derive(Clone, Debug, PartialEq)]
pub enum EncoderSource {
    /// The directory of a finished run.
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
        match self {
            Self::Run(path) => Ok(Some(Draft::of_run(path)?.finish()?)),
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

    /// The encoder for images of the recipe's size, on the device without gradients.
    pub(crate) fn open(&self, recipe: &Recipe, device: &Device) -> Result<AnyEncoder, Error> {
        let size = recipe.data.image_size;
        let weights_of = |path: &Path, config: &EncoderConfig| {
            // Where these weights started from does not matter any more.
            let config = EncoderConfig { init: None, ..config.clone() };
            Ok(weights::load(path, config.init(size, &mut Init::new(0, device))?)?)
        };
        match self {
            Self::Run(path) => weights_of(&encoder_of_run(path)?, &recipe.encoder),
            Self::Weights { path, config: Some(config) } => weights_of(path, config),
            Self::Weights { path, config: None } => match self.metadata()? {
                Some(metadata) => weights_of(path, &metadata.encoder),
                None => Err(Error::UnknownModel(path.clone())),
            },
            Self::Untrained { config, seed } => Ok(config.init(size, &mut Init::new(*seed, device))?),
        }
    }

    fn metadata(&self) -> Result<Option<Metadata>, Error> {
        match self {
            Self::Weights { path, .. } => Ok(weights::read_metadata(path)?),
            _ => Ok(None),
        }
    }
}

/// The encoder file of a finished run.
fn encoder_of_run(path: &Path) -> Result<PathBuf, Error> {
    let file = RunDir::open(path)?.encoder();
    if file.is_file() { Ok(file) } else { Err(Error::NotFinished(path.into())) }
}
