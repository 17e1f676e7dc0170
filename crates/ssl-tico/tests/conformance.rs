//! Checks loss and covariance against the golden values of the conformance suite and float64 loops.

use burn::tensor::Tolerance;
use ssl_testing::oracle::{Rows, gradient, rows};
use ssl_testing::tensors::{array, of_rows};
use ssl_testing::{Case, CaseError, LossInputs};
use ssl_tico::{next_covariance, tico};

#[test]
fn the_loss_its_gradient_and_the_covariance_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "tico") {
        let mut inputs = LossInputs::of(&case);
        let [z1, z2, covariance] = inputs.take(["z1", "z2", "cov"])?;
        let covariance = next_covariance(covariance, z1.clone(), case.param("beta")?);
        let mut outputs = inputs.outputs(tico(z1, z2, covariance.clone(), case.param("rho")?))?;
        outputs.insert("out.cov".to_owned(), array(&covariance.into_data()));
        case.assert_passes(&outputs);
    }
    Ok(())
}

fn unit_rows(rows: &Rows) -> Rows {
    let length = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>().sqrt();
    rows.iter().map(|row| row.iter().map(|x| x / length(row)).collect()).collect()
}

/// The loss as loops over images and pairs of dimensions.
fn loops(z1: &Rows, z2: &Rows, covariance: &Rows, rho: f64) -> f64 {
    let (a, b) = (unit_rows(z1), unit_rows(z2));
    let mut loss = 1.0;
    for (a, b) in a.iter().zip(&b) {
        for (i, x) in a.iter().enumerate() {
            loss -= x * b[i] / z1.len() as f64;
            for (j, y) in a.iter().enumerate() {
                loss += rho * x * covariance[i][j] * y / z1.len() as f64;
            }
        }
    }
    loss
}

#[test]
fn the_loss_and_its_gradient_are_those_of_the_loops_in_float64() {
    for (count, dim, rho) in [(5, 3, 8.0), (9, 6, 0.5), (2, 4, 20.0)] {
        let [z1, z2] = [1, 2].map(|seed| rows(count, dim, seed));
        // Not symmetric: the gradient must not rely on that.
        let covariance = rows(dim, dim, 3);
        let leaf = of_rows(&z1);
        let loss = tico(leaf.clone(), of_rows(&z2), of_rows(&covariance), rho);
        let want = loops(&z1, &z2, &covariance, rho);
        let got = f64::from(loss.clone().into_scalar::<f32>());
        assert!((got - want).abs() < 1e-5 * want.abs().max(1.0), "{got} is not {want}");

        let got = leaf.grad(&loss.backward()).expect("z1 is a leaf").into_data();
        let want = of_rows(&gradient(|z1| loops(z1, &z2, &covariance, rho), &z1)).into_data();
        got.assert_approx_eq::<f32>(&want, Tolerance::absolute(1e-4).set_relative(1e-4));
    }
}
