//! The images of a command.

use std::path::Path;
use std::sync::Arc;

use ssl_data::{DataError, Dataset, DatasetOptions, EvalLoader, LoaderConfig, Synthetic};

use crate::{Error, Recipe};

/// Images in a batch of evaluation (our choice; results do not depend on it).
const EVAL_BATCH: usize = 256;

/// Names of the rendered sets that stand beside paths: seed and number of images of each.
const RENDERED: [(&str, u64, usize); 2] = [("demo:train", 1, 4000), ("demo:test", 2, 1000)];

/// Width and height of rendered images.
const RENDERED_SIZE: usize = 32;

/// Opens the data set at `path`: whatever [`Dataset::open`] recognises, or one of the rendered sets `demo:train` and
/// `demo:test`.
///
/// # Errors
/// Those of [`Dataset::open_with`].
pub fn open(path: &Path, limit: Option<usize>) -> Result<Dataset, DataError> {
    let options = DatasetOptions { limit, ..DatasetOptions::default() };
    match RENDERED.iter().find(|(name, ..)| path == Path::new(name)) {
        Some(&(_, seed, images)) => Synthetic::new(seed, images, RENDERED_SIZE).dataset(&options),
        None => Dataset::open_with(path, &options),
    }
}

/// Whether a path is the name of a rendered set.
pub(crate) fn is_rendered(path: &Path) -> bool {
    RENDERED.iter().any(|(name, ..)| path == Path::new(name))
}

/// The longer side in pixels of the first readable image, which stands for all.
pub fn pixels(dataset: &Dataset) -> Option<usize> {
    let image = (0..dataset.len()).find_map(|index| dataset.image(index).ok())?;
    Some(image.width().max(image.height()))
}

/// The images of a run.
pub(crate) struct RunData {
    pub(crate) train: Arc<Dataset>,
    pub(crate) evaluation: Option<EvalData>,
}

/// The images of an evaluation.
pub(crate) struct EvalData {
    pub(crate) bank: Arc<Dataset>,
    pub(crate) test: Arc<Dataset>,
}

impl RunData {
    /// Opens the sets that a recipe names.
    pub(crate) fn open(recipe: &Recipe) -> Result<Self, Error> {
        if recipe.data.path.as_os_str().is_empty() {
            return Err(Error::NoData);
        }
        let train = Arc::new(open(&recipe.data.path, recipe.data.limit)?);
        let Some(test) = &recipe.eval.test else { return Ok(Self { train, evaluation: None }) };
        let bank = match &recipe.eval.train {
            Some(path) => Arc::new(open(path, None)?),
            None => Arc::clone(&train),
        };
        let evaluation = Some(EvalData::new(bank, open(test, recipe.eval.limit)?)?);
        Ok(Self { train, evaluation })
    }
}

impl EvalData {
    /// Checks that both have labels and that they mean the same.
    pub(crate) fn new(bank: Arc<Dataset>, mut test: Dataset) -> Result<Self, Error> {
        for (name, set) in [("bank", &*bank), ("test", &test)] {
            if set.labels().is_none() {
                return Err(ssl_eval::EvalError::NoLabels(name).into());
            }
        }
        if let Some(names) = bank.class_names() {
            test.match_labels(names)?;
        }
        Ok(Self { bank, test: Arc::new(test) })
    }
}

/// A loader of all images of a set, as evaluation sees them.
pub(crate) fn eval_loader(set: &Arc<Dataset>, recipe: &Recipe) -> Result<EvalLoader, Error> {
    let config = LoaderConfig { batch_size: EVAL_BATCH, workers: recipe.data.worker_threads() };
    Ok(EvalLoader::new(Arc::clone(set), recipe.data.eval_transform()?, config)?)
}
