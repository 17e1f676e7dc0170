//! Checks loss and patches against the golden values of the conformance suite.

use burn::tensor::{Int, Tensor};
use ssl_core::patches::patchify;
use ssl_mae::mae;
use ssl_testing::tensors::{array, data, device, tensor};
use ssl_testing::{Case, CaseError, LossInputs};

#[test]
fn the_loss_its_gradient_and_the_patches_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "mae") {
        let mut inputs = LossInputs::of(&case);
        let (images, pred) = (inputs.take_one("images")?, inputs.take_one("pred")?);
        let hidden = Tensor::<2, Int>::from_data(data(case.tensor("in.mask")?), &device());
        let loss = mae(images, pred, hidden.float(), case.param("norm_pix_loss")?);
        let mut outputs = inputs.outputs(loss)?;
        let patches = patchify(tensor(&case, "in.images")?, case.param("patch")?);
        outputs.insert("out.patches".to_owned(), array(&patches.into_data()));
        case.assert_passes(&outputs);
    }
    Ok(())
}
