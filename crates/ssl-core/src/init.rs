//! Initial values from a seeded generator on the host.
//!
//! Burn's device generators differ between backends and cannot be saved, so weights are drawn on the host: the same
//! seed gives the same network on every device.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::Precision;

/// A seeded source of initial values and the device they are placed on. Values depend on the order of the calls.
///
/// ```
/// # use ssl_core::{DeviceSpec, Init};
/// let device = DeviceSpec::Flex.open().unwrap();
/// let first = Init::new(7, &device).normal([4, 3], 1.0).val();
/// let again = Init::new(7, &device).normal([4, 3], 1.0).val();
/// assert_eq!(first.into_data(), again.into_data());
/// ```
#[derive(Debug)]
pub struct Init {
    rng: ChaCha8Rng,
    device: Device,
    precision: Precision,
}

impl Init {
    /// Creates a source from a seed. To train what it initialises, pass a device with `.autodiff()`.
    pub fn new(seed: u64, device: &Device) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self { rng, device: device.clone(), precision: Precision::default() }
    }

    /// Sets the precision that layers compute in, float32 by default. Parameters are always float32.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The precision that layers compute in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The device that values are placed on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The device without gradients: where teachers, queues and running statistics live.
    pub fn plain_device(&self) -> Device {
        self.device.clone().inner()
    }

    /// A parameter with independent normal values of the given standard deviation and mean 0.
    pub fn normal<const D: usize>(&mut self, shape: [usize; D], std: f64) -> Param<Tensor<D>> {
        self.draw(shape, |rng| (rng.sample::<f64, _>(StandardNormal) * std) as f32)
    }

    /// A parameter with normal values of the given standard deviation, redrawn until they are within two of them. The
    /// bound is `±2 · std`, as in the papers' JAX code; timm's `trunc_normal_` has bounds so far outside its usual
    /// `std` of 0.02 that it almost never redraws.
    pub fn truncated_normal<const D: usize>(&mut self, shape: [usize; D], std: f64) -> Param<Tensor<D>> {
        self.draw(shape, |rng| {
            loop {
                let value: f64 = rng.sample(StandardNormal);
                if value.abs() <= 2.0 {
                    return (value * std) as f32;
                }
            }
        })
    }

    /// A parameter with independent values, uniform between `-bound` and `bound`.
    pub fn uniform<const D: usize>(&mut self, shape: [usize; D], bound: f64) -> Param<Tensor<D>> {
        self.draw(shape, |rng| ((rng.random::<f64>() * 2.0 - 1.0) * bound) as f32)
    }

    /// A parameter filled with one value.
    pub fn constant<const D: usize>(&self, shape: [usize; D], value: f64) -> Param<Tensor<D>> {
        Param::from_tensor(Tensor::full(shape, value, &self.device))
    }

    fn draw<const D: usize>(
        &mut self,
        shape: [usize; D],
        mut value: impl FnMut(&mut ChaCha8Rng) -> f32,
    ) -> Param<Tensor<D>> {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| value(&mut self.rng)).collect();
        Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), &self.device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;

    fn values(param: Param<Tensor<1>>) -> Vec<f32> {
        param.val().into_data().try_to_vec().expect("float32 values")
    }

    fn init(seed: u64) -> Init {
        Init::new(seed, &DeviceSpec::Flex.open().expect("flex is compiled in"))
    }

    #[test]
    fn seeds_give_their_own_values() {
        assert_eq!(values(init(1).normal([8], 1.0)), values(init(1).normal([8], 1.0)));
        assert_ne!(values(init(1).normal([8], 1.0)), values(init(2).normal([8], 1.0)));
    }

    #[test]
    fn moments_and_bounds_are_those_asked_for() {
        let normal = values(init(0).normal([20_000], 0.5));
        let mean = normal.iter().sum::<f32>() / 20_000.0;
        let var = normal.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 20_000.0;
        assert!(mean.abs() < 0.02 && (var.sqrt() - 0.5).abs() < 0.01, "mean {mean}, std {}", var.sqrt());
        assert!(values(init(0).uniform([1000], 0.1)).iter().all(|v| v.abs() <= 0.1));
        assert!(values(init(0).truncated_normal([1000], 0.02)).iter().all(|v| v.abs() <= 0.04));
    }
}
