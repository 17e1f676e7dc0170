//! Images per second of an encoder in evaluation mode.
//!
//! Each row is a resolved recipe in a file, from which both sides build the encoder. ONNX Runtime gets it as PyTorch exports it.

use std::cell::OnceCell;
use std::path::Path;

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::program::{arguments, work_folder};
use super::rounds::{Contest, Rounds, is_onnx};
use super::row::{self, Row};
use super::work::{Files, Work};
use super::{Archive, Common};

/// `compile` with and without `freeze`, for it is not the faster one of every network.
const VARIANTS: &str = "eager,channels_last,channels_last+malloc,compile+malloc,channels_last+compile+malloc,\
    compile+freeze+malloc,channels_last+compile+freeze+malloc,onnxruntime,onnxruntime+malloc";

static ROWS: [Row; 2] = [
    Row::new("resnet50", "simclr/cifar10", "resnet50", 224, 32, &[]),
    Row::new("vit-small", "simclr/cifar10", "vit-small", 224, 32, &["encoder.patch_size=16"]),
];

/// Options of `bench embed`.
#[derive(Args)]
pub(crate) struct Embed {
    #[command(flatten)]
    pub(super) common: Common,
    /// Rows of the table in the documentation, by name: `resnet50`, `vit-small`, or `all` of them.
    #[arg(long, visible_alias = "row", value_delimiter = ',', value_name = "NAMES", default_value = "all")]
    pub(super) rows: Vec<String>,
    /// Our devices; builds their backends.
    #[arg(long, value_delimiter = ',', default_value = "flex")]
    pub(super) devices: Vec<String>,
    /// Width and height of an image in pixels [default: 224].
    #[arg(long)]
    image_size: Option<usize>,
    /// Images of a batch [default: 32].
    #[arg(long)]
    batch: Option<usize>,
    /// Variants of the other side: eager, or several of channels_last, compile, freeze, malloc and pin joined by `+`, are PyTorch's;
    /// onnxruntime, or onnxruntime+malloc, is ONNX Runtime's.
    ///
    /// `freeze` is a setting of `compile` that makes weights constants. `malloc` is the setting of the C library that our side uses
    /// too.
    #[arg(long, value_delimiter = ',', default_value = VARIANTS)]
    variants: Vec<String>,
    /// PyTorch's device; ONNX Runtime is on the CPU.
    #[arg(long, default_value = "cpu")]
    baseline_device: String,
    /// Timed batches per round.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Warm-up batches before them.
    #[arg(long, default_value_t = 1)]
    warmup: usize,
}

impl Embed {
    pub(super) fn run(&self, archive: &mut Archive) -> Result<()> {
        let works = self.works()?;
        let rounds = Rounds::new(&self.common, "embed_time", &self.devices, &self.variants)?;
        for work in &works {
            let contest = self.contest(work)?;
            archive.measure(&contest.words(), &rounds.sides(&contest), || {
                self.export(&contest, &rounds)?;
                rounds.compare(&contest)
            })?;
        }
        Ok(())
    }

    fn works(&self) -> Result<Vec<Work>> {
        let rows = row::named(&ROWS, &[("all", |_| true)], &self.rows)?;
        rows.into_iter().map(|row| row.at(self.image_size, self.batch).work()).collect()
    }

    /// Writes the files of a piece of work.
    fn contest<'a>(&'a self, work: &'a Work) -> Result<EmbedOf<'a>> {
        Ok(EmbedOf::new(self, work, work.save(&work_folder(&self.common, "embed"))?))
    }

    /// Lets PyTorch write the encoder for ONNX Runtime, if that is a rival.
    fn export(&self, contest: &EmbedOf<'_>, rounds: &Rounds<'_>) -> Result<()> {
        let has_onnx = rounds.variants.iter().any(|variant| is_onnx(variant));
        if let Some(baseline) = rounds.baseline.as_ref().filter(|_| has_onnx) {
            baseline.measure("write_onnx.py", "eager", &contest.of_export())?;
        }
        Ok(())
    }
}

/// A batch to embed, and the files that tell the programs of it.
struct EmbedOf<'a> {
    embed: &'a Embed,
    work: &'a Work,
    files: Files,
    /// The shape of the features of the first side, `[batch, feature_dim]`.
    features: OnceCell<Value>,
}

impl<'a> EmbedOf<'a> {
    fn new(embed: &'a Embed, work: &'a Work, files: Files) -> Self {
        Self { embed, work, files, features: OnceCell::new() }
    }

    fn of_export(&self) -> Vec<String> {
        let [model, small] = self.onnx();
        arguments(&[("recipe-json", &self.files.theirs), ("out", &model), ("small", &small)])
    }

