//! Hyper-parameters of SimSiam.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, LayerConfig, Norm, limits, setters};

use crate::{SimSiam, SimSiamLoss};

/// Hyper-parameters of SimSiam.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimSiamConfig {
    /// Layers of the projector. Default 3 (section 3); 2 on CIFAR-10 (appendix D).
    pub projector_layers: usize,
    /// Width of all projector layers except the last; 0 means the feature dimension. Default 0 (official `builder.py`).
    pub hidden_dim: usize,
    /// Length of an embedding and of a prediction. Default 2048 (section 3; official `--dim`).
    pub output_dim: usize,
    /// Width of the predictor's first layer, a bottleneck. Default 512 (section 3; official `--pred-dim`).
    pub predictor_dim: usize,
}

impl Default for SimSiamConfig {
    fn default() -> Self {
        Self { projector_layers: 3, hidden_dim: 0, output_dim: 2048, predictor_dim: 512 }
    }
}

setters!(SimSiamConfig {
    with_projector_layers: projector_layers = usize,
    with_hidden_dim: hidden_dim = usize,
    with_output_dim: output_dim = usize,
    with_predictor_dim: predictor_dim = usize,
});

impl SimSiamConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<SimSiam, ConfigError> {
        ConfigError::check(self.projector_layers > 0, "projector_layers", 0, "at least 1")?;
        ConfigError::check(self.output_dim > 0, "output_dim", 0, "at least 1")?;
        ConfigError::check(self.predictor_dim > 0, "predictor_dim", 0, "at least 1")?;
        limits::layers("projector_layers", self.projector_layers)?;
        limits::width("hidden_dim", self.hidden_dim)?;
        limits::width("output_dim", self.output_dim)?;
        limits::width("predictor_dim", self.predictor_dim)?;
        Ok(SimSiam { loss: SimSiamLoss, config: self.clone() })
    }

    /// The projector: linear without bias and batch norm in every layer, ReLU between them, and no parameters in the
    /// last batch norm.
    ///
    /// # Source
    /// Official `builder.py`, `SimSiam.encoder.fc`. There the last linear layer has an untrained bias, which the batch
    /// norm after it cancels.
    pub(crate) fn projector(&self, feature_dim: usize) -> Vec<LayerConfig> {
        let width = if self.hidden_dim == 0 { feature_dim } else { self.hidden_dim };
        let hidden = LayerConfig::new(width).norm(Norm::Affine).relu();
        let mut layers = vec![hidden; self.projector_layers - 1];
        layers.push(LayerConfig::new(self.output_dim).norm(Norm::Plain));
        layers
    }

    /// The predictor: linear without bias, batch norm, ReLU, linear with bias.
    ///
    /// # Source
    /// Official `builder.py`, `SimSiam.predictor`.
    pub(crate) fn predictor(&self) -> [LayerConfig; 2] {
        let bottleneck = LayerConfig::new(self.predictor_dim).norm(Norm::Affine).relu();
        [bottleneck, LayerConfig::new(self.output_dim).bias()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: SimSiamConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn the_defaults_are_usable() {
        assert!(SimSiamConfig::new().build().is_ok());
    }

    #[test]
    fn unusable_values_are_named() {
        let new = SimSiamConfig::new;
        assert_eq!(error(new().with_projector_layers(0)), "projector_layers is 0, expected at least 1");
        assert_eq!(error(new().with_output_dim(0)), "output_dim is 0, expected at least 1");
        assert_eq!(error(new().with_predictor_dim(0)), "predictor_dim is 0, expected at least 1");
    }

    #[test]
    fn the_last_batch_norm_of_the_projector_has_no_parameters() {
        let layers = SimSiamConfig::new().projector(512);
        let norms: Vec<_> = layers.iter().map(|layer| (layer.outputs, layer.norm)).collect();
        assert_eq!(norms, [(512, Norm::Affine), (512, Norm::Affine), (2048, Norm::Plain)]);
    }
}
