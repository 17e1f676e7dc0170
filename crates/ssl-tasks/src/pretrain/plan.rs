//! What a run will take, from its first steps, and what its user should know before it starts.

mod report;
mod text;

use std::collections::BTreeSet;
use std::time::Instant;

use burn::module::Module;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ssl_core::{ConfigError, Encoder, Init, Progress, SslMethod};
use ssl_encoders::AnyEncoder;
use ssl_files::free_space;
use ssl_train::{Evaluation, NoObserver, RunDir};

use report::planned;
pub use report::{PlanOptions, PlanReport, Planned};

use super::{
    Checks, Pretraining, Ready, built_in, existing, open_known, open_with, resume::Resumed, trainer,
};
use crate::evaluation::Taken;
use crate::memory;
use crate::methods::{Methods, WithMethod};
use crate::{Error, Recipe};

/// Says what a run will take and what its user should know before it starts: makes the checks of [`pretrain`](super::pretrain()),
/// takes a few steps with the images, and writes nothing.
///
/// A run that [cannot work](PlanReport::cannot_work) takes no steps.
///
/// # Errors
/// Those of [`pretrain`](super::pretrain()).
pub fn plan(methods: &impl Methods, recipe: &Recipe, options: &PlanOptions) -> Result<PlanReport, Error> {
    let recipe = recipe.clone().resolved_by(methods)?;
    plan_known(methods, recipe, options, built_in)
}

/// [`plan`] with a custom method, see [`pretrain_with`](super::pretrain_with).
///
/// # Errors
/// Those of [`pretrain_with`](super::pretrain_with).
pub fn plan_with<C, M>(
    methods: &impl Methods,
    defaults: C,
    build: impl FnOnce(&C) -> Result<M, ConfigError>,
    recipe: &Recipe,
    options: &PlanOptions,
) -> Result<PlanReport, Error>
where
    C: Serialize + DeserializeOwned,
    M: SslMethod<AnyEncoder>,
{
    let (mut observer, method) = (NoObserver, (defaults, build));
    let (method, run) = open_with(methods, method, (None, built_in), recipe, &options.run, &mut observer)?;
    WithMethod::<AnyEncoder>::run(Planning { run, steps: options.steps }, method)
}

/// [`plan`] with a custom encoder, see [`pretrain_encoder`](super::pretrain_encoder).
///
/// # Errors
/// Those of [`pretrain_encoder`](super::pretrain_encoder).
pub fn plan_encoder<E: Encoder>(
    methods: &impl Methods,
    name: &str,
    encoder: impl FnOnce(&mut Init) -> E,
    recipe: &Recipe,
    options: &PlanOptions,
) -> Result<PlanReport, Error> {
    let recipe = recipe.clone().resolved_for_encoder(name, methods)?;
    plan_known(methods, recipe, options, |_: &Recipe, init: &mut Init| Ok(encoder(init)))
}

/// [`plan`] with a custom method and a custom encoder, see [`pretrain_with_encoder`](super::pretrain_with_encoder).
///
/// # Errors
/// Those of [`pretrain_with_encoder`](super::pretrain_with_encoder).
pub fn plan_with_encoder<C, M, E>(
    methods: &impl Methods,
    method: (C, impl FnOnce(&C) -> Result<M, ConfigError>),
    (name, encoder): (&str, impl FnOnce(&mut Init) -> E),
    recipe: &Recipe,
    options: &PlanOptions,
) -> Result<PlanReport, Error>
where
    C: Serialize + DeserializeOwned,
    M: SslMethod<E>,
    E: Encoder,
{
    let mut observer = NoObserver;
    let make = |_: &Recipe, init: &mut Init| Ok::<E, Error>(encoder(init));
    let (method, run) = open_with(methods, method, (Some(name), make), recipe, &options.run, &mut observer)?;
    WithMethod::<E>::run(Planning { run, steps: options.steps }, method)
}

fn plan_known<E, F>(
    methods: &impl Methods,
    recipe: Recipe,
    options: &PlanOptions,
    make: F,
) -> Result<PlanReport, Error>
where
    E: Encoder,
    F: FnOnce(&Recipe, &mut Init) -> Result<E, Error>,
{
    let mut observer = NoObserver;
    let (name, method_options, run) = open_known(methods, recipe, &options.run, make, &mut observer)?;
    methods.with(&name, &method_options, Planning { run, steps: options.steps })?
}

struct Planning<'a, F> {
    run: Pretraining<'a, F>,
    steps: bool,
}