    /// The encoder, and a narrow one that loads the code.
    fn onnx(&self) -> [String; 2] {
        ["onnx", "small.onnx"]
            .map(|ending| Path::new(&self.files.theirs).with_extension(ending).display().to_string())
    }
}

impl Contest for EmbedOf<'_> {
    fn words(&self) -> String {
        self.work.words_of_embedding()
    }

    fn per_run(&self) -> usize {
        self.work.batch()
    }

    fn of_ours(&self, device: &str) -> Vec<String> {
        let Embed { runs, warmup, .. } = self.embed;
        arguments(&[("recipe", &self.files.ours), ("device", &device), ("runs", runs), ("warmup", warmup)])
    }

    fn of_theirs(&self, variant: &str) -> (&'static str, Vec<String>) {
        let Embed { baseline_device, runs, warmup, .. } = self.embed;
        let ([model, small], batch) = (self.onnx(), self.work.batch());
        let (script, told) = if is_onnx(variant) {
            ("embed_onnx.py", arguments(&[("model", &model), ("small", &small), ("batch", &batch)]))
        } else {
            let told = [("recipe-json", &self.files.theirs), ("device", baseline_device)];
            ("embed.py", arguments(&told.map(|(flag, value)| (flag, value as &dyn std::fmt::Display))))
        };
        let same = arguments(&[("variant", &variant), ("runs", runs), ("warmup", warmup)]);
        (script, [told, same].concat())
    }

    fn check(&self, side: &str, measured: &Value) -> Result<()> {
        let found = &measured["features"];
        let expected = self.features.get_or_init(|| json!([self.work.batch(), found[1]]));
        ensure!(
            found == expected && found[1].is_u64(),
            "{side} makes features of shape {found}, expected {expected}"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;

    /// The options of a command line.
    fn embed(words: &[&str]) -> Embed {
        let command = Embed::augment_args(Command::new("embed"));
        let matches = command.try_get_matches_from([&["embed"], words].concat()).expect("options");
        Embed::from_arg_matches(&matches).expect("options")
    }

    fn files() -> Files {
        Files { ours: "a.toml".into(), theirs: "a.json".into(), masks: None }
    }

    #[test]
    fn the_rows_are_the_work_that_the_documentation_names() {
        let words = |options: &[&str]| -> Vec<String> {
            embed(options).works().expect("known rows").iter().map(Work::words_of_embedding).collect()
        };
        let rows = ["resnet50 width 64, 224 px, batch 32", "vit-small patches of 16, 224 px, batch 32"];
        assert_eq!(words(&[]), rows);
        let small = words(&["--row", "vit-small", "--image-size", "32", "--batch", "2"]);
        assert_eq!(small, ["vit-small patches of 16, 32 px, batch 2"]);
        let error = embed(&["--rows", "vit-huge"]).works().expect_err("no such row").to_string();
        assert_eq!(error, "there is no row vit-huge, expected one of all, resnet50, vit-small");
    }

    #[test]
    fn onnx_runtime_gets_a_graph_and_the_others_the_recipe() {
        let embed = embed(&["--runs", "2", "--batch", "4"]);
        let works = embed.works().expect("known rows");
        let contest = EmbedOf::new(&embed, &works[0], files());
        assert_eq!(contest.of_ours("tch").join(" "), "--recipe a.toml --device tch --runs 2 --warmup 1");
        let theirs = |variant: &str| {
            let (script, arguments) = contest.of_theirs(variant);
            format!("{script} {}", arguments.join(" "))
        };
        let torch = "embed.py --recipe-json a.json --device cpu --variant eager --runs 2 --warmup 1";
        assert_eq!(theirs("eager"), torch);
        let onnx = "embed_onnx.py --model a.onnx --small a.small.onnx --batch 4 --variant onnxruntime --runs 2 --warmup 1";
        assert_eq!(theirs("onnxruntime"), onnx);
        assert_eq!(contest.of_export().join(" "), "--recipe-json a.json --out a.onnx --small a.small.onnx");
    }

    #[test]
    fn features_have_one_shape_on_all_sides() {
        let embed = embed(&["--batch", "4"]);
        let works = embed.works().expect("known rows");
        let contest = || EmbedOf::new(&embed, &works[0], files());
        let ours = contest();
        let check = |shape: Value| ours.check("torch eager", &json!({ "features": shape }));
        assert!(check(json!([4, 2048])).is_ok() && check(json!([4, 2048])).is_ok());
        let error = check(json!([4, 1000])).expect_err("other features").to_string();
        assert_eq!(error, "torch eager makes features of shape [4,1000], expected [4,2048]");
        let first = |measured: Value| contest().check("flex", &measured);
        assert!(first(json!({ "features": [2, 2048] })).is_err(), "another batch");
        assert!(first(json!({})).is_err(), "no shape");
    }
}
