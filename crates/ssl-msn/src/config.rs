//! Hyper-parameters of MSN.

use serde::{Deserialize, Serialize};
use ssl_core::schedule::linear;
use ssl_core::{ConfigError, LayerConfig, Norm, Progress, limits, setters};

use crate::{Msn, MsnLoss};

/// Hyper-parameters of MSN.
///
/// Which patches of the anchors are hidden belongs to the recipe, under `[mask]`; that prototypes do not decay and are not clipped
/// belongs to its `[optimizer]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MsnConfig {
    /// `T` of the loss. Default 0.1 (official `temperature`).
    pub temperature: f64,
    /// `T⁺`, which sharpens the targets. Default 0.25 (official `start_sharpen` and `final_sharpen`).
    pub sharpen_temperature: f64,
    /// `λ`, the weight of the mean entropy. Default 1 (official `memax_weight`).
    pub regularization_weight: f64,
    /// Iterations of Sinkhorn-Knopp on the targets; 0 for none. Default 3 (official `use_sinkhorn`).
    pub sinkhorn_iterations: usize,
    /// Views behind the target view that are large and masked; all others are focal. Default 1 (official
    /// `rand_views`).
    pub random_views: usize,
    /// Number of prototypes. Default 1024 (official `num_proto`).
    pub prototypes: usize,
    /// Width of the projector's hidden layers. Default 2048 (official `hidden_dim`).
    pub hidden_dim: usize,
    /// Length of an embedding. Default 256 (official `output_dim`).
    pub output_dim: usize,
    /// `τ`, the initial momentum of the teacher. Default 0.996 (official `msn_train.py`).
    pub teacher_momentum: f64,
    /// Final `τ`, reached along a line. Default 1 (official `msn_train.py`).
    pub teacher_momentum_end: f64,
}

impl Default for MsnConfig {
    fn default() -> Self {
        Self {
            temperature: 0.1,
            sharpen_temperature: 0.25,
            regularization_weight: 1.0,
            sinkhorn_iterations: 3,
            random_views: 1,
            prototypes: 1024,
            hidden_dim: 2048,
            output_dim: 256,
            teacher_momentum: 0.996,
            teacher_momentum_end: 1.0,
        }
    }
}

setters!(MsnConfig {
    with_temperature: temperature = f64,
    with_sharpen_temperature: sharpen_temperature = f64,
    with_regularization_weight: regularization_weight = f64,
    with_sinkhorn_iterations: sinkhorn_iterations = usize,
    with_random_views: random_views = usize,
    with_prototypes: prototypes = usize,
    with_hidden_dim: hidden_dim = usize,
    with_output_dim: output_dim = usize,
    with_teacher_momentum: teacher_momentum = f64,
    with_teacher_momentum_end: teacher_momentum_end = f64,
});

/// Views of an image at most (our choice: published runs have up to 12).
const MOST_VIEWS: usize = 64;

impl MsnConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<Msn, ConfigError> {
        limits::temperature("temperature", self.temperature)?;
        limits::temperature("sharpen_temperature", self.sharpen_temperature)?;
        limits::weight("regularization_weight", self.regularization_weight)?;
        let sizes = [
            ("random_views", self.random_views),
            ("prototypes", self.prototypes),
            ("hidden_dim", self.hidden_dim),
            ("output_dim", self.output_dim),
        ];
        sizes.into_iter().try_for_each(|(field, size)| limits::not_zero(field, size))?;
        let (views, expected) = (self.random_views, "at most 64: published runs have 1 or 2");
        ConfigError::check(views <= MOST_VIEWS, "random_views", views, expected)?;
        limits::outputs("prototypes", self.prototypes)?;
        limits::width("hidden_dim", self.hidden_dim)?;
        limits::width("output_dim", self.output_dim)?;
        let (iterations, expected) = (self.sinkhorn_iterations, "at most 1000: 3 are usual");
        ConfigError::check(iterations <= 1000, "sinkhorn_iterations", iterations, expected)?;
        let momenta = [
            ("teacher_momentum", self.teacher_momentum),
            ("teacher_momentum_end", self.teacher_momentum_end),
        ];
        momenta.into_iter().try_for_each(|(field, momentum)| limits::share(field, momentum))?;
        Ok(Msn { config: self.clone(), loss: self.loss() })
    }

    fn loss(&self) -> MsnLoss {
        MsnLoss {
            temperature: self.temperature,
            sharpen_temperature: self.sharpen_temperature,
            sinkhorn_iterations: self.sinkhorn_iterations,
            regularization_weight: self.regularization_weight,
        }
    }

    /// The projector: twice linear, batch norm and GELU, then linear; all with biases.
    ///
    /// # Source
    /// Official `msn_train.py`, `init_model`.
    pub(crate) fn projector(&self) -> [LayerConfig; 3] {
        let hidden = LayerConfig::new(self.hidden_dim).bias().norm(Norm::Affine).gelu();
        [hidden.clone(), hidden, LayerConfig::new(self.output_dim).bias()]
    }

    /// `τ` at this step.
    ///
    /// # Source
    /// Official `msn_train.py`, `momentum_scheduler`.
    pub(crate) fn teacher_momentum_at(&self, at: Progress) -> f64 {
        let (start, end) = (self.teacher_momentum, self.teacher_momentum_end);
        linear(at.step as f64, at.total_steps as f64, start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: MsnConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn the_defaults_are_usable() {
        assert!(MsnConfig::new().build().is_ok());
    }

    #[test]
    fn values_out_of_range_are_named() {
        let new = MsnConfig::new;
        assert_eq!(error(new().with_temperature(0.0)), "temperature is 0, expected a number above 0");
        assert_eq!(
            error(new().with_sharpen_temperature(-1.0)),
            "sharpen_temperature is -1, expected a number above 0"
        );
        assert_eq!(
            error(new().with_regularization_weight(-1.0)),
            "regularization_weight is -1, expected a number of at least 0"
        );
        assert_eq!(error(new().with_random_views(0)), "random_views is 0, expected at least 1");
        assert!(error(new().with_random_views(65)).starts_with("random_views is 65, expected at most 64"));
        assert_eq!(error(new().with_prototypes(0)), "prototypes is 0, expected at least 1");
        assert!(error(new().with_prototypes(1 << 21)).starts_with("prototypes is 2097152, expected at most"));
        assert_eq!(error(new().with_hidden_dim(0)), "hidden_dim is 0, expected at least 1");
        assert_eq!(error(new().with_output_dim(0)), "output_dim is 0, expected at least 1");
        assert!(
            error(new().with_sinkhorn_iterations(1001)).starts_with("sinkhorn_iterations is 1001, expected")
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
        let config = MsnConfig::new();
        for (step, want) in [(0, 0.996), (50, 0.998), (100, 1.0), (200, 1.0)] {
            let found = config.teacher_momentum_at(at(step));
            assert!((found - want).abs() < 1e-12, "{found} at step {step}");
        }
    }
}
