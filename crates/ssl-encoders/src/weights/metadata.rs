//! What a weight file says about itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::EncoderConfig;

/// Mean of ImageNet's channels, of pixels between 0 and 1 (torchvision).
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of ImageNet's channels (torchvision).
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// What [`save`](super::save) writes beside the tensors, as JSON under the key `burn-ssl` of the file's metadata:
/// enough to make the encoder and to feed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Version of this crate.
    pub version: String,
    /// The encoder, without anything that depends on the size of images.
    pub encoder: EncoderConfig,
    /// Height and width of the images that it was made for, in pixels.
    pub image_size: usize,
    /// Mean of a channel, subtracted from pixels between 0 and 1. Default: ImageNet's.
    pub mean: [f32; 3],
    /// Standard deviation of a channel, which pixels are divided by. Default: ImageNet's.
    pub std: [f32; 3],
    /// Anything else, such as method, data set and epochs.
    pub about: BTreeMap<String, String>,
}

impl Metadata {
    /// Describes an encoder that `config` made for images of `image_size` pixels.
    pub fn new(config: &EncoderConfig, image_size: usize) -> Self {
        // Where the weights started from is a path on this machine.
        let encoder = EncoderConfig { init: None, ..config.resolved(image_size) };
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            encoder,
            image_size,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
            about: BTreeMap::new(),
        }
    }

    /// Sets mean and standard deviation of the channels.
    pub fn with_normalization(mut self, mean: [f32; 3], std: [f32; 3]) -> Self {
        (self.mean, self.std) = (mean, std);
        self
    }

    /// Adds a remark.
    pub fn with_about(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        self.about.insert(key.into(), value.to_string());
        self
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and finite numbers")
    }

    pub(super) fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}
