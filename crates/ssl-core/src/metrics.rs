//! Metrics that a method reports about a step.

use std::fmt;

use burn::tensor::Tensor;

use crate::math::feature_std;

/// Named numbers that a method offers for the metrics file.
///
/// Offering a metric costs nothing until it is read. A loop reads metrics only for steps that get a row in the file, so
/// the GPU need not wait during the others.
///
/// ```
/// # use burn::tensor::Tensor;
/// # use ssl_core::{DeviceSpec, Metrics};
/// # let device = DeviceSpec::Flex.open().unwrap();
/// let z = Tensor::<2>::from_floats([[1.0, 0.0], [0.0, 1.0]], &device);
/// let logits = z.clone();
/// let metrics = Metrics::of_embeddings(z).with("largest_logit", move || logits.max());
/// assert_eq!(metrics.names().collect::<Vec<_>>(), ["z_std", "largest_logit"]);
/// assert_eq!(metrics.read()[1].1, 1.0);
/// ```
#[derive(Default)]
pub struct Metrics {
    offers: Vec<(&'static str, Offer)>,
}

type Offer = Box<dyn FnOnce() -> Tensor<1> + Send>;

impl Metrics {
    /// No metrics.
    pub fn none() -> Self {
        Self::default()
    }

    /// `z_std`, the spread of the embeddings, which reveals a collapse. See [`feature_std`].
    ///
    /// # Shapes
    /// - `z`: `[row, dim]`
    pub fn of_embeddings(z: Tensor<2>) -> Self {
        let z = z.without_autodiff();
        Self::none().with("z_std", move || feature_std(z))
    }

    /// Offers a number under its name in the metrics file, such as `teacher_entropy`.
    ///
    /// `value` returns a tensor `[1]` and runs only if the number is read. It should not hold tensors that need
    /// gradients.
    pub fn with(mut self, name: &'static str, value: impl FnOnce() -> Tensor<1> + Send + 'static) -> Self {
        self.offers.push((name, Box::new(value)));
        self
    }

    /// The names, in the order in which they were added.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.offers.iter().map(|(name, _)| *name)
    }

    /// Computes and reads all numbers, waiting for the device.
    pub fn read(self) -> Vec<(&'static str, f64)> {
        let value = |offer: Offer| f64::from(offer().into_scalar::<f32>());
        self.offers.into_iter().map(|(name, offer)| (name, value(offer))).collect()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;

    #[test]
    fn nothing_is_computed_before_it_is_read() {
        let metrics = Metrics::none().with("never", || panic!("nobody asked"));
        assert_eq!(metrics.names().collect::<Vec<_>>(), ["never"]);
        drop(metrics);
    }

    #[test]
    fn embeddings_offer_their_spread() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let z = Tensor::<2>::from_floats([[3.0, 4.0], [-1.0, 2.0], [0.5, 0.0]], &device);
        let want = f64::from(feature_std(z.clone()).into_scalar::<f32>());
        assert_eq!(Metrics::of_embeddings(z).read(), [("z_std", want)]);
    }
}