impl<E, F> WithMethod<E> for Planning<'_, F>
where
    E: Encoder,
    F: FnOnce(&Recipe, &mut Init) -> Result<E, Error>,
{
    type Output = Result<PlanReport, Error>;

    fn run<M: SslMethod<E>>(self, mut method: M) -> Result<PlanReport, Error> {
        let options = self.run.options;
        let out = &options.out;
        if !options.resume && !out.as_os_str().is_empty() {
            RunDir::check_new(out, existing(options.overwrite))?;
        }
        let ready = self.run.ready(&mut method)?;
        let mut report = ready.report();
        if self.steps && !report.cannot_work() {
            let checks = ready.this.checks(&method, ready.resumed.as_ref())?;
            report.measured = Some(ready.measure(&method, &checks, &report)?);
            report.add_shortage(free_space(out));
        }
        Ok(report)
    }
}

impl<E: Encoder> Ready<'_, E> {
    /// What is known before the first step.
    fn report(&self) -> PlanReport {
        let Self { this, estimate, encoder, loader, .. } = self;
        let (recipe, images, per_epoch) = (&this.recipe, &this.data.train, this.steps_per_epoch(loader));
        let steps = recipe.schedule.total_steps(per_epoch);
        let mut lines = vec![format!("images: {images}")];
        lines.extend(this.options.notes.iter().cloned());
        lines.extend(this.banner(encoder, loader, None));
        lines.extend(this.teacher.iter().map(ToString::to_string));
        let classes = images.labels().map(|labels| labels.iter().collect::<BTreeSet<_>>().len());
        PlanReport {
            method: recipe.method.clone(),
            recipe: this.options.recipe_name.clone(),
            model: recipe.encoder.name.clone(),
            images: images.len(),
            classes,
            views: recipe.views.iter().flat_map(|view| vec![view.size; view.count]).collect(),
            batch_size: recipe.schedule.batch_size,
            steps,
            steps_done: self.resumed.as_ref().map_or(0, Resumed::step),
            steps_per_epoch: per_epoch,
            parameters: Module::num_params(encoder),
            device: this.options.device.to_string(),
            expected_mem: estimate.as_ref().map(|found| found.bytes() as u64),
            free_disk: free_space(&this.options.out),
            checkpoints: recipe.checkpoint.count(steps, per_epoch),
            evaluations: evaluations(recipe, steps, per_epoch),
            measured: None,
            advice: self.advice.clone(),
            lines,
        }
    }

    /// Evaluates the encoder and takes a few steps as the run would.
    fn measure<M: SslMethod<E>>(
        self,
        method: &M,
        checks: &Checks,
        report: &PlanReport,
    ) -> Result<Planned, Error> {
        let Self { this, encoder, loader, .. } = self;
        let (start, untrained) = (Instant::now(), encoder.valid());
        checks.own.of(&untrained)?;
        let own = start.elapsed().as_secs_f64();
        let labelled = checks.labelled.as_ref().map(|sets| sets.rehearse(&untrained, checks.image_size));
        let labelled = labelled.transpose()?.unwrap_or_default();
        drop(untrained);
        let (config, run) = (this.recipe.train_config(), RunDir::unwritten(&this.options.out));
        let trainer = trainer(method, &config, &run, &this.device, this.options, "");
        // Once more, beside what the steps hold.
        let mut evaluator = |encoder: &E, _: Progress| {
            checks.own.of(encoder)?;
            checks
                .labelled
                .as_ref()
                .filter(|_| labelled.is_whole)
                .map(|sets| sets.of(encoder))
                .transpose()?;
            Ok(Evaluation::new())
        };
        let found = trainer.rehearse(encoder, &loader, &mut evaluator)?;
        let seen = (found.steps + found.warm_up) as f64 * config.schedule.batch_size as f64;
        let unseen = (1.0 - seen / loader.dataset().len() as f64).max(0.0);
        let to_come = labelled.to_come + memory::kept_images(loader.dataset()) * unseen;
        let peak = memory::peak_in(&this.options.group).map(|peak| peak + to_come as u64);
        let evaluation = Taken { seconds: own + labelled.seconds, ..labelled };
        Ok(planned(&found, &evaluation, peak, this.recipe.checkpoint.keep, report))
    }
}

/// How often a run of `steps` steps is evaluated: before the first, every few epochs, and at the end.
fn evaluations(recipe: &Recipe, steps: u64, steps_per_epoch: u64) -> u64 {
    match recipe.eval.every_epochs.saturating_mul(steps_per_epoch) {
        0 => 2,
        every => 1 + steps.div_ceil(every),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::testing::recipe;

    #[test]
    fn evaluations_are_counted_as_the_run_makes_them() {
        let mut recipe = recipe("simclr/cifar10");
        let mut count = |every, steps| {
            recipe.eval.every_epochs = every;
            evaluations(&recipe, steps, 10)
        };
        assert_eq!(
            (count(0, 100), count(10, 100), count(3, 100), count(3, 90), count(50, 5)),
            (2, 2, 5, 4, 2)
        );
    }
}
