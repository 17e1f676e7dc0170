//! Hyper-parameters of DCL and DCLW.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, LayerConfig, limits, setters};

use super::{Dcl, DclLoss};
use crate::SimClrConfig;

/// Hyper-parameters of DCL and DCLW.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DclConfig {
    /// `T` of the loss. Default 0.1 (lightly's `DCLLoss`; SimCLR, table 5).
    pub temperature: f64,
    /// `σ` of the weights of the positives, or 0 for no weights. Default 0 in DCL, 0.5 in DCLW (lightly's
    /// `DCLWLoss`).
    pub sigma: f64,
    /// Layers of the projector. Default 2, as in SimCLR.
    pub projector_layers: usize,
    /// Width of all layers except the last; 0 means the feature dimension. Default 0, as in SimCLR.
    pub hidden_dim: usize,
    /// Length of an embedding. Default 128, as in SimCLR.
    pub output_dim: usize,
}

impl Default for DclConfig {
    /// The configuration of DCL.
    fn default() -> Self {
        Self { temperature: 0.1, sigma: 0.0, projector_layers: 2, hidden_dim: 0, output_dim: 128 }
    }
}

setters!(DclConfig {
    with_temperature: temperature = f64,
    with_sigma: sigma = f64,
    with_projector_layers: projector_layers = usize,
    with_hidden_dim: hidden_dim = usize,
    with_output_dim: output_dim = usize,
});

impl DclConfig {
    /// The configuration of DCL: all positives count the same.
    pub fn dcl() -> Self {
        Self::default()
    }

    /// The configuration of DCLW: positives that are far apart count more.
    pub fn dclw() -> Self {
        Self { sigma: 0.5, ..Self::default() }
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<Dcl, ConfigError> {
        let sigma = self.sigma;
        limits::temperature("temperature", self.temperature)?;
        if sigma != 0.0 {
            let expected = "a number above 0, or 0 for no weights";
            ConfigError::check(sigma > 0.0 && sigma.is_finite(), "sigma", sigma, expected)?;
            limits::temperature("sigma", sigma)?;
        }
        ConfigError::check(self.projector_layers > 0, "projector_layers", 0, "at least 1")?;
        ConfigError::check(self.output_dim > 0, "output_dim", 0, "at least 1")?;
        limits::layers("projector_layers", self.projector_layers)?;
        limits::width("hidden_dim", self.hidden_dim)?;
        limits::width("output_dim", self.output_dim)?;
        let loss = DclLoss::new(self.temperature);
        let loss = if sigma > 0.0 { loss.with_weights(sigma) } else { loss };
        Ok(Dcl { loss, config: self.clone() })
    }

    /// The projector of SimCLR.
    pub(super) fn projector(&self, feature_dim: usize) -> Vec<LayerConfig> {
        let simclr = SimClrConfig::new().with_projector_layers(self.projector_layers);
        simclr.with_hidden_dim(self.hidden_dim).with_output_dim(self.output_dim).projector(feature_dim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: DclConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn both_versions_are_usable_and_differ_in_their_weights() {
        assert!(DclConfig::dcl().build().is_ok() && DclConfig::dclw().build().is_ok());
        assert_eq!(DclConfig::dclw().with_sigma(0.0), DclConfig::dcl());
    }

    #[test]
    fn unusable_values_are_named() {
        let new = DclConfig::dcl;
        assert_eq!(error(new().with_temperature(0.0)), "temperature is 0, expected a number above 0");
        let expected = "expected a number above 0, or 0 for no weights";
        assert_eq!(error(new().with_sigma(-0.5)), format!("sigma is -0.5, {expected}"));
        assert_eq!(error(new().with_sigma(f64::NAN)), format!("sigma is NaN, {expected}"));
        assert_eq!(
            error(DclConfig { projector_layers: 0, ..new() }),
            "projector_layers is 0, expected at least 1"
        );
        assert_eq!(error(new().with_output_dim(0)), "output_dim is 0, expected at least 1");
    }

    #[test]
    fn the_projector_is_simclrs() {
        assert_eq!(DclConfig::dcl().projector(512), SimClrConfig::new().projector(512));
    }
}
