//! Images per second of a training step.
//!
//! Each piece of work is a resolved recipe in a file, from which both sides build network, heads, loss and optimizer.

mod rows;
mod work;

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Error, Result};
use burn_ssl::registry::{METHODS, MethodInfo, needs};
use clap::Args;
use serde_json::Value;
use xtask::median;

use self::rows::Row;
use self::work::{Changes, Files, Work};
use super::figures::Side;
use super::program::{Baseline, Example, arguments, numbers, target_folder, variants};
use super::{Common, Figures};

/// All combinations of channels_last, compile and malloc except `eager+malloc`, `compile` and `channels_last+compile`.
const VARIANTS: &str = "eager,channels_last,channels_last+malloc,compile+malloc,channels_last+compile+malloc";

/// Options of `bench step`.
#[derive(Args)]
pub(crate) struct Step {
    #[command(flatten)]
    pub(super) common: Common,
    /// Rows of the table in the documentation, by name, or `transformers`, `convolutions` or `all` of them, in place of the options
    /// that make work.
    #[arg(
        long,
        visible_alias = "row",
        value_delimiter = ',',
        value_name = "NAMES",
        conflicts_with_all = ["methods", "model", "shapes", "image_size", "patch_size"]
    )]
    pub(super) rows: Vec<String>,
    /// Methods, or `all`, by their recipes for small images.
    #[arg(long, value_delimiter = ',', default_value = "simclr")]
    methods: Vec<String>,
    /// Our devices; builds their backends.
    #[arg(long, value_delimiter = ',', default_value = "flex")]
    pub(super) devices: Vec<String>,
    /// Encoder.
    #[arg(long, default_value = "resnet18")]
    model: String,
    /// Base widths of the encoder, 64 for a ViT, for a ConvNeXt that of the first stage, and images in a batch, each of which has
    /// two views.
    #[arg(long, value_delimiter = ',', value_name = "WIDTH/BATCH", default_value = "64/32,16/64")]
    shapes: Vec<Shape>,
    /// Width and height of a view in pixels.
    #[arg(long, default_value_t = 32)]
    image_size: usize,
    /// PyTorch's variants: eager, or several of channels_last, compile, malloc, pin and amp joined by `+`.
    ///
    /// `malloc` is the setting of the C library that our side uses too. Three combinations of the first four are left
    /// out of the defaults to save time: each lacks `malloc` or `channels_last` and otherwise equals one of the defaults.
    /// Methods that hide patches are measured without `compile` and `amp`.
    #[arg(long, value_delimiter = ',', default_value = VARIANTS)]
    variants: Vec<String>,
    /// PyTorch's device.
    #[arg(long, default_value = "cpu")]
    baseline_device: String,
    /// Width and height of a ViT's patches.
    #[arg(long, default_value_t = 16)]
    patch_size: usize,
    /// Timed steps per round.
    #[arg(long, default_value_t = 4)]
    steps: usize,
    /// Warm-up steps before them.
    #[arg(long, default_value_t = 2)]
    warmup: usize,
}

/// Base width of the encoder and images in a batch, written `64/32`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Shape {
    width: usize,
    batch: usize,
}

impl FromStr for Shape {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers =
            text.split_once('/').and_then(|(width, batch)| Some((width.parse().ok()?, batch.parse().ok()?)));
        let (width, batch) = numbers
            .with_context(|| format!("'{text}' is not a shape, expected WIDTH/BATCH such as 64/32"))?;
        Ok(Self { width, batch })
    }
}

impl Step {
    pub(super) fn run(&self) -> Result<Vec<Figures>> {
        let works = self.works()?;
        let program = Example::new(&self.common, "burn-ssl", "step_time", &self.devices)?;
        let (baseline, rivals) = (Baseline::new(&self.common)?, variants(&self.common, &self.variants));
        works.iter().map(|work| self.compare(&program, baseline.as_ref(), work, &rivals)).collect()
    }

    /// What is measured.
    fn works(&self) -> Result<Vec<Work>> {
        if !self.rows.is_empty() {
            return rows::named(&self.rows)?.into_iter().map(Row::work).collect();
        }
        let mut works = Vec::new();
        for &shape in &self.shapes {
            for method in self.methods() {
                works.push(self.work(method, shape)?);
            }
        }
        Ok(works)
    }

    fn work(&self, method: &str, shape: Shape) -> Result<Work> {
        let is_vit = self.model.starts_with("vit");
        let data_set = if method == "moco-v3" && is_vit { "cifar10-vit" } else { "cifar10" };
        let Shape { width, batch } = shape;
        let set = match self.model.split('-').next() {
            Some("vit") => format!("encoder.patch_size={}", self.patch_size),
            // Twice as wide in each stage, as all published ones.
            Some("convnext") => format!("encoder.dims={:?}", [0, 1, 2, 3].map(|stage| width << stage)),
            _ => format!("encoder.width={width}"),
        };
        let name = format!("{method}-{}-{width}-{batch}-{}", self.model, self.image_size);
        let changes = Changes { model: &self.model, image_size: self.image_size, batch, set: &[set] };
        Work::of(&name, &format!("{method}/{data_set}"), changes)
    }

    fn methods(&self) -> Vec<&str> {
        match self.methods.as_slice() {
            [all] if all == "all" => {
                let takes = |method: &&MethodInfo| {
                    self.model.starts_with("vit") || needs(method.name).is_ok_and(|needs| !needs.tokens)
                };
                METHODS.iter().filter(takes).map(|method| method.name).collect()
            }
            some => some.iter().map(String::as_str).collect(),
        }
    }

