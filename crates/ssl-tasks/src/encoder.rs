//! Where the encoder of a command comes from.

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ssl_core::{Encoder, Init};
use ssl_encoders::{AnyEncoder, Artifact, EncoderConfig, weights};
use ssl_train::RunDir;

use crate::recipe::Draft;
use crate::{Error, Recipe, classifier};

/// Where the encoder of a command comes from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EncoderSource {
    /// The directory of a finished run, or of a fine-tuned or distilled classifier.
    Run(PathBuf),
    /// A file of weights: ours, torchvision's or timm's.
    Weights {
        /// The file.
        path: PathBuf,
        /// The network. Default: what the file says; only ours do.
        config: Option<EncoderConfig>,
    },
    /// An untrained network: the initial values of a run with that seed.
    Untrained {
        /// The network.
        config: EncoderConfig,
        /// The seed.
        seed: u64,
    },
}

impl EncoderSource {
    /// The recipe of the run, if the encoder comes from one.
    pub(crate) fn run_recipe(&self) -> Result<Option<Recipe>, Error> {
        match self {
            Self::Run(path) if !classifier::is_classifier(path) => Ok(Some(Draft::of_run(path)?.finish()?)),
            _ => Ok(None),
        }
    }

    /// The directory of the pretraining run, if the encoder comes from one.
    pub(crate) fn run_dir(&self) -> Result<Option<RunDir>, Error> {
        match self {
            Self::Run(path) if !classifier::is_classifier(path) => Ok(Some(RunDir::open(path)?)),
            _ => Ok(None),
        }
    }

    /// The description in the encoder's file; none for untrained encoders and files of other libraries.
    pub(crate) fn artifact(&self) -> Result<Option<Artifact>, Error> {
        match self.file()? {
            Some(path) => Ok(Artifact::read(&path)?),
            None => Ok(None),
        }
    }

    /// The configuration of the encoder.
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
        // These weights replace whatever the run started from.
        let config = EncoderConfig { init: None, ..config };
        Ok(weights::load(&file, config.init(size, &mut init)?)?)
    }

    /// Fails if the encoder is in the directory that is to be written.
    pub(crate) fn check_apart_from(&self, out: &Path) -> Result<(), Error> {
        match self {
            Self::Run(path) => classifier::check_apart(path, out),
            Self::Weights { path, .. } => {
                path.parent().map_or(Ok(()), |folder| classifier::check_apart(folder, out))
            }
            Self::Untrained { .. } => Ok(()),
        }
    }

    /// The file of the encoder; none for an untrained one.
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
/// `encoder` builds the network, as it did for the run.
///
/// # Errors
/// If the run is not finished, or the network does not have the tensors of the file.
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

/// The encoder file of a finished run, or of a fine-tuned or distilled classifier.
fn encoder_of_run(path: &Path) -> Result<PathBuf, Error> {
    let run =
        if classifier::is_classifier(path) { RunDir::open_classifier(path) } else { RunDir::open(path) };
    let file = run?.encoder();
    if file.is_file() { Ok(file) } else { Err(Error::NotFinished(path.into())) }
}
