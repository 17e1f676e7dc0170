//! Checks the loss against the golden values of the conformance suite and float64 oracles, and checks its symmetries.

use burn::tensor::{Int, Tensor, Tolerance, activation::log_softmax};
use ssl_simclr::{dcl, nt_xent};
use ssl_testing::oracle::{self, rows};
use ssl_testing::tensors::{device, of_rows};
use ssl_testing::{Case, CaseError, LossInputs};

#[test]
fn nt_xent_and_its_gradient_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "nt_xent") {
        let mut inputs = LossInputs::of(&case);
        let [z1, z2] = inputs.take(["z1", "z2"])?;
        case.assert_passes(&inputs.outputs(nt_xent(z1, z2, case.param("temperature")?))?);
    }
    Ok(())
}

#[test]
fn dcl_and_dclw_and_their_gradients_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "dcl").iter().chain(&Case::of("loss", "dclw")) {
        let mut inputs = LossInputs::of(case);
        let [z1, z2] = inputs.take(["z1", "z2"])?;
        case.assert_passes(&inputs.outputs(dcl(z1, z2, case.param("temperature")?, sigma(case)?))?);
    }
    Ok(())
}

/// `σ` of DCLW, which has one.
fn sigma(case: &Case) -> Result<Option<f64>, CaseError> {
    if case.op == "dclw" { case.param("sigma").map(Some) } else { Ok(None) }
}

fn value(loss: Tensor<1>) -> f32 {
    loss.into_scalar::<f32>()
}

#[test]
fn nt_xent_and_its_gradient_are_those_of_the_loops_in_float64() {
    for (count, dim, temperature) in [(3, 5, 0.5), (7, 4, 0.1), (2, 9, 1.0)] {
        let (rows1, rows2) = (rows(count, dim, 1), rows(count, dim, 2));
        let (z1, z2) = (of_rows(&rows1), of_rows(&rows2));
        let loss = nt_xent(z1.clone(), z2, temperature);
        let want = oracle::nt_xent(&rows1, &rows2, temperature);
        assert!((f64::from(value(loss.clone())) - want).abs() < 1e-5 * want, "{loss} is not {want}");

        let gradient = z1.grad(&loss.backward()).expect("z1 is a leaf").into_data();
        let want = oracle::gradient(|z1| oracle::nt_xent(z1, &rows2, temperature), &rows1);
        let tolerance = Tolerance::absolute(1e-5).set_relative(1e-4);
        gradient.assert_approx_eq::<f32>(&of_rows(&want).into_data(), tolerance);
    }
}

#[test]
fn equal_embeddings_cost_the_log_of_the_number_of_candidates() {
    for batch in [1, 2, 6] {
        let z = Tensor::<2>::ones([batch, 3], &device());
        let want = (2.0 * batch as f32 - 1.0).ln();
        assert!((value(nt_xent(z.clone(), z, 0.1)) - want).abs() < 1e-5, "batch of {batch}");
    }
}

#[test]
fn the_order_of_the_views_does_not_matter() {
    let (z1, z2) = (of_rows(&rows(6, 4, 1)), of_rows(&rows(6, 4, 2)));
    let loss = value(nt_xent(z1.clone(), z2.clone(), 0.2));
    assert!((loss - value(nt_xent(z2, z1, 0.2))).abs() < 1e-5);
}

#[test]
fn the_order_of_the_images_does_not_matter_but_their_pairing_does() {
    let (z1, z2) = (of_rows(&rows(5, 4, 1)), of_rows(&rows(5, 4, 2)));
    let order = Tensor::<1, Int>::from_ints([3, 0, 4, 1, 2], &device());
    let permuted = |z: &Tensor<2>| z.clone().select(0, order.clone());
    let loss = value(nt_xent(z1.clone(), z2.clone(), 0.2));
    assert!((loss - value(nt_xent(permuted(&z1), permuted(&z2), 0.2))).abs() < 1e-5);
    assert!((loss - value(nt_xent(z1, permuted(&z2), 0.2))).abs() > 1e-2);
}

#[test]
fn the_length_of_an_embedding_does_not_matter() {
    let (z1, z2) = (of_rows(&rows(5, 4, 1)), of_rows(&rows(5, 4, 2)));
    let loss = value(nt_xent(z1.clone(), z2.clone(), 0.2));
    assert!((loss - value(nt_xent(z1.mul_scalar(30.0), z2.mul_scalar(0.01), 0.2))).abs() < 1e-5);
}

#[test]
fn a_batch_of_several_blocks_has_value_and_gradient_of_the_whole_matrix() {
    let (rows1, rows2) = (rows(1500, 6, 1), rows(1500, 6, 2));
    let run = |form: fn(Tensor<2>, Tensor<2>) -> Tensor<1>| {
        let (z1, z2) = (of_rows(&rows1), of_rows(&rows2));
        let loss = form(z1.clone(), z2.clone());
        let gradients = loss.backward();
        let gradient = |z: Tensor<2>| z.grad(&gradients).expect("a leaf").mul_scalar(1500.0).into_data();
        (value(loss), gradient(z1), gradient(z2))
    };
    let (loss, gradient1, gradient2) = run(|z1, z2| nt_xent(z1, z2, 0.2));
    let (want, want1, want2) = run(|z1, z2| {
        let z = ssl_core::math::l2_normalize(Tensor::cat(vec![z1, z2], 0), 1e-12);
        let own = Tensor::<2>::eye(3000, &device()).mul_scalar(1e9);
        let logits = (z.clone().matmul(z.transpose()) - own).div_scalar(0.2);
        let positive = Tensor::<1, Int>::arange(1500..4500, &device()).remainder_scalar(3000);
        log_softmax(logits, 1).gather(1, positive.reshape([3000, 1])).mean().neg()
    });
    assert!((loss - want).abs() < 1e-5 * want, "{loss} is not {want}");
    gradient1.assert_approx_eq::<f32>(&want1, Tolerance::absolute(1e-5).set_relative(1e-4));
    gradient2.assert_approx_eq::<f32>(&want2, Tolerance::absolute(1e-5).set_relative(1e-4));
}
