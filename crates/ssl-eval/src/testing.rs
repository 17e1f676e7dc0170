//! What several tests of this crate need.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use ssl_core::{DeviceSpec, Encoder, Init, Pass};

/// Features are the mean of each channel.
#[derive(Module, Debug)]
pub(crate) struct MeanColour {}

impl Encoder for MeanColour {
    fn encode(&self, images: Tensor<4>, _pass: &Pass) -> Tensor<2> {
        images.mean_dim(3).mean_dim(2).flatten(1, 3)
    }

    fn feature_dim(&self) -> usize {
        3
    }
}

/// Initial values from seed 0, on the autodiff device.
pub(crate) fn init() -> Init {
    Init::new(0, &DeviceSpec::Flex.open().expect("flex is compiled in").autodiff())
}

/// Four images whose values differ, `[4, 3, 2, 2]`.
pub(crate) fn images() -> Tensor<4> {
    let device = DeviceSpec::Flex.open().expect("flex is compiled in");
    Tensor::<1, Int>::arange(0..4 * 3 * 4, &device).float().sin().reshape([4, 3, 2, 2])
}
