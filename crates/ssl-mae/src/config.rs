//! Hyper-parameters of MAE.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, limits, setters};

use crate::Mae;

/// Hyper-parameters of MAE.
///
/// Which patches are hidden belongs to the recipe, under `[mask]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaeConfig {
    /// Length of the decoder's tokens, a multiple of 4. Default 512 (section 4.1, table 1b; official
    /// `mae_vit_base_patch16_dec512d8b`).
    pub decoder_dim: usize,
    /// Blocks of the decoder. Default 8 (section 4.1, table 1a; official `mae_vit_base_patch16_dec512d8b`).
    pub decoder_depth: usize,
    /// Attention heads of the decoder, which divide `decoder_dim`. Default 16 (official `mae_vit_base_patch16_dec512d8b`).
    pub decoder_heads: usize,
    /// Hidden units of the decoder's MLPs divided by `decoder_dim`. Default 4 (official `mae_vit_base_patch16_dec512d8b`).
    pub decoder_mlp_ratio: usize,
    /// Whether the pixels of every patch are standardised before they are the target. Default `true` (section 4.1, table
    /// 1d; official `PRETRAIN.md`, `--norm_pix_loss`).
    pub norm_pix: bool,
}

impl Default for MaeConfig {
    fn default() -> Self {
        Self { decoder_dim: 512, decoder_depth: 8, decoder_heads: 16, decoder_mlp_ratio: 4, norm_pix: true }
    }
}

setters!(MaeConfig {
    with_decoder_dim: decoder_dim = usize,
    with_decoder_depth: decoder_depth = usize,
    with_decoder_heads: decoder_heads = usize,
    with_decoder_mlp_ratio: decoder_mlp_ratio = usize,
    with_norm_pix: norm_pix = bool,
});

impl MaeConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<Mae, ConfigError> {
        let sizes = [
            ("decoder_dim", self.decoder_dim),
            ("decoder_depth", self.decoder_depth),
            ("decoder_heads", self.decoder_heads),
            ("decoder_mlp_ratio", self.decoder_mlp_ratio),
        ];
        sizes.into_iter().try_for_each(|(field, size)| limits::not_zero(field, size))?;
        limits::width("decoder_dim", self.decoder_dim)?;
        limits::blocks("decoder_depth", self.decoder_depth)?;
        limits::mlp_ratio("decoder_mlp_ratio", self.decoder_mlp_ratio)?;
        let expected = "a multiple of 4, which sines and cosines of two axes need";
        ConfigError::check(self.decoder_dim.is_multiple_of(4), "decoder_dim", self.decoder_dim, expected)?;
        let found = format!("{} for tokens of length {}", self.decoder_heads, self.decoder_dim);
        let divides = self.decoder_dim.is_multiple_of(self.decoder_heads);
        ConfigError::check(divides, "decoder_heads", found, "a divisor of that length")?;
        Ok(Mae { config: self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: MaeConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn the_defaults_are_usable() {
        assert!(MaeConfig::new().build().is_ok());
    }

    #[test]
    fn values_out_of_range_are_named() {
        let new = MaeConfig::new;
        assert_eq!(error(new().with_decoder_dim(0)), "decoder_dim is 0, expected at least 1");
        assert_eq!(error(new().with_decoder_depth(0)), "decoder_depth is 0, expected at least 1");
        assert_eq!(error(new().with_decoder_heads(0)), "decoder_heads is 0, expected at least 1");
        assert_eq!(error(new().with_decoder_mlp_ratio(0)), "decoder_mlp_ratio is 0, expected at least 1");
        assert!(
            error(new().with_decoder_depth(257)).starts_with("decoder_depth is 257, expected at most 256")
        );
        assert!(error(new().with_decoder_mlp_ratio(65)).starts_with("decoder_mlp_ratio is 65, expected"));
        assert!(
            error(new().with_decoder_dim(1 << 20)).starts_with("decoder_dim is 1048576, expected at most")
        );
        assert_eq!(
            error(new().with_decoder_dim(6).with_decoder_heads(2)),
            "decoder_dim is 6, expected a multiple of 4, which sines and cosines of two axes need"
        );
        assert_eq!(
            error(new().with_decoder_dim(64).with_decoder_heads(3)),
            "decoder_heads is 3 for tokens of length 64, expected a divisor of that length"
        );
    }
}
