//! Trains a classifier in its own directory.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use serde::Serialize;
use ssl_core::{Encoder, Group, Progress, SslMethod};
use ssl_data::{EvalLoader, TrainLoader};
use ssl_encoders::{
    AnyEncoder, Artifact, ClassifierHead, DataSummary, EncoderConfig, Preprocessing, Provenance,
};
use ssl_eval::{Accuracy, Classifier, Embedder, EvalError, embed};
use ssl_train::{
    Evaluation, Observer, OptimizerConfig, RunDir, ScheduleConfig, Summary, TrainConfig, Trainer,
    newest_intact_checkpoint,
};
use toml::{Table, Value};
use tracing::info;

use super::save;
use crate::Error;
use crate::first::in_first;
use crate::pretrain::{changed_data, existing, start};
use crate::recipe::{TEACHER_HASH, difference, hash, upgrade};

/// How a classifier was trained: `classifier.toml`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Record {
    /// The command.
    pub(crate) made_by: &'static str,
    /// Where the encoder or the teacher comes from.
    pub(crate) from: String,
    /// Training images.
    pub(crate) train: PathBuf,
    /// Their number.
    pub(crate) train_images: usize,
    /// Test images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) test: Option<PathBuf>,
    /// Width and height of views in pixels.
    pub(crate) image_size: usize,
    /// Seed of head, order and views.
    pub(crate) seed: u64,
    /// The other options of the command.
    pub(crate) options: Table,
    /// The encoder that is trained.
    pub(crate) encoder: EncoderConfig,
    pub(crate) optimizer: OptimizerConfig,
    pub(crate) schedule: ScheduleConfig,
}

impl Record {
    /// The description of the encoder trained on `data`.
    pub(crate) fn artifact(&self, preprocessing: Preprocessing, data: DataSummary) -> Artifact {
        let provenance = Provenance {
            method: Some(self.made_by.to_owned()),
            recipe_hash: Some(self.hash()),
            data: Some(data),
            seed: Some(self.seed),
            ..Provenance::default()
        };
        Artifact::new(&self.encoder, preprocessing).with_provenance(provenance)
    }

    /// A [`hash`] of everything that determines the final weights, on given images and from a given encoder.
    fn hash(&self) -> String {
        let mut table = Table::try_from(self).unwrap_or_default();
        for path in ["from", "train", "test"] {
            table.remove(path);
        }
        hash(&table)
    }
}

/// A classifier about to be trained in a directory.
pub(crate) struct ClassifierRun<'a> {
    pub(crate) out: &'a Path,
    pub(crate) overwrite: bool,
    pub(crate) resume: bool,
    pub(crate) accept_changed_data: bool,
    pub(crate) device: &'a Device,
    pub(crate) group: &'a Group,
    pub(crate) record: Record,
    /// The description of the encoder, without the results of training.
    pub(crate) encoder: Artifact,
    pub(crate) head: ClassifierHead,
    pub(crate) test: Option<EvalLoader>,
    /// Names of the two accuracies in the metrics file.
    pub(crate) metrics: [&'static str; 2],
    /// The line that says what the training starts from.
    pub(crate) starts_from: String,
}

/// The result of training. Accuracies are in per cent.
pub(crate) struct Tested {
    pub(crate) accuracy: Option<[f64; 2]>,
    pub(crate) summary: Summary,
}

