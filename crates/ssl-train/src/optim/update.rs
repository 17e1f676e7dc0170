//! The update rules, one function each, on flattened tensors `[parameter]`.

use burn::tensor::{Bool, Tensor};
use ssl_kernels::ops::{self, AdamWRates, SgdRates, layer_squares, sgd_momentum};

use super::{AdamWConfig, LarcConfig, LarsConfig, ParamState, SgdConfig};

/// The rates of one parameter at one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParamRates {
    /// Learning rate.
    pub(super) lr: f64,
    /// Weight decay.
    pub(super) decay: f64,
}

/// ```text
/// g ← g + decay · p;   b ← μ · b + g   (first step: b = g);   p ← p − lr · b      Nesterov: p ← p − lr · (g + μ · b)
/// ```
///
/// # Source
/// `torch.optim.SGD`.
pub(super) fn sgd(
    config: &SgdConfig,
    state: &mut ParamState,
    p: Tensor<1>,
    g: Tensor<1>,
    ParamRates { lr, decay }: ParamRates,
) -> Tensor<1> {
    let &SgdConfig { momentum, nesterov } = config;
    with_momentum(state, p, g, SgdRates { lr, momentum, decay, nesterov, lr_in_momentum: false }, None)
}

/// ```text
/// g ← g + decay · p;   g ← g · η ‖p‖ / ‖g‖   if both norms are above 0;   then momentum
/// ```
///
/// With `lr_in_momentum`, momentum is `b ← μ · b + lr · g;   p ← p − b`. With `clip_lr` the factor is that of [`larc`].
/// Tensors of one axis have only momentum; see [`lars_1d`].
///
/// # Source
/// You et al. 2017, algorithm 1, <https://arxiv.org/abs/1708.03888>, as in the official code of Barlow Twins
/// (`main.py`, class `LARS`): the norm is that of the gradient after weight decay, without an epsilon.
pub(super) fn lars(
    config: &LarsConfig,
    state: &mut ParamState,
    p: Tensor<1>,
    g: Tensor<1>,
    rates: ParamRates,
) -> Tensor<1> {
    let layer = match config.clip_lr {
        true => layer_of_larc(config.trust_coefficient, true, &p, &g, rates),
        false => {
            let [p_norm, g_norm] = norms(&p, &g, rates.decay);
            let degenerate = degenerate(&p_norm, &g_norm);
            let denominator = g_norm.mask_fill(degenerate.clone(), 1.0);
            let factor = p_norm.mul_scalar(config.trust_coefficient) / denominator;
            let factor = factor.mask_fill(degenerate, 1.0);
            Tensor::cat(vec![factor.clone(), factor.ones_like()], 0)
        }
    };
    with_momentum(state, p, g, of_lars(config, rates), Some(layer))
}

/// LARS without a layer-wise rate: only its momentum.
///
/// ```text
/// b ← μ · b + g;   p ← p − lr · b          with `lr_in_momentum`:   b ← μ · b + lr · g;   p ← p − b
/// ```
pub(super) fn lars_1d(
    config: &LarsConfig,
    state: &mut ParamState,
    p: Tensor<1>,
    g: Tensor<1>,
    lr: f64,
) -> Tensor<1> {
    with_momentum(state, p, g, of_lars(config, ParamRates { lr, decay: 0.0 }), None)
}

fn of_lars(config: &LarsConfig, ParamRates { lr, decay }: ParamRates) -> SgdRates {
    let &LarsConfig { momentum, lr_in_momentum, .. } = config;
    SgdRates { lr, momentum, decay, nesterov: false, lr_in_momentum }
}

