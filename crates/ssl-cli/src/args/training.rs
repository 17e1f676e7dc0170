//! Options of the commands that train a classifier in a directory, and of `embed`.

use std::fmt::Display;
use std::path::PathBuf;

use anyhow::{Result, bail};
use burn_ssl::FinetuneProtocol;
use burn_ssl::train::{Algorithm, OptimizerConfig, OptimizerName, SgdConfig};
use clap::Args;

use super::{EncoderArgs, ImageArgs, MachineArgs, ModelArgs, PreprocessingArgs, SetArgs, defaults};

/// The optimizer; each command has its own defaults.
#[derive(Args)]
pub(crate) struct OptimizerArgs {
    /// Images per batch [default: 256, or all if there are fewer].
    #[arg(long, value_name = "N")]
    pub(crate) batch_size: Option<u32>,
    /// Optimizer: sgd, lars, larc or adamw [default: sgd, and adamw in fine-tuning as mae].
    #[arg(long, value_name = "NAME")]
    optimizer: Option<String>,
    #[arg(long, value_name = "X", help = of_both("Learning rate for a batch of 256", |optimizer| optimizer.lr))]
    lr: Option<f64>,
    #[arg(long, value_name = "X", help = format!("Momentum of sgd, lars and larc [default: {}]", SgdConfig::default().momentum))]
    momentum: Option<f64>,
    #[arg(long, value_name = "X", help = of_both("Weight decay", |optimizer| optimizer.weight_decay))]
    weight_decay: Option<f64>,
    #[arg(long, value_name = "NAME", help = of_both(
        "Parameters without weight decay: none, bias-and-norm, or bias-norm-and-tokens (usual for a ViT)",
        |optimizer| optimizer.no_decay,
    ))]
    no_decay: Option<String>,
    /// Layer-wise decay of a ViT's learning rate, such as 0.65: each block has X times the rate of the next.
    #[arg(long, value_name = "X")]
    layer_decay: Option<f64>,
    /// Warm-up epochs [default: 5 % of the epochs in distillation and in fine-tuning as mae, else 0].
    #[arg(long, value_name = "X")]
    pub(crate) warmup_epochs: Option<f64>,
}

/// A help text with the defaults of both commands.
fn of_both<T: Display>(about: &str, value: fn(&OptimizerConfig) -> T) -> String {
    let [finetune, distill] = [defaults::finetune().optimizer, defaults::distill().optimizer];
    format!(
        "{about} [default: {} in fine-tuning as simclr, {} in distillation]",
        value(&finetune),
        value(&distill)
    )
}

impl OptimizerArgs {
    /// An optimizer with these options in it.
    pub(crate) fn apply(&self, optimizer: &mut OptimizerConfig) -> Result<()> {
        let name = self.optimizer.as_deref().map(str::parse::<OptimizerName>).transpose()?;
        if let Some(name) = name.filter(|name| *name != optimizer.name()) {
            optimizer.algorithm = name.into();
        }
        if let Some(given) = self.momentum {
            *momentum(&mut optimizer.algorithm)? = given;
        }
        optimizer.lr = self.lr.unwrap_or(optimizer.lr);
        optimizer.weight_decay = self.weight_decay.unwrap_or(optimizer.weight_decay);
        if let Some(given) = &self.no_decay {
            optimizer.no_decay = given.parse()?;
        }
        optimizer.layer_decay = self.layer_decay.or(optimizer.layer_decay);
        Ok(())
    }
}

/// The momentum of an optimizer that has one.
fn momentum(algorithm: &mut Algorithm) -> Result<&mut f64> {
    Ok(match algorithm {
        Algorithm::Sgd(config) => &mut config.momentum,
        Algorithm::Lars(config) => &mut config.momentum,
        Algorithm::Larc(config) => &mut config.momentum,
        other => {
            bail!("--momentum needs sgd, lars or larc, and the optimizer is {}", other.name())
        }
    })
}

