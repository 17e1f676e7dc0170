//! Where a command takes its encoder from.

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ssl_core::{Encoder, Init};
use ssl_encoders::{AnyEncoder, Artifact, EncoderConfig, weights};
use ssl_train::RunDir;

use crate::recipe::Draft;
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
        match self {
            Self::Run(path) if !classifier::is_classifier(path) => Ok(Some(Draft::of_run(path)?.finish()?)),
            _ => Ok(None),
        }
    }

    /// The directory of the pretraining run, where there is one.
    pub(crate) fn run_dir(&self) -> Result<Option<RunDir>, Error> {
        match self {
            Self::Run(path) if !classifier::is_classifier(path) => Ok(Some(RunDir::open(path)?)),
            _ => Ok(None),
        }
    }

    /// What the encoder's file says of it; none for an untrained encoder and for files that others wrote.
    pub(crate) fn artifact(&self) -> Result<Option<Artifact>, Error> {
        match self.file()? {
            Some(path) => Ok(Artifact::read(&path)?),
            None => Ok(None),
        }
    }

    /// What the encoder is like.
    pub(crate) fn config(&self) -> Result<EncoderConfig, Error> {
        match self {
            Self::Weights { config: Some(config), .. } | Self::Untrained { config, .. } => Ok(config.clone()),
            Self::Weights { path, config: None } | Self::Run(path) => match self.artifact()? {
                Some(artifact) => Ok(artifact.encoder),
                None => Err(Error::UnknownModel(path.clone())),
            },
        }
    }

    /// The encoder for images of `size` pixels, on the given device.
    pub(crate) fn open(&self, size: usize, device: &Device) -> Result<AnyEncoder, Error> {
        self.open_as(self.config()?, size, device)
    }

    /// [`open`](Self::open) with a configuration that has the same tensors.
    pub(crate) fn open_as(
        &self,
        config: EncoderConfig,
        size: usize,
        device: &Device,
    ) -> Result<AnyEncoder, Error> {
        let seed = if let Self::Untrained { seed, .. } = self { *seed } else { 0 };
        let mut init = Init::new(seed, device);
        let Some(file) = self.file()? else { return Ok(config.init(size, &mut init)?) };
        // Where these weights started from does not matter any more.
        let config = EncoderConfig { init: None, ..config };
        Ok(weights::load(&file, config.init(size, &mut init)?)?)
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

    /// The file that the encoder is in; none for an untrained one.
    fn file(&self) -> Result<Option<PathBuf>, Error> {
        match self {
            Self::Run(path) => encoder_of_run(path).map(Some),
            Self::Weights { path, .. } => Ok(Some(path.clone())),
            Self::Untrained { .. } => Ok(None),
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

/// The encoder file of a finished run, or of a classifier that `finetune` or `distill` wrote.
fn encoder_of_run(path: &Path) -> Result<PathBuf, Error> {
    let run =
        if classifier::is_classifier(path) { RunDir::open_classifier(path) } else { RunDir::open(path) };
    let file = run?.encoder();
    if file.is_file() { Ok(file) } else { Err(Error::NotFinished(path.into())) }
}
