//! The loss of DINO.

use burn::tensor::Tensor;
use ssl_core::loss::{centered_softmax, cross_view_cross_entropy};
use ssl_core::{Loss, ViewRows};

/// Cross entropy of the teacher's distribution for one crop with the student's prediction from every other crop.
///
/// ```text
/// q_i = softmax((t_i − center) / T_t)
/// L   = mean over the pairs (i, v), v ≠ i, of H(q_i, s_v / T_s),   H(q, s) = mean over rows of −Σ_k q_k · log_softmax(s)_k
/// ```
///
/// # Shapes
/// - `student`: `s_v`, logits of all crops, `[crop · batch, output]`
/// - `teacher`: `t_i`, logits of the first crops in the same order, `[crop · batch, output]`, used without gradient
/// - `center`: `[output]`, as it was before this step
/// - returns: `[1]`, in nats
///
/// # Panics
/// If there are no teacher logits, more teacher than student logits, or fewer than two crops, or if shapes differ.
///
/// # Source
/// Caron et al. 2021, eq. 1 to 3 and algorithm 1, <https://arxiv.org/abs/2104.14294>; official `main_dino.py`, `DINOLoss`.
pub fn dino(
    student: ViewRows,
    teacher: ViewRows,
    center: Tensor<1>,
    student_temperature: f64,
    teacher_temperature: f64,
) -> Tensor<1> {
    let targets = teacher.map(|logits| centered_softmax(logits, center, teacher_temperature));
    cross_view_cross_entropy(targets, student, student_temperature)
}

/// [`dino`] with its temperatures.
#[derive(Clone, Copy, Debug)]
pub struct DinoLoss {
    student_temperature: f64,
    teacher_temperature: f64,
}

/// The logits of both networks, and the centre.
#[derive(Clone, Debug)]
pub struct DinoInput {
    /// Logits of all crops, `[crop · batch, output]`.
    pub student: ViewRows,
    /// Logits of the global crops, which come first, `[crop · batch, output]`.
    pub teacher: ViewRows,
    /// `[output]`
    pub center: Tensor<1>,
}

impl DinoLoss {
    /// Creates the loss with the temperatures of student and teacher.
    pub fn new(student_temperature: f64, teacher_temperature: f64) -> Self {
        Self { student_temperature, teacher_temperature }
    }
}

impl Loss for DinoLoss {
    type Input = DinoInput;

    fn forward(&self, input: DinoInput) -> Tensor<1> {
        let (student_t, teacher_t) = (self.student_temperature, self.teacher_temperature);
        dino(input.student, input.teacher, input.center, student_t, teacher_t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use ssl_core::DeviceSpec;

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in").autodiff()
    }

    /// Deterministic pseudo-random logits.
    fn logits(seed: f32) -> Tensor<2> {
        let values: Vec<f32> = (0..8).map(|place| (place as f32 * 1.7 + seed).sin()).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device()).reshape([2, 4]).detach().require_grad()
    }

    fn center(values: [f32; 4]) -> Tensor<1> {
        Tensor::from_floats(values, &device())
    }

    fn of(
        student: &[Tensor<2>],
        teacher: &[Tensor<2>],
        center: Tensor<1>,
        student_t: f64,
        teacher_t: f64,
    ) -> Tensor<1> {
        dino(student.to_vec().into(), teacher.to_vec().into(), center, student_t, teacher_t)
    }

    fn value(loss: Tensor<1>) -> f32 {
        loss.into_scalar::<f32>()
    }

    const NO_CENTER: [f32; 4] = [0.0; 4];

    #[test]
    fn a_student_without_an_opinion_costs_the_log_of_the_number_of_outputs() {
        let equal = [Tensor::zeros([2, 4], &device()), Tensor::zeros([2, 4], &device())];
        let loss = of(&equal, &[logits(0.0), logits(1.0)], center(NO_CENTER), 0.1, 0.04);
        assert!((value(loss) - 4.0_f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn the_center_takes_a_shift_of_all_teacher_logits_away() {
        let student = [logits(2.0), logits(3.0)];
        let shift = [5.0, -3.0, 0.0, 1.0];
        let shifted = [0.0, 1.0].map(|seed| logits(seed) + center(shift).unsqueeze::<2>());
        let plain = value(of(&student, &[logits(0.0), logits(1.0)], center(NO_CENTER), 0.1, 0.5));
        let centered = value(of(&student, &shifted, center(shift), 0.1, 0.5));
        assert!((plain - centered).abs() < 1e-4, "{plain} and {centered}");
        let uncentered = value(of(&student, &shifted, center(NO_CENTER), 0.1, 0.5));
        assert!((plain - uncentered).abs() > 0.1, "without the centre it is {uncentered} as well");
    }

    #[test]
    fn a_sharper_teacher_is_nearer_to_its_largest_logit() {
        let teacher = Tensor::<2>::from_floats([[1.0, 0.0, 0.0, 0.0]; 2], &device());
        let student = [logits(0.0), logits(1.0)];
        let at = |t| value(of(&student, &[teacher.clone(), teacher.clone()], center(NO_CENTER), 0.1, t));
        let one_hot =
            value(of(&student, &[teacher.clone() * 1e4, teacher.clone() * 1e4], center(NO_CENTER), 0.1, 1.0));
        assert!((at(0.04) - one_hot).abs() < (at(0.5) - one_hot).abs());
        assert!((at(0.04) - one_hot).abs() < 1e-4);
    }

    #[test]
    fn every_crop_of_the_student_gets_a_gradient_and_the_teacher_gets_none() {
        let student = [logits(0.0), logits(1.0), logits(2.0)];
        let teacher = [logits(3.0), logits(4.0)];
        let gradients = of(&student, &teacher, center(NO_CENTER), 0.1, 0.04).backward();
        assert!(student.iter().all(|logits| logits.grad(&gradients).is_some()));
        assert!(teacher.iter().all(|logits| logits.grad(&gradients).is_none()));
    }
}
