//! The attention that mixes the branches of a selective-kernel convolution.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use ssl_core::nn::{BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig, relu};
use ssl_core::{Init, Pass};

/// Channels between the two 1×1 convolutions, per channel of a branch (official README, `--sk_ratio=0.0625`).
const RATIO: f64 = 0.0625;
/// Fewest channels between the two 1×1 convolutions (official `SK_Conv2D`, `min_dim`).
const MIN_CHANNELS: usize = 32;

/// Mixes two branches, channel by channel, with weights that depend on the whole image.
///
/// ```text
/// s    = mean over positions of (a + b)
/// m    = softmax over the branches of fc_select(relu(bn(fc_reduce(s))))
/// out  = m_a · a + m_b · b
/// ```
///
/// The names are those of timm's `SelectiveKernelAttn`.
///
/// # Source
/// Li et al. 2019, section 3.1, <https://arxiv.org/abs/1903.06586>; official SimCLR v2 code, `tf2/resnet.py`,
/// `SK_Conv2D`, where both branches are 3×3 convolutions.
#[derive(Module, Debug)]
pub(super) struct BranchAttention {
    fc_reduce: Conv2d,
    bn: BatchNorm,
    fc_select: Conv2d,
}

impl BranchAttention {
    /// Creates the attention for branches of `channels` channels each.
    pub(super) fn init(channels: usize, bn_splits: usize, init: &mut Init) -> Self {
        let reduced = ((channels as f64 * RATIO) as usize).max(MIN_CHANNELS);
        Self {
            fc_reduce: Conv2dConfig::new(channels, reduced, 1).init(init),
            bn: BatchNormConfig::new(reduced).with_splits(bn_splits).init(init),
            fc_select: Conv2dConfig::new(reduced, 2 * channels, 1).init(init),
        }
    }

    /// # Shapes
    /// - `branches`: concatenated, `[batch, 2 · channel, height, width]`
    /// - returns: `[batch, channel, height, width]`
    pub(super) fn forward(&self, branches: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let [a, b] = halves(branches);
        let pooled = (a.clone() + b.clone()).mean_dim(3).mean_dim(2);
        let reduced = relu(self.bn.forward(self.fc_reduce.forward(pooled), pass));
        let [logit_a, logit_b] = halves(self.fc_select.forward(reduced));
        // The softmax over two values is the sigmoid of their difference.
        let weight_a = sigmoid(logit_a - logit_b);
        weight_a * (a - b.clone()) + b
    }
}

/// The first and the second half of the channels.
fn halves(x: Tensor<4>) -> [Tensor<4>; 2] {
    let [_, channels, _, _] = x.dims();
    [0, 1].map(|half| x.clone().narrow(1, half * channels / 2, channels / 2))
}
