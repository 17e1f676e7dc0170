//! Loss and centre against the golden values of the conformance suite.

use burn::tensor::{Device, Tensor, TensorData};
use ssl_dino::{DeviceSpec, dino, mean_logits, next_center};
use ssl_testing::{Array, Case, Outputs};

fn device() -> Device {
    DeviceSpec::Flex.open().expect("flex is compiled in")
}

/// An input that gets a gradient.
fn leaf<const D: usize>(case: &Case, name: &str) -> Tensor<D> {
    let (shape, values) = case.f32(name).expect("a tensor of the case");
    let data = TensorData::new(values.to_vec(), shape.to_vec());
    Tensor::from_data(data, &device().autodiff()).require_grad()
}

/// The tensors `<name>.0`, `<name>.1`, and so on.
fn leaves(case: &Case, name: &str) -> Vec<Tensor<2>> {
    (0..case.under(name).count()).map(|index| leaf(case, &format!("{name}.{index}"))).collect()
}

fn array<const D: usize>(tensor: Tensor<D>) -> Array {
    let data = tensor.into_data();
    Array::f32(data.shape().to_vec(), data.iter().collect())
}

#[test]
fn the_loss_its_gradient_and_the_center_are_golden() {
    for case in Case::of("loss", "dino") {
        let (student, teacher) = (leaves(&case, "in.student"), leaves(&case, "in.teacher"));
        let center: Tensor<1> = leaf(&case, "in.center");
        let number = |name: &str| -> f64 { case.param(name).expect("a number") };
        let (student_t, teacher_t) = (number("student_temp"), number("teacher_temp"));
        let loss = dino(&student, &teacher, center.clone(), student_t, teacher_t);

        let value = loss.to_data().iter().collect();
        let next = next_center(center.without_autodiff(), mean_logits(&teacher), number("center_momentum"));
        let mut outputs = Outputs::from([
            ("out.loss".to_owned(), Array::f32([], value)),
            ("out.center".to_owned(), array(next)),
        ]);
        let gradients = loss.backward();
        for (crop, logits) in student.iter().enumerate() {
            let gradient = logits.grad(&gradients).expect("the loss depends on all crops");
            outputs.insert(format!("grad.student.{crop}"), array(gradient));
        }
        assert!(teacher.iter().all(|logits| logits.grad(&gradients).is_none()), "the teacher has a gradient");
        for (name, comparison) in case.compare(&outputs).expect("all outputs in their shapes") {
            assert!(comparison.passes(), "{}: {name} is off by {} tolerances", case.name, comparison.ratio());
        }
    }
}
