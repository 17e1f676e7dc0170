//! Checks the loss against the golden values of the conformance suite.

use ssl_msn::{Loss, MsnInput, MsnLoss};
use ssl_testing::{Case, CaseError, LossInputs};

#[test]
fn the_loss_and_its_gradients_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "msn") {
        assert_eq!(case.param::<f64>("normalize_eps")?, 1e-12);
        let loss = MsnLoss {
            temperature: case.param("temperature")?,
            sharpen_temperature: case.param("target_sharpen_temperature")?,
            sinkhorn_iterations: case.param("sinkhorn_iterations")?,
            regularization_weight: case.param("regularization_weight")?,
        };
        let mut inputs = LossInputs::of(&case);
        let [anchors, targets, prototypes] = inputs.take(["anchors", "targets", "prototypes"])?;
        let value = loss.forward(MsnInput { anchors, targets, prototypes });
        case.assert_passes(&inputs.outputs(value)?);
    }
    Ok(())
}
