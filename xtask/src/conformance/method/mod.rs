//! Training trajectories: a few steps of a method, from given initial values over given views.
//!
//! The method is made as any caller makes it, from its configuration by `build` and `init`, so its own heads, teacher and
//! schedules are compared with the case.

mod barlow_twins;
mod byol;
mod dcl;
mod dino;
mod dinov2;
mod distill;
pub(super) mod group;
mod ibot;
mod ijepa;
mod lejepa;
mod mae;
mod masks;
mod moco;
mod moco_v3;
mod msn;
mod nnclr;
mod params;
mod simclr;
mod simmim;
mod simsiam;
mod start;
mod sup_con;
mod swav;
mod teacher_temperatures;
mod tico;
mod vicreg;

use anyhow::{Result, ensure};
use burn::module::Module;
use burn::tensor::Tensor;
use ssl_core::{Draws, MethodRules, Progress, SslMethod, StepContext, Views, named};
use ssl_encoders::AnyEncoder;
use ssl_testing::tensors::{array, data, device, loss_value, tensor};
use ssl_testing::{Case, Outputs, Values};
use ssl_train::{Gradients, Optimizer};

use super::Op;
use super::modules::gradient_arrays;
use params::Params;
use start::{start, state_name, student_name};

pub(super) const OPS: &[(&str, Op)] = &[
    ("simclr", simclr::v1),
    ("simclr_v2", simclr::v2),
    ("dcl", dcl::run),
    ("dclw", dcl::weighted),
    ("moco_v1", moco::v1),
    ("moco_v2", moco::v2),
    ("moco_v3", moco_v3::run),
    ("nnclr", nnclr::run),
    ("byol", byol::run),
    ("simsiam", simsiam::run),
    ("sup_con", sup_con::run),
    ("swav", swav::run),
    ("dino", dino::run),
    ("distill", distill::run),
    ("ibot", ibot::run),
    ("dinov2", dinov2::run),
    ("mae", mae::run),
    ("ijepa", ijepa::run),
    ("simmim", simmim::run),
    ("msn", msn::run),
    ("barlow_twins", barlow_twins::run),
    ("vicreg", vicreg::run),
    ("tico", tico::run),
    ("lejepa", lejepa::run),
];

/// Runs the steps of a case in the order of [`SslMethod`]'s documentation.
///
/// - `check`: checks that the student that the method makes is that of the case
/// - `method_at`: the method with the constants of a step, and the point in the run that represents this step
fn trajectory<M: SslMethod<AnyEncoder>>(
    case: &Case,
    params: &Params,
    check: impl Fn(&M::Student) -> Result<()>,
    method_at: impl Fn(usize) -> Result<(M, Progress)>,
) -> Result<Outputs> {
    let (mut student, mut state) = start(case, params, &method_at(0)?.0, check)?;
    let mut optimizer = Optimizer::new(params.optimizer.config()?);
    let mut outputs = Outputs::new();
    let group = group::current();
    for t in 0..params.steps {
        let (method, at) = method_at(t)?;
        let rules = method.gradient_rules(at);
        params.expect_rules(t, &rules, &student)?;
        (student, state) = method.before_step(student, state, at);
        let context = StepContext { draws: draws(case, t)?, ..StepContext::new(0, at, 0) };
        let context = context.with_group(group.clone()).with_sync_batch_norm(true);
        let views = group::share(views(case, params, &method, t)?, &group);
        let step = method.loss(&student, &state, &views, &context);
        let mut gradients = Gradients::of(step.loss.backward(), &student);
        let loss = group::reduce(step.loss, step.loss_of, &mut gradients, &group);
        outputs.insert(format!("loss.{t}"), loss_value(&loss));
        for (path, array) in gradient_arrays(&gradients, &student)? {
            outputs.insert(format!("grad.{t}.{}", student_name(&path)), array);
        }
        if let Some(max_norm) = params.clip_per_parameter {
            gradients.clip_each(max_norm);
        }
        if let Some(clip) = &params.clip_groups {
            gradients.clip_groups(&clip.groups(), clip.max_norm);
        }
        gradients.drop_frozen(&rules);
        state = method.absorb(state, step.carry);
        student = optimizer.step(student, gradients, params.optimizer.rates(t)?, &rules);
        state = method.after_step(&student, state, at);
    }
    outputs.extend(ends(&student, &state));
    Ok(outputs)
}

