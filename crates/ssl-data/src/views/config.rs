use serde::{Deserialize, Serialize};

use crate::ops::Interpolation;

/// One kind of view: a `[[views]]` block of a recipe. Multi-crop has several blocks.
///
/// ```
/// let view: ssl_data::ViewConfig = toml::from_str(
///     r#"
///     count = 2
///     size = 32
///     ops = [
///         { op = "random_resized_crop", scale = [0.2, 1.0] },
///         { op = "horizontal_flip" },
///         { op = "color_jitter", p = 0.8, brightness = 0.4, contrast = 0.4, saturation = 0.4, hue = 0.1 },
///         { op = "grayscale", p = 0.2 },
///     ]
///     "#,
/// )?;
/// assert_eq!(view.ops.len(), 4);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewConfig {
    /// Views of this kind per image, at least 1; each draws its own random numbers.
    pub count: usize,
    /// Width and height of the view in pixels, at least 1.
    pub size: usize,
    /// What is done to the image, in this order. Without a crop the image is first resized to `size` by `size`.
    #[serde(default)]
    pub ops: Vec<OpConfig>,
}

/// An operation of a view with the ranges of its random parameters.
///
/// Defaults of `scale`, `ratio`, `interpolation`, flip `p` and `threshold` are torchvision's and the field's common
/// values; probabilities that papers differ in have no default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum OpConfig {
    /// Cuts a random box and resizes it to the view's size. Parameters are drawn as by torchvision's
    /// `RandomResizedCrop`: up to ten tries, then the central box of the nearest allowed ratio.
    RandomResizedCrop {
        /// Range of the box's share of the image's area, above 0; `[0.08, 1.0]` (Inception, torchvision).
        #[serde(default = "default_scale")]
        scale: [f64; 2],
        /// Range of width / height, drawn evenly on a logarithmic scale, above 0; `[3/4, 4/3]` (torchvision).
        #[serde(default = "default_ratio")]
        ratio: [f64; 2],
        /// Filter of the resize; `"bilinear"` (torchvision).
        #[serde(default)]
        interpolation: Interpolation,
    },
    /// Mirrors left and right.
    HorizontalFlip {
        /// Probability, 0 to 1; 0.5 (torchvision).
        #[serde(default = "default_flip")]
        p: f64,
    },
    /// Changes brightness, contrast, saturation and hue in a random order, as torchvision's `ColorJitter`.
    ///
    /// The first three factors come from `[max(0, 1 − strength), 1 + strength]`, the hue shift from `[−hue, hue]`.
    ColorJitter {
        /// Probability of changing anything, 0 to 1.
        p: f64,
        /// Strength, at least 0; 0 leaves brightness alone.
        brightness: f64,
        /// Strength, at least 0; 0 leaves contrast alone.
        contrast: f64,
        /// Strength, at least 0; 0 leaves saturation alone.
        saturation: f64,
        /// Strength in full circles, 0 to 0.5; 0 leaves the hue alone.
        hue: f64,
    },
    /// Makes all three channels the grey image.
    Grayscale {
        /// Probability, 0 to 1.
        p: f64,
    },
    /// Blurs with a Gaussian of random width.
    GaussianBlur {
        /// Probability, 0 to 1.
        p: f64,
        /// Range of the standard deviation in pixels, above 0; `[0.1, 2.0]` (SimCLR, appendix A).
        #[serde(default = "default_sigma")]
        sigma: [f64; 2],
        /// Taps a side, odd. By default a tenth of the view's size (SimCLR, appendix A), plus 1 where that is even
        /// (`data_util.py` of the official code): 23 at 224 pixels, 3 at 32.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kernel_size: Option<usize>,
    },
    /// Inverts values at or above a threshold.
    Solarize {
        /// Probability, 0 to 1.
        p: f64,
        /// First level that is inverted; 128 (BYOL: half of the range).
        #[serde(default = "default_threshold")]
        threshold: u8,
    },
    /// Resizes so that the shorter side has `size` pixels; a crop has to follow. Of an image that would then have more
    /// than 16 million pixels and be over four times as long as wide, only the middle is kept, four times as long as wide.
    Resize {
        /// Pixels of the shorter side, at least 1.
        size: usize,
        /// Filter; `"bilinear"` (torchvision).
        #[serde(default)]
        interpolation: Interpolation,
    },
    /// Cuts the centre, of the view's size. An image that is too small gives its largest central square, resized.
    CenterCrop {},
}

fn default_scale() -> [f64; 2] {
    [0.08, 1.0]
}

fn default_ratio() -> [f64; 2] {
    [3.0 / 4.0, 4.0 / 3.0]
}

fn default_flip() -> f64 {
    0.5
}

fn default_sigma() -> [f64; 2] {
    [0.1, 2.0]
}

fn default_threshold() -> u8 {
    128
}

#[cfg(test)]
mod tests {
    use super::{OpConfig, ViewConfig};
    use crate::ops::Interpolation;

    const EVERY_OPERATION: &str = r#"
        count = 2
        size = 96
        ops = [
            { op = "resize", size = 110, interpolation = "bicubic" },
            { op = "center_crop" },
            { op = "random_resized_crop" },
            { op = "horizontal_flip" },
            { op = "color_jitter", p = 0.8, brightness = 0.4, contrast = 0.4, saturation = 0.2, hue = 0.1 },
            { op = "grayscale", p = 0.2 },
            { op = "gaussian_blur", p = 0.5 },
            { op = "gaussian_blur", p = 0.1, kernel_size = 5 },
            { op = "solarize", p = 0.2 },
        ]
    "#;

    #[test]
    fn every_operation_survives_a_round_trip_through_toml() {
        let config: ViewConfig = toml::from_str(EVERY_OPERATION).expect("valid TOML");
        let text = toml::to_string(&config).expect("every value has a TOML form");
        assert_eq!(toml::from_str::<ViewConfig>(&text).expect("what was just written"), config);
    }

    #[test]
    fn defaults_are_filled_in() {
        let config: ViewConfig = toml::from_str(EVERY_OPERATION).expect("valid TOML");
        let crop = OpConfig::RandomResizedCrop {
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
            interpolation: Interpolation::Bilinear,
        };
        assert_eq!(config.ops[2], crop);
        assert_eq!(config.ops[3], OpConfig::HorizontalFlip { p: 0.5 });
        assert_eq!(config.ops[6], OpConfig::GaussianBlur { p: 0.5, sigma: [0.1, 2.0], kernel_size: None });
        assert_eq!(config.ops[8], OpConfig::Solarize { p: 0.2, threshold: 128 });
    }

    #[test]
    fn a_misspelled_parameter_or_operation_is_an_error() {
        let parse = |op: &str| toml::from_str::<ViewConfig>(&format!("count = 1\nsize = 8\nops = [{op}]"));
        assert!(parse(r#"{ op = "grayscale", probability = 0.2 }"#).is_err());
        assert!(parse(r#"{ op = "grayscale", p = 0.2, q = 0.2 }"#).is_err());
        assert!(parse(r#"{ op = "center_crop", size = 3 }"#).is_err());
        assert!(parse(r#"{ op = "gray", p = 0.2 }"#).is_err());
        assert!(parse(r#"{ op = "grayscale", p = 0.2 }"#).is_ok());
    }
}
