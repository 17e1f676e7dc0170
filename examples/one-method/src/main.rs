//! SimCLR with nothing else of burn-ssl: your own encoder, your own views, your own loop.
//!
//! ```sh
//! cargo run --release -p example-one-method
//! ```
#![expect(clippy::print_stdout, reason = "an example answers on standard output")]

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::optim::AdamWConfig;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Tensor};
use ssl_simclr::{
    DeviceSpec, Encoder, Init, Pass, Progress, SimClr, SimClrConfig, SslMethod, StepContext, Views,
    train_step,
};

const STEPS: u64 = 60;
const IMAGES: usize = 64;
const CHANNELS: usize = 16;

/// Two convolutions and the mean over all positions.
#[derive(Module, Debug)]
struct SmallEncoder {
    first: Conv2d,
    second: Conv2d,
}

impl SmallEncoder {
    fn new(device: &Device) -> Self {
        let conv = |inputs, outputs| {
            let config = Conv2dConfig::new([inputs, outputs], [3, 3]).with_stride([2, 2]);
            config.with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(device)
        };
        Self { first: conv(3, CHANNELS), second: conv(CHANNELS, CHANNELS) }
    }
}

impl Encoder for SmallEncoder {
    fn encode(&self, images: Tensor<4>, _pass: &Pass) -> Tensor<2> {
        let maps = relu(self.second.forward(relu(self.first.forward(images))));
        maps.flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2)
    }

    fn feature_dim(&self) -> usize {
        CHANNELS
    }
}

/// A view of made images: brighter or darker, and noisy.
fn view(images: &Tensor<4>) -> Tensor<4> {
    let brightness = Tensor::random([IMAGES, 1, 1, 1], Distribution::Normal(1.0, 0.2), &images.device());
    images.clone() * brightness + images.random_like(Distribution::Normal(0.0, 0.2))
}

fn main() -> anyhow::Result<()> {
    let device = DeviceSpec::Flex.open()?;
    device.seed(0);
    let images = Tensor::random([IMAGES, 3, 16, 16], Distribution::Normal(0.0, 1.0), &device);
    let colours = Tensor::random([IMAGES, 3, 1, 1], Distribution::Normal(0.0, 1.0), &device);
    let images = images + colours;

    let autodiff = device.autodiff();
    let method: SimClr = SimClrConfig::new().with_output_dim(32).build()?;
    let (mut student, mut state) = method.init(SmallEncoder::new(&autodiff), &mut Init::new(0, &autodiff));
    let mut optimizer = AdamWConfig::new().init();
    for step in 0..STEPS {
        let at = Progress { step, total_steps: STEPS, steps_per_epoch: 1 };
        let views = Views::two(view(&images), view(&images));
        let optimize = |student, gradients| optimizer.step(0.01, student, gradients);
        let done = train_step(&method, student, state, &views, &StepContext::new(0, at, 0), optimize);
        if step % 10 == 0 || step + 1 == STEPS {
            println!("step {step:2}: loss {:.3}", done.loss.into_scalar::<f32>());
        }
        (student, state) = (done.student, done.state);
    }
    println!("features of an image: {}", method.encoder(&student, &state).feature_dim());
    Ok(())
}
