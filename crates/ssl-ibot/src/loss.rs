//! The loss of iBOT.

use burn::tensor::Tensor;
use ssl_core::loss::{centered_softmax, cross_view_cross_entropy, weighted_cross_entropy};
use ssl_core::{Loss, ViewRows};

/// Cross entropy of the teacher's distribution for a hidden patch, which it sees, with the student's prediction at its place.
///
/// ```text
/// q = softmax((t − center) / T_t)
/// L = Σ_i w_i · H(q_i, s_i / T_s),   H(q, s) = −Σ_k q_k · log_softmax(s)_k,   over the hidden patches i
/// ```
///
/// # Shapes
/// - `student`: `s`, logits of the hidden patches, `[hidden, output]`
/// - `teacher`: `t`, the teacher's for the same patches, `[hidden, output]`, used without gradient
/// - `weights`: `w`, `[hidden]`: for the mean over images of the mean over the hidden patches of an image, those of
///   [`HiddenPatches`](ssl_core::HiddenPatches)
/// - `center`: `[output]`, as it was before this step
/// - returns: `[1]`, in nats
///
/// # Panics
/// If shapes differ.
///
/// # Source
/// Zhou et al. 2021, eq. 2, <https://arxiv.org/abs/2111.07832>; official `main_ibot.py`, `iBOTLoss`.
pub fn ibot(
    student: Tensor<2>,
    teacher: Tensor<2>,
    weights: Tensor<1>,
    center: Tensor<1>,
    student_temperature: f64,
    teacher_temperature: f64,
) -> Tensor<1> {
    let targets = centered_softmax(teacher, center, teacher_temperature);
    weighted_cross_entropy(targets, student, weights, student_temperature)
}

/// Both terms of the loss, with their temperatures.
///
/// ```text
/// q_i = softmax((t_i − center) / T_t)
/// L   = λ1 · mean over the pairs (i, v), v ≠ i, of H(q_i, s_v / T_s)  +  λ2 · ibot(patches)
/// ```
#[derive(Clone, Copy, Debug)]
pub struct IBotLoss {
    /// `T_s`
    pub student_temperature: f64,
    /// `T_t`
    pub teacher_temperature: f64,
    /// `T_t'`, of patches
    pub teacher_patch_temperature: f64,
    /// `λ1`
    pub class_weight: f64,
    /// `λ2`
    pub patch_weight: f64,
}

/// The logits of both networks, and the centres.
#[derive(Clone, Debug)]
pub struct IBotInput {
    /// The student's of the class tokens of all crops, `[crop · batch, output]`.
    pub student: ViewRows,
    /// The teacher's of the class tokens of the global crops, which come first, `[crop · batch, output]`.
    pub teacher: ViewRows,
    /// The student's of the hidden patches, `[hidden, output]`.
    pub student_patches: Tensor<2>,
    /// The teacher's of the hidden patches, `[hidden, output]`.
    pub teacher_patches: Tensor<2>,
    /// What each hidden patch counts, `[hidden]`.
    pub weights: Tensor<1>,
    /// Of class tokens, `[output]`.
    pub center: Tensor<1>,
    /// Of patches, `[output]`.
    pub patch_center: Tensor<1>,
}

impl IBotLoss {
    /// The terms of the loss, each with its weight: of class tokens and of patches.
    pub fn terms(&self, input: IBotInput) -> [Tensor<1>; 2] {
        let IBotInput { student, teacher, center, .. } = input;
        let targets = teacher.map(|logits| centered_softmax(logits, center, self.teacher_temperature));
        let of_class = cross_view_cross_entropy(targets, student, self.student_temperature);
        let of_patches = ibot(
            input.student_patches,
            input.teacher_patches,
            input.weights,
            input.patch_center,
            self.student_temperature,
            self.teacher_patch_temperature,
        );
        [of_class.mul_scalar(self.class_weight), of_patches.mul_scalar(self.patch_weight)]
    }
}

impl Loss for IBotLoss {
    type Input = IBotInput;

