//! The losses against the golden values of the conformance suite, against float64 oracles, and their symmetries.

use burn::tensor::{Device, Int, Tensor, TensorData, Tolerance, activation::log_softmax};
use ssl_simclr::{DeviceSpec, DistillationInput, DistillationLoss, Loss, nt_xent};
use ssl_testing::{Array, Case, Outputs, oracle};

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
fn nt_xent_and_its_gradient_are_golden() {
    for case in Case::of("loss", "nt_xent") {
        let (z1, z2) = (leaf(&case, "in.z1"), leaf(&case, "in.z2"));
        let loss = nt_xent(z1.clone(), z2.clone(), case.param("temperature").expect("a number"));
        assert_golden(&case, loss, &[("z1", z1), ("z2", z2)]);
    }
}

#[test]
fn distillation_and_its_gradient_are_golden() {
    for case in Case::of("loss", "simclr_v2_distill") {
        let (student, teacher) = (leaf(&case, "in.student"), leaf(&case, "in.teacher"));
        let loss = DistillationLoss {
            temperature: case.param("temperature").expect("a number"),
            t2_scale: case.param("t2_scale").expect("a flag"),
        };
        let loss = loss.forward(DistillationInput { student: student.clone(), teacher });
        assert_golden(&case, loss, &[("student", student)]);
    }
}

/// Rows without structure, the same every time.
fn rows(count: usize, dim: usize, seed: usize) -> oracle::Rows {
    let value = |place: usize| ((place * place + 7 * seed) as f64 * 0.618).sin() as f32;
    let row = |row: usize| (0..dim).map(|column| f64::from(value(1 + row * dim + column))).collect();
    (0..count).map(row).collect()
}

fn tensor(rows: &oracle::Rows) -> Tensor<2> {
    let values: Vec<f32> = rows.iter().flatten().map(|&value| value as f32).collect();
    let data = TensorData::new(values, [rows.len(), rows[0].len()]);
    Tensor::from_data(data, &device().autodiff()).require_grad()
}

fn value(loss: Tensor<1>) -> f32 {
    loss.into_scalar::<f32>()
}

#[test]
fn nt_xent_and_its_gradient_are_those_of_the_loops_in_float64() {
    for (count, dim, temperature) in [(3, 5, 0.5), (7, 4, 0.1), (2, 9, 1.0)] {
        let (rows1, rows2) = (rows(count, dim, 1), rows(count, dim, 2));
        let (z1, z2) = (tensor(&rows1), tensor(&rows2));
        let loss = nt_xent(z1.clone(), z2, temperature);
        let want = oracle::nt_xent(&rows1, &rows2, temperature);
        assert!((f64::from(value(loss.clone())) - want).abs() < 1e-5 * want, "{loss} is not {want}");

        let gradient = z1.grad(&loss.backward()).expect("z1 is a leaf").into_data();
        let want = oracle::gradient(|z1| oracle::nt_xent(z1, &rows2, temperature), &rows1);
        let tolerance = Tolerance::absolute(1e-5).set_relative(1e-4);
        gradient.assert_approx_eq::<f32>(&tensor(&want).into_data(), tolerance);
    }
}

#[test]
fn equal_embeddings_cost_the_log_of_the_number_of_candidates() {
    for batch in [1, 2, 6] {
        let z = Tensor::<2>::ones([batch, 3], &device());
        let want = (2.0 * batch as f32 - 1.0).ln();
        assert!((value(nt_xent(z.clone(), z, 0.1)) - want).abs() < 1e-5, "batch of {batch}");
    }
}

#[test]
fn the_order_of_the_views_does_not_matter() {
    let (z1, z2) = (tensor(&rows(6, 4, 1)), tensor(&rows(6, 4, 2)));
    let loss = value(nt_xent(z1.clone(), z2.clone(), 0.2));
    assert!((loss - value(nt_xent(z2, z1, 0.2))).abs() < 1e-5);
}

