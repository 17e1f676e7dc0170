//! Rendered images with labels, for a first run without data.

mod colour;
mod mosaic;
mod pattern;
mod scene;

use std::sync::Arc;

pub use self::mosaic::Mosaic;
use self::{pattern::Pattern, scene::Scene};
use crate::{DataError, Dataset, DatasetOptions, Generator, Image, ImageSource, ReadError, SampleKey};

/// A data set that is rendered instead of read: ten patterns under changing light, colour, scale and clutter.
///
/// The class of an image is the pattern in it, which survives crops, flips, colour jitter and grayscale. All
/// else is drawn anew for each image and rules the distance between pixels: their k-NN is right for one image
/// in five, and so is that of an untrained network.
///
/// Image `index` depends on `(seed, index)` and the size alone. Two seeds give two independent samples of the
/// same classes: one to train on, one to test with.
///
/// # Example
/// ```
/// use ssl_data::Synthetic;
///
/// let train = Synthetic::new(0, 4000, 32);
/// assert_eq!(train.image(12).width(), 32);
/// assert_eq!(Synthetic::CLASS_NAMES[train.label(12) as usize], "checks");
/// ```
///
/// # Source
/// Our own; the numbers are our choice, set so that SimCLR learns the patterns within some 20,000 images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synthetic {
    seed: u64,
    len: usize,
    size: usize,
}

impl Synthetic {
    /// The names of the classes by label.
    pub const CLASS_NAMES: [&str; 10] =
        ["stripes", "zigzag", "checks", "mesh", "dots", "rings", "crosses", "triangles", "bars", "patches"];

    /// `len` images of `size` x `size` pixels.
    ///
    /// 32 pixels are enough for every pattern; below 24 they blur into one another.
    ///
    /// # Panics
    /// If `len` or `size` is 0.
    pub fn new(seed: u64, len: usize, size: usize) -> Self {
        assert!(len > 0 && size > 0, "{len} images of {size} pixels, expected at least 1 of 1");
        Self { seed, len, size }
    }

    /// Number of images, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a data set is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Renders image `index`, the same bytes every time.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn image(&self, index: usize) -> Image {
        let pattern = Pattern::ALL[self.label(index) as usize];
        let mut generator = self.generator(index);
        let scene = Scene::draw(pattern, &mut generator);
        Image::new(self.size, self.size, scene.render(self.size, &mut generator))
    }

    /// The class of image `index`, from 0 to 9: the classes take turns, so any ten in a row are one of each.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn label(&self, index: usize) -> u32 {
        assert!(index < self.len, "image {index} of {}", self.len);
        (index % Pattern::ALL.len()) as u32
    }

    /// The same images as a [`Dataset`] with labels and class names; rendered when first asked for.
    ///
    /// # Errors
    /// A limit of zero.
    pub fn dataset(self, options: &DatasetOptions) -> Result<Dataset, DataError> {
        let labels = (0..self.len).map(|index| self.label(index).into()).collect();
        let names = Self::CLASS_NAMES.map(String::from).to_vec();
        Dataset::from_source(Box::new(self), Some(labels), Some(names), options)
    }

    fn generator(&self, index: usize) -> Generator {
        // No run reaches this epoch: with the same seed, views draw other numbers than the image they show.
        SampleKey { seed: self.seed, epoch: u64::MAX, sample: index as u64 }.generator(0, 0)
    }
}

impl ImageSource for Synthetic {
    fn count(&self) -> usize {
        self.len
    }

    fn image(&self, index: usize) -> Result<Arc<Image>, ReadError> {
        Ok(Arc::new(Self::image(self, index)))
    }

