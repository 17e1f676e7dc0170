//! Hyper-parameters of DINOv2.

use serde::{Deserialize, Serialize};
use ssl_core::schedule::{cosine, linear_warmup};
use ssl_core::{ConfigError, LayerConfig, Progress, PrototypeHead, limits, setters};

use crate::{Centering, DinoV2};

/// Hyper-parameters of DINOv2.
///
/// Which patches are hidden belongs to the recipe, under `[mask]`. Clipping per module, layer-wise decay of the learning rate and
/// the weight-decay schedule belong to the optimizer.
///
/// Defaults are those of the official `ssl_default_config.yaml`, whose keys are in brackets; the configurations of ViT-L and
/// ViT-g (`vitl14.yaml`, `vitg14.yaml`) differ as noted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DinoV2Config {
    /// `T_s`, the temperature of the student's logits. Default 0.1 (official `DINOLoss` and `iBOTPatchLoss`, `student_temp`).
    pub student_temperature: f64,
    /// `T_t`, the temperature of the teacher's logits. Default 0.07 (`teacher.teacher_temp`).
    pub teacher_temperature: f64,
    /// Initial `T_t`. Default 0.04 (`teacher.warmup_teacher_temp`).
    pub warmup_teacher_temperature: f64,
    /// Epochs over which `T_t` moves from its initial to its final value. Default 30 (`teacher.warmup_teacher_temp_epochs`).
    pub warmup_teacher_temperature_epochs: u64,
    /// How the teacher's outputs are kept in balance. Default `"center"` (`train.centering`); `"sinkhorn"` for ViT-L and ViT-g.
    pub centering: Centering,
    /// `m`, the momentum of both centres; only for `"center"`. Default 0.9 (official `DINOLoss`, `center_momentum`).
    pub center_momentum: f64,
    /// Rounds of Sinkhorn-Knopp; only for `"sinkhorn"`. Default 3 (official `sinkhorn_knopp_teacher`, `n_iterations`).
    pub sinkhorn_iterations: usize,
    /// Weight of the loss of class tokens. Default 1 (`dino.loss_weight`).
    pub class_weight: f64,
    /// Weight of the loss of hidden patches. Default 1 (`ibot.loss_weight`).
    pub patch_weight: f64,
    /// Weight of KoLeo, which spreads the class tokens of a batch. Default 0.1 (`dino.koleo_loss_weight`); 0 for none.
    pub koleo_weight: f64,
    /// `τ`, the initial momentum of the teacher. Default 0.992 (`teacher.momentum_teacher`); 0.994 for ViT-L and ViT-g.
    pub teacher_momentum: f64,
    /// Final `τ`, reached along a cosine. Default 1 (`teacher.final_momentum_teacher`).
    pub teacher_momentum_end: f64,
    /// Number of initial epochs in which the learning rate of the heads' last layers is 0. Default 1
    /// (`optim.freeze_last_layer_epochs`).
    pub freeze_last_layer_epochs: u64,
    /// Whether the lengths of the last layers' rows are trained. Default `true` (official `DINOHead`).
    pub train_prototype_lengths: bool,
    /// Layers of the head's MLP, before the last layer. Default 3 (`dino.head_nlayers`).
    pub head_layers: usize,
    /// Width of all MLP layers except the final one. Default 2048 (`dino.head_hidden_dim`).
    pub hidden_dim: usize,
    /// Length of an embedding, the input of the last layer. Default 256 (`dino.head_bottleneck_dim`); 384 for ViT-L and ViT-g.
    pub bottleneck_dim: usize,
    /// Number of outputs. Default 65536 (`dino.head_n_prototypes`); 131072 for ViT-L and ViT-g.
    pub output_dim: usize,
    /// Whether patches have a head of their own, whose sizes are the fields below. Default `false` (`ibot.separate_head`); `true`
    /// for ViT-L and ViT-g.
    pub separate_patch_head: bool,
    /// Layers of the MLP of the patches' own head. Default 3 (`ibot.head_nlayers`).
    pub patch_head_layers: usize,
    /// Width of all its MLP layers except the final one. Default 2048 (`ibot.head_hidden_dim`).
    pub patch_hidden_dim: usize,
    /// Length of its embeddings. Default 256 (`ibot.head_bottleneck_dim`).
    pub patch_bottleneck_dim: usize,
    /// Number of its outputs. Default 65536 (`ibot.head_n_prototypes`); 131072 for ViT-L and ViT-g.
    pub patch_output_dim: usize,
}

impl Default for DinoV2Config {
    fn default() -> Self {
        Self {
            student_temperature: 0.1,
            teacher_temperature: 0.07,
            warmup_teacher_temperature: 0.04,
            warmup_teacher_temperature_epochs: 30,
            centering: Centering::Center,
            center_momentum: 0.9,
            sinkhorn_iterations: 3,
            class_weight: 1.0,
            patch_weight: 1.0,
            koleo_weight: 0.1,
            teacher_momentum: 0.992,
            teacher_momentum_end: 1.0,
            freeze_last_layer_epochs: 1,
            train_prototype_lengths: true,
            head_layers: 3,
            hidden_dim: 2048,
            bottleneck_dim: 256,
            output_dim: 65536,
            separate_patch_head: false,
            patch_head_layers: 3,
            patch_hidden_dim: 2048,
            patch_bottleneck_dim: 256,
            patch_output_dim: 65536,
        }
    }
}

