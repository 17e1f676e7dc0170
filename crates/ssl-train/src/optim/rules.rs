//! Rules for single parameters, by path: learning rate, weight decay, frozen or not.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use ssl_core::named::Path;
use ssl_core::{ConfigError, limits, names, setters};

use super::{OptimizerConfig, OptimizerName};

/// The tokens and positions of a ViT: parameters of several axes that are not weights of a layer.
const TOKENS: [&str; 4] = ["cls_token", "pos_embed", "register_tokens", "mask_token"];

/// Which parameters have no weight decay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NoDecay {
    /// None: all decay.
    #[default]
    None,
    /// Tensors of at most one axis, and those named `bias` (DINO, Barlow Twins, BYOL).
    BiasAndNorm,
    /// Those, and the tokens and positions of a ViT: `cls_token`, `pos_embed`, `register_tokens`, `mask_token` (timm and BEiT;
    /// usual in fine-tuning).
    BiasNormAndTokens,
}

names!(NoDecay: "no_decay" {
    None = "none",
    BiasAndNorm = "bias-and-norm",
    BiasNormAndTokens = "bias-norm-and-tokens",
});

/// An exception for the parameters whose path has certain parts: an `[[optimizer.rules]]` entry of a recipe.
///
/// All rules that match a parameter apply to it: scales are multiplied.
///
/// ```toml
/// [[optimizer.rules]]
/// path = "patch_embed"
/// lr_scale = 0.2
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParamRule {
    /// Consecutive whole parts of a path: `patch_embed`, `encoder.blocks.0`, `prototypes`, `norm1.weight`.
    pub path: String,
    /// Factor of the learning rate. Default 1. DINOv2 has 0.2 for `patch_embed`.
    #[serde(default = "one")]
    pub lr_scale: f64,
    /// Whether the learning rate stays at its peak. Default no.
    #[serde(default)]
    pub constant_lr: bool,
    /// Whether the parameters have no weight decay. Default no.
    #[serde(default)]
    pub no_decay: bool,
    /// Whether the parameters stay as they are, without gradient, weight decay or momentum. Default no.
    #[serde(default)]
    pub frozen: bool,
}

fn one() -> f64 {
    1.0
}

setters!(ParamRule {
    with_lr_scale: lr_scale = f64,
    with_constant_lr: constant_lr = bool,
    with_no_decay: no_decay = bool,
    with_frozen: frozen = bool;
    path,
});

