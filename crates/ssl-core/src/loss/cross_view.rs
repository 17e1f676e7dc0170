//! Cross entropy between every view and the targets of the other views.

use burn::tensor::Tensor;
use ssl_kernels::ops::{Pairs, cross_entropies};

use crate::{ViewRows, assert_shape};

/// Cross entropy of each view's logits with the targets of every other view.
///
/// ```text
/// L = mean over the pairs (i, v), v ≠ i, of H(q_i, s_v / T),    H(q, s) = mean over rows of −Σ_k q_k · log_softmax(s)_k
/// ```
///
/// # Shapes
/// - `targets`: `q_i`, the distributions of the first views, `[view · batch, class]`, used as given and without gradient
/// - `logits`: `s_v`, for all views in the same order, `[view · batch, class]`
/// - returns: `[1]`, in nats
///
/// # Panics
/// If the temperature `T` is not above 0, if there are no targets, more targets than views, or fewer than two views, or if
/// shapes differ.
///
/// # Source
/// Caron et al. 2020, section 3.3, <https://arxiv.org/abs/2006.09882>; Caron et al. 2021, eq. 3,
/// <https://arxiv.org/abs/2104.14294>.
pub fn cross_view_cross_entropy(targets: ViewRows, logits: ViewRows, temperature: f64) -> Tensor<1> {
    let (sources, views, images) = (targets.views, logits.views, logits.batch());
    assert!(
        (1..=views).contains(&sources) && views > 1,
        "cross-view cross entropy: targets of {sources} views for the logits of {views}"
    );
    let [_, class] = logits.rows.dims();
    assert_shape!(targets.rows, [sources * images, class]);
    let costs = cross_entropies(logits.rows, targets.rows, temperature, Pairs::OtherViews { images });
    costs.sum().div_scalar((images * sources * (views - 1)) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;
    use crate::math::soft_cross_entropy;
    use burn::tensor::{Device, activation::softmax};

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    fn rows(seed: f32) -> Tensor<2> {
        Tensor::<1>::from_floats([0.1, -0.7, 1.3, 0.4, 0.9, -0.2], &device()).reshape([2, 3]) * seed
    }

    fn of(targets: &[Tensor<2>], logits: &[Tensor<2>], temperature: f64) -> Tensor<1> {
        cross_view_cross_entropy(targets.to_vec().into(), logits.to_vec().into(), temperature)
    }

    fn value(loss: Tensor<1>) -> f32 {
        loss.into_scalar::<f32>()
    }

    #[test]
    fn it_is_the_mean_over_all_pairs_of_different_views() {
        let targets = [softmax(rows(1.0), 1), softmax(rows(-2.0), 1)];
        let logits = [rows(3.0), rows(-1.0), rows(0.5)];
        let mut pairs = Vec::new();
        for (i, q) in targets.iter().enumerate() {
            for (_, s) in logits.iter().enumerate().filter(|(v, _)| *v != i) {
                pairs.push(value(soft_cross_entropy(q.clone(), s.clone().div_scalar(0.5), 1.0)));
            }
        }
        let want = pairs.iter().sum::<f32>() / 4.0;
        assert!((value(of(&targets, &logits, 0.5)) - want).abs() < 1e-6);
    }

    #[test]
    fn a_view_is_not_held_against_its_own_targets() {
        let (targets, other) = ([softmax(rows(1.0), 1)], rows(2.0));
        let loss = |own: f32| value(of(&targets, &[rows(own), other.clone()], 1.0));
        assert_eq!(loss(1.0), loss(-50.0));
    }

    #[test]
    #[should_panic(expected = "targets of 2 views for the logits of 1")]
    fn more_targets_than_views_are_refused() {
        of(&[rows(1.0), rows(2.0)], &[rows(1.0)], 1.0);
    }
}
