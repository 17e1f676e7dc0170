//! Checks the loss against the golden values of the conformance suite.

use ssl_distill_features::{Distance, DistillFeaturesInput, DistillFeaturesLoss, Loss, TeacherNorm};
use ssl_testing::{Case, CaseError, LossInputs};

#[test]
fn the_loss_and_its_gradient_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "distill_features") {
        let constants: [f64; 3] =
            [case.param("beta")?, case.param("layer_norm_eps")?, case.param("normalize_eps")?];
        assert_eq!(constants, [1.0, 1e-5, 1e-12]);
        let distance: Distance = case.param("distance")?;
        let teacher_norm: TeacherNorm = case.param("teacher_norm")?;
        let mut inputs = LossInputs::of(&case);
        // Tokens are rows.
        let [student, teacher] = match case.tensor("in.student")?.shape.len() {
            3 => [inputs.take_one::<3>("student")?, inputs.take_one("teacher")?]
                .map(|tokens| tokens.flatten(0, 1)),
            _ => inputs.take(["student", "teacher"])?,
        };
        let loss = DistillFeaturesLoss { distance, teacher_norm };
        let loss = loss.forward(DistillFeaturesInput { student, teacher });
        case.assert_passes(&inputs.outputs(loss)?);
    }
    Ok(())
}
