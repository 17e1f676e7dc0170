//! Hyper-parameters of DINO.

use serde::{Deserialize, Serialize};
use ssl_core::schedule::{cosine, linear_warmup};
use ssl_core::{ConfigError, LayerConfig, Norm, Progress, PrototypeHead, limits, setters};

use crate::Dino;

/// Hyper-parameters of DINO.
///
/// Per-parameter gradient clipping and the weight-decay schedule belong to the optimizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DinoConfig {
    /// `T_s`, the temperature of the student's logits. Default 0.1 (section 3.2; official `DINOLoss`).
    pub student_temperature: f64,
    /// `T_t`, the temperature of the teacher's centred logits; well below `T_s`, since a soft teacher lets all outputs
    /// become equal. Default 0.04 (official `main_dino.py`, `--teacher_temp`); 0.07 after a warm-up in section 3.2.
    pub teacher_temperature: f64,
    /// Initial `T_t`. Default 0.04 (official `--warmup_teacher_temp`; section 3.2).
    pub warmup_teacher_temperature: f64,
    /// Epochs over which `T_t` moves from its initial to its final value. Default 0 (official
    /// `--warmup_teacher_temp_epochs`); 30 in section 3.2.
    pub warmup_teacher_temperature_epochs: u64,
    /// `m`, the momentum of the centre. Default 0.9 (official `DINOLoss`, `center_momentum`).
    pub center_momentum: f64,
    /// `τ`, the initial momentum of the teacher. Default 0.996 (section 3.2; official `--momentum_teacher`).
    pub teacher_momentum: f64,
    /// Final `τ`, reached along a cosine. Default 1 (section 3.2; official `main_dino.py`). If equal to
    /// `teacher_momentum`, the momentum is constant.
    pub teacher_momentum_end: f64,
    /// Number of initial epochs in which the last layer of the head is not trained. Default 1 (official
    /// `--freeze_last_layer`).
    pub freeze_last_layer_epochs: u64,
    /// Layers of the head's MLP, before the last layer. Default 3 (section 3.2; official `DINOHead`, `nlayers`).
    pub head_layers: usize,
    /// Whether all MLP layers except the final one have a batch norm. Default `false` (official `--use_bn_in_head`);
    /// without it, SGD needs a low learning rate and a warm-up, or all outputs become equal.
    pub bn_in_head: bool,
    /// Width of all MLP layers except the final one. Default 2048 (official `DINOHead`, `hidden_dim`).
    pub hidden_dim: usize,
    /// Length of an embedding, the input of the last layer. Default 256 (official `DINOHead`, `bottleneck_dim`).
    pub bottleneck_dim: usize,
    /// Number of outputs. Default 65536 (official `--out_dim`).
    pub output_dim: usize,
}

impl Default for DinoConfig {
    fn default() -> Self {
        Self {
            student_temperature: 0.1,
            teacher_temperature: 0.04,
            warmup_teacher_temperature: 0.04,
            warmup_teacher_temperature_epochs: 0,
            center_momentum: 0.9,
            teacher_momentum: 0.996,
            teacher_momentum_end: 1.0,
            freeze_last_layer_epochs: 1,
            head_layers: 3,
            bn_in_head: false,
            hidden_dim: 2048,
            bottleneck_dim: 256,
            output_dim: 65536,
        }
    }
}

setters!(DinoConfig {
    with_student_temperature: student_temperature = f64,
    with_teacher_temperature: teacher_temperature = f64,
    with_warmup_teacher_temperature: warmup_teacher_temperature = f64,
    with_warmup_teacher_temperature_epochs: warmup_teacher_temperature_epochs = u64,
    with_center_momentum: center_momentum = f64,
    with_teacher_momentum: teacher_momentum = f64,
    with_teacher_momentum_end: teacher_momentum_end = f64,
    with_freeze_last_layer_epochs: freeze_last_layer_epochs = u64,
    with_head_layers: head_layers = usize,
    with_bn_in_head: bn_in_head = bool,
    with_hidden_dim: hidden_dim = usize,
    with_bottleneck_dim: bottleneck_dim = usize,
    with_output_dim: output_dim = usize,
});

