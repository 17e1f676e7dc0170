//! The loss against the golden values of the conformance suite, and its properties.

use burn::tensor::{Device, Tensor, TensorData};
use ssl_byol::{DeviceSpec, byol};
use ssl_testing::{Array, Case, Outputs};

fn device() -> Device {
    DeviceSpec::Flex.open().expect("flex is compiled in")
}

/// An input that gets a gradient, whether the loss is to use it or not.
fn leaf(case: &Case, name: &str) -> Tensor<2> {
    let (shape, values) = case.f32(name).expect("a tensor of the case");
    let data = TensorData::new(values.to_vec(), shape.to_vec());
    Tensor::from_data(data, &device().autodiff()).require_grad()
}

#[test]
fn the_loss_is_golden_and_the_teachers_embeddings_get_no_gradient() {
    for case in Case::of("loss", "byol") {
        let [p1, p2, z1, z2] = ["in.p1", "in.p2", "in.z1", "in.z2"].map(|name| leaf(&case, name));
        let loss = byol(p1.clone(), p2.clone(), z1.clone(), z2.clone());
        let value = loss.to_data().iter::<f32>().collect();
        let mut outputs = Outputs::from([("out.loss".to_owned(), Array::f32([], value))]);
        let gradients = loss.backward();
        for (name, p) in [("grad.p1", p1), ("grad.p2", p2)] {
            let gradient = p.grad(&gradients).expect("the loss depends on the predictions").into_data();
            let gradient = Array::f32(gradient.shape().to_vec(), gradient.iter().collect());
            outputs.insert(name.to_owned(), gradient);
        }
        for (name, comparison) in case.compare(&outputs).expect("all outputs in their shapes") {
            assert!(comparison.passes(), "{}: {name} is off by {} tolerances", case.name, comparison.ratio());
        }
        assert!(z1.grad(&gradients).is_none() && z2.grad(&gradients).is_none(), "{}", case.name);
    }
}

/// Rows without structure, the same every time.
fn rows(seed: usize) -> Vec<Vec<f64>> {
    let value = |place: usize| f64::from((((place * place + 7 * seed) as f64) * 0.618).sin() as f32);
    (0..5).map(|row| (0..4).map(|column| value(1 + row * 4 + column)).collect()).collect()
}

fn tensor(rows: &[Vec<f64>]) -> Tensor<2> {
    let values: Vec<f32> = rows.iter().flatten().map(|&value| value as f32).collect();
    Tensor::from_data(TensorData::new(values, [rows.len(), rows[0].len()]), &device())
}

fn value(loss: Tensor<1>) -> f64 {
    f64::from(loss.into_scalar::<f32>())
}

/// The mean over rows of `‖p / ‖p‖ − z / ‖z‖‖²`.
fn squared_distance(p: &[Vec<f64>], z: &[Vec<f64>]) -> f64 {
    let length = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>().sqrt();
    let distance = |(p, z): (&Vec<f64>, &Vec<f64>)| {
        let terms = p.iter().zip(z).map(|(a, b)| (a / length(p) - b / length(z)).powi(2));
        terms.sum::<f64>()
    };
    p.iter().zip(z).map(distance).sum::<f64>() / p.len() as f64
}

/// The mean over rows of the negative cosine.
fn negative_cosine(p: &[Vec<f64>], z: &[Vec<f64>]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let cosine = |(p, z): (&Vec<f64>, &Vec<f64>)| dot(p, z) / (dot(p, p).sqrt() * dot(z, z).sqrt());
    -p.iter().zip(z).map(cosine).sum::<f64>() / p.len() as f64
}

#[test]
fn each_direction_is_the_squared_distance_and_two_plus_two_negative_cosines() {
    let [p1, p2, z1, z2] = [1, 2, 3, 4].map(rows);
    // With the second direction at its minimum of 0, the loss is the first direction.
    let first = value(byol(tensor(&p1), tensor(&z1), tensor(&z1), tensor(&z2)));
    assert!((first - squared_distance(&p1, &z2)).abs() < 1e-5);
    assert!((first - (2.0 + 2.0 * negative_cosine(&p1, &z2))).abs() < 1e-5);
    let both = value(byol(tensor(&p1), tensor(&p2), tensor(&z1), tensor(&z2)));
    assert!((both - squared_distance(&p1, &z2) - squared_distance(&p2, &z1)).abs() < 1e-5);
}

#[test]
fn equal_directions_cost_nothing_and_opposite_ones_eight() {
    let z = tensor(&rows(1));
    assert!(value(byol(z.clone().mul_scalar(3.0), z.clone(), z.clone(), z.clone())).abs() < 1e-5);
    assert!((value(byol(z.clone().neg(), z.clone().neg(), z.clone(), z)) - 8.0).abs() < 1e-5);
}

#[test]
fn the_order_of_the_views_does_not_matter_but_which_view_is_predicted_does() {
    let [p1, p2, z1, z2] = [1, 2, 3, 4].map(|seed| tensor(&rows(seed)));
    let loss = value(byol(p1.clone(), p2.clone(), z1.clone(), z2.clone()));
    assert!((loss - value(byol(p2.clone(), p1.clone(), z2.clone(), z1.clone()))).abs() < 1e-5);
    assert!((loss - value(byol(p1, p2, z2, z1))).abs() > 1e-2);
}
