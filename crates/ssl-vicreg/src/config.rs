//! Hyper-parameters of VICReg.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, LayerConfig, Norm, limits, setters};

use crate::{VicReg, VicRegLoss};

/// Hyper-parameters of VICReg.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VicRegConfig {
    /// `λ` of the loss: views of an image agree. Default 25 (section 4.2; official `--sim-coeff`).
    #[doc(alias = "lambda")]
    pub invariance_weight: f64,
    /// `μ` of the loss: every dimension varies. Default 25 (section 4.2; official `--std-coeff`).
    #[doc(alias = "mu")]
    pub variance_weight: f64,
    /// `ν` of the loss: no two dimensions say the same. Default 1 (section 4.2; official `--cov-coeff`).
    #[doc(alias = "nu")]
    pub covariance_weight: f64,
    /// Layers of the projector, the paper's expander. Default 3 (section 4.2; official `--mlp 8192-8192-8192`).
    pub projector_layers: usize,
    /// Width of all layers except the last. Default 8192 (section 4.2).
    pub hidden_dim: usize,
    /// Length of an embedding. Default 8192 (section 4.2). The loss holds square matrices of this size.
    pub output_dim: usize,
}

impl Default for VicRegConfig {
    fn default() -> Self {
        Self {
            invariance_weight: 25.0,
            variance_weight: 25.0,
            covariance_weight: 1.0,
            projector_layers: 3,
            hidden_dim: 8192,
            output_dim: 8192,
        }
    }
}

setters!(VicRegConfig {
    with_invariance_weight: invariance_weight = f64,
    with_variance_weight: variance_weight = f64,
    with_covariance_weight: covariance_weight = f64,
    with_projector_layers: projector_layers = usize,
    with_hidden_dim: hidden_dim = usize,
    with_output_dim: output_dim = usize,
});

impl VicRegConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use. A weight of 0 leaves out its term.
    pub fn build(&self) -> Result<VicReg, ConfigError> {
        limits::weight("invariance_weight", self.invariance_weight)?;
        limits::weight("variance_weight", self.variance_weight)?;
        limits::weight("covariance_weight", self.covariance_weight)?;
        ConfigError::check(self.projector_layers > 0, "projector_layers", 0, "at least 1")?;
        ConfigError::check(self.hidden_dim > 0, "hidden_dim", 0, "at least 1")?;
        ConfigError::check(self.output_dim > 0, "output_dim", 0, "at least 1")?;
        limits::layers("projector_layers", self.projector_layers)?;
        limits::width("hidden_dim", self.hidden_dim)?;
        limits::width("output_dim", self.output_dim)?;
        Ok(VicReg { loss: self.loss(), config: self.clone() })
    }

    fn loss(&self) -> VicRegLoss {
        VicRegLoss::new(self.invariance_weight, self.variance_weight, self.covariance_weight)
    }

    /// The projector: linear with bias, batch norm and ReLU; the last layer is only linear, without bias.
    ///
    /// # Source
    /// Official `main_vicreg.py`, `Projector`.
    pub(crate) fn projector(&self) -> Vec<LayerConfig> {
        let hidden = LayerConfig::new(self.hidden_dim).bias().norm(Norm::Affine).relu();
        let mut layers = vec![hidden; self.projector_layers - 1];
        layers.push(LayerConfig::new(self.output_dim));
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: VicRegConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn the_defaults_are_usable_and_so_is_a_loss_without_one_of_its_terms() {
        let new = VicRegConfig::new;
        assert!(new().build().is_ok());
        assert!(new().with_invariance_weight(0.0).build().is_ok());
        assert!(new().with_variance_weight(0.0).build().is_ok());
        assert!(new().with_covariance_weight(0.0).build().is_ok());
    }

    #[test]
    fn unusable_values_are_named() {
        let new = VicRegConfig::new;
        let expected = "expected a number of at least 0";
        assert_eq!(error(new().with_invariance_weight(-1.0)), format!("invariance_weight is -1, {expected}"));
        assert_eq!(
            error(new().with_variance_weight(f64::NAN)),
            format!("variance_weight is NaN, {expected}")
        );
        assert_eq!(
            error(new().with_covariance_weight(f64::INFINITY)),
            format!("covariance_weight is inf, {expected}")
        );
        assert_eq!(
            error(VicRegConfig { projector_layers: 0, ..new() }),
            "projector_layers is 0, expected at least 1"
        );
        assert_eq!(error(new().with_hidden_dim(0)), "hidden_dim is 0, expected at least 1");
        assert_eq!(error(new().with_output_dim(0)), "output_dim is 0, expected at least 1");
    }
}
