//! The images of a command.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use ssl_core::ConfigError;
use ssl_data::{DataError, Dataset, DatasetOptions, MAX_IMAGE_BYTES, Synthetic};

use crate::{Error, Recipe};

/// Names of the rendered sets, which can be used as paths, with the seed and number of images of each.
const RENDERED: [(&str, u64, usize); 2] = [("demo:train", 1, 4000), ("demo:test", 2, 1000)];

/// Width and height of rendered images.
const RENDERED_SIZE: usize = 32;

/// The most that one image may be allowed to take while it is decoded (our choice: 32 times what the largest takes).
const MOST_IMAGE_BYTES: u64 = 1 << 36;

/// Number of images inspected to find out whether all have the same size (our choice: a fraction of a second).
const LOOKED_AT: usize = 64;

/// Number of images inspected to find out how large they usually are (our choice: photographs take a tenth of a second each).
const LOOKED_AT_FOR_SIZE: usize = 9;

/// Opens the data set at `path`: anything that [`Dataset::open`] recognises, or one of the rendered sets `demo:train` and
/// `demo:test`.
///
/// # Errors
/// Those of [`Dataset::open_with`].
pub fn open(path: &Path, limit: Option<usize>) -> Result<Dataset, DataError> {
    open_within(path, limit, None)
}

/// [`open`] with a bound on the memory of one image: that of a recipe, or of the options of a command.
pub(crate) fn open_within(
    path: &Path,
    limit: Option<usize>,
    max_image_bytes: Option<usize>,
) -> Result<Dataset, DataError> {
    let defaults = DatasetOptions::default();
    let max_image_bytes = max_image_bytes.unwrap_or(defaults.max_image_bytes);
    let options = DatasetOptions { limit, max_image_bytes, ..defaults };
    match RENDERED.iter().find(|(name, ..)| path == Path::new(name)) {
        Some(&(_, seed, images)) => Synthetic::new(seed, images, RENDERED_SIZE).dataset(&options),
        None => Dataset::open_with(path, &options),
    }
}

/// Checks a bound on the memory of one image; `None` stands for the default.
pub(crate) fn check_bytes(field: &'static str, bytes: Option<usize>) -> Result<(), ConfigError> {
    let bytes = bytes.unwrap_or(MAX_IMAGE_BYTES);
    let expected = "at least 1048576, which an image of 400 x 400 pixels takes";
    ConfigError::check(bytes >= 1 << 20, field, bytes, expected)?;
    let expected = "at most 68719476736: the largest image that is decoded takes 2 GiB beside its file";
    ConfigError::check(bytes as u64 <= MOST_IMAGE_BYTES, field, bytes, expected)
}

/// Whether a path is the name of a rendered set.
pub(crate) fn is_rendered(path: &Path) -> bool {
    RENDERED.iter().any(|(name, ..)| path == Path::new(name))
}

/// The longer side of the first readable image in pixels.
pub fn pixels(dataset: &Dataset) -> Option<usize> {
    let image = (0..dataset.len()).find_map(|index| dataset.image(index).ok())?;
    Some(image.width().max(image.height()))
}

/// The width of the images in pixels, if all are square and of the same size. In a large set, 64 images spread over it are
/// inspected.
pub(crate) fn common_size(dataset: &Dataset) -> Option<usize> {
    let stride = dataset.len().div_ceil(LOOKED_AT);
    let images = (0..dataset.len()).step_by(stride).filter_map(|index| dataset.image(index).ok());
    let sizes: BTreeSet<_> = images.map(|image| (image.width(), image.height())).collect();
    match (sizes.len(), sizes.first()) {
        (1, Some(&(width, height))) if width == height => Some(width),
        _ => None,
    }
}

