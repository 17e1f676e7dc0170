//! The tensors of a module by path, such as `encoder.layer1.0.conv1.weight`.
//!
//! Burn keys parameters by id; ids do not survive a new process, and a clone shares them. A path is unambiguous and
//! fails loudly when two modules differ, so checkpoints, parameter averages and weight files use paths.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Int, Tensor, TensorData};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use ssl_kernels::ops::read_values;

/// Why tensors could not be loaded into a module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamedError {
    /// A tensor of the module was not given.
    #[error("tensor '{0}' of the model is missing from the file")]
    Missing(String),
    /// A tensor was given that the module does not have.
    #[error("tensor '{0}' of the file has no place in the model")]
    Unexpected(String),
    /// The bytes are not a safetensors file, or have a number type that no model here uses.
    #[error("not a usable safetensors file: {0}")]
    Damaged(String),
    /// The shapes differ.
    #[error("tensor '{path}' has shape {found:?} in the file and {expected:?} in the model")]
    Shape {
        /// Path of the tensor.
        path: String,
        /// Shape that was given.
        found: Vec<usize>,
        /// Shape in the module.
        expected: Vec<usize>,
    },
}

/// Whether a path names a running statistic rather than a parameter.
pub fn is_buffer(path: &str) -> bool {
    path.ends_with("running_mean") || path.ends_with("running_var")
}

/// Whether a path is `prefix` or begins with it as whole parts: `encoder.norm.weight` is under `encoder`, and not under `enc`.
pub fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Reads all tensors of a module back to the host: parameters, running statistics and counters.
pub fn collect<M: Module>(module: &M) -> BTreeMap<String, TensorData> {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    collector.tensors
}

/// Loads tensors into a module. They must be exactly the module's tensors: none missing, none extra.
///
/// # Errors
/// The first path that is missing, unexpected, or has a different shape. The module is lost in that case.
pub fn load<M: Module>(module: M, tensors: BTreeMap<String, TensorData>) -> Result<M, NamedError> {
    let mut loader = Loader { path: Path::default(), tensors, error: None };
    let module = module.map(&mut loader);
    match (loader.error, loader.tensors.into_keys().next()) {
        (Some(error), _) => Err(error),
        (None, Some(path)) => Err(NamedError::Unexpected(path)),
        (None, None) => Ok(module),
    }
}

/// The path of the first tensor with a value that is not finite.
pub fn first_not_finite(tensors: &BTreeMap<String, TensorData>) -> Option<&str> {
    let is_bad = |data: &TensorData| match data.as_slice::<f32>() {
        // One by one: the sum of large values is infinite long before a value is.
        Ok(values) => !values.iter().all(|value| value.is_finite()),
        Err(_) => false,
    };
    tensors.iter().find(|(_, data)| is_bad(data)).map(|(path, _)| path.as_str())
}

/// Encodes the tensors as a safetensors file, with `metadata` under the single key `burn-ssl`.
///
/// A single key, because the format's metadata map is unordered and equal tensors must give equal bytes.
///
/// # Panics
/// If a tensor has a type that [`collect`] does not return.
pub fn encode(tensors: &BTreeMap<String, TensorData>, metadata: &str) -> Vec<u8> {
    let views = tensors.iter().map(|(path, data)| {
        let dtype = match data.dtype() {
            DType::F32 => Dtype::F32,
            DType::I64 => Dtype::I64,
            other => panic!("tensor '{path}' is of type {other:?}, expected float32 or int64"),
        };
        let view = TensorView::new(dtype, data.shape().to_vec(), data.as_bytes());
        (path.as_str(), view.expect("a tensor's bytes fit its shape"))
    });
    let metadata = HashMap::from([("burn-ssl".to_owned(), metadata.to_owned())]);
    safetensors::serialize(views, Some(metadata)).expect("paths and shapes are valid")
}

/// Decodes the tensors and the metadata of a file written by [`encode`].
///
/// # Errors
/// If the bytes are not such a file.
pub fn decode(bytes: &[u8]) -> Result<(BTreeMap<String, TensorData>, String), NamedError> {
    let damaged = |error: safetensors::SafeTensorError| NamedError::Damaged(error.to_string());
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let metadata =
        header.metadata().as_ref().and_then(|map| map.get("burn-ssl").cloned()).unwrap_or_default();
    let mut tensors = BTreeMap::new();
    for (path, view) in SafeTensors::deserialize(bytes).map_err(damaged)?.iter() {
        let dtype = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::I64 => DType::I64,
            other => return Err(NamedError::Damaged(format!("tensor '{path}' is of type {other:?}"))),
        };
        let data = TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype);
        tensors.insert(path.to_owned(), data);
    }
    Ok((tensors, metadata))
}

