//! What scales an update of stochastic gradient descent.

/// What scales an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdRates {
    /// Learning rate.
    pub lr: f64,
    /// Share of the buffer that stays, μ.
    pub momentum: f64,
    /// Weight decay.
    pub decay: f64,
}
