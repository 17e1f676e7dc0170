//! The command line.

mod classifier;
mod defaults;
mod recipe;
mod tools;
mod training;

use std::path::PathBuf;

use burn_ssl::data::MAX_IMAGE_BYTES;
use burn_ssl::demo::DemoOptions;
use burn_ssl::eval::KnnConfig;
use burn_ssl::export::{ExportFormat, GraphInput};
use burn_ssl::{PretrainOptions, PreviewOptions};
use clap::{Args as ClapArgs, Parser, Subcommand};

pub(crate) use classifier::{EncoderArgs, LinearArgs, PreprocessingArgs, SegmentArgs, SetArgs};
pub(crate) use recipe::{Asked, ModelArgs, RecipeArgs, TrainingArgs, set, weights_file};
pub(crate) use tools::{
    ClassifyArgs, CompareArgs, DedupArgs, MethodsArgs, ReportArgs, RunsArgs, SimilarArgs,
};
pub(crate) use training::{DistillArgs, EmbedArgs, EncodedArgs, FinetuneArgs};

/// Self-supervised learning of image representations: from a folder of images to a pretrained encoder.
#[derive(Parser)]
// The last of repeated options wins, so that a command can be repeated with a change at its end.
#[command(name = "burn-ssl", version, args_override_self = true, after_help = "Start with: burn-ssl demo")]
pub(crate) struct Args {
    /// Print the result as JSON, on the last line of standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Pretrain on rendered images and compare k-NN before and after, in minutes on a CPU.
    #[command(after_help = "Example:\n  burn-ssl demo --out demo")]
    Demo(DemoArgs),
    /// Pretrain an encoder on images.
    #[command(after_help = "Examples:
  burn-ssl pretrain --method simclr --data photos/ --out run
  burn-ssl pretrain --method simclr --data cifar10-train.tar --eval-test cifar10-test.tar --epochs 100 --out run
  burn-ssl pretrain --method dino --data photos/ --init dino_vitsmall16_pretrain.pth --out run
  burn-ssl pretrain --data photos/ --out run                 (proposes a method; goes on with --yes)
  burn-ssl pretrain --method simclr --data photos/ --batch-size auto --epochs auto --out run
  burn-ssl pretrain --method byol --data photos/ --on-collapse stop --out run      (docs/doctor.md)
  burn-ssl pretrain --resume --out run
  burn-ssl pretrain --resume --epochs 200 --out run          (longer than it was to be)")]
    Pretrain(PretrainArgs),
    /// Say what a pretraining run will take (memory, time, disk) and what speaks against it, from a few steps; writes nothing.
    #[command(after_help = "Takes the options of pretrain. Exit code 1: the run cannot work.

Examples:
  burn-ssl plan --method simclr --data photos/ --out run
  burn-ssl plan --method swav --data photos/ --batch-size auto --epochs auto
  burn-ssl plan --recipe simclr/cifar10 --data cifar10-train.tar --no-steps --json")]
    Plan(PlanArgs),
    /// Evaluate an encoder with k-NN: classify test images by their nearest neighbours in a labelled set.
    #[command(after_help = "Examples:
  burn-ssl knn --run run --train train/ --test test/
  burn-ssl knn --weights resnet50.safetensors --model resnet50 --image-size 224 --train train/ --test test/
  burn-ssl knn --run run --untrained --train train/ --test test/      (the run's network without its training)")]
    Knn(KnnArgs),
    /// Evaluate the features of places: segment rendered images by the nearest neighbours of every patch.
    #[command(after_help = "Examples:
  burn-ssl segment --run run
  burn-ssl segment --run run --untrained       (the run's network without its training)")]
    Segment(SegmentArgs),
    /// Evaluate an encoder with a linear probe: a linear classifier on its frozen features.
    #[command(after_help = "Examples:
  burn-ssl linear --run run --train train/ --test test/
  burn-ssl linear --run run --train train/ --test test/ --cached            (features computed once: much faster)
  burn-ssl linear --run run --train train/ --test test/ --protocol mae      (batch norm and LARS, for masked autoencoders)
  burn-ssl linear --weights resnet50.safetensors --model resnet50 --image-size 224 --train train/ --test test/ --lr 30")]
    Linear(LinearArgs),
    /// Fine-tune a pretrained encoder on all or some of the labels.
    #[command(after_help = "Examples:
  burn-ssl finetune --run run --train train/ --test test/ --fraction 0.1 --out finetuned
  burn-ssl finetune --run run --train train/ --test test/ --fraction 0.01 --from-head-layer 1 --out finetuned   (SimCLR v2)
  burn-ssl finetune --run run --train train/ --test test/ --protocol mae --out finetuned   (a ViT)")]
    Finetune(FinetuneArgs),
    /// Distill a fine-tuned network into another one, on images without labels.
    #[command(after_help = "Example:
  burn-ssl distill --teacher finetuned --data photos/ --model resnet18 --width 32 --epochs 100 --out student")]
    Distill(DistillArgs),
    /// Write the features of images to a file.
    #[command(after_help = "Examples:
  burn-ssl embed --run run --data photos/ --out features.csv
  burn-ssl embed --run run --data photos/ --out features.npy          (names and labels in features.csv)
  burn-ssl embed --run run --data photos/ --out features.parquet      (for pandas, polars, DuckDB)
  burn-ssl embed --weights vit.pth --model vit-base --image-size 224 --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 --data photos/ --out features.csv")]
    Embed(EmbedArgs),
    /// Find the classes of images with a fine-tuned or distilled classifier.
    #[command(after_help = "Examples:
  burn-ssl classify --run finetuned --data photos/ --out classes.csv
  burn-ssl classify --run finetuned --data photos/ --top 3          (prints them)")]
    Classify(ClassifyArgs),
    /// Find the images that an encoder finds most similar to others.
    #[command(after_help = "Examples:
  burn-ssl similar --run run --data photos/ --query cat.jpg --out sheet.png
  burn-ssl similar --run run --data photos.tar --query animals/cat.jpg --query animals/dog.jpg --top 5")]
    Similar(SimilarArgs),
    /// Find near-duplicates among images, and write a table that says which to keep.
    #[command(after_help = "Examples:
  burn-ssl dedup --run run --data photos/ --out duplicates.csv
  burn-ssl dedup --weights resnet50.safetensors --model resnet50 --image-size 224 --data photos/ --out duplicates.csv --distance 2")]
    Dedup(DedupArgs),
    /// Compare runs: recipes, losses, k-NN, rank and time.
    #[command(after_help = "Examples:
  burn-ssl compare run-a run-b --plot curves.png
  burn-ssl compare runs/seed-*          (mean and standard deviation over seeds)")]
    Compare(CompareArgs),
    /// Write a page about runs: curves, accuracies, a map of the features, neighbours, odd images. One HTML file, offline.
    #[command(after_help = "Examples:
  burn-ssl report --run run                      (run/report.html, which a run also writes at its end)
  burn-ssl report --run run --images 2000 --out page.html
  burn-ssl report --run runs/a --run runs/b --out comparison.html")]
    Report(ReportArgs),
    /// List all runs below a folder.
    #[command(after_help = "Examples:
  burn-ssl runs .
  burn-ssl runs experiments/ --sort knn
  burn-ssl runs experiments/ --json")]
    Runs(RunsArgs),
    /// Write the encoder of a run for other programs, with a model card beside it.
    #[command(after_help = "Examples:
  burn-ssl export --run run --out encoder.safetensors --format torchvision          (prints the Python that loads it)
  burn-ssl export --run run --out encoder.onnx --format onnx --input bytes          (normalises pixels inside the graph)
  burn-ssl export --run finetuned --out classifier --format timm-dir --license apache-2.0")]
    Export(ExportArgs),
    /// Draw a sheet of images and their augmented views.
    #[command(after_help = "Example:\n  burn-ssl preview --method simclr --data photos/ --out views.png")]
    Preview(PreviewArgs),
    /// List the methods with their costs, and recommend one.
    #[command(after_help = "Examples:
  burn-ssl methods
  burn-ssl methods --data photos/ --batch-size 64
  burn-ssl methods --json")]
    Methods(MethodsArgs),
    /// List the models.
    #[command(after_help = "Example:\n  burn-ssl models")]
    Models,
    /// List the recipes, or print one.
    #[command(after_help = "Example:\n  burn-ssl recipes simclr/cifar10 > my.toml")]
    Recipes {
        /// The recipe to print.
        name: Option<String>,
    },
    /// List the devices that this build can use.
    #[command(after_help = "Example:\n  burn-ssl devices")]
    Devices,
    /// Print a script that completes commands and options in a shell.
    #[command(after_help = "Examples:
  burn-ssl completions bash > ~/.local/share/bash-completion/completions/burn-ssl
  burn-ssl completions zsh > ~/.zfunc/_burn-ssl
  burn-ssl completions fish > ~/.config/fish/completions/burn-ssl.fish")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for every command.
    #[command(after_help = "Examples:
  burn-ssl man | man -l -
  burn-ssl man --out ~/.local/share/man/man1")]
    Man {
        /// Folder for the pages, such as burn-ssl-pretrain.1 [default: the main page on standard output].
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Replace existing pages.
        #[arg(long, requires = "out")]
        overwrite: bool,
    },
}

#[derive(ClapArgs)]
pub(crate) struct DemoArgs {
    /// Run directory [default: burn-ssl-demo, or the first unused one of burn-ssl-demo-2, -3, ...].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Remove an earlier run in the directory.
    #[arg(long, requires = "out")]
    pub(crate) overwrite: bool,
    /// Seed of the weights, the order of the images and their views.
    #[arg(long, value_name = "N", default_value_t = DemoOptions::new("").seed as i64, value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) seed: i64,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

/// The machine.
#[derive(ClapArgs)]
pub(crate) struct MachineArgs {
    /// Device to compute on; `burn-ssl devices` lists them.
    #[arg(long, value_name = "SPEC", default_value_t = PretrainOptions::new("").device.to_string())]
    pub(crate) device: String,
    /// Threads that decode and augment images [default: one per core]; results do not depend on the number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) workers: Option<u32>,
}

/// The memory of one image. Commands with a recipe have a key for it.
#[derive(ClapArgs)]
pub(crate) struct ImageArgs {
    #[arg(long, value_name = "BYTES", help = format!(
        "Bytes that one image may take while it is decoded, its file included; a larger one is unreadable [default: as in the recipe \
         of the pretraining run that is named, else {MAX_IMAGE_BYTES}, which is 2 GiB]",
    ))]
    pub(crate) max_image_bytes: Option<usize>,
}

