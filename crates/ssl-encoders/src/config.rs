//! The encoder section of a recipe.

mod convnext;
mod resnet;
mod vit;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, Init, names};

use crate::models::{Architecture, EXPECTED};
use crate::vit::{Pool, Positions};
use crate::weights::{self, Loaded, WeightsError};
use crate::{AnyEncoder, ConvNextConfig, Family, MODELS, ResNetConfig, Stem, VitConfig, VitInit};

/// Largest image size for which [`StemChoice::Auto`] picks the CIFAR stem: the ImageNet stem would leave the last stage
/// at most 2×2 positions. Our choice; it covers CIFAR (32 pixels) and Tiny ImageNet (64).
const LARGEST_FOR_CIFAR_STEM: usize = 64;

/// The `[encoder]` section of a recipe.
///
/// ```
/// # use ssl_core::{DeviceSpec, Encoder, Init};
/// # use ssl_encoders::EncoderConfig;
/// let config = EncoderConfig { name: "resnet18".into(), width: 8, ..EncoderConfig::default() };
/// let encoder = config.init(32, &mut Init::new(0, &DeviceSpec::Flex.open().unwrap())).unwrap();
/// assert_eq!(encoder.feature_dim(), 64);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncoderConfig {
    /// Name of a model in [`MODELS`]. Default `resnet18` (our choice: the smallest ResNet).
    pub name: String,
    /// Base width of a ResNet. Default 64 (torchvision).
    pub width: usize,
    /// First layers of a ResNet or a ConvNeXt. Default: chosen by image size.
    pub stem: StemChoice,
    /// Whether the blocks of a ResNet start as the identity. Default `false` (torchvision).
    pub zero_init_residual: bool,
    /// Number of groups that each batch norm of a ResNet normalises separately. Default 1.
    pub bn_splits: usize,
    /// Whether the bottlenecks of a ResNet use selective kernels, with the stem and shortcuts of ResNet-D; see
    /// [`ResNetConfig::selective_kernel`]. Default `false` (torchvision).
    pub selective_kernel: bool,
    /// Height and width of a ViT's patches, in pixels; 16 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch_size: Option<usize>,
    /// Length of a ViT's tokens; that of the named model by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embed_dim: Option<usize>,
    /// Number of a ViT's blocks; that of the named model by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Hidden units of a ViT's MLPs divided by the length of its tokens; 4 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mlp_ratio: Option<usize>,
    /// Attention heads of a ViT; those of the named model by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Initial values of a ViT; truncated normal by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vit_init: Option<VitInit>,
    /// Position embedding of a ViT; learned by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
    /// What the feature of a ViT is made of; by default the class token, or the mean of the patches where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
    /// Whether a ViT has a class token; `true` by default. See [`VitConfig::class_token`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_token: Option<bool>,
    /// Number of registers of a ViT; 0 by default. See [`VitConfig::registers`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registers: Option<usize>,
    /// Whether a ViT has a mask token; `false` by default. See [`VitConfig::mask_token`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_token: Option<bool>,
    /// Number of blocks of each of the four stages of a ConvNeXt; those of the named model by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depths: Option<[usize; 4]>,
    /// Channels of each of the four stages of a ConvNeXt; those of the named model by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dims: Option<[usize; 4]>,
    /// Initial value of the layer-scale factors of the blocks of a ViT, no factors by default, or a ConvNeXt, 1e-6 by default. See
    /// [`VitConfig`](crate::VitConfig).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_scale: Option<f64>,
    /// Probability that the last block of a ViT or ConvNeXt drops a branch; 0 by default. See [`VitConfig::drop_path`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_path: Option<f64>,
    /// Weights to start from; see [`weights::load`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
}

/// The choice of the first layers of a ResNet or a ConvNeXt in a recipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum StemChoice {
    /// [`Stem::Cifar`] for images of up to 64 pixels, otherwise [`Stem::ImageNet`].
    #[default]
    Auto,
    /// [`Stem::Cifar`]; of a ConvNeXt, patches of 2 pixels (our choice, see [`ConvNextConfig::patch_size`]).
    Cifar,
    /// [`Stem::ImageNet`]; of a ConvNeXt, patches of 4 pixels.
    ImageNet,
}

names!(StemChoice: "stem" { Auto = "auto", Cifar = "cifar", ImageNet = "imagenet" });

/// Why an encoder cannot be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncoderError {
    /// The configuration has an unusable value.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights to start from cannot be loaded.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self {
            name: "resnet18".to_owned(),
            width: 64,
            stem: StemChoice::Auto,
            zero_init_residual: false,
            bn_splits: 1,
            selective_kernel: false,
            patch_size: None,
            embed_dim: None,
            depth: None,
            mlp_ratio: None,
            heads: None,
            vit_init: None,
            positions: None,
            pool: None,
            class_token: None,
            registers: None,
            mask_token: None,
            depths: None,
            dims: None,
            layer_scale: None,
            drop_path: None,
            init: None,
        }
    }
}

