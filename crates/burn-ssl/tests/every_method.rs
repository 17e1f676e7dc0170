//! What holds for every method of the registry, whichever are built in, with a ResNet, a ViT and a ConvNeXt.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::module::{Module, ModuleVisitor};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_ssl::core::frozen::Frozen;
use burn_ssl::core::{Mask, MaskKind, Needs, named, schedule};
use burn_ssl::encoders::Family;
use burn_ssl::prelude::*;
use burn_ssl::registry::{METHODS, WithMethod, needs, resolve_options, with_method};
use burn_ssl::train::{Gradients, Optimizer, OptimizerConfig, Rates};
use toml::Table;

/// Steps of a run.
const STEPS: u64 = 4;
/// Images of a batch; no queue below is a multiple of it.
const BATCH: usize = 4;
type Tensors = BTreeMap<String, TensorData>;

#[test]
fn the_student_alone_gets_gradients_and_its_loss_is_finite() {
    struct Check {
        encoder: EncoderConfig,
    }
    impl WithMethod<AnyEncoder> for Check {
        type Output = ();

        fn run<M: SslMethod<AnyEncoder>>(self, method: M) {
            let (student, state) = start(&method, &self.encoder);
            let (student, state) = method.before_step(student, state, at(0));
            let step = method.loss(&student, &state, &views(method.needs(), 0), &context(0));
            assert!(step.loss.to_data().iter::<f32>().all(f32::is_finite));
            let offers = step.metrics.read();
            assert!(offers.iter().any(|(name, _)| *name == "z_std"), "{offers:?}");
            assert!(offers.iter().all(|(_, value)| value.is_finite()), "{offers:?}");
            let mut gradients = step.loss.backward();
            let of_state = GradientsParams::from_module(&mut gradients, &state);
            assert!(of_state.is_empty(), "a teacher, a queue or a centre received gradients");
            let gradients = Gradients::of(gradients, &student);
            let encoder = gradients.iter().filter(|(path, _)| path.starts_with("encoder."));
            assert!(encoder.count() > 3, "the encoder received no gradients");
        }
    }
    for_every_method(|_, encoder| Check { encoder: encoder.clone() });
}

/// Bit by bit, with the arithmetic of single precision: `teacher · m + student · (1 − m)`.
#[test]
fn a_teacher_is_the_average_of_its_students_by_hand_and_keeps_its_own_running_statistics() {
    struct Check {
        momentum: Momentum,
        encoder: EncoderConfig,
    }
    impl WithMethod<AnyEncoder> for Check {
        type Output = ();

        fn run<M: SslMethod<AnyEncoder>>(self, method: M) {
            let (mut student, mut state) = start(&method, &self.encoder);
            let mut optimizer = optimizer();
            let (mut teacher, mut averages) = (teacher_of(&state), 0);
            assert_eq!(
                teacher.is_empty(),
                self.momentum.end == 0.0,
                "a method with a momentum has a teacher, and no other"
            );
            for step in 0..STEPS {
                let momentum = self.momentum.at(step);
                (student, state) = method.before_step(student, state, at(step));
                averages += follow(&mut teacher, &named::collect(&student), &state, momentum);
                let out = method.loss(&student, &state, &views(method.needs(), step), &context(step));
                let mut gradients = Gradients::of(out.loss.backward(), &student);
                let rules = method.gradient_rules(at(step));
                gradients.drop_frozen(&rules);
                state = method.absorb(state, out.carry);
                teacher = after_its_forward_pass(&teacher, &state);
                student = optimizer.step(student, gradients, RATES, &rules);
                state = method.after_step(&student, state, at(step));
                averages += follow(&mut teacher, &named::collect(&student), &state, momentum);
            }
            if !teacher.is_empty() {
                assert_eq!(averages, STEPS, "averages in {STEPS} steps");
                let student = named::collect(&student);
                assert!(
                    teacher.iter().any(|(path, tensor)| tensor != &student[path]),
                    "the teacher lags behind"
                );
            }
        }
    }
    for_every_method(|options, encoder| Check { momentum: Momentum::of(options), encoder: encoder.clone() });
}

