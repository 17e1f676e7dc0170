//! How well the features tell classes apart.

use std::path::Path;

use burn::tensor::Device;
use ssl_eval::Embedder;
use ssl_report::Table;

use super::told::Told;
use crate::images::RunData;
use crate::pretrain::{is_above, standard_error};
use crate::recipe::{EvalConfig, Recipe};
use crate::self_check::VIEW_RETRIEVAL;

/// Products of pixels that comparing them may take (our choice: a second on a CPU).
const PRODUCTS: usize = 20_000_000_000;

/// What is found out about the labelled sets of a run, if it has any.
#[derive(Default)]
pub(super) struct Measured {
    /// k-NN top-1 on raw pixels in per cent, unless the sets are too large to compare pixels in passing.
    pixels: Option<f64>,
    /// Test images.
    images: Option<u64>,
    /// The accuracy of guessing in per cent.
    chance: Option<f64>,
}

impl Measured {
    pub(super) fn of(recipe: &Recipe, data: &RunData, device: &Device) -> Self {
        let Some(sets) = &data.evaluation else { return Self::default() };
        let dim = 3 * recipe.data.image_size * recipe.data.image_size;
        let products = sets.bank.len().saturating_mul(sets.test.len()).saturating_mul(dim);
        let evaluation = recipe.evaluation(sets, &Embedder::on(device)).ok().filter(|_| products <= PRODUCTS);
        Self {
            pixels: evaluation.and_then(|evaluation| evaluation.of_pixels().ok()),
            images: Some(sets.test.len() as u64),
            chance: sets.classes().ok().map(|classes| 100.0 / classes.max(1) as f64),
        }
    }
}

/// Raw pixels, the untrained network and the trained one side by side.
pub(super) fn table(told: &Told, measured: &Measured) -> Table {
    let columns = ["features", "k-NN top-1", "top-5", "views found"];
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
    let (run, history) = (&told.run, &told.history);
    let plain = |value: Option<f64>| value.map_or(NONE.to_owned(), |value| format!("{value:.1} %"));
    let share = |value: Option<f64>| match value.zip(measured.images) {
        Some((value, images)) => format!("{value:.1} ± {:.1} %", standard_error(value, images)),
        None => plain(value),
    };
    let row = |name: &str, knn: String, top5: Option<f64>, views: Option<f64>| {
        vec![name.to_owned(), knn, plain(top5), plain(views)]
    };
    let chance = measured.chance.filter(|_| run.knn_top1.is_some());
    let chance_of_views = told.verdict.as_ref().map(|verdict| verdict.view_retrieval_chance);
    let untrained = |name: &str| history.untrained(name);
    let mut rows = vec![
        row("chance", plain(chance), None, chance_of_views),
        row("raw pixels", share(measured.pixels), None, None),
        row(
            "untrained network",
            share(run.knn_top1_untrained),
            untrained("knn_top5"),
            untrained(VIEW_RETRIEVAL),
        ),
        row("trained network", share(run.knn_top1), history.last("knn_top5"), run.view_retrieval),
        // Of whoever writes it into the metrics.
        row("linear probe", share(history.last("linear_top1")), history.last("linear_top5"), None),
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
    let large = "Raw pixels were not compared: the sets are too large to do so in passing.";
    let is_large = measured.images.is_some() && measured.pixels.is_none();
    [
        Some(protocol(&told.recipe, measured.images)),
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
