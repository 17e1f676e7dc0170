//! Views: what a method sees of a batch of images.

use burn::tensor::{Int, Tensor};

/// Augmented views of a batch of images, on the device without gradients.
#[derive(Clone, Debug)]
pub struct Views {
    /// The views, each `[batch, channel, height, width]`; the global ones first, all of one resolution, then the
    /// local crops.
    pub crops: Vec<Tensor<4>>,
    /// Number of global views.
    pub global: usize,
    /// Classes, `[batch]`, where the data has them.
    pub labels: Option<Tensor<1, Int>>,
}

impl Views {
    /// Two views and no labels, what most methods take.
    ///
    /// # Shapes
    /// - `first`, `second`: `[batch, channel, height, width]`
    pub fn two(first: Tensor<4>, second: Tensor<4>) -> Self {
        Self { crops: vec![first, second], global: 2, labels: None }
    }

    /// Number of images.
    pub fn batch(&self) -> usize {
        self.crops.first().map_or(0, |crop| crop.dims()[0])
    }

    /// The global views.
    pub fn global(&self) -> &[Tensor<4>] {
        &self.crops[..self.global]
    }

    /// The views of `images` images at a time, in order; of the rest in the last chunk.
    pub fn chunks(&self, images: usize) -> Vec<Self> {
        let batch = self.batch();
        let chunk = |start: usize| {
            let count = images.min(batch - start);
            Self {
                crops: self.crops.iter().map(|crop| crop.clone().narrow(0, start, count)).collect(),
                global: self.global,
                labels: self.labels.as_ref().map(|labels| labels.clone().narrow(0, start, count)),
            }
        };
        (0..batch).step_by(images).map(chunk).collect()
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
