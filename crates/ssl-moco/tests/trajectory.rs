//! Three training steps of v1 and v2 against the golden values of the conformance suite.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::Deserialize;
use ssl_core::named;
use ssl_encoders::{BlockKind, ResNet, ResNetConfig, Stem};
use ssl_moco::{DeviceSpec, Draws, Init, MoCo, MoCoConfig, Progress, SslMethod, StepContext, Views};
use ssl_testing::{Array, Case, Outputs, Values};

/// What a case says of its run.
#[derive(Deserialize)]
struct Params {
    steps: usize,
    encoder: Encoder,
    projector: Vec<Layer>,
    queue: usize,
    symmetric: bool,
    #[serde(default)]
    shuffle: bool,
    loss: Loss,
    ema: Average,
    optimizer: Sgd,
}

#[derive(Deserialize)]
struct Encoder {
    block: BlockKind,
    layers: Vec<usize>,
    width: usize,
    stem: Stem,
    splits: usize,
}

#[derive(Deserialize)]
struct Layer {
    out: usize,
}

#[derive(Deserialize)]
struct Loss {
    temperature: f64,
}

#[derive(Deserialize)]
struct Average {
    momentum: Vec<f64>,
}

#[derive(Deserialize)]
struct Sgd {
    lr: Vec<f64>,
    momentum: f64,
    weight_decay: f32,
}

impl Params {
    /// The method at a step: the momentum of a teacher is a constant here, and a number per step in a case.
    fn method(&self, version: MoCoConfig, step: usize) -> MoCo {
        let config = version
            .with_temperature(self.loss.temperature)
            .with_momentum(self.ema.momentum[step])
            .with_queue_len(self.queue)
            .with_output_dim(self.projector.last().expect("a projector").out)
            .with_symmetric(self.symmetric)
            .with_shuffle(self.shuffle);
        config.build().expect("a valid configuration")
    }

    fn encoder(&self, init: &mut Init) -> ResNet {
        let Encoder { block, layers, width, stem, splits } = &self.encoder;
        let config = ResNetConfig::new(*block, layers.as_slice()).with_width(*width).with_stem(*stem);
        config.with_bn_splits(*splits).init(init)
    }

    fn context(&self, case: &Case, step: usize) -> StepContext {
        let at = Progress {
            step: step as u64,
            total_steps: self.steps as u64,
            steps_per_epoch: self.steps as u64,
        };
        let prefix = format!("aux.{step}");
        let draws = case.under(&prefix).map(|(name, array)| match &array.values {
            Values::I64(values) => (name.to_owned(), values.iter().map(|&value| value as usize).collect()),
            other => panic!("{}: {name} is {}, expected I64", case.name, other.dtype()),
        });
        StepContext { draws: Draws::given(draws), ..StepContext::new(0, at, 0) }
    }
}

fn device() -> Device {
    DeviceSpec::Flex.open().expect("flex is compiled in")
}

fn data(array: &Array) -> TensorData {
    match &array.values {
        Values::F32(values) => TensorData::new(values.clone(), array.shape.clone()),
        Values::I64(values) => TensorData::new(values.clone(), array.shape.clone()),
        Values::U8(values) => TensorData::new(values.clone(), array.shape.clone()),
    }
}

fn array(data: &TensorData) -> Array {
    let shape = data.shape().to_vec();
    match data.dtype() {
        DType::I64 => Array::i64(shape, data.iter().collect()),
        _ => Array::f32(shape, data.iter().collect()),
    }
}

/// What a case calls the tensor at a path of student or state; its teacher starts as a copy of its student.
fn name(path: &str) -> String {
    path.replace("queue.rows", "queue").replace("queue.next", "queue_ptr").replacen(
        "projector.layers.",
        "projector.",
        1,
    )
}

/// The module with the initial values of a case.
fn load<M: Module>(module: M, case: &Case) -> M {
    let paths = named::collect(&module).into_keys();
    let value = |path: String| {
        let name = name(path.strip_prefix("teacher.network.").unwrap_or(&path));
        let array = case.tensor(&format!("init.{name}")).expect("an initial value");
        (path, data(array))
    };
    named::load(module, paths.map(value).collect()).expect("the shapes of the case")
}

fn view(case: &Case, step: usize, index: usize) -> Tensor<4> {
    let array = case.tensor(&format!("views.{step}.{index}")).expect("a view");
    Tensor::from_data(data(array), &device())
}

/// The losses of all steps, and student and state at the end.
fn trained(case: &Case, version: &MoCoConfig) -> Outputs {
    let params = Params::deserialize(case.params.clone()).expect("parameters of MoCo");
    let mut init = Init::new(0, &device().autodiff());
    let encoder = params.encoder(&mut init);
    let (student, state) = params.method(version.clone(), 0).init(encoder, &mut init);
    let (mut student, mut state) = (load(student, case), load(state, case));
    let momentum = MomentumConfig { momentum: params.optimizer.momentum, dampening: 0.0, nesterov: false };
    let decay = WeightDecayConfig::new(params.optimizer.weight_decay);
    let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).with_weight_decay(Some(decay)).init();
    let mut outputs = Outputs::new();
    for step in 0..params.steps {
        let (method, context) = (params.method(version.clone(), step), params.context(case, step));
        (student, state) = method.before_step(student, state, context.at);
        let views = Views::two(view(case, step, 0), view(case, step, 1));
        let out = method.loss(&student, &state, &views, &context);
        outputs.insert(format!("loss.{step}"), Array::f32([], out.loss.to_data().iter().collect()));
        let gradients = GradientsParams::from_grads(out.loss.backward(), &student);
        state = method.absorb(state, out.carry);
        student = optimizer.step(params.optimizer.lr[step], student, gradients);
        state = method.after_step(&student, state, context.at);
    }
    let mut insert = |prefix: &str, tensors: BTreeMap<String, TensorData>| {
        for (path, tensor) in tensors {
            let path = path.replace("teacher.network.", "teacher.");
            outputs.insert(format!("final.{prefix}{}", name(&path)), array(&tensor));
        }
    };
    insert("student.", named::collect(&student));
    insert("", named::collect(&state));
    outputs
}

fn assert_golden(op: &str, version: &MoCoConfig) {
    let mut shuffled = 0;
    for case in Case::of("method", op) {
        let outputs = trained(&case, version);
        // The gradients of the first step show in the weights of the last; `cargo xtask conformance` holds them too.
        for name in case.expected().filter(|name| !name.starts_with("grad.")) {
            let got = outputs.get(name).unwrap_or_else(|| panic!("{}: no {name}", case.name));
            let comparison = case.compare_tensor(name, got).expect("the same shape");
            assert!(comparison.passes(), "{}: {name} is off by {} tolerances", case.name, comparison.ratio());
        }
        shuffled += usize::from(case.under("aux.0").any(|(name, _)| name == "shuffle.0"));
    }
    assert!(shuffled > 0, "no case of {op} shuffles");
}

#[test]
fn trajectories_of_v1_are_golden_with_shuffled_keys_and_without() {
    assert_golden("moco_v1", &MoCoConfig::v1());
}

#[test]
fn trajectories_of_v2_are_golden_with_shuffled_keys_and_without() {
    assert_golden("moco_v2", &MoCoConfig::v2());
}
