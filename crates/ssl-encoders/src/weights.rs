//! Weight files: safetensors with the names of torchvision and timm, and files written by others.
//!
//! ```
//! use ssl_core::{DeviceSpec, Encoder, Init};
//! use ssl_encoders::{Artifact, EncoderConfig, Preprocessing, weights};
//!
//! let path = std::env::temp_dir().join("ssl-encoders-example.safetensors");
//! let mut init = Init::new(0, &DeviceSpec::Flex.open().unwrap());
//! let config = EncoderConfig { width: 4, ..EncoderConfig::named("resnet18") };
//! let encoder = config.init(32, &mut init).unwrap();
//! weights::save(&encoder, &path, &Artifact::new(&config, Preprocessing::new(32))).unwrap();
//!
//! let artifact = Artifact::read(&path).unwrap().expect("burn-ssl wrote it");
//! let fresh = artifact.encoder.init(artifact.preprocessing.size, &mut init).unwrap();
//! let encoder = weights::load(&path, fresh).unwrap();
//! println!("{}: {} features", artifact.encoder.name, encoder.feature_dim());
//! std::fs::remove_file(path).unwrap();
//! ```

mod archive;
mod artifact;
mod convnext;
mod describe;
mod fingerprint;
mod layouts;
mod loaded;
mod misfit;
mod names;
mod positions;
mod read;
mod room;
mod scheme;
mod seal;
mod sources;
mod timm;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::TensorData;
use ssl_core::Encoder;
use ssl_core::named::{self, NamedError};

pub use describe::{describe, image_size};
pub use fingerprint::fingerprint;
pub use loaded::{FileFormat, Loaded};
pub use misfit::Misfit;
pub use room::check_room;

pub use artifact::{Artifact, ClassifierHead, DataSummary, Kind, Preprocessing, Provenance, SCHEMA};
pub use scheme::NameScheme;

/// Why weights cannot be read or written. Every message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file cannot be read or written.
    #[error("cannot access the weights {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is neither safetensors nor a PyTorch file, or is damaged.
    #[error("{path} is not a usable weight file: {reason}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No tensor of the file has one of the encoder's names.
    #[error("{path} holds no such encoder: found {found}, expected names like '{expected}'", path = path.display())]
    NoEncoder {
        /// The file.
        path: PathBuf,
        /// Some names of the file.
        found: String,
        /// A name of the encoder.
        expected: String,
    },
    /// The file was written by burn-ssl but holds something else.
    #[error("{path} holds {found}, expected {expected}", path = path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it holds, with an article.
        found: String,
        /// What is needed, with an article.
        expected: &'static str,
    },
    /// A tensor has a value that is not finite.
    #[error("tensor '{tensor}' in {path} is not finite: the weights are damaged or have diverged; expected finite weights", path = path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The first such tensor.
        tensor: String,
    },
    /// The network that the file should fill is larger than the file.
    #[error("{path} holds {held} values, and the network that it should fill has {needed}: expected a file of that network", path = path.display())]
    TooFew {
        /// The file.
        path: PathBuf,
        /// Values in the file.
        held: u64,
        /// Parameters and running statistics of the network.
        needed: u64,
    },
    /// Tensors of a file for the encoder are missing, unexpected, or have different shapes.
    #[error("{path} does not fit the encoder: {source}{misfit}", path = path.display())]
    Misfit {
        /// The file.
        path: PathBuf,
        /// The first such tensor.
        source: NamedError,
        /// All that are missing or left over.
        misfit: Box<Misfit>,
    },
    /// A tensor is missing, unexpected, or has a different shape.
    #[error("{path} does not fit the encoder: {source}", path = path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// Which tensor.
        source: NamedError,
    },
}

/// Writes the tensors of an encoder together with their description.
///
/// torchvision (ResNet), timm (ViT) and DINOv2 (ViT with registers; for timm see [`save_as`]) load the file with
/// `strict=True` into a network without a classifier. Equal tensors and descriptions give equal bytes. The file is
/// written atomically.
///
/// # Errors
/// If the file cannot be written.
pub fn save<E: Encoder>(encoder: &E, path: &Path, artifact: &Artifact) -> Result<(), WeightsError> {
    save_as(encoder, path, artifact, NameScheme::Safetensors)
}

