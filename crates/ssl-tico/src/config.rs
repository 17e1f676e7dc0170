//! Hyper-parameters of TiCo.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, LayerConfig, Norm, limits, setters};

use crate::{TiCo, TiCoLoss};

/// Hyper-parameters of TiCo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TiCoConfig {
    /// `β`, how much of itself the moving average of the covariance keeps in a step, from 0 to 1. Default 0.9 (lightly's
    /// `TiCoLoss`, which cites the paper).
    #[doc(alias = "beta")]
    pub covariance_momentum: f64,
    /// `ρ`, the weight of the covariance term. Default 8 (lightly's `TiCoLoss`, which cites the paper).
    #[doc(alias = "rho")]
    pub covariance_weight: f64,
    /// Initial momentum of the teacher, from 0 to 1. Default 0.99 (lightly's `benchmarks/imagenet/resnet50/tico.py`).
    pub momentum: f64,
    /// Final momentum of the teacher, from 0 to 1, reached along a cosine. Default 1 (ibid.). If equal to `momentum`, the
    /// momentum is constant.
    pub momentum_end: f64,
    /// Width of the first layer of the projector. Default 4096 (lightly's `TiCoProjectionHead`; BYOL's).
    pub hidden_dim: usize,
    /// Length of an embedding. Default 256 (ibid.). The covariance is a square matrix of this size.
    pub output_dim: usize,
}

impl Default for TiCoConfig {
    fn default() -> Self {
        Self {
            covariance_momentum: 0.9,
            covariance_weight: 8.0,
            momentum: 0.99,
            momentum_end: 1.0,
            hidden_dim: 4096,
            output_dim: 256,
        }
    }
}

setters!(TiCoConfig {
    with_covariance_momentum: covariance_momentum = f64,
    with_covariance_weight: covariance_weight = f64,
    with_momentum_end: momentum_end = f64,
    with_hidden_dim: hidden_dim = usize,
    with_output_dim: output_dim = usize;
    momentum,
});

impl TiCoConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the teacher's momentum at the first step and at the end of the run.
    pub fn with_momentum(mut self, start: f64, end: f64) -> Self {
        (self.momentum, self.momentum_end) = (start, end);
        self
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<TiCo, ConfigError> {
        limits::share("covariance_momentum", self.covariance_momentum)?;
        limits::weight("covariance_weight", self.covariance_weight)?;
        limits::share("momentum", self.momentum)?;
        limits::share("momentum_end", self.momentum_end)?;
        ConfigError::check(self.hidden_dim > 0, "hidden_dim", 0, "at least 1")?;
        ConfigError::check(self.output_dim > 0, "output_dim", 0, "at least 1")?;
        limits::width("hidden_dim", self.hidden_dim)?;
        limits::width("output_dim", self.output_dim)?;
        Ok(TiCo { loss: TiCoLoss::new(self.covariance_weight), config: self.clone() })
    }

    /// The projector: linear without bias, batch norm, ReLU, linear with bias.
    ///
    /// # Source
    /// lightly's `TiCoProjectionHead`.
    pub(crate) fn projector(&self) -> [LayerConfig; 2] {
        let hidden = LayerConfig::new(self.hidden_dim).norm(Norm::Affine).relu();
        [hidden, LayerConfig::new(self.output_dim).bias()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: TiCoConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn the_defaults_are_usable_and_so_is_a_loss_of_invariance_alone() {
        assert!(TiCoConfig::new().build().is_ok());
        assert!(TiCoConfig::new().with_covariance_weight(0.0).build().is_ok());
    }

    #[test]
    fn unusable_values_are_named() {
        let new = TiCoConfig::new;
        let share = "expected a number from 0 to 1";
        assert_eq!(
            error(new().with_covariance_momentum(1.1)),
            format!("covariance_momentum is 1.1, {share}")
        );
        assert_eq!(
            error(new().with_covariance_weight(-8.0)),
            "covariance_weight is -8, expected a number of at least 0"
        );
        assert_eq!(error(new().with_momentum(1.2, 1.0)), format!("momentum is 1.2, {share}"));
        assert_eq!(error(new().with_momentum(0.9, f64::NAN)), format!("momentum_end is NaN, {share}"));
        assert_eq!(error(new().with_hidden_dim(0)), "hidden_dim is 0, expected at least 1");
        assert_eq!(error(new().with_output_dim(0)), "output_dim is 0, expected at least 1");
    }
}
