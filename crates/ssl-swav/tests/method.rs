//! What a step of SwAV does, tested with a small network on synthetic images.

use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Tensor, TensorData};
use ssl_core::embed::embed_joint;
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};
use ssl_core::{Plan, named};
use ssl_encoders::ResNet;
use ssl_fixtures::{crops, init, resnet};
use ssl_swav::{
    MethodRules, Pass, Progress, SslMethod, StepContext, Swav, SwavConfig, SwavState, SwavStudent, Views,
};

const BATCH: usize = 6;
const PROTOTYPES: usize = 5;

type Student = SwavStudent<ResNet>;

fn config() -> SwavConfig {
    SwavConfig::new().with_hidden_dim(8).with_output_dim(4).with_prototypes(PROTOTYPES)
}

fn method(config: SwavConfig) -> Swav {
    config.build().expect("a valid configuration")
}

fn start(method: &Swav) -> (Student, SwavState) {
    let mut init = init();
    let (student, state) = method.init(resnet(&mut init), &mut init);
    method.before_step(student, state, at(0))
}

/// A step in a run with epochs of two steps.
fn at(step: u64) -> Progress {
    Progress { step, total_steps: 10, steps_per_epoch: 2 }
}

fn context(step: u64) -> StepContext {
    StepContext::new(0, at(step), 0)
}

fn two_crops(seed: f32) -> Views {
    Views::two(crops(BATCH, 8, seed), crops(BATCH, 8, seed + 0.3))
}

fn four_crops(seed: f32) -> Views {
    let crops =
        [(8, 0.0), (8, 0.3), (4, 0.6), (4, 0.9)].map(|(size, shift)| crops(BATCH, size, seed + shift));
    Views::new(crops.into(), 2)
}

fn value(loss: &Tensor<1>) -> f64 {
    loss.to_data().iter::<f64>().sum()
}

fn rows(tensor: Tensor<2>) -> Vec<Vec<f64>> {
    let [_, columns] = tensor.dims();
    let values: Vec<f64> = tensor.into_data().iter::<f64>().collect();
    values.chunks(columns).map(<[f64]>::to_vec).collect()
}

/// Sinkhorn-Knopp as a loop straight from the definition, in float64.
fn codes(scores: &[Vec<f64>], epsilon: f64, iterations: usize) -> Vec<Vec<f64>> {
    let (samples, prototypes) = (scores.len() as f64, scores[0].len());
    let mut q: Vec<Vec<f64>> =
        scores.iter().map(|row| row.iter().map(|s| (s / epsilon).exp()).collect()).collect();
    for _ in 0..iterations {
        for k in 0..prototypes {
            let sum: f64 = q.iter().map(|row| row[k]).sum();
            q.iter_mut().for_each(|row| row[k] /= sum * prototypes as f64);
        }
        for row in &mut q {
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|value| *value /= sum * samples);
        }
    }
    q.iter().map(|row| row.iter().map(|value| value * samples).collect()).collect()
}

/// `−mean Σ q log p` with `p = softmax(scores / temperature)`, in float64.
fn cross_entropy(codes: &[Vec<f64>], scores: &[Vec<f64>], temperature: f64) -> f64 {
    let of_row = |(codes, scores): (&Vec<f64>, &Vec<f64>)| {
        let total: f64 = scores.iter().map(|s| (s / temperature).exp()).sum();
        -codes.iter().zip(scores).map(|(q, s)| q * (s / temperature - total.ln())).sum::<f64>()
    };
    codes.iter().zip(scores).map(of_row).sum::<f64>() / codes.len() as f64
}

#[test]
fn a_queue_is_looked_at_in_epochs_of_any_length() {
    let (images, batch, views, accumulate) = (5000, 64, 2, 1);
    let (steps, steps_per_epoch) = (100, u64::MAX);
    let plan = Plan { images, classes: None, batch, views, accumulate, steps, steps_per_epoch };
    let advice = method(config().with_queue(128, 2)).advice(&plan);
    let late = "a queue of 128 rows is full after 18446744073709551615 of 100 steps";
    assert!(advice.iter().any(|advice| advice.found == late), "{advice:?}");
}

