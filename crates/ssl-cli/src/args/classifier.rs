//! Options of the commands that take an encoder and labelled images.

use std::path::PathBuf;

use anyhow::{Result, bail};
use burn_ssl::eval::{KnnConfig, ProbeInput};
use burn_ssl::{EncoderSource, LinearOptions, PreprocessingOptions, Protocol, SegmentOptions, SetOptions};
use clap::Args;

use crate::here::Here;

use super::{ImageArgs, MachineArgs, ModelArgs, defaults};

/// Where the encoder comes from.
#[derive(Args)]
pub(crate) struct EncoderArgs {
    /// Directory of a run; of one that is not finished, the newest checkpoint is taken.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["weights", "model", "width", "stem"])]
    run: Option<PathBuf>,
    /// File of weights, of burn-ssl, torchvision, timm, MoCo, DINO and others (docs/other-programs.md); or the directory of a run.
    /// The network is found in the file, unless --model, --width or --stem name it.
    #[arg(long, value_name = "FILE|DIR")]
    weights: Option<PathBuf>,
    /// An untrained network, to compare with: that of --run, or the one that --model, --width and --stem name.
    #[arg(long, conflicts_with = "weights")]
    untrained: bool,
    #[command(flatten)]
    model: ModelArgs,
}

impl EncoderArgs {
    /// The encoder; `seed` is that of an untrained one.
    pub(crate) fn source(self, seed: u64) -> Result<EncoderSource> {
        let config = self.model.config()?;
        Ok(match (self.run, self.weights) {
            (Some(run), _) if self.untrained => EncoderSource::UntrainedRun { run, seed },
            (Some(run), _) => EncoderSource::Run(run),
            (None, Some(run)) if run.is_dir() => EncoderSource::Run(run),
            (None, Some(path)) => EncoderSource::Weights { path, config },
            (None, None) if self.untrained => {
                EncoderSource::Untrained { config: config.unwrap_or_default(), seed }
            }
            (None, None) => {
                bail!(
                    "no encoder is named: expected --run DIR, --weights FILE, or --untrained to compare with"
                )
            }
        })
    }
}

/// Labelled images.
#[derive(Args)]
pub(crate) struct SetArgs {
    /// Labelled training images; for k-NN, the images to search for neighbours [default: those of the run].
    #[arg(long, value_name = "PATH")]
    train: Option<PathBuf>,
    /// Use only N of them, taken from the classes in turn.
    #[arg(long, value_name = "N", visible_alias = "limit", value_parser = clap::value_parser!(u32).range(1..))]
    train_limit: Option<u32>,
    /// Labelled test images [default: those of the run].
    #[arg(long, value_name = "PATH")]
    test: Option<PathBuf>,
    /// Use only N of them, taken from the classes in turn.
    #[arg(long, value_name = "N", visible_alias = "eval-limit", value_parser = clap::value_parser!(u32).range(1..))]
    test_limit: Option<u32>,
    #[command(flatten)]
    images: ImageArgs,
    #[command(flatten)]
    preprocessing: PreprocessingArgs,
}

/// How images are prepared for an encoder, where that differs from what its run or file says.
#[derive(Args)]
pub(crate) struct PreprocessingArgs {
    /// Width and height of the images in pixels [default: as in the run or the file of weights, otherwise that of the
    /// images].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    image_size: Option<u32>,
    /// Mean of each channel, for pixels from 0 to 1 [default: as in the run or the file, otherwise ImageNet's].
    #[arg(long, value_name = "R,G,B", value_parser = channels)]
    mean: Option<[f32; 3]>,
    /// Standard deviation of each channel [default: as in the run or the file, otherwise ImageNet's].
    #[arg(long, value_name = "R,G,B", value_parser = channels)]
    std: Option<[f32; 3]>,
}

impl PreprocessingArgs {
    pub(crate) fn options(&self) -> PreprocessingOptions {
        let image_size = self.image_size.map(|size| size as usize);
        PreprocessingOptions { image_size, mean: self.mean, std: self.std }
    }
}

