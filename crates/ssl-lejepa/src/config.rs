//! Hyper-parameters of LeJEPA.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, LayerConfig, Norm, limits, setters};

use crate::{LeJepa, LeJepaLoss, SigReg};

/// Hyper-parameters of LeJEPA.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeJepaConfig {
    /// `λ` of the loss, from 0 to 1: the weight of SIGReg, the rest is that of the invariance. Default 0.02 (official
    /// `MINIMAL.md`, `lamb`); the paper recommends 0.05.
    #[doc(alias = "lambda")]
    pub sigreg_weight: f64,
    /// Number of views that make up the centre of an image, and come first. Default 4 (official `MINIMAL.md`, `V`, which
    /// has no others).
    pub global_views: usize,
    /// Number of random directions. Default 256 (official `MINIMAL.md`); 1024 in lightly's `SIGReg`.
    pub slices: usize,
    /// Points at which characteristic functions are compared, at least 2. Default 17 (official `MINIMAL.md`).
    pub knots: usize,
    /// The largest of them. Default 3 (official `MINIMAL.md`).
    pub t_max: f64,
    /// Layers of the projector. Default 3 (official `MINIMAL.md`).
    pub projector_layers: usize,
    /// Width of all layers except the last. Default 2048 (official `MINIMAL.md`).
    pub hidden_dim: usize,
    /// Length of an embedding. Default 16 (official `MINIMAL.md`, `proj_dim`).
    pub output_dim: usize,
}

impl Default for LeJepaConfig {
    fn default() -> Self {
        Self {
            sigreg_weight: 0.02,
            global_views: 4,
            slices: 256,
            knots: 17,
            t_max: 3.0,
            projector_layers: 3,
            hidden_dim: 2048,
            output_dim: 16,
        }
    }
}

setters!(LeJepaConfig {
    with_sigreg_weight: sigreg_weight = f64,
    with_global_views: global_views = usize,
    with_slices: slices = usize,
    with_knots: knots = usize,
    with_t_max: t_max = f64,
    with_projector_layers: projector_layers = usize,
    with_hidden_dim: hidden_dim = usize,
    with_output_dim: output_dim = usize,
});

impl LeJepaConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<LeJepa, ConfigError> {
        let (weight, t_max) = (self.sigreg_weight, self.t_max);
        limits::share("sigreg_weight", weight)?;
        let views = self.global_views;
        ConfigError::check((1..=1024).contains(&views), "global_views", views, "1 to 1024, as views.count")?;
        ConfigError::check(self.slices > 0, "slices", 0, "at least 1")?;
        ConfigError::check(self.knots > 1, "knots", self.knots, "at least 2")?;
        // φ(40) is 0, even in float64.
        ConfigError::check(t_max > 0.0 && t_max <= 40.0, "t_max", t_max, "a number above 0 and at most 40")?;
        ConfigError::check(self.projector_layers > 0, "projector_layers", 0, "at least 1")?;
        ConfigError::check(self.hidden_dim > 0, "hidden_dim", 0, "at least 1")?;
        ConfigError::check(self.output_dim > 0, "output_dim", 0, "at least 1")?;
        let (slices, knots) = (self.slices, self.knots);
        ConfigError::check(
            slices <= 65536,
            "slices",
            slices,
            "at most 65536: published ones are up to 1024",
        )?;
        ConfigError::check(knots <= 1024, "knots", knots, "at most 1024: published ones are 17")?;
        limits::layers("projector_layers", self.projector_layers)?;
        limits::width("hidden_dim", self.hidden_dim)?;
        limits::width("output_dim", self.output_dim)?;
        let loss = LeJepaLoss::new(weight, SigReg::new(self.knots, t_max));
        Ok(LeJepa { loss, config: self.clone() })
    }

    /// The projector: linear with bias, batch norm and ReLU; the last layer is only linear, with bias.
    ///
    /// # Source
    /// Official `MINIMAL.md`: torchvision's `MLP` with batch norm.
    pub(crate) fn projector(&self) -> Vec<LayerConfig> {
        let hidden = LayerConfig::new(self.hidden_dim).bias().norm(Norm::Affine).relu();
        let mut layers = vec![hidden; self.projector_layers - 1];
        layers.push(LayerConfig::new(self.output_dim).bias());
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: LeJepaConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn the_defaults_are_usable_and_so_is_a_loss_of_one_term() {
        let new = LeJepaConfig::new;
        assert!(new().build().is_ok());
        assert!(
            new().with_sigreg_weight(0.0).build().is_ok() && new().with_sigreg_weight(1.0).build().is_ok()
        );
    }

    #[test]
    fn unusable_values_are_named() {
        let new = LeJepaConfig::new;
        assert_eq!(
            error(new().with_sigreg_weight(1.5)),
            "sigreg_weight is 1.5, expected a number from 0 to 1"
        );
        assert_eq!(
            error(new().with_global_views(0)),
            "global_views is 0, expected 1 to 1024, as views.count"
        );
        assert_eq!(error(new().with_slices(0)), "slices is 0, expected at least 1");
        assert_eq!(
            error(new().with_slices(1 << 20)),
            "slices is 1048576, expected at most 65536: published ones are up to 1024"
        );
        assert_eq!(error(new().with_knots(1)), "knots is 1, expected at least 2");
        assert_eq!(
            error(new().with_knots(2000)),
            "knots is 2000, expected at most 1024: published ones are 17"
        );
        assert_eq!(error(new().with_t_max(0.0)), "t_max is 0, expected a number above 0 and at most 40");
        assert_eq!(
            error(new().with_t_max(f64::NAN)),
            "t_max is NaN, expected a number above 0 and at most 40"
        );
        assert_eq!(
            error(LeJepaConfig { projector_layers: 0, ..new() }),
            "projector_layers is 0, expected at least 1"
        );
        assert_eq!(error(new().with_hidden_dim(0)), "hidden_dim is 0, expected at least 1");
        assert_eq!(error(new().with_output_dim(0)), "output_dim is 0, expected at least 1");
    }
}
