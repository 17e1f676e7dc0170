//! Hyper-parameters of SwAV.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, LayerConfig, Norm, limits, setters};

use crate::{Swav, SwavLoss};

/// Hyper-parameters of SwAV.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SwavConfig {
    /// `T` of the loss. Default 0.1 (official `main_swav.py`, `--temperature`).
    pub temperature: f64,
    /// `ε` of the codes: smaller values give harder assignments. Default 0.05 (official `--epsilon`).
    pub epsilon: f64,
    /// Iterations of Sinkhorn-Knopp. Default 3 (official `--sinkhorn_iterations`).
    pub sinkhorn_iterations: usize,
    /// Number of prototypes. Default 3000 (official `--nmb_prototypes`), three times the number of ImageNet classes.
    pub prototypes: usize,
    /// Width of the projector's hidden layer. Default 2048 (official `--hidden_mlp`).
    pub hidden_dim: usize,
    /// Length of an embedding. Default 128 (official `--feat_dim`).
    pub output_dim: usize,
    /// Number of past embeddings that are assigned together with the batch, at least the batch size. Default 0, no
    /// queue (official `--queue_length`); 3840 in the official script for a batch of 256.
    pub queue_len: usize,
    /// Epoch in which the queue starts to fill, counted from 0; it is used once it is full. Default 15 (official
    /// `--epoch_queue_starts`).
    pub queue_start_epoch: u64,
    /// Number of initial steps in which the prototypes are not trained. Default 313 (official
    /// `--freeze_prototypes_niters`, one epoch of ImageNet at a batch of 4096); 5005 in the script for a batch of 256.
    pub freeze_prototypes_steps: u64,
}

impl Default for SwavConfig {
    fn default() -> Self {
        Self {
            temperature: 0.1,
            epsilon: 0.05,
            sinkhorn_iterations: 3,
            prototypes: 3000,
            hidden_dim: 2048,
            output_dim: 128,
            queue_len: 0,
            queue_start_epoch: 15,
            freeze_prototypes_steps: 313,
        }
    }
}

setters!(SwavConfig {
    with_temperature: temperature = f64,
    with_epsilon: epsilon = f64,
    with_sinkhorn_iterations: sinkhorn_iterations = usize,
    with_prototypes: prototypes = usize,
    with_hidden_dim: hidden_dim = usize,
    with_output_dim: output_dim = usize,
    with_queue_len: queue_len = usize,
    with_queue_start_epoch: queue_start_epoch = u64,
    with_freeze_prototypes_steps: freeze_prototypes_steps = u64,
});

impl SwavConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many past embeddings are kept, and from which epoch on.
    pub fn with_queue(mut self, queue_len: usize, queue_start_epoch: u64) -> Self {
        (self.queue_len, self.queue_start_epoch) = (queue_len, queue_start_epoch);
        self
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<Swav, ConfigError> {
        let t = self.temperature;
        limits::temperature("temperature", t)?;
        limits::temperature("epsilon", self.epsilon)?;
        ConfigError::check(self.sinkhorn_iterations > 0, "sinkhorn_iterations", 0, "at least 1")?;
        ConfigError::check(self.prototypes > 0, "prototypes", 0, "at least 1")?;
        ConfigError::check(self.hidden_dim > 0, "hidden_dim", 0, "at least 1")?;
        ConfigError::check(self.output_dim > 0, "output_dim", 0, "at least 1")?;
        limits::width("hidden_dim", self.hidden_dim)?;
        limits::width("output_dim", self.output_dim)?;
        limits::outputs("prototypes", self.prototypes)?;
        limits::queue("queue_len", self.queue_len)?;
        limits::epochs("queue_start_epoch", self.queue_start_epoch)?;
        limits::steps("freeze_prototypes_steps", self.freeze_prototypes_steps)?;
        let iterations = self.sinkhorn_iterations;
        ConfigError::check(
            iterations <= 1000,
            "sinkhorn_iterations",
            iterations,
            "at most 1000: 3 are usual",
        )?;
        Ok(Swav { loss: SwavLoss::new(t), config: self.clone() })
    }

    /// The projector: linear, batch norm, ReLU, linear; both linear layers have a bias.
    ///
    /// # Source
    /// Official `src/resnet50.py`, `projection_head`.
    pub(crate) fn projector(&self) -> [LayerConfig; 2] {
        let hidden = LayerConfig::new(self.hidden_dim).bias().norm(Norm::Affine).relu();
        [hidden, LayerConfig::new(self.output_dim).bias()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: SwavConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn the_defaults_are_usable() {
        assert!(SwavConfig::new().build().is_ok());
    }

    #[test]
    fn unusable_values_are_named() {
        let new = SwavConfig::new;
        assert_eq!(
            error(SwavConfig { temperature: -0.1, ..new() }),
            "temperature is -0.1, expected a number above 0"
        );
        assert_eq!(error(SwavConfig { epsilon: 0.0, ..new() }), "epsilon is 0, expected a number above 0");
        assert_eq!(
            error(SwavConfig { sinkhorn_iterations: 0, ..new() }),
            "sinkhorn_iterations is 0, expected at least 1"
        );
        assert_eq!(error(new().with_prototypes(0)), "prototypes is 0, expected at least 1");
        assert_eq!(error(new().with_hidden_dim(0)), "hidden_dim is 0, expected at least 1");
        assert_eq!(error(new().with_output_dim(0)), "output_dim is 0, expected at least 1");
        let late = new().with_queue_start_epoch(u64::MAX);
        assert!(error(late).starts_with("queue_start_epoch is 18446744073709551615, expected at most"));
        let frozen = new().with_freeze_prototypes_steps(1 << 40);
        assert!(error(frozen).starts_with("freeze_prototypes_steps is 1099511627776, expected at most"));
    }
}