/// Three numbers with commas between them.
fn channels(text: &str) -> Result<[f32; 3], String> {
    let numbers: Result<Vec<f32>, _> = text.split(',').map(|number| number.trim().parse()).collect();
    let channels = numbers.ok().and_then(|numbers| numbers.try_into().ok());
    channels.ok_or_else(|| "expected three numbers, such as 0.485,0.456,0.406".to_owned())
}

impl SetArgs {
    pub(crate) fn options(self, machine: &MachineArgs) -> SetOptions {
        let number = |value: Option<u32>| value.map(|value| value as usize);
        SetOptions {
            train: self.train,
            train_limit: number(self.train_limit),
            test: self.test,
            test_limit: number(self.test_limit),
            max_image_bytes: self.images.max_image_bytes,
            preprocessing: self.preprocessing.options(),
            workers: machine.workers.unwrap_or(0) as usize,
        }
    }
}

#[derive(Args)]
pub(crate) struct SegmentArgs {
    #[command(flatten)]
    encoder: EncoderArgs,
    /// Images of the bank, in which the class of every pixel is known.
    #[arg(long, value_name = "N", default_value_t = defaults::segment().bank)]
    bank: usize,
    /// Test images.
    #[arg(long, value_name = "N", default_value_t = defaults::segment().test)]
    test: usize,
    /// Number of neighbours that vote.
    #[arg(short, long, value_name = "N", default_value_t = KnnConfig::default().k)]
    k: usize,
    /// Temperature that weights the votes.
    #[arg(long, value_name = "T", default_value_t = KnnConfig::default().temperature)]
    temperature: f64,
    #[command(flatten)]
    preprocessing: PreprocessingArgs,
    /// Seed of an untrained network [default: 0].
    #[arg(long, value_name = "N", requires = "untrained", value_parser = clap::value_parser!(i64).range(0..))]
    seed: Option<i64>,
    #[command(flatten)]
    machine: MachineArgs,
}

impl SegmentArgs {
    pub(crate) fn options(self, here: &Here) -> Result<SegmentOptions> {
        Ok(SegmentOptions {
            bank: self.bank,
            test: self.test,
            knn: KnnConfig { k: self.k, temperature: self.temperature },
            preprocessing: self.preprocessing.options(),
            workers: self.machine.workers.unwrap_or(0) as usize,
            device: here.device(&self.machine.device)?,
            ..SegmentOptions::new(self.encoder.source(self.seed.unwrap_or(0) as u64)?)
        })
    }
}

#[derive(Args)]
pub(crate) struct LinearArgs {
    #[command(flatten)]
    encoder: EncoderArgs,
    #[command(flatten)]
    sets: SetArgs,
    /// Compute the features of the training images once, from the centre crop, instead of in every epoch from a random crop.
    /// Much faster, but not the protocol of the papers.
    #[arg(long, visible_alias = "no-augment")]
    cached: bool,
    /// The classifier, its optimizer and epochs as a paper has them: simclr (a linear layer), mae (batch norm before it, LARS),
    /// dino (the last 4 blocks), dinov2 (and the mean of the patches), or attentive (a query that attends to the patches).
    #[arg(long, value_name = "NAME", default_value_t = Protocol::default().to_string())]
    protocol: String,
    /// Show the classifier the features of the last N blocks of a ViT [default: as in the protocol].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    blocks: Option<u32>,
    /// Show it the mean of the last block's patches as well.
    #[arg(long)]
    patch_mean: bool,
    /// Number of passes over the training images [default: 100, 90, 100, 10 and 20 for these protocols].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    /// Warm-up epochs [default: for mae a ninth of the epochs, else 0].
    #[arg(long, value_name = "X")]
    warmup_epochs: Option<f64>,
    /// Images per batch [default: 256, or all if there are fewer].
    #[arg(long, value_name = "N")]
    batch_size: Option<u32>,
    /// Learning rate for a batch of 256, for attentive of any batch; MoCo uses 30 [default: 0.1, 0.1, 0.001, 0.005 and 0.001].
    #[arg(long, value_name = "X")]
    lr: Option<f64>,
    /// Weight decay [default: 0.01 for attentive, else 0].
    #[arg(long, value_name = "X")]
    weight_decay: Option<f64>,
    /// Seed of the classifier, the order of the images, their views, and an untrained network.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    seed: i64,
    #[command(flatten)]
    machine: MachineArgs,
}

