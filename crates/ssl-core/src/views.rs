//! Views: the input of a method.

use burn::tensor::{Bool, Int, Tensor};

use crate::Mask;

/// Augmented views of a batch of images, on the device without gradients.
#[derive(Clone, Debug)]
pub struct Views {
    /// The views, each `[batch, channel, height, width]`: first the global ones, all of one resolution, then the local
    /// crops.
    pub crops: Vec<Tensor<4>>,
    /// Number of global views.
    pub global: usize,
    /// Labels, `[batch]`, where the data has them.
    pub labels: Option<Tensor<1, Int>>,
    /// The mask of each view, in the same order; empty if there are no masks.
    pub masks: Vec<Option<Mask>>,
}

impl Views {
    /// Creates views without labels and masks, of which the first `global` are global.
    pub fn new(crops: Vec<Tensor<4>>, global: usize) -> Self {
        Self { crops, global, labels: None, masks: Vec::new() }
    }

    /// Creates two global views, which is what most methods take.
    ///
    /// # Shapes
    /// - `first`, `second`: `[batch, channel, height, width]`
    pub fn two(first: Tensor<4>, second: Tensor<4>) -> Self {
        Self::new(vec![first, second], 2)
    }

    /// Adds labels, `[batch]`.
    pub fn with_labels(mut self, labels: Tensor<1, Int>) -> Self {
        self.labels = Some(labels);
        self
    }

    /// Adds a mask, or `None`, for each view.
    pub fn with_masks(mut self, masks: Vec<Option<Mask>>) -> Self {
        self.masks = masks;
        self
    }

    /// Number of images.
    pub fn batch(&self) -> usize {
        self.crops.first().map_or(0, |crop| crop.dims()[0])
    }

    /// The global views.
    pub fn global(&self) -> &[Tensor<4>] {
        &self.crops[..self.global]
    }

    /// Splits the batch into chunks of `images` images, in order; the last chunk may be smaller.
    pub fn chunks(&self, images: usize) -> Vec<Self> {
        let batch = self.batch();
        (0..batch).step_by(images).map(|start| self.narrow(start, images.min(batch - start))).collect()
    }

    /// The views of the images `start..start + count`.
    ///
    /// # Panics
    /// If there are fewer images.
    pub fn narrow(&self, start: usize, count: usize) -> Self {
        let mask = |mask: &Option<Mask>| mask.as_ref().map(|mask| mask.narrow(start, count));
        Self {
            crops: self.crops.iter().map(|crop| crop.clone().narrow(0, start, count)).collect(),
            global: self.global,
            labels: self.labels.as_ref().map(|labels| labels.clone().narrow(0, start, count)),
            masks: self.masks.iter().map(mask).collect(),
        }
    }

    /// The first view and its mask.
    ///
    /// # Panics
    /// If there is no view, or it has no mask.
    pub fn masked(&self) -> (Tensor<4>, &Mask) {
        match (self.crops.first(), self.masks.first()) {
            (Some(view), Some(Some(mask))) => (view.clone(), mask),
            _ => {
                panic!("expected a view with a mask, got {} views and no mask of the first", self.crops.len())
            }
        }
    }

    /// Which patches of the global views the mask token replaces, view after view: `[views · batch, patch]`.
    ///
    /// # Panics
    /// If a global view has no such mask.
    pub fn replaced(&self) -> Tensor<2, Bool> {
        let of_view = |view: usize| match self.masks.get(view) {
            Some(Some(Mask::Replace(hidden))) => hidden.clone(),
            found => {
                let found = found.and_then(Option::as_ref).map(Mask::kind);
                panic!("expected a mask of view {view} that replaces patches, got {found:?}")
            }
        };
        Tensor::cat((0..self.global).map(of_view).collect(), 0)
    }

    /// The first two views.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn pair(&self) -> (Tensor<4>, Tensor<4>) {
        match self.crops.as_slice() {
            [first, second, ..] => (first.clone(), second.clone()),
            crops => panic!("expected two views, got {}", crops.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;

    #[test]
    fn chunks_have_the_labels_and_masks_of_their_images() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let images = Tensor::<1, Int>::arange(0..5, &device).float().reshape([5, 1, 1, 1]);
        let places = |blocks: usize, patches: usize| {
            let count = (5 * blocks * patches) as i64;
            Tensor::<1, Int>::arange(0..count, &device).reshape([5, blocks, patches])
        };
        let predict = Mask::Predict { context: places(1, 2).squeeze_dim(1), targets: places(3, 2) };
        let hidden = places(1, 2).squeeze_dim::<2>(1).lower_elem(3);
        let views = Views::two(images.clone(), images)
            .with_labels(Tensor::arange(10..15, &device))
            .with_masks(vec![Some(predict), Some(Mask::Replace(hidden))]);
        let chunks = views.chunks(2);
        assert_eq!(chunks.iter().map(Views::batch).collect::<Vec<_>>(), [2, 2, 1]);
        let last = &chunks[2];
        assert_eq!(last.labels.as_ref().expect("labels").to_data().iter::<i64>().next(), Some(14));
        let Some(Mask::Predict { context, targets }) = &last.masks[0] else {
            panic!("a context and targets")
        };
        assert_eq!(context.to_data().iter::<i64>().collect::<Vec<_>>(), [8, 9]);
        assert_eq!(targets.to_data().iter::<i64>().collect::<Vec<_>>(), (24..30).collect::<Vec<_>>());
        let Some(Mask::Replace(hidden)) = &chunks[0].masks[1] else { panic!("a mask") };
        assert_eq!(hidden.to_data().iter::<bool>().collect::<Vec<_>>(), [true, true, true, false]);
    }
}