#[test]
fn a_resumed_step_gives_the_same_bytes() {
    struct Check {
        encoder: EncoderConfig,
    }
    impl WithMethod<AnyEncoder> for Check {
        type Output = ();

        fn run<M: SslMethod<AnyEncoder>>(self, method: M) {
            let (student, state) = start(&method, &self.encoder);
            let (mut student, mut state) = one_step(&method, student, state, 0);
            (student, state) = one_step(&method, student, state, 1);
            let (fresh_student, fresh_state) = start(&method, &self.encoder);
            let resumed = named::load(fresh_student, named::collect(&student)).expect("the same student");
            let resumed_state = named::load(fresh_state, named::collect(&state)).expect("the same state");
            let (student, state) = one_step(&method, student, state, 2);
            let (resumed, resumed_state) = one_step(&method, resumed, resumed_state, 2);
            assert_eq!(named::collect(&student), named::collect(&resumed));
            assert_eq!(named::collect(&state), named::collect(&resumed_state));
        }
    }
    for_every_method(|_, encoder| Check { encoder: encoder.clone() });
}

/// A data set that no batch divides, and a queue that no batch divides.
#[test]
fn a_shorter_last_batch_is_a_batch_like_any_other() {
    struct Check {
        encoder: EncoderConfig,
    }
    impl WithMethod<AnyEncoder> for Check {
        type Output = ();

        fn run<M: SslMethod<AnyEncoder>>(self, method: M) {
            let (mut student, mut state) = start(&method, &self.encoder);
            for (step, batch) in [BATCH, BATCH, 3, BATCH, 3].into_iter().enumerate() {
                let step = step as u64;
                (student, state) = method.before_step(student, state, at(step));
                let views = cut(views(method.needs(), step), batch);
                let out = method.loss(&student, &state, &views, &context(step));
                assert!(out.loss.to_data().iter::<f32>().all(f32::is_finite));
                state = method.absorb(state, out.carry);
                state = method.after_step(&student, state, at(step));
            }
        }
    }
    for_every_method(|_, encoder| Check { encoder: encoder.clone() });
}

/// Builds every method with narrow heads and runs a check on it.
fn for_every_method<V: WithMethod<AnyEncoder, Output = ()>>(check: impl Fn(&Table, &EncoderConfig) -> V) {
    assert!(!METHODS.is_empty(), "no method is built in");
    for method in METHODS {
        let mut options = narrow(method.name);
        let needs = needs(method.name).expect("a method of the registry");
        let takes = |encoder: &EncoderConfig| match encoder.family() {
            Some(Family::Vit) => true,
            // The small crops here are too small for its last stage.
            Some(Family::ConvNext) => !needs.tokens && !needs.local_views,
            _ => !needs.tokens,
        };
        for encoder in [resnet(), convnext(), vit()].into_iter().filter(takes) {
            eprintln!("{}, {}", method.name, encoder.name);
            if let (true, Some(heads)) = (encoder.is_vit(), options.get_mut("heads")) {
                *heads = "vit".into();
            }
            let all = resolve_options(method.name, &options).expect("options of the method");
            let check = Taught { check: check(&all, &encoder), teacher: &encoder };
            with_method(method.name, &options, check).expect("a valid configuration");
        }
    }
}

/// A check of a method, which gets the frozen network that it learns from, if it learns from one.
struct Taught<'a, V> {
    check: V,
    teacher: &'a EncoderConfig,
}

impl<V: WithMethod<AnyEncoder>> WithMethod<AnyEncoder> for Taught<'_, V> {
    type Output = V::Output;

    fn run<M: SslMethod<AnyEncoder>>(self, mut method: M) -> V::Output {
        if method.needs().teacher {
            let teacher = self.teacher.init(16, &mut Init::new(9, &device())).expect("a valid configuration");
            method.learn_from(Arc::new(Frozen::new(teacher)));
        }
        self.check.run(method)
    }
}

