//! Enums whose variants have user-facing names.

/// A text that is not a valid name: what was found, and the valid names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} '{found}': expected {}", in_words(.expected))]
#[non_exhaustive]
pub struct UnknownName {
    /// What kind of thing is named, such as `stem`.
    pub kind: &'static str,
    /// The text that was found.
    pub found: String,
    /// The valid names.
    pub expected: &'static [&'static str],
}

impl UnknownName {
    /// Creates an error for `found`, which is none of `expected`.
    pub fn new(kind: &'static str, found: &str, expected: &'static [&'static str]) -> Self {
        Self { kind, found: found.to_owned(), expected }
    }
}

fn in_words(names: &[&str]) -> String {
    match names {
        [first @ .., before, last] => [first, &[&format!("{before} or {last}")]].concat().join(", "),
        few => few.concat(),
    }
}

/// Gives the variants of an enum names: [`Display`](std::fmt::Display), [`FromStr`](std::str::FromStr) and `NAMES`. The
/// names should match those that serde uses.
///
/// ```
/// #[derive(Debug, PartialEq)]
/// pub enum Stem {
///     ImageNet,
///     Cifar,
/// }
///
/// ssl_core::names!(Stem: "stem" { ImageNet = "imagenet", Cifar = "cifar" });
///
/// assert_eq!("cifar".parse(), Ok(Stem::Cifar));
/// assert_eq!(Stem::ImageNet.to_string(), "imagenet");
/// let error = "large".parse::<Stem>().unwrap_err();
/// assert_eq!(error.to_string(), "unknown stem 'large': expected imagenet or cifar");
/// ```
#[macro_export]
macro_rules! names {
    ($type:ident: $kind:literal { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            /// The names of all variants.
            pub const NAMES: &'static [&'static str] = &[$($name),+];
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(match self {
                    $(Self::$variant => $name),+
                })
            }
        }

        impl ::std::str::FromStr for $type {
            type Err = $crate::UnknownName;

            fn from_str(text: &str) -> ::std::result::Result<Self, Self::Err> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err($crate::UnknownName::new($kind, text, Self::NAMES)),
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};
    use std::str::FromStr;

    use serde::de::value::{Error, StrDeserializer};
    use serde::de::{DeserializeOwned, IntoDeserializer};

    use super::*;
    use crate::{Activation, Norm, Precision};

    /// Checks that `parse` and serde read the same names, and that they are written as they are read.
    fn assert_agree<T>(names: &[&str])
    where
        T: FromStr<Err = UnknownName> + Display + DeserializeOwned + PartialEq + Debug,
    {
        for name in names {
            let parsed = name.parse::<T>().expect("a name");
            assert_eq!(&parsed.to_string(), name);
            let deserializer: StrDeserializer<'_, Error> = name.into_deserializer();
            assert_eq!(T::deserialize(deserializer), Ok(parsed));
        }
    }

    #[test]
    fn names_are_those_that_recipes_have() {
        assert_agree::<Precision>(Precision::NAMES);
        assert_agree::<Norm>(Norm::NAMES);
        assert_agree::<Activation>(Activation::NAMES);
    }

    #[test]
    fn an_unknown_name_is_answered_with_all_that_there_are() {
        let error = "layer".parse::<Norm>().expect_err("unknown").to_string();
        assert_eq!(error, "unknown norm 'layer': expected none, affine, scale or plain");
        assert_eq!(UnknownName::new("thing", "x", &["one"]).to_string(), "unknown thing 'x': expected one");
    }
}
