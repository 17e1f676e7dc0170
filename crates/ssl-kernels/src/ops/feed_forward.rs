//! The feed-forward half of a transformer's block.

use burn::tensor::Tensor;

use super::{layer_norm, linear, linear_gelu};

/// Parameters of [`feed_forward`].
#[derive(Clone, Debug)]
pub struct FeedForwardWeights {
    /// Weight of the layer norm, `[dim]`.
    pub norm_weight: Tensor<1>,
    /// Bias of the layer norm, `[dim]`.
    pub norm_bias: Tensor<1>,
    /// Added to the variance of the layer norm.
    pub eps: f64,
    /// Weight of the first linear layer, `[hidden, dim]`.
    pub weight1: Tensor<2>,
    /// Bias of the first linear layer, `[hidden]`.
    pub bias1: Tensor<1>,
    /// Weight of the second linear layer, `[dim, hidden]`.
    pub weight2: Tensor<2>,
    /// Bias of the second linear layer, `[dim]`.
    pub bias2: Tensor<1>,
}

/// A pre-norm feed-forward network with its shortcut, on every token separately.
///
/// ```text
/// y = x + gelu(norm(x) weight1ᵀ + bias1) weight2ᵀ + bias2
/// ```
///
/// On `flex`, and in float32 on `tch`, some tokens pass through all of it before the next ones do, so that what is between
/// the layers stays in a cache. Only the argument of GELU is kept for the backward pass.
///
/// # Shapes
/// - `tokens`: `[..., dim]`
/// - returns: the same
pub fn feed_forward<const D: usize>(tokens: Tensor<D>, weights: FeedForwardWeights) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if super::flex::serves(&weights.devices(&tokens).each_ref())
        && weights.all(&tokens, super::flex::loops_take, super::flex::loops_take, super::flex::loops_take)
    {
        return super::cpu::feed_forward::<super::flex::Flex, D>(tokens, weights);
    }
    #[cfg(feature = "tch")]
    if super::libtorch::serves(&weights.devices(&tokens).each_ref())
        && weights.all(
            &tokens,
            super::libtorch::loops_take,
            super::libtorch::loops_take,
            super::libtorch::loops_take,
        )
    {
        return super::cpu::feed_forward::<super::libtorch::Backend, D>(tokens, weights);
    }
    portable(tokens, weights)
}

/// The portable version, with the operations that it consists of.
pub(super) fn portable<const D: usize>(tokens: Tensor<D>, weights: FeedForwardWeights) -> Tensor<D> {
    let FeedForwardWeights { norm_weight, norm_bias, eps, weight1, bias1, weight2, bias2 } = weights;
    let normalised = layer_norm(tokens.clone(), norm_weight, norm_bias, eps);
    tokens + linear(linear_gelu(normalised, weight1, Some(bias1)), weight2, Some(bias2))
}

#[cfg(any(feature = "flex", feature = "tch"))]
impl FeedForwardWeights {
    fn devices<const D: usize>(&self, tokens: &Tensor<D>) -> [burn::tensor::Device; 7] {
        [
            tokens.device(),
            self.norm_weight.device(),
            self.norm_bias.device(),
            self.weight1.device(),
            self.bias1.device(),
            self.weight2.device(),
            self.bias2.device(),
        ]
    }

    /// Whether all operands are such as `take` says.
    fn all<const D: usize>(
        &self,
        tokens: &Tensor<D>,
        take: fn(&Tensor<D>) -> bool,
        take_row: fn(&Tensor<1>) -> bool,
        take_matrix: fn(&Tensor<2>) -> bool,
    ) -> bool {
        take(tokens)
            && [&self.norm_weight, &self.norm_bias, &self.bias1, &self.bias2].into_iter().all(take_row)
            && [&self.weight1, &self.weight2].into_iter().all(take_matrix)
    }
}
