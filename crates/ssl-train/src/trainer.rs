//! The training loop.

mod clock;
mod readings;
mod run;
mod views;

pub use run::Rehearsal;
pub use views::needs_of_views;

use burn::tensor::Device;
use ssl_core::{Encoder, Group, Init, MethodRules, Precision, SslMethod, limits};
use ssl_data::TrainLoader;

use crate::{
    BatchConfig, CheckpointConfig, Evaluator, Observer, OptimizerConfig, RunDir, ScheduleConfig, TrainError,
    newest_intact_checkpoint,
};
use run::{Networks, Observers, Run};

/// Separates the random numbers of heads and state from those of the encoder, which the caller draws from the same seed.
const HEADS: u64 = 0x6865_6164;

/// Everything that determines a run besides the method, the encoder and the data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainConfig {
    /// Seed of the heads, of the initial state and of the random choices inside a step.
    pub seed: u64,
    /// The format that the heads compute in; the encoder has its own.
    pub precision: Precision,
    /// How the batch of a step passes through the network.
    pub batch: BatchConfig,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// Length of the run and its rates.
    pub schedule: ScheduleConfig,
    /// When checkpoints are written.
    pub checkpoint: CheckpointConfig,
    /// Steps between two rows of the metrics file; 0 means 10.
    pub log_every: u64,
    /// Epochs between two evaluations; 0 evaluates only before the first step and at the end.
    pub eval_every_epochs: u64,
}

impl TrainConfig {
    /// # Errors
    /// The first value that no run could use.
    pub fn validate(&self) -> Result<(), TrainError> {
        self.optimizer.validate()?;
        self.schedule.validate()?;
        self.checkpoint.validate()?;
        limits::epochs("eval.every_epochs", self.eval_every_epochs)?;
        self.batch.validate(self.schedule.batch_size)
    }

    /// # Errors
    /// If the batch is to be embedded in chunks, but the method cannot do so.
    pub fn check_method(&self, method: &impl MethodRules) -> Result<(), TrainError> {
        match self.batch.embed_chunk {
            Some(chunk) if !method.embeds_in_chunks() => Err(TrainError::NoChunks { chunk }),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// If processes cannot share a micro-batch equally.
    pub fn check_share(&self, processes: usize) -> Result<(), TrainError> {
        let batch = self.micro_batch();
        match batch.is_multiple_of(processes) {
            true => Ok(()),
            false => Err(TrainError::Share { batch, processes }),
        }
    }

    /// Images that pass through the network at a time: those of a chunk or of a micro-batch.
    pub fn pass(&self) -> usize {
        self.batch.embed_chunk.unwrap_or(self.micro_batch())
    }

    /// Images of a micro-batch, over all processes.
    pub fn micro_batch(&self) -> usize {
        self.batch.micro_batch(self.schedule.batch_size)
    }
}

/// Runs a method over the batches of a loader.
#[derive(Debug)]
pub struct Trainer<'a, M> {
    /// The method.
    pub method: &'a M,
    /// How to train.
    pub config: &'a TrainConfig,
    /// Where to write the run.
    pub run: &'a RunDir,
    /// The device without autodiff.
    pub device: &'a Device,
    /// The processes that train together; each has a loader for its share of every batch, and the first writes the files.
    pub group: Group,
    /// The document that determines the run, such as its recipe; checkpoints keep a copy of it. Default none.
    pub recipe: Option<String>,
    /// What to do if the images are not those that the run started with.
    pub changed_data: ChangedData,
}

/// What to do if the images of a run in progress or a resumed run are not those that it started with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChangedData {
    /// The run ends with [`TrainError::ChangedData`].
    #[default]
    Refuse,
    /// The run continues with the images it finds. Its result then differs from that of an uninterrupted run.
    Accept,
}

/// Where training begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the first step.
    #[default]
    New,
    /// After the step of the newest intact checkpoint of the run; at the first step if it has none.
    Resume,
}

/// The result of a run that ended or was stopped.
#[derive(Debug)]
pub struct Trained<S, T> {
    /// The student, which the optimizer trained.
    pub student: S,
    /// The method's other state.
    pub state: T,
    /// Figures of the run.
    pub summary: Summary,
}

