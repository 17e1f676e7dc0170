//! The loss of MSN.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, softmax};
use ssl_core::group::{as_share, mean_with_own};
use ssl_core::loss::sinkhorn_in_group;
use ssl_core::math::{NORMALIZE_EPS, l2_normalize, soft_cross_entropy};
use ssl_core::{Group, Loss, assert_shape};

/// The logits of the prototypes that embeddings are assigned to.
///
/// ```text
/// logits = ⟨l2_normalize(z), l2_normalize(q_k)⟩ / T
/// ```
///
/// # Shapes
/// - `z`: `[row, dim]`, `prototypes`: `[prototype, dim]`
/// - returns: `[row, prototype]`
///
/// # Source
/// Assran et al. 2022, section 3, <https://arxiv.org/abs/2204.07141>.
pub fn assignments(z: Tensor<2>, prototypes: Tensor<2>, temperature: f64) -> Tensor<2> {
    let q = l2_normalize(prototypes, NORMALIZE_EPS);
    l2_normalize(z, NORMALIZE_EPS).matmul(q.transpose()).div_scalar(temperature)
}

/// MSN's loss, whose target is sharpened and balanced.
///
/// ```text
/// p_i  = softmax(assignments of an anchor)
/// p⁺   = softmax(assignments of its target) ^ (1 / T⁺), each row with sum 1, then balanced by Sinkhorn-Knopp
/// p̄    = mean over anchors of p_i
/// L    = mean over anchors of −Σ_k p⁺_k · log p_ik  +  λ · (log K + Σ_k p̄_k · log p̄_k)
/// ```
///
/// The last term is largest when all anchors are assigned to one prototype, and 0 when all are used alike (mean entropy
/// maximisation).
///
/// # Source
/// Assran et al. 2022, section 3, eq. 1, <https://arxiv.org/abs/2204.07141>. The paper leaves out the constant `log K`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MsnLoss {
    /// `T`, the temperature of anchors and targets.
    pub temperature: f64,
    /// `T⁺`, which sharpens targets below 1.
    pub sharpen_temperature: f64,
    /// Iterations of Sinkhorn-Knopp; 0 leaves targets as they are.
    pub sinkhorn_iterations: usize,
    /// `λ`, the weight of the mean entropy.
    pub regularization_weight: f64,
}

/// Embeddings of anchors and of their targets, and the prototypes.
#[derive(Clone, Debug)]
pub struct MsnInput {
    /// `[view · batch, dim]`, view by view.
    pub anchors: Tensor<2>,
    /// `[batch, dim]`, used without gradient.
    pub targets: Tensor<2>,
    /// `[prototype, dim]`
    pub prototypes: Tensor<2>,
}

impl Loss for MsnLoss {
    type Input = MsnInput;

    fn forward(&self, input: MsnInput) -> Tensor<1> {
        let MsnInput { anchors, targets, prototypes } = input;
        let ([_, dim], [batch, _], [count, _]) = (anchors.dims(), targets.dims(), prototypes.dims());
        assert_shape!(targets, [batch, dim]);
        assert_shape!(prototypes, [count, dim]);
        let fixed = prototypes.clone().without_autodiff();
        let anchors = assignments(anchors, prototypes, self.temperature);
        let targets = assignments(targets.without_autodiff(), fixed, self.temperature);
        let alone = Group::default();
        msn(anchors, targets_of(targets, self, &alone), self.regularization_weight, &alone)
    }
}

/// The targets of anchors: assignments that are sharpened and balanced, without gradient.
///
/// # Shapes
/// - `logits`: `[batch, prototype]`, the [`assignments`] of the target views of this process; they are balanced over those of
///   all processes
/// - returns: `[batch, prototype]`, each row with sum 1
///
/// # Source
/// Assran et al. 2022, section 3; official `losses.py`.
pub fn targets_of(logits: Tensor<2>, loss: &MsnLoss, group: &Group) -> Tensor<2> {
    let [batch, _] = logits.dims();
    // The power of a distribution, with sum 1 again, in log space.
    let sharp =
        log_softmax(log_softmax(logits.without_autodiff(), 1).div_scalar(loss.sharpen_temperature), 1);
    match loss.sinkhorn_iterations {
        0 => sharp.exp(),
        iterations => sinkhorn_in_group(sharp, 1.0, iterations, batch, true, group),
    }
}

