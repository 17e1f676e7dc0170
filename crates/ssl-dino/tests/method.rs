//! What a step of DINO does, tested with a small network on synthetic images.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Tensor, TensorData};
use ssl_core::{named, train_step};
use ssl_dino::{
    Dino, DinoConfig, DinoState, DinoStudent, MethodRules, Progress, SslMethod, StepContext, Views,
};
use ssl_encoders::ResNet;
use ssl_fixtures::{descend, device, init, resnet};

const BATCH: usize = 4;
const OUTPUTS: usize = 6;

type Student = DinoStudent<ResNet>;
type State = DinoState<ResNet>;

fn config() -> DinoConfig {
    let config = DinoConfig::new().with_hidden_dim(8).with_bottleneck_dim(5).with_output_dim(OUTPUTS);
    DinoConfig { teacher_momentum: 0.9, ..config }
}

fn method(config: DinoConfig) -> Dino {
    config.build().expect("a valid configuration")
}

fn start(method: &Dino) -> (Student, State) {
    let mut init = init();
    method.init(resnet(&mut init), &mut init)
}

/// A step in a run with epochs of two steps.
fn at(step: u64) -> Progress {
    Progress { step, total_steps: 10, steps_per_epoch: 2 }
}

fn context(step: u64) -> StepContext {
    StepContext::new(0, at(step), 0)
}

/// Two global crops and a small one, deterministic and pseudo-random.
fn crops(seed: f32) -> Views {
    let crops =
        [(8, 0.0), (8, 0.3), (4, 0.6)].map(|(size, shift)| ssl_fixtures::crops(BATCH, size, seed + shift));
    Views::new(crops.into(), 2)
}

/// The loss, and one training step with a learning rate of 0.1, in the trainer's order.
fn step(method: &Dino, student: Student, state: State, step: u64) -> (f32, Student, State) {
    let out = method.loss(&student, &state, &crops(step as f32), &context(step));
    let loss = out.loss.clone().into_scalar::<f32>();
    let student = descend(student, &out.loss, 0.1);
    let state = method.absorb(state, out.carry);
    let state = method.after_step(&student, state, at(step));
    (loss, student, state)
}

fn floats(data: &TensorData) -> Vec<f32> {
    data.try_to_vec().expect("floats")
}

#[test]
fn the_teacher_is_bit_equal_to_the_average_of_the_students_by_hand() {
    let method = method(config());
    let (mut student, mut state) = start(&method);
    let mut by_hand = named::collect(state.teacher.network());
    for t in 0..3 {
        (_, student, state) = step(&method, student, state, t);
        let momentum = 1.0 - (1.0 - 0.9) * (0.5 * (1.0 + (std::f64::consts::PI * t as f64 / 10.0).cos()));
        average(&mut by_hand, &named::collect(&student), momentum);
        let teacher = named::collect(state.teacher.network());
        for (path, want) in by_hand.iter().filter(|(path, _)| !named::is_buffer(path)) {
            assert_eq!(floats(&teacher[path]), floats(want), "{path} after step {t}");
        }
    }
    assert_ne!(by_hand, named::collect(&student), "the teacher lags behind");
}

fn average(
    teacher: &mut BTreeMap<String, TensorData>,
    student: &BTreeMap<String, TensorData>,
    momentum: f64,
) {
    let (m, rest) = (momentum as f32, (1.0 - momentum) as f32);
    for (path, data) in teacher {
        let pairs = floats(data).into_iter().zip(floats(&student[path]));
        let values: Vec<f32> = pairs.map(|(t, s)| t * m + s * rest).collect();
        *data = TensorData::new(values, data.shape().clone());
    }
}

#[test]
fn the_teacher_sees_the_global_crops_alone_in_training_mode_and_keeps_its_own_statistics() {
    let method = method(config());
    let (student, state) = start(&method);
    let running = |tensors: BTreeMap<String, TensorData>| -> Vec<_> {
        tensors.into_iter().filter(|(path, _)| named::is_buffer(path)).collect()
    };
    let before = running(named::collect(state.teacher.network()));
    method.loss(&student, &state, &crops(0.0), &context(0));
    let teacher = running(named::collect(state.teacher.network()));
    let student = running(named::collect(&student));
    assert!(before.iter().zip(&teacher).all(|(before, after)| before != after), "training mode");
    assert!(
        student.iter().zip(&teacher).all(|(student, teacher)| student != teacher),
        "the student saw more"
    );
}

#[test]
fn every_parameter_of_the_student_gets_a_gradient_but_the_lengths_of_the_last_layer() {
    let method = method(config());
    let (student, state) = start(&method);
    let out = method.loss(&student, &state, &crops(0.0), &context(0));
    assert!(!out.carry.is_autodiff());
    let offers = out.metrics.read();
    assert_eq!(
        offers.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["z_std", "teacher_entropy", "center_norm"]
    );
    let outputs = student.head.last_layer.weight_v.val().dims()[0] as f64;
    assert!(0.0 < offers[1].1 && offers[1].1 < outputs.ln(), "{offers:?}");
    let mut gradients = out.loss.backward();
    let of_state = GradientsParams::from_module(&mut gradients, &state);
    assert!(of_state.is_empty(), "the teacher or the centre received gradients");
    let of_student = GradientsParams::from_module(&mut gradients, &student);
    assert_eq!(of_student.len() + 1, parameters(&student));
}

