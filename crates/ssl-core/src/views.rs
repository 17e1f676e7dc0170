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