#[test]
fn two_global_crops_without_a_queue_are_the_two_crop_formula() {
    let method = method(config());
    let (student, state) = start(&method);
    let views = two_crops(0.0);
    let z = embed_joint(&student.encoder, &student.projector, &views.crops, &Pass::batch_stats());
    let prototypes = student.prototypes.weight.val().transpose();
    let scores = z.into_iter().map(|z| rows(l2_normalize(z, NORMALIZE_EPS).matmul(prototypes.clone())));
    let scores: Vec<_> = scores.collect();
    let (q1, q2) = (codes(&scores[0], 0.05, 3), codes(&scores[1], 0.05, 3));
    let want = (cross_entropy(&q1, &scores[1], 0.1) + cross_entropy(&q2, &scores[0], 0.1)) / 2.0;

    let step = method.loss(&student, &state, &views, &context(0));
    assert!((value(&step.loss) - want).abs() < 1e-4 * want, "{} is not {want}", value(&step.loss));
    assert!(step.carry.is_none());
}

#[test]
fn a_batch_of_equal_images_costs_at_least_the_log_of_the_number_of_prototypes() {
    // Without balanced assignment, codes would be as sharp as the scores and a collapse would cost next to nothing.
    let method = method(config());
    let (student, state) = start(&method);
    let equal = crops(BATCH, 8, 0.0).narrow(0, 0, 1).repeat(&[BATCH, 1, 1, 1]);
    let loss = method.loss(&student, &state, &Views::two(equal.clone(), equal), &context(0)).loss;
    assert!(value(&loss) > (PROTOTYPES as f64).ln() - 1e-4, "{}", value(&loss));
}

#[test]
fn every_parameter_gets_a_gradient_from_every_crop() {
    let method = method(config());
    let (student, state) = start(&method);
    let step = method.loss(&student, &state, &four_crops(0.0), &context(0));
    let offers = step.metrics.read();
    assert_eq!(offers.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["z_std", "prototype_usage"]);
    assert!((1.0 / PROTOTYPES as f64..=1.0).contains(&offers[1].1), "{offers:?}");
    let gradients = GradientsParams::from_grads(step.loss.backward(), &student);
    let parameters = named::collect(&student).keys().filter(|path| !named::is_buffer(path)).count();
    assert_eq!(gradients.len(), parameters);
    assert!(
        gradients.get::<2>(student.prototypes.weight.id).expect("trained").abs().max().into_scalar::<f32>()
            > 1e-4
    );
}

#[test]
fn small_crops_predict_and_are_not_remembered() {
    let method = method(config().with_queue(BATCH, 0));
    let (student, state) = start(&method);
    let loss = |views: &Views| method.loss(&student, &state, views, &context(0));
    let (two, four) = (loss(&two_crops(0.0)), loss(&four_crops(0.0)));
    assert!((value(&two.loss) - value(&four.loss)).abs() > 1e-4);
    assert_eq!(four.carry.expect("a queue").map(|z| z.dims()), [[BATCH, 4]; 2]);
}

#[test]
fn prototypes_have_unit_length_in_a_step_and_are_still_trained() {
    let method = method(config());
    let (mut student, mut state) = start(&method);
    let mut optimizer = SgdConfig::new().init();
    for step in 0..2 {
        (student, state) = method.before_step(student, state, at(step));
        let lengths = student.prototypes.weight.val().square().sum_dim(1).sqrt().into_data();
        assert!(lengths.iter::<f32>().all(|length| (length - 1.0).abs() < 1e-6));
        let before = student.prototypes.weight.val().into_data();
        let loss = method.loss(&student, &state, &two_crops(step as f32), &context(step)).loss;
        let gradients = GradientsParams::from_grads(loss.backward(), &student);
        student = optimizer.step(0.1, student, gradients);
        assert_ne!(student.prototypes.weight.val().into_data(), before);
    }
}

