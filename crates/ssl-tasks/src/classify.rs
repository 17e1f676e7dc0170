//! The classes that a fine-tuned classifier gives images.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::activation::softmax;
use serde::Serialize;
use ssl_core::{ConfigError, DeviceSpec};
use ssl_data::Dataset;
use ssl_encoders::ClassifierHead;
use ssl_eval::{Embedder, Features, embed_with_indices};
use ssl_files::{escaped, shown};
use tracing::info;

use crate::classifier::Teacher;
use crate::preparation::Preparation;
use crate::{Error, files, images};

/// Options of [`classify`].
#[derive(Clone, Debug, PartialEq)]
pub struct ClassifyOptions {
    /// The directory that `finetune` or `distill` wrote.
    pub classifier: PathBuf,
    /// The images, labelled or not.
    pub data: PathBuf,
    /// Use only this many of them. Default: all.
    pub limit: Option<usize>,
    /// Bytes that one image may take while it is decoded, its file included; a larger one is unreadable. Default:
    /// [`MAX_IMAGE_BYTES`](ssl_data::MAX_IMAGE_BYTES), 2 GiB.
    pub max_image_bytes: Option<usize>,
    /// Classes to name for each image, the most likely first. Default 1.
    pub top: usize,
    /// A table to write, a `.csv`: a row for each image. Default: none.
    pub out: Option<PathBuf>,
    /// Whether an existing file may be overwritten. Default: no.
    pub overwrite: bool,
    /// Threads that decode; 0, the default, means one per core.
    pub workers: usize,
    /// The device. Default `flex`.
    pub device: DeviceSpec,
}

impl ClassifyOptions {
    /// The most likely class of every image of `data`.
    pub fn new(classifier: impl Into<PathBuf>, data: impl Into<PathBuf>) -> Self {
        Self {
            classifier: classifier.into(),
            data: data.into(),
            limit: None,
            max_image_bytes: None,
            top: 1,
            out: None,
            overwrite: false,
            workers: 0,
            device: DeviceSpec::Flex,
        }
    }

    fn check(&self) -> Result<(), Error> {
        ConfigError::check(self.top > 0, "top", 0, "at least 1")?;
        images::check_bytes("max_image_bytes", self.max_image_bytes)?;
        self.out.iter().try_for_each(|out| {
            files::check_ending(out, ".csv")?;
            files::check_free(out, self.overwrite)
        })
    }
}

/// The result of [`classify`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassifyReport {
    /// The images and their classes, without those that could not be read. Empty in a [`summary`](Self::summary) if a table has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classified: Vec<Classified>,
    /// Images.
    pub images: usize,
    /// Images by their most likely class.
    pub counts: BTreeMap<String, usize>,
    /// Per cent of images whose most likely class is that of their folder or list. `None` without labels, or if the classifier
    /// does not know one of their classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// The table, if one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,
}

/// An image and its classes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Classified {
    /// Its file or name.
    pub file: String,
    /// The most likely classes, the most likely first. Without names, a class is its number.
    pub classes: Vec<Scored>,
}

/// A class and its probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// Its name.
    pub class: String,
    /// What the softmax over all classes gives it, 0 to 1.
    pub score: f32,
}

/// Finds the most likely classes of images with a classifier of [`finetune`](crate::finetune()) or
/// [`distill`](crate::distill()). Images are prepared as for its test: resized, and cut to the centre.
///
/// The table has the columns `file`, `class` and `score`, and for `top` above 1 also `class_2`, `score_2` and so on.
///
/// # Errors
/// If the classifier, the images, the device or the file cannot be used.
pub fn classify(options: &ClassifyOptions) -> Result<ClassifyReport, Error> {
    options.check()?;
    let device = options.device.open()?;
    let Teacher { network, artifact, head } = Teacher::load(&options.classifier, &device)?;
    let set = Arc::new(images::open_within(&options.data, options.limit, options.max_image_bytes)?);
    info!("images: {set}");
    info!("classifier: {} of {} classes", artifact.encoder.name, head.classes);
    let preparation = Preparation { preprocessing: artifact.preprocessing, workers: options.workers };
    let loader = preparation.eval_loader(&set)?;
    let (scores, places) = embed_with_indices(&network, &loader, &Embedder::on(&device))?;
    scores.check_finite("classified")?;

    let classified = classified(scores, &places, &set, &head, options.top);
    if let Some(out) = &options.out {
        files::write(out, &csv(&classified), options.overwrite)?;
    }
    let mut counts = BTreeMap::new();
    for image in &classified {
        *counts.entry(image.classes[0].class.clone()).or_default() += 1;
    }
    Ok(ClassifyReport {
        images: classified.len(),
        counts,
        accuracy: accuracy(&classified, &places, &set, &head),
        classified,
        out: options.out.clone(),
    })
}

impl ClassifyReport {
    /// Without what the table has.
    #[must_use]
    pub fn summary(mut self) -> Self {
        if self.out.is_some() {
            self.classified.clear();
        }
        self
    }
}

/// The most likely classes of images; `scores` are before the softmax, and `places` the indices of its rows in the set.
fn classified(
    scores: Features,
    places: &[u64],
    set: &Dataset,
    head: &ClassifierHead,
    top: usize,
) -> Vec<Classified> {
    let shares: Vec<f32> = softmax(scores.values, 1).into_data().iter::<f32>().collect();
    let rows = places.iter().zip(shares.chunks(head.classes));
    let image = |(&place, shares): (&u64, &[f32])| {
        let mut order: Vec<usize> = (0..shares.len()).collect();
        order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]));
        let scored = |class: usize| Scored { class: name(head, class), score: shares[class] };
        Classified {
            file: set.name(place as usize),
            classes: order.into_iter().take(top).map(scored).collect(),
        }
    };
    rows.map(image).collect()
}

