//! The named models.

use serde::Serialize;

use crate::{ConvNextConfig, ResNetConfig, VitConfig};

/// A named model.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ModelInfo {
    /// The name, as recipes and command lines spell it.
    pub name: &'static str,
    /// Number of parameters: for a ResNet at width 64 with the ImageNet stem, for a ViT with patches of 16 pixels and
    /// images of 224, for a ConvNeXt with patches of 4 pixels.
    pub parameters: usize,
    /// Length of a feature vector, of a ResNet at width 64.
    pub feature_dim: usize,
    /// A one-sentence description.
    pub about: &'static str,
    #[serde(skip)]
    pub(crate) architecture: Architecture,
}

/// The kinds of models, which have different keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Family {
    /// A [`ResNet`](crate::ResNet).
    ResNet,
    /// A [`Vit`](crate::Vit).
    Vit,
    /// A [`ConvNext`](crate::ConvNext).
    ConvNext,
}

/// The architecture of a named model.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Architecture {
    ResNet(fn() -> ResNetConfig),
    Vit(fn() -> VitConfig),
    ConvNext(fn() -> ConvNextConfig),
}

impl Architecture {
    pub(crate) fn family(self) -> Family {
        match self {
            Self::ResNet(_) => Family::ResNet,
            Self::Vit(_) => Family::Vit,
            Self::ConvNext(_) => Family::ConvNext,
        }
    }
}

/// All named models, smallest first in each family.
pub const MODELS: &[ModelInfo] = &[
    resnet(
        "resnet18",
        11_176_512,
        512,
        "ResNet of basic blocks; the usual choice for small images",
        ResNetConfig::resnet18,
    ),
    resnet("resnet34", 21_284_672, 512, "ResNet of basic blocks, twice as deep", ResNetConfig::resnet34),
    resnet(
        "resnet50",
        23_508_032,
        2048,
        "ResNet of bottlenecks; what most papers report",
        ResNetConfig::resnet50,
    ),
    resnet("resnet101", 42_500_160, 2048, "ResNet of bottlenecks, twice as deep", ResNetConfig::resnet101),
    resnet(
        "resnet152",
        58_143_808,
        2048,
        "ResNet of bottlenecks, three times as deep",
        ResNetConfig::resnet152,
    ),
    vit("vit-tiny", 5_524_416, 192, "ViT of 12 blocks and 3 heads", VitConfig::tiny),
    vit("vit-small", 21_665_664, 384, "ViT of 12 blocks and 6 heads; DINO's smallest", VitConfig::small),
    vit("vit-base", 85_798_656, 768, "ViT of 12 blocks and 12 heads", VitConfig::base),
    vit("vit-large", 303_301_632, 1024, "ViT of 24 blocks and 16 heads", VitConfig::large),
    convnext(
        "convnext-tiny",
        27_820_128,
        768,
        "ConvNeXt of 18 blocks; about a resnet50",
        ConvNextConfig::tiny,
    ),
    convnext("convnext-small", 49_454_688, 768, "ConvNeXt of 36 blocks", ConvNextConfig::small),
    convnext("convnext-base", 87_566_464, 1024, "ConvNeXt of 36 wider blocks", ConvNextConfig::base),
];

/// The expected names, as listed in the error for an unknown one.
pub(crate) const EXPECTED: &str = "one of resnet18, resnet34, resnet50, resnet101, resnet152, vit-tiny, vit-small, \
                                  vit-base, vit-large, convnext-tiny, convnext-small, convnext-base";

const fn resnet(
    name: &'static str,
    parameters: usize,
    feature_dim: usize,
    about: &'static str,
    config: fn() -> ResNetConfig,
) -> ModelInfo {
    ModelInfo { name, parameters, feature_dim, about, architecture: Architecture::ResNet(config) }
}

const fn vit(
    name: &'static str,
    parameters: usize,
    feature_dim: usize,
    about: &'static str,
    config: fn() -> VitConfig,
) -> ModelInfo {
    ModelInfo { name, parameters, feature_dim, about, architecture: Architecture::Vit(config) }
}

const fn convnext(
    name: &'static str,
    parameters: usize,
    feature_dim: usize,
    about: &'static str,
    config: fn() -> ConvNextConfig,
) -> ModelInfo {
    ModelInfo { name, parameters, feature_dim, about, architecture: Architecture::ConvNext(config) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::Module;
    use burn::tensor::Tensor;
    use ssl_core::named::{Path, is_buffer};
    use ssl_core::{DeviceSpec, Encoder, Init};

    #[derive(Default)]
    struct Count(Path, usize);

    impl burn::module::ModuleVisitor for Count {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0.enter(name);
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.0.exit();
        }

        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
            if !is_buffer(&self.0.join()) {
                self.1 += param.dims().iter().product::<usize>();
            }
        }
    }

    fn count(module: &impl Module) -> usize {
        let mut count = Count::default();
        module.visit(&mut count);
        count.1
    }

    /// The number of parameters and the feature dimension at the given width, that of the first stage of a ConvNeXt; a ViT gets
    /// a single head.
    fn at_width(architecture: Architecture, width: usize) -> (usize, usize) {
        let mut init = Init::new(0, &DeviceSpec::Flex.open().expect("flex is compiled in"));
        match architecture {
            Architecture::ResNet(config) => {
                let network = config().with_width(width).init(&mut init);
                (count(&network), network.feature_dim())
            }
            Architecture::Vit(config) => {
                let network = VitConfig { dim: width, heads: 1, ..config() }.init(&mut init);
                (count(&network), network.feature_dim())
            }
            Architecture::ConvNext(config) => {
                let [one, ..] = config().dims;
                let dims = config().dims.map(|dim| dim / one * width);
                let network = ConvNextConfig { dims, ..config() }.init(&mut init);
                (count(&network), network.feature_dim())
            }
        }
    }

    /// Every layer has `a · width² + b · width` parameters, so two narrow networks determine the number for a wide one.
    #[test]
    fn parameters_and_feature_dimensions_are_those_of_the_networks() {
        for model in MODELS {
            let ((one, dim), (two, _)) = (at_width(model.architecture, 1), at_width(model.architecture, 2));
            let a = (two - 2 * one) / 2;
            let width = match model.architecture {
                Architecture::ResNet(config) => config().width,
                Architecture::Vit(config) => config().dim,
                Architecture::ConvNext(config) => config().dims[0],
            };
            assert_eq!(a * width * width + (one - a) * width, model.parameters, "{}", model.name);
            assert_eq!(dim * width, model.feature_dim, "{}", model.name);
        }
    }

    #[test]
    fn the_answer_to_an_unknown_name_lists_every_model() {
        let names: Vec<_> = MODELS.iter().map(|model| model.name).collect();
        assert_eq!(EXPECTED, format!("one of {}", names.join(", ")));
    }
}
