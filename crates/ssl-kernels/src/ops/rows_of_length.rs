//! Rows scaled to a length.

use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "tch"))]
use super::host::host_of;

/// Scales rows to length one, or to `lengths`.
///
/// ```text
/// y = length · x / max(‖x‖₂, eps)
/// ```
///
/// A zero row stays zero and gets a finite gradient.
///
/// # Shapes
/// - `x` and the result: `[row, dim]`, `lengths`: `[row, 1]`
pub fn rows_of_length(x: Tensor<2>, lengths: Option<Tensor<2>>, eps: f64) -> Tensor<2> {
    #[cfg(any(feature = "flex", feature = "tch"))]
    if let Some(host) = host_of!(x, (*lengths.as_ref().unwrap_or(&x))) {
        return host.rows_of_length(x, lengths, eps);
    }
    portable(x, lengths, eps)
}

/// The portable version, with Burn's own operations.
pub(super) fn portable(x: Tensor<2>, lengths: Option<Tensor<2>>, eps: f64) -> Tensor<2> {
    // Clamped before the root, whose derivative at 0 is infinite.
    let norm = x.clone().square().sum_dim(1).clamp_min(eps * eps).sqrt();
    match lengths {
        Some(lengths) => x / norm * lengths,
        None => x / norm,
    }
}
