//! Hyper-parameters of I-JEPA.

use serde::{Deserialize, Serialize};
use ssl_core::schedule::linear;
use ssl_core::{ConfigError, Progress, limits, setters};

use crate::IJepa;

/// Hyper-parameters of I-JEPA.
///
/// Which patches are context and target belongs to the recipe, under `[mask]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IJepaConfig {
    /// Length of the predictor's tokens, a multiple of 4. Default 384 (appendix A.1; official `pred_emb_dim`).
    pub predictor_dim: usize,
    /// Blocks of the predictor. Default 12 (appendix A.1 for ViT-L and ViT-H, 6 for ViT-B; official `pred_depth`).
    pub predictor_depth: usize,
    /// Attention heads of the predictor, which divide `predictor_dim`. Default 12, those of ViT-B (official `helper.py`: those of
    /// the encoder).
    pub predictor_heads: usize,
    /// Hidden units of the predictor's MLPs divided by `predictor_dim`. Default 4 (official `vision_transformer.py`).
    pub predictor_mlp_ratio: usize,
    /// `τ`, the initial momentum of the teacher. Default 0.996 (appendix A.1; official `ema`).
    pub teacher_momentum: f64,
    /// Final `τ`, reached along a line. Default 1 (appendix A.1; official `ema`).
    pub teacher_momentum_end: f64,
}

impl Default for IJepaConfig {
    fn default() -> Self {
        Self {
            predictor_dim: 384,
            predictor_depth: 12,
            predictor_heads: 12,
            predictor_mlp_ratio: 4,
            teacher_momentum: 0.996,
            teacher_momentum_end: 1.0,
        }
    }
}

setters!(IJepaConfig {
    with_predictor_dim: predictor_dim = usize,
    with_predictor_depth: predictor_depth = usize,
    with_predictor_heads: predictor_heads = usize,
    with_predictor_mlp_ratio: predictor_mlp_ratio = usize,
    with_teacher_momentum: teacher_momentum = f64,
    with_teacher_momentum_end: teacher_momentum_end = f64,
});

impl IJepaConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<IJepa, ConfigError> {
        let sizes = [
            ("predictor_dim", self.predictor_dim),
            ("predictor_depth", self.predictor_depth),
            ("predictor_heads", self.predictor_heads),
            ("predictor_mlp_ratio", self.predictor_mlp_ratio),
        ];
        sizes.into_iter().try_for_each(|(field, size)| limits::not_zero(field, size))?;
        limits::width("predictor_dim", self.predictor_dim)?;
        limits::blocks("predictor_depth", self.predictor_depth)?;
        limits::mlp_ratio("predictor_mlp_ratio", self.predictor_mlp_ratio)?;
        let (dim, heads) = (self.predictor_dim, self.predictor_heads);
        let expected = "a multiple of 4, which sines and cosines of two axes need";
        ConfigError::check(dim.is_multiple_of(4), "predictor_dim", dim, expected)?;
        let found = format!("{heads} for tokens of length {dim}");
        let divides = dim.is_multiple_of(heads);
        ConfigError::check(divides, "predictor_heads", found, "a divisor of that length")?;
        let momenta = [
            ("teacher_momentum", self.teacher_momentum),
            ("teacher_momentum_end", self.teacher_momentum_end),
        ];
        momenta.into_iter().try_for_each(|(field, momentum)| limits::share(field, momentum))?;
        Ok(IJepa { config: self.clone() })
    }

    /// `τ` at this step.
    ///
    /// # Source
    /// Official `train.py`, `momentum_scheduler`.
    pub(crate) fn teacher_momentum_at(&self, at: Progress) -> f64 {
        let (start, end) = (self.teacher_momentum, self.teacher_momentum_end);
        linear(at.step as f64, at.total_steps as f64, start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: IJepaConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn the_defaults_are_usable() {
        assert!(IJepaConfig::new().build().is_ok());
    }

    #[test]
    fn values_out_of_range_are_named() {
        let new = IJepaConfig::new;
        assert_eq!(error(new().with_predictor_dim(0)), "predictor_dim is 0, expected at least 1");
        assert_eq!(error(new().with_predictor_depth(0)), "predictor_depth is 0, expected at least 1");
        assert_eq!(error(new().with_predictor_heads(0)), "predictor_heads is 0, expected at least 1");
        assert_eq!(error(new().with_predictor_mlp_ratio(0)), "predictor_mlp_ratio is 0, expected at least 1");
        assert!(
            error(new().with_predictor_depth(257)).starts_with("predictor_depth is 257, expected at most")
        );
        assert!(error(new().with_predictor_mlp_ratio(65)).starts_with("predictor_mlp_ratio is 65, expected"));
        assert_eq!(
            error(new().with_predictor_dim(6).with_predictor_heads(2)),
            "predictor_dim is 6, expected a multiple of 4, which sines and cosines of two axes need"
        );
        assert_eq!(
            error(new().with_predictor_dim(64).with_predictor_heads(3)),
            "predictor_heads is 3 for tokens of length 64, expected a divisor of that length"
        );
        assert_eq!(
            error(new().with_teacher_momentum(1.5)),
            "teacher_momentum is 1.5, expected a number from 0 to 1"
        );
        assert_eq!(
            error(new().with_teacher_momentum_end(-0.5)),
            "teacher_momentum_end is -0.5, expected a number from 0 to 1"
        );
    }

    #[test]
    fn the_momentum_rises_along_a_line() {
        let at = |step| Progress { step, total_steps: 100, steps_per_epoch: 10 };
        let config = IJepaConfig::new();
        for (step, want) in [(0, 0.996), (50, 0.998), (100, 1.0), (200, 1.0)] {
            let found = config.teacher_momentum_at(at(step));
            assert!((found - want).abs() < 1e-12, "{found} at step {step}");
        }
    }
}
