//! Losses of one method that are losses of another one, or a formula written out: values and gradients.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Int, Tensor, TensorData, Tolerance};
use burn_ssl::core::math::{NORMALIZE_EPS, l2_normalize};
use burn_ssl::encoders::{BlockKind, ResNet, ResNetConfig, Stem};
use burn_ssl::prelude::*;
use burn_ssl::train::Gradients;

#[cfg(all(feature = "simclr", feature = "supcon"))]
#[test]
fn supcon_with_a_class_for_each_image_is_the_nt_xent_of_simclr() {
    use burn_ssl::{simclr::nt_xent, supcon::sup_con};
    for (temperature, base) in [(0.5, 0.5), (0.07, 0.07), (0.1, 0.07)] {
        let classes = Some(Tensor::from_ints([4, 1, 9, 0, 7, 2], &device()));
        let stacked =
            |z: &[Tensor<2>]| sup_con(Tensor::stack(z.to_vec(), 1), classes.clone(), temperature, base);
        let scaled =
            |z: &[Tensor<2>]| nt_xent(z[0].clone(), z[1].clone(), temperature).mul_scalar(temperature / base);
        assert_same(&[rows(6, 5, 1.0), rows(6, 5, 2.0)], stacked, scaled);
    }
}

#[cfg(feature = "moco")]
#[test]
fn moco_with_the_other_keys_of_the_batch_as_its_queue_is_the_one_sided_info_nce() {
    use burn_ssl::moco::moco;
    let batch = 6;
    let keys = l2_normalize(rows(batch, 5, 2.0), NORMALIZE_EPS);
    for temperature in [0.07, 0.2, 1.0] {
        let with_queues = |z: &[Tensor<2>]| {
            let loss_of = |i: usize| {
                let row = |x: &Tensor<2>| x.clone().narrow(0, i, 1);
                let others = (0..batch).filter(|&j| j != i).map(|j| keys.clone().narrow(0, j, 1)).collect();
                moco(row(&z[0]), row(&keys), Tensor::cat(others, 0), temperature)
            };
            Tensor::cat((0..batch).map(loss_of).collect(), 0).mean()
        };
        let one_sided = |z: &[Tensor<2>]| one_sided_info_nce(z[0].clone(), keys.clone(), temperature);
        assert_same(&[rows(batch, 5, 1.0)], with_queues, one_sided);
    }
}

#[cfg(feature = "moco")]
#[test]
fn moco_v3_is_twice_its_temperature_times_the_one_sided_info_nce_of_both_directions() {
    use burn_ssl::moco::moco_v3;
    let (k1, k2) = (rows(6, 5, 3.0), rows(6, 5, 4.0));
    let v3 = |z: &[Tensor<2>]| moco_v3(z[0].clone(), z[1].clone(), k1.clone(), k2.clone(), 0.2);
    let both = |z: &[Tensor<2>]| {
        let forth = one_sided_info_nce(z[0].clone(), k2.clone(), 0.2);
        (forth + one_sided_info_nce(z[1].clone(), k1.clone(), 0.2)).mul_scalar(2.0 * 0.2)
    };
    assert_same(&[rows(6, 5, 1.0), rows(6, 5, 2.0)], v3, both);
}

#[cfg(all(feature = "byol", feature = "simsiam"))]
#[test]
fn the_regression_of_byol_is_two_plus_two_negative_cosines_in_each_direction() {
    use burn_ssl::core::loss::negative_cosine;
    use burn_ssl::{byol::byol, simsiam::simsiam};
    let (z1, z2) = (rows(6, 5, 3.0), rows(6, 5, 4.0));
    let p = [rows(6, 5, 1.0), rows(6, 5, 2.0)];
    for (direction, z) in [(0, &z2), (1, &z1)] {
        let regression = |p: &[Tensor<2>]| squared_distance(p[direction].clone(), z.clone());
        let cosine = |p: &[Tensor<2>]| {
            negative_cosine(p[direction].clone(), z.clone(), NORMALIZE_EPS).mul_scalar(2.0).add_scalar(2.0)
        };
        assert_same(&p, regression, cosine);
    }
    let loss = |p: &[Tensor<2>]| byol(p[0].clone(), p[1].clone(), z1.clone(), z2.clone());
    let distances = |p: &[Tensor<2>]| {
        squared_distance(p[0].clone(), z2.clone()) + squared_distance(p[1].clone(), z1.clone())
    };
    assert_same(&p, loss, distances);
    let four_of_simsiam = |p: &[Tensor<2>]| {
        simsiam(p[0].clone(), p[1].clone(), z1.clone(), z2.clone()).mul_scalar(4.0).add_scalar(4.0)
    };
    assert_same(&p, loss, four_of_simsiam);
}

