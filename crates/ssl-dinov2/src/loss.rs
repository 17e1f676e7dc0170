//! The loss of DINOv2.

use burn::tensor::Tensor;
use ssl_core::loss::{cross_view_cross_entropy, koleo, weighted_cross_entropy};
use ssl_core::{Loss, ViewRows};

/// The three terms of the loss, with their weights.
///
/// ```text
/// L = λ_c · mean over the pairs (i, v), v ≠ i, of H(q_i, s_v / T_s)  +  λ_p · Σ_j w_j · H(q_j, s_j / T_s)  +  λ_k · Σ_i koleo(x_i)
/// H(q, s) = −Σ_k q_k · log_softmax(s)_k
/// ```
///
/// # Source
/// Oquab et al. 2023, section 4, <https://arxiv.org/abs/2304.07193>; official `ssl_meta_arch.py`, `forward_backward`, which
/// without local crops divides the first term by 3 for its 2 pairs.
#[derive(Clone, Copy, Debug)]
pub struct DinoV2Loss {
    /// `T_s`
    pub student_temperature: f64,
    /// `λ_c`
    pub class_weight: f64,
    /// `λ_p`
    pub patch_weight: f64,
    /// `λ_k`
    pub koleo_weight: f64,
}

/// The student's logits, the teacher's distributions, and the features that are spread.
#[derive(Clone, Debug)]
pub struct DinoV2Input {
    /// `s_v`, of the class tokens of all crops, `[crop · batch, output]`.
    pub student: ViewRows,
    /// `q_i`, the teacher's of the global crops, which come first, `[crop · batch, output]`, used without gradient.
    pub targets: ViewRows,
    /// `s_j`, of the hidden patches, `[hidden, patch_output]`.
    pub student_patches: Tensor<2>,
    /// `q_j`, the teacher's of the hidden patches, `[hidden, patch_output]`, used without gradient.
    pub patch_targets: Tensor<2>,
    /// `w`, what each hidden patch counts, `[hidden]`: see [`HiddenPatches`](ssl_core::HiddenPatches).
    pub weights: Tensor<1>,
    /// `x_i`, the student's class tokens of each global crop before the head, each `[image, feature_dim]`.
    pub features: Vec<Tensor<2>>,
}

/// The terms of the loss, each with its weight.
#[derive(Clone, Debug)]
pub struct DinoV2Terms {
    /// Of class tokens, `[1]`.
    pub class: Tensor<1>,
    /// Of hidden patches, `[1]`.
    pub patch: Tensor<1>,
    /// KoLeo, `[1]`; `None` if its weight is 0.
    pub koleo: Option<Tensor<1>>,
}

impl DinoV2Loss {
    /// The terms of the loss.
    ///
    /// # Panics
    /// If shapes differ, or KoLeo counts and there are fewer than two images.
    pub fn terms(&self, input: DinoV2Input) -> DinoV2Terms {
        let temperature = self.student_temperature;
        let class = cross_view_cross_entropy(input.targets, input.student, temperature);
        let patch =
            weighted_cross_entropy(input.patch_targets, input.student_patches, input.weights, temperature);
        let spread = || input.features.into_iter().map(koleo).reduce(|sum, term| sum + term);
        let koleo = if self.koleo_weight > 0.0 { spread() } else { None };
        DinoV2Terms {
            class: class.mul_scalar(self.class_weight),
            patch: patch.mul_scalar(self.patch_weight),
            koleo: koleo.map(|koleo| koleo.mul_scalar(self.koleo_weight)),
        }
    }
}

impl DinoV2Terms {
    /// Their sum, `[1]`.
    pub fn sum(self) -> Tensor<1> {
        let sum = self.class + self.patch;
        match self.koleo {
            Some(koleo) => sum + koleo,
            None => sum,
        }
    }
}

impl Loss for DinoV2Loss {
    type Input = DinoV2Input;

    fn forward(&self, input: DinoV2Input) -> Tensor<1> {
        self.terms(input).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::activation::softmax;
    use ssl_fixtures::device;

    /// Deterministic pseudo-random rows: three of four values.
    fn rows(seed: f32) -> Tensor<2> {
        let values: Vec<f32> = (0..12).map(|place| (place as f32 * 1.7 + seed).sin()).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device()).reshape([3, 4])
    }

    const LOSS: DinoV2Loss =
        DinoV2Loss { student_temperature: 0.1, class_weight: 1.0, patch_weight: 1.0, koleo_weight: 0.1 };

    fn input(student: Tensor<2>, targets: Tensor<2>) -> DinoV2Input {
        DinoV2Input {
            student: vec![student.clone(), rows(5.0), rows(6.0)].into(),
            targets: vec![targets.clone(), softmax(rows(7.0), 1)].into(),
            student_patches: student.clone(),
            patch_targets: targets,
            weights: Tensor::from_floats([0.25, 0.25, 0.5], &device()),
            features: vec![student, rows(8.0)],
        }
    }

    #[test]
    fn every_term_trains_the_student_and_none_the_teacher() {
        for [class_weight, patch_weight, koleo_weight] in [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        {
            let student = rows(0.0).autodiff().require_grad();
            let targets = softmax(rows(1.0), 1).autodiff().require_grad();
            let loss = DinoV2Loss { class_weight, patch_weight, koleo_weight, ..LOSS };
            let gradients = loss.forward(input(student.clone(), targets.clone())).backward();
            let largest = student.grad(&gradients).expect("it is trained").abs().max().into_scalar::<f32>();
            assert!(largest > 1e-3, "{class_weight}, {patch_weight}, {koleo_weight}");
            assert!(targets.grad(&gradients).is_none(), "the teacher has a gradient");
        }
    }

    #[test]
    fn koleo_is_left_out_where_it_does_not_count() {
        let without = DinoV2Loss { koleo_weight: 0.0, ..LOSS };
        let one_image = DinoV2Input {
            features: vec![Tensor::ones([1, 4], &device())],
            ..input(rows(0.0), softmax(rows(1.0), 1))
        };
        assert!(without.terms(one_image).koleo.is_none());
        let koleo = LOSS.terms(input(rows(0.0), softmax(rows(1.0), 1))).koleo.expect("it counts");
        let want = 0.1 * (super::koleo(rows(0.0)) + super::koleo(rows(8.0))).into_scalar::<f32>();
        assert!((koleo.into_scalar::<f32>() - want).abs() < 1e-6, "the sum over crops");
    }

    #[test]
    fn a_student_without_an_opinion_costs_the_log_of_the_number_of_outputs_twice() {
        let mut input = input(Tensor::zeros([3, 4], &device()), softmax(rows(1.0), 1));
        input.student = vec![Tensor::zeros([3, 4], &device()); 3].into();
        let loss = DinoV2Loss { koleo_weight: 0.0, ..LOSS }.forward(input).into_scalar::<f32>();
        assert!((loss - 2.0 * 4.0_f32.ln()).abs() < 1e-5, "{loss}");
    }
}