setters!(DinoV2Config {
    with_student_temperature: student_temperature = f64,
    with_teacher_temperature: teacher_temperature = f64,
    with_warmup_teacher_temperature: warmup_teacher_temperature = f64,
    with_warmup_teacher_temperature_epochs: warmup_teacher_temperature_epochs = u64,
    with_centering: centering = Centering,
    with_center_momentum: center_momentum = f64,
    with_sinkhorn_iterations: sinkhorn_iterations = usize,
    with_class_weight: class_weight = f64,
    with_patch_weight: patch_weight = f64,
    with_koleo_weight: koleo_weight = f64,
    with_teacher_momentum: teacher_momentum = f64,
    with_teacher_momentum_end: teacher_momentum_end = f64,
    with_freeze_last_layer_epochs: freeze_last_layer_epochs = u64,
    with_train_prototype_lengths: train_prototype_lengths = bool,
    with_head_layers: head_layers = usize,
    with_hidden_dim: hidden_dim = usize,
    with_bottleneck_dim: bottleneck_dim = usize,
    with_output_dim: output_dim = usize,
    with_separate_patch_head: separate_patch_head = bool,
    with_patch_head_layers: patch_head_layers = usize,
    with_patch_hidden_dim: patch_hidden_dim = usize,
    with_patch_bottleneck_dim: patch_bottleneck_dim = usize,
    with_patch_output_dim: patch_output_dim = usize,
});

/// The layers of a head's MLP, and its number of outputs.
pub(crate) struct HeadSizes {
    pub(crate) layers: Vec<LayerConfig>,
    pub(crate) outputs: usize,
}

impl DinoV2Config {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the configuration and builds the method.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<DinoV2, ConfigError> {
        let temperatures = [
            ("student_temperature", self.student_temperature),
            ("teacher_temperature", self.teacher_temperature),
            ("warmup_teacher_temperature", self.warmup_teacher_temperature),
        ];
        for (field, temperature) in temperatures {
            limits::temperature(field, temperature)?;
        }
        let momenta = [
            ("center_momentum", self.center_momentum),
            ("teacher_momentum", self.teacher_momentum),
            ("teacher_momentum_end", self.teacher_momentum_end),
        ];
        momenta.into_iter().try_for_each(|(field, momentum)| limits::share(field, momentum))?;
        limits::epochs("warmup_teacher_temperature_epochs", self.warmup_teacher_temperature_epochs)?;
        limits::epochs("freeze_last_layer_epochs", self.freeze_last_layer_epochs)?;
        self.check_weights()?;
        self.check_sizes()?;
        Ok(DinoV2 { config: self.clone() })
    }

    fn check_weights(&self) -> Result<(), ConfigError> {
        limits::weight("class_weight", self.class_weight)?;
        limits::weight("patch_weight", self.patch_weight)?;
        limits::weight("koleo_weight", self.koleo_weight)?;
        let compares = self.class_weight + self.patch_weight > 0.0;
        ConfigError::check(compares, "class_weight", "0 as patch_weight is", "one of them above 0")
    }

    fn check_sizes(&self) -> Result<(), ConfigError> {
        let rounds = self.sinkhorn_iterations;
        limits::not_zero("sinkhorn_iterations", rounds)?;
        ConfigError::check(rounds <= 1000, "sinkhorn_iterations", rounds, "at most 1000: 3 are usual")?;
        limits::prototype_head([
            ("head_layers", self.head_layers),
            ("hidden_dim", self.hidden_dim),
            ("bottleneck_dim", self.bottleneck_dim),
            ("output_dim", self.output_dim),
        ])?;
        limits::prototype_head([
            ("patch_head_layers", self.patch_head_layers),
            ("patch_hidden_dim", self.patch_hidden_dim),
            ("patch_bottleneck_dim", self.patch_bottleneck_dim),
            ("patch_output_dim", self.patch_output_dim),
        ])
    }

    /// The head of class tokens, and of patches unless these have their own.
    pub(crate) fn head(&self) -> HeadSizes {
        let layers = mlp(self.head_layers, self.hidden_dim, self.bottleneck_dim);
        HeadSizes { layers, outputs: self.output_dim }
    }

    /// The patches' own head.
    pub(crate) fn patch_head(&self) -> Option<HeadSizes> {
        let layers = mlp(self.patch_head_layers, self.patch_hidden_dim, self.patch_bottleneck_dim);
        self.separate_patch_head.then_some(HeadSizes { layers, outputs: self.patch_output_dim })
    }

