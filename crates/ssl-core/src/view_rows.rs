//! Rows of several views.

use burn::tensor::Tensor;

use crate::assert_shape;

/// Rows of several views of the same images in one tensor, view after view.
///
/// Layers on all rows at once read their weights once, and return one gradient of these, which for a last layer of tens of
/// thousands of outputs is much of a step.
#[derive(Clone, Debug)]
pub struct ViewRows {
    /// `[view · batch, dim]`
    pub rows: Tensor<2>,
    /// The number of views.
    pub views: usize,
}

impl ViewRows {
    /// Of one tensor for each view.
    ///
    /// # Panics
    /// If there are none, or if shapes differ.
    pub fn new(views: Vec<Tensor<2>>) -> Self {
        assert!(!views.is_empty(), "rows of no view");
        let [batch, dim] = views[0].dims();
        for view in &views {
            assert_shape!(view, [batch, dim]);
        }
        Self { views: views.len(), rows: Tensor::cat(views, 0) }
    }

    /// The rows of each view.
    pub fn batch(&self) -> usize {
        self.rows.dims()[0] / self.views
    }

    /// The same views of other rows, such as those that a layer makes of these.
    ///
    /// # Shapes
    /// - `rows`: `[view · batch, ...]`
    pub fn map(self, layer: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Self {
        Self { rows: layer(self.rows), views: self.views }
    }

    /// The rows of the first views.
    ///
    /// # Shapes
    /// - returns: `[views · batch, dim]`
    pub fn first(&self, views: usize) -> Tensor<2> {
        self.rows.clone().narrow(0, 0, views * self.batch())
    }

    /// `[batch, dim]` for each view.
    pub fn chunk(self) -> Vec<Tensor<2>> {
        self.rows.chunk(self.views, 0)
    }
}

impl From<Vec<Tensor<2>>> for ViewRows {
    fn from(views: Vec<Tensor<2>>) -> Self {
        Self::new(views)
    }
}
