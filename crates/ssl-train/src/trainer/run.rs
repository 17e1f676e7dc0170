//! One run in progress.

use burn::module::Module;
use burn::tensor::Tensor;
use ssl_core::{Encoder, LossOf, MethodRules, Metrics, Progress, SslMethod, StepContext, Views, group};
use ssl_data::{Batch, Batches, DataError, TrainLoader};
use tracing::info;

use super::clock::Clock;
use super::readings::means;
use super::views::views;
use super::{Summary, Trained, Trainer};
use crate::checkpoint::{Checkpoints, Meta, load_module, load_optimizer};
use crate::losses::Losses;
use crate::metrics::MetricsFile;
use crate::{
    Evaluator, Gradients, MicroBatch, Observer, Optimizer, Rates, StepReport, TrainError, in_chunks,
};

/// Steps between two rows of the metrics file where the configuration leaves it open (our choice).
const LOG_EVERY: u64 = 10;

/// What changes in a run besides the networks, which are moved by value so that state is written in place.
pub(super) struct Run<'a, M> {
    trainer: &'a Trainer<'a, M>,
    optimizer: Optimizer,
    checkpoints: Checkpoints,
    at: Progress,
    clock: Clock,
    losses: Losses,
    untrained: Vec<(String, f64)>,
    evaluation: Vec<(String, f64)>,
}

/// The two modules of a method.
pub(super) struct Networks<S, T> {
    pub(super) student: S,
    pub(super) state: T,
}

/// What is told of a run.
pub(super) struct Observers<'a, V, O> {
    pub(super) evaluator: &'a mut V,
    pub(super) observer: &'a mut O,
}

/// What the metrics of a step are made of.
struct StepOutcome {
    /// What the method offered in each micro-batch, where a row is due.
    metrics: Vec<Metrics>,
    grad_norm: Option<Tensor<1>>,
    rates: Rates,
}

impl<'a, M: MethodRules> Run<'a, M> {
    pub(super) fn new(trainer: &'a Trainer<'a, M>, loader: &TrainLoader) -> Result<Self, TrainError> {
        let config = trainer.config;
        let steps_per_epoch = (loader.batches_per_epoch() / config.batch.accumulate) as u64;
        if steps_per_epoch == 0 {
            let (batch_size, images) = (config.schedule.batch_size, loader.dataset().len());
            return Err(DataError::BatchTooLarge { batch_size, images }.into());
        }
        let total_steps = config.schedule.total_steps(steps_per_epoch);
        Ok(Self {
            trainer,
            optimizer: Optimizer::new(config.optimizer.clone()),
            checkpoints: Checkpoints::of(trainer.run),
            at: Progress { step: 0, total_steps, steps_per_epoch },
            clock: Clock::new(0.0),
            losses: Losses::default(),
            untrained: Vec::new(),
            evaluation: Vec::new(),
        })
    }

    /// Goes back to the newest checkpoint, if there is one.
    pub(super) fn restore<S: Module, T: Module>(
        &mut self,
        networks: Networks<S, T>,
    ) -> Result<Networks<S, T>, TrainError> {
        let Some((folder, meta)) = self.checkpoints.newest()? else { return Ok(networks) };
        if meta.steps_per_epoch != self.at.steps_per_epoch {
            let reason = format!(
                "it has {} steps per epoch and this run {}: expected the same data and batch size",
                meta.steps_per_epoch, self.at.steps_per_epoch
            );
            return Err(TrainError::Meta { path: folder.join("meta.json"), reason });
        }
        load_optimizer(&folder, &mut self.optimizer, self.trainer.device)?;
        self.at.step = meta.step;
        self.losses = Losses::restored(meta.epoch_loss);
        self.untrained = meta.untrained;
        self.clock = Clock::new(meta.seconds);
        Ok(Networks {
            student: load_module(&folder, "student", networks.student)?,
            state: load_module(&folder, "state", networks.state)?,
        })
    }

