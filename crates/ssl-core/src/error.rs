//! Configuration errors.

/// An unusable value in a configuration: the field, the value found, and what was expected.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
#[error("{field} is {found}, expected {expected}")]
pub struct ConfigError {
    /// The field, as a recipe spells it.
    pub field: &'static str,
    /// The value that was found.
    pub found: String,
    /// What would be accepted.
    pub expected: &'static str,
}

impl ConfigError {
    /// Fails with `expected` unless `holds` is true.
    pub fn check(
        holds: bool,
        field: &'static str,
        found: impl ToString,
        expected: &'static str,
    ) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { field, found: found.to_string(), expected }) }
    }
}
