//! The update of AdamW.

use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "tch"))]
use super::host::host_of;

/// The coefficients of an AdamW update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWRates {
    /// Learning rate.
    pub lr: f64,
    /// Weight decay.
    pub decay: f64,
    /// β₁ and β₂: the fractions of the moments that are kept.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub eps: f64,
    /// Number of updates, including this one.
    pub step: i32,
}

impl AdamWRates {
    /// `1 − β₁ᵗ` and `sqrt(1 − β₂ᵗ)`.
    pub(super) fn corrections(&self) -> [f64; 2] {
        let [b1, b2] = self.betas;
        [1.0 - b1.powi(self.step), (1.0 - b2.powi(self.step)).sqrt()]
    }
}

/// Returns the new parameters and both moments, in one pass where the backend supports it.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g;   v ← β₂ v + (1 − β₂) g²      (without moments: of 0)
/// p ← p · (1 − lr · decay) − lr / (1 − β₁ᵗ) · m / (sqrt(v) / sqrt(1 − β₂ᵗ) + ε)
/// ```
///
/// # Shapes
/// - all tensors: `[parameter]`, without gradients
///
/// # Source
/// `torch.optim.AdamW`.
pub fn adamw(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    moments: Option<[Tensor<1>; 2]>,
    rates: AdamWRates,
) -> (Tensor<1>, [Tensor<1>; 2]) {
    #[cfg(any(feature = "flex", feature = "tch"))]
    if let Some(host) = host_of!(parameter, gradient)
        && moments.iter().flatten().all(|state| host_of!(parameter, (*state)).is_some())
        && ![&parameter, &gradient].into_iter().chain(moments.iter().flatten()).any(Tensor::is_autodiff)
    {
        return host.adamw(parameter, gradient, moments, rates);
    }
    portable(parameter, gradient, moments, rates)
}

/// The portable version, with Burn's own operations.
pub(super) fn portable(
    p: Tensor<1>,
    g: Tensor<1>,
    moments: Option<[Tensor<1>; 2]>,
    rates: AdamWRates,
) -> (Tensor<1>, [Tensor<1>; 2]) {
    let ([b1, b2], [first, second]) = (rates.betas, rates.corrections());
    let average = |old: Option<Tensor<1>>, new: Tensor<1>, beta: f64| match old {
        Some(old) => old.mul_scalar(beta) + new.mul_scalar(1.0 - beta),
        None => new.mul_scalar(1.0 - beta),
    };
    let (old_m, old_v) = moments.map(|[m, v]| (m, v)).unzip();
    let m = average(old_m, g.clone(), b1);
    let v = average(old_v, g.square(), b2);
    let denominator = v.clone().sqrt().div_scalar(second).add_scalar(rates.eps);
    let step = (m.clone() / denominator).mul_scalar(rates.lr / first);
    (p.mul_scalar(1.0 - rates.lr * rates.decay) - step, [m, v])
}
