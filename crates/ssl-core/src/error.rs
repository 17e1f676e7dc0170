//! What a configuration can have wrong.

/// A value in a configuration that no run could use: which field, what was found, what is expected.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
#[error("{field} is {found}, expected {expected}")]
pub struct ConfigError {
    /// The field, as a recipe spells it.
    pub field: &'static str,
    /// The value found.
    pub found: String,
    /// What would be accepted.
    pub expected: &'static str,
}

impl ConfigError {
    /// Fails with `expected` unless `holds`.
    pub fn check(
        holds: bool,
        field: &'static str,
        found: impl ToString,
        expected: &'static str,
    ) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { field, found: found.to_string(), expected }) }
    }
}