impl EncoderConfig {
    /// Creates the default configuration of a named model.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Creates an encoder for images of `image_size` pixels, with the weights in [`init`](Self::init) if given.
    ///
    /// # Errors
    /// If a value is unusable or the weights cannot be loaded.
    pub fn init(&self, image_size: usize, init: &mut Init) -> Result<AnyEncoder, EncoderError> {
        Ok(self.init_and_tell(image_size, init)?.0)
    }

    /// Like [`init`](Self::init()), and tells what was loaded.
    ///
    /// # Errors
    /// Those of [`init`](Self::init()).
    pub fn init_and_tell(
        &self,
        image_size: usize,
        init: &mut Init,
    ) -> Result<(AnyEncoder, Option<Loaded>), EncoderError> {
        if let Some(path) = &self.init {
            self.check_file(path, image_size)?;
        }
        let encoder = match self.network(image_size)? {
            Network::ResNet(config) => AnyEncoder::ResNet(config.init(init)),
            Network::Vit(config) => AnyEncoder::Vit(config.init(init)),
            Network::ConvNext(config) => AnyEncoder::ConvNext(config.init(init)),
        };
        match &self.init {
            Some(path) => {
                let (encoder, loaded) = weights::load_and_tell(path, encoder)?;
                Ok((encoder, Some(loaded)))
            }
            None => Ok((encoder, None)),
        }
    }

    /// Checks that a file of weights is large enough for the encoder, before the encoder is built; see
    /// [`weights::check_room`].
    ///
    /// # Errors
    /// If a value is unusable, or the file too small.
    pub fn check_file(&self, path: &Path, image_size: usize) -> Result<(), EncoderError> {
        let needed = self.footprint(image_size, image_size)?.parameters;
        Ok(weights::check_room(path, needed)?)
    }

    /// Checks every value except the file in [`init`](Self::init).
    ///
    /// # Errors
    /// The first value that is unusable for images of `image_size` pixels.
    pub fn validate(&self, image_size: usize) -> Result<(), ConfigError> {
        self.network(image_size).map(|_| ())
    }

    /// The same configuration with everything that depends on the image size filled in, as written next to weights.
    pub fn resolved(&self, image_size: usize) -> Self {
        let has_stem = matches!(self.family(), Some(Family::ResNet | Family::ConvNext));
        let stem = match self.stem.resolve(image_size) {
            Stem::Cifar => StemChoice::Cifar,
            Stem::ImageNet => StemChoice::ImageNet,
        };
        Self { stem: if has_stem { stem } else { self.stem }, ..self.clone() }
    }

    /// Height and width of a vision transformer's patches, in pixels; `None` for a model without patches.
    pub fn patch_pixels(&self) -> Option<usize> {
        match self.architecture() {
            Ok(Architecture::Vit(config)) => Some(self.patch_size.unwrap_or(config().patch_size)),
            _ => None,
        }
    }

    /// The configuration of a vision transformer for images of `image_size` pixels, with everything that is not given here as in
    /// the named model; `None` for other models.
    ///
    /// # Errors
    /// If a value is unusable.
    pub fn vit_config(&self, image_size: usize) -> Result<Option<VitConfig>, ConfigError> {
        match self.network(image_size)? {
            Network::Vit(config) => Ok(Some(config)),
            _ => Ok(None),
        }
    }

    /// Whether the named model is a vision transformer; `false` for an unknown name.
    pub fn is_vit(&self) -> bool {
        self.family() == Some(Family::Vit)
    }

    /// The kind of the named model; `None` for an unknown name.
    pub fn family(&self) -> Option<Family> {
        Some(self.architecture().ok()?.family())
    }

    pub(crate) fn network(&self, image_size: usize) -> Result<Network, ConfigError> {
        match self.architecture()? {
            Architecture::ResNet(config) => self.resnet(config(), image_size).map(Network::ResNet),
            Architecture::Vit(config) => self.vit(config(), image_size).map(Network::Vit),
            Architecture::ConvNext(config) => self.convnext(config(), image_size).map(Network::ConvNext),
        }
    }

    fn architecture(&self) -> Result<Architecture, ConfigError> {
        let model = MODELS.iter().find(|model| model.name == self.name);
        model.map(|model| model.architecture).ok_or_else(|| ConfigError {
            field: "encoder.name",
            found: format!("'{}'", self.name),
            expected: EXPECTED,
        })
    }
}