#[test]
fn the_loss_uses_the_old_center_and_the_step_moves_it() {
    let method = method(DinoConfig { center_momentum: 0.6, ..config() });
    let (student, state) = start(&method);
    let out = method.loss(&student, &state, &crops(0.0), &context(0));
    assert_eq!(state.center.val().into_data(), Tensor::<1>::zeros([OUTPUTS], &device()).into_data());
    let mean = floats(&out.carry.to_data());
    assert!(mean.iter().any(|logit| logit.abs() > 1e-3), "logits without a mean need no centre");
    let state = method.absorb(state, out.carry);
    for (center, mean) in floats(&state.center.val().into_data()).into_iter().zip(mean) {
        assert!((center - 0.4 * mean).abs() < 1e-6);
    }
}

#[test]
fn a_loss_without_the_center_would_be_another() {
    let method = method(config());
    let (student, mut state) = start(&method);
    let loss =
        |state: &State| method.loss(&student, state, &crops(1.0), &context(1)).loss.into_scalar::<f32>();
    let uncentered = loss(&state);
    let carry = method.loss(&student, &state, &crops(0.0), &context(0)).carry;
    state = method.absorb(state, carry.mul_scalar(10.0));
    assert!((loss(&state) - uncentered).abs() > 1e-4);
}

#[test]
fn the_encoder_to_keep_is_that_of_the_teacher() {
    let method = method(config());
    let (student, state) = start(&method);
    let (_, student, state) = step(&method, student, state, 0);
    let kept = named::collect(method.encoder(&student, &state));
    assert_eq!(kept, named::collect(&state.teacher.network().encoder));
    assert_ne!(kept, named::collect(&student.encoder));
}

#[test]
fn the_last_layer_is_frozen_in_the_first_epoch() {
    let method = method(config());
    for path in ["head.last_layer.weight_v", "head.last_layer.weight_g"] {
        assert!(
            method.gradient_rules(at(1)).is_frozen(path) && !method.gradient_rules(at(2)).is_frozen(path)
        );
    }
    assert!(!method.gradient_rules(at(0)).is_frozen("head.mlp.layers.2.linear.weight"));
}

#[test]
fn a_step_of_ones_own_loop_freezes_thaws_and_moves_what_the_method_says() {
    let method = method(config());
    let (mut student, mut state) = start(&method);
    for (step, frozen) in [(0, true), (2, false)] {
        let (before, center) = (named::collect(&student), state.center.val().into_data());
        let teacher = named::collect(state.teacher.network());
        let mut optimizer = SgdConfig::new().init();
        let optimize = |student, gradients| optimizer.step(1e-3, student, gradients);
        let done = train_step(&method, student, state, &crops(step as f32), &context(step), optimize);
        (student, state) = (done.student, done.state);
        let after = named::collect(&student);
        let same = |path: &str| before[path] == after[path];
        assert_eq!(same("head.last_layer.weight_v"), frozen, "step {step}");
        assert!(!same("head.mlp.layers.2.linear.bias"), "step {step}");
        assert!(done.loss.into_scalar::<f32>() > 0.0);
        assert_ne!(state.center.val().into_data(), center);
        assert_ne!(named::collect(state.teacher.network()), teacher);
    }
}

#[test]
fn the_lengths_of_the_last_layer_are_never_trained() {
    let method = method(config());
    let (mut student, mut state) = start(&method);
    for t in 0..3 {
        (_, student, state) = step(&method, student, state, t);
    }
    let lengths = student.head.last_layer.weight_g.val().into_data();
    assert!(floats(&lengths).iter().all(|&length| length == 1.0));
    // Nor after loading weights from a file.
    let loaded = named::load(student.clone(), named::collect(&student)).expect("the same network");
    let out = method.loss(&loaded, &state, &crops(0.0), &context(3));
    assert_eq!(GradientsParams::from_grads(out.loss.backward(), &loaded).len() + 1, parameters(&loaded));
}

fn parameters<M: Module>(module: &M) -> usize {
    named::collect(module).keys().filter(|path| !named::is_buffer(path)).count()
}

#[test]
fn a_resumed_state_gives_the_same_steps() {
    let method = method(config());
    let (student, state) = start(&method);
    let (_, student, state) = step(&method, student, state, 0);
    let saved = (named::collect(&student), named::collect(&state));
    let (fresh_student, fresh_state) = start(&method);
    let resumed = named::load(fresh_student, saved.0).expect("the same student");
    let resumed_state = named::load(fresh_state, saved.1).expect("the same state");
    let (loss, student, state) = step(&method, student, state, 1);
    let (resumed_loss, resumed, resumed_state) = step(&method, resumed, resumed_state, 1);
    assert_eq!(loss, resumed_loss);
    assert_eq!(named::collect(&student), named::collect(&resumed));
    assert_eq!(named::collect(&state), named::collect(&resumed_state));
}
