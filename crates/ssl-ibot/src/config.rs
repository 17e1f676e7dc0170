//! Hyper-parameters of iBOT.

use serde::{Deserialize, Serialize};
use ssl_core::schedule::{cosine, linear_warmup};
use ssl_core::{ConfigError, LayerConfig, Progress, PrototypeHead, limits, setters};

use crate::IBot;

/// Hyper-parameters of iBOT.
///
/// Which patches are hidden belongs to the recipe, under `[mask]`; per-parameter gradient clipping and the weight-decay schedule
/// belong to the optimizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IBotConfig {
    /// `T_s`, the temperature of the student's logits. Default 0.1 (appendix A; official `iBOTLoss`).
    pub student_temperature: f64,
    /// `T_t`, the temperature of the teacher's centred logits of class tokens. Default 0.04 (official `main_ibot.py`,
    /// `--teacher_temp`); 0.07 in the README's command for ViT-S/16.
    pub teacher_temperature: f64,
    /// Initial `T_t`. Default 0.04 (official `--warmup_teacher_temp`).
    pub warmup_teacher_temperature: f64,
    /// `T_t'`, the temperature of the teacher's centred logits of patches. Default 0.07 (official `--teacher_patch_temp`).
    pub teacher_patch_temperature: f64,
    /// Initial `T_t'`. Default 0.04 (official `--warmup_teacher_patch_temp`).
    pub warmup_teacher_patch_temperature: f64,
    /// Epochs over which both move from their initial to their final values. Default 30 (official
    /// `--warmup_teacher_temp_epochs`).
    pub warmup_teacher_temperature_epochs: u64,
    /// `m`, the momentum of the centre of class tokens. Default 0.9 (official `iBOTLoss`, `center_momentum`).
    pub center_momentum: f64,
    /// `m'`, the momentum of the centre of patches. Default 0.9 (official `iBOTLoss`, `center_momentum2`).
    pub patch_center_momentum: f64,
    /// `λ1`, the weight of the loss of class tokens. Default 1 (official `--lambda1`).
    pub class_weight: f64,
    /// `λ2`, the weight of the loss of hidden patches. Default 1 (official `--lambda2`).
    pub patch_weight: f64,
    /// `τ`, the initial momentum of the teacher. Default 0.996 (official `--momentum_teacher`).
    pub teacher_momentum: f64,
    /// Final `τ`, reached along a cosine. Default 1 (official `main_ibot.py`). If equal to `teacher_momentum`, the momentum is
    /// constant.
    pub teacher_momentum_end: f64,
    /// Number of initial epochs in which the last layer of the head is not trained. Default 1 (official
    /// `--freeze_last_layer`).
    pub freeze_last_layer_epochs: u64,
    /// Whether the lengths of the last layer's rows are trained. Default `false` (official `--norm_last_layer` of `true`, which is
    /// the contrary); the README's command for ViT-S/16 trains them, which is better there but can be unstable.
    pub train_prototype_lengths: bool,
    /// Layers of the head's MLP, before the last layer. Default 3 (official `iBOTHead`, `nlayers`).
    pub head_layers: usize,
    /// Width of all MLP layers except the final one. Default 2048 (official `iBOTHead`, `hidden_dim`).
    pub hidden_dim: usize,
    /// Length of an embedding, the input of the last layer. Default 256 (official `iBOTHead`, `bottleneck_dim`).
    pub bottleneck_dim: usize,
    /// Number of outputs, of class tokens and patches alike. Default 8192 (official `--out_dim`).
    pub output_dim: usize,
}

impl Default for IBotConfig {
    fn default() -> Self {
        Self {
            student_temperature: 0.1,
            teacher_temperature: 0.04,
            warmup_teacher_temperature: 0.04,
            teacher_patch_temperature: 0.07,
            warmup_teacher_patch_temperature: 0.04,
            warmup_teacher_temperature_epochs: 30,
            center_momentum: 0.9,
            patch_center_momentum: 0.9,
            class_weight: 1.0,
            patch_weight: 1.0,
            teacher_momentum: 0.996,
            teacher_momentum_end: 1.0,
            freeze_last_layer_epochs: 1,
            train_prototype_lengths: false,
            head_layers: 3,
            hidden_dim: 2048,
            bottleneck_dim: 256,
            output_dim: 8192,
        }
    }
}

