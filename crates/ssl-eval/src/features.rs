//! Features of all images of a set.

use burn::tensor::{Device, Tensor, TensorData};
use ssl_core::{Encoder, Mode};
use ssl_data::{Batch, EvalLoader};

use crate::EvalError;

/// Features of a set of images, on a device without gradients.
#[derive(Clone, Debug)]
pub struct Features {
    /// `[image, dim]`
    pub values: Tensor<2>,
    /// The class of each image, from 0, if known.
    pub labels: Option<Vec<i64>>,
}

/// Features of all images of a loader, with running statistics in batch norm.
///
/// `encoder` and `device` are the same device, without autodiff. Images that cannot be read are left out.
///
/// # Errors
/// If the loader gives up.
pub fn embed<E: Encoder>(encoder: &E, loader: &EvalLoader, device: &Device) -> Result<Features, EvalError> {
    collect(loader, device, |images| encoder.encode(images, Mode::Eval))
}

/// The normalised pixels of all images of a loader as features, `[image, channel · height · width]`: what an encoder
/// has to beat.
///
/// # Errors
/// If the loader gives up.
pub fn raw_pixels(loader: &EvalLoader, device: &Device) -> Result<Features, EvalError> {
    collect(loader, device, |images| images.flatten(1, 3))
}

fn collect(
    loader: &EvalLoader,
    device: &Device,
    features: impl Fn(Tensor<4>) -> Tensor<2>,
) -> Result<Features, EvalError> {
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for batch in loader.batches()? {
        let mut batch = batch?;
        labels.extend(batch.labels.take().unwrap_or_default());
        values.push(features(images(batch, device)));
    }
    let labels = loader.dataset().labels().is_some().then_some(labels);
    Ok(Features { values: Tensor::cat(values, 0), labels })
}

fn images(mut batch: Batch, device: &Device) -> Tensor<4> {
    let count = batch.len();
    let view = batch.views.remove(0);
    Tensor::from_data(TensorData::new(view.data, [count, 3, view.size, view.size]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use ssl_core::DeviceSpec;
    use ssl_data::{Dataset, EvalTransform, Image, LoaderConfig, Normalization};

    fn loader(batch_size: usize, labels: Option<Vec<i64>>) -> EvalLoader {
        let images = (0..5).map(|grey| Image::new(2, 2, vec![grey * 40; 12])).collect();
        let plain = Normalization { mean: [0.0; 3], std: [1.0; 3] };
        let transform = EvalTransform::new(2, plain).expect("a usable transform");
        let config = LoaderConfig { batch_size, workers: 1 };
        EvalLoader::new(Arc::new(Dataset::from_images(images, labels)), transform, config).expect("usable")
    }

    #[test]
    fn raw_pixels_are_the_images_in_order_whatever_the_batch() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        for batch_size in [2, 5, 8] {
            let features =
                raw_pixels(&loader(batch_size, Some(vec![0, 1, 2, 3, 4])), &device).expect("readable");
            assert_eq!(features.values.dims(), [5, 12]);
            assert_eq!(features.labels, Some(vec![0, 1, 2, 3, 4]));
            let first: Vec<f32> =
                features.values.slice([0..5, 0..1]).into_data().try_to_vec().expect("floats");
            let wanted = [0.0, 40.0, 80.0, 120.0, 160.0].map(|grey: f32| grey / 255.0);
            assert!(first.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-6));
        }
    }

    #[test]
    fn a_set_without_labels_gives_features_without_labels() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        assert_eq!(raw_pixels(&loader(2, None), &device).expect("readable").labels, None);
    }
}
