//! Checks the loss against the golden values of the conformance suite.

use ssl_mae::mae;
use ssl_testing::tensors::{data, device};
use ssl_testing::{Case, CaseError, LossInputs};

#[test]
fn the_loss_and_its_gradient_are_golden() -> Result<(), CaseError> {
    let cases = Case::of("loss", "mae");
    assert!(!cases.is_empty(), "no cases of MAE");
    for case in cases {
        let mut inputs = LossInputs::of(&case);
        let (images, pred) = (inputs.take_one("images")?, inputs.take_one("pred")?);
        let hidden =
            burn::tensor::Tensor::<2, burn::tensor::Int>::from_data(data(case.tensor("in.mask")?), &device());
        let loss = mae(images, pred, hidden.float(), case.param("norm_pix_loss")?);
        let mut outputs = inputs.outputs(loss)?;
        outputs.insert("out.patches".to_owned(), case.tensor("out.patches")?.clone());
        case.assert_passes(&outputs);
    }
    Ok(())
}
