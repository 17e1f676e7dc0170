//! Checks loss and targets against the golden values of the conformance suite.

use burn::tensor::{Int, Tensor};
use ssl_ijepa::{ijepa, targets_of};
use ssl_testing::tensors::{array, data, device, tensor};
use ssl_testing::{Case, CaseError, LossInputs};

#[test]
fn the_loss_its_gradient_and_the_targets_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "ijepa") {
        let mut inputs = LossInputs::of(&case);
        let (pred, tokens) = (inputs.take_one("pred")?, inputs.take_one("tokens")?);
        let contexts: usize = case.param("contexts")?;
        let places = Tensor::<3, Int>::from_data(data(case.tensor("in.ids_target")?), &device());
        let [blocks, batch, count] = places.dims();
        // Several contexts of an image are as many images, after one another within each block.
        let places = places.unsqueeze_dim::<4>(1).expand([blocks, contexts, batch, count]);
        let places = places.reshape([blocks, contexts * batch, count]);
        let repeated = |tokens: Tensor<3>| Tensor::cat(vec![tokens; contexts], 0);
        let mut outputs = inputs.outputs(ijepa(pred, repeated(tokens), places.clone()))?;
        let target = targets_of(repeated(tensor(&case, "in.tokens")?), places);
        outputs.insert("out.target".to_owned(), array(&target.into_data()));
        case.assert_passes(&outputs);
    }
    Ok(())
}
