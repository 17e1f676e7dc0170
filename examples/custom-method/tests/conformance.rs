//! The loss against the golden values of the conformance suite, and against its closed forms.

use burn::tensor::{Device, Tensor, TensorData};
use burn_ssl::core::DeviceSpec;
use example_custom_method::{VicRegConfig, vicreg};
use ssl_testing::{Array, Case, Outputs};

fn device() -> Device {
    DeviceSpec::Flex.open().expect("flex is compiled in")
}

fn leaf(case: &Case, name: &str) -> Tensor<2> {
    let (shape, values) = case.f32(name).expect("a tensor of the case");
    let data = TensorData::new(values.to_vec(), shape.to_vec());
    Tensor::from_data(data, &device().autodiff()).require_grad()
}

fn array(tensor: TensorData, shape: &[usize]) -> Array {
    Array::f32(shape.to_vec(), tensor.iter().collect())
}

#[test]
fn the_loss_and_its_gradients_are_golden() {
    for case in Case::of("loss", "vicreg") {
        assert_eq!(case.param::<f64>("eps").expect("a number"), 1e-4);
        let weights = VicRegConfig {
            invariance_weight: case.param("lambda").expect("a number"),
            variance_weight: case.param("mu").expect("a number"),
            covariance_weight: case.param("nu").expect("a number"),
            ..VicRegConfig::default()
        };
        let (z1, z2) = (leaf(&case, "in.z1"), leaf(&case, "in.z2"));
        let loss = vicreg(z1.clone(), z2.clone(), &weights);
        let mut outputs = Outputs::from([("out.loss".to_owned(), array(loss.to_data(), &[]))]);
        let gradients = loss.backward();
        for (name, z) in [("grad.z1", z1), ("grad.z2", z2)] {
            let gradient = z.grad(&gradients).expect("the loss depends on both views").into_data();
            outputs.insert(name.to_owned(), array(gradient, &z.dims()));
        }
        for (name, comparison) in case.compare(&outputs).expect("all outputs in their shapes") {
            assert!(comparison.passes(), "{}: {name} is off by {} tolerances", case.name, comparison.ratio());
        }
    }
}

#[test]
fn collapsed_embeddings_cost_the_variance_weight() {
    let constant = Tensor::<2>::ones([4, 3], &device());
    let loss = vicreg(constant.clone(), constant, &VicRegConfig::default()).into_scalar::<f32>();
    assert!((loss - 25.0 * 0.99).abs() < 1e-4, "1 - sqrt(1e-4) for each view, half of it each: {loss}");
}

#[test]
#[should_panic(expected = "a batch of 1 has no variance, expected at least 2 images")]
fn a_batch_of_one_is_refused() {
    let z = Tensor::<2>::ones([1, 3], &device());
    vicreg(z.clone(), z, &VicRegConfig::default());
}
