//! Weight files: safetensors with the names of torchvision and timm, and files that others made.
//!
//! ```
//! # use ssl_core::{DeviceSpec, Init};
//! # use ssl_encoders::{EncoderConfig, weights};
//! # let folder = std::env::temp_dir().join(format!("ssl-encoders-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! # let path = folder.join("encoder.safetensors");
//! let mut init = Init::new(0, &DeviceSpec::Flex.open().unwrap());
//! let config = EncoderConfig { width: 4, ..EncoderConfig::named("resnet18") };
//! let encoder = config.init(32, &mut init).unwrap();
//! weights::save(&encoder, &path, &weights::Metadata::new(&config, 32)).unwrap();
//!
//! let metadata = weights::read_metadata(&path).unwrap().expect("burn-ssl wrote it");
//! let fresh = metadata.encoder.init(metadata.image_size, &mut init).unwrap();
//! let encoder = weights::load(&path, fresh).unwrap();
//! # let _ = encoder;
//! # std::fs::remove_dir_all(folder).unwrap();
//! ```

mod metadata;
mod names;
mod read;
mod timm;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::TensorData;
use ssl_core::Encoder;
use ssl_core::named::{self, NamedError};

use crate::EncoderConfig;
pub use metadata::Metadata;

/// Why weights cannot be read or written. Every sentence names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file cannot be read or written.
    #[error("cannot access the weights {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is neither safetensors nor a PyTorch file, or is damaged.
    #[error("{path} is no usable weight file: {reason}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No tensor of the file has a name of the encoder.
    #[error("{path} holds no such encoder: found {found}, expected names like '{expected}'", path = path.display())]
    NoEncoder {
        /// The file.
        path: PathBuf,
        /// Some names of the file.
        found: String,
        /// A name of the encoder.
        expected: String,
    },
    /// A tensor is missing, has no place or is of another shape.
    #[error("{path} does not fit the encoder: {source}", path = path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// Which tensor.
        source: NamedError,
    },
}

/// Writes the tensors of an encoder and what they are.
///
/// torchvision (ResNet), timm (ViT) and DINOv2 (ViT with registers; for timm see [`save_for_timm`]) load the file with
/// `strict=True` into a network without classifier. Equal tensors and metadata give equal bytes. The file appears whole or
/// not at all.
///
/// # Errors
/// If the file cannot be written.
pub fn save<E: Encoder>(encoder: &E, path: &Path, metadata: &Metadata) -> Result<(), WeightsError> {
    write(&named::collect(encoder), path, metadata)
}

/// [`save`] in timm's form, which differs for a ViT with registers: they are `reg_token`, and the class token has its
/// position in itself. A mask token, which timm's ViTs do not have, is left out.
///
/// timm loads the file with `strict=True` into a network without classifier, made with `reg_tokens`, `no_embed_class=True`
/// and, for [`layer_scale`](crate::VitConfig), `init_values`. [`load`] reads it too.
///
/// # Errors
/// If the file cannot be written.
///
/// # Source
/// timm `vision_transformer.py`, `_convert_dinov2`.
pub fn save_for_timm<E: Encoder>(encoder: &E, path: &Path, metadata: &Metadata) -> Result<(), WeightsError> {
    let config = EncoderConfig { mask_token: None, ..metadata.encoder.clone() };
    let metadata = Metadata { encoder: config, ..metadata.clone() };
    write(&timm::to_timm(named::collect(encoder)), path, &metadata)
}

fn write(
    tensors: &BTreeMap<String, TensorData>,
    path: &Path,
    metadata: &Metadata,
) -> Result<(), WeightsError> {
    let bytes = named::encode(tensors, &metadata.to_json());
    write_whole(path, &bytes).map_err(|source| WeightsError::Io { path: path.to_owned(), source })
}

/// Replaces all tensors of an encoder by those of a file.
///
/// The file is safetensors in float of any width (our own, torchvision's, timm's) or a PyTorch file (`.pth`, `.pt`,
/// `.pth.tar`). What training code puts in front of names (`module.encoder_q.`, `teacher.backbone.`,
/// `state_dict.`…) is taken off, and everything beside the encoder is ignored: other networks, optimizers,
/// classifiers and projectors (`fc`, `head`, `projection_head`, `prototypes`), counters of batches, and a mask token that
/// the encoder does not have. Where the file has a teacher and a student, the teacher is taken. Registers may have timm's
/// name and form or DINOv2's.
///
/// # Errors
/// If the file cannot be read, or a tensor of the encoder is missing, has no place or is of another shape.
pub fn load<M: Module>(path: &Path, encoder: M) -> Result<M, WeightsError> {
    let wanted = named::collect(&encoder).into_keys().collect();
    let mut tensors = read::tensors(path, &wanted)?;
    timm::unfold_class_position(&mut tensors);
    named::load(encoder, tensors).map_err(|source| WeightsError::Tensor { path: path.to_owned(), source })
}

/// What [`save`] wrote beside the tensors; none in files that burn-ssl did not write.
///
/// # Errors
/// If the file cannot be read.
pub fn read_metadata(path: &Path) -> Result<Option<Metadata>, WeightsError> {
    match read::metadata(path)? {
        Some(text) => Metadata::from_json(&text).map(Some).map_err(|error| {
            let reason = format!("its metadata is of another version of burn-ssl ({error})");
            WeightsError::Format { path: path.to_owned(), reason }
        }),
        None => Ok(None),
    }
}

/// Writes beside the file and renames, so that an interrupted write leaves the old file.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let mut file = File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(partial, path)
}
