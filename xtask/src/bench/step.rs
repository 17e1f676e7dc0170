//! Images per second of a training step.
//!
//! Each piece of work is a resolved recipe in a file, from which both sides build network, heads, loss and optimizer.

mod rows;

use std::str::FromStr;

use anyhow::{Context, Error, Result};
use burn_ssl::registry::{METHODS, MethodInfo, needs};
use clap::Args;
use serde_json::Value;

use super::program::{arguments, numbers, work_folder};
use super::rounds::{Contest, Rounds};
use super::row::Row;
use super::work::{Changes, Files, Work};
use super::{Archive, Common};

/// Without `eager+malloc`, `compile` and `channels_last+compile`, to save time: each lacks `channels_last` or `malloc`, and otherwise
/// equals one of these.
const OF_CONVOLUTIONS: [&str; 5] =
    ["eager", "channels_last", "channels_last+malloc", "compile+malloc", "channels_last+compile+malloc"];

/// A ViT has one layer that the order of channels could matter to, and may be slower with `malloc`.
const OF_TRANSFORMERS: [&str; 4] = ["eager", "eager+malloc", "compile", "compile+malloc"];

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
    /// PyTorch's variants: eager, or several of channels_last, compile, malloc, pin and amp joined by `+`. By default those of the
    /// encoder: with channels_last for convolutions, and with and without malloc for a ViT.
    ///
    /// `malloc` is the setting of the C library that our side uses too. Methods that hide patches are measured without `amp`.
    #[arg(long, value_delimiter = ',')]
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
    pub(super) fn run(&self, archive: &mut Archive) -> Result<()> {
        let (works, variants) = (self.works()?, self.all_variants());
        let rounds = Rounds::new(&self.common, "step_time", &self.devices, &variants)?;
        for work in &works {
            let files = work.save(&work_folder(&self.common, "step"))?;
            let contest = StepOf { step: self, work, files };
            archive.measure(&contest.words(), &rounds.sides(&contest), || rounds.compare(&contest))?;
        }
        Ok(())
    }

    /// The variants of all work.
    fn all_variants(&self) -> Vec<String> {
        if !self.variants.is_empty() {
            return self.variants.clone();
        }
        let mut all: Vec<_> =
            OF_CONVOLUTIONS.iter().chain(&OF_TRANSFORMERS).map(ToString::to_string).collect();
        all.sort_unstable();
        all.dedup();
        all
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
}

/// A step, and the files that tell the programs of it.
struct StepOf<'a> {
    step: &'a Step,
    work: &'a Work,
    files: Files,
}

impl Contest for StepOf<'_> {
    fn words(&self) -> String {
        self.work.words()
    }

    fn per_run(&self) -> usize {
        self.work.batch()
    }

    fn rivals<'a>(&self, asked: &[&'a str]) -> Vec<&'a str> {
        if !self.step.variants.is_empty() {
            return self.work.variants(asked);
        }
        let usual = if self.work.is_transformer() { &OF_TRANSFORMERS[..] } else { &OF_CONVOLUTIONS };
        usual.iter().copied().filter(|variant| asked.contains(variant)).collect()
    }

    fn of_ours(&self, device: &str) -> Vec<String> {
        let Step { steps, warmup, .. } = self.step;
        arguments(&[("recipe", &self.files.ours), ("device", &device), ("steps", steps), ("warmup", warmup)])
    }

    fn of_theirs(&self, variant: &str) -> (&'static str, Vec<String>) {
        let Step { baseline_device, steps, warmup, .. } = self.step;
        let mut all = arguments(&[
            ("recipe-json", &self.files.theirs),
            ("device", baseline_device),
            ("variant", &variant),
            ("steps", steps),
            ("warmup", warmup),
        ]);
        if let Some(masks) = &self.files.masks {
            all.extend(arguments(&[("masks", masks)]));
        }
        ("step.py", all)
    }

    fn seconds(&self, measured: &Value) -> Vec<f64> {
        numbers(&measured["step_seconds"])
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::{Args, Contest, Files, Shape, Step, StepOf, Work};

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
    fn the_encoder_decides_which_variants_it_is_compared_with() {
        let rivals = |options: &[&str]| {
            let step = step(options).expect("options");
            let (works, asked) = (step.works().expect("usable recipes"), step.all_variants());
            let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
            let files = Files { ours: String::new(), theirs: String::new(), masks: None };
            StepOf { step: &step, work: &works[0], files }.rivals(&asked).join(",")
        };
        assert_eq!(rivals(&["--row", "dino-vit-tiny"]), "eager,eager+malloc,compile,compile+malloc");
        assert!(rivals(&["--row", "simclr-resnet50"]).ends_with("channels_last+compile+malloc"));
        assert_eq!(rivals(&["--row", "mae-vit-tiny", "--variants", "channels_last,amp"]), "channels_last");
    }

    #[test]
    fn both_sides_get_the_files_and_only_pytorch_the_masks() {
        let step = step(&["--steps", "3", "--warmup", "1"]).expect("options");
        let works = step.works().expect("usable recipes");
        let masks = Some("m.json".to_owned());
        let files = Files { ours: "a.toml".into(), theirs: "a.json".into(), masks };
        let contest = StepOf { step: &step, work: &works[0], files };
        let ours = contest.of_ours("tch").join(" ");
        assert_eq!(ours, "--recipe a.toml --device tch --steps 3 --warmup 1");
        let (script, theirs) = contest.of_theirs("eager");
        let expected =
            "--recipe-json a.json --device cpu --variant eager --steps 3 --warmup 1 --masks m.json";
        assert_eq!((script, theirs.join(" ").as_str()), ("step.py", expected));
    }
}