/// Figures of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Steps in total.
    pub steps: u64,
    /// Epochs in total.
    pub epochs: u64,
    /// Seconds of training in total, without evaluation and start-up.
    pub seconds: f64,
    /// Mean loss of the last epoch.
    pub train_loss: f64,
    /// Images per second of training; an image counts once, however many views it has.
    pub images_per_s: f64,
    /// Whether the run reached its end; false if it was stopped.
    pub finished: bool,
    /// The evaluation before the first step.
    pub untrained: Vec<(String, f64)>,
    /// The last evaluation.
    pub evaluation: Vec<(String, f64)>,
}

impl<'a, M: MethodRules> Trainer<'a, M> {
    /// A trainer in a single process.
    pub fn new(method: &'a M, config: &'a TrainConfig, run: &'a RunDir, device: &'a Device) -> Self {
        Self {
            method,
            config,
            run,
            device,
            group: Group::default(),
            recipe: None,
            changed_data: ChangedData::default(),
        }
    }

    /// Sets the document that checkpoints keep a copy of.
    pub fn with_recipe(mut self, recipe: impl Into<String>) -> Self {
        self.recipe = Some(recipe.into());
        self
    }

    /// Sets what to do if the images have changed.
    pub fn with_changed_data(mut self, changed_data: ChangedData) -> Self {
        self.changed_data = changed_data;
        self
    }

    /// Sets the processes that train together.
    pub fn with_group(mut self, group: Group) -> Self {
        self.group = group;
        self
    }

    /// Fails where resuming the run would, before anything is written: if its newest checkpoint is of other images, of epochs of
    /// another length, or past the end of the run, or if it has a result and no checkpoint.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check_resume(&self, loader: &TrainLoader) -> Result<(), TrainError> {
        let run = Run::new(self, loader)?;
        match newest_intact_checkpoint(self.run)? {
            Some(checkpoint) => run.check_fits(&checkpoint, loader.dataset()),
            None => run.check_without_result(),
        }
    }

    /// Trains `encoder`, which must be on the autodiff device.
    ///
    /// # Errors
    /// If the configuration does not fit the method or the data, the loader or an evaluation fails, the loss or the weights are
    /// not finite, the images or the checkpoint are not those of the run, or the run directory is gone.
    pub fn fit<E: Encoder>(
        &self,
        encoder: E,
        loader: &TrainLoader,
        start: Start,
        evaluator: &mut dyn Evaluator<E>,
        observer: &mut dyn Observer,
    ) -> Result<Trained<M::Student, M::State>, TrainError>
    where
        M: SslMethod<E>,
    {
        let mut networks = self.networks(encoder)?;
        let mut run = Run::new(self, loader)?;
        if start == Start::Resume {
            networks = run.restore(networks, loader.dataset())?;
        }
        run.finish(networks, loader, &mut Observers { evaluator, observer })
    }

    /// Takes the first steps of a run with `encoder`, which must be on the autodiff device, and measures them. Nothing is written,
    /// and the run directory need not exist. The encoder is evaluated behind them once, so that this takes the memory that it
    /// takes in a run.
    ///
    /// # Errors
    /// Those of [`fit`](Self::fit).
    pub fn rehearse<E: Encoder>(
        &self,
        encoder: E,
        loader: &TrainLoader,
        evaluator: &mut dyn Evaluator<E>,
    ) -> Result<Rehearsal, TrainError>
    where
        M: SslMethod<E>,
    {
        let networks = self.networks(encoder)?;
        Run::new(self, loader)?.rehearse(networks, loader, evaluator)
    }

    /// The networks before the first step.
    fn networks<E: Encoder>(&self, encoder: E) -> Result<Networks<M::Student, M::State>, TrainError>
    where
        M: SslMethod<E>,
    {
        self.config.validate()?;
        self.config.check_method(self.method)?;
        self.config.check_share(self.group.size())?;
        self.method.check(&encoder, self.config.micro_batch())?;
        self.config.precision.check(self.device)?;
        let init = Init::new(self.config.seed ^ HEADS, &self.device.clone().autodiff());
        let mut init = init.with_precision(self.config.precision);
        let (student, state) = self.method.init(encoder, &mut init);
        self.config.optimizer.check_module(&student)?;
        Ok(Networks { student, state })
    }
}
