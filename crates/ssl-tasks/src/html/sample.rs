//! A sample of the training images, and what their features say about them.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use image::RgbImage;
use ssl_core::{Encoder, Pass};
use ssl_data::{Dataset, EvalTransform, Image, Scratch};
use ssl_report::room::{SHARED, SHARED_PICTURE};
use ssl_report::{Figure, Gallery, GalleryOptions, Page, Rows, Sampled, data_uri, squared};

use super::facts::grouped;
use super::{IMAGES, LARGE_IMAGES, SMALL, Seen};
use crate::preparation::{Preparation, eval_transform};
use crate::threads::in_threads;
use crate::{Error, Recipe, overlap, sheet};

/// Images that pass the network at a time (our choice: less memory than a step takes).
const CHUNK: usize = 32;
/// Pixels a side of the small pictures.
const SIDE: u32 = 64;
/// Clusters of images without labels, or of more classes than can be told apart on a page (our choice).
const CLUSTERS: usize = 10;
/// Classes that get a cluster each.
const CLASSES: usize = 20;

/// An image as the network sees it, and a small picture of it.
struct Read {
    place: usize,
    values: Vec<f32>,
    picture: RgbImage,
}

impl<E: Encoder> Seen<'_, E> {
    /// Adds what the features of evenly spaced training images say.
    pub(super) fn add_gallery(&self, page: &mut Page, recipe: &Recipe) -> Result<(), Error> {
        let set = &self.data.train;
        let usual = if recipe.data.image_size <= SMALL { IMAGES } else { LARGE_IMAGES };
        let places: Vec<usize> = spread(set.len(), self.images.unwrap_or(usual)).collect();
        let transform = eval_transform(&Preparation::of(&recipe.data).preprocessing)?;
        let (mut sample, mut features) = (Vec::new(), Vec::new());
        for places in places.chunks(CHUNK) {
            let read = self.read(places, &transform);
            if read.is_empty() {
                continue;
            }
            features.extend(self.features(&read, transform.size())?);
            sample.extend(read.into_iter().map(|read| sampled(set, recipe, read)));
        }
        if sample.is_empty() {
            return Ok(());
        }
        let rows = Rows::new(features, self.encoder.feature_dim());
        let names = class_names(set);
        let clusters =
            Some(names.len()).filter(|classes| (2..=CLASSES).contains(classes)).unwrap_or(CLUSTERS);
        let options = GalleryOptions { clusters, seed: recipe.seed };
        let (shown, of) = (grouped(sample.len()), grouped(set.len()));
        page.sample = match sample.len() == set.len() {
            true => format!("All {of} training images."),
            false => format!("{shown} of the {of} training images, from all over the set."),
        };
        let gallery = Gallery::new(&sample, &names, rows, options);
        page.gallery = Some(gallery.map_err(|error| Error::Page(error.to_string()))?);
        Ok(())
    }

    /// The images at some places that can be read.
    fn read(&self, places: &[usize], transform: &EvalTransform) -> Vec<Read> {
        let set = &self.data.train;
        let read = |place: usize| {
            let image = set.image(place).ok()?;
            Some(read(place, &image, transform))
        };
        in_threads(places, self.workers, read).into_iter().flatten().collect()
    }

    /// The features of some images, one after the other.
    fn features(&self, read: &[Read], size: usize) -> Result<Vec<f32>, Error> {
        let values: Vec<f32> = read.iter().flat_map(|read| read.values.iter().copied()).collect();
        let images = TensorData::new(values, [read.len(), 3, size, size]);
        let features = self.encoder.encode(Tensor::from_data(images, self.device), &Pass::eval());
        let features: Vec<f32> = features.into_data().iter::<f32>().collect();
        match features.iter().all(|value| value.is_finite()) {
            true => Ok(features),
            false => Err(ssl_eval::EvalError::NotFinite("sampled").into()),
        }
    }

    /// Adds test images that are training images, by their pixels.
    pub(super) fn add_shared(&self, page: &mut Page, recipe: &Recipe) -> Result<(), Error> {
        let Some(sets) = &self.data.evaluation else { return Ok(()) };
        let shared = overlap::shared(&self.data.train, &sets.test, self.read);
        page.data.push(shared.sentence().unwrap_or_else(|| {
            let some = if shared.is_partial { " that was looked at" } else { "" };
            format!("No test image{some} is also a training image, by its pixels.")
        }));
        let figure = |&(test, train): &(usize, usize)| {
            let image = sets.test.image(test).ok()?;
            let picture = squared(&sheet::rgb(&image), SIDE);
            let name = sheet::name(&sets.test, test, recipe.eval.test.as_deref()?);
            let same = sheet::name(&self.data.train, train, &recipe.data.path);
            let uri = data_uri(&picture, SHARED_PICTURE).ok()?;
            Some(Figure { uri, alt: name.clone(), caption: format!("{name} is {same}") })
        };
        page.shared = shared.pairs.iter().take(SHARED).filter_map(figure).collect();
        Ok(())
    }
}

/// At most `most` places of a set, ascending, one in each of as many equal parts. Where in a part is not always the same, since
/// classes may take turns.
pub(super) fn spread(images: usize, most: usize) -> impl Iterator<Item = usize> {
    /// The golden ratio, whose multiples fall everywhere.
    const RATIO: f64 = 0.618_033_988_749_894_9;
    let count = most.min(images);
    (0..count).map(move |part| {
        let inside = (part as f64 * RATIO).fract();
        let (first, next) = (part * images / count, (part + 1) * images / count);
        first + (inside * (next - first) as f64) as usize
    })
}

fn read(place: usize, image: &Image, transform: &EvalTransform) -> Read {
    let size = transform.size();
    let mut values = vec![0.0; 3 * size * size];
    transform.render(image, &mut Scratch::new(), &mut values);
    let side = SIDE.min((image.width().min(image.height()) as u32).next_multiple_of(16));
    Read { place, values, picture: squared(&sheet::rgb(image), side) }
}

fn sampled(set: &Arc<Dataset>, recipe: &Recipe, read: Read) -> Sampled {
    let label = set.labels().map(|labels| labels[read.place]).and_then(|label| usize::try_from(label).ok());
    let known = class_names(set).len();
    Sampled {
        name: sheet::name(set, read.place, &recipe.data.path),
        label: label.filter(|&label| label < known),
        picture: read.picture,
    }
}

/// The names of the classes, or their numbers.
fn class_names(set: &Dataset) -> Vec<String> {
    if let Some(names) = set.class_names() {
        return names.to_vec();
    }
    let most = set.labels().and_then(|labels| labels.iter().max().copied());
    (0..most.map_or(0, |label| label + 1)).map(|label| label.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_all_classes_even_if_they_take_turns() {
        let places: Vec<usize> = spread(5000, 500).collect();
        assert!(places.len() == 500 && places.is_sorted_by(|a, b| a < b) && places[499] < 5000);
        let of_class = |class: usize| places.iter().filter(|&&place| place % 10 == class).count();
        let counts: Vec<usize> = (0..10).map(of_class).collect();
        assert!(counts.iter().all(|&count| (40..=60).contains(&count)), "{counts:?}");
        assert_eq!(spread(3, 500).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(spread(0, 6).count(), 0);
    }
}
