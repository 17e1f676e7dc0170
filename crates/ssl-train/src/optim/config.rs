//! Hyper-parameters of an optimizer.

use burn::module::Module;
use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, limits, names, setters};

use super::clip_groups;
use super::rules::{NoDecay, ParamRule, ParamRules};
use super::table::OptimizerTable;
use super::{Algorithm, OptimizerName};

/// How the learning rate grows with the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LrScaling {
    /// `lr · batch / lr_scale_batch`.
    #[default]
    Linear,
    /// `lr · sqrt(batch / lr_scale_batch)`.
    Sqrt,
}

names!(LrScaling: "lr_scaling" { Linear = "linear", Sqrt = "sqrt" });

/// Hyper-parameters of an optimizer: the `[optimizer]` section of a recipe.
///
/// The section is one table: `name` selects the [`Algorithm`], whose own fields stand beside the fields below. A key of
/// another optimizer is an error.
///
/// ```
/// use ssl_train::{LarsConfig, NoDecay, OptimizerConfig};
///
/// let config = OptimizerConfig::new(LarsConfig::default().with_trust_coefficient(0.02))
///     .with_lr(0.3)
///     .with_lr_scale_batch(256)
///     .with_no_decay(NoDecay::BiasAndNorm);
/// assert_eq!(config.peak_lr(1024), 1.2);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "OptimizerTable", into = "OptimizerTable")]
pub struct OptimizerConfig {
    /// The optimizer and its own fields. Default SGD.
    pub algorithm: Algorithm,
    /// Learning rate at its peak, for a batch of `lr_scale_batch`. Default 0.06 (MoCo's CIFAR-10 notebook).
    pub lr: f64,
    /// The batch size that `lr` is for; `lr_scaling` gives the rate for others. Default: `lr` is for every batch size.
    pub lr_scale_batch: Option<usize>,
    /// How the rate grows with the batch size. Default linear; SimCLR's README has the square root.
    pub lr_scaling: LrScaling,
    /// Learning rate of tensors of at most one axis, scaled and scheduled like `lr`. Default: that of the weights.
    pub lr_1d: Option<f64>,
    /// Weight decay. Default 0.
    pub weight_decay: f64,
    /// Weight decay at the end of a cosine from `weight_decay` (DINO). Default: constant.
    pub weight_decay_end: Option<f64>,
    /// Which parameters do not decay; LARS never decays tensors of at most one axis. Default none.
    pub no_decay: NoDecay,
    /// `d` of layer-wise decay of the learning rate, for fine-tuning a ViT: the rate of layer `l` of `L` blocks is
    /// multiplied by `d^(L + 1 − l)`. Tokens, positions and patch embedding are layer 0, block `i` is layer `i + 1`, and
    /// everything after the blocks keeps its rate. Default: all layers have the same rate; BEiT and MAE have 0.65 to 0.75.
    pub layer_decay: Option<f64>,
    /// Exceptions for single parameters: the `[[optimizer.rules]]` of a recipe. Default none.
    pub rules: Vec<ParamRule>,
    /// Norm above which gradients are scaled down. Default: no clipping.
    pub clip_norm: Option<f64>,
    /// Whether to clip every parameter's gradient on its own (DINO) instead of all together. Default no.
    pub clip_per_parameter: bool,
    /// Parts of the student that are clipped together, each group by its own norm: `[["encoder"], ["head"]]` (DINOv2). What is in
    /// no group is not clipped. Default: no groups, all gradients are clipped together.
    pub clip_groups: Vec<Vec<String>>,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            lr: 0.06,
            lr_scale_batch: None,
            lr_scaling: LrScaling::Linear,
            lr_1d: None,
            weight_decay: 0.0,
            weight_decay_end: None,
            no_decay: NoDecay::None,
            layer_decay: None,
            rules: Vec::new(),
            clip_norm: None,
            clip_per_parameter: false,
            clip_groups: Vec::new(),
        }
    }
}

