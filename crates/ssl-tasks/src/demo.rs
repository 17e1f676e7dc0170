//! The demo: pretraining on rendered images.

use std::path::PathBuf;

use serde::Serialize;

use crate::methods::Methods;
use crate::pretrain::{PretrainOptions, Report, pretrain};
use crate::{Error, Observer, Recipe};

/// Options of the demo.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoOptions {
    /// The run.
    pub run: PretrainOptions,
    /// Seed of weights, order and views. Default 0.
    pub seed: u64,
    /// Threads that augment; 0, the default, means one per core.
    pub workers: usize,
}

impl DemoOptions {
    /// A demo in the directory `out`.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self { run: PretrainOptions::new(out), seed: 0, workers: 0 }
    }
}

/// The result of the demo.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DemoReport {
    /// The run.
    #[serde(flatten)]
    pub run: Report,
}

/// Pretrains on rendered images, and compares the accuracies of the features before and after training with those of the pixels.
///
/// # Errors
/// If the device or the directory cannot be used.
pub fn demo(
    methods: &impl Methods,
    mut recipe: Recipe,
    options: &DemoOptions,
    observer: &mut impl Observer,
) -> Result<DemoReport, Error> {
    (recipe.seed, recipe.data.workers) = (options.seed, options.workers);
    let recipe = recipe.resolved_by(methods)?;
    Ok(DemoReport { run: pretrain(methods, &recipe, &options.run, observer)? })
}
