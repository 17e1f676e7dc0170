//! Checks loss and centre against the golden values of the conformance suite.

use burn::tensor::Tensor;
use ssl_dino::{dino, mean_logits, next_center};
use ssl_testing::tensors::{array, tensor};
use ssl_testing::{Case, CaseError, LossInputs};

#[test]
fn the_loss_its_gradient_and_the_center_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "dino") {
        let mut inputs = LossInputs::of(&case);
        let (student, teacher) = (inputs.take_list("student")?, inputs.take_list("teacher")?);
        let (student_t, teacher_t) = (case.param("student_temp")?, case.param("teacher_temp")?);
        let loss =
            dino(student.into(), teacher.clone().into(), inputs.take_one("center")?, student_t, teacher_t);
        let mut outputs = inputs.outputs(loss)?;

        let center = tensor(&case, "in.center")?;
        let next = next_center(center, mean_logits(Tensor::cat(teacher, 0)), case.param("center_momentum")?);
        outputs.insert("out.center".to_owned(), array(&next.into_data()));
        case.assert_passes(&outputs);
    }
    Ok(())
}
