//! One step of a run, and its report.

use std::path::PathBuf;

use burn::tensor::Tensor;
use ssl_core::{Encoder, LossOf, MethodRules, Metrics, SslMethod, StepContext, Views, group};
use ssl_data::{Batch, DataError};
use tracing::info;

use super::super::readings::means;
use super::super::views::views;
use super::{Networks, Run};
use crate::metrics::MetricsFile;
use crate::{
    Gradients, MicroBatch, Observer, Rates, RunDir, StepReport, TrainError, in_chunks,
    newest_intact_checkpoint,
};

/// Steps between two rows of the metrics file if the configuration does not say (our choice).
const LOG_EVERY: u64 = 10;

/// The parts of a step's metrics.
pub(super) struct StepOutcome {
    /// What the method offered in each micro-batch, where a row is due.
    metrics: Vec<Metrics>,
    grad_norm: Option<Tensor<1>>,
    rates: Rates,
}

/// The networks after a step, and its results.
type Stepped<S, T> = Result<(Networks<S, T>, StepOutcome), TrainError>;

impl<M: MethodRules> Run<'_, M> {
    /// One optimizer step, in the order documented at [`SslMethod`].
    pub(super) fn step<E: Encoder>(
        &mut self,
        networks: Networks<M::Student, M::State>,
        batches: &mut impl Iterator<Item = Result<Batch, DataError>>,
    ) -> Stepped<M::Student, M::State>
    where
        M: SslMethod<E>,
    {
        let (method, config, at) = (self.trainer.method, self.trainer.config, self.scheduled());
        let accumulate = config.batch.accumulate;
        let group = &self.trainer.group;
        let (student, mut state) = method.before_step(networks.student, networks.state, at);
        let mut gradients = Gradients::default();
        let mut metrics = Vec::new();
        for micro_batch in 0..accumulate {
            let batch = batches.next().expect("the loader never ends")?;
            let views =
                views(batch, &method.needs(), config.micro_batch() / group.size(), self.trainer.device)?;
            self.clock.data_is_here();
            let context = StepContext::new(config.seed, at, micro_batch);
            let context = context.with_group(group.clone()).with_sync_batch_norm(config.batch.sync_bn);
            let context = context.with_images(views.batch());
            let (next, done) = self.micro_batch(&student, state, &views, &context);
            state = next;
            gradients.add(done.gradients);
            self.losses.push(done.loss);
            if self.is_logged() {
                metrics.push(done.metrics);
            }
        }
        if accumulate > 1 {
            gradients.scale(1.0 / accumulate as f64);
        }
        gradients.all_reduce(group);
        let grad_norm = self.is_logged().then(|| gradients.norm()).flatten();
        let rules = method.gradient_rules(at);
        gradients.clip(&config.optimizer);
        gradients.drop_frozen(&rules);
        let rates = config.schedule.rates(&config.optimizer, at);
        let mut student = self.optimizer.step(student, gradients, rates, &rules);
        let mut state = method.after_step(&student, state, at);
        if !config.batch.sync_bn {
            student = group::average_statistics(student, group);
            state = group::average_statistics(state, group);
        }
        Ok((Networks { student, state }, StepOutcome { metrics, grad_norm, rates }))
    }

    /// Forward and backward pass of a micro-batch, with what it carries over to the state.
    fn micro_batch<E: Encoder>(
        &self,
        student: &M::Student,
        state: M::State,
        views: &Views,
        context: &StepContext,
    ) -> (M::State, MicroBatch)
    where
        M: SslMethod<E>,
    {
        let (method, chunk) = (self.trainer.method, self.trainer.config.batch.embed_chunk);
        if let Some((loss, chunk)) = method.embedding_loss().zip(chunk) {
            let (done, carry) = in_chunks(loss, student, &state, views, chunk, context);
            return (method.absorb(state, carry), done);
        }
        let step = method.loss(student, &state, views, context);
        let mut gradients = Gradients::of(step.loss.backward(), student);
        let mut loss = step.loss.without_autodiff();
        if step.loss_of == LossOf::Share && !context.group.is_solo() {
            gradients.scale(1.0 / context.group.size() as f64);
            loss = group::mean(loss, &context.group);
        }
        (method.absorb(state, step.carry), MicroBatch { loss, metrics: step.metrics, gradients })
    }

    /// Counts the step, reads the loss and writes a row of metrics if one is due.
    pub(super) fn report(
        &mut self,
        done: StepOutcome,
        observer: &mut dyn Observer,
        metrics: &mut MetricsFile,
    ) -> Result<(), TrainError> {
        let logged = self.is_logged();
        self.at.step += 1;
        let lr = done.rates.lr;
        let mut report = StepReport { at: self.at, loss: None, lr, images_per_s: 0.0, data_share: None };
        if logged {
            let loss = self.losses.read(self.not_finite())?;
            self.clock.step_is_done(self.trainer.group.traffic());
            let averages = self.clock.averages();
            report.loss = Some(loss);
            report.images_per_s = self.trainer.config.schedule.batch_size as f64 / averages.step_time;
            report.data_share = Some(averages.data_time / averages.step_time.max(f64::MIN_POSITIVE));
            let read =
                |tensor: Option<Tensor<1>>| tensor.map_or(f64::NAN, |t| f64::from(t.into_scalar::<f32>()));
            let mut values = vec![
                ("train_loss", loss),
                ("lr", done.rates.lr),
                ("weight_decay", done.rates.weight_decay),
                ("grad_norm", read(done.grad_norm)),
            ];
            values.extend(means(done.metrics, &self.trainer.group, self.trainer.device));
            values.extend([
                ("images_per_s", report.images_per_s),
                ("data_time", averages.data_time),
                ("step_time", averages.step_time),
            ]);
            if !self.trainer.group.is_solo() {
                let [calls, bytes, gathered, seconds] = averages.comm;
                values.extend([("comm_calls", calls), ("comm_bytes", bytes)]);
                values.extend([("comm_gathered", gathered), ("comm_time", seconds)]);
            }
            self.trainer.run.check_there()?;
            // Like an evaluation's row after the same step.
            metrics.write(self.at.step, self.at.epoch(), &values)?;
            self.examine(&values, observer, metrics)?;
            if self.at.step.is_multiple_of(self.at.steps_per_epoch) {
                let (done, speed) = (self.at.epoch(), report.images_per_s);
                info!("epoch {done}: loss {:.4}, {speed:.0} images/s", self.losses.mean());
            }
            self.clock.skip(self.trainer.group.traffic());
        } else {
            self.clock.step_is_done(self.trainer.group.traffic());
        }
        observer.on_step(&report);
        Ok(())
    }

    /// Whether the step in progress gets a row of metrics: every `log_every` steps, and the last of an epoch or run.
    fn is_logged(&self) -> bool {
        let every = match self.trainer.config.log_every {
            0 => LOG_EVERY,
            every => every,
        };
        let step = self.at.step + 1;
        step.is_multiple_of(every)
            || step.is_multiple_of(self.at.steps_per_epoch)
            || step == self.at.total_steps
    }

    /// The error of a loss that is not finite at this step.
    pub(super) fn not_finite(&self) -> impl FnOnce(f64) -> TrainError + use<M> {
        let (step, run) = (self.at.step, self.trainer.run.clone());
        move |loss| TrainError::NotFinite { step, loss, last_good: last_good(&run) }
    }
}

/// The newest intact checkpoint, for an error about what came after it.
pub(super) fn last_good(run: &RunDir) -> Option<PathBuf> {
    Some(newest_intact_checkpoint(run).ok()??.folder().to_owned())
}