setters!(OptimizerConfig {
    with_lr: lr = f64,
    with_lr_scale_batch: lr_scale_batch = Option<usize>,
    with_lr_scaling: lr_scaling = LrScaling,
    with_lr_1d: lr_1d = Option<f64>,
    with_weight_decay: weight_decay = f64,
    with_weight_decay_end: weight_decay_end = Option<f64>,
    with_no_decay: no_decay = NoDecay,
    with_layer_decay: layer_decay = Option<f64>,
    with_rules: rules = Vec<ParamRule>,
    with_clip_norm: clip_norm = Option<f64>,
    with_clip_per_parameter: clip_per_parameter = bool,
    with_clip_groups: clip_groups = Vec<Vec<String>>;
    algorithm,
});

impl OptimizerConfig {
    /// A configuration with defaults for the common fields. `algorithm` is an `SgdConfig`, `LarsConfig`, `LarcConfig` or
    /// `AdamWConfig`, or an [`OptimizerName`].
    pub fn new(algorithm: impl Into<Algorithm>) -> Self {
        Self { algorithm: algorithm.into(), ..Self::default() }
    }

    /// Which optimizer it is.
    pub fn name(&self) -> OptimizerName {
        self.algorithm.name()
    }

    /// # Errors
    /// The first field whose value no run could use.
    pub fn validate(&self) -> Result<(), ConfigError> {
        limits::rate("optimizer.lr", self.lr)?;
        let lr_1d = self.lr_1d.unwrap_or_default();
        limits::rate("optimizer.lr_1d", lr_1d)?;
        let expected = "0 beside an optimizer.lr of 0, whose schedule it follows in proportion";
        ConfigError::check(self.lr > 0.0 || lr_1d == 0.0, "optimizer.lr_1d", lr_1d, expected)?;
        limits::weight_decay("optimizer.weight_decay", self.weight_decay)?;
        limits::weight_decay("optimizer.weight_decay_end", self.weight_decay_end.unwrap_or_default())?;
        self.algorithm.validate()?;
        self.validate_scaling()?;
        self.validate_clipping()?;
        let d = self.layer_decay.unwrap_or(1.0);
        let expected = "a number above 0 and at most 1; without the key, all layers have the same rate";
        ConfigError::check(d > 0.0 && d <= 1.0, "optimizer.layer_decay", d, expected)?;
        self.rules.iter().try_for_each(ParamRule::validate)
    }

    fn validate_scaling(&self) -> Result<(), ConfigError> {
        let expected = "at least 1; without the key, lr is for every batch";
        ConfigError::check(self.lr_scale_batch != Some(0), "optimizer.lr_scale_batch", 0, expected)?;
        let batch = self.lr_scale_batch.unwrap_or(1);
        let expected = "at most 1048576: published rates are for up to 4096 images";
        ConfigError::check(batch <= 1 << 20, "optimizer.lr_scale_batch", batch, expected)?;
        let used = self.lr_scaling == LrScaling::Linear || self.lr_scale_batch.is_some();
        let expected = "lr_scale_batch beside it, the batch that lr is for";
        ConfigError::check(used, "optimizer.lr_scaling", "sqrt", expected)
    }

    fn validate_clipping(&self) -> Result<(), ConfigError> {
        let norm = self.clip_norm.unwrap_or(1.0);
        let expected = "a number above 0 and at most 1000000; without the key, nothing is clipped";
        ConfigError::check(norm > 0.0 && norm <= 1e6, "optimizer.clip_norm", norm, expected)?;
        let used = !self.clip_per_parameter || self.clip_norm.is_some();
        ConfigError::check(
            used,
            "optimizer.clip_per_parameter",
            true,
            "clip_norm beside it, the largest norm",
        )?;
        clip_groups::validate(self)
    }

    /// Checks that the rules fit the parameters of `module`.
    ///
    /// # Errors
    /// If no parameter has the path of a rule or of a clipped part, or the rate decays by layer in a network without
    /// `encoder.blocks`.
    pub fn check_module<M: Module>(&self, module: &M) -> Result<(), ConfigError> {
        clip_groups::check(&self.clip_groups, module)?;
        ParamRules::new(self, module).map(|_| ())
    }