#[test]
fn the_order_of_the_images_does_not_matter_but_their_pairing_does() {
    let (z1, z2) = (tensor(&rows(5, 4, 1)), tensor(&rows(5, 4, 2)));
    let order = Tensor::<1, Int>::from_ints([3, 0, 4, 1, 2], &device());
    let permuted = |z: &Tensor<2>| z.clone().select(0, order.clone());
    let loss = value(nt_xent(z1.clone(), z2.clone(), 0.2));
    assert!((loss - value(nt_xent(permuted(&z1), permuted(&z2), 0.2))).abs() < 1e-5);
    assert!((loss - value(nt_xent(z1, permuted(&z2), 0.2))).abs() > 1e-2);
}

#[test]
fn the_length_of_an_embedding_does_not_matter() {
    let (z1, z2) = (tensor(&rows(5, 4, 1)), tensor(&rows(5, 4, 2)));
    let loss = value(nt_xent(z1.clone(), z2.clone(), 0.2));
    assert!((loss - value(nt_xent(z1.mul_scalar(30.0), z2.mul_scalar(0.01), 0.2))).abs() < 1e-5);
}

#[test]
fn distillation_is_that_of_the_loops_in_float64_and_the_teacher_gets_no_gradient() {
    let (rows1, rows2) = (rows(4, 6, 3), rows(4, 6, 4));
    let (student, teacher) = (tensor(&rows1), tensor(&rows2));
    let loss = DistillationLoss { temperature: 0.3, t2_scale: false };
    let loss = loss.forward(DistillationInput { student: student.clone(), teacher: teacher.clone() });
    let want = oracle::distillation(&rows1, &rows2, 0.3);
    assert!((f64::from(value(loss.clone())) - want).abs() < 1e-5 * want);
    let gradients = loss.backward();
    assert!(student.grad(&gradients).is_some() && teacher.grad(&gradients).is_none());
}

#[test]
fn a_student_that_agrees_with_its_teacher_has_no_gradient() {
    let student = tensor(&rows(4, 6, 5));
    let loss = DistillationLoss { temperature: 0.5, t2_scale: true };
    let loss = loss.forward(DistillationInput { student: student.clone(), teacher: student.clone() });
    let gradient = student.grad(&loss.backward()).expect("the student is a leaf");
    assert!(gradient.abs().max().into_scalar::<f32>() < 1e-6);
}

#[test]
fn a_batch_of_several_blocks_has_value_and_gradient_of_the_whole_matrix() {
    let (rows1, rows2) = (rows(1500, 6, 1), rows(1500, 6, 2));
    let run = |form: fn(Tensor<2>, Tensor<2>) -> Tensor<1>| {
        let (z1, z2) = (tensor(&rows1), tensor(&rows2));
        let loss = form(z1.clone(), z2.clone());
        let gradients = loss.backward();
        let gradient = |z: Tensor<2>| z.grad(&gradients).expect("a leaf").mul_scalar(1500.0).into_data();
        (value(loss), gradient(z1), gradient(z2))
    };
    let (loss, gradient1, gradient2) = run(|z1, z2| nt_xent(z1, z2, 0.2));
    let (want, want1, want2) = run(|z1, z2| {
        let z = ssl_core::math::l2_normalize(Tensor::cat(vec![z1, z2], 0), 1e-12);
        let own = Tensor::<2>::eye(3000, &device()).mul_scalar(1e9);
        let logits = (z.clone().matmul(z.transpose()) - own).div_scalar(0.2);
        let positive = Tensor::<1, Int>::arange(1500..4500, &device()).remainder_scalar(3000);
        log_softmax(logits, 1).gather(1, positive.reshape([3000, 1])).mean().neg()
    });
    assert!((loss - want).abs() < 1e-5 * want, "{loss} is not {want}");
    gradient1.assert_approx_eq::<f32>(&want1, Tolerance::absolute(1e-5).set_relative(1e-4));
    gradient2.assert_approx_eq::<f32>(&want2, Tolerance::absolute(1e-5).set_relative(1e-4));
}