/// The longer side of the images in pixels: the median of nine spread over the set, of those that can be read.
pub(crate) fn usual_side(dataset: &Dataset) -> Option<usize> {
    let stride = dataset.len().div_ceil(LOOKED_AT_FOR_SIZE);
    let images = (0..dataset.len()).step_by(stride).filter_map(|index| dataset.image(index).ok());
    let mut sides: Vec<_> = images.map(|image| image.width().max(image.height())).collect();
    sides.sort_unstable();
    sides.get(sides.len() / 2).copied()
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
        let open = |path: &Path, limit| open_within(path, limit, recipe.data.max_image_bytes);
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
    /// Checks that both have labels, and that these stand for the same classes.
    pub(crate) fn new(bank: Arc<Dataset>, test: Dataset) -> Result<Self, Error> {
        Self::named("bank", bank, test)
    }

    /// [`new`](Self::new), with the name that errors use for the bank.
    pub(crate) fn named(
        bank_name: &'static str,
        bank: Arc<Dataset>,
        mut test: Dataset,
    ) -> Result<Self, Error> {
        for (name, set) in [(bank_name, &*bank), ("test", &test)] {
            if set.labels().is_none() {
                return Err(ssl_eval::EvalError::NoLabels(name).into());
            }
        }
        if let Some(names) = bank.class_names() {
            test.match_labels(names)?;
        }
        Ok(Self { bank, test: Arc::new(test) })
    }

    /// The number of classes, after checking that the bank has images of each and that the test set has no others.
    pub(crate) fn classes(&self) -> Result<usize, Error> {
        let classes = classes_of(&self.bank)?;
        let known = |label: &i64| (0..classes as i64).contains(label);
        match self.test.labels().unwrap_or_default().iter().find(|label| !known(label)) {
            Some(&label) => Err(Error::UnknownLabel { label, classes }),
            None => Ok(classes),
        }
    }
}

/// The number of classes of a labelled set, after checking that each has an image.
pub(crate) fn classes_of(set: &Dataset) -> Result<usize, Error> {
    let labels: BTreeSet<i64> = set.labels().unwrap_or_default().iter().copied().collect();
    if let Some(&label) = labels.first().filter(|&&label| label < 0) {
        return Err(Error::NoClass(label));
    }
    let names = set.class_names();
    let classes = names.map_or_else(|| labels.last().map_or(0, |&label| label as usize + 1), <[String]>::len);
    match (0..classes).find(|&class| !labels.contains(&(class as i64))) {
        Some(class) => {
            let name = names.map_or_else(|| class.to_string(), |names| names[class].clone());
            Err(Error::MissingClass { class: name, classes })
        }
        None => Ok(classes),
    }
}

/// The batch size: as requested, by default 256, or all images if there are fewer.
///
/// The learning rates of the papers are for batches of 256.
pub(crate) fn batch_size(asked: Option<usize>, images: usize) -> Result<usize, Error> {
    match asked {
        Some(batch_size) if batch_size > images => {
            Err(DataError::BatchTooLarge { batch_size, images }.into())
        }
        Some(batch_size) => Ok(batch_size),
        None => Ok(images.min(256)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_data::Image;

    fn labelled(labels: &[i64]) -> Dataset {
        let images = labels.iter().map(|_| Image::new(1, 1, vec![0; 3])).collect();
        Dataset::from_images(images, Some(labels.to_vec()))
    }

    fn classes(train: &[i64], test: &[i64]) -> Result<usize, String> {
        let sets = EvalData::new(Arc::new(labelled(train)), labelled(test)).expect("labels");
        sets.classes().map_err(|error| error.to_string())
    }

    #[test]
    fn every_class_needs_an_image_to_train_with() {
        assert_eq!(classes(&[0, 2, 1, 1], &[1]), Ok(3));
        let missing = classes(&[0, 3, 1], &[1]).expect_err("no 2");
        assert!(missing.starts_with("the training images have none of class 2: expected"), "{missing}");
        let huge = classes(&[0, 1 << 40], &[0]).expect_err("no 1");
        assert!(huge.starts_with("the training images have none of class 1: expected"), "{huge}");
        let negative = classes(&[-1, 0], &[0]).expect_err("no class");
        assert!(negative.starts_with("label -1 is no class: expected"), "{negative}");
        let other = classes(&[0, 1], &[2]).expect_err("unknown");
        assert!(other.starts_with("label 2 of the test images is not among the 2 classes"), "{other}");
    }

    #[test]
    fn an_image_above_the_bound_of_the_recipe_is_unreadable_and_the_key_is_named() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join("1.ppm"), b"P6 1 1 255 \x01\x02\x03").expect("writable");
        let image = |bytes| open_within(dir.path(), None, bytes).expect("a folder of one image").image(0);
        assert!(image(None).is_ok());
        let error = image(Some(5)).expect_err("14 bytes").to_string();
        assert!(error.starts_with("it has 14 bytes, more than the 5 allowed: "), "{error}");
        assert!(error.contains("data.max_image_bytes in a recipe"), "{error}");
    }

    #[test]
    fn a_batch_is_256_images_or_all_unless_asked_for() {
        let batch = |asked, images| batch_size(asked, images).map_err(|error| error.to_string());
        assert_eq!((batch(None, 1000), batch(None, 20), batch(Some(7), 20)), (Ok(256), Ok(20), Ok(7)));
        let error = batch(Some(21), 20).expect_err("too large");
        assert_eq!(error, "a batch of 21 images is larger than the data set of 20 images");
    }
}