impl ParamRule {
    /// A rule for the parameters whose path contains `path`; it has no effect until one of its fields is set.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), lr_scale: 1.0, constant_lr: false, no_decay: false, frozen: false }
    }

    /// Whether `path` contains the rule's path, as consecutive parts.
    pub fn matches(&self, path: &str) -> bool {
        let starts = path.match_indices('.').map(|(dot, _)| dot + 1);
        std::iter::once(0).chain(starts).any(|start| {
            let rest = path[start..].strip_prefix(self.path.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// # Errors
    /// If a field is out of range, or the rule has no effect.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let error = |found: String, expected| ConfigError { field: "optimizer.rules", found, expected };
        if self.path.is_empty() {
            return Err(error("a rule without a path".into(), "part of a parameter's path"));
        }
        let scale = self.lr_scale;
        if limits::rate("optimizer.rules", scale).is_err() {
            let found = format!("a rule for '{}' with lr_scale {scale}", self.path);
            return Err(error(found, "a number of at least 0 and at most 1000000"));
        }
        if *self == Self::new(self.path.clone()) {
            let found = format!("a rule for '{}' that changes nothing", self.path);
            return Err(error(found, "one of lr_scale, constant_lr, no_decay and frozen in it"));
        }
        Ok(())
    }
}

/// The effect of a configuration's rules on one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ParamSettings {
    /// Factor of the learning rate.
    pub(super) lr_scale: f64,
    /// Whether the learning rate stays at its peak.
    pub(super) constant_lr: bool,
    /// Whether weight decay applies.
    pub(super) decays: bool,
}

/// The rules of a configuration for the parameters of one module.
#[derive(Clone, Debug)]
pub(super) struct ParamRules {
    optimizer: OptimizerName,
    no_decay: NoDecay,
    layers: Option<LayerDecay>,
    rules: Vec<ParamRule>,
}

impl ParamRules {
    /// The rules for `module`, after checking that they fit its parameters.
    ///
    /// # Errors
    /// If no parameter has the path of a rule, or the rate decays by layer in a network without `encoder.blocks`.
    pub(super) fn new<M: Module>(config: &OptimizerConfig, module: &M) -> Result<Self, ConfigError> {
        let paths = parameter_paths(module);
        let unused = |rule: &&ParamRule| !paths.iter().any(|path| rule.matches(path));
        if let Some(rule) = config.rules.iter().find(unused) {
            return Err(ConfigError {
                field: "optimizer.rules",
                found: format!(
                    "a rule for '{}', which no parameter of this network has in its path",
                    rule.path
                ),
                expected: "whole parts of a path, such as encoder.conv1 or cls_token",
            });
        }
        let layers = config.layer_decay.map(|decay| LayerDecay::new(decay, &paths)).transpose()?;
        Ok(Self { layers, ..Self::without_layers(config) })
    }

    /// The rules that do not need the whole module: all but layer-wise decay.
    pub(super) fn without_layers(config: &OptimizerConfig) -> Self {
        let (optimizer, no_decay) = (config.name(), config.no_decay);
        Self { optimizer, no_decay, layers: None, rules: config.rules.clone() }
    }

    /// What applies to the parameter at `path` with the given number of axes.
    pub(super) fn of(&self, path: &str, axes: usize) -> ParamSettings {
        let matching = || self.rules.iter().filter(|rule| rule.matches(path));
        let layer_scale = self.layers.as_ref().map_or(1.0, |layers| layers.lr_scale(path));
        ParamSettings {
            lr_scale: matching().fold(layer_scale, |scale, rule| scale * rule.lr_scale),
            constant_lr: matching().any(|rule| rule.constant_lr),
            decays: self.decays(path, axes) && !matching().any(|rule| rule.no_decay),
        }
    }

    fn decays(&self, path: &str, axes: usize) -> bool {
        let bias_or_norm = axes <= 1 || path.ends_with(".bias");
        match self.no_decay {
            NoDecay::None => !bias_or_norm || self.optimizer != OptimizerName::Lars,
            NoDecay::BiasAndNorm => !bias_or_norm,
            NoDecay::BiasNormAndTokens => !bias_or_norm && !is_token(path),
        }
    }
}

fn is_token(path: &str) -> bool {
    TOKENS.contains(&path.rsplit('.').next().unwrap_or(path))
}

/// Layer-wise decay of the learning rate.
///
/// # Source
/// BEiT `optim_factory.py`, `get_num_layer_for_vit`; MAE `util/lr_decay.py` and DINOv2 `utils/param_groups.py` have the same
/// layers.
#[derive(Clone, Debug)]
struct LayerDecay {
    decay: f64,
    /// Blocks of the encoder.
    depth: usize,
}

impl LayerDecay {
    fn new(decay: f64, paths: &[String]) -> Result<Self, ConfigError> {
        let depth = paths.iter().filter_map(|path| block(path)).max().map(|last| last + 1);
        let expected = "no such key: only the layers of a ViT, encoder.blocks, have rates of their own";
        let missing = ConfigError { field: "optimizer.layer_decay", found: decay.to_string(), expected };
        Ok(Self { decay, depth: depth.ok_or(missing)? })
    }

    /// `d^(L + 1 − l)`
    fn lr_scale(&self, path: &str) -> f64 {
        let below_blocks = |part: &str| part == "patch_embed" || TOKENS.contains(&part);
        let first = path.strip_prefix("encoder.").and_then(|rest| rest.split('.').next());
        let layer = match (block(path), first) {
            (Some(block), _) => block + 1,
            (None, Some(part)) if below_blocks(part) => 0,
            _ => self.depth + 1,
        };
        self.decay.powi((self.depth + 1 - layer) as i32)
    }
}

/// The number of the encoder block that a parameter is in.
fn block(path: &str) -> Option<usize> {
    path.strip_prefix("encoder.blocks.")?.split('.').next()?.parse().ok()
}

/// The paths of a module's parameters.
pub(super) fn parameter_paths<M: Module>(module: &M) -> Vec<String> {
    let mut parameters = ParameterPaths::default();
    module.visit(&mut parameters);
    parameters.paths
}

#[derive(Default)]
struct ParameterPaths {
    at: Path,
    paths: Vec<String>,
}

impl ModuleVisitor for ParameterPaths {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.at.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.at.exit();
    }

    fn visit_float<const D: usize>(&mut self, _param: &Param<Tensor<D>>) {
        self.paths.push(self.at.join());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LarsConfig, SgdConfig};
    use ssl_core::nn::{Linear, LinearConfig};
    use ssl_core::{DeviceSpec, Init};

    /// The parts of a ViT by name, as far as rules look at them.
    #[derive(Module, Debug)]
    struct TinyVit {
        cls_token: Linear,
        patch_embed: Linear,
        blocks: Vec<Linear>,
        norm: Linear,
    }

    #[derive(Module, Debug)]
    struct Student {
        encoder: TinyVit,
        head: Linear,
    }

    fn student(depth: usize) -> Student {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in").autodiff();
        let mut init = Init::new(0, &device);
        let mut linear = || LinearConfig::new(1, 1).init(&mut init);
        let blocks = (0..depth).map(|_| linear()).collect();
        let encoder = TinyVit { cls_token: linear(), patch_embed: linear(), blocks, norm: linear() };
        Student { encoder, head: linear() }
    }

    fn rules(config: OptimizerConfig) -> ParamRules {
        ParamRules::new(&config, &student(12)).expect("rules that fit")
    }

    #[test]
    fn what_does_not_decay_is_called_as_in_a_recipe() {
        for no_decay in [NoDecay::None, NoDecay::BiasAndNorm, NoDecay::BiasNormAndTokens] {
            let name = serde_json::to_value(no_decay).expect("a text");
            assert_eq!(name.as_str().expect("a text").parse(), Ok(no_decay));
        }
        assert!("bias".parse::<NoDecay>().is_err());
    }

    #[test]
    fn a_rule_matches_whole_parts_of_a_path_anywhere_in_it() {
        let matches = |rule: &str, path: &str| ParamRule::new(rule).matches(path);
        assert!(matches("patch_embed", "encoder.patch_embed.proj.weight"));
        assert!(matches("encoder.blocks.1", "encoder.blocks.1.norm1.weight"));
        assert!(matches("norm1.weight", "encoder.blocks.1.norm1.weight") && matches("head", "head"));
        assert!(!matches("encoder.blocks.1", "encoder.blocks.11.norm1.weight"));
        assert!(
            !matches("embed", "encoder.patch_embed.proj.weight") && !matches("norm", "encoder.norm1.weight")
        );
        assert!(!matches("encoder.norm1", "encoder.blocks.norm1"), "the parts stand together");
    }

    #[test]
    fn the_rate_falls_from_layer_to_layer_as_in_beit_and_mae() {
        let rules = rules(OptimizerConfig::default().with_layer_decay(0.75));
        let scale = |path: &str| rules.of(path, 2).lr_scale;
        for first in ["cls_token", "pos_embed", "register_tokens", "mask_token", "patch_embed.proj.weight"] {
            assert_eq!(scale(&format!("encoder.{first}")), 0.75_f64.powi(13), "{first}");
        }
        assert_eq!(scale("encoder.blocks.0.attn.qkv.weight"), 0.75_f64.powi(12));
        assert_eq!(scale("encoder.blocks.11.norm1.bias"), 0.75);
        for last in
            ["encoder.norm.weight", "head.weight", "projector.patch_embed.weight", "decoder.blocks.0.weight"]
        {
            assert_eq!(scale(last), 1.0, "{last}");
        }
    }

    #[test]
    fn dinov2s_patch_embedding_is_slower_still() {
        let slower = ParamRule::new("patch_embed").with_lr_scale(0.2);
        let config = OptimizerConfig::default().with_layer_decay(0.9).with_rules(vec![slower]);
        let found = rules(config).of("encoder.patch_embed.proj.weight", 4).lr_scale;
        assert!((found - 0.2 * 0.9_f64.powi(13)).abs() < 1e-15, "{found}");
    }

    #[test]
    fn without_rules_every_parameter_has_the_rate_as_it_is() {
        let settings = rules(OptimizerConfig::default()).of("encoder.blocks.0.weight", 2);
        assert_eq!(settings, ParamSettings { lr_scale: 1.0, constant_lr: false, decays: true });
    }

    #[test]
    fn biases_norms_and_tokens_decay_where_the_recipe_says_so() {
        let decays = |no_decay, path: &str, axes| {
            rules(OptimizerConfig::default().with_no_decay(no_decay)).of(path, axes).decays
        };
        let tokens = TOKENS.map(|token| format!("encoder.{token}"));
        for token in &tokens {
            assert!(decays(NoDecay::None, token, 3) && decays(NoDecay::BiasAndNorm, token, 3), "{token}");
            assert!(!decays(NoDecay::BiasNormAndTokens, token, 3), "{token}");
        }
        for no_decay in [NoDecay::BiasAndNorm, NoDecay::BiasNormAndTokens] {
            assert!(!decays(no_decay, "bn1.weight", 1) && !decays(no_decay, "head.bias", 2));
            assert!(decays(no_decay, "conv1.weight", 4) && decays(no_decay, "cls_token.weight", 2));
        }
        assert!(decays(NoDecay::None, "bn1.weight", 1));
    }

    #[test]
    fn lars_never_decays_tensors_of_one_axis() {
        let lars = rules(OptimizerConfig::new(LarsConfig::default()));
        assert!(!lars.of("bn1.weight", 1).decays && lars.of("conv1.weight", 4).decays);
        assert!(rules(OptimizerConfig::new(SgdConfig::default())).of("bn1.weight", 1).decays);
    }

    #[test]
    fn all_rules_that_match_apply() {
        let list = vec![
            ParamRule::new("encoder").with_lr_scale(0.5),
            ParamRule::new("blocks.0").with_lr_scale(0.5).with_no_decay(true),
            ParamRule::new("head").with_constant_lr(true),
        ];
        let rules = rules(OptimizerConfig::default().with_rules(list));
        let settings = |lr_scale, constant_lr, decays| ParamSettings { lr_scale, constant_lr, decays };
        assert_eq!(rules.of("encoder.blocks.0.weight", 2), settings(0.25, false, false));
        assert_eq!(rules.of("encoder.blocks.1.weight", 2), settings(0.5, false, true));
        assert_eq!(rules.of("head.weight", 2), settings(1.0, true, true));
    }

    #[test]
    fn rules_that_fit_no_parameter_of_the_module_are_named() {
        let error = |config: OptimizerConfig, depth| {
            config.check_module(&student(depth)).expect_err("it does not fit").to_string()
        };
        let typo = vec![ParamRule::new("encoder.patch_embedding").with_frozen(true)];
        let typo = error(OptimizerConfig::default().with_rules(typo), 2);
        assert!(typo.contains("'encoder.patch_embedding', which no parameter of this network has"), "{typo}");
        let flat = error(OptimizerConfig::default().with_layer_decay(0.65), 0);
        assert!(flat.starts_with("optimizer.layer_decay is 0.65, expected no such key"), "{flat}");
    }

    #[test]
    fn unusable_rules_are_named() {
        let error = |rule: ParamRule| rule.validate().expect_err("unusable").to_string();
        assert!(error(ParamRule::new("").with_frozen(true)).contains("a rule without a path"));
        assert!(error(ParamRule::new("head").with_lr_scale(-1.0)).contains("'head' with lr_scale -1"));
        assert!(error(ParamRule::new("head")).contains("'head' that changes nothing"));
    }
}
