//! How images are prepared for an encoder.

use serde::{Deserialize, Serialize};
use ssl_core::ConfigError;

/// Height and width of images at most (our choice: published networks see up to 1024 pixels).
const MAX_SIZE: usize = 8192;

/// Mean of ImageNet's channels, for pixels between 0 and 1 (torchvision).
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of ImageNet's channels (torchvision).
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// How images are prepared for an encoder: resized, centre-cropped and normalised per channel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Height and width of the encoder's images, in pixels.
    pub size: usize,
    /// Size of an image's shorter side after resizing (bilinear, antialiased) and before the centre crop, in pixels. An
    /// image of `size` by `size` pixels is left as it is. Default 8/7 of `size`: 256 for 224 (torchvision).
    pub resize: usize,
    /// Mean per channel, subtracted from pixels between 0 and 1. Default: ImageNet's.
    pub mean: [f32; 3],
    /// Standard deviation per channel, which pixels are divided by. Default: ImageNet's.
    pub std: [f32; 3],
}

impl Preprocessing {
    /// Checks sizes, mean and deviation.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let expected = "1 to 8192: published networks see up to 1024 pixels";
        let is_size = (1..=MAX_SIZE).contains(&self.size);
        ConfigError::check(is_size, "preprocessing.size", self.size, expected)?;
        let expected = "at most 16384: 8/7 of the size is usual";
        ConfigError::check(self.resize <= 2 * MAX_SIZE, "preprocessing.resize", self.resize, expected)?;
        let (mean, std) = (self.mean, self.std);
        let (usable, expected) = (mean.iter().all(|mean| mean.is_finite()), "finite numbers");
        ConfigError::check(usable, "preprocessing.mean", format!("{mean:?}"), expected)?;
        let usable = std.iter().all(|&std| std > 0.0 && std.is_finite());
        ConfigError::check(usable, "preprocessing.std", format!("{std:?}"), "finite numbers above 0")
    }

    /// Creates the preprocessing of torchvision's and most of timm's weights, for images of `size` pixels.
    pub fn new(size: usize) -> Self {
        Self { size, resize: size.saturating_mul(8) / 7, mean: IMAGENET_MEAN, std: IMAGENET_STD }
    }

    /// Sets the image size, and the resize size with it.
    pub fn with_size(self, size: usize) -> Self {
        Self { mean: self.mean, std: self.std, ..Self::new(size) }
    }

    /// Sets mean and standard deviation per channel.
    pub fn with_normalization(mut self, mean: [f32; 3], std: [f32; 3]) -> Self {
        (self.mean, self.std) = (mean, std);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_that_of_torchvision() {
        let Preprocessing { size, resize, mean, std } = Preprocessing::new(224);
        assert_eq!((size, resize), (224, 256));
        assert_eq!((mean, std), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]));
    }

    #[test]
    fn another_size_keeps_the_normalization() {
        let own = Preprocessing::new(224).with_normalization([0.5; 3], [0.25; 3]);
        assert_eq!(own.with_size(32), Preprocessing { size: 32, resize: 36, mean: [0.5; 3], std: [0.25; 3] });
    }
}
