//! k-NN on patches: what features know about a place in an image.

use burn::tensor::{Device, Tensor};
use ssl_core::{ConfigError, Encoder, Pass};
use ssl_data::EvalLoader;

use crate::features::{Embedder, Features, embed_with};
use crate::{EvalError, KnnConfig, knn_among};

/// Features of every position of all images of a set.
#[derive(Clone, Debug)]
pub struct PatchFeatures {
    /// `[image · row · column, dim]`, and the class of each position: the one of most of its pixels.
    pub features: Features,
    /// Rows and columns of positions in an image.
    pub grid: [usize; 2],
    masks: Vec<Vec<u8>>,
    size: usize,
}

/// The result of a segmentation. Shares are from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Segmentation {
    /// Mean over classes of the intersection over union of predicted and true pixels.
    pub mean_iou: f64,
    /// Share of pixels whose class is right.
    pub pixel_accuracy: f64,
    /// `pixel_accuracy` if every position had the class of most of its pixels: what positions of this size allow.
    pub bound: f64,
}

impl PatchFeatures {
    /// Features of all images of a loader; `mask` gives the class of every pixel of an image, row by row, in images of
    /// `size` x `size` pixels.
    ///
    /// # Errors
    /// If the loader gives up, or if the encoder has no feature map.
    ///
    /// # Panics
    /// If an image cannot be read: its mask would be that of another one.
    pub fn of<E: Encoder>(
        encoder: &E,
        loader: &EvalLoader,
        size: usize,
        mask: impl Fn(usize) -> Vec<u8>,
        device: &Device,
    ) -> Result<Self, EvalError> {
        let probe = Tensor::zeros([1, 3, size, size], device);
        let map = encoder.feature_map(probe, &Pass::eval());
        ConfigError::check(
            map.is_some(),
            "encoder",
            "one without a feature map",
            "a ResNet, a ViT or alike",
        )?;
        let [_, dim, rows, columns] = map.map_or([0; 4], |map| map.dims());
        let rows_of = |images: Tensor<4>| {
            let map = encoder.feature_map(images, &Pass::eval()).expect("it has one");
            map.permute([0, 2, 3, 1]).reshape([-1, dim as i32])
        };
        let values = embed_with(loader, &Embedder::on(device), rows_of)?.values;
        let images = values.dims()[0] / (rows * columns);
        assert_eq!(images, loader.dataset().len(), "images of a segmentation that could be read");
        let masks: Vec<_> = (0..images).map(mask).collect();
        let grid = [rows, columns];
        let labels = masks.iter().flat_map(|mask| of_positions(mask, size, grid)).map(i64::from).collect();
        Ok(Self { features: Features { values, labels: Some(labels) }, grid, masks, size })
    }
}

/// Gives every position of the test images the class of its nearest neighbours among those of a bank, and every pixel the class of
/// its position.
///
/// # Errors
/// If features are not finite, or a value of the configuration is out of range.
///
/// # Panics
/// If a class is not below `classes`, or the sets differ in the length of features.
///
/// # Source
/// Our choice of the simplest dense protocol without training: the k-NN of DINO (`eval_knn.py`) on positions, without
/// interpolation, as Balažević et al. 2023 (arXiv:2306.01667) retrieve labels of patches by attention.
pub fn segment(
    classes: usize,
    bank: &PatchFeatures,
    test: &PatchFeatures,
    config: &KnnConfig,
) -> Result<Segmentation, EvalError> {
    let found = knn_among(classes, &bank.features, &test.features, config)?;
    let predicted: Vec<u8> =
        found.predictions.iter().map(|best| best.first().map_or(0, |&c| c as u8)).collect();
    let scores = Confusion::of(classes, test, &predicted);
    let labels = test.features.labels.iter().flatten().map(|&label| label as u8).collect::<Vec<_>>();
    let bound = Confusion::of(classes, test, &labels).accuracy();
    Ok(Segmentation { mean_iou: scores.mean_iou(), pixel_accuracy: scores.accuracy(), bound })
}

/// The class of most of the pixels of each position, the smaller one if two have as many.
fn of_positions(mask: &[u8], size: usize, grid: [usize; 2]) -> Vec<u8> {
    let mut counts = vec![[0u32; 256]; grid[0] * grid[1]];
    for (place, &class) in mask.iter().enumerate() {
        counts[position(place, size, grid)][usize::from(class)] += 1;
    }
    let most = |counts: &[u32; 256]| {
        let best = counts.iter().enumerate().rev().max_by_key(|&(_, &count)| count);
        best.map_or(0, |(class, _)| class as u8)
    };
    counts.iter().map(most).collect()
}

/// The position that a pixel belongs to.
fn position(pixel: usize, size: usize, [rows, columns]: [usize; 2]) -> usize {
    let (y, x) = (pixel / size, pixel % size);
    (y * rows / size) * columns + x * columns / size
}

/// Pixels by true and predicted class.
struct Confusion(Vec<Vec<u64>>);

impl Confusion {
    /// Of predictions for every position of all images.
    fn of(classes: usize, test: &PatchFeatures, predicted: &[u8]) -> Self {
        let mut pixels = vec![vec![0; classes]; classes];
        let [rows, columns] = test.grid;
        for (mask, predicted) in test.masks.iter().zip(predicted.chunks(rows * columns)) {
            for (place, &class) in mask.iter().enumerate() {
                let predicted = predicted[position(place, test.size, test.grid)];
                pixels[usize::from(class)][usize::from(predicted)] += 1;
            }
        }
        Self(pixels)
    }

