//! What an encoder keeps in memory, counted before it is built.

use ssl_core::ConfigError;

use crate::EncoderConfig;
use crate::config::Network;

mod convnext;
mod resnet;
mod vit;

/// What an encoder keeps in memory on images of one size.
///
/// Counts are of float32 values, as `f64`: a configuration can ask for more than an integer holds. Those of images are
/// for one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EncoderFootprint {
    /// Length of a feature vector.
    pub feature_dim: usize,
    /// Parameters and running statistics.
    pub parameters: f64,
    /// Values of an image that the forward pass keeps for the backward pass.
    pub kept: f64,
    /// Values of an image that the backward pass needs beyond these: gradients of activations.
    pub gradients: f64,
    /// Values of an image at the widest place of a pass without gradients.
    pub plain: f64,
    /// Values that the kernels need besides, for any number of images.
    pub workspace: f64,
}

impl EncoderConfig {
    /// What the encoder keeps in memory on views of `view_size` pixels, if it is made for images of `image_size`.
    ///
    /// # Errors
    /// The first value that is unusable for images of `image_size` pixels.
    pub fn footprint(&self, image_size: usize, view_size: usize) -> Result<EncoderFootprint, ConfigError> {
        Ok(match self.network(image_size)? {
            Network::ResNet(config) => resnet::footprint(&config, view_size),
            Network::Vit(config) => vit::footprint(&config, view_size),
            Network::ConvNext(config) => convnext::footprint(&config, view_size),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Family, MODELS};
    use ssl_core::{DeviceSpec, Init, named};

    #[test]
    fn parameters_are_those_of_the_networks() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        for (name, size) in [("resnet18", 32), ("resnet50", 96), ("vit-tiny", 32), ("convnext-tiny", 32)] {
            let mut config = EncoderConfig::named(name);
            match config.family() {
                Some(Family::ResNet) => config.width = 8,
                Some(Family::ConvNext) => config.dims = Some([8, 12, 16, 20]),
                _ => {}
            }
            let network = config.init(size, &mut Init::new(0, &device)).expect("usable");
            let count: usize = named::collect(&network).values().map(|tensor| tensor.num_elements()).sum();
            let found = config.footprint(size, size).expect("usable").parameters;
            assert_eq!(found, count as f64, "{name}");
        }
    }

    #[test]
    fn larger_views_keep_more_and_have_the_same_parameters() {
        for model in MODELS {
            let config = EncoderConfig::named(model.name);
            let of = |size| config.footprint(224, size).expect("usable");
            let (small, large) = (of(96), of(224));
            assert_eq!(small.parameters, large.parameters, "{}", model.name);
            assert!(small.kept < large.kept && large.plain < large.kept, "{}", model.name);
            assert_eq!(large.feature_dim, model.feature_dim, "{}", model.name);
        }
    }
}