#[derive(ClapArgs)]
pub(crate) struct PretrainArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Run directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(ClapArgs)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Run directory that the run is to have; nothing is written to it.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Look at the recipe and the images alone: take no steps.
    #[arg(long)]
    pub(crate) no_steps: bool,
}

/// A pretraining run.
#[derive(ClapArgs)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) training: TrainingArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// Resume the run in the directory; needs no other option than --out. With --epochs or --max-steps, a finished or stopped run
    /// gets another length.
    #[arg(long, conflicts_with = "overwrite", requires = "out")]
    pub(crate) resume: bool,
    /// Go on with the method that is proposed if none is named.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Go on although the images have changed since the run began.
    #[arg(long)]
    pub(crate) accept_changed_data: bool,
    /// Write no page about the run (report.html) at its end.
    #[arg(long)]
    pub(crate) no_report: bool,
    /// Remove an earlier run in the directory.
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[derive(ClapArgs)]
pub(crate) struct KnnArgs {
    #[command(flatten)]
    pub(crate) encoder: EncoderArgs,
    #[command(flatten)]
    pub(crate) sets: SetArgs,
    /// Seed of an untrained network [default: 0].
    #[arg(long, value_name = "N", requires = "untrained", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) seed: Option<i64>,
    /// Number of neighbours that vote.
    #[arg(short, long, value_name = "N", default_value_t = KnnConfig::default().k)]
    pub(crate) k: usize,
    /// Temperature that weights the votes.
    #[arg(long, value_name = "T", default_value_t = KnnConfig::default().temperature)]
    pub(crate) temperature: f64,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

#[derive(ClapArgs)]
pub(crate) struct ExportArgs {
    /// Directory of a run, or of a fine-tuned classifier; of one that is not finished, the newest checkpoint is taken.
    #[arg(long, value_name = "DIR")]
    pub(crate) run: PathBuf,
    /// File to write: .safetensors or .onnx; for timm-dir a folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// torchvision, timm or safetensors (the names of burn-ssl) for a file of tensors, onnx, or timm-dir for a folder that
    /// timm.create_model loads.
    #[arg(long, value_name = "FORMAT", default_value_t)]
    pub(crate) format: ExportFormat,
    /// What goes into an ONNX graph [default: normalized]: normalized pixels, unit for RGB from 0 to 1, or bytes for RGB from 0 to
    /// 255 with channels last.
    #[arg(long, value_name = "PIXELS")]
    pub(crate) input: Option<GraphInput>,
    /// Licence of the weights, for the model card, such as apache-2.0 [default: not stated].
    #[arg(long, value_name = "NAME")]
    pub(crate) license: Option<String>,
    /// Replace existing files.
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[derive(ClapArgs)]
pub(crate) struct PreviewArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Image to write: .png, .jpg, .webp, .bmp or .tiff.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Number of images to show, one per row.
    #[arg(long, value_name = "N", default_value_t = PreviewOptions::new("").images as u32, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) images: u32,
    /// Replace an existing file.
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_every_command_has_an_example() {
        let command = Args::command();
        command.clone().debug_assert();
        for command in command.get_subcommands() {
            let example = command.get_after_help().expect("an example").to_string();
            assert!(example.contains(&format!("burn-ssl {}", command.get_name())), "{example}");
        }
    }
}