    /// Over the classes that are in the images.
    fn mean_iou(&self) -> f64 {
        let classes = 0..self.0.len();
        let of_class = |class: usize| {
            let (truly, right) = (self.0[class].iter().sum::<u64>(), self.0[class][class]);
            let predicted = self.0.iter().map(|row| row[class]).sum::<u64>();
            (truly > 0).then(|| right as f64 / (truly + predicted - right) as f64)
        };
        let shares: Vec<f64> = classes.filter_map(of_class).collect();
        shares.iter().sum::<f64>() / shares.len().max(1) as f64
    }

    fn accuracy(&self) -> f64 {
        let right: u64 = self.0.iter().enumerate().map(|(class, row)| row[class]).sum();
        right as f64 / self.0.iter().flatten().sum::<u64>().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::Module;
    use ssl_core::DeviceSpec;
    use ssl_data::{Dataset, EvalTransform, Image, LoaderConfig, Normalization};
    use std::sync::Arc;

    /// The feature of a position is the mean colour of its quarter of the image; `blind` ones see the whole image.
    #[derive(Module, Debug)]
    struct Quarters {
        blind: bool,
    }

    impl Encoder for Quarters {
        fn encode(&self, images: Tensor<4>, _pass: &Pass) -> Tensor<2> {
            images.mean_dim(3).mean_dim(2).flatten(1, 3)
        }

        fn feature_dim(&self) -> usize {
            3
        }

        fn feature_map(&self, images: Tensor<4>, _pass: &Pass) -> Option<Tensor<4>> {
            let [batch, _, height, width] = images.dims();
            if self.blind {
                return Some(images.mean_dim(3).mean_dim(2).expand([batch, 3, 2, 2]));
            }
            let halves = images.reshape([batch, 3, 2, height / 2, 2, width / 2]);
            Some(halves.mean_dim(5).mean_dim(3).reshape([batch, 3, 2, 2]))
        }
    }

    const SIZE: usize = 4;
    const COLOURS: [[u8; 3]; 3] = [[220, 30, 30], [30, 220, 30], [30, 30, 220]];

    /// The class of a pixel: of the left half `image mod 3`, of the right half the next one.
    fn mask(image: usize) -> Vec<u8> {
        (0..SIZE * SIZE).map(|pixel| ((image + usize::from(pixel % SIZE >= 2)) % 3) as u8).collect()
    }

    fn patches(blind: bool, mask: fn(usize) -> Vec<u8>) -> PatchFeatures {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let image = |image| {
            let bytes =
                super::tests::mask(image).into_iter().flat_map(|class| COLOURS[class as usize]).collect();
            Image::new(SIZE, SIZE, bytes)
        };
        let images = Arc::new(Dataset::from_images((0..6).map(image).collect(), None));
        let transform = EvalTransform::new(SIZE, Normalization::CIFAR10).expect("valid");
        let config = LoaderConfig { batch_size: 4, workers: 1 };
        let loader = EvalLoader::new(images, transform, config).expect("valid");
        PatchFeatures::of(&Quarters { blind }, &loader, SIZE, mask, &device).expect("readable")
    }

    #[test]
    fn features_of_places_tell_what_is_where_and_those_of_images_do_not() {
        let config = KnnConfig { k: 1, temperature: 0.07 };
        let seeing = patches(false, mask);
        assert_eq!((seeing.grid, seeing.features.values.dims()), ([2, 2], [24, 3]));
        assert_eq!(
            seeing.features.labels.as_ref().map(|labels| labels[..4].to_vec()),
            Some(vec![0, 1, 0, 1])
        );
        let found = segment(3, &seeing, &seeing, &config).expect("finite");
        assert_eq!(found, Segmentation { mean_iou: 1.0, pixel_accuracy: 1.0, bound: 1.0 });
        let blind = patches(true, mask);
        let found = segment(3, &blind, &blind, &config).expect("finite");
        assert!(found.pixel_accuracy <= 0.5 && found.mean_iou < 0.4, "{found:?}");
    }

    #[test]
    fn a_line_inside_of_a_position_is_what_it_cannot_show() {
        // One column of the left half is of the right one's class.
        let finer = |image: usize| {
            let class = |pixel: usize| ((image + usize::from(pixel % SIZE >= 1)) % 3) as u8;
            (0..SIZE * SIZE).map(class).collect()
        };
        let test = patches(false, finer);
        let found = segment(3, &patches(false, mask), &test, &KnnConfig::default()).expect("finite");
        // Of 16 pixels, the four of a column between are of the other class.
        assert!((found.pixel_accuracy - 0.75).abs() < 1e-9, "{found:?}");
        assert!((found.bound - 0.75).abs() < 1e-9 && found.mean_iou < 1.0, "{found:?}");
    }

    #[test]
    fn the_intersection_over_union_is_that_of_the_pixels() {
        let confusion = Confusion(vec![vec![3, 1, 0], vec![2, 4, 0], vec![0, 0, 0]]);
        // 3 of 6 and 4 of 7; the third class is not in the images.
        assert!((confusion.mean_iou() - (0.5 + 4.0 / 7.0) / 2.0).abs() < 1e-12);
        assert!((confusion.accuracy() - 0.7).abs() < 1e-12);
    }
}
