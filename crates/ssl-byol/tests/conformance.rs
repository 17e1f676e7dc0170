//! Checks the loss against the golden values of the conformance suite, and checks its properties.

use burn::tensor::Tensor;
use ssl_byol::byol;
use ssl_testing::oracle::rows;
use ssl_testing::tensors::of_rows;
use ssl_testing::{Case, CaseError, LossInputs};

#[test]
fn the_loss_is_golden_and_the_teachers_embeddings_get_no_gradient() -> Result<(), CaseError> {
    for case in Case::of("loss", "byol") {
        let mut inputs = LossInputs::of(&case);
        let [p1, p2, z1, z2] = inputs.take(["p1", "p2", "z1", "z2"])?;
        case.assert_passes(&inputs.outputs(byol(p1, p2, z1, z2))?);
    }
    Ok(())
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
    let [p1, p2, z1, z2] = [1, 2, 3, 4].map(|seed| rows(5, 4, seed));
    // With the second direction at its minimum of 0, the loss equals the first direction.
    let first = value(byol(of_rows(&p1), of_rows(&z1), of_rows(&z1), of_rows(&z2)));
    assert!((first - squared_distance(&p1, &z2)).abs() < 1e-5);
    assert!((first - (2.0 + 2.0 * negative_cosine(&p1, &z2))).abs() < 1e-5);
    let both = value(byol(of_rows(&p1), of_rows(&p2), of_rows(&z1), of_rows(&z2)));
    assert!((both - squared_distance(&p1, &z2) - squared_distance(&p2, &z1)).abs() < 1e-5);
}

#[test]
fn equal_directions_cost_nothing_and_opposite_ones_eight() {
    let z = of_rows(&rows(5, 4, 1));
    assert!(value(byol(z.clone().mul_scalar(3.0), z.clone(), z.clone(), z.clone())).abs() < 1e-5);
    assert!((value(byol(z.clone().neg(), z.clone().neg(), z.clone(), z)) - 8.0).abs() < 1e-5);
}

#[test]
fn the_order_of_the_views_does_not_matter_but_which_view_is_predicted_does() {
    let [p1, p2, z1, z2] = [1, 2, 3, 4].map(|seed| of_rows(&rows(5, 4, seed)));
    let loss = value(byol(p1.clone(), p2.clone(), z1.clone(), z2.clone()));
    assert!((loss - value(byol(p2.clone(), p1.clone(), z2.clone(), z1.clone()))).abs() < 1e-5);
    assert!((loss - value(byol(p1, p2, z2, z1))).abs() > 1e-2);
}
