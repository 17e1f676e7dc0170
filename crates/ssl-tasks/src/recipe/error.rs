//! What a recipe can have wrong, each in one sentence.

use std::path::PathBuf;

use ssl_core::ConfigError;
use ssl_data::{MaskError, ViewError};

/// Why a recipe cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// No method of this build has that name.
    #[error("unknown method '{name}': expected one of {known}")]
    Method {
        /// The name.
        name: String,
        /// The methods of this build.
        known: String,
    },
    /// A method from outside goes by the name of one that this build has.
    #[error(
        "the recipe is for the method '{0}' of this build: expected a name of its own for a method from outside"
    )]
    NotFromOutside(String),
    /// No recipe of the library has that name, and it is no file.
    #[error("there is no recipe '{name}': expected one of {known}, or the path of a .toml file")]
    Name {
        /// The name.
        name: String,
        /// The recipes of the library.
        known: String,
    },
    /// A file cannot be read.
    #[error("cannot read the recipe {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The answer of the operating system.
        reason: String,
    },
    /// The text is no TOML.
    #[error("{origin} is not valid TOML: {reason}")]
    Syntax {
        /// Where the text is from.
        origin: String,
        /// What is wrong, and in which line.
        reason: String,
    },
    /// A key that no recipe has.
    #[error("unknown key '{key}': expected {expected}")]
    Key {
        /// The key, with the sections it is in.
        key: String,
        /// The keys that this section has.
        expected: String,
    },
    /// A key inside of something that has no keys, or past the end of a list.
    #[error(
        "the recipe has no place for '{key}': expected sections and places that it has, such as optimizer.lr or views[0].size"
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
        /// The key that it is now.
        to: String,
    },
    /// A key that is needed is not there.
    #[error("the recipe has no '{0}', which every recipe needs")]
    Missing(String),
    /// A value of a wrong type.
    #[error("{key}: {reason}")]
    Value {
        /// The key, with the sections it is in.
        key: String,
        /// What was found and what was expected.
        reason: String,
    },
    /// An argument of `--set` that sets nothing.
    #[error("cannot set '{text}': expected key=value, such as optimizer.lr=0.1")]
    Assignment {
        /// The argument.
        text: String,
    },
    /// A value that no run could use.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An option of the method that no run could use.
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
    #[error("the recipe has no text form: {0}")]
    NoText(String),
}

impl RecipeError {
    pub(crate) fn method_option(error: ConfigError) -> Self {
        Self::MethodOption(error)
    }

    /// An error of serde, whose message begins like one of a few.
    pub(super) fn from_serde(key: String, message: &str) -> Self {
        let message = message.lines().next().unwrap_or_default();
        let quoted = |text: &str| text.split('`').nth(1).unwrap_or_default().to_owned();
        if let Some(rest) = message.strip_prefix("unknown field ") {
            let expected = rest.split_once(", expected ").map_or("no key here", |(_, expected)| expected);
            return Self::Key { key, expected: expected.replace('`', "") };
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

/// What Rust calls a type, as a reader of a recipe would.
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
