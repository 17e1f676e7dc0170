//! Optimizers, clipping, schedules.

use anyhow::{Result, ensure};
use burn::tensor::Tensor;
use ssl_core::schedule::{cosine, linear_warmup, linspace_cosine, momentum_cosine, warmup_cosine};
use ssl_core::{GradientRules, named};
use ssl_testing::tensors::{array, device, loss_value, shaped_array};
use ssl_testing::{Array, Case, Outputs};
use ssl_train::{Gradients, Optimizer};

use super::Op;
use super::optimizer::OptimizerSpec;
use super::tree::Tree;

pub(super) const OPS: &[(&str, Op)] = &[
    ("adamw", optimizer),
    ("clip_global_norm", clip_global_norm),
    ("clip_per_parameter", clip_per_parameter),
    ("larc", optimizer),
    ("lars", optimizer),
    ("schedule_ema_cosine", schedule_ema_cosine),
    ("schedule_lr_linspace_cosine", schedule_lr_linspace_cosine),
    ("schedule_lr_step_warmup_cosine", schedule_lr_step_warmup_cosine),
    ("schedule_teacher_temp", schedule_teacher_temp),
    ("schedule_weight_decay_cosine", schedule_weight_decay_cosine),
    ("sgd", optimizer),
];

fn optimizer(case: &Case) -> Result<Outputs> {
    let spec: OptimizerSpec = serde_json::from_value(case.params.clone())?;
    let mut optimizer = Optimizer::new(spec.config()?);
    let mut parameters = Tree::new(case.under("in.param"), &device().autodiff())?;
    let mut outputs = Outputs::new();
    for step in 0..case.param("steps")? {
        let gradients = gradients(case, &format!("in.grad.{step}"))?;
        parameters = optimizer.step(parameters, gradients, spec.rates(step)?, &GradientRules::default());
        for (path, data) in named::collect(&parameters) {
            outputs.insert(format!("out.param.{step}.{path}"), array(&data));
        }
    }
    Ok(outputs)
}

fn clip_global_norm(case: &Case) -> Result<Outputs> {
    let mut gradients = gradients(case, "in.grad")?;
    let mut outputs = Outputs::new();
    if let Some(norm) = gradients.norm() {
        outputs.insert("out.norm".into(), loss_value(&norm));
    }
    gradients.clip_global(max_norm(case)?);
    outputs.extend(clipped(case, &gradients)?);
    Ok(outputs)
}

fn clip_per_parameter(case: &Case) -> Result<Outputs> {
    let mut gradients = gradients(case, "in.grad")?;
    gradients.clip_each(max_norm(case)?);
    clipped(case, &gradients)
}

fn max_norm(case: &Case) -> Result<f64> {
    let eps: f64 = case.param("eps")?;
    ensure!(eps == 1e-6, "eps is {eps}, expected 1e-6");
    Ok(case.param("max_norm")?)
}

fn gradients(case: &Case, prefix: &str) -> Result<Gradients> {
    let device = device();
    let mut gradients = Gradients::default();
    for (path, _) in case.under(prefix) {
        let (_, values) = case.f32(&format!("{prefix}.{path}"))?;
        gradients.insert(path, Tensor::from_floats(values, &device));
    }
    Ok(gradients)
}

fn clipped(case: &Case, gradients: &Gradients) -> Result<Outputs> {
    let mut outputs = Outputs::new();
    for (path, gradient) in gradients.iter() {
        let shape = case.tensor(&format!("in.grad.{path}"))?.shape.clone();
        outputs.insert(format!("out.grad.{path}"), shaped_array(shape, gradient));
    }
    Ok(outputs)
}

fn schedule_lr_step_warmup_cosine(case: &Case) -> Result<Outputs> {
    let (total, warmup) = (case.param("total_steps")?, case.param("warmup_steps")?);
    let (base, end) = (case.param("base_lr")?, case.param("final_lr")?);
    schedule(case, |t| warmup_cosine(t, total, warmup, base, end))
}

fn schedule_lr_linspace_cosine(case: &Case) -> Result<Outputs> {
    let (total, warmup) = (case.param("total_steps")?, case.param("warmup_steps")?);
    let (start, base, end) = (case.param("start_lr")?, case.param("base_lr")?, case.param("final_lr")?);
    schedule(case, |t| linspace_cosine(t, total, warmup, start, base, end))
}

fn schedule_ema_cosine(case: &Case) -> Result<Outputs> {
    let (total, base) = (case.param("total_steps")?, case.param("base")?);
    schedule(case, |t| momentum_cosine(t, total, base))
}

fn schedule_teacher_temp(case: &Case) -> Result<Outputs> {
    let warmup = case.param("warmup_epochs")?;
    let (start, end) = (case.param("warmup_temp")?, case.param("temp")?);
    schedule(case, |t| linear_warmup(t, warmup, start, end))
}

fn schedule_weight_decay_cosine(case: &Case) -> Result<Outputs> {
    let (total, start, end) = (case.param("total_steps")?, case.param("start")?, case.param("end")?);
    schedule(case, |t| cosine(t, total, start, end))
}

fn schedule(case: &Case, value: impl Fn(f64) -> f64) -> Result<Outputs> {
    let (shape, steps) = case.i64("in.step")?;
    let values = steps.iter().map(|&step| value(step as f64) as f32).collect();
    Ok(Outputs::from([("out.value".to_owned(), Array::f32(shape, values))]))
}
