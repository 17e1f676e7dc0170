//! The terms of the loss against the golden values of the conformance suite, and the loss against its closed forms.

use burn::tensor::Tensor;
use example_custom_method::{AlignUniformConfig, align_uniform, alignment, uniformity};
use ssl_testing::oracle::{Rows, gradient, rows};
use ssl_testing::tensors::{device, loss_value, of_rows, tensor};
use ssl_testing::{Case, CaseError, Outputs};

#[test]
fn alignment_and_uniformity_are_golden() -> Result<(), CaseError> {
    for case in Case::of("eval", "alignment") {
        let value = alignment(tensor(&case, "in.x")?, tensor(&case, "in.y")?, case.param("alpha")?);
        case.assert_passes(&Outputs::from([("out.value".to_owned(), loss_value(&value))]));
    }
    for case in Case::of("eval", "uniformity") {
        let value = uniformity(tensor(&case, "in.x")?, case.param("t")?);
        case.assert_passes(&Outputs::from([("out.value".to_owned(), loss_value(&value))]));
    }
    Ok(())
}

/// The loss as loops over images and pairs of images, in float64.
fn loops(z1: &Rows, z2: &Rows, options: &AlignUniformConfig) -> f64 {
    let unit = |z: &Rows| -> Rows {
        let length = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>().sqrt();
        z.iter().map(|row| row.iter().map(|x| x / length(row)).collect()).collect()
    };
    let squared = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let (z1, z2) = (unit(z1), unit(z2));
    let distances = z1.iter().zip(&z2).map(|(a, b)| squared(a, b).powf(options.alpha / 2.0));
    let aligned = distances.sum::<f64>() / z1.len() as f64;
    let uniformity = |z: &Rows| {
        let pairs = z.iter().enumerate().flat_map(|(i, a)| z[..i].iter().map(move |b| squared(a, b)));
        let closeness: Vec<f64> = pairs.map(|distance| (-options.t * distance).exp()).collect();
        (closeness.iter().sum::<f64>() / closeness.len() as f64).ln()
    };
    options.align_weight * aligned + options.uniform_weight * (uniformity(&z1) + uniformity(&z2)) / 2.0
}

#[test]
fn the_loss_and_its_gradient_are_those_of_the_loops_in_float64() {
    let options =
        AlignUniformConfig { align_weight: 0.7, uniform_weight: 1.3, alpha: 1.5, ..Default::default() };
    let (rows1, rows2) = (rows(5, 3, 1), rows(5, 3, 2));
    let (z1, z2) = (of_rows(&rows1), of_rows(&rows2));
    let loss = align_uniform(z1.clone(), z2, &options);
    let (got, want) = (f64::from(loss.clone().into_scalar::<f32>()), loops(&rows1, &rows2, &options));
    assert!((got - want).abs() < 1e-5, "{got} is not {want}");
    let got = z1.grad(&loss.backward()).expect("z1 is a leaf");
    let want = of_rows(&gradient(|z1| loops(z1, &rows2, &options), &rows1)).inner();
    assert!((got - want).abs().max().into_scalar::<f32>() < 1e-4);
}

#[test]
fn collapsed_embeddings_cost_more_than_those_that_spread() {
    let loss =
        |z: Tensor<2>| align_uniform(z.clone(), z, &AlignUniformConfig::default()).into_scalar::<f32>();
    assert!(loss(Tensor::ones([4, 2], &device())).abs() < 1e-5, "views agree, and so do all images");
    let spread = Tensor::from_floats([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]], &device());
    // Of the six pairs, four are √2 apart and two are 2 apart.
    let want = ((4.0 * (-4.0_f32).exp() + 2.0 * (-8.0_f32).exp()) / 6.0).ln();
    assert!((loss(spread.clone()) - want).abs() < 1e-4, "{} is not {want}", loss(spread));
}

#[test]
#[should_panic(expected = "a batch of 1 has no pairs, expected at least 2 images")]
fn a_batch_of_one_is_refused() {
    uniformity(Tensor::ones([1, 3], &device()), 2.0);
}
