//! Turns a batch of the loader into the views of a method.

use burn::tensor::{Device, Int, Tensor, TensorData};
use ssl_core::{Mask, Needs, Views};
use ssl_data::{Batch, Mask as HostMask, PatchIndices, PatchMask, ViewBatch};

use crate::TrainError;

/// The views of a batch, on the device.
///
/// # Errors
/// If the batch is not what the method needs, or does not have `images` images.
pub(super) fn views(
    batch: Batch,
    needs: &Needs,
    images: usize,
    device: &Device,
) -> Result<Views, TrainError> {
    needs_of_views(needs, batch.views.len())?;
    if needs.labels && batch.labels.is_none() {
        return Err(TrainError::Labels);
    }
    if needs.masks.is_some() && batch.masks.is_none() {
        return Err(TrainError::Masks);
    }
    if batch.len() != images {
        return Err(TrainError::Batch { found: batch.len(), expected: images });
    }
    let crop = |view: ViewBatch| {
        Tensor::from_data(TensorData::new(view.data, [images, 3, view.size, view.size]), device)
    };
    let labels = batch.labels.map(|labels| Tensor::from_data(TensorData::new(labels, [images]), device));
    let masks = batch.masks.map_or_else(Vec::new, |masks| masks.views);
    let masks = masks.iter().map(|mask| mask.as_ref().map(|mask| on_device(mask, device))).collect();
    let crops = batch.views.into_iter().map(crop).collect();
    Ok(Views { labels, masks, ..Views::new(crops, needs.global_views) })
}

/// Checks that a method takes this many views of an image.
///
/// # Errors
/// If it does not; the error says what it needs.
pub fn needs_of_views(needs: &Needs, found: usize) -> Result<(), TrainError> {
    let expected = needs.global_views;
    if found < expected || (found > expected && !needs.local_views) {
        let more = if needs.local_views { "at least " } else { "" };
        return Err(TrainError::Views { found, expected: format!("{more}{expected}") });
    }
    Ok(())
}

fn on_device(mask: &HostMask, device: &Device) -> Mask {
    match mask {
        HostMask::Replace(PatchMask { hidden, .. }) => {
            let shape = [mask.len(), hidden.len() / mask.len()];
            Mask::Replace(Tensor::from_data(TensorData::new(hidden.clone(), shape), device))
        }
        HostMask::Keep(kept) => Mask::Keep(one_list(kept, device)),
        HostMask::Predict { context, targets } => {
            Mask::Predict { context: one_list(context, device), targets: lists(targets, device) }
        }
    }
}

/// `[batch, block, patch]`
fn lists(indices: &PatchIndices, device: &Device) -> Tensor<3, Int> {
    let shape = [indices.len(), indices.blocks, indices.patches];
    Tensor::from_data(TensorData::new(indices.indices.clone(), shape), device)
}

/// `[batch, patch]`, of lists with one block.
fn one_list(indices: &PatchIndices, device: &Device) -> Tensor<2, Int> {
    lists(indices, device).squeeze_dim(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::{DeviceSpec, MaskKind};
    use ssl_data::MaskBatch;

    fn batch(masks: Option<MaskBatch>) -> Batch {
        let view = || ViewBatch { size: 2, data: vec![0.5; 2 * 3 * 2 * 2] };
        Batch { epoch: 0, index: 0, views: vec![view(), view()], labels: None, indices: vec![7, 3], masks }
    }

    #[test]
    fn masks_keep_the_batch_as_their_first_axis() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let grid = [2, 2];
        let hidden = vec![true, false, false, false, false, false, true, true];
        let lists = |blocks, patches, indices: &[i64]| PatchIndices {
            grid,
            blocks,
            patches,
            indices: indices.to_vec(),
        };
        let predict =
            HostMask::Predict { context: lists(1, 2, &[0, 1, 2, 3]), targets: lists(2, 1, &[2, 3, 0, 1]) };
        let masks = vec![Some(HostMask::Replace(PatchMask { grid, hidden })), Some(predict)];
        let needs = Needs { masks: Some(MaskKind::Replace), tokens: true, ..Needs::default() };
        let views = views(batch(Some(MaskBatch { views: masks })), &needs, 2, &device).expect("usable");
        let [Some(Mask::Replace(hidden)), Some(Mask::Predict { context, targets })] = &views.masks[..] else {
            panic!("a mask for each view")
        };
        assert_eq!(
            hidden.clone().narrow(0, 1, 1).into_data().iter::<bool>().filter(|&hidden| hidden).count(),
            2
        );
        assert_eq!((context.dims(), targets.dims()), ([2, 2], [2, 2, 1]));
        assert_eq!(targets.clone().narrow(0, 1, 1).into_data().iter::<i64>().collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_method_that_needs_masks_is_not_run_without() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let needs = Needs { masks: Some(MaskKind::Keep), ..Needs::default() };
        assert!(matches!(views(batch(None), &needs, 2, &device), Err(TrainError::Masks)));
        assert!(views(batch(None), &Needs::default(), 2, &device).is_ok());
    }
}