/// The path of the module that a visitor or mapper is in.
#[derive(Clone, Debug, Default)]
pub struct Path(Vec<String>);

impl Path {
    /// Call this in `enter_module`.
    pub fn enter(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    /// Call this in `exit_module`.
    pub fn exit(&mut self) {
        self.0.pop();
    }

    /// The components, joined by dots.
    pub fn join(&self) -> String {
        self.0.join(".")
    }
}

#[derive(Default)]
struct Collector {
    path: Path,
    tensors: BTreeMap<String, TensorData>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.tensors.insert(self.path.join(), read_values(param.val()).convert_dtype(DType::F32));
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.tensors.insert(self.path.join(), read_values(param.val()).convert_dtype(DType::I64));
    }
}

struct Loader {
    path: Path,
    tensors: BTreeMap<String, TensorData>,
    error: Option<NamedError>,
}

impl Loader {
    fn take(&mut self, expected: &[usize]) -> Option<TensorData> {
        let path = self.path.join();
        let found = match self.tensors.remove(&path) {
            Some(data) if data.shape().as_slice() == expected => return Some(data),
            Some(data) => {
                NamedError::Shape { path, found: data.shape().to_vec(), expected: expected.to_vec() }
            }
            None => NamedError::Missing(path),
        };
        self.error.get_or_insert(found);
        None
    }
}

impl ModuleMapper for Loader {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (shape, device) = (param.val().dims(), param.val().device());
        match self.take(&shape) {
            Some(data) => {
                param.map(|old| Tensor::from_data(data, &device).set_require_grad(old.is_require_grad()))
            }
            None => param,
        }
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        let (shape, device) = (param.val().dims(), param.val().device());
        match self.take(&shape) {
            Some(data) => param.map(|_| Tensor::from_data(data, &device)),
            None => param,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceSpec, Init, LayerConfig, Mlp, Norm};

    fn network(seed: u64) -> Mlp {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        Mlp::init(3, &[LayerConfig::new(2).norm(Norm::Affine).bias()], &mut Init::new(seed, &device))
    }

    #[test]
    fn a_module_takes_the_tensors_of_another() {
        let tensors = collect(&network(1));
        assert!(
            tensors.contains_key("layers.0.linear.weight")
                && tensors.contains_key("layers.0.norm.running_var")
        );
        let copy = load(network(2), tensors.clone()).expect("same architecture");
        assert_eq!(collect(&copy), tensors);
    }

    #[test]
    fn a_file_gives_back_tensors_and_metadata_and_is_the_same_every_time() {
        let tensors = collect(&network(1));
        let bytes = encode(&tensors, "{\"width\":4}");
        assert_eq!(bytes, encode(&tensors, "{\"width\":4}"));
        assert_eq!(decode(&bytes).expect("own file"), (tensors, "{\"width\":4}".to_owned()));
        assert!(matches!(decode(&bytes[..20]), Err(NamedError::Damaged(_))));
    }

    #[test]
    fn the_first_tensor_with_a_value_that_is_not_finite_is_named() {
        let tensors = |values: [f32; 2]| {
            BTreeMap::from([
                ("a".to_owned(), TensorData::from([f32::MAX, f32::MAX])),
                ("b".to_owned(), TensorData::from(values)),
                ("c".to_owned(), TensorData::from([7_i64])),
            ])
        };
        assert_eq!(first_not_finite(&tensors([0.0, f32::MIN])), None);
        assert_eq!(first_not_finite(&tensors([0.0, f32::NAN])), Some("b"));
        assert_eq!(first_not_finite(&tensors([f32::NEG_INFINITY, 0.0])), Some("b"));
    }

    #[test]
    fn missing_unexpected_and_misshapen_tensors_are_named() {
        let path = "layers.0.linear.bias".to_owned();
        let mut missing = collect(&network(1));
        missing.remove(&path);
        assert_eq!(load(network(1), missing).expect_err("bias missing"), NamedError::Missing(path.clone()));

        let mut unexpected = collect(&network(1));
        unexpected.insert("z".into(), TensorData::from([0.0_f32]));
        assert_eq!(load(network(1), unexpected).expect_err("z extra"), NamedError::Unexpected("z".into()));

        let mut misshapen = collect(&network(1));
        misshapen.insert(path.clone(), TensorData::from([0.0_f32]));
        let error = NamedError::Shape { path, found: vec![1], expected: vec![2] };
        assert_eq!(load(network(1), misshapen).expect_err("wrong shape"), error);
    }
}