#[cfg(feature = "swav")]
#[test]
fn swav_with_two_global_crops_and_no_queue_is_the_two_crop_formula() {
    use burn_ssl::swav::{Swav, SwavConfig, SwavState};
    let config = SwavConfig::new().with_hidden_dim(8).with_output_dim(4).with_prototypes(5);
    let method: Swav = config.build().expect("a valid configuration");
    let (student, state) = started(&method);
    assert!(state.queue.is_none());

    let z = |view: &Tensor<4>| student.encoder.encode(view.clone(), &Pass::train());
    let views = views();
    // The projector sees both crops at once, and so does the encoder, as they are of one size.
    let features = z(&Tensor::cat(views.crops.clone(), 0));
    let z = burn_ssl::core::Head::forward(&student.projector, features, &Pass::train());
    let scores = l2_normalize(z, NORMALIZE_EPS).matmul(student.prototypes.weight.val().transpose());
    let [s1, s2] = [0, 1].map(|crop| scores.clone().narrow(0, crop * BATCH, BATCH));
    let cross_entropy = |code: Tensor<2>, scores: Tensor<2>| {
        (code * log_softmax(scores.div_scalar(0.1), 1)).sum_dim(1).mean().neg()
    };
    let codes = [&s1, &s2].map(|scores| equal_assignment(scores.clone().detach()));
    let [q1, q2] = codes;
    let formula = (cross_entropy(q1, s2) + cross_entropy(q2, s1)).div_scalar(2.0);
    let want = values_and_gradients(formula, &student);

    let (student, _) = started(&method);
    let loss = method.loss(&student, &SwavState { queue: None }, &views, &context(0)).loss;
    assert_all_close(&values_and_gradients(loss, &student), &want);
}

/// Sinkhorn-Knopp as SwAV's algorithm 1 writes it, with its default ε of 0.05 and three rounds.
#[cfg(feature = "swav")]
fn equal_assignment(scores: Tensor<2>) -> Tensor<2> {
    let [samples, prototypes] = scores.dims();
    let mut q = scores.div_scalar(0.05).exp();
    for _ in 0..3 {
        q = q.clone() / q.sum_dim(0).mul_scalar(prototypes as f64);
        q = q.clone() / q.sum_dim(1).mul_scalar(samples as f64);
    }
    q.mul_scalar(samples as f64)
}

#[cfg(feature = "dino")]
#[test]
fn the_loss_of_dino_with_two_crops_and_no_centre_is_the_cross_entropy_of_softmaxes() {
    use burn_ssl::dino::dino;
    let teacher = [rows(6, 5, 3.0), rows(6, 5, 4.0)];
    let no_center = Tensor::zeros([5], &device());
    let loss =
        |s: &[Tensor<2>]| dino(s.to_vec().into(), teacher.to_vec().into(), no_center.clone(), 0.1, 0.04);
    let formula = |s: &[Tensor<2>]| {
        let cross_entropy = |teacher: &Tensor<2>, student: &Tensor<2>| {
            let target = softmax(teacher.clone().div_scalar(0.04), 1);
            (target * log_softmax(student.clone().div_scalar(0.1), 1)).sum_dim(1).mean().neg()
        };
        (cross_entropy(&teacher[0], &s[1]) + cross_entropy(&teacher[1], &s[0])).div_scalar(2.0)
    };
    assert_same(&[rows(6, 5, 1.0), rows(6, 5, 2.0)], loss, formula);
}

const BATCH: usize = 4;

fn device() -> Device {
    DeviceSpec::Flex.open().expect("flex is compiled in")
}

fn at(step: u64) -> Progress {
    Progress { step, total_steps: 10, steps_per_epoch: 10 }
}

fn context(step: u64) -> StepContext {
    StepContext::new(0, at(step), 0)
}

