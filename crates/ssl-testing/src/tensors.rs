//! Converts between the arrays of cases and tensors.

use burn::tensor::{DType, Device, Tensor, TensorData};
use ssl_kernels::DeviceSpec;

use crate::case::unlike;
use crate::{Array, Case, CaseError, Values};

/// The device that cases run on: pure Rust, full float32.
pub fn device() -> Device {
    DeviceSpec::Flex.open().expect("flex is compiled in")
}

/// A float tensor of a case, without gradient.
///
/// # Errors
/// If there is none with that name, or it has another number of axes.
pub fn tensor<const D: usize>(case: &Case, name: &str) -> Result<Tensor<D>, CaseError> {
    let (shape, values) = case.f32(name)?;
    if shape.len() != D {
        return Err(unlike(name, format!("of shape {shape:?}"), format!("{D} axes")));
    }
    Ok(Tensor::from_data(TensorData::new(values.to_vec(), shape.to_vec()), &device()))
}

/// A float tensor of a case that gets a gradient.
///
/// # Errors
/// If there is none with that name, or it has another number of axes.
pub fn leaf<const D: usize>(case: &Case, name: &str) -> Result<Tensor<D>, CaseError> {
    Ok(tracked(tensor::<D>(case, name)?.into_data()))
}

/// Rows of numbers, `[row, dim]`, as a tensor that gets a gradient.
pub fn of_rows(rows: &[Vec<f64>]) -> Tensor<2> {
    let values: Vec<f32> = rows.iter().flatten().map(|&value| value as f32).collect();
    tracked(TensorData::new(values, [rows.len(), rows.first().map_or(0, Vec::len)]))
}

fn tracked<const D: usize>(data: TensorData) -> Tensor<D> {
    Tensor::from_data(data, &device().autodiff()).require_grad()
}

/// An array as the data of a tensor.
pub fn data(array: &Array) -> TensorData {
    let shape = array.shape.clone();
    match &array.values {
        Values::F32(values) => TensorData::new(values.clone(), shape),
        Values::I64(values) => TensorData::new(values.clone(), shape),
        Values::U8(values) => TensorData::new(values.clone(), shape),
    }
}

/// The data of a tensor of floats or integers as an array.
pub fn array(data: &TensorData) -> Array {
    let shape = data.shape().to_vec();
    match data.dtype() {
        DType::I64 => Array::i64(shape, data.iter::<i64>().collect()),
        _ => Array::f32(shape, data.iter::<f32>().collect()),
    }
}

/// Flattened floats as an array of the given shape.
pub fn shaped_array(shape: Vec<usize>, flat: &Tensor<1>) -> Array {
    Array::f32(shape, flat.to_data().iter::<f32>().collect())
}

/// A number as an array without axes.
pub fn scalar(value: f64) -> Array {
    Array::f32([], vec![value as f32])
}

/// The value of a loss, `[1]`, as an array without axes.
pub fn loss_value(loss: &Tensor<1>) -> Array {
    scalar(loss.to_data().iter::<f64>().sum())
}
