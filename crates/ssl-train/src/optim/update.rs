//! The update rules, one function each, on flattened tensors `[parameter]`.

use burn::tensor::{Bool, Tensor};
use ssl_core::math::add_scaled;
use ssl_kernels::ops::{SgdRates, sgd_momentum};

use super::{OptimizerConfig, Slots};

/// ```text
/// g ← g + decay · p;   b ← μ · b + g   (first step: b = g);   p ← p − lr · b      Nesterov: p ← p − lr · (g + μ · b)
/// ```
///
/// # Source
/// `torch.optim.SGD`.
pub(super) fn sgd(
    config: &OptimizerConfig,
    slots: &mut Slots,
    p: Tensor<1>,
    g: Tensor<1>,
    lr: f64,
    decay: f64,
) -> Tensor<1> {
    if config.momentum > 0.0 && !config.nesterov && !config.lr_in_momentum {
        let rates = SgdRates { lr, momentum: config.momentum, decay };
        let (p, buffer) = sgd_momentum(p, g, slots.first.take(), rates);
        slots.first = Some(buffer);
        return p;
    }
    let g = decayed(&p, g, decay);
    if !config.nesterov {
        return momentum(config, slots, p, g, lr);
    }
    let buffer = gather(config, slots, g.clone());
    p - (g + buffer.mul_scalar(config.momentum)).mul_scalar(lr)
}

/// ```text
/// g ← g + decay · p;   g ← g · η ‖p‖ / ‖g‖   if both norms are above 0;   then momentum
/// ```
///
/// # Source
/// You et al. 2017, algorithm 1, <https://arxiv.org/abs/1708.03888>, as in the official code of Barlow Twins
/// (`main.py`, class `LARS`): the norm is that of the gradient after weight decay, without an epsilon.
pub(super) fn lars(
    config: &OptimizerConfig,
    slots: &mut Slots,
    p: Tensor<1>,
    g: Tensor<1>,
    lr: f64,
    decay: f64,
) -> Tensor<1> {
    let g = decayed(&p, g, decay);
    let degenerate = degenerate(&p, &g);
    let denominator = norm(&g).mask_fill(degenerate.clone(), 1.0);
    let factor = norm(&p).mul_scalar(config.trust_coefficient) / denominator;
    momentum(config, slots, p, g * factor.mask_fill(degenerate, 1.0), lr)
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
    config: &OptimizerConfig,
    slots: &mut Slots,
    p: Tensor<1>,
    g: Tensor<1>,
    lr: f64,
    decay: f64,
) -> Tensor<1> {
    let (p_norm, degenerate) = (norm(&p), degenerate(&p, &g));
    let denominator = norm(&g) + p_norm.clone().mul_scalar(decay) + 1e-8;
    let factor = p_norm.mul_scalar(config.trust_coefficient) / denominator;
    let factor = match (config.clip_lr, lr > 0.0) {
        (true, true) => factor.div_scalar(lr).clamp_max(1.0),
        // The limit of the above: at the start of a warm-up no layer's rate is below `lr`.
        (true, false) => factor.ones_like(),
        (false, _) => factor,
    };
    let factor = factor.mask_fill(degenerate.clone(), 1.0);
    // Without a factor the official wrapper adds no weight decay either.
    let decay = Tensor::full([1], decay, &p.device()).mask_fill(degenerate, 0.0);
    let g = (g + p.clone() * decay) * factor;
    momentum(config, slots, p, g, lr)
}

/// ```text
/// p ← p · (1 − lr · decay);   m ← β₁ m + (1 − β₁) g;   v ← β₂ v + (1 − β₂) g²
/// p ← p − lr / (1 − β₁ᵗ) · m / (sqrt(v) / sqrt(1 − β₂ᵗ) + 1e-8)
/// ```
///
/// # Source
/// `torch.optim.AdamW`.
pub(super) fn adamw(
    config: &OptimizerConfig,
    slots: &mut Slots,
    p: Tensor<1>,
    g: Tensor<1>,
    lr: f64,
    decay: f64,
) -> Tensor<1> {
    let [b1, b2] = config.betas;
    let average = |old: Option<Tensor<1>>, new: Tensor<1>, beta: f64| match old {
        Some(old) => old.mul_scalar(beta) + new.mul_scalar(1.0 - beta),
        None => new.mul_scalar(1.0 - beta),
    };
    let m = average(slots.first.take(), g.clone(), b1);
    let v = average(slots.second.take(), g.square(), b2);
    slots.first = Some(m.clone());
    slots.second = Some(v.clone());
    let t = i32::try_from(slots.steps).unwrap_or(i32::MAX);
    let denominator = v.sqrt().div_scalar((1.0 - b2.powi(t)).sqrt()).add_scalar(1e-8);
    p.mul_scalar(1.0 - lr * decay) - (m / denominator).mul_scalar(lr / (1.0 - b1.powi(t)))
}

/// ```text
/// b ← μ · b + g;   p ← p − lr · b          with `lr_in_momentum`:   b ← μ · b + lr · g;   p ← p − b
/// ```
pub(super) fn momentum(
    config: &OptimizerConfig,
    slots: &mut Slots,
    p: Tensor<1>,
    g: Tensor<1>,
    lr: f64,
) -> Tensor<1> {
    if config.lr_in_momentum {
        return p - gather(config, slots, g.mul_scalar(lr));
    }
    add_scaled(p, gather(config, slots, g), -lr)
}

/// The momentum buffer after taking `g` in.
fn gather(config: &OptimizerConfig, slots: &mut Slots, g: Tensor<1>) -> Tensor<1> {
    if config.momentum == 0.0 {
        return g;
    }
    let buffer = match slots.first.take() {
        Some(buffer) => add_scaled(g, buffer, config.momentum),
        None => g,
    };
    slots.first = Some(buffer.clone());
    buffer
}

fn decayed(p: &Tensor<1>, g: Tensor<1>, decay: f64) -> Tensor<1> {
    if decay == 0.0 { g } else { add_scaled(g, p.clone(), decay) }
}

/// Whether a norm is 0, which leaves no ratio. On the device: reading a norm back would stall a GPU.
fn degenerate(p: &Tensor<1>, g: &Tensor<1>) -> Tensor<1, Bool> {
    norm(p).equal_elem(0.0).bool_or(norm(g).equal_elem(0.0))
}

fn norm(x: &Tensor<1>) -> Tensor<1> {
    x.clone().square().sum().sqrt()
}
