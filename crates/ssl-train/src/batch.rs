//! How the batch of a step passes through the network, and when a run is given up.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, setters};

use crate::{OnCollapse, TrainError};

/// How the batch of a step passes through the network, and when a run is given up: the `[train]` section of a recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// Micro-batches per step. Their gradients are averaged; a loss that compares the images of a batch sees one
    /// micro-batch at a time, so for such a loss this does not replace a larger batch: [`embed_chunk`](Self::embed_chunk) does.
    /// Default 1.
    pub accumulate: usize,
    /// Images that pass through the network at a time, to save memory: the loss still compares all images of a micro-batch,
    /// while batch norm sees one chunk. For SimCLR, SupCon, Barlow Twins and MoCo v3. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embed_chunk: Option<usize>,
    /// Whether batch norm takes its statistics over all processes of a job; a run then does not depend on their number. It costs
    /// two exchanges per layer and pass. Default no: each process has the statistics of its own images, and a run with other
    /// processes is another run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sync_bn: bool,
    /// What is done when the run collapses. Default: a warning.
    #[serde(skip_serializing_if = "OnCollapse::is_default")]
    pub on_collapse: OnCollapse,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { accumulate: 1, embed_chunk: None, sync_bn: false, on_collapse: OnCollapse::Warn }
    }
}

setters!(BatchConfig {
    with_accumulate: accumulate = usize,
    with_embed_chunk: embed_chunk = Option<usize>,
    with_sync_bn: sync_bn = bool,
    with_on_collapse: on_collapse = OnCollapse,
});

impl BatchConfig {
    /// Checks that batches of `batch_size` images can be cut like this.
    ///
    /// # Errors
    /// The first number that does not fit.
    pub fn validate(&self, batch_size: usize) -> Result<(), TrainError> {
        let accumulate = self.accumulate;
        ConfigError::check(accumulate > 0, "train.accumulate", accumulate, "at least 1")?;
        let chunk = self.embed_chunk.unwrap_or(usize::MAX);
        let expected = "at least 2; without the key, all images pass through at once";
        ConfigError::check(chunk > 1, "train.embed_chunk", chunk, expected)?;
        if !batch_size.is_multiple_of(accumulate) {
            return Err(TrainError::Accumulate { batch: batch_size, accumulate });
        }
        let micro_batch = self.micro_batch(batch_size);
        let expected =
            "at most half of schedule.batch_size: batch norm and contrast need more than one image";
        ConfigError::check(micro_batch > 1, "train.accumulate", accumulate, expected)?;
        match self.embed_chunk {
            Some(chunk) if !micro_batch.is_multiple_of(chunk) => {
                Err(TrainError::Chunk { batch: micro_batch, chunk })
            }
            _ => Ok(()),
        }
    }

    /// Images in a micro-batch of a batch of `batch_size`.
    pub fn micro_batch(&self, batch_size: usize) -> usize {
        batch_size / self.accumulate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unusable_value_is_named() {
        let error = |config: BatchConfig| config.validate(12).expect_err("a bad value").to_string();
        let config = BatchConfig::default;
        assert_eq!(error(config().with_accumulate(0)), "train.accumulate is 0, expected at least 1");
        assert!(
            error(config().with_embed_chunk(1)).starts_with("train.embed_chunk is 1, expected at least 2")
        );
        assert!(
            error(config().with_embed_chunk(0)).starts_with("train.embed_chunk is 0, expected at least 2")
        );
        assert!(error(config().with_accumulate(5)).contains("multiple of train.accumulate, which is 5"));
        assert!(
            error(config().with_accumulate(12)).starts_with("train.accumulate is 12, expected at most half")
        );
        let uneven = error(config().with_accumulate(3).with_embed_chunk(3));
        assert!(uneven.contains("4 images") && uneven.contains("train.embed_chunk, which is 3"), "{uneven}");
    }

    #[test]
    fn micro_batches_and_chunks_that_divide_are_usable() {
        let config = BatchConfig::default().with_accumulate(3).with_embed_chunk(2);
        assert!(config.validate(12).is_ok() && BatchConfig::default().validate(7).is_ok());
        assert_eq!(config.micro_batch(12), 4);
    }
}
