//! Hyper-parameters of alignment and uniformity.

use burn_ssl::core::ConfigError;
use serde::{Deserialize, Serialize};

use crate::AlignUniform;

/// Hyper-parameters of alignment and uniformity: the options that a recipe may set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlignUniformConfig {
    /// Weight of the alignment. Default 1 (official `examples/stl10/main.py`, `--align_w`).
    pub align_weight: f64,
    /// Weight of the uniformity. Default 1 (ibid., `--unif_w`).
    pub uniform_weight: f64,
    /// `α`, the power of the distance between views. Default 2 (ibid., `--align_alpha`).
    pub alpha: f64,
    /// `t`, how near two images are neighbours. Default 2 (ibid., `--unif_t`).
    pub t: f64,
    /// Length of an embedding. Default 128 (ibid., `--feat_dim`).
    pub dim: usize,
}

impl Default for AlignUniformConfig {
    fn default() -> Self {
        Self { align_weight: 1.0, uniform_weight: 1.0, alpha: 2.0, t: 2.0, dim: 128 }
    }
}

impl AlignUniformConfig {
    /// The method, or the first field whose value no run could use.
    pub fn build(&self) -> Result<AlignUniform, ConfigError> {
        let positive = |field, value: f64| {
            ConfigError::check(value > 0.0 && value.is_finite(), field, value, "a number above 0")
        };
        positive("align_weight", self.align_weight)?;
        positive("uniform_weight", self.uniform_weight)?;
        positive("alpha", self.alpha)?;
        positive("t", self.t)?;
        ConfigError::check(self.dim > 0, "dim", self.dim, "at least 1")?;
        Ok(AlignUniform(self.clone()))
    }
}
