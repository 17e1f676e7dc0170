//! Hyper-parameters of NNCLR.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, LayerConfig, Norm, limits, setters};

use crate::{NnClr, NnClrLoss};

/// Hyper-parameters of NNCLR.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NnClrConfig {
    /// `T` of the loss. Default 0.1 (paper, implementation details).
    pub temperature: f64,
    /// Number of embeddings among which neighbours are looked for, the paper's support set. Default 98304 (paper,
    /// implementation details). The queue must hold the embeddings of one batch.
    pub queue_len: usize,
    /// Layers of the projector. Default 3 (paper, implementation details).
    pub projector_layers: usize,
    /// Width of all layers of the projector except the last. Default 2048 (paper, implementation details).
    pub hidden_dim: usize,
    /// Length of an embedding. Default 256 (paper, implementation details).
    pub output_dim: usize,
    /// Width of the first layer of the predictor. Default 4096 (paper, implementation details).
    pub predictor_dim: usize,
}

impl Default for NnClrConfig {
    fn default() -> Self {
        Self {
            temperature: 0.1,
            queue_len: 98304,
            projector_layers: 3,
            hidden_dim: 2048,
            output_dim: 256,
            predictor_dim: 4096,
        }
    }
}

setters!(NnClrConfig {
    with_temperature: temperature = f64,
    with_queue_len: queue_len = usize,
    with_projector_layers: projector_layers = usize,
    with_hidden_dim: hidden_dim = usize,
    with_output_dim: output_dim = usize,
    with_predictor_dim: predictor_dim = usize,
});

impl NnClrConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<NnClr, ConfigError> {
        limits::temperature("temperature", self.temperature)?;
        ConfigError::check(self.queue_len > 0, "queue_len", 0, "at least 1")?;
        ConfigError::check(self.projector_layers > 0, "projector_layers", 0, "at least 1")?;
        ConfigError::check(self.hidden_dim > 0, "hidden_dim", 0, "at least 1")?;
        ConfigError::check(self.output_dim > 0, "output_dim", 0, "at least 1")?;
        ConfigError::check(self.predictor_dim > 0, "predictor_dim", 0, "at least 1")?;
        limits::queue("queue_len", self.queue_len)?;
        limits::layers("projector_layers", self.projector_layers)?;
        limits::width("hidden_dim", self.hidden_dim)?;
        limits::width("output_dim", self.output_dim)?;
        limits::width("predictor_dim", self.predictor_dim)?;
        Ok(NnClr { loss: NnClrLoss::new(self.temperature), config: self.clone() })
    }

    /// The projector: linear without bias and batch norm in every layer, ReLU between them.
    ///
    /// # Source
    /// Paper, implementation details; a bias would have no effect before a batch norm, and lightly's
    /// `NNCLRProjectionHead` has none.
    pub(crate) fn projector(&self) -> Vec<LayerConfig> {
        let hidden = LayerConfig::new(self.hidden_dim).norm(Norm::Affine).relu();
        let mut layers = vec![hidden; self.projector_layers - 1];
        layers.push(LayerConfig::new(self.output_dim).norm(Norm::Affine));
        layers
    }

    /// The predictor: linear without bias, batch norm, ReLU, linear with bias.
    ///
    /// # Source
    /// Paper, implementation details; biases as in lightly's `NNCLRPredictionHead`.
    pub(crate) fn predictor(&self) -> [LayerConfig; 2] {
        let hidden = LayerConfig::new(self.predictor_dim).norm(Norm::Affine).relu();
        [hidden, LayerConfig::new(self.output_dim).bias()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: NnClrConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn the_defaults_are_usable() {
        assert!(NnClrConfig::new().build().is_ok());
    }

    #[test]
    fn unusable_values_are_named() {
        let new = NnClrConfig::new;
        assert_eq!(error(new().with_temperature(0.0)), "temperature is 0, expected a number above 0");
        assert_eq!(error(new().with_queue_len(0)), "queue_len is 0, expected at least 1");
        assert_eq!(
            error(NnClrConfig { projector_layers: 0, ..new() }),
            "projector_layers is 0, expected at least 1"
        );
        assert_eq!(error(new().with_hidden_dim(0)), "hidden_dim is 0, expected at least 1");
        assert_eq!(error(new().with_output_dim(0)), "output_dim is 0, expected at least 1");
        assert_eq!(error(new().with_predictor_dim(0)), "predictor_dim is 0, expected at least 1");
    }
}
