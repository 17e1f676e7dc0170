//! Writing a checkpoint of a run.

use burn::module::Module;
use ssl_core::MethodRules;
use ssl_data::Dataset;

use super::data::hashes_of;
use super::step::last_good;
use super::{Networks, Run};
use crate::TrainError;
use crate::checkpoint::{Meta, Parts};

impl<M: MethodRules> Run<'_, M> {
    /// Writes a checkpoint if all its tensors are finite. `suspected` is the step since which the run looks like a collapse.
    pub(super) fn save<S: Module, T: Module>(
        &mut self,
        networks: &Networks<S, T>,
        data: &Dataset,
        suspected: Option<u64>,
    ) -> Result<(), TrainError> {
        self.losses.read(self.not_finite())?;
        self.expect_same_weights(networks)?;
        self.share_hashes(data);
        let bad = if self.writes() { self.write_checkpoint(networks, data, suspected)? } else { None };
        if !self.any(bad.is_some()) {
            return Ok(());
        }
        let tensor = bad.unwrap_or_else(|| "a tensor of the first process".to_owned());
        Err(TrainError::WeightsNotFinite {
            step: self.at.step,
            tensor,
            last_good: last_good(self.trainer.run),
        })
    }

    /// If a tensor is not finite, writes nothing and returns its path.
    fn write_checkpoint<S: Module, T: Module>(
        &mut self,
        networks: &Networks<S, T>,
        data: &Dataset,
        suspected: Option<u64>,
    ) -> Result<Option<String>, TrainError> {
        self.trainer.run.check_there()?;
        let meta = Meta {
            step: self.at.step,
            steps_per_epoch: self.at.steps_per_epoch,
            epoch_loss: self.losses.epoch(),
            seconds: self.clock.seconds(),
            untrained: self.untrained.clone(),
            checksums: true,
            recipe: self.trainer.recipe.clone(),
            data: Some(self.data.clone()),
        };
        let parts = Parts { student: &networks.student, state: &networks.state, optimizer: &self.optimizer };
        let keep = self.trainer.config.checkpoint.keep;
        self.checkpoints.save(&parts, &hashes_of(data), &meta, keep, suspected)
    }
}
