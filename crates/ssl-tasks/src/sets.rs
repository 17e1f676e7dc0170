//! Labelled images to train and test a classifier with.

use std::path::PathBuf;
use std::sync::Arc;

use ssl_encoders::Artifact;

use crate::Error;
use crate::encoder::EncoderSource;
use crate::images::{self, EvalData};
use crate::preparation::{Preparation, PreprocessingOptions};

/// Labelled images to train and test a classifier with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SetOptions {
    /// Images to train with; for k-NN, the bank. Default: those of the run, where the encoder comes from one.
    pub train: Option<PathBuf>,
    /// Use only this many of them. Default: all, or as many as the run used.
    pub train_limit: Option<usize>,
    /// Images to test with. Default: those of the run, where the encoder comes from one.
    pub test: Option<PathBuf>,
    /// Use only this many of them. Default: all, or as many as the run used.
    pub test_limit: Option<usize>,
    /// Bytes that one image may take while it is decoded, its file included; a larger one is unreadable. Default: as in the
    /// recipe of the run that the encoder comes from, else [`MAX_IMAGE_BYTES`](ssl_data::MAX_IMAGE_BYTES), 2 GiB.
    pub max_image_bytes: Option<usize>,
    /// How images are prepared, where it differs from what the encoder's file says.
    pub preprocessing: PreprocessingOptions,
    /// Threads that decode and augment; 0, the default, means one per core. Results do not depend on it.
    pub workers: usize,
}

/// The sets after opening.
pub(crate) struct OpenedSets {
    pub(crate) preparation: Preparation,
    pub(crate) data: EvalData,
    pub(crate) train_path: PathBuf,
    pub(crate) test_path: PathBuf,
}

impl SetOptions {
    /// Opens the sets for an encoder with the given description, if any; errors call the first one `train_name`.
    pub(crate) fn open(
        &self,
        encoder: &EncoderSource,
        artifact: Option<&Artifact>,
        train_name: &'static str,
    ) -> Result<OpenedSets, Error> {
        images::check_bytes("max_image_bytes", self.max_image_bytes)?;
        let of_run = encoder.run_recipe()?;
        let run = of_run.as_ref();
        let run_train =
            run.map(|recipe| recipe.eval.train.clone().unwrap_or_else(|| recipe.data.path.clone()));
        let run_limit = run.filter(|recipe| recipe.eval.train.is_none()).and_then(|recipe| recipe.data.limit);
        let train_limit = self.train_limit.or(run_limit.filter(|_| self.train.is_none()));
        let run_test_limit = run.and_then(|recipe| recipe.eval.limit).filter(|_| self.test.is_none());
        let train_path = self.train.clone().or(run_train).ok_or(Error::NoSet("train"))?;
        let test_path = self.test.clone().or_else(|| run?.eval.test.clone()).ok_or(Error::NoSet("test"))?;
        let bytes = self.max_image_bytes.or_else(|| run?.data.max_image_bytes);
        let train = Arc::new(images::open_within(&train_path, train_limit, bytes)?);
        let test = images::open_within(&test_path, self.test_limit.or(run_test_limit), bytes)?;
        let data = EvalData::named(train_name, train, test)?;

        let preprocessing = self.preprocessing.resolve_for(encoder, artifact, &data.bank)?;
        let preparation = Preparation { preprocessing, workers: self.workers };
        Ok(OpenedSets { preparation, data, train_path, test_path })
    }
}
