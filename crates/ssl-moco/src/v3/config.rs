//! Hyper-parameters of MoCo v3.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, LayerConfig, Norm, limits, names, setters};

use super::{MoCoV3, MoCoV3Loss};

/// Hyper-parameters of MoCo v3.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MoCoV3Config {
    /// `T` of the loss. Default 1.0 on a ResNet (official `--moco-t`), 0.2 on a ViT (official `CONFIG.md`).
    pub temperature: f64,
    /// Initial momentum of the teacher, from 0 to 1. Default 0.99 (official `--moco-m`); 0.996 for 1000 epochs on a
    /// ResNet-50 (official `CONFIG.md`).
    pub momentum: f64,
    /// Final momentum of the teacher, from 0 to 1, reached along a cosine. Default 1 (official `--moco-m-cos`). If
    /// equal to `momentum`, the momentum is constant.
    pub momentum_end: f64,
    /// The structure of projector and predictor. Default [`MoCoV3Heads::ResNet`].
    pub heads: MoCoV3Heads,
    /// Whether the patch projection stays at its initial values, which stabilises the training of a ViT. Default `true`
    /// (section 4.2; official `--stop-grad-conv1`). Only used with [`MoCoV3Heads::Vit`]; the position embedding is
    /// always frozen (sines and cosines, official `vits.py`).
    pub freeze_patch_embed: bool,
    /// Width of all layers except the last. Default 4096 (paper, implementation details: MLP heads; official
    /// `--moco-mlp-dim`).
    pub hidden_dim: usize,
    /// Length of an embedding. Default 256 (ibid.; official `--moco-dim`).
    pub output_dim: usize,
}

/// Projector and predictor of MoCo v3: linear layers without bias; batch norm and ReLU after all except the last.
///
/// # Source
/// Official `builder.py`, `MoCo_ResNet` and `MoCo_ViT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MoCoV3Heads {
    /// Projector: 2 layers, ending in batch norm without parameters. Predictor: 2 layers, ending in a linear layer.
    #[default]
    ResNet,
    /// Projector: 3 layers. Predictor: 2 layers. Both end in batch norm without parameters.
    Vit,
}

names!(MoCoV3Heads: "heads" { ResNet = "resnet", Vit = "vit" });

impl Default for MoCoV3Config {
    /// The configuration for a ResNet.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            momentum: 0.99,
            momentum_end: 1.0,
            heads: MoCoV3Heads::ResNet,
            freeze_patch_embed: true,
            hidden_dim: 4096,
            output_dim: 256,
        }
    }
}

setters!(MoCoV3Config {
    with_temperature: temperature = f64,
    with_momentum_end: momentum_end = f64,
    with_heads: heads = MoCoV3Heads,
    with_freeze_patch_embed: freeze_patch_embed = bool,
    with_hidden_dim: hidden_dim = usize,
    with_output_dim: output_dim = usize;
    momentum,
});

impl MoCoV3Config {
    /// The configuration of MoCo v3 on a ResNet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The configuration of MoCo v3 on a vision transformer.
    pub fn vit() -> Self {
        Self { temperature: 0.2, heads: MoCoV3Heads::Vit, ..Self::default() }
    }

    /// Sets the teacher's momentum at the first step and at the end of the run.
    pub fn with_momentum(mut self, start: f64, end: f64) -> Self {
        (self.momentum, self.momentum_end) = (start, end);
        self
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<MoCoV3, ConfigError> {
        let (t, start, end) = (self.temperature, self.momentum, self.momentum_end);
        limits::temperature("temperature", t)?;
        limits::share("momentum", start)?;
        limits::share("momentum_end", end)?;
        ConfigError::check(self.hidden_dim > 0, "hidden_dim", 0, "at least 1")?;
        ConfigError::check(self.output_dim > 0, "output_dim", 0, "at least 1")?;
        limits::width("hidden_dim", self.hidden_dim)?;
        limits::width("output_dim", self.output_dim)?;
        Ok(MoCoV3 { loss: MoCoV3Loss::new(t), config: self.clone() })
    }

    pub(super) fn projector(&self) -> Vec<LayerConfig> {
        let hidden_layers = match self.heads {
            MoCoV3Heads::ResNet => 1,
            MoCoV3Heads::Vit => 2,
        };
        let mut layers = vec![self.hidden_layer(); hidden_layers];
        layers.push(LayerConfig::new(self.output_dim).norm(Norm::Plain));
        layers
    }

    pub(super) fn predictor(&self) -> Vec<LayerConfig> {
        let last_norm = match self.heads {
            MoCoV3Heads::ResNet => Norm::None,
            MoCoV3Heads::Vit => Norm::Plain,
        };
        vec![self.hidden_layer(), LayerConfig::new(self.output_dim).norm(last_norm)]
    }

    fn hidden_layer(&self) -> LayerConfig {
        LayerConfig::new(self.hidden_dim).norm(Norm::Affine).relu()
    }

    /// Paths in the student of parameters that are never trained.
    pub(super) fn frozen(&self) -> Vec<&'static str> {
        match (self.heads, self.freeze_patch_embed) {
            (MoCoV3Heads::ResNet, _) => vec![],
            (MoCoV3Heads::Vit, false) => vec!["encoder.pos_embed"],
            (MoCoV3Heads::Vit, true) => vec!["encoder.pos_embed", "encoder.patch_embed"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: MoCoV3Config) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn names_of_heads_are_those_that_recipes_have() {
        use serde::de::IntoDeserializer;
        use serde::de::value::{Error, StrDeserializer};
        for name in MoCoV3Heads::NAMES {
            let deserializer: StrDeserializer<'_, Error> = name.into_deserializer();
            assert_eq!(MoCoV3Heads::deserialize(deserializer).ok(), name.parse().ok());
        }
    }

    #[test]
    fn both_defaults_are_usable() {
        assert!(MoCoV3Config::new().build().is_ok() && MoCoV3Config::vit().build().is_ok());
    }

    #[test]
    fn unusable_values_are_named() {
        let new = MoCoV3Config::new;
        assert_eq!(error(new().with_temperature(-1.0)), "temperature is -1, expected a number above 0");
        assert_eq!(error(new().with_momentum(2.0, 1.0)), "momentum is 2, expected a number from 0 to 1");
        assert_eq!(
            error(new().with_momentum(0.9, 1.1)),
            "momentum_end is 1.1, expected a number from 0 to 1"
        );
        assert_eq!(error(new().with_hidden_dim(0)), "hidden_dim is 0, expected at least 1");
        assert_eq!(error(new().with_output_dim(0)), "output_dim is 0, expected at least 1");
    }

    #[test]
    fn heads_end_in_batch_norm_but_for_the_predictor_of_a_resnet() {
        let norms = |layers: Vec<LayerConfig>| layers.iter().map(|layer| layer.norm).collect::<Vec<_>>();
        let (resnet, vit) = (MoCoV3Config::new(), MoCoV3Config::vit());
        assert_eq!(norms(resnet.projector()), [Norm::Affine, Norm::Plain]);
        assert_eq!(norms(resnet.predictor()), [Norm::Affine, Norm::None]);
        assert_eq!(norms(vit.projector()), [Norm::Affine, Norm::Affine, Norm::Plain]);
        assert_eq!(norms(vit.predictor()), [Norm::Affine, Norm::Plain]);
    }
}
