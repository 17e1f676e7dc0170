//! Hyper-parameters of the optimizers.

use serde::{Deserialize, Serialize};
use ssl_core::ConfigError;

/// The optimizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// SGD with momentum.
    Sgd,
    /// LARS as in the official code of Barlow Twins, MoCo v3, BYOL and SimCLR: weights get a layer-wise rate, biases and
    /// norms are plain momentum SGD without weight decay.
    Lars,
    /// LARC around SGD as in the official code of SwAV: every tensor gets a layer-wise rate.
    Larc,
    /// Adam with decoupled weight decay.
    Adamw,
}

/// How the learning rate grows with the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LrScaling {
    /// `lr · batch / lr_scale_batch`.
    Linear,
    /// `lr · sqrt(batch / lr_scale_batch)`.
    Sqrt,
}

/// Which parameters have no weight decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoDecay {
    /// All decay.
    None,
    /// Tensors of at most one axis, and those named `bias`.
    BiasAndNorm,
}

/// Hyper-parameters of an optimizer: the `[optimizer]` section of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Which optimizer. Default SGD.
    pub name: OptimizerName,
    /// Learning rate at its peak, for a batch of `lr_scale_batch`. Default 0.06 (MoCo's CIFAR-10 notebook).
    pub lr: f64,
    /// The batch that `lr` is for; the rate for another batch follows by `lr_scaling`. 0, the default, uses `lr` as it is.
    pub lr_scale_batch: usize,
    /// How the rate grows with the batch. Default linear; SimCLR's README has the square root.
    pub lr_scaling: LrScaling,
    /// Learning rate of tensors of at most one axis, scaled and scheduled like `lr`. Default: that of the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_1d: Option<f64>,
    /// Momentum of SGD, LARS and LARC. Default 0.9, as in every recipe here.
    pub momentum: f64,
    /// Nesterov's form of momentum, SGD only. Default no.
    pub nesterov: bool,
    /// Weight decay. Default 0.
    pub weight_decay: f64,
    /// Weight decay at the end of a cosine from `weight_decay` (DINO). Default: constant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay_end: Option<f64>,
    /// Which parameters do not decay; LARS never decays tensors of at most one axis. Default none.
    pub no_decay: NoDecay,
    /// `η` of LARS and LARC. Default 0.001 (You et al. 2017, section 5).
    pub trust_coefficient: f64,
    /// Whether no layer-wise rate exceeds the learning rate, LARS and LARC only: the factor of a gradient is
    /// `min(η ‖p‖ / (‖g‖ + weight_decay · ‖p‖ + 1e-8) / lr, 1)`. Default no; solo-learn's recipes need it, with `η` = 0.02.
    pub clip_lr: bool,
    /// Whether the learning rate enters the momentum buffer, LARS only (SimCLR's TensorFlow code). Default no.
    pub lr_in_momentum: bool,
    /// `β` of AdamW. Default 0.9 and 0.999 (PyTorch).
    pub betas: [f64; 2],
    /// Norm above which gradients are scaled down; 0, the default, never does.
    pub clip_norm: f64,
    /// Whether every parameter is clipped on its own (DINO) and not all together. Default no.
    pub clip_per_parameter: bool,
    /// Micro-batches per step. Their gradients are averaged; a loss that compares the images of a batch sees one
    /// micro-batch at a time, so this does not stand for a larger batch there: [`embed_chunk`](Self::embed_chunk) does.
    /// Default 1.
    pub accumulate: usize,
    /// Images that pass the network at a time, for less memory: the loss still compares all images of a micro-batch, and
    /// batch norm sees a chunk. For SimCLR, SupCon, Barlow Twins and MoCo v3. 0, the default, stands for all.
    pub embed_chunk: usize,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            name: OptimizerName::Sgd,
            lr: 0.06,
            lr_scale_batch: 0,
            lr_scaling: LrScaling::Linear,
            lr_1d: None,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
            weight_decay_end: None,
            no_decay: NoDecay::None,
            trust_coefficient: 0.001,
            clip_lr: false,
            lr_in_momentum: false,
            betas: [0.9, 0.999],
            clip_norm: 0.0,
            clip_per_parameter: false,
            accumulate: 1,
            embed_chunk: 0,
        }
    }
}

