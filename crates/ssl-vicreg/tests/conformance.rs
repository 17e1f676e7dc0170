//! Checks the loss against the golden values of the conformance suite and float64 loops.

use burn::tensor::Tolerance;
use ssl_testing::oracle::{Rows, gradient, rows};
use ssl_testing::tensors::of_rows;
use ssl_testing::{Case, CaseError, LossInputs};
use ssl_vicreg::vicreg;

#[test]
fn the_loss_and_its_gradients_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "vicreg") {
        assert_eq!(case.param::<f64>("eps")?, 1e-4);
        let mut inputs = LossInputs::of(&case);
        let [z1, z2] = inputs.take(["z1", "z2"])?;
        let loss = vicreg(z1, z2, case.param("lambda")?, case.param("mu")?, case.param("nu")?);
        case.assert_passes(&inputs.outputs(loss)?);
    }
    Ok(())
}

/// The loss as loops over pairs of dimensions.
fn loops(z1: &Rows, z2: &Rows, [lambda, mu, nu]: [f64; 3]) -> f64 {
    let (batch, dim) = (z1.len() as f64, z1[0].len() as f64);
    let squares = z1.iter().flatten().zip(z2.iter().flatten()).map(|(a, b)| (a - b).powi(2));
    let mut loss = lambda * squares.sum::<f64>() / (batch * dim);
    for z in [z1, z2] {
        let columns = centered_columns(z);
        for (i, a) in columns.iter().enumerate() {
            for (j, b) in columns.iter().enumerate() {
                let c = a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / (batch - 1.0);
                loss += match i == j {
                    true => mu / 2.0 * (1.0 - (c + 1e-4).sqrt()).max(0.0) / dim,
                    false => nu * c.powi(2) / dim,
                };
            }
        }
    }
    loss
}

fn centered_columns(rows: &Rows) -> Rows {
    let column = |dim: usize| {
        let values: Vec<f64> = rows.iter().map(|row| row[dim]).collect();
        let mean = values.iter().sum::<f64>() / rows.len() as f64;
        values.iter().map(|value| value - mean).collect()
    };
    (0..rows[0].len()).map(column).collect()
}

#[test]
fn the_loss_and_its_gradient_are_those_of_the_loops_in_float64() {
    for (count, dim, weights) in
        [(5, 3, [25.0, 25.0, 1.0]), (9, 6, [1.0, 10.0, 3.0]), (4, 8, [0.0, 2.0, 0.1])]
    {
        let (rows1, rows2) = (rows(count, dim, 1), rows(count, dim, 2));
        let (z1, z2) = (of_rows(&rows1), of_rows(&rows2));
        let [lambda, mu, nu] = weights;
        let loss = vicreg(z1.clone(), z2, lambda, mu, nu);
        let want = loops(&rows1, &rows2, weights);
        let got = f64::from(loss.clone().into_scalar::<f32>());
        assert!((got - want).abs() < 1e-5 * want, "{got} is not {want}");

        let got = z1.grad(&loss.backward()).expect("z1 is a leaf").into_data();
        let want = gradient(|z1| loops(z1, &rows2, weights), &rows1);
        let want = of_rows(&want).into_data();
        got.assert_approx_eq::<f32>(&want, Tolerance::absolute(1e-4).set_relative(1e-4));
    }
}