/// Rows without structure, the same every time.
fn rows(count: usize, dim: usize, seed: f32) -> Tensor<2> {
    let places = Tensor::<1, Int>::arange(1..(count * dim) as i64 + 1, &device()).float();
    (places.clone() * places * 0.618 + seed * 7.0).sin().reshape([count, dim])
}

/// Two views without structure, the same every time.
fn views() -> Views {
    let view = |seed: f32| {
        let places = Tensor::<1, Int>::arange(1..(BATCH * 3 * 64) as i64 + 1, &device()).float();
        (places * 0.618 + seed).sin().reshape([BATCH, 3, 8, 8])
    };
    Views::two(view(0.0), view(1.0))
}

/// A method at its first step with a tiny network, the same every time.
fn started<M: SslMethod<ResNet>>(method: &M) -> (M::Student, M::State) {
    let mut init = Init::new(0, &device().autodiff());
    let encoder = ResNetConfig::new(BlockKind::Basic, [1]).with_width(4).with_stem(Stem::Cifar);
    let (student, state) = method.init(encoder.init(&mut init), &mut init);
    method.before_step(student, state, at(0))
}

/// The mean over queries of `−log( exp(⟨q_i, k_i⟩ / T) / Σ_j exp(⟨q_i, k_j⟩ / T) )`, all of unit length.
fn one_sided_info_nce(q: Tensor<2>, k: Tensor<2>, temperature: f64) -> Tensor<1> {
    let [batch, _] = q.dims();
    let unit = |x: Tensor<2>| x.clone() / x.square().sum_dim(1).sqrt();
    let logits = unit(q).matmul(unit(k).transpose()).div_scalar(temperature);
    let own = Tensor::<2>::eye(batch, &device());
    (logits.clone().exp().sum_dim(1).log() - (logits * own).sum_dim(1)).mean()
}

/// The mean over rows of `‖p / ‖p‖ − z / ‖z‖‖²`.
fn squared_distance(p: Tensor<2>, z: Tensor<2>) -> Tensor<1> {
    let unit = |x: Tensor<2>| x.clone() / x.square().sum_dim(1).sqrt();
    (unit(p) - unit(z)).square().sum_dim(1).mean()
}

/// Two functions of the same rows have the same value and the same gradients.
fn assert_same(
    inputs: &[Tensor<2>],
    one: impl Fn(&[Tensor<2>]) -> Tensor<1>,
    other: impl Fn(&[Tensor<2>]) -> Tensor<1>,
) {
    let evaluated = |function: &dyn Fn(&[Tensor<2>]) -> Tensor<1>| -> Vec<TensorData> {
        let leaf = |x: &Tensor<2>| Tensor::<2>::from_data(x.to_data(), &device().autodiff()).require_grad();
        let leaves: Vec<_> = inputs.iter().map(leaf).collect();
        let loss = function(&leaves);
        let value = loss.to_data();
        let gradients = loss.backward();
        let of_leaves = leaves.iter().filter_map(|leaf| leaf.grad(&gradients)).map(Tensor::into_data);
        std::iter::once(value).chain(of_leaves).collect()
    };
    let (one, other) = (evaluated(&one), evaluated(&other));
    assert_eq!(one.len(), other.len(), "the same inputs have a gradient");
    assert!(one.len() > 1, "an input has a gradient");
    for (a, b) in one.iter().zip(&other) {
        a.assert_approx_eq::<f32>(b, Tolerance::absolute(1e-5).set_relative(1e-4));
    }
}

/// A loss under the name `loss`, and the gradients of a module's parameters by path.
fn values_and_gradients(loss: Tensor<1>, student: &impl Module) -> BTreeMap<String, TensorData> {
    let mut all = BTreeMap::from([("loss".to_owned(), loss.to_data())]);
    let gradients = Gradients::of(loss.backward(), student);
    all.extend(gradients.iter().map(|(path, gradient)| (path.to_owned(), gradient.to_data())));
    all
}

fn assert_all_close(got: &BTreeMap<String, TensorData>, want: &BTreeMap<String, TensorData>) {
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
    assert!(got.len() > 1, "a parameter has a gradient");
    for (path, data) in got {
        data.assert_approx_eq::<f32>(&want[path], Tolerance::absolute(1e-5).set_relative(1e-3));
    }
}
