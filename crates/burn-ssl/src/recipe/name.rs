//! The recipes of the library, one file each.

use std::fmt;

use super::RecipeError;

/// Images of at most so many pixels a side are like CIFAR's: small recipes and the CIFAR stem (our choice; Tiny ImageNet
/// has 64, STL-10, the next larger set of the field, 96).
const SMALL: usize = 64;

const FILES: &[(&str, &str)] = &[
    ("simclr/cifar10", include_str!("../../recipes/simclr/cifar10.toml")),
    ("simclr/imagenet", include_str!("../../recipes/simclr/imagenet.toml")),
    ("simclr-v2/cifar10", include_str!("../../recipes/simclr-v2/cifar10.toml")),
    ("simclr-v2/imagenet", include_str!("../../recipes/simclr-v2/imagenet.toml")),
    ("demo", include_str!("../../recipes/demo.toml")),
];

/// The name of a recipe of the library: `<method>/<data set>`, or `demo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipeName {
    name: &'static str,
    text: &'static str,
}

impl RecipeName {
    /// All recipes of the library.
    pub fn all() -> impl Iterator<Item = Self> {
        FILES.iter().map(|&(name, text)| Self { name, text })
    }

    /// The recipe of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(name: &str) -> Result<Self, RecipeError> {
        let known = || Self::all().map(|recipe| recipe.name).collect::<Vec<_>>().join(", ");
        let found = Self::all().find(|recipe| recipe.name == name);
        found.ok_or_else(|| RecipeError::Name { name: name.to_owned(), known: known() })
    }

    /// The recipe that a method uses unless told otherwise: `<method>/cifar10` for images of up to 64 pixels on their
    /// longer side, `<method>/imagenet` for larger ones.
    ///
    /// # Errors
    /// If this build has no such method.
    pub fn of_method(method: &str, pixels: usize) -> Result<Self, RecipeError> {
        let method = crate::registry::method(method)?;
        Self::find(&format!("{}/{}", method.name, data_set(pixels)))
    }

    /// A recipe for images of so many pixels, whatever the method.
    pub(crate) fn of_images(pixels: usize) -> Option<Self> {
        Self::all().find(|recipe| recipe.name.ends_with(data_set(pixels)))
    }

    /// The name.
    pub fn as_str(&self) -> &'static str {
        self.name
    }

    /// The method in the name, if it has one.
    pub fn method(&self) -> Option<&'static str> {
        self.name.split_once('/').map(|(method, _)| method)
    }

    /// The file, with its comments.
    pub fn text(&self) -> &'static str {
        self.text
    }
}

fn data_set(pixels: usize) -> &'static str {
    if pixels <= SMALL { "cifar10" } else { "imagenet" }
}

impl fmt::Display for RecipeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_takes_the_recipe_of_the_images_size() {
        let name = |pixels| RecipeName::of_method("simclr", pixels).expect("known").as_str();
        assert_eq!((name(32), name(64), name(65)), ("simclr/cifar10", "simclr/cifar10", "simclr/imagenet"));
    }

    #[test]
    fn every_file_tells_whether_it_was_measured() {
        for recipe in RecipeName::all() {
            let measured = recipe.text.lines().filter(|line| line.starts_with("# Measured: ")).count();
            assert_eq!(measured, 1, "{recipe}");
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let error = RecipeName::find("simclr/mars").expect_err("unknown").to_string();
        assert!(
            error.starts_with("there is no recipe 'simclr/mars': expected one of simclr/cifar10, "),
            "{error}"
        );
    }
}
