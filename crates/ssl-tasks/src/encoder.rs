//! Where the encoder of a command comes from.

mod found;
mod summary;

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ssl_core::{Encoder, Init};
use ssl_encoders::{AnyEncoder, EncoderConfig, weights};
use ssl_train::RunDir;
use tracing::info;

pub(crate) use found::FoundEncoder;
pub use summary::{EncoderOrigin, EncoderSummary};

use crate::methods::Methods;
use crate::recipe::Draft;
use crate::{Error, Recipe, classifier, files, images};

/// Where the encoder of a command comes from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EncoderSource {
    /// The directory of a run, or of a fine-tuned or distilled classifier. Of a run that is not finished, the encoder is that
    /// of the newest intact checkpoint.
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
    /// The network of a run, or of a fine-tuned or distilled classifier, without its training.
    UntrainedRun {
        /// The directory. Images are prepared as its record says.
        run: PathBuf,
        /// The seed of the initial values.
        seed: u64,
    },
}

impl EncoderSource {
    /// The recipe of the run, if the encoder comes from one.
    pub(crate) fn run_recipe(&self) -> Result<Option<Recipe>, Error> {
        match self {
            Self::Run(path) | Self::UntrainedRun { run: path, .. } if !classifier::is_classifier(path) => {
                Ok(Some(Draft::record(path)?))
            }
            _ => Ok(None),
        }
    }

    /// Bytes that one image may take: as asked for, else as in the recipe of the run. `None` leaves it to the default.
    pub(crate) fn max_image_bytes(&self, asked: Option<usize>) -> Result<Option<usize>, Error> {
        images::check_bytes("max_image_bytes", asked)?;
        match asked {
            Some(bytes) => Ok(Some(bytes)),
            None => Ok(self.run_recipe()?.and_then(|recipe| recipe.data.max_image_bytes)),
        }
    }

    /// The directory of the pretraining run, if the encoder comes from one.
    pub(crate) fn run_dir(&self) -> Result<Option<RunDir>, Error> {
        match self {
            Self::Run(path) if !classifier::is_classifier(path) => Ok(Some(RunDir::open(path)?)),
            _ => Ok(None),
        }
    }

    /// Finds the encoder. Of a run that is not finished, it is that of the newest intact checkpoint.
    pub(crate) fn find(&self, methods: &impl Methods) -> Result<FoundEncoder, Error> {
        FoundEncoder::of(self, methods)
    }

    /// Fails if a file that is to be written is one that the encoder is read from, or that its run wrote.
    pub(crate) fn check_kept(&self, out: &Path) -> Result<(), Error> {
        match self {
            Self::Run(path) | Self::UntrainedRun { run: path, .. } => files::check_not_own(out, path),
            Self::Weights { path, .. } if is_same_file(path, out) => Err(Error::OwnFile(out.into())),
            Self::Weights { .. } | Self::Untrained { .. } => Ok(()),
        }
    }

    /// Fails if the encoder is in the directory that is to be written.
    pub(crate) fn check_apart_from(&self, out: &Path) -> Result<(), Error> {
        match self {
            Self::Run(path) | Self::UntrainedRun { run: path, .. } => classifier::check_apart(path, out),
            Self::Weights { path, .. } => {
                path.parent().map_or(Ok(()), |folder| classifier::check_apart(folder, out))
            }
            Self::Untrained { .. } => Ok(()),
        }
    }
}

impl fmt::Display for EncoderSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(path) => write!(f, "run {}", classifier::absolute(path).display()),
            Self::Weights { path, .. } => write!(f, "weights {}", classifier::absolute(path).display()),
            Self::Untrained { config, seed } => write!(f, "untrained {}, seed {seed}", config.name),
            Self::UntrainedRun { run, seed } => {
                write!(f, "untrained network of run {}, seed {seed}", classifier::absolute(run).display())
            }
        }
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// The initial encoder of a training, on the device of `init`. Logs what was loaded, if it starts from a file.
pub(crate) fn initial(config: &EncoderConfig, size: usize, init: &mut Init) -> Result<AnyEncoder, Error> {
    let (encoder, loaded) = config.init_and_tell(size, init)?;
    loaded.iter().for_each(|loaded| info!("weights to start from: {loaded}"));
    Ok(encoder)
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
