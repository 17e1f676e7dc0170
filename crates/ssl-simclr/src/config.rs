//! Hyper-parameters of SimCLR.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, LayerConfig, Norm, limits, setters};

use crate::{NtXentLoss, SimClr};

/// Hyper-parameters of SimCLR.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimClrConfig {
    /// `T` of the loss. Default 0.1 (v1, table 5; official `--temperature`); 0.5 on CIFAR-10 (appendix B.9).
    pub temperature: f64,
    /// Layers of the projector: 2 in v1 (section 4.2), 3 in v2 (section 3.1). Default 2.
    pub projector_layers: usize,
    /// Width of all layers except the last; 0 means the feature dimension. Default 0 (official `model_util.py`).
    pub hidden_dim: usize,
    /// Length of an embedding. Default 128 (v1, section 4.2; official `--proj_out_dim`).
    pub output_dim: usize,
}

impl Default for SimClrConfig {
    fn default() -> Self {
        Self { temperature: 0.1, projector_layers: 2, hidden_dim: 0, output_dim: 128 }
    }
}

setters!(SimClrConfig {
    with_temperature: temperature = f64,
    with_projector_layers: projector_layers = usize,
    with_hidden_dim: hidden_dim = usize,
    with_output_dim: output_dim = usize,
});

impl SimClrConfig {
    /// The configuration of SimCLR v1.
    pub fn new() -> Self {
        Self::default()
    }

    /// The configuration of SimCLR v2: three layers in the projector.
    pub fn v2() -> Self {
        Self { projector_layers: 3, ..Self::default() }
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<SimClr, ConfigError> {
        limits::temperature("temperature", self.temperature)?;
        ConfigError::check(self.projector_layers > 0, "projector_layers", 0, "at least 1")?;
        ConfigError::check(self.output_dim > 0, "output_dim", 0, "at least 1")?;
        limits::layers("projector_layers", self.projector_layers)?;
        limits::width("hidden_dim", self.hidden_dim)?;
        limits::width("output_dim", self.output_dim)?;
        Ok(SimClr { loss: NtXentLoss::new(self.temperature), config: self.clone() })
    }

    /// The projector: linear without bias and batch norm in every layer, ReLU between them, and no shift in the last
    /// batch norm.
    ///
    /// # Source
    /// Official `model_util.py`, `projection_head`.
    pub(crate) fn projector(&self, feature_dim: usize) -> Vec<LayerConfig> {
        let width = if self.hidden_dim == 0 { feature_dim } else { self.hidden_dim };
        let hidden = LayerConfig::new(width).norm(Norm::Affine).relu();
        let mut layers = vec![hidden; self.projector_layers - 1];
        layers.push(LayerConfig::new(self.output_dim).norm(Norm::Scale));
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: SimClrConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn both_versions_are_usable() {
        assert!(SimClrConfig::new().build().is_ok() && SimClrConfig::v2().build().is_ok());
    }

    #[test]
    fn unusable_values_are_named() {
        let new = SimClrConfig::new;
        assert_eq!(error(new().with_temperature(0.0)), "temperature is 0, expected a number above 0");
        assert_eq!(error(new().with_temperature(f64::NAN)), "temperature is NaN, expected a number above 0");
        assert_eq!(
            error(SimClrConfig { projector_layers: 0, ..new() }),
            "projector_layers is 0, expected at least 1"
        );
        assert_eq!(error(new().with_output_dim(0)), "output_dim is 0, expected at least 1");
    }

    #[test]
    fn the_projector_is_as_wide_as_the_features_and_ends_in_batch_norm_without_shift() {
        let layers = |config: SimClrConfig| -> Vec<_> {
            config.projector(512).iter().map(|layer| (layer.outputs, layer.norm, layer.bias)).collect()
        };
        let (hidden, last) = ((512, Norm::Affine, false), (128, Norm::Scale, false));
        assert_eq!(layers(SimClrConfig::new()), [hidden, last]);
        assert_eq!(layers(SimClrConfig::v2()), [hidden, hidden, last]);
        assert_eq!(layers(SimClrConfig::new().with_hidden_dim(64)), [(64, Norm::Affine, false), last]);
    }
}