/// The options of a method with every width and every length small, and all else as it is by default.
fn narrow(method: &str) -> Table {
    let sizes = [
        ("hidden_dim", 8),
        ("output_dim", 6),
        ("predictor_dim", 4),
        ("bottleneck_dim", 5),
        ("prototypes", 5),
        ("queue_len", 10),
        ("queue_start_epoch", 0),
        ("freeze_prototypes_steps", 1),
        ("decoder_dim", 8),
        ("decoder_depth", 1),
        ("decoder_heads", 2),
        ("predictor_depth", 1),
        ("predictor_heads", 2),
    ];
    let all = resolve_options(method, &Table::new()).expect("the defaults");
    let known = sizes.into_iter().filter(|(key, _)| all.contains_key(*key));
    let mut options: Table = known.map(|(key, size)| (key.to_owned(), toml::Value::Integer(size))).collect();
    options.extend(all.get_key_value("heads").map(|(key, heads)| (key.clone(), heads.clone())));
    options
}

/// How much of itself a teacher keeps, from the options of its method.
struct Momentum {
    start: f64,
    end: f64,
    /// Whether it rises along a line, and not a cosine.
    on_a_line: bool,
}

impl Momentum {
    fn of(options: &Table) -> Self {
        let number = |key: &str| options.get(key).and_then(toml::Value::as_float);
        // I-JEPA's, which alone has a predictor of blocks, and MSN's, which alone sharpens.
        let on_a_line =
            ["predictor_depth", "sharpen_temperature"].iter().any(|key| options.contains_key(*key));
        match (number("momentum"), number("momentum_end"), number("teacher_momentum")) {
            (Some(start), Some(end), _) => Self { start, end, on_a_line },
            (Some(constant), None, _) => Self { start: constant, end: constant, on_a_line },
            (None, _, Some(start)) => Self { start, end: 1.0, on_a_line },
            // It has no teacher.
            (None, _, None) => Self { start: 0.0, end: 0.0, on_a_line },
        }
    }

    fn at(&self, step: u64) -> f64 {
        if self.start == self.end {
            return self.start;
        }
        match self.on_a_line {
            true => self.start + (self.end - self.start) * step as f64 / STEPS as f64,
            false => schedule::cosine(step as f64, STEPS as f64, self.start, self.end),
        }
    }
}

/// Holds a teacher against what it was: either it is that, or it is the average with the student of now. Returns the
/// number of averages, 0 or 1.
fn follow(teacher: &mut Tensors, student: &Tensors, state: &impl Module, momentum: f64) -> u64 {
    let now = teacher_of(state);
    let mut by_hand = teacher.clone();
    for (path, data) in by_hand.iter_mut().filter(|(path, _)| !named::is_buffer(path)) {
        let (m, rest) = (momentum as f32, (1.0 - momentum) as f32);
        let pairs = data.iter::<f32>().zip(student[path].iter::<f32>());
        let values: Vec<f32> = pairs.map(|(teacher, student)| teacher * m + student * rest).collect();
        *data = TensorData::new(values, data.shape().clone());
    }
    let moved = now != *teacher;
    if moved {
        assert_eq!(now, by_hand, "the teacher is no average of itself and the student");
    }
    *teacher = now;
    u64::from(moved)
}

/// The teacher after its forward pass, which has moved its running statistics and nothing else.
fn after_its_forward_pass(before: &Tensors, state: &impl Module) -> Tensors {
    let now = teacher_of(state);
    let moved: Vec<_> = before.iter().filter(|(path, tensor)| *tensor != &now[*path]).collect();
    assert!(moved.iter().all(|(path, _)| named::is_buffer(path)), "parameters moved in the forward pass");
    let has_statistics = before.keys().any(|path| named::is_buffer(path));
    assert_eq!(!moved.is_empty(), has_statistics, "the teacher does not use the statistics of its batch");
    now
}

/// The tensors of all teachers of a state, under their paths in the student.
fn teacher_of(state: &impl Module) -> Tensors {
    let mut teachers = Teachers::default();
    state.visit(&mut teachers);
    let tensors = named::collect(state).into_iter();
    let own = |(path, data): (String, TensorData)| {
        let inside = teachers.paths.iter().find_map(|teacher| path.strip_prefix(teacher.as_str()))?;
        Some((inside.trim_start_matches('.').to_owned(), data))
    };
    tensors.filter_map(own).collect()
}