/// ```text
/// g ← (g + decay · p) · η ‖p‖ / (‖g‖ + decay · ‖p‖ + 1e-8)   if both norms are above 0;   then momentum
/// ```
///
/// With `clip_lr` the factor is `min(η ‖p‖ / (‖g‖ + decay · ‖p‖ + 1e-8) / lr, 1)`, so that the rate of a layer, `lr` times
/// the factor, is at most `lr`.
///
/// # Source
/// NVIDIA apex `LARC(clip=False)` around SGD, as SwAV uses it: `‖g‖` before weight decay. `clip_lr` is `LARC(clip=True)`, and
/// solo-learn's LARS (`solo/utils/lars.py`, `clip_lr`) on tensors of more than one axis.
pub(super) fn larc(
    config: &LarcConfig,
    state: &mut ParamState,
    p: Tensor<1>,
    g: Tensor<1>,
    rates: ParamRates,
) -> Tensor<1> {
    let layer = layer_of_larc(config.trust_coefficient, config.clip_lr, &p, &g, rates);
    let ParamRates { lr, decay } = rates;
    let rates = SgdRates { lr, momentum: config.momentum, decay, ..SgdRates::default() };
    with_momentum(state, p, g, rates, Some(layer))
}

/// The factor of a layer's gradient in [`larc`], and the share of its weight decay: `[2]`.
fn layer_of_larc(
    trust_coefficient: f64,
    clip_lr: bool,
    p: &Tensor<1>,
    g: &Tensor<1>,
    ParamRates { lr, decay }: ParamRates,
) -> Tensor<1> {
    let [p_norm, g_norm] = norms(p, g, 0.0);
    let degenerate = degenerate(&p_norm, &g_norm);
    let denominator = g_norm + p_norm.clone().mul_scalar(decay) + 1e-8;
    let factor = p_norm.mul_scalar(trust_coefficient) / denominator;
    let factor = match (clip_lr, lr > 0.0) {
        (true, true) => factor.div_scalar(lr).clamp_max(1.0),
        // The limit of the above: at the start of a warm-up no layer's rate is below `lr`.
        (true, false) => factor.ones_like(),
        (false, _) => factor,
    };
    let factor = factor.mask_fill(degenerate.clone(), 1.0);
    // Where there is no factor, the official wrapper adds no weight decay either.
    let share = factor.ones_like().mask_fill(degenerate, 0.0);
    Tensor::cat(vec![factor, share], 0)
}

/// ```text
/// p ← p · (1 − lr · decay);   m ← β₁ m + (1 − β₁) g;   v ← β₂ v + (1 − β₂) g²
/// p ← p − lr / (1 − β₁ᵗ) · m / (sqrt(v) / sqrt(1 − β₂ᵗ) + ε)
/// ```
///
/// # Source
/// `torch.optim.AdamW`.
pub(super) fn adamw(
    config: &AdamWConfig,
    state: &mut ParamState,
    p: Tensor<1>,
    g: Tensor<1>,
    ParamRates { lr, decay }: ParamRates,
) -> Tensor<1> {
    let step = i32::try_from(state.steps).unwrap_or(i32::MAX);
    let rates = AdamWRates { lr, decay, betas: config.betas, eps: config.eps, step };
    let moments = state.first.take().zip(state.second.take()).map(<[_; 2]>::from);
    let (p, [first, second]) = ops::adamw(p, g, moments, rates);
    (state.first, state.second) = (Some(first), Some(second));
    p
}

/// The parameters after a step of [`sgd_momentum`]. Without momentum, there is no buffer to keep.
fn with_momentum(
    state: &mut ParamState,
    p: Tensor<1>,
    g: Tensor<1>,
    rates: SgdRates,
    layer: Option<Tensor<1>>,
) -> Tensor<1> {
    let (p, buffer) = sgd_momentum(p, g, state.first.take(), rates, layer);
    state.first = (rates.momentum > 0.0).then_some(buffer);
    p
}

/// Whether a norm is 0, so that there is no ratio. Computed on the device: reading a norm back would stall a GPU.
fn degenerate(p_norm: &Tensor<1>, g_norm: &Tensor<1>) -> Tensor<1, Bool> {
    p_norm.clone().equal_elem(0.0).bool_or(g_norm.clone().equal_elem(0.0))
}

/// `‖p‖` and `‖g + decay · p‖`, `[1]` each.
fn norms(p: &Tensor<1>, g: &Tensor<1>, decay: f64) -> [Tensor<1>; 2] {
    let norms = layer_squares(p, g, decay).sqrt();
    [0, 1].map(|index| norms.clone().slice_dim(0, index..index + 1))
}
