//! From a batch of the loader to the views of a method.

use burn::tensor::{Device, Tensor, TensorData};
use ssl_core::{Needs, Views};
use ssl_data::{Batch, ViewBatch};

use crate::TrainError;

/// The views of a batch, on the device.
///
/// # Errors
/// A batch that is not what the method needs, or not of `images` images.
pub(super) fn views(
    batch: Batch,
    needs: &Needs,
    images: usize,
    device: &Device,
) -> Result<Views, TrainError> {
    let (found, expected) = (batch.views.len(), needs.global_views);
    if found < expected || (found > expected && !needs.local_views) {
        let more = if needs.local_views { "at least " } else { "" };
        return Err(TrainError::Views { found, expected: format!("{more}{expected}") });
    }
    if needs.labels && batch.labels.is_none() {
        return Err(TrainError::Labels);
    }
    if batch.len() != images {
        return Err(TrainError::Batch { found: batch.len(), expected: images });
    }
    let crop = |view: ViewBatch| {
        Tensor::from_data(TensorData::new(view.data, [images, 3, view.size, view.size]), device)
    };
    let labels = batch.labels.map(|labels| Tensor::from_data(TensorData::new(labels, [images]), device));
    Ok(Views { labels, ..Views::new(batch.views.into_iter().map(crop).collect(), needs.global_views) })
}
