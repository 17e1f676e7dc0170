//! The encoder of a command, once its file or checkpoint is found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, TensorData};
use ssl_core::{DeviceSpec, Init, SslMethod, named};
use ssl_encoders::weights::WeightsError;
use ssl_encoders::{AnyEncoder, Artifact, EncoderConfig, MODELS, weights};
use ssl_train::{IntactCheckpoint, RunDir, newest_intact_checkpoint};
use tracing::{info, warn};

use super::{EncoderOrigin, EncoderSource, EncoderSummary};
use crate::methods::{Methods, WithMethod};
use crate::recipe::Draft;
use crate::{Error, Recipe, classifier, provenance};

/// The encoder of a command: what is known about it, and its weights.
pub(crate) struct FoundEncoder {
    /// The description of the encoder; none for untrained ones and files of other libraries.
    pub(crate) artifact: Option<Artifact>,
    pub(crate) summary: EncoderSummary,
    config: EncoderConfig,
    weights: Weights,
}

/// The weights of an encoder.
enum Weights {
    File(PathBuf),
    /// Those of a checkpoint, by path, and its folder.
    Tensors(BTreeMap<String, TensorData>, PathBuf),
    /// Initial values of a seed.
    Initial(u64),
}

impl FoundEncoder {
    /// Finds the encoder of a source.
    pub(super) fn of(source: &EncoderSource, methods: &impl Methods) -> Result<Self, Error> {
        match source {
            EncoderSource::Run(path) if classifier::is_classifier(path) => {
                let file = RunDir::open_classifier(path)?.encoder();
                if file.is_file() { Self::of_file(file, None) } else { Err(Error::NotFinished(path.into())) }
            }
            EncoderSource::Run(path) => Self::of_run(path, methods),
            EncoderSource::Weights { path, config } => Self::of_weights(path, config.clone()),
            EncoderSource::Untrained { config, seed } => Ok(Self::untrained(config.clone(), *seed, None)),
            EncoderSource::UntrainedRun { run, seed } => {
                let artifact = Self::network_of(run)?;
                Ok(Self::untrained(artifact.encoder.clone(), *seed, Some(artifact)))
            }
        }
    }

    /// The network of a run or classifier, and how its images are prepared.
    fn network_of(run: &Path) -> Result<Artifact, Error> {
        if !classifier::is_classifier(run) {
            let Recipe { encoder, data, .. } = Draft::record(run)?;
            return Ok(Artifact::new(&encoder, data.preprocessing()));
        }
        let file = RunDir::open_classifier(run)?.encoder();
        let trained = Artifact::read(&file)?.ok_or_else(|| Error::UnknownModel(file))?;
        Ok(Artifact::new(&trained.encoder, trained.preprocessing))
    }

    fn untrained(config: EncoderConfig, seed: u64, artifact: Option<Artifact>) -> Self {
        let summary = EncoderSummary::new(EncoderOrigin::Untrained, &config);
        let summary = EncoderSummary { seed: Some(seed), ..summary };
        Self { artifact, summary, config, weights: Weights::Initial(seed) }
    }

    fn of_run(path: &Path, methods: &impl Methods) -> Result<Self, Error> {
        let run = RunDir::open(path)?;
        let recipe = Draft::record(path)?;
        if run.encoder().is_file() {
            return Self::of_file(run.encoder(), Some(&recipe));
        }
        let not_finished = || Error::NotFinished(path.into());
        let checkpoint = newest_intact_checkpoint(&run)?.ok_or_else(not_finished)?;
        // The recipe in the directory may have been edited since.
        let recipe = Recipe::of_checkpoint(&checkpoint, &recipe)?.unwrap_or(recipe);
        if checkpoint.step() >= recipe.schedule.total_steps(checkpoint.steps_per_epoch()) {
            let (encoder, folder) = (run.encoder(), checkpoint.folder());
            warn!(
                "the run is finished, but {} is missing or no file: the encoder is that of {}",
                encoder.display(),
                folder.display()
            );
        }
        // Only those who started a custom method or encoder can build it.
        let known = MODELS.iter().any(|model| model.name == recipe.encoder.name);
        if known && methods.contains(&recipe.method) {
            Self::of_checkpoint(&checkpoint, &recipe, methods)
        } else {
            Err(not_finished())
        }
    }

    /// A finished run whose network the caller makes, and what its file says of the encoder.
    pub(crate) fn of_outside(source: &EncoderSource) -> Result<(RunDir, Self), Error> {
        let run = source.run_dir()?.ok_or_else(|| Error::NoRun(source.to_string()))?;
        if !run.encoder().is_file() {
            return Err(Error::NotFinished(run.path().into()));
        }
        let found = Self::of_file(run.encoder(), source.run_recipe()?.as_ref())?;
        Ok((run, found))
    }

