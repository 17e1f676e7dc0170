//! The loss against the golden values of the conformance suite, and against its closed forms.

use burn::tensor::Tensor;
use example_custom_method::{VicRegConfig, vicreg};
use ssl_testing::tensors::device;
use ssl_testing::{Case, CaseError, LossInputs};

#[test]
fn the_loss_and_its_gradients_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "vicreg") {
        assert_eq!(case.param::<f64>("eps")?, 1e-4);
        let weights = VicRegConfig {
            invariance_weight: case.param("lambda")?,
            variance_weight: case.param("mu")?,
            covariance_weight: case.param("nu")?,
            ..VicRegConfig::default()
        };
        let mut inputs = LossInputs::of(&case);
        let [z1, z2] = inputs.take(["z1", "z2"])?;
        case.assert_passes(&inputs.outputs(vicreg(z1, z2, &weights))?);
    }
    Ok(())
}

#[test]
fn collapsed_embeddings_cost_the_variance_weight() {
    let constant = Tensor::<2>::ones([4, 3], &device());
    let loss = vicreg(constant.clone(), constant, &VicRegConfig::default()).into_scalar::<f32>();
    assert!((loss - 25.0 * 0.99).abs() < 1e-4, "1 - sqrt(1e-4) for each view, half of it each: {loss}");
}

#[test]
#[should_panic(expected = "a batch of 1 has no variance, expected at least 2 images")]
fn a_batch_of_one_is_refused() {
    let z = Tensor::<2>::ones([1, 3], &device());
    vicreg(z.clone(), z, &VicRegConfig::default());
}
