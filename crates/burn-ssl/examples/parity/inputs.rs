//! What a case starts from: a device, and values that may be nudged.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_ssl::core::{named, read_values};

/// Sets of nudged values.
const SETS: u64 = 4;

/// The largest relative change of a nudged value, the distance of neighbours in float32.
const NUDGE: f64 = 1.2e-7;

/// A device, and a small change of all values that a case starts from.
///
/// A nudge is smaller than the error of most float32 operations. It leaves what a case computes as it is and draws its
/// rounding anew.
pub(crate) struct Inputs {
    device: Device,
    /// The seed of the changes; none for values as they are.
    nudge: Option<u64>,
}

impl Inputs {
    /// Values as they are.
    pub(crate) fn plain(device: &Device) -> Self {
        Self { device: device.clone(), nudge: None }
    }

    /// Nudged values, a few times.
    pub(crate) fn nudged(device: &Device) -> impl Iterator<Item = Self> {
        (0..SETS).map(|seed| Self { device: device.clone(), nudge: Some(seed) })
    }

    /// Where to compute.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// A tensor to start from, on its own device.
    pub(crate) fn tensor<const D: usize>(&self, tensor: Tensor<D>) -> Tensor<D> {
        let Some(seed) = self.nudge else { return tensor };
        let device = tensor.device();
        Tensor::from_data(nudged(read_values(tensor.without_autodiff()), seed), &device)
    }

    /// A module to start from.
    pub(crate) fn module<M: Module>(&self, module: M) -> M {
        let Some(seed) = self.nudge else { return module };
        let tensors = named::collect(&module).into_iter();
        let tensors = tensors.map(|(path, data)| match data.dtype() {
            DType::I64 => (path, data),
            _ => (path, nudged(data, seed)),
        });
        named::load(module, tensors.collect()).expect("its own tensors")
    }
}

fn nudged(data: TensorData, seed: u64) -> TensorData {
    let shape = data.shape().clone();
    let mut state = seed;
    let mut change = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        NUDGE * ((state >> 40) as f64 / f64::from(1 << 23) - 1.0)
    };
    let values: Vec<f32> = data.iter::<f64>().map(|value| (value * (1.0 + change())) as f32).collect();
    TensorData::new(values, shape)
}
