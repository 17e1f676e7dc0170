//! Checks the loss against the golden values of the conformance suite and float64 loops, and checks its symmetries.

use burn::tensor::{Int, Tensor, Tolerance};
use ssl_supcon::sup_con;
use ssl_testing::oracle::{self, rows};
use ssl_testing::tensors::{data, device, of_rows};
use ssl_testing::{Case, CaseError, LossInputs};

#[test]
fn the_loss_and_its_gradient_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "sup_con") {
        let mut inputs = LossInputs::of(&case);
        let z = inputs.take_one("z")?;
        let labels = case.param::<bool>("labels")?.then(|| case.tensor("in.labels")).transpose()?;
        let labels = labels.map(|labels| Tensor::from_data(data(labels), &device()));
        let loss = sup_con(z, labels, case.param("temperature")?, case.param("base_temperature")?);
        case.assert_passes(&inputs.outputs(loss)?);
    }
    Ok(())
}

fn stack(views: &[&Tensor<2>]) -> Tensor<3> {
    Tensor::stack(views.iter().map(|&view| view.clone()).collect(), 1)
}

fn classes<const N: usize>(labels: [i32; N]) -> Option<Tensor<1, Int>> {
    Some(Tensor::from_ints(labels, &device()))
}

fn value(loss: Tensor<1>) -> f64 {
    f64::from(loss.into_scalar::<f32>())
}

#[test]
fn unique_labels_and_no_labels_give_the_nt_xent_of_the_loops_in_float64() {
    let (rows1, rows2) = (rows(5, 4, 1), rows(5, 4, 2));
    for (temperature, base) in [(0.5, 0.5), (0.1, 0.07), (1.0, 0.25)] {
        let nt_xent = |z1: &oracle::Rows| oracle::nt_xent(z1, &rows2, temperature) * temperature / base;
        let want = nt_xent(&rows1);
        let want_gradient = of_rows(&oracle::gradient(nt_xent, &rows1)).into_data();
        for labels in [None, classes([7, 3, 0, 12, 5])] {
            let (z1, z2) = (of_rows(&rows1), of_rows(&rows2));
            let loss = sup_con(stack(&[&z1, &z2]), labels, temperature, base);
            assert!((value(loss.clone()) - want).abs() < 1e-5 * want, "{loss} is not {want}");
            let gradient = z1.grad(&loss.backward()).expect("z1 is a leaf").into_data();
            gradient.assert_approx_eq::<f32>(&want_gradient, Tolerance::absolute(1e-5).set_relative(1e-4));
        }
    }
}

#[test]
fn equal_embeddings_cost_the_log_of_the_number_of_candidates() {
    let z = Tensor::<3>::ones([6, 2, 3], &device());
    for labels in [None, classes([0, 0, 1, 1, 1, 2])] {
        let loss = value(sup_con(z.clone(), labels, 0.2, 0.1));
        assert!((loss - 2.0 * 11.0_f64.ln()).abs() < 1e-4);
    }
}

#[test]
fn images_of_one_class_attract() {
    let near = Tensor::<2>::from_floats([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]], &device());
    let loss = |labels| value(sup_con(stack(&[&near, &near]), classes(labels), 0.5, 0.5));
    assert!(loss([0, 0, 1, 1]) < loss([0, 1, 0, 1]) - 0.5);
}

#[test]
fn an_anchor_without_a_positive_costs_nothing() {
    let z = of_rows(&rows(3, 4, 1));
    assert_eq!(value(sup_con(stack(&[&z]), None, 0.1, 0.1)), 0.0);
    let loss = sup_con(stack(&[&z]), classes([1, 1, 0]), 0.1, 0.1);
    let gradient = z.grad(&loss.clone().backward()).expect("z is a leaf");
    assert!(value(loss) > 0.0 && gradient.into_data().iter::<f32>().all(f32::is_finite));
}

#[test]
fn names_of_classes_and_order_of_images_and_views_do_not_matter() {
    let (z1, z2) = (of_rows(&rows(5, 4, 1)), of_rows(&rows(5, 4, 2)));
    let loss = value(sup_con(stack(&[&z1, &z2]), classes([0, 1, 0, 2, 1]), 0.2, 0.1));
    let order = Tensor::<1, Int>::from_ints([3, 0, 4, 1, 2], &device());
    let permuted = |z: &Tensor<2>| z.clone().select(0, order.clone());
    let same = [
        sup_con(stack(&[&z1, &z2]), classes([5, -3, 5, 900, -3]), 0.2, 0.1),
        sup_con(stack(&[&z2, &z1]), classes([0, 1, 0, 2, 1]), 0.2, 0.1),
        sup_con(stack(&[&permuted(&z1), &permuted(&z2)]), classes([2, 0, 1, 1, 0]), 0.2, 0.1),
    ];
    for other in same.map(value) {
        assert!((loss - other).abs() < 1e-5, "{other} is not {loss}");
    }
    assert!((loss - value(sup_con(stack(&[&z1, &z2]), classes([0, 0, 0, 0, 0]), 0.2, 0.1))).abs() > 1e-2);
}

#[test]
fn the_length_of_an_embedding_does_not_matter() {
    let (z1, z2) = (of_rows(&rows(5, 4, 1)), of_rows(&rows(5, 4, 2)));
    let loss =
        |z1: &Tensor<2>, z2: &Tensor<2>| value(sup_con(stack(&[z1, z2]), classes([0, 1, 0, 2, 1]), 0.2, 0.1));
    let scaled = loss(&z1.clone().mul_scalar(30.0), &z2.clone().mul_scalar(0.01));
    assert!((loss(&z1, &z2) - scaled).abs() < 1e-5);
}

#[test]
#[should_panic(expected = "labels has shape [4], expected [batch] = [3]")]
fn more_labels_than_images_are_refused() {
    sup_con(Tensor::ones([3, 2, 4], &device()), classes([0, 1, 2, 3]), 0.1, 0.1);
}
