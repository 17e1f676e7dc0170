use serde::{Deserialize, Serialize};

use super::{BlockMask, FocalMask, Grid, MaskError, MultiBlockMask, RandomMask};

/// Which patches of the views are hidden: the `[mask]` section of a recipe.
///
/// Every key but `kind` has a default.
///
/// ```
/// use ssl_data::{MaskConfig, RandomMask};
///
/// let mask: MaskConfig = toml::from_str(
///     r#"
///     kind = "random"
///     ratio = 0.75
///     "#,
/// )?;
/// assert_eq!(mask, MaskConfig::Random(RandomMask::default()));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum MaskConfig {
    /// `"random"`: single patches (MAE, SimMIM).
    Random(RandomMask),
    /// `"block"`: rectangles in a share of the images (BEiT, iBOT, DINOv2).
    Block(BlockMask),
    /// `"multi-block"`: rectangles to predict, and a context without them (I-JEPA).
    MultiBlock(MultiBlockMask),
    /// `"focal"`: single patches of some views, all but a rectangle of others (MSN).
    Focal(FocalMask),
}

impl MaskConfig {
    /// The kind, as recipes have it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Random(_) => "random",
            Self::Block(_) => "block",
            Self::MultiBlock(_) => "multi-block",
            Self::Focal(_) => "focal",
        }
    }

    /// The share of the patches of a view that an encoder sees: of lists that are drawn, the expected one.
    pub fn seen(&self) -> f64 {
        match self {
            Self::Random(random) => 1.0 - random.ratio,
            Self::MultiBlock(blocks) => blocks.seen(),
            // Of these some views are whole.
            Self::Block(_) | Self::Focal(_) => 1.0,
        }
    }

    /// Blocks of patches to predict of an image: 0 of kinds without such blocks.
    pub fn targets(&self) -> usize {
        match self {
            Self::MultiBlock(blocks) => blocks.targets,
            Self::Random(_) | Self::Block(_) | Self::Focal(_) => 0,
        }
    }

    /// The share of the patches of a view that the largest block to predict has: 0 of kinds without such blocks.
    pub fn target(&self) -> f64 {
        match self {
            Self::MultiBlock(blocks) => blocks.target_scale[1],
            Self::Random(_) | Self::Block(_) | Self::Focal(_) => 0.0,
        }
    }

    /// Checks this for views of these patch grids: `[rows, columns]` of each view, through all blocks.
    ///
    /// # Errors
    /// The first key that does not fit; see [`MaskError`].
    pub fn validate(&self, grids: &[[usize; 2]]) -> Result<(), MaskError> {
        let grids: &[Grid] = grids;
        match self {
            Self::Random(random) => random.validate(grids),
            Self::Block(block) => block.validate(grids),
            Self::MultiBlock(blocks) => blocks.validate(grids),
            Self::Focal(focal) => focal.validate(grids),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MaskConfig;
    use crate::{BlockMask, DrawnPer, FocalMask, MultiBlockMask, RandomMask};

    fn parse(text: &str) -> Result<MaskConfig, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_kind_alone_has_all_defaults() {
        let kinds = [
            ("random", MaskConfig::Random(RandomMask::default())),
            ("block", MaskConfig::Block(BlockMask::default())),
            ("multi-block", MaskConfig::MultiBlock(MultiBlockMask::default())),
            ("focal", MaskConfig::Focal(FocalMask::default())),
        ];
        for (kind, expected) in kinds {
            let config = parse(&format!("kind = '{kind}'")).expect("valid TOML");
            assert_eq!(config, expected);
            assert_eq!(config.kind(), kind);
            let text = toml::to_string(&config).expect("every value has a TOML form");
            assert_eq!(parse(&text).expect("what was just written"), config);
        }
    }

    #[test]
    fn only_masks_of_i_jepa_have_blocks_to_predict() {
        let blocks =
            parse("kind = 'multi-block'\ntargets = 6\ntarget_scale = [0.1, 0.15]").expect("valid TOML");
        assert_eq!((blocks.targets(), blocks.target()), (6, 0.15));
        for kind in ["random", "block", "focal"] {
            let mask = parse(&format!("kind = '{kind}'")).expect("valid TOML");
            assert_eq!((mask.targets(), mask.target()), (0, 0.0), "{kind}");
        }
    }

    #[test]
    fn keys_change_what_they_name() {
        let block = BlockMask { drawn_per: DrawnPer::Image, min_patches: 16, ..BlockMask::default() };
        let text = "kind = 'block'\ndrawn_per = 'image'\nmin_patches = 16";
        assert_eq!(parse(text).expect("valid TOML"), MaskConfig::Block(block));
    }

    #[test]
    fn a_misspelled_key_or_kind_is_named() {
        let error = |text: &str| parse(text).expect_err("a mistake").to_string();
        for kind in ["random", "block", "multi-block", "focal"] {
            let text = error(&format!("kind = '{kind}'\nratoi = 0.5"));
            assert!(text.contains("unknown field `ratoi`"), "{text}");
        }
        let text = error("kind = 'blocks'");
        assert!(text.contains("unknown variant `blocks`, expected one of `random`, `block`"), "{text}");
        assert!(error("ratio = 0.5").contains("missing field `kind`"));
    }
}
