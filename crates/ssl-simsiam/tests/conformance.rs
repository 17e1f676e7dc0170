//! Checks the loss against the golden values of the conformance suite, and checks its properties.

use burn::tensor::{Int, Tensor};
use ssl_simsiam::simsiam;
use ssl_testing::tensors::device;
use ssl_testing::{Case, CaseError, LossInputs};

#[test]
fn the_loss_is_golden_and_what_is_predicted_gets_no_gradient() -> Result<(), CaseError> {
    for case in Case::of("loss", "simsiam") {
        let mut inputs = LossInputs::of(&case);
        let [p1, p2, z1, z2] = inputs.take(["p1", "p2", "z1", "z2"])?;
        case.assert_passes(&inputs.outputs(simsiam(p1, p2, z1, z2))?);
    }
    Ok(())
}

/// Deterministic pseudo-random rows.
fn rows(seed: f32) -> Tensor<2> {
    let places = Tensor::<1, Int>::arange(1..21, &device()).float();
    (places.clone() * places * 0.618 + seed).sin().reshape([5, 4])
}

fn value(loss: Tensor<1>) -> f32 {
    loss.into_scalar::<f32>()
}

#[test]
fn equal_directions_cost_minus_one_and_opposite_ones_one() {
    let z = rows(0.0);
    assert!((value(simsiam(z.clone().mul_scalar(3.0), z.clone(), z.clone(), z.clone())) + 1.0).abs() < 1e-6);
    assert!((value(simsiam(z.clone().neg(), z.clone().neg(), z.clone(), z)) - 1.0).abs() < 1e-6);
}

#[test]
fn directions_at_right_angles_cost_nothing() {
    let p = Tensor::<2>::from_floats([[1.0, 0.0], [0.0, 2.0]], &device());
    let z = Tensor::<2>::from_floats([[0.0, 3.0], [1.0, 0.0]], &device());
    assert!(value(simsiam(p.clone(), p, z.clone(), z)).abs() < 1e-6);
}

#[test]
fn the_order_of_the_views_does_not_matter_but_which_view_is_predicted_does() {
    let [p1, p2, z1, z2] = [0.0, 1.0, 2.0, 3.0].map(rows);
    let loss = value(simsiam(p1.clone(), p2.clone(), z1.clone(), z2.clone()));
    assert!((loss - value(simsiam(p2.clone(), p1.clone(), z2.clone(), z1.clone()))).abs() < 1e-6);
    assert!((loss - value(simsiam(p1, p2, z2, z1))).abs() > 1e-3);
}