fn name(head: &ClassifierHead, class: usize) -> String {
    let name = head.class_names.as_ref().and_then(|names| names.get(class));
    name.cloned().unwrap_or_else(|| class.to_string())
}

/// Per cent of images whose most likely class is their own, if the classifier knows all classes of the set.
fn accuracy(classified: &[Classified], places: &[u64], set: &Dataset, head: &ClassifierHead) -> Option<f64> {
    let labels = set.labels()?;
    let names = set.class_names();
    let class = |label: i64| {
        let named = names.and_then(|names| names.get(usize::try_from(label).ok()?));
        named.cloned().unwrap_or_else(|| label.to_string())
    };
    let known: Vec<String> = (0..head.classes).map(|class| name(head, class)).collect();
    let own: Vec<String> = places.iter().map(|&place| class(labels[place as usize])).collect();
    if own.is_empty() || own.iter().any(|class| !known.contains(class)) {
        return None;
    }
    let right = classified.iter().zip(&own).filter(|(image, own)| image.classes[0].class == **own);
    Some(100.0 * right.count() as f64 / own.len() as f64)
}

fn csv(classified: &[Classified]) -> Vec<u8> {
    let top = classified.iter().map(|image| image.classes.len()).max().unwrap_or(1);
    let mut text = csv::Writer::from_writer(Vec::new());
    let mut write = |row: Vec<String>| text.write_record(row).expect("rows of equal length in memory");
    let more = (2..=top).flat_map(|place| [format!("class_{place}"), format!("score_{place}")]);
    write(["file", "class", "score"].map(str::to_owned).into_iter().chain(more).collect());
    for image in classified {
        let classes = image.classes.iter();
        let cells = classes.flat_map(|scored| [scored.class.clone(), format!("{:.4}", scored.score)]);
        write(std::iter::once(image.file.clone()).chain(cells).collect());
    }
    text.into_inner().expect("writes to memory")
}

impl fmt::Display for ClassifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.out.is_none() {
            for image in &self.classified {
                write!(f, "{}:", escaped(&image.file))?;
                for Scored { class, score } in &image.classes {
                    write!(f, " {} {score:.2}", escaped(class))?;
                }
                writeln!(f)?;
            }
        }
        let counts: Vec<String> =
            self.counts.iter().map(|(class, images)| format!("{images} {}", escaped(class))).collect();
        write!(f, "{} images: {}", self.images, counts.join(", "))?;
        if let Some(accuracy) = self.accuracy {
            write!(f, "\naccuracy: {accuracy:.2} % have the class of their label")?;
        }
        match &self.out {
            Some(out) => write!(f, "\nclasses: {}", shown(out)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Tensor, TensorData};
    use ssl_data::Image;

    use super::*;

    fn head(names: Option<&[&str]>) -> ClassifierHead {
        let class_names = names.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        ClassifierHead { neck: Vec::new(), classes: 3, class_names }
    }

    fn two(labels: Option<Vec<i64>>) -> Dataset {
        let image = Image::new(1, 1, vec![0; 3]);
        Dataset::from_images(vec![image.clone(), image], labels)
    }

    fn of_two(set: &Dataset, head: &ClassifierHead, top: usize) -> Vec<Classified> {
        let device = DeviceSpec::Flex.open().expect("the CPU");
        let scores = TensorData::from([[0.0_f32, 2.0, 1.0], [3.0, 0.0, 0.0]]);
        let values = Tensor::<2>::from_data(scores, &device);
        classified(Features { values, labels: None }, &[0, 1], set, head, top)
    }

    #[test]
    fn classes_come_by_their_probability() {
        let images = of_two(&two(None), &head(Some(&["cat", "dog", "owl"])), 2);
        let names: Vec<&str> = images[0].classes.iter().map(|scored| scored.class.as_str()).collect();
        assert_eq!(names, ["dog", "owl"]);
        let exact = 2_f32.exp() / (1.0 + 2_f32.exp() + 1_f32.exp());
        assert!((images[0].classes[0].score - exact).abs() < 1e-6, "{images:?}");
        assert_eq!(images[1].classes[0].class, "cat");
        let text = String::from_utf8(csv(&images)).expect("text");
        assert!(text.starts_with("file,class,score,class_2,score_2\n"), "{text}");
        assert!(text.contains(",dog,0.6652,owl,0.2447\n"), "{text}");
    }

    #[test]
    fn more_classes_than_there_are_cannot_be_named() {
        assert_eq!(of_two(&two(None), &head(None), 9)[0].classes.len(), 3);
    }

    #[test]
    fn accuracy_needs_labels_that_the_classifier_knows() {
        let at = |labels, head: &ClassifierHead| {
            let set = two(labels);
            accuracy(&of_two(&set, head, 1), &[0, 1], &set, head)
        };
        assert_eq!(at(None, &head(None)), None);
        assert_eq!(at(Some(vec![1, 2]), &head(None)), Some(50.0));
        assert_eq!(at(Some(vec![1, 3]), &head(None)), None, "there is no class 3");
        assert_eq!(at(Some(vec![1, 2]), &head(Some(&["cat", "dog", "owl"]))), None, "numbers are no names");
    }
}
