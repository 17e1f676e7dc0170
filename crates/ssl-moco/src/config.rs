//! Hyper-parameters of MoCo v1 and v2.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, LayerConfig, limits, setters};

use crate::{MoCo, MoCoLoss};

/// Hyper-parameters of MoCo v1 and v2.
///
/// The number of batch-norm groups (`bn_splits`) belongs to the encoder, see the crate documentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MoCoConfig {
    /// `T` of the loss. Default 0.07 in v1 (section 3.3), 0.2 in v2 (official README, `--moco-t 0.2`); 0.1 in the
    /// authors' CIFAR-10 demo.
    pub temperature: f64,
    /// Momentum of the teacher, from 0 to 1. Default 0.999 (v1, section 4.1; official `--moco-m`); 0.99 in the authors'
    /// CIFAR-10 demo.
    pub momentum: f64,
    /// Number of negatives. Default 65536 (v1, section 4; official `--moco-k`); 4096 in the authors' CIFAR-10 demo. The
    /// queue must hold the keys of one step: one batch, or two if `symmetric`.
    pub queue_len: usize,
    /// Layers of the projector: 1 in v1 (section 3.3), 2 in v2 (section 3, MLP head). Default 1.
    pub projector_layers: usize,
    /// Width of all layers except the last; 0 means the feature dimension. Default 0 (v2, section 3, MLP head: 2048 on
    /// a ResNet-50; official `builder.py`).
    pub hidden_dim: usize,
    /// Length of an embedding. Default 128 (v1, section 3.3; official `--moco-dim`).
    pub output_dim: usize,
    /// Whether each view is the query once and the key once, which doubles both the work and the terms. Default `false`
    /// (v1, algorithm 1); an option of the authors' CIFAR-10 demo.
    pub symmetric: bool,
    /// Whether keys pass through the teacher in shuffled order, so that batch norm normalises a key together with other
    /// images than its query. Otherwise a query can identify its key by their shared statistics. Default `true` (v1,
    /// section 3.3, Shuffling BN; official `builder.py`, `_batch_shuffle_ddp`, and the authors' CIFAR-10 demo). It only
    /// has an effect where batch norm works on groups of the batch, i.e. if `bn_splits` of the encoder is above 1.
    pub shuffle: bool,
}

impl Default for MoCoConfig {
    /// The configuration of v1.
    fn default() -> Self {
        Self {
            temperature: 0.07,
            momentum: 0.999,
            queue_len: 65536,
            projector_layers: 1,
            hidden_dim: 0,
            output_dim: 128,
            symmetric: false,
            shuffle: true,
        }
    }
}

setters!(MoCoConfig {
    with_temperature: temperature = f64,
    with_momentum: momentum = f64,
    with_queue_len: queue_len = usize,
    with_projector_layers: projector_layers = usize,
    with_hidden_dim: hidden_dim = usize,
    with_output_dim: output_dim = usize,
    with_symmetric: symmetric = bool,
    with_shuffle: shuffle = bool,
});

impl MoCoConfig {
    /// The configuration of MoCo v1: a linear projector.
    pub fn v1() -> Self {
        Self::default()
    }

    /// The configuration of MoCo v2: a projector of two layers and a higher temperature.
    pub fn v2() -> Self {
        Self { temperature: 0.2, projector_layers: 2, ..Self::default() }
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<MoCo, ConfigError> {
        let (t, momentum) = (self.temperature, self.momentum);
        limits::temperature("temperature", t)?;
        limits::share("momentum", momentum)?;
        ConfigError::check(self.queue_len > 0, "queue_len", 0, "at least 1")?;
        ConfigError::check(self.projector_layers > 0, "projector_layers", 0, "at least 1")?;
        ConfigError::check(self.output_dim > 0, "output_dim", 0, "at least 1")?;
        limits::queue("queue_len", self.queue_len)?;
        limits::layers("projector_layers", self.projector_layers)?;
        limits::width("hidden_dim", self.hidden_dim)?;
        limits::width("output_dim", self.output_dim)?;
        Ok(MoCo { loss: MoCoLoss::new(t), config: self.clone() })
    }

    /// The projector: linear layers with bias, ReLU between them, no batch norm.
    ///
    /// # Source
    /// v1, section 3.3; v2, section 3, MLP head; official `builder.py`.
    pub(crate) fn projector(&self, feature_dim: usize) -> Vec<LayerConfig> {
        let width = if self.hidden_dim == 0 { feature_dim } else { self.hidden_dim };
        let hidden = LayerConfig::new(width).bias().relu();
        let mut layers = vec![hidden; self.projector_layers - 1];
        layers.push(LayerConfig::new(self.output_dim).bias());
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: MoCoConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn both_versions_are_usable() {
        assert!(MoCoConfig::v1().build().is_ok() && MoCoConfig::v2().build().is_ok());
    }

    #[test]
    fn both_versions_shuffle() {
        assert!(MoCoConfig::v1().shuffle && MoCoConfig::v2().shuffle);
    }

    #[test]
    fn unusable_values_are_named() {
        let new = MoCoConfig::v2;
        assert_eq!(error(new().with_temperature(0.0)), "temperature is 0, expected a number above 0");
        assert_eq!(error(new().with_momentum(1.5)), "momentum is 1.5, expected a number from 0 to 1");
        assert_eq!(error(new().with_momentum(f64::NAN)), "momentum is NaN, expected a number from 0 to 1");
        assert_eq!(error(new().with_queue_len(0)), "queue_len is 0, expected at least 1");
        assert_eq!(
            error(MoCoConfig { projector_layers: 0, ..new() }),
            "projector_layers is 0, expected at least 1"
        );
        assert_eq!(error(new().with_output_dim(0)), "output_dim is 0, expected at least 1");
    }

    #[test]
    fn the_projector_is_linear_in_v1_and_has_a_hidden_layer_of_the_feature_dimension_in_v2() {
        let widths = |config: MoCoConfig| -> Vec<_> {
            config.projector(512).iter().map(|layer| (layer.outputs, layer.bias)).collect()
        };
        assert_eq!(widths(MoCoConfig::v1()), [(128, true)]);
        assert_eq!(widths(MoCoConfig::v2()), [(512, true), (128, true)]);
        assert_eq!(widths(MoCoConfig::v2().with_hidden_dim(64)), [(64, true), (128, true)]);
    }
}