    fn forward(&self, input: IBotInput) -> Tensor<1> {
        let [of_class, of_patches] = self.terms(input);
        of_class + of_patches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_fixtures::device;

    /// Deterministic pseudo-random logits of three rows and four outputs.
    fn logits(seed: f32) -> Tensor<2> {
        let values: Vec<f32> = (0..12).map(|place| (place as f32 * 1.7 + seed).sin()).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device()).reshape([3, 4])
    }

    fn center(values: [f32; 4]) -> Tensor<1> {
        Tensor::from_floats(values, &device())
    }

    fn weights() -> Tensor<1> {
        Tensor::from_floats([0.25, 0.25, 0.5], &device())
    }

    fn value(student: Tensor<2>, teacher: Tensor<2>, of: [f32; 4]) -> f32 {
        ibot(student, teacher, weights(), center(of), 0.1, 0.5).into_scalar()
    }

    const NO_CENTER: [f32; 4] = [0.0; 4];

    #[test]
    fn a_student_without_an_opinion_costs_the_log_of_the_number_of_outputs() {
        let loss = value(Tensor::zeros([3, 4], &device()), logits(0.0), NO_CENTER);
        assert!((loss - 4.0_f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn the_center_takes_a_shift_of_all_teacher_logits_away() {
        let shift = [5.0, -3.0, 0.0, 1.0];
        let shifted = logits(0.0) + center(shift).unsqueeze::<2>();
        let plain = value(logits(2.0), logits(0.0), NO_CENTER);
        assert!((plain - value(logits(2.0), shifted.clone(), shift)).abs() < 1e-4);
        assert!(
            (plain - value(logits(2.0), shifted, NO_CENTER)).abs() > 0.1,
            "the centre makes no difference"
        );
    }

    fn input(student: Tensor<2>, teacher: Tensor<2>) -> IBotInput {
        IBotInput {
            student: vec![student.clone(), logits(5.0)].into(),
            teacher: vec![teacher.clone(), logits(6.0)].into(),
            student_patches: student,
            teacher_patches: teacher,
            weights: weights(),
            center: center(NO_CENTER),
            patch_center: center([0.1; 4]),
        }
    }

    const LOSS: IBotLoss = IBotLoss {
        student_temperature: 0.1,
        teacher_temperature: 0.04,
        teacher_patch_temperature: 0.07,
        class_weight: 1.0,
        patch_weight: 1.0,
    };

    #[test]
    fn the_student_gets_a_gradient_from_both_terms_and_the_teacher_gets_none() {
        for (class_weight, patch_weight) in [(1.0, 0.0), (0.0, 1.0)] {
            let (student, teacher) = (logits(0.0).autodiff(), logits(1.0).autodiff());
            let (student, teacher) = (student.require_grad(), teacher.require_grad());
            let loss = IBotLoss { class_weight, patch_weight, ..LOSS };
            let gradients = loss.forward(input(student.clone(), teacher.clone())).backward();
            let largest = student.grad(&gradients).expect("it is trained").abs().max().into_scalar::<f32>();
            assert!(largest > 1e-3, "{class_weight} and {patch_weight}");
            assert!(teacher.grad(&gradients).is_none(), "the teacher has a gradient");
        }
    }

    #[test]
    fn each_term_has_its_temperature_and_its_weight() {
        let of = |loss: IBotLoss| {
            loss.terms(input(logits(0.0), logits(1.0))).map(|term| term.into_scalar::<f32>())
        };
        let plain = of(LOSS);
        let sharper = of(IBotLoss { teacher_patch_temperature: 0.01, ..LOSS });
        assert!(sharper[0] == plain[0] && sharper[1] != plain[1]);
        let sharper = of(IBotLoss { teacher_temperature: 0.01, ..LOSS });
        assert!(sharper[0] != plain[0] && sharper[1] == plain[1]);
        let weighted = of(IBotLoss { class_weight: 2.0, patch_weight: 0.5, ..LOSS });
        assert_eq!(weighted, [2.0 * plain[0], 0.5 * plain[1]]);
    }
}
