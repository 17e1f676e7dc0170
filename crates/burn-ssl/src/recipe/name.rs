//! The built-in recipes, one file each.

use std::fmt;

use ssl_encoders::EncoderConfig;

use super::{DidYouMean, NamedRecipe, Recipe, RecipeError};
use crate::registry::METHODS;

/// Images of up to this many pixels a side get the CIFAR recipes and the CIFAR stem (our choice: Tiny ImageNet has 64,
/// STL-10, the next larger data set, 96).
const SMALL: usize = 64;

/// Suffix of recipes for short runs, which are never selected unless named.
const QUICK: &str = "-quick";

/// The files of `recipes/`, sorted by name, so that the usual recipe of a data set comes before its variants.
const FILES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/recipes.rs"));

/// The name of a built-in recipe: `<method>/<data set>`, or `demo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipeName {
    name: &'static str,
    text: &'static str,
}

impl RecipeName {
    /// All built-in recipes, in the order of the methods of this build.
    pub fn all() -> impl Iterator<Item = Self> {
        let of = |method: Option<&'static str>| {
            FILES.iter().map(|&(name, text)| Self { name, text }).filter(move |it| it.method() == method)
        };
        METHODS.iter().flat_map(move |method| of(Some(method.name))).chain(of(None))
    }

    /// The recipe of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(name: &str) -> Result<Self, RecipeError> {
        let found = Self::all().find(|recipe| recipe.name == name);
        found.ok_or_else(|| {
            let known: Vec<_> = Self::all().map(|recipe| recipe.name).collect();
            let similar = DidYouMean::of(name, known.iter().copied());
            RecipeError::Name { name: name.to_owned(), known: known.join(", "), similar }
        })
    }

    /// The default recipe of a method: `<method>/cifar10` for images of up to 64 pixels on their
    /// longer side, `<method>/imagenet` for larger ones.
    ///
    /// # Errors
    /// If this build has no such method.
    pub fn of_method(method: &str, pixels: usize) -> Result<Self, RecipeError> {
        let method = crate::registry::method(method)?;
        Self::find(&format!("{}/{}", method.name, data_set(pixels)))
    }

    /// The default recipe of a method for a model: [`of_method`](Self::of_method), or a variant such as
    /// `moco-v3/imagenet-vit` if that is for models of this kind. Recipes for short runs, such as
    /// `simclr/cifar10-quick`, are never selected.
    ///
    /// # Errors
    /// If this build has no such method.
    pub fn of_model(method: &str, model: &str, pixels: usize) -> Result<Self, RecipeError> {
        let usual = Self::of_method(method, pixels)?;
        let is_vit = EncoderConfig::named(model).is_vit();
        let mut variants = Self::all().filter(|recipe| is_variant(recipe.name, usual.name));
        let fitting = variants
            .find(|recipe| Recipe::named(recipe.name).is_ok_and(|recipe| recipe.encoder.is_vit() == is_vit));
        Ok(fitting.unwrap_or(usual))
    }

    /// The name.
    pub fn as_str(&self) -> &'static str {
        self.name
    }

    /// The method in the name, if there is one.
    pub fn method(&self) -> Option<&'static str> {
        self.name.split_once('/').map(|(method, _)| method)
    }

    /// The file, with its comments.
    pub fn text(&self) -> &'static str {
        self.text
    }
}

/// Whether a recipe is the usual one or a variant of it.
fn is_variant(name: &str, usual: &str) -> bool {
    let rest = name.strip_prefix(usual);
    rest.is_some_and(|rest| rest.is_empty() || (rest.starts_with('-') && rest != QUICK))
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

    #[cfg(all(feature = "moco", feature = "dino"))]
    #[test]
    fn a_model_takes_the_variant_of_its_kind_where_there_is_one() {
        let name =
            |method, model, pixels| RecipeName::of_model(method, model, pixels).expect("known").as_str();
        assert_eq!(name("moco-v3", "vit-small", 224), "moco-v3/imagenet-vit");
        assert_eq!(name("moco-v3", "vit-tiny", 32), "moco-v3/cifar10-vit");
        assert_eq!(name("moco-v3", "resnet50", 224), "moco-v3/imagenet");
        assert_eq!(name("dino", "resnet18", 224), "dino/imagenet-resnet50");
        assert_eq!(name("dino", "vit-base", 224), "dino/imagenet");
        assert_eq!(name("simclr", "vit-tiny", 32), "simclr/cifar10");
        assert_eq!(name("simclr", "resnet19", 32), "simclr/cifar10");
    }

    #[test]
    fn a_recipe_for_short_runs_is_taken_by_its_name_alone() {
        for method in METHODS {
            let quick = format!("{}/cifar10{QUICK}", method.name);
            assert_eq!(RecipeName::find(&quick).map(|recipe| recipe.as_str().to_owned()), Ok(quick.clone()));
            for model in ["resnet18", "resnet50", "vit-tiny"] {
                for pixels in [32, 224] {
                    let name = RecipeName::of_model(method.name, model, pixels).expect("known").as_str();
                    assert!(
                        !name.ends_with(QUICK),
                        "{} with {model} at {pixels} pixels: {name}",
                        method.name
                    );
                }
            }
        }
        assert!(is_variant("moco-v3/cifar10-vit", "moco-v3/cifar10"));
        assert!(!is_variant("moco-v3/cifar10-quick", "moco-v3/cifar10"));
    }

    #[test]
    fn every_method_has_a_recipe_for_small_and_for_large_images() {
        for method in METHODS {
            for pixels in [32, 224] {
                let recipe = RecipeName::of_method(method.name, pixels)
                    .and_then(|name| Recipe::named(name.as_str()))
                    .unwrap_or_else(|error| panic!("{}: {error}", method.name));
                assert_eq!((recipe.method.as_str(), recipe.data.image_size), (method.name, pixels));
            }
        }
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