/// Like [`save`], with the names of another library, which loads the file with `strict=True` into a network without a
/// classifier. [`load`] can read it too.
///
/// timm's form of a ViT with registers differs, and has no mask token: create the timm model with `reg_tokens`,
/// `no_embed_class=True` and, for [`layer_scale`](crate::VitConfig), `init_values`.
///
/// # Errors
/// If the file cannot be written.
///
/// # Source
/// timm `vision_transformer.py`, `_convert_dinov2`.
pub fn save_as<E: Encoder>(
    encoder: &E,
    path: &Path,
    artifact: &Artifact,
    scheme: NameScheme,
) -> Result<(), WeightsError> {
    let tensors = tensors_as(encoder, scheme);
    let mut artifact = artifact.clone();
    if scheme == NameScheme::Timm {
        artifact.encoder.mask_token = None;
    }
    artifact.write(path, &tensors)
}

/// The tensors of an encoder as another library has them, by name; see [`save_as`].
pub fn tensors_as<E: Encoder>(encoder: &E, scheme: NameScheme) -> BTreeMap<String, TensorData> {
    scheme.to_theirs(named::collect(encoder))
}

/// Replaces all tensors of an encoder with those of a file.
///
/// The file is safetensors with floats of any width (our own, torchvision's, timm's) or a PyTorch file (`.pth`, `.pt`,
/// `.pth.tar`, `.ckpt`), of which nothing is executed. Prefixes that training code adds to names (`module.encoder_q.`,
/// `teacher.backbone.`, `state_dict.`…) are removed, and everything except the encoder is ignored: other networks, optimizers,
/// classifiers, projectors and decoders (`fc`, `head`, `projection_head`, `prototypes`), batch counters, and a mask token that the
/// encoder does not have. If the file has a teacher and a student, the teacher is loaded; from a classifier, its encoder.
///
/// Networks that others name differently get our names: ViTs and ConvNeXts of torchvision, the official ConvNeXts, children of a
/// ResNet in a `torch.nn.Sequential` (lightly), the converted SimCLR v2, and DINOv2's blocks in chunks. Registers may have the name
/// and form of timm or DINOv2. The position embedding of a ViT for images of another size is resized.
///
/// # Errors
/// If the file cannot be read or holds embeddings, or a tensor of the encoder is missing, unexpected, not finite, or has a
/// different shape.
pub fn load<M: Module>(path: &Path, encoder: M) -> Result<M, WeightsError> {
    Ok(load_and_tell(path, encoder)?.0)
}

/// Like [`load`], and tells which tensors of the file the encoder has and which were left out.
///
/// # Errors
/// Those of [`load`].
pub fn load_and_tell<M: Module>(path: &Path, encoder: M) -> Result<(M, Loaded), WeightsError> {
    if let Some(Artifact { kind: kind @ Kind::Embeddings { .. }, .. }) = Artifact::read(path)? {
        let (path, found) = (path.to_owned(), kind.to_string());
        return Err(WeightsError::Kind { path, found, expected: "an encoder" });
    }
    let own = named::collect(&encoder);
    let positions = positions::shape(&own);
    let wanted: BTreeSet<String> = own.into_keys().collect();
    let read::Found { format, source, prefix, tensors, left_out } = read::tensors(path, &wanted)?;
    let mut tensors = NameScheme::to_ours(tensors);
    if let Some(tensor) = named::first_not_finite(&tensors) {
        return Err(WeightsError::NotFinite { path: path.to_owned(), tensor: tensor.to_owned() });
    }
    let device = encoder.devices().first().map(|device| device.clone().inner());
    let resized =
        positions.zip(device).and_then(|(wanted, device)| positions::fit(&mut tensors, wanted, &device));
    let held = tensors.len();
    let loaded = Loaded { path: path.to_owned(), format, source, prefix, tensors: held, left_out, resized };
    let misfit = Box::new(Misfit::between(&tensors, &wanted));
    match named::load(encoder, tensors) {
        Ok(encoder) => Ok((encoder, loaded)),
        Err(source) => Err(WeightsError::Misfit { path: path.to_owned(), source, misfit }),
    }
}
