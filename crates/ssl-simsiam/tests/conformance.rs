//! The loss against the golden values of the conformance suite, and its properties.

use burn::tensor::{Device, Int, Tensor, TensorData};
use ssl_simsiam::{DeviceSpec, simsiam};
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
fn the_loss_is_golden_and_what_is_predicted_gets_no_gradient() {
    for case in Case::of("loss", "simsiam") {
        let [p1, p2, z1, z2] = ["in.p1", "in.p2", "in.z1", "in.z2"].map(|name| leaf(&case, name));
        let loss = simsiam(p1.clone(), p2.clone(), z1.clone(), z2.clone());
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
