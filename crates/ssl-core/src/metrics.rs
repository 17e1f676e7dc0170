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

    /// Adds `prototype_usage`, the share of prototypes that are the first choice of some row: 1 / their number if all rows choose
    /// the same. Nothing is added for fewer than four rows, which may well agree (our choice).
    ///
    /// # Shapes
    /// - `codes`: each `[row, prototype]`, the assignments that a student learns
    pub fn with_prototype_usage(self, codes: Vec<Tensor<2>>) -> Self {
        const FEWEST: usize = 4;
        if codes.iter().map(|codes| codes.dims()[0]).sum::<usize>() < FEWEST {
            return self;
        }
        self.with("prototype_usage", move || {
            let codes = Tensor::cat(codes, 0);
            let largest = codes.clone().max_dim(1);
            codes.greater_equal(largest).float().max_dim(0).mean()
        })
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

    #[test]
    fn prototypes_that_are_the_first_choice_of_a_row_are_used() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let usage = |codes: Vec<[[f32; 4]; 2]>| {
            let codes = codes.into_iter().map(|rows| Tensor::from_floats(rows, &device)).collect();
            Metrics::none().with_prototype_usage(codes).read()[0].1
        };
        let [first, second] = [[0.7, 0.1, 0.1, 0.1], [0.2, 0.4, 0.3, 0.1]];
        assert_eq!(usage(vec![[first, first], [first, first]]), 0.25, "all rows have one prototype");
        assert_eq!(usage(vec![[first, first], [second, first]]), 0.5);
        let few = Tensor::from_floats([first, second], &device);
        assert_eq!(
            Metrics::none().with_prototype_usage(vec![few]).names().count(),
            0,
            "two rows say nothing"
        );
    }
}