    pub(super) fn finish<E: Encoder>(
        mut self,
        mut networks: Networks<M::Student, M::State>,
        loader: &TrainLoader,
        observers: &mut Observers<'_, impl Evaluator<E>, impl Observer>,
    ) -> Result<Trained<M::Student, M::State>, TrainError>
    where
        M: SslMethod<E>,
    {
        let mut metrics = MetricsFile::open(&self.trainer.run.metrics(), self.at.step)?;
        observers.observer.on_start(self.at);
        if self.at.step == 0 {
            self.untrained = self.evaluate(&networks, observers, &mut metrics)?;
        }
        let mut batches = self.batches(loader)?;
        let mut stopped = false;
        self.clock.skip();
        while self.at.step < self.at.total_steps && !stopped {
            if self.at.step.is_multiple_of(self.at.steps_per_epoch) {
                self.losses.begin_epoch();
            }
            let (next, done) = self.step(networks, &mut batches)?;
            networks = next;
            self.report(done, observers.observer, &mut metrics)?;
            stopped = self.any(observers.observer.stop());
            self.between_steps(&networks, stopped, observers, &mut metrics)?;
        }
        let summary = self.summary();
        Ok(Trained { student: networks.student, state: networks.state, summary })
    }

    /// The loader's batches from the current step on, without those that do not fill a step at the end of an epoch.
    fn batches(
        &self,
        loader: &TrainLoader,
    ) -> Result<impl Iterator<Item = <Batches as Iterator>::Item> + use<M>, TrainError> {
        let accumulate = self.trainer.config.batch.accumulate;
        let first = (self.at.step % self.at.steps_per_epoch) as usize * accumulate;
        let used = self.at.steps_per_epoch as usize * accumulate;
        let batches = loader.batches(self.at.epoch(), first)?;
        Ok(batches.filter(move |batch| batch.as_ref().map_or(true, |batch| batch.index < used)))
    }

