//! Checks the loss against golden values of torch and lightly.

use ssl_simmim::simmim;
use ssl_testing::tensors::{data, device};
use ssl_testing::{Case, CaseError, LossInputs};

#[test]
fn the_loss_and_its_gradient_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "simmim") {
        let mut inputs = LossInputs::of(&case);
        let (images, pred) = (inputs.take_one("images")?, inputs.take_one("pred")?);
        let hidden =
            burn::tensor::Tensor::<2, burn::tensor::Int>::from_data(data(case.tensor("in.mask")?), &device());
        let loss = simmim(images, pred, hidden.float());
        case.assert_passes(&inputs.outputs(loss)?);
    }
    Ok(())
}
