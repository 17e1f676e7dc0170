//! Hyper-parameters of BYOL.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, LayerConfig, Norm, limits, setters};

use crate::{Byol, ByolLoss};

/// Hyper-parameters of BYOL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ByolConfig {
    /// Initial momentum of the teacher, from 0 to 1. Default 0.996, for 1000 epochs (paper, implementation details:
    /// optimization); 0.99 for 100 and 300 (official `configs/byol.py`).
    pub momentum: f64,
    /// Final momentum of the teacher, from 0 to 1, reached along a cosine. Default 1 (ibid.). If equal to `momentum`,
    /// the momentum is constant.
    pub momentum_end: f64,
    /// Width of the first layer of projector and predictor. Default 4096 (paper, implementation details:
    /// architecture; official `projector_hidden_size`, `predictor_hidden_size`).
    pub hidden_dim: usize,
    /// Length of an embedding. Default 256 (ibid.; official `projector_output_size`).
    pub output_dim: usize,
}

impl Default for ByolConfig {
    fn default() -> Self {
        Self { momentum: 0.996, momentum_end: 1.0, hidden_dim: 4096, output_dim: 256 }
    }
}

setters!(ByolConfig {
    with_momentum_end: momentum_end = f64,
    with_hidden_dim: hidden_dim = usize,
    with_output_dim: output_dim = usize;
    momentum,
});

impl ByolConfig {
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
    pub fn build(&self) -> Result<Byol, ConfigError> {
        let (start, end) = (self.momentum, self.momentum_end);
        limits::share("momentum", start)?;
        limits::share("momentum_end", end)?;
        ConfigError::check(self.hidden_dim > 0, "hidden_dim", 0, "at least 1")?;
        ConfigError::check(self.output_dim > 0, "output_dim", 0, "at least 1")?;
        limits::width("hidden_dim", self.hidden_dim)?;
        limits::width("output_dim", self.output_dim)?;
        Ok(Byol { loss: ByolLoss, config: self.clone() })
    }

    /// Projector and predictor: linear with bias, batch norm, ReLU, linear without bias.
    ///
    /// # Source
    /// Official `networks.py`, `MLP`.
    pub(crate) fn head(&self) -> [LayerConfig; 2] {
        let hidden = LayerConfig::new(self.hidden_dim).bias().norm(Norm::Affine).relu();
        [hidden, LayerConfig::new(self.output_dim)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: ByolConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn the_defaults_are_usable() {
        assert!(ByolConfig::new().build().is_ok());
    }

    #[test]
    fn unusable_values_are_named() {
        let new = ByolConfig::new;
        assert_eq!(error(new().with_momentum(1.2, 1.0)), "momentum is 1.2, expected a number from 0 to 1");
        assert_eq!(
            error(new().with_momentum(0.9, -0.1)),
            "momentum_end is -0.1, expected a number from 0 to 1"
        );
        assert_eq!(error(new().with_hidden_dim(0)), "hidden_dim is 0, expected at least 1");
        assert_eq!(error(new().with_output_dim(0)), "output_dim is 0, expected at least 1");
    }
}
