//! The loss against the golden values of the conformance suite and against loops in float64.

use burn::tensor::{Device, Tensor, TensorData, Tolerance};
use ssl_barlow_twins::{DeviceSpec, barlow_twins};
use ssl_testing::oracle::{Rows, gradient};
use ssl_testing::{Array, Case, Outputs};

fn device() -> Device {
    DeviceSpec::Flex.open().expect("flex is compiled in")
}

/// An input that gets a gradient.
fn leaf(case: &Case, name: &str) -> Tensor<2> {
    let (shape, values) = case.f32(name).expect("a tensor of the case");
    let data = TensorData::new(values.to_vec(), shape.to_vec());
    Tensor::from_data(data, &device().autodiff()).require_grad()
}

fn assert_golden(case: &Case, loss: Tensor<1>, inputs: &[(&str, Tensor<2>)]) {
    let value = loss.to_data().iter::<f32>().collect();
    let mut outputs = Outputs::from([("out.loss".to_owned(), Array::f32([], value))]);
    let gradients = loss.backward();
    for (name, input) in inputs {
        let gradient = input.grad(&gradients).expect("the loss depends on this input").into_data();
        let gradient = Array::f32(gradient.shape().to_vec(), gradient.iter().collect());
        outputs.insert(format!("grad.{name}"), gradient);
    }
    for (name, comparison) in case.compare(&outputs).expect("all outputs in their shapes") {
        assert!(comparison.passes(), "{}: {name} is off by {} tolerances", case.name, comparison.ratio());
    }
}

#[test]
fn the_loss_and_its_gradient_are_golden() {
    for case in Case::of("loss", "barlow_twins") {
        assert_eq!(case.param::<f64>("eps").expect("a number"), 1e-5);
        let (z1, z2) = (leaf(&case, "in.z1"), leaf(&case, "in.z2"));
        let (weight, scale) =
            (case.param("lambda").expect("a number"), case.param("scale").expect("a number"));
        let loss = barlow_twins(z1.clone(), z2.clone(), weight, scale);
        assert_golden(&case, loss, &[("z1", z1), ("z2", z2)]);
    }
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

/// Rows without structure, the same every time.
fn rows(count: usize, dim: usize, seed: usize) -> Rows {
    let value = |place: usize| ((place * place + 7 * seed) as f64 * 0.618).sin() as f32;
    let row = |row: usize| (0..dim).map(|column| f64::from(value(1 + row * dim + column))).collect();
    (0..count).map(row).collect()
}

fn tensor(rows: &Rows) -> Tensor<2> {
    let values: Vec<f32> = rows.iter().flatten().map(|&value| value as f32).collect();
    let data = TensorData::new(values, [rows.len(), rows[0].len()]);
    Tensor::from_data(data, &device().autodiff()).require_grad()
}

#[test]
fn the_loss_and_its_gradient_are_those_of_the_loops_in_float64() {
    for (count, dim, weight, scale) in [(5, 3, 0.0051, 1.0), (9, 6, 0.3, 0.1), (4, 8, 1.0, 2.0)] {
        let (rows1, rows2) = (rows(count, dim, 1), rows(count, dim, 2));
        let (z1, z2) = (tensor(&rows1), tensor(&rows2));
        let loss = barlow_twins(z1.clone(), z2, weight, scale);
        let want = loops(&rows1, &rows2, weight, scale);
        let got = f64::from(loss.clone().into_scalar::<f32>());
        assert!((got - want).abs() < 1e-5 * want, "{got} is not {want}");

        let got = z1.grad(&loss.backward()).expect("z1 is a leaf").into_data();
        let want = gradient(|z1| loops(z1, &rows2, weight, scale), &rows1);
        got.assert_approx_eq::<f32>(&tensor(&want).into_data(), Tolerance::absolute(1e-4).set_relative(1e-4));
    }
}
