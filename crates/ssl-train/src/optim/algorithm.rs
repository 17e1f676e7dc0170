//! The optimizers, each with its own hyper-parameters.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, names, setters};

/// The optimizers by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OptimizerName {
    /// `sgd`, see [`SgdConfig`].
    #[default]
    Sgd,
    /// `lars`, see [`LarsConfig`].
    Lars,
    /// `larc`, see [`LarcConfig`].
    Larc,
    /// `adamw`, see [`AdamWConfig`].
    AdamW,
}

names!(OptimizerName: "optimizer" { Sgd = "sgd", Lars = "lars", Larc = "larc", AdamW = "adamw" });

/// An optimizer with its own hyper-parameters.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Algorithm {
    /// SGD with momentum.
    Sgd(SgdConfig),
    /// LARS.
    Lars(LarsConfig),
    /// LARC around SGD.
    Larc(LarcConfig),
    /// Adam with decoupled weight decay.
    AdamW(AdamWConfig),
}

/// SGD with momentum.
#[derive(Clone, Debug, PartialEq)]
pub struct SgdConfig {
    /// Momentum. Default 0.9, as in every recipe here.
    pub momentum: f64,
    /// Whether to use Nesterov momentum. Default no.
    pub nesterov: bool,
}

/// LARS as in the official code of Barlow Twins, MoCo v3, BYOL and SimCLR: weights have a layer-wise rate; biases and norms
/// have plain SGD with momentum and no weight decay.
#[derive(Clone, Debug, PartialEq)]
pub struct LarsConfig {
    /// Momentum. Default 0.9, as in every recipe here.
    pub momentum: f64,
    /// `η`. Default 0.001 (You et al. 2017, section 5).
    pub trust_coefficient: f64,
    /// Whether to limit layer-wise rates to the learning rate: the factor of a gradient is then
    /// `min(η ‖p‖ / (‖g‖ + weight_decay · ‖p‖ + 1e-8) / lr, 1)`. Default no; solo-learn's recipes need it, with `η` = 0.02.
    pub clip_lr: bool,
    /// Whether the learning rate enters the momentum buffer (SimCLR's TensorFlow code). Default no.
    pub lr_in_momentum: bool,
}

/// LARC around SGD as in the official code of SwAV: every tensor has a layer-wise rate.
#[derive(Clone, Debug, PartialEq)]
pub struct LarcConfig {
    /// Momentum. Default 0.9, as in every recipe here.
    pub momentum: f64,
    /// `η`. Default 0.001 (You et al. 2017, section 5; SwAV `main_swav.py`).
    pub trust_coefficient: f64,
    /// Whether to limit layer-wise rates to the learning rate; see [`LarsConfig::clip_lr`]. Default no.
    pub clip_lr: bool,
}

/// Adam with decoupled weight decay.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamWConfig {
    /// `β₁` and `β₂`. Default 0.9 and 0.999 (PyTorch).
    pub betas: [f64; 2],
    /// `ε`, added to the root of the second moment. Default 1e-8 (PyTorch).
    pub eps: f64,
}

impl OptimizerName {
    /// All names.
    pub const ALL: [Self; 4] = [Self::Sgd, Self::Lars, Self::Larc, Self::AdamW];

    /// The keys of `[optimizer]` that this optimizer has in addition to the common ones.
    pub const fn own_keys(self) -> &'static [&'static str] {
        match self {
            Self::Sgd => &["momentum", "nesterov"],
            Self::Lars => &["momentum", "trust_coefficient", "clip_lr", "lr_in_momentum"],
            Self::Larc => &["momentum", "trust_coefficient", "clip_lr"],
            Self::AdamW => &["betas", "eps"],
        }
    }

    /// Whether `key` belongs to other optimizers, and not to this one.
    pub fn lacks(self, key: &str) -> bool {
        !self.own_keys().contains(&key) && Self::ALL.iter().any(|other| other.own_keys().contains(&key))
    }
}

impl Algorithm {
    /// Which optimizer it is.
    pub fn name(&self) -> OptimizerName {
        match self {
            Self::Sgd(_) => OptimizerName::Sgd,
            Self::Lars(_) => OptimizerName::Lars,
            Self::Larc(_) => OptimizerName::Larc,
            Self::AdamW(_) => OptimizerName::AdamW,
        }
    }

    /// What it remembers of every parameter that has had a gradient, as the names of tensors in a checkpoint.
    pub(super) fn remembers(&self) -> &'static [&'static str] {
        match self {
            Self::AdamW(_) => &["first", "second", "steps"],
            Self::Sgd(SgdConfig { momentum, .. })
            | Self::Lars(LarsConfig { momentum, .. })
            | Self::Larc(LarcConfig { momentum, .. })
                if *momentum == 0.0 =>
            {
                &["steps"]
            }
            Self::Sgd(_) | Self::Lars(_) | Self::Larc(_) => &["first", "steps"],
        }
    }

    /// # Errors
    /// The first field whose value no run could use.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Sgd(config) => check_momentum(config.momentum),
            Self::Lars(config) => {
                check_momentum(config.momentum)?;
                check_trust(config.trust_coefficient)
            }
            Self::Larc(config) => {
                check_momentum(config.momentum)?;
                check_trust(config.trust_coefficient)
            }
            Self::AdamW(AdamWConfig { betas: [b1, b2], eps }) => {
                let found = format!("[{b1}, {b2}]");
                ConfigError::check(share(*b1) && share(*b2), "optimizer.betas", found, "between 0 and 1")?;
                let expected = "a number above 0 and at most 1: published ones are up to 1e-6";
                ConfigError::check(*eps > 0.0 && *eps <= 1.0, "optimizer.eps", eps, expected)
            }
        }
    }
}

