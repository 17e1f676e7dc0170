//! Hyper-parameters of feature distillation.

use serde::{Deserialize, Serialize};
use ssl_core::{ConfigError, LayerConfig, Norm, limits, names, setters};

use crate::{Distance, DistillFeatures, DistillFeaturesLoss, TeacherNorm};

/// Hyper-parameters of feature distillation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistillFeaturesConfig {
    /// The teacher: the directory of a run, or a file of weights. A run needs one; in a program of your own,
    /// [`learn_from`](ssl_core::MethodRules::learn_from) takes the network itself. Default: none.
    pub teacher: String,
    /// A hash of the teacher's tensors. A run writes it down, and goes on with the same teacher only. Default: that of any
    /// teacher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher_hash: Option<String>,
    /// Length of the teacher's features, which a run writes down, so that its checkpoints can be read without the teacher.
    /// Default: as the teacher says, or that of the student.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher_dim: Option<usize>,
    /// Weight of the features of whole images. Default 1 (our choice).
    pub pooled_weight: f64,
    /// Their distance. Default cosine (arXiv:2312.06709, section 3.4).
    pub pooled_distance: Distance,
    /// What happens to the teacher's first. Default nothing, since a cosine does not depend on their length.
    pub pooled_norm: TeacherNorm,
    /// Weight of the tokens of patches, for which student and teacher need patches of one size. Default 0 (our choice: a
    /// ResNet has no tokens); 1 in the recipes for ViTs.
    pub token_weight: f64,
    /// Their distance. Default cosine (our choice: that of the pooled features).
    pub token_distance: Distance,
    /// What happens to the teacher's first. Default nothing.
    pub token_norm: TeacherNorm,
    /// The layers that bring the student's features to the teacher's width. Default by encoder.
    pub adapter: Adapter,
    /// Hidden units of an MLP adapter; 0 means the length of the teacher's features. Default 0 (our choice).
    pub hidden_dim: usize,
}

/// The layers between the features of a student and those of its teacher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Adapter {
    /// [`Linear`](Self::Linear) for an encoder with tokens, and [`Mlp`](Self::Mlp) for one without, such as a ResNet.
    #[default]
    Auto,
    /// A linear layer with bias.
    Linear,
    /// A linear layer with bias, batch norm, ReLU, and a linear layer with bias.
    Mlp,
}

names!(Adapter: "adapter" { Auto = "auto", Linear = "linear", Mlp = "mlp" });

impl Default for DistillFeaturesConfig {
    fn default() -> Self {
        Self {
            teacher: String::new(),
            teacher_hash: None,
            teacher_dim: None,
            pooled_weight: 1.0,
            pooled_distance: Distance::Cosine,
            pooled_norm: TeacherNorm::None,
            token_weight: 0.0,
            token_distance: Distance::Cosine,
            token_norm: TeacherNorm::None,
            adapter: Adapter::Auto,
            hidden_dim: 0,
        }
    }
}

setters!(DistillFeaturesConfig {
    with_teacher: teacher = String,
    with_teacher_hash: teacher_hash = Option<String>,
    with_teacher_dim: teacher_dim = Option<usize>,
    with_pooled_weight: pooled_weight = f64,
    with_pooled_distance: pooled_distance = Distance,
    with_pooled_norm: pooled_norm = TeacherNorm,
    with_token_weight: token_weight = f64,
    with_token_distance: token_distance = Distance,
    with_token_norm: token_norm = TeacherNorm,
    with_adapter: adapter = Adapter,
    with_hidden_dim: hidden_dim = usize,
});

impl DistillFeaturesConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the configuration and builds the method, which has no teacher yet.
    ///
    /// # Errors
    /// The first field whose value no run could use.
    pub fn build(&self) -> Result<DistillFeatures, ConfigError> {
        limits::weight("pooled_weight", self.pooled_weight)?;
        limits::weight("token_weight", self.token_weight)?;
        let is_something = self.pooled_weight > 0.0 || self.token_weight > 0.0;
        let expected = "a number above 0 for pooled_weight or token_weight";
        ConfigError::check(is_something, "pooled_weight", "0 beside a token_weight of 0", expected)?;
        limits::width("hidden_dim", self.hidden_dim)?;
        ConfigError::check(self.teacher_dim != Some(0), "teacher_dim", 0, "at least 1")?;
        limits::width("teacher_dim", self.teacher_dim.unwrap_or_default())?;
        Ok(DistillFeatures { config: self.clone(), teacher: None })
    }

    /// The layers of an adapter to features of length `teacher_dim`.
    pub(crate) fn layers(&self, has_tokens: bool, teacher_dim: usize) -> Vec<LayerConfig> {
        let last = LayerConfig::new(teacher_dim).bias();
        let is_linear = match self.adapter {
            Adapter::Linear => true,
            Adapter::Mlp => false,
            Adapter::Auto => has_tokens,
        };
        if is_linear {
            return vec![last];
        }
        let hidden = if self.hidden_dim == 0 { teacher_dim } else { self.hidden_dim };
        vec![LayerConfig::new(hidden).bias().norm(Norm::Affine).relu(), last]
    }

    pub(crate) fn pooled_loss(&self) -> DistillFeaturesLoss {
        DistillFeaturesLoss { distance: self.pooled_distance, teacher_norm: self.pooled_norm }
    }

    pub(crate) fn token_loss(&self) -> DistillFeaturesLoss {
        DistillFeaturesLoss { distance: self.token_distance, teacher_norm: self.token_norm }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: DistillFeaturesConfig) -> String {
        config.build().expect_err("an unusable value").to_string()
    }

    #[test]
    fn the_defaults_are_usable() {
        assert!(DistillFeaturesConfig::new().build().is_ok());
    }

    #[test]
    fn values_out_of_range_are_named() {
        let new = DistillFeaturesConfig::new;
        assert_eq!(
            error(new().with_pooled_weight(-1.0)),
            "pooled_weight is -1, expected a number of at least 0"
        );
        assert_eq!(
            error(new().with_token_weight(f64::NAN)),
            "token_weight is NaN, expected a number of at least 0"
        );
        assert_eq!(
            error(new().with_pooled_weight(0.0)),
            "pooled_weight is 0 beside a token_weight of 0, expected a number above 0 for pooled_weight or token_weight"
        );
        assert!(error(new().with_hidden_dim(1 << 19)).starts_with("hidden_dim is 524288, expected at most"));
        assert_eq!(error(new().with_teacher_dim(0)), "teacher_dim is 0, expected at least 1");
        assert!(
            error(new().with_teacher_dim(1 << 19)).starts_with("teacher_dim is 524288, expected at most")
        );
    }

    #[test]
    fn adapters_are_linear_for_tokens_and_an_mlp_for_a_resnet_unless_told_otherwise() {
        let last = LayerConfig::new(20).bias();
        let hidden = |width| LayerConfig::new(width).bias().norm(Norm::Affine).relu();
        let config = DistillFeaturesConfig::new();
        assert_eq!(config.layers(true, 20), std::slice::from_ref(&last));
        assert_eq!(config.layers(false, 20), [hidden(20), last.clone()]);
        let config = config.with_adapter(Adapter::Linear);
        assert_eq!(config.layers(false, 20), std::slice::from_ref(&last));
        let config = config.with_adapter(Adapter::Mlp).with_hidden_dim(7);
        assert_eq!(config.layers(true, 20), [hidden(7), last]);
    }
}
