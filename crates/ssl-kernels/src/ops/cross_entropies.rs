//! Cross entropies of rows of logits with distributions.

use burn::tensor::{Tensor, activation::log_softmax};

#[cfg(any(feature = "flex", feature = "tch"))]
use super::host::host_of;

/// Which distributions a row of logits is to predict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// Row `r` predicts target `r`.
    Same,
    /// Logits and targets are of views, so many images each, view after view in the same order: a row predicts the targets of
    /// its image in all views but its own.
    OtherViews {
        /// Rows of a view.
        images: usize,
    },
}

impl Pairs {
    /// The targets of a row.
    pub(super) fn of(self, row: usize, targets: usize) -> impl Iterator<Item = usize> + Clone {
        let (first, step) = match self {
            Self::Same => (row, targets.max(1)),
            Self::OtherViews { images } => (row % images, images),
        };
        (first..targets).step_by(step).filter(move |target| self == Self::Same || *target != row)
    }

    fn check(self, rows: usize, targets: usize) {
        match self {
            Self::Same => assert_eq!(rows, targets, "cross entropies: rows of logits, and targets"),
            Self::OtherViews { images } => assert!(
                images > 0
                    && rows.is_multiple_of(images)
                    && targets.is_multiple_of(images)
                    && targets <= rows,
                "cross entropies: {targets} targets of {rows} rows, in views of {images} images"
            ),
        }
    }
}

/// The cross entropies between targets and the predictions of each row, added up for a row with several targets.
///
/// ```text
/// cost_r = Σ over the targets i of row r of H(q_i, s_r / T),   H(q, s) = −Σ_k q_k · log_softmax(s)_k
/// ```
///
/// On `flex`, and in float32 on `tch`, no probabilities are kept: the backward pass computes them again.
///
/// # Shapes
/// - `logits`: `s`, `[row, class]`
/// - `targets`: `q`, `[target, class]`, used as given and without gradient
/// - returns: `[row]`, in nats
///
/// `T` is the temperature.
///
/// # Panics
/// If the temperature is not above 0, if the shapes do not fit, or if views have no images.
pub fn cross_entropies(logits: Tensor<2>, targets: Tensor<2>, temperature: f64, pairs: Pairs) -> Tensor<1> {
    let ([rows, class], [count, length]) = (logits.dims(), targets.dims());
    assert_eq!(length, class, "cross entropies: classes of a target, and of a row of logits");
    assert!(temperature > 0.0, "cross entropies: a temperature of {temperature}, expected one above 0");
    pairs.check(rows, count);
    #[cfg(any(feature = "flex", feature = "tch"))]
    if let Some(host) = host_of!(logits, targets) {
        return host.cross_entropies(logits, targets, temperature, pairs);
    }
    portable(logits, targets, temperature, pairs)
}

/// The portable version, with Burn's own operations.
pub(super) fn portable(logits: Tensor<2>, targets: Tensor<2>, temperature: f64, pairs: Pairs) -> Tensor<1> {
    let targets = match pairs {
        Pairs::Same => targets,
        Pairs::OtherViews { images } => sums_of_others(targets, logits.dims()[0] / images, images),
    };
    let costs = targets.detach() * log_softmax(logits.div_scalar(temperature), 1);
    costs.sum_dim(1).squeeze_dim::<1>(1).neg()
}

/// For each view, the sum of the targets of all others: cross entropy is linear in its targets.
fn sums_of_others(targets: Tensor<2>, views: usize, images: usize) -> Tensor<2> {
    let sources = targets.dims()[0] / images;
    let of_source = |source: usize| targets.clone().narrow(0, source * images, images);
    let of_view = |view: usize| {
        let others = (0..sources).filter(|source| *source != view);
        others.map(of_source).reduce(|sum, other| sum + other)
    };
    let none = || Tensor::zeros([images, targets.dims()[1]], &targets.device());
    Tensor::cat((0..views).map(|view| of_view(view).unwrap_or_else(none)).collect(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_predicts_the_other_views_of_its_image() {
        let of = |pairs: Pairs, row, targets| pairs.of(row, targets).collect::<Vec<_>>();
        let views = Pairs::OtherViews { images: 3 };
        assert_eq!(of(views, 1, 6), [4]);
        assert_eq!(of(views, 5, 6), [2]);
        assert_eq!(of(views, 7, 6), [1, 4]);
        assert_eq!(of(views, 1, 3), [0; 0]);
        assert_eq!(of(Pairs::Same, 2, 4), [2]);
    }
}
