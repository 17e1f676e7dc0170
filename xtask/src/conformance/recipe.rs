//! Networks as a case describes them.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use ssl_core::{Activation, Init, LayerConfig, Mlp, Norm};
use ssl_encoders::{AnyEncoder, BlockKind, ConvNextConfig, Positions, ResNetConfig, Stem, VitConfig};
use ssl_ijepa::{IJepaConfig, Predictor};
use ssl_mae::{Mae, MaeConfig};
use ssl_testing::Case;

/// An encoder.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum EncoderSpec {
    Resnet { block: BlockKind, layers: Vec<usize>, width: usize, stem: Stem, splits: usize },
    Convnext { depths: [usize; 4], dims: [usize; 4], patch: usize },
    Vit(VitSpec),
}

/// A vision transformer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VitSpec {
    image: usize,
    patch: usize,
    dim: usize,
    depth: usize,
    heads: usize,
    mlp_ratio: usize,
    cls_token: Option<bool>,
    #[serde(default)]
    pos_embed: PosEmbed,
    #[serde(default)]
    registers: usize,
    #[serde(default)]
    layer_scale: bool,
    #[serde(default)]
    mask_token: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PosEmbed {
    #[default]
    Learned,
    SinCos,
}

impl EncoderSpec {
    pub(super) fn init(&self, init: &mut Init) -> AnyEncoder {
        match self {
            Self::Resnet { block, layers, width, stem, splits } => {
                let config = ResNetConfig::new(*block, layers.as_slice());
                AnyEncoder::ResNet(
                    config.with_width(*width).with_stem(*stem).with_bn_splits(*splits).init(init),
                )
            }
            Self::Convnext { depths, dims, patch } => {
                let config = ConvNextConfig::new(*depths, *dims);
                AnyEncoder::ConvNext(config.with_patch_size(*patch).init(init))
            }
            Self::Vit(spec) => AnyEncoder::Vit(spec.config().init(init)),
        }
    }
}

impl EncoderSpec {
    /// The same network with positions that get a gradient, which cases have of fixed ones too.
    pub(super) fn with_learned_positions(mut self) -> Self {
        if let Self::Vit(spec) = &mut self {
            spec.pos_embed = PosEmbed::Learned;
        }
        self
    }
}

impl VitSpec {
    fn config(&self) -> VitConfig {
        VitConfig {
            image_size: self.image,
            patch_size: self.patch,
            mlp_ratio: self.mlp_ratio,
            class_token: self.cls_token.unwrap_or(true),
            registers: self.registers,
            mask_token: self.mask_token,
            // The case gives the values.
            layer_scale: self.layer_scale.then_some(1.0),
            positions: match self.pos_embed {
                PosEmbed::Learned => Positions::Learned,
                PosEmbed::SinCos => Positions::SinCosColumnRow,
            },
            ..VitConfig::new(self.dim, self.depth, self.heads)
        }
    }
}

/// A decoder of pixels.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecoderSpec {
    dim: usize,
    depth: usize,
    heads: usize,
    mlp_ratio: usize,
    /// Length of the encoder's tokens, patches a side, and pixels of a patch: the shapes of the initial values say the same.
    #[serde(rename = "width")]
    _width: usize,
    #[serde(rename = "grid")]
    _grid: usize,
    #[serde(rename = "out")]
    _out: usize,
}

impl DecoderSpec {
    pub(super) fn mae(&self, norm_pix: bool) -> Result<Mae> {
        let config = MaeConfig::new().with_decoder_dim(self.dim).with_decoder_depth(self.depth);
        let config = config.with_decoder_heads(self.heads).with_decoder_mlp_ratio(self.mlp_ratio);
        Ok(config.with_norm_pix(norm_pix).build()?)
    }
}

/// A predictor of tokens.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PredictorSpec {
    dim: usize,
    depth: usize,
    heads: usize,
    mlp_ratio: usize,
    /// Patches a side.
    grid: usize,
    /// Length of the encoder's tokens.
    width: usize,
}

impl PredictorSpec {
    pub(super) fn config(&self) -> IJepaConfig {
        let config = IJepaConfig::new().with_predictor_dim(self.dim).with_predictor_depth(self.depth);
        config.with_predictor_heads(self.heads).with_predictor_mlp_ratio(self.mlp_ratio)
    }

    pub(super) fn side(&self) -> usize {
        self.grid
    }

    /// A predictor for an encoder of that grid and width.
    pub(super) fn init(&self, init: &mut Init) -> Predictor {
        let encoder = VitConfig::new(self.width, 1, 1).with_image_size(self.grid).with_patch_size(1);
        let encoder = encoder.with_class_token(false).init(init);
        Predictor::init(&self.config(), &encoder, init)
    }
}

/// A head of prototypes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadSpec {
    pub(super) layers: Vec<LayerSpec>,
    #[serde(rename = "out")]
    pub(super) outputs: usize,
    /// Whether the lengths of prototypes are trained.
    #[serde(default)]
    pub(super) train_g: bool,
}

/// One layer of a head.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LayerSpec {
    #[serde(rename = "in")]
    inputs: usize,
    #[serde(rename = "out")]
    outputs: usize,
    bias: bool,
    norm: NormSpec,
    act: ActivationSpec,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NormSpec {
    None,
    Affine,
    Scale,
    Plain,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ActivationSpec {
    None,
    Relu,
    Gelu,
}

/// Compares a head that a method built with the layers `name` of a case.
pub(super) fn expect_layers(case: &Case, name: &str, specs: &[LayerSpec], built: &Mlp) -> Result<()> {
    let wanted: Vec<_> = specs.iter().map(LayerSpec::config).collect();
    ensure!(
        built.layers() == wanted,
        "the method builds a {name} of layers {:?}, expected {wanted:?}",
        built.layers()
    );
    for (index, spec) in specs.iter().enumerate() {
        // The shapes are checked when these values are loaded.
        let weight = format!("init.{name}.{index}.linear.weight");
        let shape = &case.tensor(&weight)?.shape;
        ensure!(
            *shape == [spec.outputs, spec.inputs],
            "'{weight}' has shape {shape:?}, expected that of {spec:?}"
        );
    }
    Ok(())
}

/// Width of the first layer of a head of a case.
pub(super) fn first_width(layers: &[LayerSpec]) -> Result<usize> {
    Ok(layers.first().context("a head without layers")?.outputs)
}

/// Width of the last layer of a head of a case.
pub(super) fn last_width(layers: &[LayerSpec]) -> Result<usize> {
    Ok(layers.last().context("a head without layers")?.outputs)
}

impl LayerSpec {
    fn config(&self) -> LayerConfig {
        let norm = match self.norm {
            NormSpec::None => Norm::None,
            NormSpec::Affine => Norm::Affine,
            NormSpec::Scale => Norm::Scale,
            NormSpec::Plain => Norm::Plain,
        };
        let activation = match self.act {
            ActivationSpec::None => Activation::None,
            ActivationSpec::Relu => Activation::Relu,
            ActivationSpec::Gelu => Activation::Gelu,
        };
        LayerConfig { outputs: self.outputs, bias: self.bias, norm, activation }
    }
}
