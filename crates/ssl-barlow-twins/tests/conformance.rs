//! Checks the loss against the golden values of the conformance suite and float64 loops.

use burn::tensor::Tolerance;
use ssl_barlow_twins::barlow_twins;
use ssl_testing::oracle::{Rows, gradient, rows};
use ssl_testing::tensors::of_rows;
use ssl_testing::{Case, CaseError, LossInputs};

#[test]
fn the_loss_and_its_gradient_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "barlow_twins") {
        assert_eq!(case.param::<f64>("eps")?, 1e-5);
        let mut inputs = LossInputs::of(&case);
        let [z1, z2] = inputs.take(["z1", "z2"])?;
        let loss = barlow_twins(z1, z2, case.param("lambda")?, case.param("scale")?);
        case.assert_passes(&inputs.outputs(loss)?);
    }
    Ok(())
}

/// The loss as loops over pairs of dimensions.
fn loops(z1: &Rows, z2: &Rows, off_diagonal_weight: f64, scale: f64) -> f64 {
    let (z1, z2) = (standardized_columns(z1), standardized_columns(z2));
    let mut loss = 0.0;
    for (i, a) in z1.iter().enumerate() {
        for (j, b) in z2.iter().enumerate() {
            let c = a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / a.len() as f64;
            loss += if i == j { (c - 1.0).powi(2) } else { off_diagonal_weight * c.powi(2) };
        }
    }
    scale * loss
}

fn standardized_columns(rows: &Rows) -> Rows {
    let batch = rows.len() as f64;
    let column = |dim: usize| {
        let values: Vec<f64> = rows.iter().map(|row| row[dim]).collect();
        let mean = values.iter().sum::<f64>() / batch;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / batch;
        values.iter().map(|value| (value - mean) / (variance + 1e-5).sqrt()).collect()
    };
    (0..rows[0].len()).map(column).collect()
}

#[test]
fn the_loss_and_its_gradient_are_those_of_the_loops_in_float64() {
    for (count, dim, weight, scale) in [(5, 3, 0.0051, 1.0), (9, 6, 0.3, 0.1), (4, 8, 1.0, 2.0)] {
        let (rows1, rows2) = (rows(count, dim, 1), rows(count, dim, 2));
        let (z1, z2) = (of_rows(&rows1), of_rows(&rows2));
        let loss = barlow_twins(z1.clone(), z2, weight, scale);
        let want = loops(&rows1, &rows2, weight, scale);
        let got = f64::from(loss.clone().into_scalar::<f32>());
        assert!((got - want).abs() < 1e-5 * want, "{got} is not {want}");

        let got = z1.grad(&loss.backward()).expect("z1 is a leaf").into_data();
        let want = gradient(|z1| loops(z1, &rows2, weight, scale), &rows1);
        got.assert_approx_eq::<f32>(
            &of_rows(&want).into_data(),
            Tolerance::absolute(1e-4).set_relative(1e-4),
        );
    }
}