impl LinearArgs {
    pub(crate) fn options(self, here: &Here) -> Result<LinearOptions> {
        let encoder = self.encoder.source(self.seed as u64)?;
        let of_paper = LinearOptions::of(self.protocol.parse()?, encoder);
        let epochs = self.epochs.map_or(of_paper.epochs, u64::from);
        let mut options = LinearOptions {
            sets: self.sets.options(&self.machine),
            cached: self.cached,
            epochs,
            // As large a share of the epochs as in the paper.
            warmup_epochs: self
                .warmup_epochs
                .unwrap_or(of_paper.warmup_epochs * epochs as f64 / of_paper.epochs as f64),
            batch_size: self.batch_size.map(|size| size as usize),
            seed: self.seed as u64,
            device: here.device(&self.machine.device)?,
            group: here.group(),
            ..of_paper
        };
        options.input = input(options.input, self.blocks, self.patch_mean)?;
        options.optimizer.lr = self.lr.unwrap_or(options.optimizer.lr);
        options.optimizer.weight_decay = self.weight_decay.unwrap_or(options.optimizer.weight_decay);
        Ok(options)
    }
}

/// What the classifier sees, where that differs from the protocol's.
fn input(of_paper: ProbeInput, blocks: Option<u32>, with_mean: bool) -> Result<ProbeInput> {
    let (count, patch_mean) = match of_paper {
        ProbeInput::Patches if blocks.is_some() || with_mean => {
            bail!("an attentive probe sees the patches: expected neither --blocks nor --patch-mean")
        }
        ProbeInput::Blocks { count, patch_mean } => (count, patch_mean),
        ProbeInput::Features | ProbeInput::Patches => (1, false),
    };
    match (of_paper, blocks) {
        (ProbeInput::Blocks { .. }, _) | (_, Some(_)) => {}
        (_, None) if with_mean => {}
        (unchanged, None) => return Ok(unchanged),
    }
    let count = blocks.map_or(count, |blocks| blocks as usize);
    Ok(ProbeInput::Blocks { count, patch_mean: patch_mean || with_mean })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_probe_sees_is_the_protocols_unless_told_otherwise() {
        let blocks = |count, patch_mean| ProbeInput::Blocks { count, patch_mean };
        let seen = |of_paper, count, mean| input(of_paper, count, mean).expect("it fits");
        assert_eq!(seen(ProbeInput::Features, None, false), ProbeInput::Features);
        assert_eq!(seen(ProbeInput::Features, None, true), blocks(1, true));
        assert_eq!(seen(ProbeInput::Features, Some(2), false), blocks(2, false));
        assert_eq!(seen(blocks(4, true), Some(2), false), blocks(2, true));
        assert_eq!(seen(blocks(4, false), None, false), blocks(4, false));
        assert_eq!(seen(ProbeInput::Patches, None, false), ProbeInput::Patches);
        assert!(input(ProbeInput::Patches, Some(1), false).is_err());
    }

    #[test]
    fn channels_are_three_numbers() {
        assert_eq!(channels("0.5, 0.25,1"), Ok([0.5, 0.25, 1.0]));
        for text in ["", "0.5", "0.5,0.5,0.5,0.5", "a,b,c"] {
            assert!(channels(text).is_err_and(|sentence| sentence.starts_with("expected three")), "{text}");
        }
    }
}
