//! Hyper-parameters of SimMIM.

use serde::{Deserialize, Serialize};
use ssl_core::ConfigError;

use crate::SimMim;

/// Hyper-parameters of SimMIM: it has none. Which patches are hidden belongs to the recipe, under `[mask]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimMimConfig {}

impl SimMimConfig {
    /// Creates the configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds the method.
    ///
    /// # Errors
    /// None: there is no value to be out of range.
    pub fn build(&self) -> Result<SimMim, ConfigError> {
        Ok(SimMim {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_usable() {
        assert!(SimMimConfig::new().build().is_ok());
    }
}
