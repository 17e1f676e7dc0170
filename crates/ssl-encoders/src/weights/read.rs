//! The two formats of weight files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::store::pytorch_reader::{self, PytorchReader};
use burn::tensor::{DType, TensorData};
use safetensors::{Dtype, SafeTensors};

use super::names::Group;
use super::{FileFormat, WeightsError, archive, names, seal, sources};

/// Number of names that an error shows.
const SHOWN_NAMES: usize = 3;

/// What a file holds for an encoder.
pub(super) struct Found {
    pub(super) format: FileFormat,
    /// Who wrote it, as far as the names tell.
    pub(super) source: Option<&'static str>,
    /// What the names of the encoder start with in the file.
    pub(super) prefix: String,
    /// The encoder's tensors by path, in float32.
    pub(super) tensors: BTreeMap<String, TensorData>,
    /// The names of all other tensors, sorted.
    pub(super) left_out: Vec<String>,
}

/// The tensors of an encoder with the paths `wanted`.
pub(super) fn tensors(path: &Path, wanted: &BTreeSet<String>) -> Result<Found, WeightsError> {
    let bytes = read(path)?;
    if is_safetensors(&bytes) {
        let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(path, error))?;
        let names = file.names().into_iter().map(str::to_owned).collect();
        take(path, FileFormat::Safetensors, names, wanted, |name| from_safetensors(&file, name))
    } else {
        let archive = archive::open(path, bytes).map_err(|reason| damaged(path, reason))?;
        let reader = &archive.reader;
        take(path, FileFormat::Pytorch, reader.keys(), wanted, |name| from_pytorch(reader, name))
    }
}

/// The name of a tensor and its shape.
type Shape = (String, Vec<usize>);

/// Reads the tensors of the encoder, and tells which names are of others.
fn take(
    path: &Path,
    format: FileFormat,
    names: Vec<String>,
    wanted: &BTreeSet<String>,
    tensor: impl Fn(&str) -> Result<TensorData, String>,
) -> Result<Found, WeightsError> {
    let mut others: BTreeSet<String> = names.iter().cloned().collect();
    let Group { prefix, layout, tensors: chosen } = choose(path, names, wanted)?;
    let source = sources::of(&prefix, others.iter().map(String::as_str)).or(layout);
    let mut tensors = BTreeMap::new();
    for (own, name) in chosen {
        tensors.insert(own, tensor(&name).map_err(|reason| damaged(path, reason))?);
        others.remove(&name);
    }
    Ok(Found { format, source, prefix, tensors, left_out: others.into_iter().collect() })
}

/// The names in a file and their shapes.
pub(super) fn shapes(path: &Path) -> Result<Vec<Shape>, WeightsError> {
    Ok(shapes_and_len(path)?.0)
}

/// The names in a file, their shapes, and the length of the file in bytes.
pub(super) fn shapes_and_len(path: &Path) -> Result<(Vec<Shape>, u64), WeightsError> {
    let bytes = read(path)?;
    let len = bytes.len() as u64;
    if is_safetensors(&bytes) {
        let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(path, error))?;
        let shape = |(name, tensor): (&str, safetensors::tensor::TensorView<'_>)| {
            (name.to_owned(), tensor.shape().to_vec())
        };
        return Ok((file.iter().map(shape).collect(), len));
    }
    let archive = archive::open(path, bytes).map_err(|reason| damaged(path, reason))?;
    let reader = &archive.reader;
    let shape = |name: String| reader.get(&name).map(|tensor| (name, tensor.shape().to_vec()));
    Ok((reader.keys().into_iter().filter_map(shape).collect(), len))
}

/// The JSON under the metadata key `burn-ssl`.
pub(super) fn description(path: &Path) -> Result<Option<String>, WeightsError> {
    let bytes = read(path)?;
    if !is_safetensors(&bytes) {
        return Ok(None);
    }
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(path, error))?;
    let text = header.metadata().as_ref().and_then(|metadata| metadata.get("burn-ssl").cloned());
    // Checkpoints have a plain word there.
    Ok(text.filter(|text| text.starts_with('{')))
}

/// Reads a file, and checks its checksum if it has one.
fn read(path: &Path) -> Result<Vec<u8>, WeightsError> {
    let bytes = ssl_files::read(path).map_err(|source| WeightsError::Io { path: path.to_owned(), source })?;
    seal::check(&bytes).map_err(|reason| damaged(path, reason))?;
    Ok(bytes)
}

/// A safetensors file starts with the length of its header, which is a JSON object.
fn is_safetensors(bytes: &[u8]) -> bool {
    bytes.get(8) == Some(&b'{')
}

fn choose(
    path: &Path,
    mut found: Vec<String>,
    wanted: &BTreeSet<String>,
) -> Result<Group<String>, WeightsError> {
    found.sort();
    let shown: Vec<_> = found.iter().take(SHOWN_NAMES).map(|name| format!("'{name}'")).collect();
    names::select(found, wanted).ok_or_else(|| WeightsError::NoEncoder {
        path: path.to_owned(),
        found: if shown.is_empty() { "no tensors".to_owned() } else { shown.join(", ") },
        expected: wanted.first().cloned().unwrap_or_default(),
    })
}

fn from_safetensors(file: &SafeTensors<'_>, name: &str) -> Result<TensorData, String> {
    let view = file.tensor(name).map_err(|error| error.to_string())?;
    let dtype = match view.dtype() {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        other => return Err(not_floats(name, &other)),
    };
    Ok(float32(view.data().to_vec(), view.shape().to_vec(), dtype))
}

fn from_pytorch(reader: &PytorchReader, name: &str) -> Result<TensorData, String> {
    let tensor = reader.get(name).ok_or_else(|| format!("it lost tensor '{name}'"))?;
    let dtype = match tensor.dtype() {
        pytorch_reader::DType::F64 => DType::F64,
        pytorch_reader::DType::F32 => DType::F32,
        pytorch_reader::DType::F16 => DType::F16,
        pytorch_reader::DType::BF16 => DType::BF16,
        other => return Err(not_floats(name, &other)),
    };
    let bytes = tensor.read().map_err(|error| error.to_string())?;
    Ok(float32(bytes, tensor.shape().to_vec(), dtype))
}

fn float32(bytes: Vec<u8>, shape: Vec<usize>, dtype: DType) -> TensorData {
    TensorData::from_bytes_vec(bytes, shape, dtype).convert_dtype(DType::F32)
}

fn not_floats(name: &str, dtype: &impl std::fmt::Debug) -> String {
    format!("tensor '{name}' is of type {dtype:?}, expected floating-point numbers")
}

fn damaged(path: &Path, reason: impl ToString) -> WeightsError {
    WeightsError::Format { path: path.to_owned(), reason: reason.to_string() }
}
