//! The loss of feature distillation.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use ssl_core::loss::smooth_l1;
use ssl_core::math::{NORMALIZE_EPS, l2_normalize, standardize};
use ssl_core::{Loss, assert_shape, names};

/// Added to the variance of a teacher's feature: PyTorch's default for layer normalisation.
const EPS: f64 = 1e-5;

/// How far a student's feature is from its teacher's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Distance {
    /// `1 − cos(s, t)`, from 0 to 2.
    #[default]
    Cosine,
    /// The mean of `(s − t)²` over all elements.
    Mse,
    /// The mean over all elements of `d² / 2` if `d = |s − t|` is below 1, otherwise `d − 1/2`.
    SmoothL1,
}

names!(Distance: "distance" { Cosine = "cosine", Mse = "mse", SmoothL1 = "smooth_l1" });

/// What happens to a teacher's feature before it is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TeacherNorm {
    /// Nothing.
    #[default]
    None,
    /// Its values get mean 0 and variance 1, so that no few large ones decide the loss.
    LayerNorm,
}

names!(TeacherNorm: "teacher_norm" { None = "none", LayerNorm = "layer_norm" });

/// The distance of a student's features to its teacher's, without gradient for the teacher.
///
/// ```text
/// t = teacher,   or (teacher − mean) / sqrt(var + 1e-5) over the values of a row
/// L = distance(student, t), a mean over rows
/// ```
///
/// # Shapes
/// - `student`, `teacher`: `[row, dim]`; tokens of images are rows
/// - returns: `[1]`
///
/// # Panics
/// If shapes differ.
///
/// # Source
/// No official code decides it: this is the definition of our conformance suite. Features as targets: Romero et al. 2015,
/// <https://arxiv.org/abs/1412.6550>; cosine and smooth L1: Ranzinger et al. 2024, <https://arxiv.org/abs/2312.06709>.
pub fn distill_features(
    student: Tensor<2>,
    teacher: Tensor<2>,
    distance: Distance,
    teacher_norm: TeacherNorm,
) -> Tensor<1> {
    let [rows, dim] = student.dims();
    assert_shape!(teacher, [rows, dim]);
    let t = match teacher_norm {
        TeacherNorm::None => teacher.without_autodiff(),
        TeacherNorm::LayerNorm => standardize(teacher.without_autodiff(), EPS),
    };
    match distance {
        Distance::Cosine => {
            let cosines = l2_normalize(student, NORMALIZE_EPS) * l2_normalize(t, NORMALIZE_EPS);
            cosines.sum_dim(1).mean().neg().add_scalar(1.0)
        }
        Distance::Mse => (student - t).square().mean(),
        Distance::SmoothL1 => smooth_l1(student, t),
    }
}

/// [`distill_features`].
#[derive(Clone, Copy, Debug, Default)]
pub struct DistillFeaturesLoss {
    /// The distance.
    pub distance: Distance,
    /// What happens to the teacher's features first.
    pub teacher_norm: TeacherNorm,
}

/// The features of a student, at the teacher's width, and those of its teacher.
#[derive(Clone, Debug)]
pub struct DistillFeaturesInput {
    /// `[row, dim]`
    pub student: Tensor<2>,
    /// `[row, dim]`
    pub teacher: Tensor<2>,
}

impl Loss for DistillFeaturesLoss {
    type Input = DistillFeaturesInput;

    fn forward(&self, input: DistillFeaturesInput) -> Tensor<1> {
        distill_features(input.student, input.teacher, self.distance, self.teacher_norm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_fixtures::{crops, device, floats};

    const DISTANCES: [Distance; 3] = [Distance::Cosine, Distance::Mse, Distance::SmoothL1];

    /// Six features of eight values.
    fn rows(seed: f32) -> Tensor<2> {
        crops(1, 4, seed).reshape([6, 8])
    }

    fn value(student: Tensor<2>, teacher: Tensor<2>, distance: Distance, norm: TeacherNorm) -> f32 {
        distill_features(student, teacher, distance, norm).into_scalar()
    }

    #[test]
    fn a_student_that_says_what_its_teacher_says_costs_nothing_and_any_other_something() {
        for distance in DISTANCES {
            for norm in [TeacherNorm::None, TeacherNorm::LayerNorm] {
                let said = match norm {
                    TeacherNorm::None => rows(0.0),
                    TeacherNorm::LayerNorm => standardize(rows(0.0), EPS),
                };
                assert!(value(said, rows(0.0), distance, norm).abs() < 1e-6, "{distance}, {norm}");
                assert!(value(rows(1.0), rows(0.0), distance, norm) > 0.1, "{distance}, {norm}");
            }
        }
    }

    #[test]
    fn values_by_hand() {
        let student = Tensor::<2>::from_floats([[3.0, 4.0], [0.0, 0.0]], &device());
        let teacher = Tensor::<2>::from_floats([[3.0, -4.0], [1.0, 0.5]], &device());
        // Cosines -7/25 and, of a zero row, 0; differences 0, 8, 1 and 0.5.
        for (distance, want) in [
            (Distance::Cosine, 1.0 + 3.5 / 25.0),
            (Distance::Mse, (64.0 + 1.0 + 0.25) / 4.0),
            (Distance::SmoothL1, (7.5 + 0.5 + 0.125) / 4.0),
        ] {
            let found = value(student.clone(), teacher.clone(), distance, TeacherNorm::None);
            assert!((found - want).abs() < 1e-6, "{distance}: {found}, expected {want}");
        }
    }

    #[test]
    fn size_and_offset_of_a_teachers_feature_do_not_count_after_layer_norm() {
        for distance in DISTANCES {
            let found = |teacher| value(rows(1.0), teacher, distance, TeacherNorm::LayerNorm);
            let (one, other) = (found(rows(0.0)), found(rows(0.0) * 5.0 + 3.0));
            assert!((one - other).abs() < 1e-4, "{distance}: {one} and {other}");
        }
    }

    #[test]
    fn the_teacher_gets_no_gradient_and_the_student_a_finite_one_even_for_a_zero_row() {
        for distance in DISTANCES {
            for norm in [TeacherNorm::None, TeacherNorm::LayerNorm] {
                let teacher = rows(0.0).autodiff().require_grad();
                let student =
                    Tensor::cat(vec![Tensor::zeros([1, 8], &device()), rows(1.0).narrow(0, 1, 5)], 0);
                let student = student.autodiff().require_grad();
                let gradients = distill_features(student.clone(), teacher.clone(), distance, norm).backward();
                assert!(teacher.grad(&gradients).is_none(), "{distance}: the teacher has a gradient");
                let gradient = floats(student.grad(&gradients).expect("it is trained"));
                assert!(gradient.iter().all(|value| value.is_finite()), "{distance}: {gradient:?}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "teacher has shape [6, 8], expected [rows, dim] = [6, 4]")]
    fn features_of_another_width_are_refused() {
        value(rows(0.0).narrow(1, 0, 4), rows(0.0), Distance::Mse, TeacherNorm::None);
    }
}
