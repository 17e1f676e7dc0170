//! An encoder of your own, pretrained with SimCLR on rendered images: with a run directory, k-NN on the way, and features of
//! the test images in `features.csv` at the end.
//!
//! ```sh
//! cargo run --release -p example-custom-encoder
//! ```

use burn::module::Module;
use burn::tensor::{Tensor, activation::relu};
use burn_ssl::core::nn::{BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig};
use burn_ssl::{EmbedOptions, EncoderSource, embed_images_with, prelude::*};

/// Three convolutions that halve height and width, and the mean over all positions.
#[derive(Module, Debug)]
struct SmallNet {
    convs: Vec<Conv2d>,
    norms: Vec<BatchNorm>,
}

fn small_net(init: &mut Init) -> SmallNet {
    let channels = [(3, 16), (16, 32), (32, 64)];
    let conv = |(from, to)| Conv2dConfig::new(from, to, 3).with_stride(2).with_padding(1).init(init);
    let convs = channels.map(conv).into();
    SmallNet { convs, norms: channels.map(|(_, to)| BatchNormConfig::new(to).init(init)).into() }
}

impl Encoder for SmallNet {
    fn encode(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let layers = self.convs.iter().zip(&self.norms);
        let maps = layers.fold(images, |x, (conv, norm)| relu(norm.forward(conv.forward(x), pass)));
        maps.flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2)
    }

    fn feature_dim(&self) -> usize {
        64
    }
}

fn main() -> anyhow::Result<()> {
    let options = PretrainOptions { overwrite: true, ..PretrainOptions::new("target/custom-encoder") };
    pretrain_encoder("small-net", small_net, &Recipe::named("demo")?, &options, &mut NoObserver)?;
    let run = EncoderSource::Run(options.out);
    let embed = EmbedOptions::new(run, "demo:test", "target/custom-encoder/features.csv");
    embed_images_with(small_net, &EmbedOptions { overwrite: true, ..embed })?;
    Ok(())
}