impl OptimizerConfig {
    /// # Errors
    /// The first field whose value no run could use.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let not_negative = |field, value: f64| {
            ConfigError::check(value >= 0.0 && value.is_finite(), field, value, "a number of at least 0")
        };
        not_negative("optimizer.lr", self.lr)?;
        not_negative("optimizer.lr_1d", self.lr_1d.unwrap_or_default())?;
        not_negative("optimizer.weight_decay", self.weight_decay)?;
        not_negative("optimizer.weight_decay_end", self.weight_decay_end.unwrap_or_default())?;
        not_negative("optimizer.trust_coefficient", self.trust_coefficient)?;
        not_negative("optimizer.clip_norm", self.clip_norm)?;
        let layer_wise = matches!(self.name, OptimizerName::Lars | OptimizerName::Larc);
        let expected = "false: only lars and larc have a rate for each layer";
        ConfigError::check(layer_wise || !self.clip_lr, "optimizer.clip_lr", self.clip_lr, expected)?;
        let share = |value: f64| (0.0..1.0).contains(&value);
        ConfigError::check(share(self.momentum), "optimizer.momentum", self.momentum, "between 0 and 1")?;
        let [b1, b2] = self.betas;
        ConfigError::check(
            share(b1) && share(b2),
            "optimizer.betas",
            format!("[{b1}, {b2}]"),
            "between 0 and 1",
        )?;
        ConfigError::check(self.accumulate > 0, "optimizer.accumulate", 0, "at least 1")?;
        let chunk = self.embed_chunk;
        ConfigError::check(chunk != 1, "optimizer.embed_chunk", chunk, "0 for the whole batch, or at least 2")
    }

    /// The learning rate at its peak, for a batch of `batch_size` images.
    pub fn peak_lr(&self, batch_size: usize) -> f64 {
        if self.lr_scale_batch == 0 {
            return self.lr;
        }
        let (batch, scale) = (batch_size as f64, self.lr_scale_batch as f64);
        match self.lr_scaling {
            LrScaling::Linear => self.lr * batch / scale,
            LrScaling::Sqrt => self.lr * (batch / scale).sqrt(),
        }
    }

    /// Whether weight decay applies to the parameter at `path`.
    pub(crate) fn decays(&self, path: &str, axes: usize) -> bool {
        let one_axis = axes <= 1 || path.ends_with(".bias");
        !one_axis || (self.no_decay == NoDecay::None && self.name != OptimizerName::Lars)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_scales_with_the_batch() {
        let config = OptimizerConfig { lr: 0.3, lr_scale_batch: 256, ..OptimizerConfig::default() };
        assert_eq!(config.peak_lr(4096), 4.8);
        assert_eq!(OptimizerConfig::default().peak_lr(4096), 0.06);
    }

    #[test]
    fn the_rate_may_scale_with_the_root_of_the_batch() {
        let sqrt = OptimizerConfig {
            lr: 0.075,
            lr_scale_batch: 1,
            lr_scaling: LrScaling::Sqrt,
            ..OptimizerConfig::default()
        };
        // SimCLR's README: at a batch of 4096 this is the linear rule's 0.3 for 256 images.
        assert!((sqrt.peak_lr(4096) - 4.8).abs() < 1e-12 && (sqrt.peak_lr(256) - 1.2).abs() < 1e-12);
        let constant = OptimizerConfig { lr_scale_batch: 0, ..sqrt };
        assert_eq!(constant.peak_lr(4096), 0.075);
    }

    #[test]
    fn one_axis_decays_only_where_the_recipe_says_so() {
        let all = OptimizerConfig::default();
        let weights = OptimizerConfig { no_decay: NoDecay::BiasAndNorm, ..all.clone() };
        let lars = OptimizerConfig { name: OptimizerName::Lars, ..all.clone() };
        assert!(all.decays("bn1.weight", 1));
        assert!(!weights.decays("bn1.weight", 1) && !lars.decays("bn1.weight", 1));
        assert!(weights.decays("conv1.weight", 4) && lars.decays("conv1.weight", 4));
    }

    #[test]
    fn every_unusable_value_is_named() {
        let bad = |change: fn(&mut OptimizerConfig)| {
            let mut config = OptimizerConfig::default();
            change(&mut config);
            config.validate().expect_err("a bad value").field
        };
        assert_eq!(bad(|c| c.lr = f64::NAN), "optimizer.lr");
        assert_eq!(bad(|c| c.lr_1d = Some(-1.0)), "optimizer.lr_1d");
        assert_eq!(bad(|c| c.weight_decay = -1.0), "optimizer.weight_decay");
        assert_eq!(bad(|c| c.weight_decay_end = Some(-1.0)), "optimizer.weight_decay_end");
        assert_eq!(bad(|c| c.trust_coefficient = -1.0), "optimizer.trust_coefficient");
        assert_eq!(bad(|c| c.clip_norm = -1.0), "optimizer.clip_norm");
        assert_eq!(bad(|c| c.clip_lr = true), "optimizer.clip_lr");
        assert_eq!(bad(|c| c.momentum = 1.0), "optimizer.momentum");
        assert_eq!(bad(|c| c.betas = [0.9, 1.0]), "optimizer.betas");
        assert_eq!(bad(|c| c.accumulate = 0), "optimizer.accumulate");
        assert_eq!(bad(|c| c.embed_chunk = 1), "optimizer.embed_chunk");
        assert!(OptimizerConfig::default().validate().is_ok());
    }
}
