//! Between the arrays of cases and tensors.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use burn::module::Module;
use burn::tensor::{DType, Device, Gradients as Recorded, Tensor, TensorData};
use ssl_core::{DeviceSpec, named};
use ssl_testing::{Array, Case, Outputs, Values};
use ssl_train::Gradients;

/// The device that cases run on: pure Rust, float32 without shortcuts.
pub(super) fn device() -> Result<Device> {
    Ok(DeviceSpec::Flex.open()?)
}

/// A float tensor of a case, without gradient.
pub(super) fn tensor<const D: usize>(case: &Case, name: &str) -> Result<Tensor<D>> {
    let (shape, values) = case.f32(name)?;
    ensure!(shape.len() == D, "tensor '{name}' has shape {shape:?}, expected {D} axes");
    Ok(Tensor::from_data(TensorData::new(values.to_vec(), shape.to_vec()), &device()?))
}

/// A float tensor of a case that gets a gradient.
pub(super) fn leaf<const D: usize>(case: &Case, name: &str) -> Result<Tensor<D>> {
    let device = device()?.autodiff();
    Ok(Tensor::from_data(tensor::<D>(case, name)?.into_data(), &device).require_grad())
}

pub(super) fn data(array: &Array) -> TensorData {
    let shape = array.shape.clone();
    match &array.values {
        Values::F32(values) => TensorData::new(values.clone(), shape),
        Values::I64(values) => TensorData::new(values.clone(), shape),
        Values::U8(values) => TensorData::new(values.clone(), shape),
    }
}

/// Floats or integers as an array, any shape.
pub(super) fn array(data: &TensorData) -> Array {
    let shape = data.shape().to_vec();
    match data.dtype() {
        DType::I64 => Array::i64(shape, data.iter::<i64>().collect()),
        _ => Array::f32(shape, data.iter::<f32>().collect()),
    }
}

/// Flattened floats as an array of the given shape.
pub(super) fn shaped_array(shape: Vec<usize>, flat: &Tensor<1>) -> Array {
    Array::f32(shape, flat.to_data().iter::<f32>().collect())
}

/// A number as an array without axes.
pub(super) fn scalar(value: f64) -> Array {
    Array::f32([], vec![value as f32])
}

/// The value of a loss, `[1]`, as an array without axes.
pub(super) fn loss_value(loss: &Tensor<1>) -> Array {
    scalar(loss.to_data().iter::<f64>().sum())
}

/// A loss and its gradients, as a case names them.
pub(super) struct LossOutputs {
    outputs: Outputs,
    recorded: Recorded,
}

impl LossOutputs {
    /// `out.loss`.
    pub(super) fn of(loss: Tensor<1>) -> Self {
        let outputs = Outputs::from([("out.loss".to_owned(), loss_value(&loss))]);
        Self { outputs, recorded: loss.backward() }
    }

    /// Adds `grad.<name>`, if the loss depends on `input`.
    pub(super) fn gradient<const D: usize>(mut self, name: &str, input: &Tensor<D>) -> Self {
        if let Some(gradient) = input.grad(&self.recorded) {
            self.outputs.insert(format!("grad.{name}"), array(&gradient.into_data()));
        }
        self
    }

    /// Adds another output.
    pub(super) fn output(mut self, name: &str, array: Array) -> Self {
        self.outputs.insert(name.to_owned(), array);
        self
    }

    /// Adds `grad.param.<path>` for all parameters of a module; gradients of inputs come before.
    pub(super) fn parameters<M: Module>(mut self, module: &M) -> Result<Outputs> {
        let gradients = Gradients::of(self.recorded, module);
        for (path, array) in gradient_arrays(&gradients, module)? {
            self.outputs.insert(format!("grad.param.{path}"), array);
        }
        Ok(self.outputs)
    }

    /// All of them.
    pub(super) fn done(self) -> Outputs {
        self.outputs
    }
}

/// The gradients of a module's parameters in their shapes, by path.
pub(super) fn gradient_arrays<M: Module>(
    gradients: &Gradients,
    module: &M,
) -> Result<BTreeMap<String, Array>> {
    let parameters = named::collect(module);
    let in_shape = |(path, gradient): (&str, &Tensor<1>)| {
        let parameter =
            parameters.get(path).with_context(|| format!("a gradient for '{path}', which is not there"))?;
        Ok((path.to_owned(), shaped_array(parameter.shape().to_vec(), gradient)))
    };
    gradients.iter().map(in_shape).collect()
}

/// The module with the initial values that a case gives, `init.<name>` for the tensor at each path.
pub(super) fn load<M: Module>(module: M, case: &Case, name: impl Fn(&str) -> String) -> Result<M> {
    let mut tensors = BTreeMap::new();
    for path in named::collect(&module).into_keys() {
        let array = case.tensor(&format!("init.{}", name(&path)))?;
        tensors.insert(path, data(array));
    }
    Ok(named::load(module, tensors)?)
}
