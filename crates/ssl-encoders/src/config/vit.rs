//! The keys of a ViT.

use std::fmt::Display;

use ssl_core::{ConfigError, limits};

use super::{EncoderConfig, StemChoice};
use crate::VitConfig;
use crate::vit::{Pool, Positions};

/// Longest tokens. Published ones have up to 4096 values (DINOv3's ViT-7B).
const LONGEST: usize = 8192;

impl EncoderConfig {
    /// The checked configuration of a ViT.
    pub(super) fn vit(&self, named: VitConfig, image_size: usize) -> Result<VitConfig, ConfigError> {
        self.check_nothing_of_a_resnet()?;
        self.check_nothing_of_a_convnext()?;
        let has_no_stem = self.stem == StemChoice::Auto;
        ConfigError::check(has_no_stem, "encoder.stem", self.stem, "auto: a ViT has no stem")?;
        let config = self.applied_to(named, image_size);
        check_size(&config)?;
        check_tokens(&config)?;
        check_branches(config.layer_scale, config.drop_path)?;
        Ok(config)
    }

    /// A named ViT with what is given here in place of its own.
    fn applied_to(&self, named: VitConfig, image_size: usize) -> VitConfig {
        VitConfig {
            image_size,
            patch_size: self.patch_size.unwrap_or(named.patch_size),
            dim: self.embed_dim.unwrap_or(named.dim),
            depth: self.depth.unwrap_or(named.depth),
            heads: self.heads.unwrap_or(named.heads),
            mlp_ratio: self.mlp_ratio.unwrap_or(named.mlp_ratio),
            start: self.vit_init.unwrap_or_default(),
            positions: self.positions.unwrap_or(named.positions),
            pool: self.pool.or(named.pool),
            class_token: self.class_token.unwrap_or(named.class_token),
            registers: self.registers.unwrap_or(named.registers),
            mask_token: self.mask_token.unwrap_or(named.mask_token),
            layer_scale: self.layer_scale.or(named.layer_scale),
            drop_path: self.drop_path.unwrap_or(named.drop_path),
        }
    }

    /// Checks the keys that only ViTs have.
    pub(super) fn check_nothing_of_a_vit(&self) -> Result<(), ConfigError> {
        check_absent(&self.patch_size, "encoder.patch_size")?;
        check_absent(&self.embed_dim, "encoder.embed_dim")?;
        check_absent(&self.depth, "encoder.depth")?;
        check_absent(&self.mlp_ratio, "encoder.mlp_ratio")?;
        check_absent(&self.heads, "encoder.heads")?;
        check_absent(&self.vit_init, "encoder.vit_init")?;
        check_absent(&self.positions, "encoder.positions")?;
        check_absent(&self.pool, "encoder.pool")?;
        check_absent(&self.class_token, "encoder.class_token")?;
        check_absent(&self.registers, "encoder.registers")?;
        check_absent(&self.mask_token, "encoder.mask_token")
    }

    /// Checks the keys of blocks with a branch, which ResNets lack.
    pub(super) fn check_no_branches(&self) -> Result<(), ConfigError> {
        let expected = "no such key: only ViTs and ConvNeXts have it";
        check_none(&self.layer_scale, "encoder.layer_scale", expected)?;
        check_none(&self.drop_path, "encoder.drop_path", expected)
    }
}

fn check_size(config: &VitConfig) -> Result<(), ConfigError> {
    let VitConfig { image_size, patch_size: patch, dim, depth, heads, mlp_ratio, .. } = *config;
    let found = format!("{patch} for images of {image_size} pixels");
    let divides = patch > 0 && image_size > 0 && image_size.is_multiple_of(patch);
    ConfigError::check(divides, "encoder.patch_size", found, "a divisor of data.image_size")?;
    let expected = "1 to 8192: published ViTs have up to 4096";
    ConfigError::check((1..=LONGEST).contains(&dim), "encoder.embed_dim", dim, expected)?;
    let expected = "a multiple of 4, which sines and cosines of two axes need";
    let fits = dim.is_multiple_of(4) || config.positions == Positions::Learned;
    ConfigError::check(fits, "encoder.embed_dim", dim, expected)?;
    ConfigError::check(depth > 0, "encoder.depth", depth, "at least 1")?;
    limits::blocks("encoder.depth", depth)?;
    ConfigError::check(mlp_ratio > 0, "encoder.mlp_ratio", mlp_ratio, "at least 1")?;
    limits::mlp_ratio("encoder.mlp_ratio", mlp_ratio)?;
    let found = format!("{heads} for tokens of length {dim}");
    let divides = heads > 0 && dim.is_multiple_of(heads);
    ConfigError::check(divides, "encoder.heads", found, "a divisor of that length")
}

fn check_tokens(config: &VitConfig) -> Result<(), ConfigError> {
    let registers = config.registers;
    ConfigError::check(registers <= 1024, "encoder.registers", registers, "at most 1024: 4 are usual")?;
    let has_feature = config.class_token || config.pool != Some(Pool::Class);
    ConfigError::check(has_feature, "encoder.pool", Pool::Class, "mean: there is no class token")
}

/// Checks layer scale and drop-path.
pub(super) fn check_branches(scale: Option<f64>, rate: f64) -> Result<(), ConfigError> {
    if let Some(scale) = scale {
        let expected = "a number above 0 and at most 1000: published ones are from 1e-6 to 1";
        ConfigError::check(scale > 0.0 && scale <= 1e3, "encoder.layer_scale", scale, expected)?;
    }
    let is_rate = (0.0..1.0).contains(&rate);
    ConfigError::check(is_rate, "encoder.drop_path", rate, "a number from 0 to below 1")
}

fn check_absent<T: Display>(value: &Option<T>, field: &'static str) -> Result<(), ConfigError> {
    check_none(value, field, "no such key: only ViTs have it")
}

/// Checks that a key is not given.
pub(super) fn check_none<T: Display>(
    value: &Option<T>,
    field: &'static str,
    expected: &'static str,
) -> Result<(), ConfigError> {
    match value {
        Some(value) => ConfigError::check(false, field, value.to_string(), expected),
        None => Ok(()),
    }
}
