//! Distillation of a teacher's logits.

use burn::tensor::{Tensor, activation::softmax};

use super::Loss;
use crate::assert_shape;
use crate::math::soft_cross_entropy;

/// Cross entropy between the class probabilities of a teacher and a student, both at the same temperature.
///
/// ```text
/// L = H(softmax(teacher / T), student / T)        times T² if `t2_scale`
/// ```
///
/// # Shapes
/// - `student`, `teacher`: `[row, class]`
/// - returns: `[1]`, in nats; the entropy of the teacher's probabilities if the two agree
///
/// # Panics
/// If the two shapes differ.
///
/// # Source
/// Hinton et al. 2015, section 2, <https://arxiv.org/abs/1503.02531>; SimCLR v2, eq. 2, <https://arxiv.org/abs/2006.10029>.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DistillationLoss {
    temperature: f64,
    t2_scale: bool,
}

/// The logits of both networks.
#[derive(Clone, Debug)]
pub struct DistillationInput {
    /// `[row, class]`
    pub student: Tensor<2>,
    /// `[row, class]`, used without gradient.
    pub teacher: Tensor<2>,
}

impl DistillationLoss {
    /// Creates the loss at a temperature `T` above 0.
    pub fn new(temperature: f64) -> Self {
        Self { temperature, t2_scale: false }
    }

    /// Sets whether to multiply the loss by `T²`, which keeps the gradient scale independent of `T`. Default `false`.
    pub fn with_t2_scale(mut self, t2_scale: bool) -> Self {
        self.t2_scale = t2_scale;
        self
    }
}

impl Loss for DistillationLoss {
    type Input = DistillationInput;

    fn forward(&self, DistillationInput { student, teacher }: DistillationInput) -> Tensor<1> {
        let [row, class] = student.dims();
        assert_shape!(teacher, [row, class]);
        let targets = softmax(teacher.detach().div_scalar(self.temperature), 1);
        let loss = soft_cross_entropy(targets, student, self.temperature);
        if self.t2_scale { loss.mul_scalar(self.temperature.powi(2)) } else { loss }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;
    use burn::tensor::{Device, TensorData};
    use ssl_testing::oracle;

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    fn tensor(rows: &oracle::Rows) -> Tensor<2> {
        let values: Vec<f32> = rows.iter().flatten().map(|&value| value as f32).collect();
        let data = TensorData::new(values, [rows.len(), rows[0].len()]);
        Tensor::from_data(data, &device().autodiff()).require_grad()
    }

    /// Deterministic pseudo-random rows.
    fn rows(seed: usize) -> oracle::Rows {
        let value = |place: usize| f64::from(((place * place + 7 * seed) as f64 * 0.618).sin() as f32);
        (0..4).map(|row| (0..6).map(|column| value(1 + row * 6 + column)).collect()).collect()
    }

    #[test]
    fn it_is_least_where_the_two_agree_and_is_their_entropy_there() {
        let teacher = Tensor::<2>::from_floats([[0.0, 2.0 * 3.0_f32.ln()]], &device());
        let loss = |student| {
            let input = DistillationInput { student, teacher: teacher.clone() };
            DistillationLoss::new(2.0).forward(input).into_scalar::<f32>()
        };
        // At temperature 2 the probabilities are 1/4 and 3/4.
        let entropy = 0.25 * 4.0_f32.ln() + 0.75 * (4.0_f32 / 3.0).ln();
        assert!((loss(teacher.clone()) - entropy).abs() < 1e-6);
        assert!(loss(Tensor::from_floats([[0.0, 1.0]], &device())) > entropy);
        assert!(loss(Tensor::from_floats([[0.0, 4.0]], &device())) > entropy);
    }

    #[test]
    fn it_is_that_of_the_loops_in_float64_and_the_teacher_gets_no_gradient() {
        let (student, teacher) = (tensor(&rows(3)), tensor(&rows(4)));
        let input = DistillationInput { student: student.clone(), teacher: teacher.clone() };
        let loss = DistillationLoss::new(0.3).forward(input);
        let want = oracle::distillation(&rows(3), &rows(4), 0.3);
        assert!((f64::from(loss.clone().into_scalar::<f32>()) - want).abs() < 1e-5 * want);
        let gradients = loss.backward();
        assert!(student.grad(&gradients).is_some() && teacher.grad(&gradients).is_none());
    }

    #[test]
    fn a_student_that_agrees_with_its_teacher_has_no_gradient() {
        let student = tensor(&rows(5));
        let input = DistillationInput { student: student.clone(), teacher: student.clone() };
        let loss = DistillationLoss::new(0.5).with_t2_scale(true).forward(input);
        let gradient = student.grad(&loss.backward()).expect("the student is a leaf");
        assert!(gradient.abs().max().into_scalar::<f32>() < 1e-6);
    }

    #[test]
    fn the_scale_is_the_square_of_the_temperature() {
        let loss = |t2_scale| {
            let input = DistillationInput { student: tensor(&rows(3)), teacher: tensor(&rows(4)) };
            DistillationLoss::new(0.5).with_t2_scale(t2_scale).forward(input).into_scalar::<f32>()
        };
        assert_eq!(loss(true), 0.25 * loss(false));
    }

    #[test]
    #[should_panic(expected = "teacher has shape [2, 3], expected [row, class] = [2, 4]")]
    fn scores_of_other_classes_are_refused() {
        let scores = |classes: usize| Tensor::ones([2, classes], &device());
        DistillationLoss::new(1.0).forward(DistillationInput { student: scores(4), teacher: scores(3) });
    }
}
