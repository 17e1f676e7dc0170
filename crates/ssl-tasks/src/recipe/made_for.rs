//! What the numbers of a recipe were chosen for.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, limits};

/// What the numbers of a recipe were chosen for: the `[made_for]` section of a recipe.
///
/// It changes nothing in a run. It tells one that is far shorter from what the recipe was made for, and is what
/// `schedule.batch_size = "auto"` and `schedule.epochs = "auto"` start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeFor {
    /// Number of training images.
    pub images: usize,
    /// Passes over them.
    pub epochs: u64,
    /// Images of a step.
    pub batch_size: usize,
}

impl MadeFor {
    /// # Errors
    /// The first field that is 0, or more than any run has.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let Self { images, epochs, batch_size } = *self;
        limits::images("made_for.images", images)?;
        ConfigError::check(epochs > 0, "made_for.epochs", epochs, "at least 1")?;
        limits::epochs("made_for.epochs", epochs)?;
        let expected = "1 to 1048576, as schedule.batch_size";
        ConfigError::check((1..=1 << 20).contains(&batch_size), "made_for.batch_size", batch_size, expected)
    }

    /// Images that are drawn in all epochs together.
    pub(crate) fn drawn(&self) -> f64 {
        self.images as f64 * self.epochs as f64
    }
}
