//! An encoder whose architecture is chosen at run time.

use burn::module::{
    Content, Devices, DisplaySettings, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper,
    ModuleVisitor,
};
use burn::tensor::{Device, Tensor};
use ssl_core::{Encoder, Pass, TokenEncoder};

use crate::{ConvNext, ResNet, Vit};

/// Any encoder of this crate, as created by an [`EncoderConfig`](crate::EncoderConfig).
///
/// Its tensors have the same paths as those of the encoder inside. Burn's derive for enums would prefix them with the
/// variant's name, but weight files, checkpoints and gradient rules (`encoder.patch_embed`) rely on the paths.
#[derive(Clone, Debug)]
pub enum AnyEncoder {
    /// A residual network.
    ResNet(ResNet),
    /// A vision transformer.
    Vit(Vit),
    /// A ConvNeXt.
    ConvNext(ConvNext),
}

/// Evaluates `$body` for the encoder inside.
macro_rules! with {
    ($any:expr, $encoder:ident => $body:expr) => {
        match $any {
            AnyEncoder::ResNet($encoder) => $body,
            AnyEncoder::Vit($encoder) => $body,
            AnyEncoder::ConvNext($encoder) => $body,
        }
    };
}

/// Replaces the encoder inside by `$body`.
macro_rules! replace {
    ($any:expr, $encoder:ident => $body:expr) => {
        match $any {
            AnyEncoder::ResNet($encoder) => AnyEncoder::ResNet($body),
            AnyEncoder::Vit($encoder) => AnyEncoder::Vit($body),
            AnyEncoder::ConvNext($encoder) => AnyEncoder::ConvNext($body),
        }
    };
}

impl Encoder for AnyEncoder {
    fn encode(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        with!(self, encoder => encoder.encode(images, pass))
    }

    fn feature_dim(&self) -> usize {
        with!(self, encoder => encoder.feature_dim())
    }

    /// Available for a ViT; `None` for others.
    fn tokens(&self) -> Option<&dyn TokenEncoder> {
        with!(self, encoder => encoder.tokens())
    }

    fn feature_map(&self, images: Tensor<4>, pass: &Pass) -> Option<Tensor<4>> {
        with!(self, encoder => encoder.feature_map(images, pass))
    }
}

impl Module for AnyEncoder {
    fn collect_devices(&self, devices: Devices) -> Devices {
        with!(self, encoder => encoder.collect_devices(devices))
    }

    fn fork(self, device: &Device) -> Self {
        replace!(self, encoder => encoder.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        replace!(self, encoder => encoder.to_device(device))
    }

    fn train(self) -> Self {
        replace!(self, encoder => encoder.train())
    }

    fn valid(&self) -> Self {
        replace!(self, encoder => encoder.valid())
    }

    fn materialize(self) -> Self {
        replace!(self, encoder => encoder.materialize())
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        with!(self, encoder => encoder.visit(visitor));
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        replace!(self, encoder => encoder.map(mapper))
    }
}

impl ModuleDisplayDefault for AnyEncoder {
    fn content(&self, content: Content) -> Option<Content> {
        with!(self, encoder => encoder.content(content))
    }

    fn num_params(&self) -> usize {
        with!(self, encoder => ModuleDisplayDefault::num_params(encoder))
    }
}

impl ModuleDisplay for AnyEncoder {
    fn format(&self, settings: DisplaySettings) -> String {
        with!(self, encoder => encoder.format(settings))
    }
}

impl std::fmt::Display for AnyEncoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        with!(self, encoder => encoder.fmt(formatter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlockKind, ConvNextConfig, ResNetConfig, VitConfig};
    use ssl_core::{DeviceSpec, Init, named};

    fn encoders() -> [AnyEncoder; 3] {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in").autodiff();
        let mut init = Init::new(0, &device);
        let resnet = ResNetConfig::new(BlockKind::Basic, [1, 1]).with_width(4).init(&mut init);
        let vit = VitConfig::new(8, 1, 2).with_image_size(8).with_patch_size(4).init(&mut init);
        let convnext = ConvNextConfig::new([1; 4], [4; 4]).with_patch_size(1).init(&mut init);
        [AnyEncoder::ResNet(resnet), AnyEncoder::Vit(vit), AnyEncoder::ConvNext(convnext)]
    }

    #[test]
    fn paths_are_those_of_the_encoder_inside() {
        for encoder in encoders() {
            let own = named::collect(&encoder);
            assert_eq!(own, with!(&encoder, inside => named::collect(inside)));
            let names = [
                "layer2.0.downsample.1.running_var",
                "blocks.0.attn.qkv.bias",
                "stages.1.blocks.0.conv_dw.bias",
            ];
            assert!(names.iter().any(|name| own.contains_key(*name)), "{own:?}");
        }
    }

    #[test]
    fn tensors_and_features_survive_a_change_of_device() {
        for encoder in encoders() {
            let plain = encoder.valid();
            assert_eq!(named::collect(&plain), named::collect(&encoder));
            let images = Tensor::ones([2, 3, 8, 8], &plain.devices()[0].clone().inner());
            let there = plain.clone().train().encode(images.clone(), &Pass::eval());
            let here = plain.encode(images, &Pass::eval());
            there.into_data().assert_approx_eq::<f32>(&here.into_data(), burn::tensor::Tolerance::default());
        }
    }

    #[test]
    fn it_is_shown_as_the_encoder_inside() {
        let shown = encoders().map(|encoder| encoder.to_string());
        for (shown, start) in shown.iter().zip(["ResNet {", "Vit {", "ConvNext {"]) {
            assert!(shown.starts_with(start), "{shown}");
        }
    }
}