impl StemChoice {
    fn resolve(self, image_size: usize) -> Stem {
        match self {
            Self::Auto if image_size <= LARGEST_FOR_CIFAR_STEM => Stem::Cifar,
            Self::Auto | Self::ImageNet => Stem::ImageNet,
            Self::Cifar => Stem::Cifar,
        }
    }
}

/// A checked configuration.
pub(crate) enum Network {
    ResNet(ResNetConfig),
    Vit(VitConfig),
    ConvNext(ConvNextConfig),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlockKind;

    fn error(config: EncoderConfig, image_size: usize) -> String {
        config.validate(image_size).expect_err("an unusable value").to_string()
    }

    #[test]
    fn names_of_options_are_those_that_recipes_have() {
        fn parsed<T: serde::de::DeserializeOwned>(name: &str) -> Option<T> {
            serde_json::from_str(&format!("\"{name}\"")).ok()
        }
        assert!(StemChoice::NAMES.iter().all(|name| name.parse::<StemChoice>().ok() == parsed(name)));
        assert!(Stem::NAMES.iter().all(|name| name.parse::<Stem>().ok() == parsed(name)));
        assert!(VitInit::NAMES.iter().all(|name| name.parse::<VitInit>().ok() == parsed(name)));
        assert!(Positions::NAMES.iter().all(|name| name.parse::<Positions>().ok() == parsed(name)));
        assert!(Pool::NAMES.iter().all(|name| name.parse::<Pool>().ok() == parsed(name)));
        assert!(BlockKind::NAMES.iter().all(|name| name.parse::<BlockKind>().ok() == parsed(name)));
    }

    #[test]
    fn the_stem_follows_the_size_of_the_images() {
        let stem =
            |choice, size| match (EncoderConfig { stem: choice, ..EncoderConfig::default() }).network(size) {
                Ok(Network::ResNet(config)) => config.stem,
                _ => panic!("resnet18 is a ResNet"),
            };
        assert_eq!([32, 64, 65, 224].map(|size| stem(StemChoice::Auto, size)), {
            [Stem::Cifar, Stem::Cifar, Stem::ImageNet, Stem::ImageNet]
        });
        assert_eq!(stem(StemChoice::ImageNet, 32), Stem::ImageNet);
        assert_eq!(stem(StemChoice::Cifar, 224), Stem::Cifar);
    }

    #[test]
    fn a_resolved_configuration_makes_the_same_network_at_every_size() {
        let resolved = EncoderConfig::default().resolved(32);
        assert_eq!(resolved.stem, StemChoice::Cifar);
        assert_eq!(resolved.resolved(224), resolved);
        let vit = EncoderConfig::named("vit-tiny");
        assert_eq!(vit.resolved(32), vit);
    }

    #[test]
    fn an_unknown_model_is_answered_with_the_known_ones() {
        let sentence = error(EncoderConfig::named("resnet19"), 32);
        assert_eq!(sentence, format!("encoder.name is 'resnet19', expected {EXPECTED}"));
    }

