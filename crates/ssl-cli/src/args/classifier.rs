//! Options of the commands that take an encoder and labelled images.

use std::path::PathBuf;

use anyhow::{Result, bail};
use burn_ssl::{EncoderSource, PreprocessingOptions, SetOptions};
use clap::Args;

use super::{MachineArgs, ModelArgs, defaults};

/// Where the encoder comes from.
#[derive(Args)]
pub(crate) struct EncoderArgs {
    /// Directory of a run; of one that is not finished, the newest checkpoint is taken.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["weights", "untrained", "model", "width", "stem"])]
    run: Option<PathBuf>,
    /// File of weights, of burn-ssl, torchvision or timm; or the directory of a run. The network is found in the file, unless
    /// --model, --width or --stem name it.
    #[arg(long, value_name = "FILE|DIR")]
    weights: Option<PathBuf>,
    /// An untrained network, to compare with; --model, --width and --stem say which.
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
    preprocessing: PreprocessingArgs,
}

/// How images are prepared for an encoder, where that differs from what its run or file says.
#[derive(Args)]
pub(crate) struct PreprocessingArgs {
    /// Width and height of the images in pixels [default: as in the run or the file of weights, otherwise that of the images].
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
            preprocessing: self.preprocessing.options(),
            workers: machine.workers.unwrap_or(0) as usize,
        }
    }
}

#[derive(Args)]
pub(crate) struct LinearArgs {
    #[command(flatten)]
    pub(crate) encoder: EncoderArgs,
    #[command(flatten)]
    pub(crate) sets: SetArgs,
    /// Compute the features of the training images once, from the centre crop, instead of in every epoch from a random crop.
    /// Much faster, but not the protocol of the papers.
    #[arg(long, visible_alias = "no-augment")]
    pub(crate) cached: bool,
    /// Number of passes over the training images.
    #[arg(long, value_name = "N", default_value_t = defaults::linear().epochs as u32, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) epochs: u32,
    /// Images per batch [default: 256, or all if there are fewer].
    #[arg(long, value_name = "N")]
    pub(crate) batch_size: Option<u32>,
    /// Learning rate for a batch of 256; MoCo uses 30.
    #[arg(long, value_name = "X", default_value_t = defaults::linear().optimizer.lr)]
    pub(crate) lr: f64,
    /// Weight decay.
    #[arg(long, value_name = "X", default_value_t = defaults::linear().optimizer.weight_decay)]
    pub(crate) weight_decay: f64,
    /// Seed of the classifier, the order of the images, their views, and an untrained network.
    #[arg(long, value_name = "N", default_value_t = defaults::linear().seed as i64, value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) seed: i64,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_three_numbers() {
        assert_eq!(channels("0.5, 0.25,1"), Ok([0.5, 0.25, 1.0]));
        for text in ["", "0.5", "0.5,0.5,0.5,0.5", "a,b,c"] {
            assert!(channels(text).is_err_and(|sentence| sentence.starts_with("expected three")), "{text}");
        }
    }
}
