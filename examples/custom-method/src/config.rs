//! Hyper-parameters of VICReg; section 4.2 of the paper has all of them.

use burn_ssl::core::ConfigError;
use serde::{Deserialize, Serialize};

use crate::VicReg;

/// Hyper-parameters of VICReg: the options that a recipe may set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VicRegConfig {
    /// `λ`: equal images get equal embeddings. Default 25.
    pub invariance_weight: f64,
    /// `μ`: every dimension varies. Default 25.
    pub variance_weight: f64,
    /// `ν`: no two dimensions say the same. Default 1.
    pub covariance_weight: f64,
    /// Width of the three layers of the projector. Default 8192.
    pub dim: usize,
}

impl Default for VicRegConfig {
    fn default() -> Self {
        Self { invariance_weight: 25.0, variance_weight: 25.0, covariance_weight: 1.0, dim: 8192 }
    }
}

impl VicRegConfig {
    /// The method, or the first field whose value no run could use.
    pub fn build(&self) -> Result<VicReg, ConfigError> {
        let weight = |field, value: f64| {
            ConfigError::check(value >= 0.0 && value.is_finite(), field, value, "a number of at least 0")
        };
        weight("invariance_weight", self.invariance_weight)?;
        weight("variance_weight", self.variance_weight)?;
        weight("covariance_weight", self.covariance_weight)?;
        ConfigError::check(self.dim > 0, "dim", self.dim, "at least 1")?;
        Ok(VicReg(self.clone()))
    }
}