    #[test]
    fn values_that_no_network_can_have_are_refused_in_a_sentence() {
        let resnet = EncoderConfig::default;
        let vit = || EncoderConfig::named("vit-tiny");
        let cases = [
            (EncoderConfig { width: 0, ..resnet() }, "encoder.width is 0, expected 1 or more"),
            (EncoderConfig { bn_splits: 0, ..resnet() }, "encoder.bn_splits is 0, expected 1 or more"),
            (
                EncoderConfig { patch_size: Some(4), ..resnet() },
                "encoder.patch_size is 4, expected no such key: only ViTs have it",
            ),
            (
                EncoderConfig { class_token: Some(true), ..resnet() },
                "encoder.class_token is true, expected no such key: only ViTs have it",
            ),
            (
                EncoderConfig { registers: Some(4), ..resnet() },
                "encoder.registers is 4, expected no such key: only ViTs have it",
            ),
            (
                EncoderConfig { mask_token: Some(true), ..resnet() },
                "encoder.mask_token is true, expected no such key: only ViTs have it",
            ),
            (
                EncoderConfig { layer_scale: Some(0.1), ..resnet() },
                "encoder.layer_scale is 0.1, expected no such key: only ViTs and ConvNeXts have it",
            ),
            (
                EncoderConfig { drop_path: Some(0.1), ..resnet() },
                "encoder.drop_path is 0.1, expected no such key: only ViTs and ConvNeXts have it",
            ),
            (
                EncoderConfig { layer_scale: Some(0.0), ..vit() },
                "encoder.layer_scale is 0, expected a number above 0 and at most 1000: published ones are from 1e-6 to 1",
            ),
            (
                EncoderConfig { drop_path: Some(1.0), ..vit() },
                "encoder.drop_path is 1, expected a number from 0 to below 1",
            ),
            (
                EncoderConfig { patch_size: Some(5), ..vit() },
                "encoder.patch_size is 5 for images of 32 pixels, expected a divisor of data.image_size",
            ),
            (
                EncoderConfig { embed_dim: Some(96), heads: Some(5), ..vit() },
                "encoder.heads is 5 for tokens of length 96, expected a divisor of that length",
            ),
            (
                EncoderConfig { embed_dim: Some(0), ..vit() },
                "encoder.embed_dim is 0, expected 1 to 8192: published ViTs have up to 4096",
            ),
            (
                EncoderConfig { embed_dim: Some(6), positions: Some(Positions::SinCosColumnRow), ..vit() },
                "encoder.embed_dim is 6, expected a multiple of 4, which sines and cosines of two axes need",
            ),
            (EncoderConfig { depth: Some(0), ..vit() }, "encoder.depth is 0, expected at least 1"),
            (
                EncoderConfig { mlp_ratio: Some(65), ..vit() },
                "encoder.mlp_ratio is 65, expected at most 64: 4 is usual",
            ),
            (
                EncoderConfig { pool: Some(Pool::Class), class_token: Some(false), ..vit() },
                "encoder.pool is class, expected mean: there is no class token",
            ),
            (
                EncoderConfig { pool: Some(Pool::Mean), ..resnet() },
                "encoder.pool is mean, expected no such key: only ViTs have it",
            ),
            (
                EncoderConfig { depth: Some(2), ..resnet() },
                "encoder.depth is 2, expected no such key: only ViTs have it",
            ),
            (
                EncoderConfig { heads: Some(5), ..vit() },
                "encoder.heads is 5 for tokens of length 192, expected a divisor of that length",
            ),
            (
                EncoderConfig { width: 32, ..vit() },
                "encoder.width is 32, expected 64: only ResNets have a width",
            ),
            (
                EncoderConfig { stem: StemChoice::Cifar, ..vit() },
                "encoder.stem is cifar, expected auto: a ViT has no stem",
            ),
            (
                EncoderConfig { bn_splits: 8, ..vit() },
                "encoder.bn_splits is 8, expected 1: only ResNets have batch norm",
            ),
            (
                EncoderConfig { zero_init_residual: true, ..vit() },
                "encoder.zero_init_residual is true, expected false: only ResNets have it",
            ),
            (
                EncoderConfig { selective_kernel: true, ..vit() },
                "encoder.selective_kernel is true, expected false: only ResNets have it",
            ),
            (
                EncoderConfig { selective_kernel: true, ..resnet() },
                "encoder.selective_kernel is true for resnet18, expected false: only bottlenecks have selective \
                 kernels, as in resnet50",
            ),
        ];
        for (config, expected) in cases {
            assert_eq!(error(config, 32), expected);
        }
    }

    #[test]
    fn a_recipe_section_is_read_and_written_and_misspelt_keys_are_refused() {
        let text = "name = \"vit-small\"\npatch_size = 4\nvit_init = \"xavier-sin-cos\"\n";
        let config: EncoderConfig = toml::from_str(text).expect("a valid section");
        assert_eq!((config.patch_size, config.vit_init), (Some(4), Some(VitInit::XavierSinCos)));
        let written = toml::to_string(&config).expect("strings and numbers");
        assert_eq!(toml::from_str::<EncoderConfig>(&written).expect("own output"), config);
        let keys =
            ["class_token", "registers", "mask_token", "layer_scale", "drop_path", "positions", "pool"];
        assert!(keys.iter().all(|key| !written.contains(key)), "what is not given is not written: {written}");
        let text = format!(
            "{text}class_token = false\nregisters = 4\nmask_token = true\nlayer_scale = 1e-5\ndrop_path = 0.1\n\
             embed_dim = 96\ndepth = 6\nmlp_ratio = 2\nheads = 3\npositions = \"sin-cos-column-row\"\npool = \"mean\"\n"
        );
        let Ok(Network::Vit(vit)) = toml::from_str::<EncoderConfig>(&text).expect("valid").network(32) else {
            panic!("a usable ViT");
        };
        let tokens = (vit.class_token, vit.registers, vit.mask_token);
        assert_eq!((tokens, vit.layer_scale, vit.drop_path), ((false, 4, true), Some(1e-5), 0.1));
        assert_eq!((vit.dim, vit.depth, vit.mlp_ratio, vit.heads), (96, 6, 2, 3));
        assert_eq!((vit.positions, vit.pool), (Positions::SinCosColumnRow, Some(Pool::Mean)));
        assert!(toml::from_str::<EncoderConfig>("widht = 32").is_err());
    }
}