    /// The encoder of a finished run, or of a classifier.
    pub(crate) fn of_file(file: PathBuf, recipe: Option<&Recipe>) -> Result<Self, Error> {
        let artifact = Artifact::read(&file)?.ok_or_else(|| Error::UnknownModel(file.clone()))?;
        let summary = EncoderSummary::new(EncoderOrigin::Run, &artifact.encoder);
        let mut summary = summary.with_provenance(&artifact.provenance);
        summary.epochs =
            recipe.filter(|recipe| recipe.schedule.max_steps.is_none()).map(|recipe| recipe.schedule.epochs);
        let config = artifact.encoder.clone();
        Ok(Self { artifact: Some(artifact), summary, config, weights: Weights::File(file) })
    }

    fn of_weights(file: &Path, config: Option<EncoderConfig>) -> Result<Self, Error> {
        let artifact = Artifact::read(file)?;
        let described = artifact.as_ref().map(|artifact| artifact.encoder.clone());
        let config = match config.or(described) {
            Some(config) => config,
            None => weights::describe(file)?.ok_or_else(|| Error::UnknownModel(file.into()))?,
        };
        let mut summary = EncoderSummary::new(EncoderOrigin::Weights, &config);
        if let Some(artifact) = &artifact {
            summary = summary.with_provenance(&artifact.provenance);
        }
        Ok(Self { artifact, summary, config, weights: Weights::File(file.into()) })
    }

    fn of_checkpoint(
        checkpoint: &IntactCheckpoint,
        recipe: &Recipe,
        methods: &impl Methods,
    ) -> Result<Self, Error> {
        for damaged in checkpoint.damaged() {
            warn!("{damaged}");
        }
        let visitor = TrainedSoFar { checkpoint, recipe };
        let tensors = methods.with(&recipe.method, &recipe.method_options, visitor)??;
        let artifact = provenance::so_far(recipe, checkpoint.step(), None);
        let config = artifact.encoder.clone();
        let summary = EncoderSummary::new(EncoderOrigin::Checkpoint, &config);
        let mut summary = summary.with_provenance(&artifact.provenance);
        let steps_per_epoch = checkpoint.steps_per_epoch();
        summary.total_steps = Some(recipe.schedule.total_steps(steps_per_epoch));
        summary.epochs = Some(checkpoint.step() / steps_per_epoch.max(1));
        let weights = Weights::Tensors(tensors, checkpoint.folder().to_owned());
        Ok(Self { artifact: Some(artifact), summary, config, weights })
    }

    /// How records name it: its source, and the step of an unfinished run, which may have gone on since.
    pub(crate) fn recorded(&self, source: &EncoderSource) -> String {
        match self.summary.origin {
            EncoderOrigin::Checkpoint => format!("{source}, {}", self.summary.unfinished()),
            _ => source.to_string(),
        }
    }

    /// The configuration of the encoder.
    pub(crate) fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The encoder for images of `size` pixels, on the given device.
    pub(crate) fn open(&self, size: usize, device: &Device) -> Result<AnyEncoder, Error> {
        self.open_as(self.config.clone(), size, device)
    }

    /// [`open`](Self::open) with a configuration that has the same tensors.
    pub(crate) fn open_as(
        &self,
        config: EncoderConfig,
        size: usize,
        device: &Device,
    ) -> Result<AnyEncoder, Error> {
        if let Weights::Initial(seed) = self.weights {
            return Ok(config.init(size, &mut Init::new(seed, device))?);
        }
        // These weights replace whatever the run started from.
        let config = EncoderConfig { init: None, ..config };
        if let Weights::File(file) = &self.weights {
            config.check_file(file, size)?;
        }
        let encoder = config.init(size, &mut Init::new(0, device))?;
        match &self.weights {
            Weights::File(file) => {
                let (encoder, loaded) = weights::load_and_tell(file, encoder)?;
                if self.summary.origin == EncoderOrigin::Weights {
                    info!("weights: {loaded}");
                }
                Ok(encoder)
            }
            Weights::Tensors(tensors, folder) => named::load(encoder, tensors.clone())
                .map_err(|source| WeightsError::Tensor { path: folder.clone(), source }.into()),
            Weights::Initial(_) => Ok(encoder),
        }
    }
}

/// Reads the encoder of a checkpoint.
struct TrainedSoFar<'a> {
    checkpoint: &'a IntactCheckpoint,
    recipe: &'a Recipe,
}

impl WithMethod<AnyEncoder> for TrainedSoFar<'_> {
    type Output = Result<BTreeMap<String, TensorData>, Error>;

    fn run<M: SslMethod<AnyEncoder>>(self, method: M) -> Self::Output {
        let Recipe { encoder, data, .. } = self.recipe;
        let mut init = Init::new(0, &DeviceSpec::Flex.open()?.autodiff());
        let config = EncoderConfig { init: None, ..encoder.clone() };
        let (student, state) = method.init(config.init(data.image_size, &mut init)?, &mut init);
        let student = self.checkpoint.student(student)?;
        let state = self.checkpoint.state(state)?;
        Ok(named::collect(&method.encoder(&student, &state).valid()))
    }
}