setters!(IBotConfig {
    with_student_temperature: student_temperature = f64,
    with_teacher_temperature: teacher_temperature = f64,
    with_warmup_teacher_temperature: warmup_teacher_temperature = f64,
    with_teacher_patch_temperature: teacher_patch_temperature = f64,
    with_warmup_teacher_patch_temperature: warmup_teacher_patch_temperature = f64,
    with_warmup_teacher_temperature_epochs: warmup_teacher_temperature_epochs = u64,
    with_center_momentum: center_momentum = f64,
    with_patch_center_momentum: patch_center_momentum = f64,
    with_class_weight: class_weight = f64,
    with_patch_weight: patch_weight = f64,
    with_teacher_momentum: teacher_momentum = f64,
    with_teacher_momentum_end: teacher_momentum_end = f64,
    with_freeze_last_layer_epochs: freeze_last_layer_epochs = u64,
    with_train_prototype_lengths: train_prototype_lengths = bool,
    with_head_layers: head_layers = usize,
    with_hidden_dim: hidden_dim = usize,
    with_bottleneck_dim: bottleneck_dim = usize,
    with_output_dim: output_dim = usize,
});

impl IBotConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<IBot, ConfigError> {
        let temperatures = [
            ("student_temperature", self.student_temperature),
            ("teacher_temperature", self.teacher_temperature),
            ("warmup_teacher_temperature", self.warmup_teacher_temperature),
            ("teacher_patch_temperature", self.teacher_patch_temperature),
            ("warmup_teacher_patch_temperature", self.warmup_teacher_patch_temperature),
        ];
        for (field, temperature) in temperatures {
            limits::temperature(field, temperature)?;
        }
        let momenta = [
            ("center_momentum", self.center_momentum),
            ("patch_center_momentum", self.patch_center_momentum),
            ("teacher_momentum", self.teacher_momentum),
            ("teacher_momentum_end", self.teacher_momentum_end),
        ];
        momenta.into_iter().try_for_each(|(field, momentum)| limits::share(field, momentum))?;
        limits::epochs("warmup_teacher_temperature_epochs", self.warmup_teacher_temperature_epochs)?;
        limits::epochs("freeze_last_layer_epochs", self.freeze_last_layer_epochs)?;
        limits::weight("class_weight", self.class_weight)?;
        limits::weight("patch_weight", self.patch_weight)?;
        let weights = self.class_weight + self.patch_weight;
        ConfigError::check(weights > 0.0, "class_weight", "0 as patch_weight is", "one of them above 0")?;
        limits::prototype_head([
            ("head_layers", self.head_layers),
            ("hidden_dim", self.hidden_dim),
            ("bottleneck_dim", self.bottleneck_dim),
            ("output_dim", self.output_dim),
        ])?;
        Ok(IBot { config: self.clone() })
    }

    /// The layers of the head's MLP, before the last layer: linear with bias and GELU; the final one is only linear.
    ///
    /// # Source
    /// Official `models/head.py`, `iBOTHead`.
    pub(crate) fn head(&self) -> Vec<LayerConfig> {
        PrototypeHead::layers(
            self.head_layers,
            LayerConfig::new(self.hidden_dim).bias().gelu(),
            self.bottleneck_dim,
        )
    }

    /// `T_t` in the epoch of this step.
    pub(crate) fn teacher_temperature_at(&self, at: Progress) -> f64 {
        self.warmed_up(at, self.warmup_teacher_temperature, self.teacher_temperature)
    }

    /// `T_t'` in the epoch of this step.
    pub(crate) fn teacher_patch_temperature_at(&self, at: Progress) -> f64 {
        self.warmed_up(at, self.warmup_teacher_patch_temperature, self.teacher_patch_temperature)
    }

    fn warmed_up(&self, at: Progress, start: f64, end: f64) -> f64 {
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

    fn error(config: IBotConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn epochs_that_no_run_has_are_named() {
        let frozen = IBotConfig::new().with_freeze_last_layer_epochs(i64::MAX as u64);
        assert!(
            error(frozen).starts_with("freeze_last_layer_epochs is 9223372036854775807, expected at most")
        );
        let slow = IBotConfig::new().with_warmup_teacher_temperature_epochs(1 << 40);
        assert!(
            error(slow).starts_with("warmup_teacher_temperature_epochs is 1099511627776, expected at most")
        );
    }

    #[test]
    fn the_defaults_are_usable() {
        assert!(IBotConfig::new().build().is_ok());
    }

    #[test]
    fn unusable_values_are_named() {
        let new = IBotConfig::new;
        let temperature = "is 0, expected a number above 0";
        assert_eq!(error(new().with_student_temperature(0.0)), format!("student_temperature {temperature}"));
        assert_eq!(error(new().with_teacher_temperature(0.0)), format!("teacher_temperature {temperature}"));
        assert_eq!(
            error(new().with_warmup_teacher_temperature(0.0)),
            format!("warmup_teacher_temperature {temperature}")
        );
        assert_eq!(
            error(new().with_teacher_patch_temperature(0.0)),
            format!("teacher_patch_temperature {temperature}")
        );
        assert_eq!(
            error(new().with_warmup_teacher_patch_temperature(0.0)),
            format!("warmup_teacher_patch_temperature {temperature}")
        );
        let momentum = "is 1.5, expected a number from 0 to 1";
        assert_eq!(error(new().with_center_momentum(1.5)), format!("center_momentum {momentum}"));
        assert_eq!(error(new().with_patch_center_momentum(1.5)), format!("patch_center_momentum {momentum}"));
        assert_eq!(error(new().with_teacher_momentum(1.5)), format!("teacher_momentum {momentum}"));
        assert_eq!(error(new().with_teacher_momentum_end(1.5)), format!("teacher_momentum_end {momentum}"));
        let weight = "is -1, expected a number of at least 0";
        assert_eq!(error(new().with_class_weight(-1.0)), format!("class_weight {weight}"));
        assert_eq!(error(new().with_patch_weight(-1.0)), format!("patch_weight {weight}"));
        assert_eq!(
            error(new().with_class_weight(0.0).with_patch_weight(0.0)),
            "class_weight is 0 as patch_weight is, expected one of them above 0"
        );
    }

    #[test]
    fn sizes_of_zero_are_named() {
        let new = IBotConfig::new;
        assert_eq!(error(new().with_head_layers(0)), "head_layers is 0, expected at least 1");
        assert_eq!(error(new().with_hidden_dim(0)), "hidden_dim is 0, expected at least 1");
        assert_eq!(error(new().with_bottleneck_dim(0)), "bottleneck_dim is 0, expected at least 1");
        assert_eq!(error(new().with_output_dim(0)), "output_dim is 0, expected at least 1");
    }

    #[test]
    fn the_teacher_warms_up_by_epoch_and_slows_down_by_step() {
        let config =
            IBotConfig::new().with_teacher_temperature(0.07).with_warmup_teacher_temperature_epochs(4);
        let config = config.with_warmup_teacher_patch_temperature(0.05).with_teacher_patch_temperature(0.08);
        let at = |step| Progress { step, total_steps: 100, steps_per_epoch: 10 };
        for (step, class, patch) in [(9, 0.04, 0.05), (10, 0.05, 0.06), (30, 0.07, 0.08), (99, 0.07, 0.08)] {
            assert!((config.teacher_temperature_at(at(step)) - class).abs() < 1e-12, "step {step}");
            assert!((config.teacher_patch_temperature_at(at(step)) - patch).abs() < 1e-12, "step {step}");
        }
        let momenta = [0, 50, 100].map(|step| config.teacher_momentum_at(at(step)));
        for (got, want) in momenta.into_iter().zip([0.996, 0.998, 1.0]) {
            assert!((got - want).abs() < 1e-12, "{got} is not {want}");
        }
    }
}