    fn name(&self, index: usize) -> String {
        format!("rendered image {index} ({})", Self::CLASS_NAMES[self.label(index) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::Synthetic;
    use crate::{Dataset, DatasetOptions, Image};

    #[test]
    fn an_image_depends_on_seed_and_index_alone() {
        let images = Synthetic::new(7, 30, 16);
        assert_eq!(images.image(21), images.image(21));
        assert_eq!(images.image(21), Synthetic::new(7, 1_000, 16).image(21));
        assert_ne!(images.image(21), images.image(11));
        assert_ne!(images.image(21), Synthetic::new(8, 30, 16).image(21));
    }

    #[test]
    fn the_classes_take_turns() {
        let images = Synthetic::new(0, 1_003, 16);
        let mut counts = [0; 10];
        for index in 0..images.len() {
            assert_eq!(images.label(index) as usize, index % 10);
            counts[index % 10] += 1;
        }
        assert_eq!(counts, [101, 101, 101, 100, 100, 100, 100, 100, 100, 100]);
    }

    #[test]
    fn a_scene_is_the_same_at_any_size() {
        for index in 0..10 {
            let means = [48, 96].map(|size| mean_colour(&Synthetic::new(3, 10, size).image(index)));
            let gap = distance(&means[0], &means[1]).sqrt();
            assert!(gap < 5.0, "image {index}: {means:?}");
        }
        assert_eq!(Synthetic::new(3, 1, 1).image(0).pixels().len(), 3);
    }

    #[test]
    #[should_panic(expected = "image 10 of 10")]
    fn an_index_beyond_the_end_panics() {
        let _ = Synthetic::new(0, 10, 8).image(10);
    }

    #[test]
    fn the_data_set_has_labels_and_names() {
        let options = DatasetOptions::default();
        let images = Synthetic::new(5, 20, 16);
        let dataset: Dataset = images.dataset(&options).expect("no limit");
        assert_eq!(dataset.labels().map(|labels| labels[13]), Some(3));
        assert_eq!(dataset.class_names().map(|names| names[3].as_str()), Some("mesh"));
        assert_eq!(*dataset.image(13).expect("rendered"), images.image(13));
        assert_eq!(dataset.name(13), "rendered image 13 (mesh)");
    }

    // Chance is 10 %. Measured: pixels 17 %, mean colours 8 %, structure 96 %.

    #[test]
    fn pixels_do_badly() {
        let accuracy = nearest_neighbour(|image| image.pixels().iter().map(|&byte| byte.into()).collect());
        assert!(accuracy < 0.25, "{accuracy}");
    }

    #[test]
    fn the_mean_colour_does_not_tell_the_class() {
        let accuracy = nearest_neighbour(mean_colour);
        assert!(accuracy < 0.18, "{accuracy}");
    }

    #[test]
    fn structure_that_views_keep_tells_the_class() {
        let accuracy = nearest_neighbour(structure);
        assert!(accuracy > 0.8, "{accuracy}");
    }

    /// Share of 150 images whose nearest neighbour among 300 of another seed is of their class.
    fn nearest_neighbour(describe: impl Fn(&Image) -> Vec<f32>) -> f32 {
        let [bank, queries] = [Synthetic::new(0, 300, 32), Synthetic::new(1, 150, 32)].map(|images| {
            (0..images.len()).map(|i| (describe(&images.image(i)), images.label(i))).collect::<Vec<_>>()
        });
        let right = queries.iter().filter(|(query, label)| {
            let nearest = bank.iter().min_by(|a, b| distance(&a.0, query).total_cmp(&distance(&b.0, query)));
            nearest.expect("a bank").1 == *label
        });
        right.count() as f32 / queries.len() as f32
    }

    fn distance(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
    }

    fn mean_colour(image: &Image) -> Vec<f32> {
        let count = (image.width() * image.height()) as f32;
        let bytes = |channel| image.pixels().iter().skip(channel).step_by(3);
        [0, 1, 2].map(|channel| bytes(channel).map(|&byte| f32::from(byte)).sum::<f32>() / count).to_vec()
    }

    /// Correlation of the grey image with itself, shifted: by distance, mean and spread over eight directions.
    ///
    /// Place, turn, mirror image, brightness, contrast and colour leave it as it is.
    fn structure(image: &Image) -> Vec<f32> {
        let side = image.width() as isize;
        let grey: Vec<f32> =
            image.pixels().chunks_exact(3).map(|p| p.iter().map(|&byte| f32::from(byte)).sum()).collect();
        let mean = grey.iter().sum::<f32>() / grey.len() as f32;
        let variance = grey.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / grey.len() as f32;
        let at = |x: isize, y: isize| grey[(y * side + x) as usize] - mean;
        let correlation = |dx: isize, dy: isize| {
            let columns = || (-dx).max(0)..side - dx.max(0);
            let rows = (-dy).max(0)..side - dy.max(0);
            let count = (columns().len() * rows.len()) as f32;
            let products =
                rows.flat_map(|y| columns().map(move |x| (x, y))).map(|(x, y)| at(x, y) * at(x + dx, y + dy));
            products.sum::<f32>() / count / variance
        };
        let describe = |radius: f32| {
            let values = [0, 1, 2, 3, 4, 5, 6, 7].map(|k| {
                let (sin, cos) = (std::f32::consts::PI * k as f32 / 8.0).sin_cos();
                correlation((radius * cos).round() as isize, (radius * sin).round() as isize)
            });
            let mean = values.iter().sum::<f32>() / 8.0;
            [mean, (values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 8.0).sqrt()]
        };
        (1..10).flat_map(|radius| describe(radius as f32)).collect()
    }
}
