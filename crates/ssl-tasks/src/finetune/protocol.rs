//! Fine-tuning as papers have it.

use ssl_core::names;
use ssl_eval::MixingConfig;
use ssl_train::{AdamWConfig, NoDecay, OptimizerConfig, SgdConfig};

/// Fine-tuning as a paper has it. Numbers are those of ImageNet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FinetuneProtocol {
    /// SGD with Nesterov momentum 0.9 without weight decay, rate `0.05 · batch / 256`, 30 epochs (SimCLR, appendix B.5).
    #[default]
    SimClr,
    /// AdamW of rate `5e-4 · batch / 256`, weight decay 0.05, layer-wise decay 0.65, drop-path 0.1, label smoothing 0.1, mixup
    /// 0.8, cutmix 1, 100 epochs of which 5 are warm-up (MAE, appendix A.2 and `FINETUNE`, for ViT-B). For a ViT. Different:
    /// images are cropped and flipped, without RandAugment and random erasing, and features are those of the encoder, where MAE
    /// takes the mean of the patches.
    Mae,
}

names!(FinetuneProtocol: "protocol" { SimClr = "simclr", Mae = "mae" });

impl FinetuneProtocol {
    /// Epochs, if they do not depend on the share of the labels.
    pub(super) fn epochs(self) -> Option<u64> {
        match self {
            Self::SimClr => None,
            Self::Mae => Some(100),
        }
    }

    pub(super) fn warmup_epochs(self) -> f64 {
        match self {
            Self::SimClr => 0.0,
            Self::Mae => 5.0,
        }
    }

    pub(super) fn drop_path(self) -> Option<f64> {
        match self {
            Self::SimClr => None,
            Self::Mae => Some(0.1),
        }
    }

    pub(super) fn mixing(self) -> MixingConfig {
        match self {
            Self::SimClr => MixingConfig::default(),
            Self::Mae => MixingConfig { label_smoothing: 0.1, mixup: 0.8, cutmix: 1.0 },
        }
    }

    pub(super) fn optimizer(self) -> OptimizerConfig {
        match self {
            Self::SimClr => OptimizerConfig::new(SgdConfig::default().with_nesterov(true)).with_lr(0.05),
            Self::Mae => OptimizerConfig::new(AdamWConfig::default())
                .with_lr(5e-4)
                .with_weight_decay(0.05)
                .with_layer_decay(0.65)
                .with_no_decay(NoDecay::BiasNormAndTokens),
        }
        .with_lr_scale_batch(256)
    }
}
