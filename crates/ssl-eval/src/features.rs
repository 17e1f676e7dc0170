//! Features of all images of a set.

use burn::tensor::{Device, Int, Tensor, TensorData};
use bytemuck::Pod;
use ssl_core::{Encoder, Group, Pass};
use ssl_data::{Batch, EvalLoader, epoch_order};

use crate::EvalError;

/// Features of a set of images, on a device without gradients.
#[derive(Clone, Debug)]
pub struct Features {
    /// `[image, dim]`
    pub values: Tensor<2>,
    /// The class of each image, from 0, if known.
    pub labels: Option<Vec<i64>>,
}

/// Where images are embedded.
#[derive(Clone, Debug)]
pub struct Embedder {
    /// The device, without autodiff.
    pub device: Device,
    /// The processes that share the images; each gets the features of all.
    pub group: Group,
}

impl Embedder {
    /// A device of this process alone.
    pub fn on(device: &Device) -> Self {
        Self { device: device.clone(), group: Group::default() }
    }

    /// Shares the images among processes.
    pub fn in_group(self, group: &Group) -> Self {
        Self { group: group.clone(), ..self }
    }
}

/// Features of all images of a loader; batch norm uses its running statistics.
///
/// `encoder` must be on the embedder's device. Images that cannot be read are left out.
///
/// # Errors
/// If the loader gives up, or no image can be read.
pub fn embed<E: Encoder>(encoder: &E, loader: &EvalLoader, at: &Embedder) -> Result<Features, EvalError> {
    Ok(embed_with_indices(encoder, loader, at)?.0)
}

/// [`embed`], with the data set index of each row's image.
///
/// # Errors
/// If the loader gives up.
pub fn embed_with_indices<E: Encoder>(
    encoder: &E,
    loader: &EvalLoader,
    at: &Embedder,
) -> Result<(Features, Vec<u64>), EvalError> {
    collect(loader, at, |images| encoder.encode(images, &Pass::eval()))
}

/// [`embed`] with features of another kind: `features` maps images, `[batch, channel, height, width]`, to rows.
///
/// # Errors
/// If the loader gives up.
pub fn embed_with(
    loader: &EvalLoader,
    at: &Embedder,
    features: impl Fn(Tensor<4>) -> Tensor<2>,
) -> Result<Features, EvalError> {
    Ok(collect(loader, at, features)?.0)
}

/// Features of the first view of one batch of images: `features` maps images, `[batch, channel, height, width]`, to rows.
pub fn embed_batch(mut batch: Batch, device: &Device, features: impl Fn(Tensor<4>) -> Tensor<2>) -> Features {
    let labels = batch.labels.take();
    Features { values: features(images(batch, device)), labels }
}

/// The normalised pixels of all images of a loader as features, `[image, channel · height · width]`: a baseline for
/// encoders.
///
/// # Errors
/// If the loader gives up.
pub fn raw_pixels(loader: &EvalLoader, at: &Embedder) -> Result<Features, EvalError> {
    embed_with(loader, at, |images| images.flatten(1, 3))
}

fn collect(
    loader: &EvalLoader,
    at: &Embedder,
    features: impl Fn(Tensor<4>) -> Tensor<2>,
) -> Result<(Features, Vec<u64>), EvalError> {
    let group = &at.group;
    let (mut values, mut labels, mut indices) = (Vec::new(), Vec::new(), Vec::new());
    for batch in loader.batches_of_part(group.rank(), group.size())? {
        let mut batch = batch?;
        labels.extend(batch.labels.take().unwrap_or_default());
        indices.extend_from_slice(&batch.indices);
        values.push(features(images(batch, &at.device)));
    }
    if values.is_empty() {
        // Other processes may have images, and know how long features are.
        let dims = group.gather_bytes(Vec::new());
        let dim = dims.iter().find_map(|dim| Some(u64::from_le_bytes(dim.as_slice().try_into().ok()?)));
        let dim = dim.ok_or(EvalError::NoImages { images: loader.dataset().len() })? as usize;
        values.push(Tensor::zeros([0, dim], &at.device));
    } else if !group.is_solo() {
        group.gather_bytes((values[0].dims()[1] as u64).to_le_bytes().to_vec());
    }
    if !group.is_solo() {
        indices = numbers_of_all(&indices, group);
    }
    let labels = loader.dataset().labels().is_some().then_some(labels);
    Ok((Features { values: Tensor::cat(values, 0), labels }.of_all(group), indices))
}

/// The numbers of all processes, in rank order.
pub fn numbers_of_all<T: Pod>(numbers: &[T], group: &Group) -> Vec<T> {
    let bytes = group.gather_bytes(bytemuck::cast_slice(numbers).to_vec()).concat();
    bytemuck::pod_collect_to_vec(&bytes)
}

