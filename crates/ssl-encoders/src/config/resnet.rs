//! The keys of a ResNet.

use ssl_core::ConfigError;

use super::EncoderConfig;
use crate::{BlockKind, ResNetConfig};

impl EncoderConfig {
    /// The checked configuration of a ResNet.
    pub(super) fn resnet(
        &self,
        config: ResNetConfig,
        image_size: usize,
    ) -> Result<ResNetConfig, ConfigError> {
        ConfigError::check(self.width > 0, "encoder.width", self.width, "1 or more")?;
        let expected = "at most 2048: published networks are up to 256 wide";
        ConfigError::check(self.width <= 2048, "encoder.width", self.width, expected)?;
        ConfigError::check(self.bn_splits > 0, "encoder.bn_splits", self.bn_splits, "1 or more")?;
        let has_kernels = !self.selective_kernel || config.block == BlockKind::Bottleneck;
        let found = format!("true for {}", self.name);
        let expected = "false: only bottlenecks have selective kernels, as in resnet50";
        ConfigError::check(has_kernels, "encoder.selective_kernel", found, expected)?;
        self.check_nothing_of_a_vit()?;
        self.check_nothing_of_a_convnext()?;
        self.check_no_branches()?;
        Ok(config
            .with_width(self.width)
            .with_stem(self.stem.resolve(image_size))
            .with_bn_splits(self.bn_splits)
            .with_zero_init_residual(self.zero_init_residual)
            .with_selective_kernel(self.selective_kernel))
    }

    /// Checks the keys that only ResNets have: all of theirs but the stem.
    pub(super) fn check_nothing_of_a_resnet(&self) -> Result<(), ConfigError> {
        let (width, zero, selective) = (self.width, self.zero_init_residual, self.selective_kernel);
        let expected = "64: only ResNets have a width";
        ConfigError::check(width == Self::default().width, "encoder.width", width, expected)?;
        let expected = "false: only ResNets have it";
        ConfigError::check(!zero, "encoder.zero_init_residual", zero, expected)?;
        ConfigError::check(!selective, "encoder.selective_kernel", selective, expected)?;
        let expected = "1: only ResNets have batch norm";
        ConfigError::check(self.bn_splits == 1, "encoder.bn_splits", self.bn_splits, expected)
    }
}
