//! The `[optimizer]` section as it stands in a recipe.

use serde::{Deserialize, Serialize};

use super::{
    AdamWConfig, Algorithm, LarcConfig, LarsConfig, LrScaling, NoDecay, OptimizerConfig, OptimizerName,
    ParamRule, SgdConfig,
};

/// One table of all keys. Keys that only some optimizers have are `None` unless they are written.
///
/// A tagged enum would do if serde still refused unknown keys in one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct OptimizerTable {
    name: OptimizerName,
    lr: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lr_scale_batch: Option<usize>,
    lr_scaling: LrScaling,
    #[serde(skip_serializing_if = "Option::is_none")]
    lr_1d: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    momentum: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nesterov: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust_coefficient: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clip_lr: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lr_in_momentum: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    betas: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eps: Option<f64>,
    weight_decay: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight_decay_end: Option<f64>,
    no_decay: NoDecay,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer_decay: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clip_norm: Option<f64>,
    clip_per_parameter: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    clip_groups: Vec<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules: Vec<ParamRule>,
}

/// A key that belongs to optimizers other than the one named.
#[derive(Debug, thiserror::Error)]
#[error("{name} has no key '{key}', which belongs to {owners}: expected {}, or a key of all optimizers", .name.own_keys().join(", "))]
pub(super) struct ForeignKey {
    name: OptimizerName,
    key: &'static str,
    owners: String,
}

impl Default for OptimizerTable {
    /// The defaults of the common keys, and no others.
    fn default() -> Self {
        Self::common(&OptimizerConfig::default())
    }
}

impl OptimizerTable {
    /// The keys that all optimizers have.
    fn common(config: &OptimizerConfig) -> Self {
        Self {
            name: config.name(),
            lr: config.lr,
            lr_scale_batch: config.lr_scale_batch,
            lr_scaling: config.lr_scaling,
            lr_1d: config.lr_1d,
            momentum: None,
            nesterov: None,
            trust_coefficient: None,
            clip_lr: None,
            lr_in_momentum: None,
            betas: None,
            eps: None,
            weight_decay: config.weight_decay,
            weight_decay_end: config.weight_decay_end,
            no_decay: config.no_decay,
            layer_decay: config.layer_decay,
            clip_norm: config.clip_norm,
            clip_per_parameter: config.clip_per_parameter,
            clip_groups: config.clip_groups.clone(),
            rules: config.rules.clone(),
        }
    }

    fn check_keys(&self) -> Result<(), ForeignKey> {
        let written = [
            ("momentum", self.momentum.is_some()),
            ("nesterov", self.nesterov.is_some()),
            ("trust_coefficient", self.trust_coefficient.is_some()),
            ("clip_lr", self.clip_lr.is_some()),
            ("lr_in_momentum", self.lr_in_momentum.is_some()),
            ("betas", self.betas.is_some()),
            ("eps", self.eps.is_some()),
        ];
        let name = self.name;
        match written.into_iter().find(|&(key, written)| written && name.lacks(key)) {
            Some((key, _)) => Err(ForeignKey { name, key, owners: owners(key) }),
            None => Ok(()),
        }
    }

    fn algorithm(&self) -> Algorithm {
        let momentum = |default| self.momentum.unwrap_or(default);
        let trust_coefficient = |default| self.trust_coefficient.unwrap_or(default);
        let clip_lr = |default| self.clip_lr.unwrap_or(default);
        match Algorithm::from(self.name) {
            Algorithm::Sgd(default) => Algorithm::Sgd(SgdConfig {
                momentum: momentum(default.momentum),
                nesterov: self.nesterov.unwrap_or(default.nesterov),
            }),
            Algorithm::Lars(default) => Algorithm::Lars(LarsConfig {
                momentum: momentum(default.momentum),
                trust_coefficient: trust_coefficient(default.trust_coefficient),
                clip_lr: clip_lr(default.clip_lr),
                lr_in_momentum: self.lr_in_momentum.unwrap_or(default.lr_in_momentum),
            }),
            Algorithm::Larc(default) => Algorithm::Larc(LarcConfig {
                momentum: momentum(default.momentum),
                trust_coefficient: trust_coefficient(default.trust_coefficient),
                clip_lr: clip_lr(default.clip_lr),
            }),
            Algorithm::AdamW(default) => Algorithm::AdamW(AdamWConfig {
                betas: self.betas.unwrap_or(default.betas),
                eps: self.eps.unwrap_or(default.eps),
            }),
        }
    }
}