fn images(mut batch: Batch, device: &Device) -> Tensor<4> {
    let count = batch.len();
    let view = batch.views.remove(0);
    Tensor::from_data(TensorData::new(view.data, [count, 3, view.size, view.size]), device)
}

impl Features {
    /// The features of all processes, in rank order.
    pub fn of_all(self, group: &Group) -> Self {
        if group.is_solo() {
            return self;
        }
        let labels = self.labels.map(|labels| numbers_of_all(&labels, group));
        Self { values: group.all_gather(self.values), labels }
    }

    /// An endless sequence of full batches of rows, in a new order each epoch, which depends only on `seed` and the epoch.
    ///
    /// # Panics
    /// If `batch_size` is 0 or exceeds the number of rows.
    pub fn batches(&self, batch_size: usize, seed: u64) -> impl Iterator<Item = Self> + '_ {
        let [rows, _] = self.values.dims();
        assert!((1..=rows).contains(&batch_size), "batches of {batch_size} of {rows} rows");
        (0..).flat_map(move |epoch| {
            let order = epoch_order(rows, seed, epoch);
            let places = move |batch: usize| order[batch * batch_size..][..batch_size].to_vec();
            (0..rows / batch_size).map(move |batch| self.select(&places(batch)))
        })
    }

    /// Fails if a feature is not finite; the error calls the images `name`.
    ///
    /// # Errors
    /// [`EvalError::NotFinite`]
    pub fn check_finite(&self, name: &'static str) -> Result<(), EvalError> {
        // A sum is finite only if all its terms are.
        match self.values.clone().sum().into_scalar::<f32>().is_finite() {
            true => Ok(()),
            false => Err(EvalError::NotFinite(name)),
        }
    }

    /// The rows at the given places, in the order given.
    fn select(&self, places: &[usize]) -> Self {
        let indices: Vec<i64> = places.iter().map(|&place| place as i64).collect();
        let indices =
            Tensor::<1, Int>::from_data(TensorData::from(indices.as_slice()), &self.values.device());
        let labels = self.labels.as_ref().map(|labels| places.iter().map(|&place| labels[place]).collect());
        Self { values: self.values.clone().select(0, indices), labels }
    }

    /// The labels, on the device of the features, `[image]`.
    ///
    /// # Panics
    /// If there are none.
    pub fn label_tensor(&self) -> Tensor<1, Int> {
        let labels = self.labels.as_deref().expect("features with labels");
        Tensor::from_data(TensorData::from(labels), &self.values.device())
    }
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
            let features = raw_pixels(&loader(batch_size, Some(vec![0, 1, 2, 3, 4])), &Embedder::on(&device))
                .expect("readable");
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
        assert_eq!(raw_pixels(&loader(2, None), &Embedder::on(&device)).expect("readable").labels, None);
    }

    #[test]
    fn processes_that_share_the_images_get_the_features_of_all() {
        let labels = Some(vec![4, 3, 2, 1, 0]);
        let embedded = |at: &Embedder| {
            let found = collect(&loader(2, labels.clone()), at, |images| images.flatten(1, 3));
            let (features, indices) = found.expect("readable");
            (features.values.into_data(), features.labels, indices)
        };
        let device = || DeviceSpec::Flex.open().expect("flex is compiled in");
        let alone = embedded(&Embedder::on(&device()));
        assert_eq!(alone.2, [0, 1, 2, 3, 4]);
        for size in [2, 3, 5, 6] {
            let of_ranks =
                ssl_testing::ranks(size, |group| embedded(&Embedder::on(&device()).in_group(&group)));
            assert!(of_ranks.iter().all(|of_rank| *of_rank == alone), "{size} processes");
        }
    }

    #[test]
    fn batches_of_features_visit_every_row_once_an_epoch_with_its_label() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let values = Tensor::<1, Int>::arange(0..6, &device).float().reshape([6, 1]);
        let features = Features { values, labels: Some(vec![0, 10, 20, 30, 40, 50]) };
        let epoch = |number: usize| -> Vec<i64> {
            let batches = features.batches(3, 1).skip(2 * number).take(2);
            let rows = batches.flat_map(|batch| {
                let values: Vec<f32> = batch.values.into_data().try_to_vec().expect("floats");
                let labels = batch.labels.expect("labels");
                assert!(values.iter().zip(&labels).all(|(value, &label)| *value as i64 * 10 == label));
                labels
            });
            rows.collect()
        };
        let mut sorted = epoch(0);
        assert_ne!(epoch(0), epoch(1), "every epoch has an order of its own");
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 10, 20, 30, 40, 50]);
    }
}
