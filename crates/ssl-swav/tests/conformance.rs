//! Codes and loss against the golden values of the conformance suite.

use burn::tensor::{Device, Tensor, TensorData};
use ssl_swav::{DeviceSpec, sinkhorn, swav};
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

/// The tensors `<name>.0`, `<name>.1`, and so on.
fn leaves(case: &Case, name: &str) -> Vec<Tensor<2>> {
    (0..case.under(name).count()).map(|index| leaf(case, &format!("{name}.{index}"))).collect()
}

fn array(tensor: Tensor<2>) -> Array {
    let data = tensor.into_data();
    Array::f32(data.shape().to_vec(), data.iter().collect())
}

fn assert_golden(case: &Case, outputs: &Outputs) {
    for (name, comparison) in case.compare(outputs).expect("all outputs in their shapes") {
        assert!(comparison.passes(), "{}: {name} is off by {} tolerances", case.name, comparison.ratio());
    }
}

#[test]
fn codes_are_golden() {
    for case in Case::of("loss", "sinkhorn") {
        let epsilon = case.param("epsilon").expect("a number");
        let iterations = case.param("iterations").expect("a count");
        let take_last = case.param("take_last").expect("a count");
        let codes = sinkhorn(leaf(&case, "in.scores"), epsilon, iterations, take_last);
        assert_golden(&case, &Outputs::from([("out.codes".to_owned(), array(codes))]));
    }
}

#[test]
fn the_loss_and_its_gradient_are_golden() {
    for case in Case::of("loss", "swav") {
        assert_eq!(case.param::<Vec<usize>>("crops_for_assign").expect("indices"), [0, 1]);
        let (scores, codes) = (leaves(&case, "in.scores"), leaves(&case, "in.codes"));
        let loss = swav(&scores, &codes, case.param("temperature").expect("a number"));
        let value = loss.to_data().iter().collect();
        let mut outputs = Outputs::from([("out.loss".to_owned(), Array::f32([], value))]);
        let gradients = loss.backward();
        for (view, scores) in scores.iter().enumerate() {
            let gradient = scores.grad(&gradients).expect("the loss depends on all scores");
            outputs.insert(format!("grad.scores.{view}"), array(gradient));
        }
        assert!(codes.iter().all(|codes| codes.grad(&gradients).is_none()), "codes have a gradient");
        assert_golden(&case, &outputs);
    }
}
