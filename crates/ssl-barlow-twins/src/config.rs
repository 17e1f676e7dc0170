//! Hyper-parameters of Barlow Twins.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, LayerConfig, Norm, limits, setters};

use crate::{BarlowTwins, BarlowTwinsLoss};

/// Hyper-parameters of Barlow Twins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BarlowTwinsConfig {
    /// `λ` of the loss, the weight of the redundancy term. Default 0.0051 (official `main.py`, `--lambd`; section 2.2
    /// rounds it to 0.005).
    #[doc(alias = "lambda")]
    pub off_diagonal_weight: f64,
    /// Factor on the whole loss. Default 1 (official `main.py`); solo-learn uses 0.1, which allows the same learning
    /// rate with other optimizers.
    pub scale: f64,
    /// Layers of the projector. Default 3 (section 2.2; official `--projector 8192-8192-8192`).
    pub projector_layers: usize,
    /// Width of all layers except the last. Default 8192 (section 2.2).
    pub hidden_dim: usize,
    /// Length of an embedding. Default 8192 (section 2.2). The loss holds a square matrix of this size.
    pub output_dim: usize,
}

impl Default for BarlowTwinsConfig {
    fn default() -> Self {
        Self {
            off_diagonal_weight: 0.0051,
            scale: 1.0,
            projector_layers: 3,
            hidden_dim: 8192,
            output_dim: 8192,
        }
    }
}

setters!(BarlowTwinsConfig {
    with_off_diagonal_weight: off_diagonal_weight = f64,
    with_scale: scale = f64,
    with_projector_layers: projector_layers = usize,
    with_hidden_dim: hidden_dim = usize,
    with_output_dim: output_dim = usize,
});

impl BarlowTwinsConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<BarlowTwins, ConfigError> {
        let (weight, scale) = (self.off_diagonal_weight, self.scale);
        limits::factor("off_diagonal_weight", weight)?;
        limits::factor("scale", scale)?;
        ConfigError::check(self.projector_layers > 0, "projector_layers", 0, "at least 1")?;
        ConfigError::check(self.hidden_dim > 0, "hidden_dim", 0, "at least 1")?;
        ConfigError::check(self.output_dim > 0, "output_dim", 0, "at least 1")?;
        limits::layers("projector_layers", self.projector_layers)?;
        limits::width("hidden_dim", self.hidden_dim)?;
        limits::width("output_dim", self.output_dim)?;
        let loss = BarlowTwinsLoss::new(weight, scale);
        Ok(BarlowTwins { loss, config: self.clone() })
    }

    /// The projector: linear without bias, batch norm and ReLU; the last layer is only linear.
    ///
    /// # Source
    /// Official `main.py`, `BarlowTwins.__init__`.
    pub(crate) fn projector(&self) -> Vec<LayerConfig> {
        let hidden = LayerConfig::new(self.hidden_dim).norm(Norm::Affine).relu();
        let mut layers = vec![hidden; self.projector_layers - 1];
        layers.push(LayerConfig::new(self.output_dim));
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: BarlowTwinsConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn the_defaults_are_usable() {
        assert!(BarlowTwinsConfig::new().build().is_ok());
    }

    #[test]
    fn unusable_values_are_named() {
        let new = BarlowTwinsConfig::new;
        assert_eq!(
            error(new().with_off_diagonal_weight(0.0)),
            "off_diagonal_weight is 0, expected a number above 0"
        );
        assert_eq!(error(new().with_scale(f64::NAN)), "scale is NaN, expected a number above 0");
        assert_eq!(
            error(BarlowTwinsConfig { projector_layers: 0, ..new() }),
            "projector_layers is 0, expected at least 1"
        );
        assert_eq!(error(new().with_hidden_dim(0)), "hidden_dim is 0, expected at least 1");
        assert_eq!(error(new().with_output_dim(0)), "output_dim is 0, expected at least 1");
    }
}