/// Where the networks of teachers are, whatever their fields are called.
#[derive(Default)]
struct Teachers {
    path: named::Path,
    paths: Vec<String>,
}

impl ModuleVisitor for Teachers {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name);
        if container == "Struct:Teacher" {
            self.paths.push(self.path.join());
        }
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }
}

const RATES: Rates = Rates { lr: 0.05, lr_1d: 0.05, lr_constant: 0.05, weight_decay: 0.0 };

fn optimizer() -> Optimizer {
    Optimizer::new(OptimizerConfig::default())
}

fn one_step<M: SslMethod<AnyEncoder>>(
    method: &M,
    student: M::Student,
    state: M::State,
    step: u64,
) -> (M::Student, M::State) {
    let (student, state) = method.before_step(student, state, at(step));
    let out = method.loss(&student, &state, &views(method.needs(), step), &context(step));
    let gradients = Gradients::of(out.loss.backward(), &student);
    let state = method.absorb(state, out.carry);
    let student = optimizer().step(student, gradients, RATES, &method.gradient_rules(at(step)));
    let state = method.after_step(&student, state, at(step));
    (student, state)
}

fn start<M: SslMethod<AnyEncoder>>(method: &M, encoder: &EncoderConfig) -> (M::Student, M::State) {
    let mut init = Init::new(0, &device().autodiff());
    let encoder = encoder.init(16, &mut init).expect("a valid configuration");
    method.check(&encoder, BATCH).expect("an encoder that the method takes");
    method.init(encoder, &mut init)
}

fn resnet() -> EncoderConfig {
    EncoderConfig { width: 2, ..EncoderConfig::named("resnet18") }
}

fn convnext() -> EncoderConfig {
    let (depths, dims) = (Some([1; 4]), Some([2, 3, 4, 5]));
    EncoderConfig { depths, dims, layer_scale: Some(0.1), ..EncoderConfig::named("convnext-tiny") }
}

fn vit() -> EncoderConfig {
    EncoderConfig { patch_size: Some(8), mask_token: Some(true), ..EncoderConfig::named("vit-tiny") }
}

fn at(step: u64) -> Progress {
    Progress { step, total_steps: STEPS, steps_per_epoch: 2 }
}

fn context(step: u64) -> StepContext {
    StepContext::new(0, at(step), 0)
}

fn device() -> Device {
    DeviceSpec::Flex.open().expect("flex is compiled in")
}

/// Views as a method needs them, without structure, the same every time.
fn views(needs: Needs, step: u64) -> Views {
    let images = |seed: f32, size: usize| {
        let places = Tensor::<1, Int>::arange(1..(BATCH * 3 * size * size) as i64 + 1, &device()).float();
        (places * 0.618 + seed + step as f32).sin().reshape([BATCH, 3, size, size])
    };
    let mut crops: Vec<_> = (0..needs.global_views).map(|view| images(0.3 * view as f32, 16)).collect();
    if needs.local_views {
        crops.push(images(0.6, 8));
    }
    // Small crops are whole.
    let masks = |kind| (0..crops.len()).map(|view| (view < needs.global_views).then(|| mask(kind))).collect();
    let masks = needs.masks.map(masks).unwrap_or_default();
    let labels = needs.labels.then(|| Tensor::from_ints([0, 1, 0, 1], &device()));
    Views { labels, masks, ..Views::new(crops, needs.global_views) }
}

/// A mask of images of 2×2 patches.
fn mask(kind: MaskKind) -> Mask {
    match kind {
        MaskKind::Keep => {
            let lists = [[0], [3], [1], [2]].map(Vec::from);
            Mask::keep(&lists, 4, &device()).expect("a patch of each image")
        }
        MaskKind::Replace => Mask::Replace(Tensor::from_data([[true, false, false, true]; BATCH], &device())),
        MaskKind::Predict => Mask::Predict {
            context: Tensor::from_data([[0, 1]; BATCH], &device()),
            targets: Tensor::from_data([[[2, 3]]; BATCH], &device()),
        },
    }
}

/// The first images of a batch.
fn cut(views: Views, batch: usize) -> Views {
    views.narrow(0, batch)
}