    fn compare(
        &self,
        program: &Example,
        baseline: Option<&Baseline>,
        work: &Work,
        rivals: &[&str],
    ) -> Result<Figures> {
        let files = work.save(&self.folder())?;
        let rivals = work.variants(rivals);
        let mut ours: Vec<Side> = self.devices.iter().map(Side::new).collect();
        let mut theirs: Vec<Side> =
            rivals.iter().map(|variant| Side::new(format!("torch {variant}"))).collect();
        for _ in 0..self.common.rounds {
            for (side, device) in ours.iter_mut().zip(&self.devices) {
                let measured = program.measure(device, &self.of_ours(&files, device))?;
                self.take(side, work, &measured)?;
            }
            for (side, variant) in theirs.iter_mut().zip(&rivals) {
                if let Some(baseline) = baseline {
                    let measured = baseline.measure("step.py", variant, &self.of_theirs(&files, variant))?;
                    self.take(side, work, &measured)?;
                }
            }
        }
        let per_run = Some(work.batch() as f64);
        Ok(Figures { work: work.words(), unit: "images/s", per_run, ours, theirs })
    }

    fn take(&self, side: &mut Side, work: &Work, measured: &Value) -> Result<()> {
        let seconds = numbers(&measured["step_seconds"]);
        side.take(work.batch() as f64 / median(&seconds), measured, self.common.cap)
    }

    /// Where recipes and masks are written.
    fn folder(&self) -> PathBuf {
        self.common.pack.clone().unwrap_or_else(|| target_folder().join("bench")).join("step")
    }

    fn of_ours(&self, files: &Files, device: &str) -> Vec<String> {
        arguments(&[
            ("recipe", &files.ours),
            ("device", &device),
            ("steps", &self.steps),
            ("warmup", &self.warmup),
        ])
    }

    fn of_theirs(&self, files: &Files, variant: &str) -> Vec<String> {
        let mut all = arguments(&[
            ("recipe-json", &files.theirs),
            ("device", &self.baseline_device),
            ("variant", &variant),
            ("steps", &self.steps),
            ("warmup", &self.warmup),
        ]);
        if let Some(masks) = &files.masks {
            all.extend(arguments(&[("masks", masks)]));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::{Args, Files, Shape, Step, Work};

    /// The options of a command line.
    fn step(words: &[&str]) -> Result<Step, clap::Error> {
        let command = Step::augment_args(Command::new("step"));
        Step::from_arg_matches(&command.try_get_matches_from([&["step"], words].concat())?)
    }

    fn words(options: &[&str]) -> Vec<String> {
        let works = step(options).expect("options").works().expect("usable recipes");
        works.iter().map(Work::words).collect()
    }

    #[test]
    fn a_shape_is_a_width_and_a_batch() {
        assert_eq!("64/32".parse::<Shape>().expect("a shape"), Shape { width: 64, batch: 32 });
        let error = "64x32".parse::<Shape>().expect_err("no shape").to_string();
        assert_eq!(error, "'64x32' is not a shape, expected WIDTH/BATCH such as 64/32");
    }

    #[test]
    fn work_is_made_of_rows_or_of_methods_and_shapes() {
        let simclr =
            ["simclr, resnet18 width 64, 32 px, batch 32", "simclr, resnet18 width 16, 32 px, batch 64"];
        assert_eq!(words(&[]), simclr);
        let convnext = words(&["--model", "convnext-tiny", "--shapes", "32/8", "--image-size", "64"]);
        assert_eq!(convnext, ["simclr, convnext-tiny width 32, 64 px, batch 8"]);
        let row = words(&["--row", "mae-vit-tiny"]);
        assert_eq!(row, ["mae, vit-tiny patches of 16, 224 px, 75 % of patches hidden, batch 16"]);
        assert_eq!(words(&["--rows", "mae-vit-tiny,simclr-vit-tiny"]).len(), 2);
        assert!(step(&["--rows", "all", "--model", "resnet50"]).is_err(), "a row has a model");
    }

    #[test]
    fn every_method_is_work_on_a_network_that_it_takes() {
        let on = |model: &str| {
            words(&["--methods", "all", "--model", model, "--shapes", "64/64", "--patch-size", "4"])
        };
        let (resnet, vit) = (on("resnet18"), on("vit-tiny"));
        assert!(!resnet.iter().any(|words| words.starts_with("mae,")), "MAE needs tokens");
        for method in super::METHODS {
            let start = format!("{}, vit-tiny patches of 4, ", method.name);
            assert!(vit.iter().any(|words| words.starts_with(&start)), "{}: {vit:?}", method.name);
        }
    }

    #[test]
    fn both_sides_get_the_files_and_only_pytorch_the_masks() {
        let step = step(&["--steps", "3", "--warmup", "1"]).expect("options");
        let masks = Some("m.json".to_owned());
        let files = Files { ours: "a.toml".into(), theirs: "a.json".into(), masks };
        let ours = step.of_ours(&files, "tch").join(" ");
        assert_eq!(ours, "--recipe a.toml --device tch --steps 3 --warmup 1");
        let theirs = step.of_theirs(&files, "eager").join(" ");
        let expected =
            "--recipe-json a.json --device cpu --variant eager --steps 3 --warmup 1 --masks m.json";
        assert_eq!(theirs, expected);
    }
}
