//! The coefficients of an SGD update.

/// The coefficients of an SGD update.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SgdRates {
    /// Learning rate.
    pub lr: f64,
    /// Momentum, μ: the fraction of the buffer that is kept.
    pub momentum: f64,
    /// Weight decay.
    pub decay: f64,
    /// Whether the step is along the next buffer, `g + μ · b`.
    pub nesterov: bool,
    /// Whether the buffer holds steps: `b ← μ · b + lr · g`, and `p ← p − b`.
    pub lr_in_momentum: bool,
}