/// The tensors of student and state after the last step.
fn ends(student: &impl Module, state: &impl Module) -> Outputs {
    let of_student = named::collect(student)
        .into_iter()
        .map(|(path, data)| (format!("final.student.{}", student_name(&path)), array(&data)));
    let of_state = named::collect(state)
        .into_iter()
        .map(|(path, data)| (format!("final.{}", state_name(&path)), array(&data)));
    of_student.chain(of_state).collect()
}

/// What a trainer draws and a case provides: `aux.<step>.<name of the draw>`.
fn draws(case: &Case, step: usize) -> Result<Draws> {
    let prefix = format!("aux.{step}");
    let mut draws = Draws::given::<&str>([]);
    for (name, array) in case.under(&prefix).filter(|(name, _)| !masks::NAMES.contains(name)) {
        draws = match &array.values {
            Values::F32(numbers) => draws.with_numbers(name, numbers.clone()),
            _ => {
                let (_, places) = case.i64(&format!("{prefix}.{name}"))?;
                let places = places.iter().map(|&place| usize::try_from(place)).collect::<Result<_, _>>()?;
                draws.with_places(name, places)
            }
        };
    }
    Ok(draws)
}

fn views(case: &Case, params: &Params, method: &impl MethodRules, step: usize) -> Result<Views> {
    let needs = method.needs();
    ensure!(
        params.views == needs.global_views || (params.views > needs.global_views && needs.local_views),
        "{} views for a method that needs {needs:?}",
        params.views
    );
    let crops = (0..params.views).map(|view| tensor::<4>(case, &format!("views.{step}.{view}")));
    let labels = case.tensor(&format!("labels.{step}")).ok().map(data);
    ensure!(labels.is_some() == needs.labels, "labels are {labels:?} for a method that needs {needs:?}");
    let device = device();
    let labels = labels.map(|labels| Tensor::from_data(labels, &device));
    let masks = masks::of(case, &needs, step)?;
    Ok(Views { labels, masks, ..Views::new(crops.collect::<Result<_, _>>()?, needs.global_views) })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use ssl_testing::cases_dir;

    use super::*;

    /// What is said to a case with other parameters.
    fn refused(name: &str, change: impl Fn(&mut Value)) -> String {
        let path = cases_dir().join(format!("{name}.safetensors"));
        let mut case = Case::read(&path).expect("a case of the repository");
        change(&mut case.params);
        let (_, op) = OPS.iter().find(|(op, _)| *op == case.op).expect("an implementation");
        format!("{:#}", op(&case).expect_err("another trajectory"))
    }

    #[test]
    fn a_head_that_the_method_does_not_build_is_refused() {
        let error = refused("method.simclr.sgd", |params| params["projector"][0]["act"] = json!("gelu"));
        assert!(error.starts_with("the method builds a projector of layers"), "{error}");
        let error = refused("method.byol.sgd", |params| params["predictor"][1]["bias"] = json!(true));
        assert!(error.starts_with("the method builds a predictor of layers"), "{error}");
        let error = refused("method.dino.resnet_sgd", |params| {
            params["head"]["layers"][1]["norm"] = json!("affine");
        });
        assert!(error.starts_with("the method builds a head of layers"), "{error}");
        let error = refused("method.simclr.sgd", |params| params["projector"][0]["in"] = json!(3));
        assert!(error.starts_with("'init.projector.0.linear.weight' has shape [16, 16]"), "{error}");
    }

    #[test]
    fn a_parameter_that_the_method_does_not_read_is_refused() {
        let error = refused("method.simclr.sgd", |params| params["shuffle"] = json!(true));
        assert_eq!(error, "the case has a parameter 'shuffle', which this method does not read");
        let error = refused("method.byol.sgd", |params| params["loss"]["temperature"] = json!(1.0));
        assert_eq!(error, "the loss has a parameter 'temperature', which this method does not read");
    }

    #[test]
    fn exceptions_for_parameters_that_the_method_does_not_make_are_refused() {
        let error =
            refused("method.moco_v3.vit_adamw", |params| params["frozen"][1] = json!("encoder.norm."));
        assert_eq!(error, "at step 0 'encoder.norm.bias' is frozen: false, expected true");
        let error = refused("method.simsiam.fix_pred_lr", |params| {
            params["optimizer"]["lr_groups"] = json!({});
        });
        assert!(error.contains("keeps its learning rate: true, expected false"), "{error}");
    }
}
