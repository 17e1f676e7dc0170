//! One run in progress.

mod step;

use burn::module::Module;
use burn::tensor::Tensor;
use ssl_core::{Encoder, MethodRules, Progress, SslMethod};
use ssl_data::{Batches, DataError, TrainLoader};

use super::clock::Clock;
use super::{Summary, Trained, Trainer};
use crate::checkpoint::{Checkpoints, Meta, load_module, load_optimizer};
use crate::losses::Losses;
use crate::metrics::MetricsFile;
use crate::{Evaluator, Observer, Optimizer, TrainError};

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
        let mut metrics = match self.writes() {
            true => MetricsFile::open(&self.trainer.run.metrics(), self.at.step)?,
            false => MetricsFile::of_another_process(),
        };
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
