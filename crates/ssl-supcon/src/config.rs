//! Hyper-parameters of SupCon.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, LayerConfig, limits, setters};

use crate::{SupCon, SupConLoss};

/// Hyper-parameters of SupCon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SupConConfig {
    /// `T` of the loss. Default 0.07 (official `--temp`); 0.1 in the paper's experiments (section 4.4) and the official
    /// CIFAR-10 command.
    pub temperature: f64,
    /// `T_base` of the loss, which is multiplied by `T / T_base`. Default 0.07 (official `losses.py`); set it to
    /// `temperature` for the paper's loss.
    pub base_temperature: f64,
    /// Layers of the projector. Default 2 (section 3.1; official `--head mlp`).
    pub projector_layers: usize,
    /// Width of all layers except the last; 0 means the feature dimension. Default 0 (section 3.1: 2048 on a ResNet-50;
    /// official `resnet_big.py`).
    pub hidden_dim: usize,
    /// Length of an embedding. Default 128 (section 3.1; official `resnet_big.py`).
    pub output_dim: usize,
}

impl Default for SupConConfig {
    fn default() -> Self {
        Self {
            temperature: 0.07,
            base_temperature: 0.07,
            projector_layers: 2,
            hidden_dim: 0,
            output_dim: 128,
        }
    }
}

setters!(SupConConfig {
    with_temperature: temperature = f64,
    with_base_temperature: base_temperature = f64,
    with_projector_layers: projector_layers = usize,
    with_hidden_dim: hidden_dim = usize,
    with_output_dim: output_dim = usize,
});

impl SupConConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<SupCon, ConfigError> {
        let (t, base) = (self.temperature, self.base_temperature);
        limits::temperature("temperature", t)?;
        limits::temperature("base_temperature", base)?;
        ConfigError::check(self.projector_layers > 0, "projector_layers", 0, "at least 1")?;
        ConfigError::check(self.output_dim > 0, "output_dim", 0, "at least 1")?;
        limits::layers("projector_layers", self.projector_layers)?;
        limits::width("hidden_dim", self.hidden_dim)?;
        limits::width("output_dim", self.output_dim)?;
        Ok(SupCon { loss: SupConLoss::new(t, base), config: self.clone() })
    }

    /// The projector: linear layers with bias, ReLU between them, no batch norm.
    ///
    /// # Source
    /// Official `resnet_big.py`, `SupConResNet.head`.
    pub(crate) fn projector(&self, feature_dim: usize) -> Vec<LayerConfig> {
        let width = if self.hidden_dim == 0 { feature_dim } else { self.hidden_dim };
        let hidden = LayerConfig::new(width).bias().relu();
        let mut layers = vec![hidden; self.projector_layers - 1];
        layers.push(LayerConfig::new(self.output_dim).bias());
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: SupConConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn the_defaults_are_usable() {
        assert!(SupConConfig::new().build().is_ok());
    }

    #[test]
    fn unusable_values_are_named() {
        let new = SupConConfig::new;
        assert_eq!(error(new().with_temperature(0.0)), "temperature is 0, expected a number above 0");
        assert_eq!(
            error(new().with_base_temperature(f64::INFINITY)),
            "base_temperature is inf, expected a number above 0"
        );
        assert_eq!(
            error(SupConConfig { projector_layers: 0, ..new() }),
            "projector_layers is 0, expected at least 1"
        );
        assert_eq!(error(new().with_output_dim(0)), "output_dim is 0, expected at least 1");
    }
}
