//! The coefficients of an SGD update.

/// The coefficients of an SGD update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdRates {
    /// Learning rate.
    pub lr: f64,
    /// Momentum, μ: the fraction of the buffer that is kept.
    pub momentum: f64,
    /// Weight decay.
    pub decay: f64,
}