#[test]
fn prototypes_are_frozen_in_the_first_steps() {
    let method = method(SwavConfig { freeze_prototypes_steps: 3, ..config() });
    assert!(method.gradient_rules(at(2)).is_frozen("prototypes.weight"));
    assert!(!method.gradient_rules(at(2)).is_frozen("projector.layers.0.linear.weight"));
    assert!(!method.gradient_rules(at(3)).is_frozen("prototypes.weight"));
}

#[test]
fn a_queue_is_used_once_it_is_full() {
    let method = method(config().with_queue(2 * BATCH, 0));
    let (student, mut state) = start(&method);
    let mut differences = Vec::new();
    for step in 0..3 {
        let views = two_crops(step as f32);
        let without = method.loss(&student, &SwavState { queue: None }, &views, &context(step));
        let with = method.loss(&student, &state, &views, &context(step));
        differences.push((value(&with.loss) - value(&without.loss)).abs());
        state = SslMethod::<ResNet>::absorb(&method, state, with.carry);
    }
    assert_eq!(differences[..2], [0.0, 0.0]);
    assert!(differences[2] > 1e-5, "the full queue changed the loss by {}", differences[2]);
}

#[test]
fn a_queue_holds_the_embeddings_of_the_global_crops_newest_first() {
    let method = method(config().with_queue(BATCH + 2, 0));
    let (student, mut state) = start(&method);
    let mut pushed: Vec<Tensor<2>> = Vec::new();
    for step in 0..2 {
        let step = method.loss(&student, &state, &four_crops(step as f32), &context(step));
        pushed.push(step.carry.clone().expect("a queue")[1].clone());
        state = SslMethod::<ResNet>::absorb(&method, state, step.carry);
    }
    let want = Tensor::cat(vec![pushed[1].clone(), pushed[0].clone().narrow(0, 0, 2)], 0);
    let queue = state.queue.expect("a queue");
    assert_eq!(queue.of_crop(1).into_data(), want.into_data());
    assert!(!queue.rows.val().is_autodiff());
}

#[test]
fn a_queue_begins_to_fill_in_its_epoch() {
    let method = method(config().with_queue(BATCH, 1));
    let (student, state) = start(&method);
    assert!(method.loss(&student, &state, &two_crops(0.0), &context(1)).carry.is_none());
    assert!(method.loss(&student, &state, &two_crops(0.0), &context(2)).carry.is_some());
}

#[test]
fn a_full_queue_is_still_full_after_a_resume() {
    let method = method(config().with_queue(BATCH, 0));
    let (student, state) = start(&method);
    let carry = method.loss(&student, &state, &two_crops(0.0), &context(0)).carry;
    let state = SslMethod::<ResNet>::absorb(&method, state, carry);
    let fresh = start(&method).1;
    let resumed = named::load(fresh, named::collect(&state)).expect("the same state");
    let loss = |state: &SwavState| -> TensorData {
        method.loss(&student, state, &two_crops(1.0), &context(1)).loss.into_data()
    };
    assert_eq!(loss(&resumed), loss(&state));
}

#[test]
fn a_queue_that_is_shorter_than_a_batch_is_an_error() {
    let encoder = start(&method(config())).0.encoder;
    let check = |queue_len| {
        let fits = method(config().with_queue(queue_len, 0)).check(&encoder, BATCH);
        fits.map_err(|error| error.to_string())
    };
    assert_eq!((check(0), check(BATCH)), (Ok(()), Ok(())));
    let sentence = "queue_len is 5 for batches of 6 images, expected at least as many, or 0 for no queue";
    assert_eq!(check(5), Err(sentence.to_owned()));
}
