//! How well the features tell classes apart.

use burn::tensor::Device;
use ssl_report::Table;

use super::told::Told;
use crate::Recipe;
use crate::images::RunData;
use crate::pretrain::{is_above, standard_error};

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
        let evaluation = recipe.evaluation(sets, device).ok().filter(|_| products <= PRODUCTS);
        Self {
            pixels: evaluation.and_then(|evaluation| evaluation.of_pixels().ok()),
            images: Some(sets.test.len() as u64),
            chance: sets.classes().ok().map(|classes| 100.0 / classes.max(1) as f64),
        }
    }
}

/// Raw pixels, the untrained network and the trained one side by side.
pub(super) fn table(told: &Told, measured: &Measured) -> Table {
    let (run, history, recipe) = (&told.run, &told.history, &told.recipe);
    let Measured { pixels, images, chance } = *measured;
    let share = |value: Option<f64>| match (value, images) {
        (Some(value), Some(images)) => format!("{value:.1} ± {:.1} %", standard_error(value, images)),
        (Some(value), None) => format!("{value:.1} %"),
        (None, _) => "–".to_owned(),
    };
    let plain = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1} %"));
    let row = |name: &str, knn: Option<f64>, top5: Option<f64>, found: Option<f64>| {
        vec![name.to_owned(), share(knn), plain(top5), plain(found)]
    };
    let verdict = told.verdict.as_ref();
    let mut rows = vec![
        row(
            "chance",
            chance.filter(|_| run.knn_top1.is_some()),
            None,
            verdict.map(|verdict| verdict.view_retrieval_chance),
        ),
        row("raw pixels", pixels, None, None),
        row(
            "untrained network",
            run.knn_top1_untrained,
            history.untrained("knn_top5"),
            history.untrained("view_retrieval"),
        ),
        row("trained network", run.knn_top1, history.last("knn_top5"), run.view_retrieval),
    ];
    // A run without labels has no accuracies, and chance is known of views alone.
    rows.retain(|row| row[1..].iter().any(|cell| cell != "–"));
    if let Some(linear) = history.last("linear_top1") {
        rows.push(row(
            "linear probe on the trained network",
            Some(linear),
            history.last("linear_top5"),
            None,
        ));
    }
    let columns = ["features", "k-NN top-1", "top-5", "views found"].map(str::to_owned).to_vec();
    let mut notes = Vec::new();
    match (&recipe.eval.test, run.knn_top1) {
        (Some(test), Some(_)) => {
            let (k, temperature) = (recipe.eval.k, recipe.eval.temperature);
            let bank = recipe.eval.train.as_ref().unwrap_or(&recipe.data.path).display();
            let of = images.map_or(String::new(), |images| format!("the {images} images of "));
            notes.push(format!(
                "k-NN accuracy: {of}{} are classified by the {k} images of {bank} whose features have the highest cosines, weighted by exp(cosine / {temperature}); whole images without augmentation; no label was used in training unless the method says so. Errors are one standard error of that number of images.",
                test.display()
            ));
            if pixels.is_none() {
                notes.push(
                    "Raw pixels were not compared: the sets are too large to do so in passing.".to_owned(),
                );
            }
        }
        _ => notes.push(
            "The run had no labelled test images, so there are no accuracies: eval.test names some."
                .to_owned(),
        ),
    }
    if let (Some(before), Some(after), Some(images)) = (run.knn_top1_untrained, run.knn_top1, images)
        && !is_above(after, before, images)
    {
        notes.push(
            "The accuracy is not above that of the untrained network by more than chance explains."
                .to_owned(),
        );
    }
    if let Some(verdict) = verdict {
        notes.push(format!(
            "Views found: two augmented views of each of {} training images; how many have another view of their image as nearest neighbour.",
            verdict.view_retrieval_images
        ));
    }
    Table { title: "Accuracy".into(), columns, rows, notes }
}