impl ClassifierRun<'_> {
    /// Trains `network`, which must be on the autodiff device, tests it and writes it to disk.
    pub(crate) fn train<M>(
        &self,
        method: &M,
        network: Classifier<AnyEncoder>,
        loader: &TrainLoader,
        observer: &mut dyn Observer,
    ) -> Result<Tested, Error>
    where
        M: SslMethod<Classifier<AnyEncoder>, Student = Classifier<AnyEncoder>>,
    {
        let config = self.config();
        config.validate()?;
        let record = self.record_table()?;
        let made = in_first(self.group, || self.run_dir(&record))?;
        let run = made.map_or_else(|| RunDir::open_classifier(self.out), Ok)?;
        info!("{}", self.starts_from);
        info!("training: {}", loader.dataset());
        let trainer = Trainer::new(method, &config, &run, self.device)
            .with_recipe(record.to_string())
            .with_changed_data(changed_data(self.accept_changed_data))
            .with_group(self.group.clone());
        let mut test = |network: &Classifier<AnyEncoder>, at: Progress| Ok(self.tested(network, at)?);
        let trained = trainer.fit(network, loader, start(self.resume), &mut test, observer)?;
        if !trained.summary.finished {
            return Ok(Tested { accuracy: None, summary: trained.summary });
        }
        let network = trained.student.valid();
        let accuracy = self.accuracy(&network)?;
        in_first(self.group, || {
            run.check_there()?;
            save(&run, &network, &self.described(&trained.summary, accuracy), &self.head)
        })?;
        Ok(Tested { accuracy, summary: trained.summary })
    }

    /// The description of the trained encoder.
    fn described(&self, summary: &Summary, accuracy: Option<[f64; 2]>) -> Artifact {
        let mut artifact = self.encoder.clone();
        artifact.provenance.steps = Some(summary.steps);
        let accuracy = accuracy.into_iter().flat_map(|values| self.metrics.into_iter().zip(values));
        artifact.with_metrics([("train_loss", summary.train_loss)]).with_metrics(accuracy)
    }

    /// Top-1 and top-5 in per cent, where there is a test set.
    pub(crate) fn accuracy(&self, network: &impl Encoder) -> Result<Option<[f64; 2]>, EvalError> {
        let Some(loader) = &self.test else { return Ok(None) };
        let scores = embed(network, loader, &Embedder::on(self.device).in_group(self.group))?;
        let labels = scores.labels.ok_or(EvalError::NoLabels("test"))?;
        let Accuracy { top1, top5 } = Accuracy::of_scores(scores.values, &labels);
        Ok(Some([100.0 * top1, 100.0 * top5]))
    }

    /// The accuracies by name; empty before the first step, when a new head can only guess.
    fn tested(&self, network: &Classifier<AnyEncoder>, at: Progress) -> Result<Evaluation, EvalError> {
        let accuracy = if at.step == 0 { None } else { self.accuracy(network)? };
        let named = |values: [f64; 2]| self.metrics.into_iter().zip(values).collect();
        Ok(accuracy.map(named).unwrap_or_default())
    }

    fn config(&self) -> TrainConfig {
        TrainConfig {
            seed: self.record.seed,
            optimizer: self.record.optimizer.clone(),
            schedule: self.record.schedule.clone(),
            ..TrainConfig::default()
        }
    }

    fn record_table(&self) -> Result<Table, Error> {
        Table::try_from(&self.record).map_err(|error| Error::NoRecord(error.to_string()))
    }

    /// Creates or opens the directory and writes the record.
    fn run_dir(&self, record: &Table) -> Result<RunDir, Error> {
        if self.resume {
            let run = RunDir::open_classifier(self.out)?.locked()?;
            self.check_record(&run, record)?;
            return Ok(run);
        }
        let run = RunDir::create(self.out, existing(self.overwrite))?;
        let text = format!("# How this classifier was made.\n\n{record}");
        run.write_atomic("classifier.toml", text.as_bytes())?;
        Ok(run)
    }

    /// Checks the options against those in the directory and in the checkpoint.
    fn check_record(&self, run: &RunDir, record: &Table) -> Result<(), Error> {
        let path = run.classifier_record();
        let text = ssl_files::read_text(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let checkpoint = newest_intact_checkpoint(run)?;
        // A checkpoint of an earlier version does not know its images: their number is all that can be compared.
        let is_old = checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.recipe().is_none());
        let is_counted = is_old && !self.accept_changed_data;
        if let Some((key, there, here)) = difference_from(&text, record, is_counted) {
            return Err(Error::OtherOptions { run: self.out.into(), key, there, here });
        }
        let Some(checkpoint) = checkpoint else { return Ok(()) };
        match checkpoint.recipe().and_then(|text| difference_from(text, record, false)) {
            Some((key, there, here)) => {
                let checkpoint = checkpoint.folder().to_owned();
                Err(Error::EditedRecord { record: path, checkpoint, key, there, here })
            }
            None => Ok(()),
        }
    }
}

/// The first key in which two records differ, one of them given as text, with both values.
///
/// The number of images counts only if `is_counted`: a checkpoint knows the images themselves, and changed ones may be accepted.
fn difference_from(text: &str, record: &Table, is_counted: bool) -> Option<(String, String, String)> {
    let (mut first, mut second) = (text.parse::<Table>().unwrap_or_default(), record.clone());
    upgrade(&mut first);
    if !is_counted {
        first.remove("train_images");
        second.remove("train_images");
    }
    let has_hash = first.get("options").is_some_and(|options| options.get(TEACHER_HASH).is_some());
    if let Some(options) = second.get_mut("options").and_then(Value::as_table_mut)
        && !has_hash
    {
        // Earlier versions did not write which weights the teacher has.
        options.remove(TEACHER_HASH);
    }
    difference("", &Value::Table(first), &Value::Table(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(there: &str, here: &str) -> Option<String> {
        let here = here.parse::<Table>().expect("TOML");
        difference_from(there, &here, false).map(|(key, ..)| key)
    }

    #[test]
    fn a_record_is_of_one_teacher_and_of_any_number_of_images() {
        let record = |images: usize, options: &str| {
            format!("train_images = {images}\nseed = 0\n[options]\nalpha = 1.0\n{options}")
        };
        let taught = |hash: &str| record(8, &format!("teacher_hash = '{hash}'"));
        assert_eq!(found(&taught("a"), &taught("a")), None);
        assert_eq!(found(&taught("a"), &taught("b")).as_deref(), Some("options.teacher_hash"));
        assert_eq!(found(&record(8, ""), &taught("a")), None, "a run of an earlier version goes on");
        assert_eq!(found(&taught("a"), &record(8, "")).as_deref(), Some("options.teacher_hash"));
        assert_eq!(found(&record(8, ""), &record(9, "")), None);
        let other = record(8, "").replace("seed = 0", "seed = 1");
        assert_eq!(found(&record(8, ""), &other).as_deref(), Some("seed"));
        let counted = difference_from(&record(8, ""), &record(9, "").parse().expect("TOML"), true);
        assert_eq!(counted.map(|(key, ..)| key).as_deref(), Some("train_images"));
    }
}
