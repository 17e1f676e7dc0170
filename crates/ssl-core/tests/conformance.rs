//! Teachers and schedules against the golden values of the conformance suite.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, TensorData};
use ssl_core::nn::{BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig, Linear, LinearConfig};
use ssl_core::{DeviceSpec, Init, Teacher, named, schedule};
use ssl_testing::{Array, Case, Outputs};

/// The layers of the cases `ema.update`.
#[derive(Module, Debug)]
struct Net {
    conv: Conv2d,
    bn: BatchNorm,
    fc: Option<Linear>,
}

fn device() -> Device {
    DeviceSpec::Flex.open().expect("flex is compiled in")
}

/// The network whose tensors are `<prefix>.*`; those that the case does not give stay as they are.
fn network(case: &Case, prefix: &str, device: &Device) -> Net {
    let shape = |path: &str| case.tensor(&format!("{prefix}.{path}")).map(|array| array.shape.clone());
    let mut init = Init::new(0, device);
    let conv = shape("conv.weight").expect("all cases have a convolution");
    let fc = shape("fc.weight").ok().map(|fc| LinearConfig::new(fc[1], fc[0]).init(&mut init));
    let bn = BatchNormConfig::new(shape("bn.weight").expect("all cases have a batch norm")[0]).init(&init);
    let net = Net { conv: Conv2dConfig::new(conv[1], conv[0], conv[2]).init(&mut init), bn, fc };

    let mut tensors = named::collect(&net);
    for (path, data) in &mut tensors {
        if let Ok((shape, values)) = case.f32(&format!("{prefix}.{path}")) {
            *data = TensorData::new(values.to_vec(), shape.to_vec());
        }
    }
    named::load(net, tensors).expect("the shapes are those of the case")
}

fn outputs(step: usize, tensors: BTreeMap<String, TensorData>) -> impl Iterator<Item = (String, Array)> {
    tensors.into_iter().map(move |(path, data)| {
        (format!("out.teacher.{step}.{path}"), Array::f32(data.shape().to_vec(), data.iter().collect()))
    })
}

fn assert_golden(case: &Case, outputs: &Outputs) {
    for name in case.expected().filter(|name| !name.ends_with("num_batches_tracked")) {
        let got = outputs.get(name).unwrap_or_else(|| panic!("{}: {name} was not computed", case.name));
        let comparison = case.compare_tensor(name, got).expect("the same shape");
        assert!(comparison.passes(), "{}: {name} is off by {} tolerances", case.name, comparison.ratio());
    }
}

#[test]
fn a_teacher_follows_the_parameters_and_keeps_its_own_running_statistics() {
    for case in Case::of("ema", "update") {
        let mut teacher = Teacher::from_student(&network(&case, "in.teacher", &device()));
        let mut computed = Outputs::new();
        for (step, momentum) in case.param::<Vec<f64>>("momentum").expect("a table").into_iter().enumerate() {
            let student = network(&case, &format!("in.student.{step}"), &device().autodiff());
            teacher = teacher.follow(&student, momentum);
            computed.extend(outputs(step, named::collect(teacher.network())));
        }
        assert_golden(&case, &computed);
    }
}

/// Holds a schedule, made from the parameters of each case, against the golden values.
fn assert_schedule(op: &str, value: impl Fn(&dyn Fn(&str) -> f64, f64) -> f64) {
    for case in Case::of("optim", op) {
        let parameter = |name: &str| case.param::<f64>(name).expect("a number");
        let (shape, steps) = case.i64("in.step").expect("steps");
        let values = steps.iter().map(|&step| value(&parameter, step as f64) as f32).collect();
        assert_golden(&case, &Outputs::from([("out.value".to_owned(), Array::f32(shape, values))]));
    }
}

#[test]
fn schedules_are_golden() {
    assert_schedule("schedule_lr_step_warmup_cosine", |p, t| {
        schedule::warmup_cosine(t, p("total_steps"), p("warmup_steps"), p("base_lr"), p("final_lr"))
    });
    assert_schedule("schedule_lr_linspace_cosine", |p, t| {
        schedule::linspace_cosine(
            t,
            p("total_steps"),
            p("warmup_steps"),
            p("start_lr"),
            p("base_lr"),
            p("final_lr"),
        )
    });
    assert_schedule("schedule_ema_cosine", |p, t| schedule::momentum_cosine(t, p("total_steps"), p("base")));
    assert_schedule("schedule_teacher_temp", |p, t| {
        schedule::linear_warmup(t, p("warmup_epochs"), p("warmup_temp"), p("temp"))
    });
    assert_schedule("schedule_weight_decay_cosine", |p, t| {
        schedule::cosine(t, p("total_steps"), p("start"), p("end"))
    });
}
