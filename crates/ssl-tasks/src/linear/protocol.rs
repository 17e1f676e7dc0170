//! Linear probes as papers have them.

use ssl_core::names;
use ssl_eval::{ProbeHead, ProbeInput};
use ssl_train::{AdamWConfig, LarsConfig, OptimizerConfig};

/// A linear probe as a paper has it.
///
/// Images are prepared as in all of them: a random crop and a flip for training, the centre for testing. Numbers are those of
/// ImageNet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// A linear layer on the features: SGD without weight decay, rate `0.1 · batch / 256`, 100 epochs (SimCLR, appendix B.6;
    /// its epochs are 90).
    #[default]
    SimClr,
    /// Batch norm without weight and bias before the layer: LARS without weight decay, rate `0.1 · batch / 256`, 90 epochs of
    /// which 10 are warm-up (MAE, appendix A.1 and `LINPROBE`; its batch is 16384).
    Mae,
    /// The class tokens of the last 4 blocks: SGD, rate `0.001 · batch / 256`, 100 epochs (DINO, `eval_linear.py` for ViT-S).
    Dino,
    /// As DINO, with the mean of the last block's patches: SGD, rate `0.005 · batch / 256`, 10 epochs. DINOv2 (`eval/linear.py`)
    /// tries 13 rates from 1e-5 to 0.1, with 1 and 4 blocks, with and without the mean, and reports the best; this is one of them.
    DinoV2,
    /// An attentive probe: AdamW, rate 0.001, weight decay 0.01, 20 epochs (our choice, near that of V-JEPA, whose videos
    /// need other numbers).
    Attentive,
}

names!(Protocol: "protocol" {
    SimClr = "simclr",
    Mae = "mae",
    Dino = "dino",
    DinoV2 = "dinov2",
    Attentive = "attentive",
});

impl Protocol {
    pub(super) fn input(self) -> ProbeInput {
        match self {
            Self::SimClr | Self::Mae => ProbeInput::Features,
            Self::Dino => ProbeInput::Blocks { count: 4, patch_mean: false },
            Self::DinoV2 => ProbeInput::Blocks { count: 4, patch_mean: true },
            Self::Attentive => ProbeInput::Patches,
        }
    }

    pub(super) fn head(self) -> ProbeHead {
        match self {
            Self::SimClr | Self::Dino | Self::DinoV2 => ProbeHead::Linear,
            Self::Mae => ProbeHead::BatchNorm,
            Self::Attentive => ProbeHead::Attentive,
        }
    }

    pub(super) fn epochs(self) -> u64 {
        match self {
            Self::SimClr | Self::Dino => 100,
            Self::Mae => 90,
            Self::DinoV2 => 10,
            Self::Attentive => 20,
        }
    }

    pub(super) fn warmup_epochs(self) -> f64 {
        match self {
            Self::Mae => 10.0,
            Self::SimClr | Self::Dino | Self::DinoV2 | Self::Attentive => 0.0,
        }
    }

    pub(super) fn optimizer(self) -> OptimizerConfig {
        let sgd = OptimizerConfig::default;
        match self {
            Self::SimClr => sgd().with_lr(0.1).with_lr_scale_batch(256),
            Self::Mae => OptimizerConfig::new(LarsConfig::default()).with_lr(0.1).with_lr_scale_batch(256),
            Self::Dino => sgd().with_lr(0.001).with_lr_scale_batch(256),
            Self::DinoV2 => sgd().with_lr(0.005).with_lr_scale_batch(256),
            Self::Attentive => {
                OptimizerConfig::new(AdamWConfig::default()).with_lr(0.001).with_weight_decay(0.01)
            }
        }
    }
}
