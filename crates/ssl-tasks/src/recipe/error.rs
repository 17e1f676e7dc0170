//! What can be wrong with a recipe, each in one sentence.

use std::path::PathBuf;

use ssl_core::ConfigError;
use ssl_data::{MaskError, ViewError};

use super::DidYouMean;

/// Why a recipe cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// A value is left to the images and the device, where a number is needed.
    #[error("{0} is 'auto', which is a choice by images and device: expected a number here")]
    Auto(&'static str),
    /// No method of this build has that name.
    #[error("unknown method '{name}': expected one of {known}{similar}")]
    Method {
        /// The name.
        name: String,
        /// The methods of this build.
        known: String,
        /// Those that may have been meant.
        similar: DidYouMean,
    },
    /// A custom method has the name of a built-in one.
    #[error("'{0}' is the name of a built-in method: expected another name for a custom method")]
    NotFromOutside(String),
    /// There is neither a built-in recipe nor a file of that name.
    #[error("there is no recipe '{name}': expected one of {known}, or the path of a .toml file{similar}")]
    Name {
        /// The name.
        name: String,
        /// The built-in recipes.
        known: String,
        /// Those that may have been meant.
        similar: DidYouMean,
    },
    /// A file cannot be read.
    #[error("cannot read the recipe {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The answer of the operating system.
        reason: String,
    },
    /// The text is not TOML.
    #[error("{origin} is not valid TOML: {reason}")]
    Syntax {
        /// Where the text comes from.
        origin: String,
        /// What is wrong, and on which line.
        reason: String,
    },
    /// An unknown key.
    #[error("unknown key '{key}': expected {expected}{similar}")]
    Key {
        /// The key, with the sections it is in.
        key: String,
        /// The keys that this section has.
        expected: String,
        /// Keys of the whole recipe that may have been meant.
        similar: DidYouMean,
    },
    /// A key below a plain value, or past the end of a list.
    #[error(
        "the recipe has no place for '{key}': expected a key in an existing section or list item, such as optimizer.lr or views[0].size"
    )]
    NoPlace {
        /// The key.
        key: String,
    },
    /// A key of an earlier version.
    #[error("the key '{from}' has moved: write it as {to}")]
    Moved {
        /// The key.
        from: String,
        /// The key that replaces it.
        to: String,
    },
    /// A required key is missing.
    #[error("the recipe has no '{0}', which every recipe needs")]
    Missing(String),
    /// A value of the wrong type.
    #[error("{key}: {reason}")]
    Value {
        /// The key, with the sections it is in.
        key: String,
        /// What was found and what was expected.
        reason: String,
    },
    /// An assignment without `=`.
    #[error("cannot set '{text}': expected key=value, such as optimizer.lr=0.1")]
    Assignment {
        /// The assignment.
        text: String,
    },
    /// A value out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An option of the method out of range.
    #[error("method_options.{0}")]
    MethodOption(ConfigError),
    /// Views that cannot be rendered.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Masks that cannot be drawn, or do not fit the views.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// A batch that cannot be cut into micro-batches.
    #[error("{0}")]
    Train(String),
    /// A value that TOML cannot hold: a seed above 2⁶³, a path that is not Unicode.
    #[error("the recipe cannot be written as TOML: {0}")]
    NoText(String),
}

impl RecipeError {
    /// The error of an option of a method, whose key then begins with `method_options`.
    pub fn method_option(error: ConfigError) -> Self {
        Self::MethodOption(error)
    }

    /// The error for a message of serde, recognised by how it begins.
    pub(super) fn from_serde(key: String, message: &str) -> Self {
        let message = message.lines().next().unwrap_or_default();
        let quoted = |text: &str| text.split('`').nth(1).unwrap_or_default().to_owned();
        if let Some(rest) = message.strip_prefix("unknown field ") {
            let expected = rest.split_once(", expected ").map_or("no key here", |(_, expected)| expected);
            let expected = expected.replace('`', "");
            let similar = DidYouMean::of(&key, expected.trim_start_matches("one of ").split(", "));
            return Self::Key { key, expected, similar };
        }
        if let Some(rest) = message.strip_prefix("missing field ") {
            let field = quoted(rest);
            return Self::Missing(if key == "." { field } else { format!("{key}.{field}") });
        }
        let found =
            message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
        let reason =
            found.map_or_else(|| message.to_owned(), |found| format!("found {found}")).replace('`', "'");
        Self::Value { key, reason: in_words(&reason) }
    }
}

impl From<ssl_train::TrainError> for RecipeError {
    fn from(error: ssl_train::TrainError) -> Self {
        match error {
            ssl_train::TrainError::Config(error) => Self::Config(error),
            error => Self::Train(error.to_string()),
        }
    }
}

/// Replaces the names of Rust types with words that readers of recipes know.
fn in_words(reason: &str) -> String {
    const TYPES: [(&str, &str); 7] = [
        ("expected f64", "expected a number"),
        ("expected u64", "expected a whole number of at least 0"),
        ("expected usize", "expected a whole number of at least 0"),
        ("expected u8", "expected a whole number from 0 to 255"),
        ("expected a string", "expected a text in quotes"),
        ("expected a boolean", "expected true or false"),
        ("expected path string", "expected a path in quotes"),
    ];
    let found = TYPES.iter().find(|(rust, _)| reason.ends_with(rust));
    found.map_or_else(|| reason.to_owned(), |(rust, words)| reason.replace(rust, words))
}