    /// One optimizer step, in the order that [`SslMethod`] states.
    fn step<E: Encoder>(
        &mut self,
        networks: Networks<M::Student, M::State>,
        batches: &mut impl Iterator<Item = Result<Batch, DataError>>,
    ) -> Result<(Networks<M::Student, M::State>, StepOutcome), TrainError>
    where
        M: SslMethod<E>,
    {
        let (method, config, at) = (self.trainer.method, self.trainer.config, self.at);
        let accumulate = config.batch.accumulate;
        let group = &self.trainer.group;
        let (student, mut state) = method.before_step(networks.student, networks.state, at);
        let mut gradients = Gradients::default();
        let mut metrics = Vec::new();
        for micro_batch in 0..accumulate {
            let batch = batches.next().expect("the loader goes on through the epochs without an end")?;
            let views =
                views(batch, &method.needs(), config.micro_batch() / group.size(), self.trainer.device)?;
            self.clock.data_is_here();
            let context = StepContext::new(config.seed, at, micro_batch);
            let context = context.with_group(group.clone(), config.sync_batch_norm);
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
        let student = self.optimizer.step(student, gradients, rates, &rules);
        let state = method.after_step(&student, state, at);
        Ok((Networks { student, state }, StepOutcome { metrics, grad_norm, rates }))
    }

    /// Forward and backward pass of a micro-batch, and what it leaves for the state.
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
            let done = in_chunks(loss, student, &state, views, chunk, context);
            return (state, done);
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

    /// The error of a loss that is not finite at this step.
    fn not_finite(&self) -> impl FnOnce(f64) -> TrainError + use<M> {
        let step = self.at.step;
        move |loss| TrainError::NotFinite { step, loss }
    }

    /// Whether a process of the group says yes.
    fn any(&self, here: bool) -> bool {
        let group = &self.trainer.group;
        if group.is_solo() {
            return here;
        }
        let vote = Tensor::from_floats([if here { 1.0 } else { 0.0 }], self.trainer.device);
        group.all_reduce_sum(vote).into_scalar::<f32>() > 0.0
    }

    /// Whether this process writes the files of the run.
    fn writes(&self) -> bool {
        self.trainer.group.rank() == 0
    }

    /// Counts the step, reads the loss and writes a row of metrics if one is due.
    fn report(
        &mut self,
        done: StepOutcome,
        observer: &mut impl Observer,
        metrics: &mut MetricsFile,
    ) -> Result<(), TrainError> {
        let logged = self.is_logged();
        let epoch = self.at.epoch();
        self.at.step += 1;
        let mut report = StepReport { at: self.at, loss: None, lr: done.rates.lr, images_per_s: 0.0 };
        if logged {
            let loss = self.losses.read(self.not_finite())?;
            self.clock.step_is_done();
            let averages = self.clock.averages();
            report.loss = Some(loss);
            report.images_per_s = self.trainer.config.schedule.batch_size as f64 / averages.step_time;
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
            if self.writes() {
                metrics.write(self.at.step, epoch, &values)?;
            }
            if self.at.step.is_multiple_of(self.at.steps_per_epoch) {
                let (done, speed) = (self.at.epoch(), report.images_per_s);
                info!("epoch {done}: loss {loss:.4}, {speed:.0} images/s");
            }
            self.clock.skip();
        } else {
            self.clock.step_is_done();
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

    /// Evaluation and checkpoint, where they are due.
    fn between_steps<E: Encoder>(
        &mut self,
        networks: &Networks<M::Student, M::State>,
        stopped: bool,
        observers: &mut Observers<'_, impl Evaluator<E>, impl Observer>,
        metrics: &mut MetricsFile,
    ) -> Result<(), TrainError>
    where
        M: SslMethod<E>,
    {
        let (step, last) = (self.at.step, self.at.step == self.at.total_steps);
        let config = self.trainer.config;
        if last || stopped || config.checkpoint.is_due(step, self.at.steps_per_epoch) {
            self.save(networks)?;
        }
        let period = config.eval_every_epochs * self.at.steps_per_epoch;
        if last || (period > 0 && step.is_multiple_of(period)) {
            self.evaluation = self.evaluate(networks, observers, metrics)?;
        }
        self.clock.skip();
        Ok(())
    }

    fn evaluate<E: Encoder>(
        &self,
        networks: &Networks<M::Student, M::State>,
        observers: &mut Observers<'_, impl Evaluator<E>, impl Observer>,
        metrics: &mut MetricsFile,
    ) -> Result<Vec<(String, f64)>, TrainError>
    where
        M: SslMethod<E>,
    {
        if !self.writes() {
            return Ok(Vec::new());
        }
        let encoder = self.trainer.method.encoder(&networks.student, &networks.state).valid();
        let found = observers.evaluator.evaluate(&encoder, self.at).map_err(TrainError::Evaluation)?;
        if !found.is_empty() {
            metrics.write(self.at.step, self.at.epoch(), &found)?;
            observers.observer.on_evaluation(self.at, &found);
        }
        Ok(found.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    fn save<S: Module, T: Module>(&mut self, networks: &Networks<S, T>) -> Result<(), TrainError> {
        self.losses.read(self.not_finite())?;
        if !self.writes() {
            return Ok(());
        }
        let meta = Meta {
            step: self.at.step,
            steps_per_epoch: self.at.steps_per_epoch,
            epoch_loss: self.losses.epoch(),
            seconds: self.clock.seconds(),
            untrained: self.untrained.clone(),
        };
        let keep = self.trainer.config.checkpoint.keep;
        self.checkpoints.save(&networks.student, &networks.state, &self.optimizer, &meta, keep)
    }

    fn summary(self) -> Summary {
        let images = self.at.step as f64 * self.trainer.config.schedule.batch_size as f64;
        Summary {
            steps: self.at.step,
            epochs: self.at.epoch(),
            seconds: self.clock.seconds(),
            train_loss: self.losses.mean(),
            images_per_s: images / self.clock.seconds().max(f64::MIN_POSITIVE),
            finished: self.at.step == self.at.total_steps,
            untrained: self.untrained,
            evaluation: self.evaluation,
        }
    }
}
