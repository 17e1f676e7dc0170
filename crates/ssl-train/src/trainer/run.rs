//! One run in progress.

mod agree;
mod data;
mod examine;
mod rehearsal;
mod save;
mod step;

use burn::module::Module;
use ssl_core::{Encoder, MethodRules, Progress, SslMethod};
use ssl_data::{Batches, DataError, Dataset, TrainLoader};
use tracing::{info, warn};

pub use self::rehearsal::Rehearsal;
use super::clock::Clock;
use super::{Summary, Trained, Trainer};
use crate::checkpoint::{Checkpoints, DataMark, IntactCheckpoint};
use crate::losses::Losses;
use crate::metrics::{MetricsFile, OF_LENGTH};
use crate::{Evaluator, Observer, Optimizer, TrainError, newest_intact_checkpoint};

/// What changes in a run besides the networks, which are moved by value so that their state is updated in place.
pub(super) struct Run<'a, M> {
    trainer: &'a Trainer<'a, M>,
    optimizer: Optimizer,
    checkpoints: Checkpoints,
    at: Progress,
    clock: Clock,
    losses: Losses,
    untrained: Vec<(String, f64)>,
    evaluation: Vec<(String, f64)>,
    data: DataMark,
    /// Hashes of the images that the processes of the group have told each other.
    shared: Vec<u64>,
}

/// The two modules of a method.
pub(super) struct Networks<S, T> {
    pub(super) student: S,
    pub(super) state: T,
}