impl DinoConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<Dino, ConfigError> {
        let temperatures = [
            ("student_temperature", self.student_temperature),
            ("teacher_temperature", self.teacher_temperature),
            ("warmup_teacher_temperature", self.warmup_teacher_temperature),
        ];
        for (field, t) in temperatures {
            limits::temperature(field, t)?;
        }
        let momenta = [
            ("center_momentum", self.center_momentum),
            ("teacher_momentum", self.teacher_momentum),
            ("teacher_momentum_end", self.teacher_momentum_end),
        ];
        momenta.into_iter().try_for_each(|(field, momentum)| limits::share(field, momentum))?;
        limits::epochs("warmup_teacher_temperature_epochs", self.warmup_teacher_temperature_epochs)?;
        limits::epochs("freeze_last_layer_epochs", self.freeze_last_layer_epochs)?;
        limits::prototype_head([
            ("head_layers", self.head_layers),
            ("hidden_dim", self.hidden_dim),
            ("bottleneck_dim", self.bottleneck_dim),
            ("output_dim", self.output_dim),
        ])?;
        Ok(Dino { config: self.clone() })
    }

    /// The layers of the head's MLP, before the last layer: linear with bias, batch norm if configured, and GELU; the
    /// final one is only linear.
    ///
    /// # Source
    /// Official `vision_transformer.py`, `DINOHead`.
    pub(crate) fn head(&self) -> Vec<LayerConfig> {
        let norm = if self.bn_in_head { Norm::Affine } else { Norm::None };
        let hidden = LayerConfig::new(self.hidden_dim).bias().norm(norm).gelu();
        PrototypeHead::layers(self.head_layers, hidden, self.bottleneck_dim)
    }

    /// `T_t` in the epoch of this step.
    pub(crate) fn teacher_temperature_at(&self, at: Progress) -> f64 {
        let (start, end) = (self.warmup_teacher_temperature, self.teacher_temperature);
        linear_warmup(at.epoch() as f64, self.warmup_teacher_temperature_epochs as f64, start, end)
    }

    /// `τ` at this step.
    pub(crate) fn teacher_momentum_at(&self, at: Progress) -> f64 {
        let (start, end) = (self.teacher_momentum, self.teacher_momentum_end);
        cosine(at.step as f64, at.total_steps as f64, start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: DinoConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn epochs_that_no_run_has_are_named() {
        let frozen = DinoConfig::new().with_freeze_last_layer_epochs(i64::MAX as u64);
        assert!(
            error(frozen).starts_with("freeze_last_layer_epochs is 9223372036854775807, expected at most")
        );
        let slow = DinoConfig::new().with_warmup_teacher_temperature_epochs(1 << 40);
        assert!(
            error(slow).starts_with("warmup_teacher_temperature_epochs is 1099511627776, expected at most")
        );
    }

    #[test]
    fn the_defaults_are_usable() {
        assert!(DinoConfig::new().build().is_ok());
    }

    #[test]
    fn unusable_temperatures_and_momenta_are_named() {
        let new = DinoConfig::new;
        assert_eq!(
            error(DinoConfig { student_temperature: 0.0, ..new() }),
            "student_temperature is 0, expected a number above 0"
        );
        assert_eq!(
            error(DinoConfig { teacher_temperature: f64::INFINITY, ..new() }),
            "teacher_temperature is inf, expected a number above 0"
        );
        assert_eq!(
            error(DinoConfig { warmup_teacher_temperature: -1.0, ..new() }),
            "warmup_teacher_temperature is -1, expected a number above 0"
        );
        assert_eq!(
            error(DinoConfig { center_momentum: 1.5, ..new() }),
            "center_momentum is 1.5, expected a number from 0 to 1"
        );
        assert_eq!(
            error(DinoConfig { teacher_momentum: -0.1, ..new() }),
            "teacher_momentum is -0.1, expected a number from 0 to 1"
        );
        assert_eq!(
            error(DinoConfig { teacher_momentum_end: 1.1, ..new() }),
            "teacher_momentum_end is 1.1, expected a number from 0 to 1"
        );
    }

    #[test]
    fn batch_norm_in_the_head_is_before_every_activation() {
        let layers = DinoConfig { bn_in_head: true, ..DinoConfig::new() }.head();
        assert_eq!(
            layers.iter().map(|layer| layer.norm).collect::<Vec<_>>(),
            [Norm::Affine, Norm::Affine, Norm::None]
        );
        assert!(DinoConfig::new().head().iter().all(|layer| layer.norm == Norm::None));
    }

    #[test]
    fn sizes_of_zero_are_named() {
        let new = DinoConfig::new;
        assert_eq!(error(DinoConfig { head_layers: 0, ..new() }), "head_layers is 0, expected at least 1");
        assert_eq!(error(new().with_hidden_dim(0)), "hidden_dim is 0, expected at least 1");
        assert_eq!(error(new().with_bottleneck_dim(0)), "bottleneck_dim is 0, expected at least 1");
        assert_eq!(error(new().with_output_dim(0)), "output_dim is 0, expected at least 1");
    }

    #[test]
    fn the_teacher_warms_up_by_epoch_and_slows_down_by_step() {
        let config = DinoConfig {
            teacher_temperature: 0.07,
            warmup_teacher_temperature_epochs: 4,
            ..DinoConfig::new()
        };
        let at = |step| Progress { step, total_steps: 100, steps_per_epoch: 10 };
        let temperatures = [0, 9, 10, 30, 99].map(|step| config.teacher_temperature_at(at(step)));
        for (got, want) in temperatures.into_iter().zip([0.04, 0.04, 0.05, 0.07, 0.07]) {
            assert!((got - want).abs() < 1e-12, "{got} is not {want}");
        }
        let momenta = [0, 50, 100].map(|step| config.teacher_momentum_at(at(step)));
        for (got, want) in momenta.into_iter().zip([0.996, 0.998, 1.0]) {
            assert!((got - want).abs() < 1e-12, "{got} is not {want}");
        }
        let constant = DinoConfig { teacher_momentum_end: 0.996, ..config };
        assert_eq!([0, 50, 100].map(|step| constant.teacher_momentum_at(at(step))), [0.996; 3]);
    }
}