/// The loss of assignments, see [`MsnLoss`].
///
/// # Shapes
/// - `anchors`: `[view · batch, prototype]`, logits, view by view
/// - `targets`: `[batch, prototype]`, distributions, the same for each view
/// - returns: `[1]`, a mean over the anchors of this process, with the entropy of those of all
///
/// # Panics
/// If there are not as many anchors of each target.
pub fn msn(anchors: Tensor<2>, targets: Tensor<2>, regularization_weight: f64, group: &Group) -> Tensor<1> {
    let ([rows, prototypes], [batch, _]) = (anchors.dims(), targets.dims());
    assert!(rows.is_multiple_of(batch), "MSN: {rows} anchors of {batch} targets");
    assert_shape!(targets, [batch, prototypes]);
    let mean = mean_with_own(softmax(anchors.clone(), 1).mean_dim(0).squeeze_dim::<1>(0), group);
    // A prototype that nobody is assigned to adds nothing.
    let entropy = (mean.clone() * mean.clamp_min(f64::from(f32::MIN_POSITIVE)).log()).sum().neg();
    let collapse = as_share(entropy.neg().add_scalar((prototypes as f64).ln()), group);
    let targets = targets.repeat_dim(0, rows / batch);
    soft_cross_entropy(targets, anchors, 1.0) + collapse.mul_scalar(regularization_weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_fixtures::{crops, device, floats};

    const LOSS: MsnLoss = MsnLoss {
        temperature: 0.1,
        sharpen_temperature: 0.25,
        sinkhorn_iterations: 3,
        regularization_weight: 1.0,
    };
    const PLAIN: MsnLoss = MsnLoss { sinkhorn_iterations: 0, ..LOSS };

    fn rows(count: usize, seed: f32) -> Tensor<2> {
        crops(count, 2, seed).reshape([count, 12])
    }

    fn value(loss: &MsnLoss, anchors: Tensor<2>, targets: Tensor<2>) -> f32 {
        loss.forward(MsnInput { anchors, targets, prototypes: rows(5, 9.0) }).into_scalar()
    }

    /// All embeddings are the first prototype.
    fn collapsed(count: usize) -> Tensor<2> {
        rows(5, 9.0).narrow(0, 0, 1).repeat_dim(0, count)
    }

    #[test]
    fn anchors_that_all_have_one_prototype_cost_its_number() {
        let free = MsnLoss { regularization_weight: 0.0, ..PLAIN };
        let (with, without) =
            (value(&PLAIN, collapsed(8), collapsed(4)), value(&free, collapsed(8), collapsed(4)));
        assert!(without < 0.1, "without the mean entropy, a collapse costs {without}");
        assert!((with - without - 5.0_f32.ln()).abs() < 0.1, "{with} and {without}");
    }

    #[test]
    fn balanced_targets_that_are_all_alike_belong_to_every_prototype() {
        let logits = assignments(collapsed(4), rows(5, 9.0), LOSS.temperature);
        let all = |loss: &MsnLoss| floats(targets_of(logits.clone(), loss, &Group::default()));
        assert!(all(&LOSS).iter().all(|share| (share - 0.2).abs() < 1e-4), "{:?}", all(&LOSS));
        assert!(all(&PLAIN)[0] > 0.99, "{:?}", all(&PLAIN));
    }

    #[test]
    fn targets_are_sharper_than_assignments_and_sum_to_one() {
        let logits = assignments(rows(4, 0.0), rows(5, 9.0), 1.0);
        let entropy = |loss: &MsnLoss| -> f32 {
            let target = targets_of(logits.clone(), loss, &Group::default());
            assert!(floats(target.clone().sum_dim(1)).iter().all(|sum| (sum - 1.0).abs() < 1e-5));
            (target.clone() * target.log()).sum().neg().into_scalar()
        };
        let soft = MsnLoss { sharpen_temperature: 1.0, ..PLAIN };
        assert!(entropy(&PLAIN) < entropy(&soft));
        assert!(entropy(&MsnLoss { sinkhorn_iterations: 3, ..PLAIN }).is_finite());
    }

    #[test]
    fn every_view_of_an_image_has_its_target_and_the_order_of_images_counts() {
        let targets = rows(4, 0.0);
        let twice = Tensor::cat(vec![targets.clone(), targets.clone()], 0);
        let (one, two) =
            (value(&PLAIN, targets.clone(), targets.clone()), value(&PLAIN, twice, targets.clone()));
        assert!((one - two).abs() < 1e-5, "{one} and {two}");
        let turned = Tensor::cat(vec![targets.clone().narrow(0, 1, 3), targets.clone().narrow(0, 0, 1)], 0);
        assert!(value(&PLAIN, turned, targets) > one + 0.1);
    }

    #[test]
    fn lengths_do_not_count_and_targets_get_no_gradient() {
        let found = value(&LOSS, rows(8, 0.0) * 7.0, rows(4, 1.0) * 0.1);
        assert!((found - value(&LOSS, rows(8, 0.0), rows(4, 1.0))).abs() < 1e-4);
        let leaf = |tensor: Tensor<2>| tensor.autodiff().require_grad();
        let input = MsnInput {
            anchors: leaf(rows(8, 0.0)),
            targets: leaf(rows(4, 1.0)),
            prototypes: leaf(rows(5, 9.0)),
        };
        let gradients = LOSS.forward(input.clone()).backward();
        assert!(input.targets.grad(&gradients).is_none(), "targets have a gradient");
        assert!(input.anchors.grad(&gradients).is_some() && input.prototypes.grad(&gradients).is_some());
    }

    #[test]
    fn prototypes_that_nobody_is_assigned_to_leave_the_gradient_finite() {
        let cold = MsnLoss { temperature: 1e-3, ..LOSS };
        let anchors = collapsed(8).autodiff().require_grad();
        let prototypes = rows(5, 9.0).autodiff();
        let loss = cold.forward(MsnInput { anchors: anchors.clone(), targets: collapsed(4), prototypes });
        assert!(loss.clone().into_scalar::<f32>().is_finite());
        let gradient = floats(anchors.grad(&loss.backward()).expect("it is trained"));
        assert!(gradient.iter().all(|value| value.is_finite()), "{gradient:?}");
    }

    #[test]
    #[should_panic(expected = "MSN: 7 anchors of 4 targets")]
    fn anchors_without_a_target_are_refused() {
        value(&LOSS, rows(7, 0.0), rows(4, 1.0));
    }

    #[test]
    fn uniform_assignments_cost_the_logarithm_of_the_number_of_prototypes() {
        let logits = Tensor::<2>::zeros([8, 5], &device());
        let found: f32 =
            msn(logits.clone(), softmax(logits.narrow(0, 0, 4), 1), 1.0, &Group::default()).into_scalar();
        assert!((found - 5.0_f32.ln()).abs() < 1e-5, "{found}");
    }
}
