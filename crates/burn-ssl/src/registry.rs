//! The methods by name: the only place that maps a name to a method crate.

pub mod advice;

use serde::Serialize;
use ssl_core::{Encoder, Needs, SslMethod};
use ssl_encoders::AnyEncoder;
pub use ssl_tasks::methods::{Methods, WithMethod};
use ssl_tasks::methods::{options_of, with_options};
use toml::Table;

use crate::recipe::{DidYouMean, RecipeError, RecipeName};

/// A method of this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MethodInfo {
    /// The name, as recipes have it under `method`.
    pub name: &'static str,
    /// The idea in one line.
    pub about: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// The crate that implements it.
    #[serde(rename = "crate")]
    pub crate_name: &'static str,
}

impl MethodInfo {
    /// The names of its recipes, such as `simclr/cifar10`.
    pub fn recipes(&self) -> impl Iterator<Item = RecipeName> + use<> {
        let name = self.name;
        RecipeName::all().filter(move |recipe| recipe.method() == Some(name))
    }
}

/// One line per method: cargo feature, crate, name, default configuration, idea, paper.
macro_rules! methods {
    ($(($feature:literal, $krate:ident, $name:literal, $config:expr, $about:literal, $paper:literal),)*) => {
        /// The methods of this build.
        pub const METHODS: &[MethodInfo] = &[$(
            #[cfg(feature = $feature)]
            MethodInfo { name: $name, about: $about, paper: $paper, crate_name: concat!("ssl-", $feature) },
        )*];

        /// Builds a method from its name and options, and calls `visitor` with it.
        ///
        /// ```
        /// use burn_ssl::prelude::*;
        /// use burn_ssl::registry::{WithMethod, with_method};
        ///
        /// struct Views;
        ///
        /// impl WithMethod<AnyEncoder> for Views {
        ///     type Output = usize;
        ///
        ///     fn run<M: SslMethod<AnyEncoder>>(self, method: M) -> usize {
        ///         method.needs().global_views
        ///     }
        /// }
        ///
        /// assert_eq!(with_method("simclr", &Default::default(), Views)?, 2);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        ///
        /// # Errors
        /// If the name or an option is unknown, or a value is out of range.
        pub fn with_method<E: Encoder, V: WithMethod<E>>(
            name: &str,
            options: &Table,
            visitor: V,
        ) -> Result<V::Output, RecipeError> {
            match name {
                $(#[cfg(feature = $feature)]
                $name => {
                    use $krate::*;
                    let config = with_options($config, options)?;
                    let method = config.build().map_err(RecipeError::method_option)?;
                    Ok(visitor.run(method))
                })*
                _ => Err(unknown(name)),
            }
        }

        /// The options of a method with every key written out.
        ///
        /// # Errors
        /// Those of [`with_method`].
        pub fn resolve_options(name: &str, options: &Table) -> Result<Table, RecipeError> {
            match name {
                $(#[cfg(feature = $feature)]
                $name => {
                    use $krate::*;
                    options_of(&with_options($config, options)?)
                })*
                _ => Err(unknown(name)),
            }
        }
    };
}

methods! {
    ("simclr", ssl_simclr, "simclr", SimClrConfig::new(), "two views of an image attract, all other images of the batch repel", "https://arxiv.org/abs/2002.05709"),
    ("simclr", ssl_simclr, "simclr-v2", SimClrConfig::v2(), "SimCLR with a deeper projector, kept in part for fine-tuning", "https://arxiv.org/abs/2006.10029"),
    ("simclr", ssl_simclr, "dcl", DclConfig::dcl(), "SimCLR whose positives are no candidates, for small batches", "https://arxiv.org/abs/2110.06848"),
    ("simclr", ssl_simclr, "dclw", DclConfig::dclw(), "DCL whose positives weigh more the farther apart they are", "https://arxiv.org/abs/2110.06848"),
    ("moco", ssl_moco, "moco-v1", MoCoConfig::v1(), "a query finds the teacher's key of its image among a queue of older keys", "https://arxiv.org/abs/1911.05722"),
    ("moco", ssl_moco, "moco-v2", MoCoConfig::v2(), "MoCo with a projector of two layers, stronger views and a cosine schedule", "https://arxiv.org/abs/2003.04297"),
    ("moco", ssl_moco, "moco-v3", MoCoV3Config::new(), "MoCo without a queue, with a predictor and a symmetric loss, for ResNet and ViT", "https://arxiv.org/abs/2104.02057"),
    ("nnclr", ssl_nnclr, "nnclr", NnClrConfig::new(), "the positive is the nearest neighbour of the other view among earlier images", "https://arxiv.org/abs/2104.14548"),
    ("byol", ssl_byol, "byol", ByolConfig::new(), "a predictor guesses what the teacher says of the other view; no negatives", "https://arxiv.org/abs/2006.07733"),
    ("simsiam", ssl_simsiam, "simsiam", SimSiamConfig::new(), "a predictor and a stopped gradient, neither negatives nor a teacher", "https://arxiv.org/abs/2011.10566"),
    ("swav", ssl_swav, "swav", SwavConfig::new(), "one view predicts which prototypes another view is assigned to", "https://arxiv.org/abs/2006.09882"),
    ("dino", ssl_dino, "dino", DinoConfig::new(), "small crops predict what a sharpened, centred teacher says of large ones", "https://arxiv.org/abs/2104.14294"),
    ("barlow-twins", ssl_barlow_twins, "barlow-twins", BarlowTwinsConfig::new(), "the cross-correlation of two views' embeddings is driven to the identity", "https://arxiv.org/abs/2103.03230"),
    ("vicreg", ssl_vicreg, "vicreg", VicRegConfig::new(), "views agree, every dimension varies, and no two say the same", "https://arxiv.org/abs/2105.04906"),
    ("tico", ssl_tico, "tico", TiCoConfig::new(), "views agree with a teacher's and avoid the directions that embeddings took lately", "https://arxiv.org/abs/2206.10698"),
    ("lejepa", ssl_lejepa, "lejepa", LeJepaConfig::new(), "views of an image agree, and embeddings are normally distributed; no teacher", "https://arxiv.org/abs/2511.08544"),
    ("mae", ssl_mae, "mae", MaeConfig::new(), "an encoder sees a quarter of the patches, a decoder predicts the pixels of the others", "https://arxiv.org/abs/2111.06377"),
    ("simmim", ssl_simmim, "simmim", SimMimConfig::new(), "a linear layer predicts the pixels of patches that the encoder sees as hidden", "https://arxiv.org/abs/2111.09886"),
    ("ijepa", ssl_ijepa, "ijepa", IJepaConfig::new(), "a predictor guesses what a teacher says of blocks of patches, from a context without them", "https://arxiv.org/abs/2301.08243"),
    ("msn", ssl_msn, "msn", MsnConfig::new(), "an image with hidden patches is assigned to the prototypes of the whole image", "https://arxiv.org/abs/2204.07141"),
    ("distill-features", ssl_distill_features, "distill-features", DistillFeaturesConfig::new(), "a student learns what a frozen teacher of any architecture says of each image", "https://arxiv.org/abs/1412.6550"),
    ("ibot", ssl_ibot, "ibot", IBotConfig::new(), "DINO, and a guess of what the teacher says of patches that are hidden from the student", "https://arxiv.org/abs/2111.07832"),
    ("dinov2", ssl_dinov2, "dinov2", DinoV2Config::new(), "DINO and iBOT with balanced assignments, and class tokens that keep apart", "https://arxiv.org/abs/2304.07193"),
    ("supcon", ssl_supcon, "supcon", SupConConfig::new(), "views of all images of a class attract; needs labels", "https://arxiv.org/abs/2004.11362"),
}

