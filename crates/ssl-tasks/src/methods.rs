//! The methods that a program knows by name.

use serde::Serialize;
use serde::de::DeserializeOwned;
use ssl_core::{Encoder, SslMethod};
use toml::Table;

use crate::recipe::{RecipeError, typed};

/// The methods that a program knows by name.
///
/// The commands of this crate know no method by name; `burn-ssl` passes its registry to them.
pub trait Methods {
    /// Whether there is a method of that name.
    fn contains(&self, name: &str) -> bool;

    /// The options of a method with every key written out.
    ///
    /// # Errors
    /// If the name or an option is unknown, or a value is out of range.
    fn resolve(&self, name: &str, options: &Table) -> Result<Table, RecipeError>;

    /// Builds a method from its name and options, and calls `visitor` with it.
    ///
    /// # Errors
    /// Those of [`resolve`](Self::resolve).
    fn with<E: Encoder, V: WithMethod<E>>(
        &self,
        name: &str,
        options: &Table,
        visitor: V,
    ) -> Result<V::Output, RecipeError>;
}

/// A function of a method whose type is known only at run time.
pub trait WithMethod<E: Encoder> {
    /// The result.
    type Output;

    /// Called once, with the method.
    fn run<M: SslMethod<E>>(self, method: M) -> Self::Output;
}

/// A configuration, overridden by the given options.
///
/// # Errors
/// If an option is unknown or has the wrong type.
pub fn with_options<C: Serialize + DeserializeOwned>(config: C, options: &Table) -> Result<C, RecipeError> {
    let mut all = options_of(&config)?;
    all.extend(options.clone());
    typed("method_options", all)
}

/// A configuration as the options of a recipe.
///
/// # Errors
/// If it cannot be written as TOML.
pub fn options_of(config: &impl Serialize) -> Result<Table, RecipeError> {
    Table::try_from(config).map_err(|error| RecipeError::NoText(error.to_string()))
}

/// What the tests of this crate use in place of a registry.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::Recipe;
    use crate::recipe::Draft;

    /// Takes every name and leaves options as they are.
    pub(crate) struct AnyName;

    impl Methods for AnyName {
        fn contains(&self, _name: &str) -> bool {
            false
        }

        fn resolve(&self, _name: &str, options: &Table) -> Result<Table, RecipeError> {
            Ok(options.clone())
        }

        fn with<E: Encoder, V: WithMethod<E>>(
            &self,
            name: &str,
            _options: &Table,
            _visitor: V,
        ) -> Result<V::Output, RecipeError> {
            Err(RecipeError::Method {
                name: name.to_owned(),
                known: "none".into(),
                similar: crate::recipe::DidYouMean::default(),
            })
        }
    }

    /// A recipe of `burn-ssl`, whose files this crate does not see otherwise.
    pub(crate) fn draft(name: &str) -> Draft {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../burn-ssl/recipes").join(name);
        Draft::read(&path.with_extension("toml")).expect("a recipe of burn-ssl")
    }

    pub(crate) fn recipe(name: &str) -> Recipe {
        draft(name).finish().expect("a usable recipe")
    }
}
