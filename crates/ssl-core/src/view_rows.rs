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

    /// The number of rows of each view.
    ///
    /// # Panics
    /// If the rows are not those of `views` views.
    pub fn batch(&self) -> usize {
        let ([rows, _], views) = (self.rows.dims(), self.views);
        assert!(views > 0 && rows.is_multiple_of(views), "{rows} rows are not those of {views} views");
        rows / views
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
    ///
    /// # Panics
    /// If there are fewer views.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;
    use burn::tensor::TensorData;

    fn view(first: f32) -> Tensor<2> {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        Tensor::from_floats([[first, 1.0], [first, 2.0]], &device)
    }

    #[test]
    fn views_are_one_after_another_and_come_back_as_they_were() {
        let all = ViewRows::new(vec![view(0.0), view(1.0), view(2.0)]);
        assert_eq!((all.batch(), all.views), (2, 3));
        let first = [[0.0_f32, 1.0], [0.0, 2.0], [1.0, 1.0], [1.0, 2.0]];
        assert_eq!(all.first(2).into_data(), TensorData::from(first));
        let doubled = all.map(|rows| rows * 2.0).chunk();
        for (index, found) in doubled.into_iter().enumerate() {
            assert_eq!(found.into_data(), (view(index as f32) * 2.0).into_data());
        }
    }

    #[test]
    #[should_panic(expected = "2 rows are not those of 3 views")]
    fn rows_of_other_views_are_refused() {
        ViewRows { rows: view(0.0), views: 3 }.batch();
    }
}