    /// Outputs of patches.
    pub(crate) fn patch_outputs(&self) -> usize {
        if self.separate_patch_head { self.patch_output_dim } else { self.output_dim }
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

/// The layers of an MLP: linear with bias and GELU; the final one is only linear.
///
/// # Source
/// Official `layers/dino_head.py`, `DINOHead`.
fn mlp(layers: usize, hidden: usize, outputs: usize) -> Vec<LayerConfig> {
    PrototypeHead::layers(layers, LayerConfig::new(hidden).bias().gelu(), outputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: DinoV2Config) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn epochs_that_no_run_has_are_named() {
        let frozen = DinoV2Config::new().with_freeze_last_layer_epochs(i64::MAX as u64);
        assert!(
            error(frozen).starts_with("freeze_last_layer_epochs is 9223372036854775807, expected at most")
        );
        let slow = DinoV2Config::new().with_warmup_teacher_temperature_epochs(1 << 40);
        assert!(
            error(slow).starts_with("warmup_teacher_temperature_epochs is 1099511627776, expected at most")
        );
    }

    #[test]
    fn the_defaults_are_usable() {
        assert!(DinoV2Config::new().build().is_ok());
    }

    #[test]
    fn unusable_values_are_named() {
        let new = DinoV2Config::new;
        let temperature = "is 0, expected a number above 0";
        assert_eq!(error(new().with_student_temperature(0.0)), format!("student_temperature {temperature}"));
        assert_eq!(error(new().with_teacher_temperature(0.0)), format!("teacher_temperature {temperature}"));
        assert_eq!(
            error(new().with_warmup_teacher_temperature(0.0)),
            format!("warmup_teacher_temperature {temperature}")
        );
        let momentum = "is -0.5, expected a number from 0 to 1";
        assert_eq!(error(new().with_center_momentum(-0.5)), format!("center_momentum {momentum}"));
        assert_eq!(error(new().with_teacher_momentum(-0.5)), format!("teacher_momentum {momentum}"));
        assert_eq!(error(new().with_teacher_momentum_end(-0.5)), format!("teacher_momentum_end {momentum}"));
        let weight = "is -1, expected a number of at least 0";
        assert_eq!(error(new().with_class_weight(-1.0)), format!("class_weight {weight}"));
        assert_eq!(error(new().with_patch_weight(-1.0)), format!("patch_weight {weight}"));
        assert_eq!(error(new().with_koleo_weight(-1.0)), format!("koleo_weight {weight}"));
        assert_eq!(
            error(new().with_class_weight(0.0).with_patch_weight(0.0)),
            "class_weight is 0 as patch_weight is, expected one of them above 0"
        );
        assert!(error(new().with_sinkhorn_iterations(1001)).contains("at most 1000"));
    }

    #[test]
    fn sizes_of_zero_are_named() {
        let new = DinoV2Config::new;
        let of = |field: &str| format!("{field} is 0, expected at least 1");
        assert_eq!(error(new().with_sinkhorn_iterations(0)), of("sinkhorn_iterations"));
        assert_eq!(error(new().with_head_layers(0)), of("head_layers"));
        assert_eq!(error(new().with_hidden_dim(0)), of("hidden_dim"));
        assert_eq!(error(new().with_bottleneck_dim(0)), of("bottleneck_dim"));
        assert_eq!(error(new().with_output_dim(0)), of("output_dim"));
        assert_eq!(error(new().with_patch_head_layers(0)), of("patch_head_layers"));
        assert_eq!(error(new().with_patch_hidden_dim(0)), of("patch_hidden_dim"));
        assert_eq!(error(new().with_patch_bottleneck_dim(0)), of("patch_bottleneck_dim"));
        assert_eq!(error(new().with_patch_output_dim(0)), of("patch_output_dim"));
    }

    #[test]
    fn the_teacher_warms_up_by_epoch_and_slows_down_by_step() {
        let config = DinoV2Config::new().with_warmup_teacher_temperature_epochs(4);
        let at = |step| Progress { step, total_steps: 100, steps_per_epoch: 10 };
        for (step, want) in [(9, 0.04), (10, 0.05), (30, 0.07), (99, 0.07)] {
            assert!((config.teacher_temperature_at(at(step)) - want).abs() < 1e-12, "step {step}");
        }
        for (step, want) in [(0, 0.992), (50, 0.996), (100, 1.0)] {
            assert!((config.teacher_momentum_at(at(step)) - want).abs() < 1e-12, "step {step}");
        }
    }

    #[test]
    fn patches_share_the_head_unless_they_have_their_own() {
        let config = DinoV2Config::new().with_output_dim(8).with_patch_output_dim(5);
        assert!(config.patch_head().is_none());
        assert_eq!(config.patch_outputs(), 8);
        let own = config.with_separate_patch_head(true);
        assert_eq!(own.patch_outputs(), 5);
        assert_eq!(own.patch_head().map(|head| head.outputs), Some(5));
    }
}
