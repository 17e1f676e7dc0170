//! Checks loss and centre against the golden values of the conformance suite.

use burn::tensor::{Int, Tensor};
use ssl_ibot::{HiddenPatches, ibot, mean_logits, next_center};
use ssl_testing::tensors::{array, data, device, tensor};
use ssl_testing::{Case, CaseError, LossInputs};

#[test]
fn the_loss_its_gradient_and_the_center_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "ibot") {
        let mut inputs = LossInputs::of(&case);
        let [student, teacher] = inputs.take(["student", "teacher"])?;
        let mask = Tensor::<3, Int>::from_data(data(case.tensor("in.mask")?), &device());
        let hidden = HiddenPatches::of(mask.flatten::<2>(1, 2).greater_elem(0));
        let center = inputs.take_one("center")?;
        let (student_t, teacher_t) = (case.param("student_temp")?, case.param("teacher_temp")?);
        let loss = ibot(student, teacher.clone(), hidden.weights, center, student_t, teacher_t);
        let mut outputs = inputs.outputs(loss)?;

        let center = tensor(&case, "in.center")?;
        let next = next_center(center, mean_logits(teacher), case.param("center_momentum")?);
        outputs.insert("out.center".to_owned(), array(&next.into_data()));
        case.assert_passes(&outputs);
    }
    Ok(())
}
