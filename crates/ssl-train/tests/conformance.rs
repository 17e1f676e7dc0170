//! Optimizers and clipping against the golden values of the conformance suite.

use burn::tensor::Tensor;
use serde_json::Value;
use ssl_testing::tensors::{device, loss_value, shaped_array};
use ssl_testing::{Case, Outputs};
use ssl_train::{
    AdamWConfig, Algorithm, Gradients, LarcConfig, LarsConfig, NoDecay, Optimizer, OptimizerConfig, Rates,
    SgdConfig,
};

fn flat(case: &Case, name: &str) -> Tensor<1> {
    Tensor::from_floats(case.f32(name).expect("floats").1, &device())
}

/// A constant, or the value of a table at a step; `None` if there is no such parameter.
fn at(case: &Case, name: &str, step: usize) -> Option<f64> {
    match case.params.get(name)? {
        Value::Array(table) => table[step].as_f64(),
        constant => constant.as_f64(),
    }
}

fn config(case: &Case) -> OptimizerConfig {
    let flag = |name: &str| case.params.get(name).and_then(Value::as_bool).unwrap_or_default();
    let momentum = at(case, "momentum", 0).unwrap_or_default();
    let eta = || at(case, "eta", 0).expect("a number");
    let name: String = case.param("name").expect("a text");
    let algorithm: Algorithm = match name.as_str() {
        "sgd" => SgdConfig { momentum, nesterov: flag("nesterov") }.into(),
        "lars" => {
            let lars = LarsConfig::default().with_momentum(momentum).with_trust_coefficient(eta());
            lars.with_lr_in_momentum(flag("lr_in_momentum")).into()
        }
        "larc" => LarcConfig::default().with_momentum(momentum).with_trust_coefficient(eta()).into(),
        "adamw" => AdamWConfig::default().with_betas(case.param("betas").expect("two numbers")).into(),
        other => panic!("there is no optimizer '{other}'"),
    };
    let no_decay = if flag("exclude_1d") { NoDecay::BiasAndNorm } else { NoDecay::None };
    OptimizerConfig::new(algorithm).with_no_decay(no_decay)
}

fn rates(case: &Case, step: usize) -> Rates {
    let lr = at(case, "lr", step).expect("a table");
    let weight_decay = at(case, "weight_decay", step).unwrap_or_default();
    Rates { lr, lr_1d: at(case, "lr_1d", step).unwrap_or(lr), lr_constant: lr, weight_decay }
}

/// Runs all steps of a case on each of its parameters.
fn optimize(case: &Case) -> Outputs {
    let mut optimizer = Optimizer::new(config(case));
    let mut outputs = Outputs::new();
    for (path, start) in case.under("in.param") {
        let mut parameter = flat(case, &format!("in.param.{path}"));
        for step in 0..case.param("steps").expect("a number") {
            let gradient = flat(case, &format!("in.grad.{step}.{path}"));
            parameter = optimizer.update(path, start.shape.len(), parameter, gradient, rates(case, step));
            let values = shaped_array(start.shape.clone(), &parameter);
            outputs.insert(format!("out.param.{step}.{path}"), values);
        }
    }
    outputs
}

#[test]
fn optimizers_update_parameters_as_the_official_code_does() {
    for op in ["sgd", "lars", "larc", "adamw"] {
        for case in Case::of("optim", op) {
            case.assert_passes(&optimize(&case));
        }
    }
}

fn gradients(case: &Case) -> Gradients {
    let mut gradients = Gradients::default();
    for (path, _) in case.under("in.grad") {
        gradients.insert(path, flat(case, &format!("in.grad.{path}")));
    }
    gradients
}

fn outputs(case: &Case, gradients: &Gradients) -> Outputs {
    let output = |(path, gradient): (&str, &Tensor<1>)| {
        let shape = case.tensor(&format!("in.grad.{path}")).expect("an input").shape.clone();
        (format!("out.grad.{path}"), shaped_array(shape, gradient))
    };
    gradients.iter().map(output).collect()
}

#[test]
fn all_gradients_together_are_clipped_as_pytorch_does() {
    for case in Case::of("optim", "clip_global_norm") {
        let mut gradients = gradients(&case);
        let norm = loss_value(&gradients.norm().expect("there are gradients"));
        gradients.clip_global(case.param("max_norm").expect("a number"));
        let mut outputs = outputs(&case, &gradients);
        outputs.insert("out.norm".to_owned(), norm);
        case.assert_passes(&outputs);
    }
}

#[test]
fn every_gradient_is_clipped_on_its_own_as_dino_does() {
    for case in Case::of("optim", "clip_per_parameter") {
        let mut gradients = gradients(&case);
        gradients.clip_each(case.param("max_norm").expect("a number"));
        case.assert_passes(&outputs(&case, &gradients));
    }
}