/// The entry of a method.
///
/// # Errors
/// If this build has no method of that name.
pub fn method(name: &str) -> Result<&'static MethodInfo, RecipeError> {
    METHODS.iter().find(|method| method.name == name).ok_or_else(|| unknown(name))
}

/// What a method needs from the data and the encoder, with its default options.
///
/// # Errors
/// If this build has no method of that name.
pub fn needs(name: &str) -> Result<Needs, RecipeError> {
    struct Ask;

    impl WithMethod<AnyEncoder> for Ask {
        type Output = Needs;

        fn run<M: SslMethod<AnyEncoder>>(self, method: M) -> Needs {
            method.needs()
        }
    }

    with_method(name, &Table::new(), Ask)
}

fn unknown(name: &str) -> RecipeError {
    let known: Vec<_> = METHODS.iter().map(|method| method.name).collect();
    let similar = DidYouMean::of(name, known.iter().copied());
    RecipeError::Method { name: name.to_owned(), known: known.join(", "), similar }
}

/// The methods of this build, for the commands of `ssl-tasks`.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuiltIn;

impl Methods for BuiltIn {
    fn contains(&self, name: &str) -> bool {
        method(name).is_ok()
    }

    fn resolve(&self, name: &str, options: &Table) -> Result<Table, RecipeError> {
        resolve_options(name, options)
    }

    fn with<E: Encoder, V: WithMethod<E>>(
        &self,
        name: &str,
        options: &Table,
        visitor: V,
    ) -> Result<V::Output, RecipeError> {
        with_method(name, options, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::SslMethod;
    use ssl_encoders::AnyEncoder;

    struct Nothing;

    impl WithMethod<AnyEncoder> for Nothing {
        type Output = ();

        fn run<M: SslMethod<AnyEncoder>>(self, _method: M) {}
    }

    fn build(name: &str, options: &str) -> Result<(), String> {
        let options = options.parse::<Table>().expect("TOML");
        with_method(name, &options, Nothing).map_err(|error| error.to_string())
    }

    #[test]
    fn every_method_builds_from_no_options_and_has_a_recipe() {
        for method in METHODS {
            assert_eq!(build(method.name, ""), Ok(()));
            assert!(method.recipes().count() > 0, "{} has no recipe", method.name);
        }
    }

    #[test]
    fn versions_of_a_method_differ_in_their_defaults() {
        let layers =
            |name| resolve_options(name, &Table::new()).expect("defaults")["projector_layers"].as_integer();
        assert_eq!((layers("simclr"), layers("simclr-v2")), (Some(2), Some(3)));
    }

    #[test]
    fn a_wrong_name_key_type_or_value_is_named_with_what_is_accepted() {
        let error = |name, options| build(name, options).expect_err("unusable");
        let name = error("simclr-v3", "");
        assert!(name.starts_with("unknown method 'simclr-v3': expected one of simclr, simclr-v2"), "{name}");
        let key = error("simclr", "temprature = 0.1");
        assert!(
            key.starts_with("unknown key 'method_options.temprature': expected one of temperature, "),
            "{key}"
        );
        let kind = error("simclr", "temperature = \"hot\"");
        assert_eq!(kind, "method_options.temperature: found string \"hot\", expected a number");
        let value = error("simclr", "temperature = 0");
        assert_eq!(value, "method_options.temperature is 0, expected a number above 0");
    }
}
