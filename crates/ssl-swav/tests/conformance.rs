//! Checks codes and loss against the golden values of the conformance suite.

use ssl_swav::{sinkhorn, swav};
use ssl_testing::tensors::{array, leaf};
use ssl_testing::{Case, CaseError, LossInputs, Outputs};

#[test]
fn codes_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "sinkhorn") {
        let (epsilon, iterations) = (case.param("epsilon")?, case.param("iterations")?);
        let codes = sinkhorn(leaf(&case, "in.scores")?, epsilon, iterations, case.param("take_last")?);
        case.assert_passes(&Outputs::from([("out.codes".to_owned(), array(&codes.into_data()))]));
    }
    Ok(())
}

#[test]
fn the_loss_and_its_gradient_are_golden_and_codes_get_none() -> Result<(), CaseError> {
    for case in Case::of("loss", "swav") {
        assert_eq!(case.param::<Vec<usize>>("crops_for_assign")?, [0, 1]);
        let mut inputs = LossInputs::of(&case);
        let (scores, codes) = (inputs.take_list("scores")?, inputs.take_list("codes")?);
        case.assert_passes(&inputs.outputs(swav(scores.into(), codes.into(), case.param("temperature")?))?);
    }
    Ok(())
}
