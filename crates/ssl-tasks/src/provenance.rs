//! Provenance: what the files of a run record about their origin.

use std::path::Path;

use ssl_data::Dataset;
use ssl_encoders::{Artifact, DataSummary, Provenance};
use ssl_train::Summary;

use crate::Recipe;

/// The description of the encoder that a run ends with.
pub(crate) fn artifact(recipe: &Recipe, dataset: &Dataset, summary: &Summary) -> Artifact {
    let data = Some(data_summary(&recipe.data.path, dataset));
    so_far(recipe, summary.steps, data).with_metrics(metrics(summary))
}

/// The description of the encoder that a run has after some steps, without metrics.
pub(crate) fn so_far(recipe: &Recipe, steps: u64, data: Option<DataSummary>) -> Artifact {
    let provenance = Provenance {
        method: Some(recipe.method.clone()),
        recipe_hash: Some(recipe.hash()),
        data,
        seed: Some(recipe.seed),
        steps: Some(steps),
        ..Provenance::default()
    };
    Artifact::new(&recipe.encoder, recipe.data.preprocessing()).with_provenance(provenance)
}

/// The loss and the last evaluation of a run.
pub(crate) fn metrics(summary: &Summary) -> impl Iterator<Item = (String, f64)> {
    let loss = ("train_loss".to_owned(), summary.train_loss);
    std::iter::once(loss).chain(summary.evaluation.iter().cloned())
}

/// A summary of the training images at `path`.
pub(crate) fn data_summary(path: &Path, dataset: &Dataset) -> DataSummary {
    // The parent folders are specific to this machine.
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let labels = || dataset.labels()?.iter().max().map(|&label| label as usize + 1);
    let classes = dataset.class_names().map(<[String]>::len).or_else(labels);
    DataSummary { name, images: dataset.len(), classes }
}
