//! Checks the loss against the golden values of the conformance suite and float64 loops.

use burn::tensor::Tolerance;
use ssl_nnclr::{nearest, nnclr};
use ssl_testing::oracle::{Rows, gradient, rows};
use ssl_testing::tensors::of_rows;
use ssl_testing::{Case, CaseError, LossInputs};

#[test]
fn the_loss_and_its_gradients_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "nnclr") {
        let mut inputs = LossInputs::of(&case);
        let [z1, z2, p1, p2, queue] = inputs.take(["z1", "z2", "p1", "p2", "queue"])?;
        let [n1, n2] = [z1, z2].map(|z| nearest(z, queue.clone()));
        let loss = nnclr(n1, n2, p1, p2, case.param("temperature")?);
        case.assert_passes(&inputs.outputs(loss)?);
    }
    Ok(())
}

fn unit(row: &[f64]) -> Vec<f64> {
    let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
    row.iter().map(|x| x / length).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The loss as loops over images, candidates and rows of the queue.
fn loops([z1, z2]: [&Rows; 2], [p1, p2]: [&Rows; 2], queue: &Rows, temperature: f64) -> f64 {
    let unit_rows = |rows: &Rows| -> Rows { rows.iter().map(|row| unit(row)).collect() };
    let queue = unit_rows(queue);
    let direction = |z: &Rows, p: &Rows| {
        let p = unit_rows(p);
        let loss = |(i, z): (usize, &Vec<f64>)| {
            let z = unit(z);
            let n = queue.iter().max_by(|a, b| dot(a, &z).total_cmp(&dot(b, &z))).expect("a queue");
            let logits: Vec<f64> = p.iter().map(|p| dot(n, p) / temperature).collect();
            logits.iter().map(|logit| logit.exp()).sum::<f64>().ln() - logits[i]
        };
        z.iter().enumerate().map(loss).sum::<f64>() / z.len() as f64
    };
    (direction(z1, p2) + direction(z2, p1)) / 2.0
}

#[test]
fn the_loss_and_its_gradient_are_those_of_the_loops_in_float64() {
    for (count, dim, len, temperature) in [(5, 3, 7, 0.5), (6, 4, 20, 0.2), (2, 5, 3, 1.0)] {
        let [z1, z2, p1, p2] = [1, 2, 3, 4].map(|seed| rows(count, dim, seed));
        let queue = rows(len, dim, 5);
        let [n1, n2] = [&z1, &z2].map(|z| nearest(of_rows(z), of_rows(&queue)));
        let leaf = of_rows(&p1);
        let loss = nnclr(n1, n2, leaf.clone(), of_rows(&p2), temperature);
        let want = loops([&z1, &z2], [&p1, &p2], &queue, temperature);
        let got = f64::from(loss.clone().into_scalar::<f32>());
        assert!((got - want).abs() < 1e-5 * want, "{got} is not {want}");

        let got = leaf.grad(&loss.backward()).expect("p1 is a leaf").into_data();
        let want =
            of_rows(&gradient(|p1| loops([&z1, &z2], [p1, &p2], &queue, temperature), &p1)).into_data();
        got.assert_approx_eq::<f32>(&want, Tolerance::absolute(1e-4).set_relative(1e-4));
    }
}
