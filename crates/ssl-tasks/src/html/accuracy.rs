//! How well the features tell classes apart.

use std::path::Path;

use burn::tensor::Device;
use ssl_eval::Embedder;
use ssl_report::Table;

use super::told::Told;
use crate::baselines::{Baselines, LINEAR_TOP5, times};
use crate::evaluation::PixelScores;
use crate::images::RunData;
use crate::pretrain::{is_above, standard_error};
use crate::recipe::{EvalConfig, Recipe};
use crate::self_check::VIEW_RETRIEVAL;

/// What is found out about the labelled sets of a run, if it has any.
#[derive(Default)]
pub(super) struct Measured {
    /// The accuracies of raw pixels, for runs that did not measure them.
    pixels: PixelScores,
    /// Test images.
    images: Option<u64>,
    /// The accuracy of guessing in per cent.
    chance: Option<f64>,
}

impl Measured {
    /// `known` is what the run measured.
    pub(super) fn of(recipe: &Recipe, data: &RunData, device: &Device, known: &Baselines) -> Self {
        let Some(sets) = &data.evaluation else { return Self::default() };
        let is_known = known.knn.pixels.is_some() || known.linear.pixels.is_some();
        let evaluation = recipe.evaluation(sets, &Embedder::on(device)).ok().filter(|_| !is_known);
        let pixels = evaluation.and_then(|evaluation| evaluation.of_pixels(recipe.data.image_size).ok());
        Self {
            pixels: pixels.unwrap_or_default(),
            images: Some(sets.test.len() as u64),
            chance: sets.classes().ok().map(|classes| 100.0 / classes.max(1) as f64),
        }
    }

    /// The baselines of the run, completed.
    fn complete(&self, told: &Told) -> Baselines {
        let Baselines { mut knn, mut linear } = told.baselines();
        knn.pixels = knn.pixels.or(self.pixels.knn);
        linear.pixels = linear.pixels.or(self.pixels.linear);
        Baselines { knn, linear }
    }
}

/// Raw pixels, the untrained network and the trained one side by side.
pub(super) fn table(told: &Told, measured: &Measured) -> Table {
    let columns = ["features", "k-NN top-1", "k-NN top-5", "linear top-1", "linear top-5", "views found"];
    let rows = rows(told, measured);
    // Without labels, there are no accuracies.
    let is_there = |column: &usize| *column == 0 || rows.iter().any(|row| row[*column] != NONE);
    let there: Vec<usize> = (0..columns.len()).filter(is_there).collect();
    Table {
        title: "Accuracy".into(),
        columns: there.iter().map(|&column| columns[column].to_owned()).collect(),
        rows: rows.iter().map(|row| there.iter().map(|&column| row[column].clone()).collect()).collect(),
        notes: notes(told, measured),
    }
}

/// A value that is not known.
const NONE: &str = "–";

fn rows(told: &Told, measured: &Measured) -> Vec<Vec<String>> {
    let (run, history, Baselines { knn, linear }) = (&told.run, &told.history, measured.complete(told));
    let plain = |value: Option<f64>| value.map_or(NONE.to_owned(), |value| format!("{value:.1} %"));
    let share = |value: Option<f64>| match value.zip(measured.images) {
        Some((value, images)) => format!("{value:.1} ± {:.1} %", standard_error(value, images)),
        None => plain(value),
    };
    let row = |name: &str, top1: [Option<f64>; 2], top5: [Option<f64>; 2], views: Option<f64>| {
        let [[knn, linear], [knn5, linear5]] = [top1.map(share), top5.map(plain)];
        vec![name.to_owned(), knn, knn5, linear, linear5, plain(views)]
    };
    let times = |name: &str, of: [Option<f64>; 2]| {
        let [knn, linear] = [run.knn_top1.zip(of[0]), run.linear_top1.zip(of[1])]
            .map(|pair| pair.and_then(|(value, of)| times(value, Some(of))).unwrap_or(NONE.to_owned()));
        vec![name.to_owned(), knn, NONE.to_owned(), linear, NONE.to_owned(), NONE.to_owned()]
    };
    let chance_of_views = told.verdict.as_ref().map(|verdict| verdict.view_retrieval_chance);
    let chance = |trained: Option<f64>| plain(measured.chance.filter(|_| trained.is_some()));
    let [of_knn, of_linear] = [chance(run.knn_top1), chance(run.linear_top1)];
    let guess =
        vec!["chance".into(), of_knn, NONE.to_owned(), of_linear, NONE.to_owned(), plain(chance_of_views)];
    let untrained = |name: &str| history.untrained(name);
    let mut rows = vec![
        guess,
        row("raw pixels", [knn.pixels, linear.pixels], [None; 2], None),
        row(
            "untrained network",
            [knn.untrained, linear.untrained],
            ["knn_top5", LINEAR_TOP5].map(untrained),
            untrained(VIEW_RETRIEVAL),
        ),
        row(
            "trained network",
            [run.knn_top1, run.linear_top1],
            ["knn_top5", LINEAR_TOP5].map(|name| history.last(name)),
            run.view_retrieval,
        ),
        times("times raw pixels", [knn.pixels, linear.pixels]),
        times("times untrained", [knn.untrained, linear.untrained]),
    ];
    rows.retain(|row| row[1..].iter().any(|cell| cell != NONE));
    rows
}

fn notes(told: &Told, measured: &Measured) -> Vec<String> {
    let views = told.verdict.as_ref().map(|verdict| {
        format!(
            "Views found: two augmented views of each of {} training images, and how many have another view of their image as nearest neighbour.",
            verdict.view_retrieval_images
        )
    });
    let Some(after) = told.run.knn_top1 else {
        let none = "The run had no labelled test images, so there are no accuracies: eval.test names some.";
        return std::iter::once(none.to_owned()).chain(views).collect();
    };
    let unlike_chance = |before: f64, images: u64| is_above(after, before, images);
    let above = told
        .run
        .knn_top1_untrained
        .zip(measured.images)
        .is_none_or(|(before, images)| unlike_chance(before, images));
    let chance = "The accuracy is not above that of the untrained network by more than chance explains.";
    let large = "Raw pixels have no k-NN accuracy: the sets are too large to compare them in passing.";
    let Baselines { knn, linear } = measured.complete(told);
    let is_large = measured.images.is_some() && knn.pixels.is_none();
    let of_linear = told.run.linear_top1.map(|_| linear_protocol(linear.pixels.is_some()));
    [
        Some(protocol(&told.recipe, measured.images)),
        of_linear,
        (!above).then(|| chance.to_owned()),
        is_large.then(|| large.to_owned()),
        views,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// How the accuracies were measured.
fn protocol(recipe: &Recipe, images: Option<u64>) -> String {
    let EvalConfig { test, train, k, temperature, .. } = &recipe.eval;
    let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let bank = name(train.as_ref().unwrap_or(&recipe.data.path));
    let of = images.map_or(String::new(), |images| format!("the {images} images of "));
    let test = test.as_ref().map_or("the test set".into(), |test| name(test));
    format!(
        "k-NN: {of}{test} are classified by the {k} images of {bank} whose features are most similar, weighted by exp(cosine / {temperature}), as whole images without augmentation. Errors are one standard error for that number of images."
    )
}

/// How the accuracies of linear classifiers were measured.
fn linear_protocol(pixels: bool) -> String {
    let pixels = if pixels { " Raw pixels are those of images shrunk to at most 16 x 16." } else { "" };
    format!(
        "Linear: a classifier fitted to the same features in closed form, as ridge regression (docs/evaluation.md); a trained probe, as by burn-ssl linear, may do better.{pixels}"
    )
}