/// The figures and outputs of a run.
pub(super) struct Observers<'a, E> {
    pub(super) evaluator: &'a mut dyn Evaluator<E>,
    pub(super) observer: &'a mut dyn Observer,
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
            data: DataMark::of(loader.dataset()),
            shared: Vec::new(),
        })
    }

    /// Loads the newest intact checkpoint, if there is one.
    pub(super) fn restore<S: Module, T: Module>(
        &mut self,
        networks: Networks<S, T>,
        data: &Dataset,
    ) -> Result<Networks<S, T>, TrainError> {
        let Some(checkpoint) = newest_intact_checkpoint(self.trainer.run)? else {
            self.check_without_result()?;
            if self.writes() {
                info!("the run was stopped before its first checkpoint: it starts over");
            }
            return Ok(networks);
        };
        if self.writes() {
            self.tell(&checkpoint);
        }
        self.check_fits(&checkpoint, data)?;
        if self.writes() {
            info!("{}", self.place(checkpoint.step()));
        }
        self.checkpoints.set_aside(checkpoint.damaged());
        let networks = Networks {
            student: checkpoint.student(networks.student)?,
            state: checkpoint.state(networks.state)?,
        };
        let (tensors, path) = checkpoint.tensors("optimizer")?;
        let loaded = self.optimizer.load_state_of(&networks.student, tensors, self.trainer.device);
        loaded.map_err(|reason| TrainError::Checkpoint { path, reason })?;
        let meta = checkpoint.meta();
        if !self.trainer.group.is_solo() {
            self.shared = checkpoint.image_hashes()?; // all processes have read them
        }
        self.at.step = meta.step;
        self.losses = Losses::restored(meta.epoch_loss);
        self.untrained = meta.untrained.clone();
        self.clock = Clock::new(meta.seconds);
        Ok(networks)
    }

    /// Fails if the run, which has no checkpoint, has a result: starting over would empty its metrics, and replace it.
    pub(super) fn check_without_result(&self) -> Result<(), TrainError> {
        let run = self.trainer.run;
        match [run.encoder(), run.classifier()].into_iter().find(|result| result.is_file()) {
            Some(result) => Err(TrainError::NothingToGoOnFrom { result, checkpoints: run.checkpoints() }),
            None => Ok(()),
        }
    }

    /// Logs what is unusual about a checkpoint.
    fn tell(&self, checkpoint: &IntactCheckpoint) {
        let (folder, step) = (checkpoint.folder().display(), checkpoint.step());
        for damaged in checkpoint.damaged() {
            warn!("{damaged}; going on from {folder}, of step {step}");
        }
        if !checkpoint.meta().checksums {
            info!("{folder} is from an earlier version without checksums: it is taken as it is");
        }
    }

    /// The current step as schedules see it.
    fn scheduled(&self) -> Progress {
        let Progress { step, steps_per_epoch, .. } = self.at;
        let total_steps = self.trainer.config.schedule.span(step, steps_per_epoch);
        Progress { total_steps, ..self.at }
    }

    /// Writes a row if the length of the run was changed at the current step.
    fn note_length(&self, metrics: &mut MetricsFile) -> Result<(), TrainError> {
        let Progress { step, steps_per_epoch, .. } = self.at;
        let change = self.trainer.config.schedule.length_change(step, steps_per_epoch);
        let Some([before, now]) = change.map(|steps| steps.map(|steps| steps as f64)) else { return Ok(()) };
        let per_epoch = steps_per_epoch as f64;
        let values = [
            ("total_steps_before", before),
            (OF_LENGTH, now),
            ("total_epochs_before", before / per_epoch),
            ("total_epochs", now / per_epoch),
        ];
        metrics.write(step, self.at.epoch(), &values)
    }

    /// Where a resumed run is.
    fn place(&self, step: u64) -> String {
        let Progress { total_steps, steps_per_epoch, .. } = self.at;
        if step >= total_steps {
            return format!("the run is finished: all {total_steps} steps are done");
        }
        let epoch = step / steps_per_epoch + 1;
        format!("the run goes on after step {step} of {total_steps}, in epoch {epoch}")
    }

    pub(super) fn finish<E: Encoder>(
        mut self,
        mut networks: Networks<M::Student, M::State>,
        loader: &TrainLoader,
        observers: &mut Observers<'_, E>,
    ) -> Result<Trained<M::Student, M::State>, TrainError>
    where
        M: SslMethod<E>,
    {
        let mut metrics = match self.writes() {
            true => MetricsFile::open(&self.trainer.run.metrics(), self.at.step)?,
            false => MetricsFile::of_another_process(),
        };
        self.expect_same_run(&networks)?;
        observers.observer.on_start(self.at);
        if self.at.step == 0 {
            self.untrained = self.evaluate(&networks, observers, &mut metrics)?;
        } else if self.is_evaluated() && self.first_says(!metrics.has_evaluation(self.at.step)) {
            // The run was killed between a checkpoint and its evaluation.
            self.evaluation = self.evaluate(&networks, observers, &mut metrics)?;
        }
        self.note_length(&mut metrics)?;
        let mut batches = self.batches(loader)?;
        let mut stopped = false;
        self.clock.skip(self.trainer.group.traffic());
        while self.at.step < self.at.total_steps && !stopped {
            if self.at.step.is_multiple_of(self.at.steps_per_epoch) {
                self.losses.begin_epoch();
            }
            let (next, done) = self.step(networks, &mut batches)?;
            networks = next;
            self.check_unchanged(loader.dataset())?;
            self.report(done, observers.observer, &mut metrics)?;
            self.note_length(&mut metrics)?;
            stopped = self.any(observers.observer.stop());
            if !self.trainer.group.is_solo() {
                self.clock.step_goes_on(self.trainer.group.traffic());
            }
            self.between_steps(&networks, stopped, loader.dataset(), observers, &mut metrics)?;
        }
        let summary = self.summary();
        Ok(Trained { student: networks.student, state: networks.state, summary })
    }

    /// The loader's batches from the current step on, without those at the end of an epoch that do not fill a step.
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

    /// Evaluates and writes a checkpoint where these are due.
    fn between_steps<E: Encoder>(
        &mut self,
        networks: &Networks<M::Student, M::State>,
        stopped: bool,
        data: &Dataset,
        observers: &mut Observers<'_, E>,
        metrics: &mut MetricsFile,
    ) -> Result<(), TrainError>
    where
        M: SslMethod<E>,
    {
        let (step, last) = (self.at.step, self.at.step == self.at.total_steps);
        let config = self.trainer.config;
        // A failed evaluation loses nothing; a collapse is not to be saved.
        let first = self.is_evaluated() && self.stops_on_collapse();
        if first {
            self.evaluation = self.evaluate(networks, observers, metrics)?;
        }
        if last || stopped || config.checkpoint.is_due(step, self.at.steps_per_epoch) {
            metrics.flush()?;
            self.save(networks, data, observers.observer.suspected_since())?;
        }
        if self.is_evaluated() && !first {
            self.evaluation = self.evaluate(networks, observers, metrics)?;
        }
        self.clock.skip(self.trainer.group.traffic());
        Ok(())
    }

    /// Whether the encoder is evaluated after the current step.
    fn is_evaluated(&self) -> bool {
        let period = self.trainer.config.eval_every_epochs.saturating_mul(self.at.steps_per_epoch);
        self.at.step == self.at.total_steps || (period > 0 && self.at.step.is_multiple_of(period))
    }

    fn evaluate<E: Encoder>(
        &self,
        networks: &Networks<M::Student, M::State>,
        observers: &mut Observers<'_, E>,
        metrics: &mut MetricsFile,
    ) -> Result<Vec<(String, f64)>, TrainError>
    where
        M: SslMethod<E>,
    {
        let encoder = self.trainer.method.encoder(&networks.student, &networks.state).valid();
        let found = observers.evaluator.evaluate(&encoder, self.at).map_err(TrainError::Evaluation)?;
        if !found.is_empty() {
            metrics.write(self.at.step, self.at.epoch(), &found)?;
            if self.writes() {
                observers.observer.on_evaluation(self.at, &found);
            }
        }
        self.examine(&found, observers.observer, metrics)?;
        Ok(found.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
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
