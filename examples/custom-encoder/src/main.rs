//! An encoder of your own, pretrained with SimCLR by the loop of the library, on rendered images.
//!
//! ```sh
//! cargo run --release -p example-custom-encoder
//! ```
#![expect(clippy::print_stdout, reason = "an example answers on standard output")]

use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor, activation::relu};
use burn_ssl::core::nn::{BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig};
use burn_ssl::prelude::*;
use burn_ssl::{images, simclr::SimClrConfig, train::HookError, train::Hooks};

/// Three convolutions that halve height and width, and the mean over all positions.
#[derive(Module, Debug)]
struct SmallNet {
    convs: Vec<Conv2d>,
    norms: Vec<BatchNorm>,
}

impl SmallNet {
    fn init(init: &mut Init) -> Self {
        let channels = [(3, 16), (16, 32), (32, 64)];
        let conv = |(from, to)| Conv2dConfig::new(from, to, 3).with_stride(2).with_padding(1).init(init);
        let convs = channels.map(conv).into();
        Self { convs, norms: channels.map(|(_, to)| BatchNormConfig::new(to).init(init)).into() }
    }
}

impl Encoder for SmallNet {
    fn encode(&self, images: Tensor<4>, mode: Mode) -> Tensor<2> {
        let layers = self.convs.iter().zip(&self.norms);
        let maps = layers.fold(images, |x, (conv, norm)| relu(norm.forward(conv.forward(x), mode)));
        maps.flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2)
    }

    fn feature_dim(&self) -> usize {
        64
    }
}

/// k-NN before the first step, after every epoch and at the end.
struct Accuracy([EvalLoader; 2], Device);

impl Hooks<SmallNet> for Accuracy {
    fn evaluate(&mut self, encoder: &SmallNet, at: Progress) -> Result<Vec<(&'static str, f64)>, HookError> {
        let [bank, test] = [embed(encoder, &self.0[0], &self.1)?, embed(encoder, &self.0[1], &self.1)?];
        let top1 = 100.0 * knn(&bank, &test, &KnnConfig::default())?.top1;
        println!("step {}: k-NN accuracy {top1:.1} %", at.step);
        Ok(vec![("knn_top1", top1)])
    }
}

fn main() -> anyhow::Result<()> {
    let (recipe, device) = (Recipe::named("demo")?, DeviceSpec::Flex.open()?);
    let train = Arc::new(images::open(&recipe.data.path, None)?);
    let test = Arc::new(images::open(Path::new("demo:test"), None)?);
    let batches = LoaderConfig { batch_size: recipe.schedule.batch_size, workers: 2 };
    let transform = recipe.data.eval_transform()?;
    let eval = |set: &Arc<Dataset>| EvalLoader::new(set.clone(), transform.clone(), batches);
    let mut accuracy = Accuracy([eval(&train)?, eval(&test)?], device.clone());

    let (method, config) = (SimClrConfig::new().with_temperature(0.5).build()?, recipe.train_config());
    let run = RunDir::create(Path::new("target/custom-encoder"), true)?;
    let trainer = Trainer { method: &method, config: &config, run: &run, device: &device };
    let encoder = SmallNet::init(&mut Init::new(0, &device.clone().autodiff()));
    let loader = TrainLoader::new(train, recipe.views()?, recipe.seed, batches)?;
    let trained = trainer.fit(encoder, &loader, false, &mut accuracy)?;
    println!("loss {:.3} after {} steps", trained.summary.train_loss, trained.summary.steps);
    Ok(())
}
