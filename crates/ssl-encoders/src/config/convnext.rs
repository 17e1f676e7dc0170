//! The keys of a ConvNeXt.

use ssl_core::ConfigError;

use super::vit::{check_branches, check_none};
use super::{EncoderConfig, Network};
use crate::{ConvNextConfig, Stem};

/// Most blocks. Published networks have 36 (Liu et al. 2022, section 2).
const MOST_BLOCKS: usize = 256;
/// Most channels of a stage. Published networks have up to 2816 (ConvNeXt V2's huge one).
const WIDEST: usize = 8192;

impl EncoderConfig {
    /// The checked configuration of a ConvNeXt.
    pub(super) fn convnext(
        &self,
        named: ConvNextConfig,
        image_size: usize,
    ) -> Result<ConvNextConfig, ConfigError> {
        self.check_nothing_of_a_resnet()?;
        self.check_nothing_of_a_vit()?;
        let patch_size = match self.stem.resolve(image_size) {
            Stem::Cifar => 2,
            Stem::ImageNet => 4,
        };
        let config = ConvNextConfig {
            depths: self.depths.unwrap_or(named.depths),
            dims: self.dims.unwrap_or(named.dims),
            patch_size,
            layer_scale: self.layer_scale.unwrap_or(named.layer_scale),
            drop_path: self.drop_path.unwrap_or(named.drop_path),
        };
        check_stages(&config)?;
        check_branches(Some(config.layer_scale), config.drop_path)?;
        check_size("data.image_size", image_size, &config)?;
        Ok(config)
    }

    /// Checks that a network for images of `image_size` pixels takes views of `size` pixels: those of a ConvNeXt must leave its last
    /// stage a position.
    ///
    /// # Errors
    /// If they are too small, or a value of the configuration is unusable.
    pub fn check_view(&self, image_size: usize, size: usize) -> Result<(), ConfigError> {
        match self.network(image_size)? {
            Network::ConvNext(config) => check_size("views.size", size, &config),
            _ => Ok(()),
        }
    }

    /// Checks the keys that only ConvNeXts have.
    pub(super) fn check_nothing_of_a_convnext(&self) -> Result<(), ConfigError> {
        let expected = "no such key: only ConvNeXts have it";
        let text = |values: &Option<[usize; 4]>| values.map(|values| format!("{values:?}"));
        check_none(&text(&self.depths), "encoder.depths", expected)?;
        check_none(&text(&self.dims), "encoder.dims", expected)
    }
}

fn check_size(field: &'static str, size: usize, config: &ConvNextConfig) -> Result<(), ConfigError> {
    let expected = match config.patch_size {
        2 => "at least 16: a ConvNeXt with the CIFAR stem divides the sides of images by 16",
        _ => "at least 32: a ConvNeXt with the ImageNet stem divides the sides of images by 32",
    };
    ConfigError::check(size >= 8 * config.patch_size, field, size, expected)
}

fn check_stages(config: &ConvNextConfig) -> Result<(), ConfigError> {
    let ConvNextConfig { depths, dims, .. } = config;
    let blocks = depths.iter().fold(0, |sum: usize, depth| sum.saturating_add(*depth));
    let fits = !depths.contains(&0) && blocks <= MOST_BLOCKS;
    let expected = "four numbers from 1, at most 256 together: published networks have 36 blocks";
    ConfigError::check(fits, "encoder.depths", format!("{depths:?}"), expected)?;
    let fits = dims.iter().all(|dim| (1..=WIDEST).contains(dim));
    let expected = "four numbers from 1 to 8192: published networks have up to 2816";
    ConfigError::check(fits, "encoder.dims", format!("{dims:?}"), expected)
}