/// The names of the optimizers that have a key of their own.
fn owners(key: &str) -> String {
    let owners = OptimizerName::ALL.into_iter().filter(|name| name.own_keys().contains(&key));
    owners.map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

impl TryFrom<OptimizerTable> for OptimizerConfig {
    type Error = ForeignKey;

    fn try_from(table: OptimizerTable) -> Result<Self, ForeignKey> {
        table.check_keys()?;
        Ok(Self {
            algorithm: table.algorithm(),
            lr: table.lr,
            lr_scale_batch: table.lr_scale_batch,
            lr_scaling: table.lr_scaling,
            lr_1d: table.lr_1d,
            weight_decay: table.weight_decay,
            weight_decay_end: table.weight_decay_end,
            no_decay: table.no_decay,
            layer_decay: table.layer_decay,
            rules: table.rules,
            clip_norm: table.clip_norm,
            clip_per_parameter: table.clip_per_parameter,
            clip_groups: table.clip_groups,
        })
    }
}

impl From<OptimizerConfig> for OptimizerTable {
    fn from(config: OptimizerConfig) -> Self {
        let mut table = Self::common(&config);
        match config.algorithm {
            Algorithm::Sgd(SgdConfig { momentum, nesterov }) => {
                (table.momentum, table.nesterov) = (Some(momentum), Some(nesterov));
            }
            Algorithm::Lars(LarsConfig { momentum, trust_coefficient, clip_lr, lr_in_momentum }) => {
                (table.momentum, table.trust_coefficient) = (Some(momentum), Some(trust_coefficient));
                (table.clip_lr, table.lr_in_momentum) = (Some(clip_lr), Some(lr_in_momentum));
            }
            Algorithm::Larc(LarcConfig { momentum, trust_coefficient, clip_lr }) => {
                (table.momentum, table.trust_coefficient) = (Some(momentum), Some(trust_coefficient));
                table.clip_lr = Some(clip_lr);
            }
            Algorithm::AdamW(AdamWConfig { betas, eps }) => {
                (table.betas, table.eps) = (Some(betas), Some(eps));
            }
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(table: Value) -> Result<OptimizerConfig, String> {
        serde_json::from_value(table).map_err(|error| error.to_string())
    }

    #[test]
    fn every_optimizer_survives_its_table_and_writes_its_own_keys() {
        let rule = ParamRule::new("head").with_lr_scale(2.0);
        let changed = [
            Algorithm::Sgd(SgdConfig { momentum: 0.5, nesterov: true }),
            Algorithm::Lars(LarsConfig {
                momentum: 0.5,
                trust_coefficient: 2.0,
                clip_lr: true,
                lr_in_momentum: true,
            }),
            Algorithm::Larc(LarcConfig { momentum: 0.5, trust_coefficient: 2.0, clip_lr: true }),
            Algorithm::AdamW(AdamWConfig { betas: [0.1, 0.2], eps: 0.5 }),
        ];
        let defaults = OptimizerName::ALL.map(Algorithm::from);
        for algorithm in changed.into_iter().chain(defaults) {
            let config = OptimizerConfig {
                lr: 1.0,
                lr_scale_batch: Some(3),
                lr_scaling: LrScaling::Sqrt,
                lr_1d: Some(4.0),
                weight_decay: 5.0,
                weight_decay_end: Some(6.0),
                no_decay: NoDecay::BiasNormAndTokens,
                layer_decay: Some(0.5),
                rules: vec![rule.clone()],
                clip_norm: Some(7.0),
                clip_per_parameter: true,
                clip_groups: vec![vec!["encoder".into()], vec!["head".into()]],
                algorithm,
            };
            let table = serde_json::to_value(&config).expect("numbers and names");
            let own = |name: OptimizerName| name.own_keys().iter().all(|key| table.get(key).is_some());
            assert!(own(config.name()), "{table}");
            assert_eq!(read(table), Ok(config));
        }
        assert_eq!(read(json!({})), Ok(OptimizerConfig::default()));
    }

    #[test]
    fn what_is_not_set_is_not_written() {
        let table = serde_json::to_value(OptimizerConfig::default()).expect("numbers and names");
        let keys: Vec<_> = table.as_object().expect("a table").keys().map(String::as_str).collect();
        let expected = "name lr lr_scaling momentum nesterov weight_decay no_decay clip_per_parameter";
        assert_eq!(keys.join(" "), expected);
    }

    #[test]
    fn a_key_of_another_optimizer_is_named_with_its_owners() {
        let error = |table| read(table).expect_err("a foreign key");
        assert_eq!(
            error(json!({ "name": "lars", "nesterov": true })),
            "lars has no key 'nesterov', which belongs to sgd: \
             expected momentum, trust_coefficient, clip_lr, lr_in_momentum, or a key of all optimizers"
        );
        let momentum = error(json!({ "name": "adamw", "momentum": 0.9 }));
        assert!(
            momentum.starts_with("adamw has no key 'momentum', which belongs to sgd, lars, larc"),
            "{momentum}"
        );
        // Every key of every optimizer, under every other one.
        for name in OptimizerName::ALL {
            let table = serde_json::to_value(OptimizerConfig::new(name)).expect("numbers and names");
            for other in OptimizerName::ALL {
                for key in other.own_keys().iter().filter(|key| name.lacks(key)) {
                    let theirs =
                        serde_json::to_value(OptimizerConfig::new(other)).expect("numbers and names");
                    let mut table = table.clone();
                    table[key] = theirs[key].clone();
                    assert!(error(table).starts_with(&format!("{name} has no key '{key}'")));
                }
            }
        }
        assert!(error(json!({ "name": "sgd", "clip_lr": false })).contains("clip_lr"), "also at its default");
    }

    #[test]
    fn unknown_keys_and_names_are_refused() {
        assert!(read(json!({ "learning_rate": 1.0 })).expect_err("unknown").starts_with("unknown field"));
        assert!(read(json!({ "name": "adam" })).expect_err("unknown").starts_with("unknown variant"));
    }
}