fn share(value: f64) -> bool {
    (0.0..1.0).contains(&value)
}

fn check_momentum(momentum: f64) -> Result<(), ConfigError> {
    ConfigError::check(share(momentum), "optimizer.momentum", momentum, "between 0 and 1")
}

fn check_trust(eta: f64) -> Result<(), ConfigError> {
    let expected = "a number of at least 0 and at most 1000: published ones are up to 0.02";
    ConfigError::check((0.0..=1e3).contains(&eta), "optimizer.trust_coefficient", eta, expected)
}

impl Default for Algorithm {
    /// SGD.
    fn default() -> Self {
        Self::Sgd(SgdConfig::default())
    }
}

impl From<OptimizerName> for Algorithm {
    /// The optimizer with its defaults.
    fn from(name: OptimizerName) -> Self {
        match name {
            OptimizerName::Sgd => Self::Sgd(SgdConfig::default()),
            OptimizerName::Lars => Self::Lars(LarsConfig::default()),
            OptimizerName::Larc => Self::Larc(LarcConfig::default()),
            OptimizerName::AdamW => Self::AdamW(AdamWConfig::default()),
        }
    }
}

impl From<SgdConfig> for Algorithm {
    fn from(config: SgdConfig) -> Self {
        Self::Sgd(config)
    }
}

impl From<LarsConfig> for Algorithm {
    fn from(config: LarsConfig) -> Self {
        Self::Lars(config)
    }
}

impl From<LarcConfig> for Algorithm {
    fn from(config: LarcConfig) -> Self {
        Self::Larc(config)
    }
}

impl From<AdamWConfig> for Algorithm {
    fn from(config: AdamWConfig) -> Self {
        Self::AdamW(config)
    }
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self { momentum: 0.9, nesterov: false }
    }
}

impl Default for LarsConfig {
    fn default() -> Self {
        Self { momentum: 0.9, trust_coefficient: 0.001, clip_lr: false, lr_in_momentum: false }
    }
}

impl Default for LarcConfig {
    fn default() -> Self {
        Self { momentum: 0.9, trust_coefficient: 0.001, clip_lr: false }
    }
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8 }
    }
}

setters!(SgdConfig { with_momentum: momentum = f64, with_nesterov: nesterov = bool });

setters!(LarsConfig {
    with_momentum: momentum = f64,
    with_trust_coefficient: trust_coefficient = f64,
    with_clip_lr: clip_lr = bool,
    with_lr_in_momentum: lr_in_momentum = bool,
});

setters!(LarcConfig {
    with_momentum: momentum = f64,
    with_trust_coefficient: trust_coefficient = f64,
    with_clip_lr: clip_lr = bool,
});

setters!(AdamWConfig { with_betas: betas = [f64; 2], with_eps: eps = f64 });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_their_text() {
        for name in OptimizerName::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
            assert_eq!(serde_json::to_value(name).expect("a text"), name.to_string());
            assert_eq!(Algorithm::from(name).name(), name);
        }
        let error = "adam".parse::<OptimizerName>().expect_err("no such optimizer");
        assert_eq!(error.to_string(), "unknown optimizer 'adam': expected sgd, lars, larc or adamw");
    }

    #[test]
    fn every_unusable_value_is_named() {
        let bad = |algorithm: Algorithm| algorithm.validate().expect_err("a bad value").field;
        assert_eq!(bad(SgdConfig::default().with_momentum(1.0).into()), "optimizer.momentum");
        assert_eq!(bad(LarsConfig::default().with_momentum(-0.1).into()), "optimizer.momentum");
        assert_eq!(bad(LarcConfig::default().with_momentum(f64::NAN).into()), "optimizer.momentum");
        let eta = "optimizer.trust_coefficient";
        assert_eq!(bad(LarsConfig::default().with_trust_coefficient(-1.0).into()), eta);
        assert_eq!(bad(LarcConfig::default().with_trust_coefficient(-1.0).into()), eta);
        assert_eq!(bad(AdamWConfig::default().with_betas([0.9, 1.0]).into()), "optimizer.betas");
        assert_eq!(bad(LarsConfig::default().with_trust_coefficient(1e308).into()), eta);
        assert_eq!(bad(AdamWConfig::default().with_eps(0.0).into()), "optimizer.eps");
        assert_eq!(bad(AdamWConfig::default().with_eps(1e308).into()), "optimizer.eps");
        for name in OptimizerName::ALL {
            assert_eq!(Algorithm::from(name).validate(), Ok(()));
        }
    }
}