/// Where the result goes.
#[derive(Args)]
pub(crate) struct OutArgs {
    /// Directory of the classifier.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Resume the training in the directory, with the same options.
    #[arg(long, conflicts_with = "overwrite")]
    pub(crate) resume: bool,
    /// Go on although the images have changed since the training began.
    #[arg(long)]
    pub(crate) accept_changed_data: bool,
    /// Remove an earlier run in the directory.
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[derive(Args)]
pub(crate) struct FinetuneArgs {
    #[command(flatten)]
    pub(crate) encoder: EncoderArgs,
    #[command(flatten)]
    pub(crate) sets: SetArgs,
    /// Fraction of the training images of each class to use, such as 0.01 or 0.1; at least one image of each.
    #[arg(long, value_name = "SHARE", default_value_t = defaults::finetune().fraction)]
    pub(crate) fraction: f64,
    /// Layers of the run's projector to keep below the classifier [default: 1 after simclr-v2, otherwise 0].
    #[arg(long, value_name = "N")]
    pub(crate) from_head_layer: Option<u32>,
    /// Optimizer, epochs and regularisation as a paper has them: simclr, or mae (for a ViT: AdamW with layer-wise decay,
    /// drop-path, smooth labels, mixup and cutmix).
    #[arg(long, value_name = "NAME", default_value_t = FinetuneProtocol::default().to_string())]
    pub(crate) protocol: String,
    /// Share of a label that goes to all classes alike [default: 0.1 for mae, else 0].
    #[arg(long, value_name = "X")]
    pub(crate) label_smoothing: Option<f64>,
    /// Mix images, in proportions from Beta(X, X) [default: 0.8 for mae, else 0, which is never].
    #[arg(long, value_name = "X")]
    pub(crate) mixup: Option<f64>,
    /// Paste rectangles of other images, of areas from Beta(X, X) [default: 1 for mae, else 0, which is never].
    #[arg(long, value_name = "X")]
    pub(crate) cutmix: Option<f64>,
    /// Probability that the last block of a ViT drops a branch [default: 0.1 for mae, else that of the encoder].
    #[arg(long, value_name = "X")]
    pub(crate) drop_path: Option<f64>,
    /// Number of passes over the images used [default: 100 for mae, else 60 for a fraction of up to 0.01 and 30 above].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) epochs: Option<u32>,
    #[command(flatten)]
    pub(crate) optimizer: OptimizerArgs,
    /// Seed of the fraction, the classifier, the order of the images, their views, and an untrained network.
    #[arg(long, value_name = "N", default_value_t = defaults::finetune().seed as i64, value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) seed: i64,
    #[command(flatten)]
    pub(crate) out: OutArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

#[derive(Args)]
pub(crate) struct DistillArgs {
    /// Directory of the teacher, written by `finetune` or `distill`.
    #[arg(long, value_name = "DIR")]
    pub(crate) teacher: PathBuf,
    /// Images, with or without labels.
    #[arg(long, value_name = "PATH")]
    pub(crate) data: PathBuf,
    /// Use only N images, taken from the classes in turn.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Labelled test images [default: those of the teacher].
    #[arg(long, value_name = "PATH")]
    pub(crate) test: Option<PathBuf>,
    /// Use only N of them, taken from the classes in turn.
    #[arg(long, value_name = "N", visible_alias = "eval-limit", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) test_limit: Option<u32>,
    #[command(flatten)]
    pub(crate) images: ImageArgs,
    /// The student [default: a network like the teacher's].
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Weights that the student starts from, of burn-ssl, torchvision or timm, or the directory of a run [default: random].
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) init: Option<PathBuf>,
    /// Temperature of the class scores.
    #[arg(long, value_name = "T", default_value_t = defaults::distill().distillation.temperature)]
    pub(crate) temperature: f64,
    /// Weight of the teacher in the loss. The remaining 1 - X is for labels, which all images need if X is below 1.
    #[arg(long, value_name = "X", default_value_t = defaults::distill().distillation.alpha)]
    pub(crate) alpha: f64,
    /// Number of passes over the images.
    #[arg(long, value_name = "N", default_value_t = defaults::distill().epochs as u32, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) epochs: u32,
    #[command(flatten)]
    pub(crate) optimizer: OptimizerArgs,
    /// Seed of the student, the order of the images and their views.
    #[arg(long, value_name = "N", default_value_t = defaults::distill().seed as i64, value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) seed: i64,
    #[command(flatten)]
    pub(crate) out: OutArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

/// An encoder, and the images to use it on.
#[derive(Args)]
pub(crate) struct EncodedArgs {
    #[command(flatten)]
    pub(crate) encoder: EncoderArgs,
    /// Images, with or without labels.
    #[arg(long, value_name = "PATH")]
    pub(crate) data: PathBuf,
    /// Use only N images, taken from the classes in turn.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    #[command(flatten)]
    pub(crate) images: ImageArgs,
    #[command(flatten)]
    pub(crate) preprocessing: PreprocessingArgs,
    /// Replace existing files.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Seed of an untrained network.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) seed: i64,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

#[derive(Args)]
pub(crate) struct EmbedArgs {
    #[command(flatten)]
    pub(crate) encoded: EncodedArgs,
    /// File to write: .csv, .npy (names and labels go to a .csv beside it), .safetensors or .parquet. The encoder is described in
    /// a .json beside it, or in the metadata of a .safetensors or .parquet.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}
