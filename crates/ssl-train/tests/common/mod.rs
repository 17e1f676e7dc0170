//! A linear encoder, and what the tests of the loop on it share.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use ssl_core::nn::{Linear, LinearConfig};
use ssl_core::{DeviceSpec, Encoder, Init, Pass};
use ssl_data::{Dataset, Image, LoaderConfig, Normalization, TrainLoader, ViewConfig};
use ssl_train::{Observer, StepReport};

/// A linear encoder of images of 4 x 4 pixels.
#[derive(burn::module::Module, Debug)]
pub(crate) struct Pixels {
    linear: Linear,
}

impl Pixels {
    /// The encoder with the initial values of seed 0, on the autodiff device.
    pub(crate) fn init() -> Self {
        Self { linear: LinearConfig::new(48, 3).init(&mut Init::new(0, &device().autodiff())) }
    }
}

impl Encoder for Pixels {
    fn encode(&self, images: Tensor<4>, _pass: &Pass) -> Tensor<2> {
        self.linear.forward(images.flatten(1, 3))
    }

    fn feature_dim(&self) -> usize {
        self.linear.weight.dims()[0]
    }
}

/// Stops the run after a step.
pub(crate) struct StopAfter {
    step: u64,
    done: u64,
}

impl StopAfter {
    pub(crate) fn step(step: u64) -> Self {
        Self { step, done: 0 }
    }
}

impl Observer for StopAfter {
    fn on_step(&mut self, report: &StepReport) {
        self.done = report.at.step;
    }

    fn stop(&self) -> bool {
        self.done == self.step
    }
}

pub(crate) fn device() -> Device {
    DeviceSpec::Flex.open().expect("flex is compiled in")
}

/// Two views of images of one grey each, which `offset` makes brighter.
pub(crate) fn loader(images: u8, offset: u8, batch_size: usize) -> TrainLoader {
    let image = |index: u8| Image::new(4, 4, vec![index * 10 + offset; 48]);
    let dataset = Arc::new(Dataset::from_images((0..images).map(image).collect(), None));
    let views = [ViewConfig { count: 2, size: 4, ops: Vec::new() }];
    let views = ssl_data::Views::new(&views, Normalization::CIFAR10).expect("two views");
    TrainLoader::new(dataset, views, 0, LoaderConfig { batch_size, workers: 1 }).expect("a loader")
}