    /// Whether a rule freezes the parameter at `path`.
    pub fn is_frozen(&self, path: &str) -> bool {
        self.rules.iter().any(|rule| rule.frozen && rule.matches(path))
    }

    /// The learning rate at its peak, for a batch of `batch_size` images.
    pub fn peak_lr(&self, batch_size: usize) -> f64 {
        let Some(scale) = self.lr_scale_batch else { return self.lr };
        let (batch, scale) = (batch_size as f64, scale as f64);
        match self.lr_scaling {
            LrScaling::Linear => self.lr * batch / scale,
            LrScaling::Sqrt => self.lr * (batch / scale).sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_scales_with_the_batch() {
        let config = OptimizerConfig::default().with_lr(0.3).with_lr_scale_batch(256);
        assert_eq!(config.peak_lr(4096), 4.8);
        assert_eq!(OptimizerConfig::default().peak_lr(4096), 0.06);
    }

    #[test]
    fn the_rate_may_scale_with_the_root_of_the_batch() {
        let sqrt = OptimizerConfig::default().with_lr(0.075).with_lr_scale_batch(1);
        let sqrt = sqrt.with_lr_scaling(LrScaling::Sqrt);
        // SimCLR's README: at a batch of 4096 this is the linear rule's 0.3 for 256 images.
        assert!((sqrt.peak_lr(4096) - 4.8).abs() < 1e-12 && (sqrt.peak_lr(256) - 1.2).abs() < 1e-12);
        assert_eq!(sqrt.with_lr_scale_batch(None).peak_lr(4096), 0.075);
    }

    #[test]
    fn every_unusable_value_is_named() {
        let bad = |change: fn(&mut OptimizerConfig)| {
            let mut config = OptimizerConfig::default();
            change(&mut config);
            config.validate().expect_err("a bad value").field
        };
        assert_eq!(bad(|c| c.lr = f64::NAN), "optimizer.lr");
        assert_eq!(bad(|c| c.lr = 1e308), "optimizer.lr");
        assert_eq!(bad(|c| c.weight_decay = 1e308), "optimizer.weight_decay");
        assert_eq!(bad(|c| c.clip_norm = Some(1e308)), "optimizer.clip_norm");
        assert_eq!(bad(|c| c.lr_scale_batch = Some(1 << 40)), "optimizer.lr_scale_batch");
        assert_eq!(bad(|c| c.lr_1d = Some(-1.0)), "optimizer.lr_1d");
        assert_eq!(bad(|c| (c.lr, c.lr_1d) = (0.0, Some(0.1))), "optimizer.lr_1d");
        assert_eq!(bad(|c| c.lr_scale_batch = Some(0)), "optimizer.lr_scale_batch");
        assert_eq!(bad(|c| c.lr_scaling = LrScaling::Sqrt), "optimizer.lr_scaling");
        assert_eq!(bad(|c| c.weight_decay = -1.0), "optimizer.weight_decay");
        assert_eq!(bad(|c| c.weight_decay_end = Some(-1.0)), "optimizer.weight_decay_end");
        assert_eq!(bad(|c| c.clip_norm = Some(-1.0)), "optimizer.clip_norm");
        assert_eq!(bad(|c| c.clip_norm = Some(0.0)), "optimizer.clip_norm");
        assert_eq!(bad(|c| c.clip_per_parameter = true), "optimizer.clip_per_parameter");
        assert_eq!(bad(|c| c.clip_groups = vec![vec!["head".into()]]), "optimizer.clip_groups");
        assert_eq!(bad(|c| c.layer_decay = Some(0.0)), "optimizer.layer_decay");
        assert_eq!(bad(|c| c.layer_decay = Some(1.5)), "optimizer.layer_decay");
        assert_eq!(
            bad(|c| c.algorithm = crate::SgdConfig::default().with_momentum(1.0).into()),
            "optimizer.momentum"
        );
        assert_eq!(bad(|c| c.rules = vec![ParamRule::new("head")]), "optimizer.rules");
        assert!(OptimizerConfig::default().validate().is_ok());
    }
}
