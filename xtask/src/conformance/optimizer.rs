//! Optimizers as a case describes them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use ssl_train::{
    AdamWConfig, Algorithm, LarcConfig, LarsConfig, NoDecay, OptimizerConfig, OptimizerName, ParamRule,
    Rates, SgdConfig,
};

/// An optimizer with its rates per step.
#[derive(Debug, Deserialize)]
pub(super) struct OptimizerSpec {
    name: OptimizerName,
    lr: Table,
    lr_1d: Option<Table>,
    /// Rates of parameters by prefix of their path.
    #[serde(default)]
    lr_groups: BTreeMap<String, Table>,
    #[serde(default)]
    weight_decay: Table,
    #[serde(default)]
    momentum: f64,
    #[serde(default)]
    nesterov: bool,
    #[serde(default)]
    exclude_1d: bool,
    /// Prefixes of names of what does not decay.
    #[serde(default)]
    no_decay: Vec<String>,
    #[serde(default)]
    lr_in_momentum: bool,
    eta: Option<f64>,
    betas: Option<[f64; 2]>,
    eps: Option<f64>,
}

/// A number, a flag or a name, or a number per step.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Table {
    Flag(bool),
    Text(String),
    Constant(f64),
    Steps(Vec<f64>),
}

/// What the learning rates of a group of parameters are beside those of the others.
#[derive(Clone, Copy, Debug, PartialEq)]
enum LrGroup {
    /// The same at every step.
    Constant,
    /// 0 at the first steps, then those of the others.
    Held { steps: usize },
    /// A multiple at every step.
    Scaled(f64),
}

impl Default for Table {
    fn default() -> Self {
        Self::Constant(0.0)
    }
}

impl Table {
    /// The value at a step.
    pub(super) fn at(&self, step: usize) -> Result<f64> {
        match self {
            Self::Flag(flag) => bail!("{flag} at step {step}, expected a number"),
            Self::Text(text) => bail!("'{text}' at step {step}, expected a number"),
            Self::Constant(value) => Ok(*value),
            Self::Steps(values) => {
                values.get(step).copied().with_context(|| format!("a table ends before step {step}"))
            }
        }
    }

    /// The values of all steps; of a constant, one for all.
    fn values(&self) -> Vec<f64> {
        match self {
            Self::Flag(_) | Self::Text(_) => Vec::new(),
            Self::Constant(value) => vec![*value],
            Self::Steps(values) => values.clone(),
        }
    }
}

impl OptimizerSpec {
    /// The configuration; the rates are those of [`rates`](Self::rates).
    pub(super) fn config(&self) -> Result<OptimizerConfig> {
        let no_decay = if self.exclude_1d { NoDecay::BiasAndNorm } else { NoDecay::None };
        let of_prefix = |prefix: &String| ParamRule::new(prefix.trim_end_matches('.')).with_no_decay(true);
        let rules = self.no_decay.iter().map(of_prefix).collect();
        let config = OptimizerConfig::new(self.algorithm()?).with_no_decay(no_decay).with_rules(rules);
        let config = self.with_layer_decay(config)?;
        config.validate()?;
        Ok(config)
    }

    /// The configuration with the layer-wise decay that the groups of an encoder's blocks tell: that of the last block is the factor,
    /// and what the patch embedding has beyond the tokens is a rule. The other groups follow, and the trajectory shows whether they
    /// do.
    fn with_layer_decay(&self, config: OptimizerConfig) -> Result<OptimizerConfig> {
        let block = |prefix: &str| -> Option<usize> {
            prefix.strip_prefix("encoder.blocks.")?.trim_end_matches('.').parse().ok()
        };
        let Some(last) =
            self.lr_groups.keys().filter(|prefix| block(prefix).is_some()).max_by_key(|prefix| block(prefix))
        else {
            return Ok(config);
        };
        let scale = |prefix: &str| match self.group(prefix)? {
            LrGroup::Scaled(scale) => Ok(scale),
            other => {
                bail!("the learning rate of '{prefix}' is {other:?}, expected a multiple of that of others")
            }
        };
        let slower = scale("encoder.patch_embed.")? / scale("encoder.cls_token")?;
        let rule = ParamRule::new("patch_embed").with_lr_scale(slower);
        let rules = config.rules.iter().cloned().chain([rule]).collect();
        Ok(config.with_layer_decay(scale(last)?).with_rules(rules))
    }

    /// What a group of learning rates is.
    fn group(&self, prefix: &str) -> Result<LrGroup> {
        let table = self.lr_groups.get(prefix).with_context(|| format!("no learning rates of '{prefix}'"))?;
        let (own, usual) = (table.values(), self.lr.values());
        let at = |values: &[f64], step: usize| *values.get(step).or(values.last()).unwrap_or(&0.0);
        let steps = own.len().max(usual.len());
        let pairs: Vec<_> = (0..steps).map(|step| (at(&own, step), at(&usual, step))).collect();
        let held = pairs.iter().take_while(|(own, _)| *own == 0.0).count();
        let is_close = |found: f64, want: f64| (found - want).abs() <= 1e-12 * want.abs();
        let scale = pairs[0].0 / pairs[0].1;
        if held > 0 && pairs[held..].iter().all(|&(own, usual)| is_close(own, usual)) {
            Ok(LrGroup::Held { steps: held })
        } else if pairs.iter().all(|&(own, _)| own == pairs[0].0) {
            Ok(LrGroup::Constant)
        } else if pairs.iter().all(|&(own, usual)| is_close(own, scale * usual)) {
            Ok(LrGroup::Scaled(scale))
        } else {
            bail!(
                "the learning rates of '{prefix}' are {own:?} beside {usual:?}, expected held ones, a constant or a multiple"
            )
        }
    }

    /// The group that the tensor `name` is in.
    fn group_of(&self, name: &str) -> Result<Option<LrGroup>> {
        let prefix = self.lr_groups.keys().find(|prefix| name.starts_with(prefix.as_str()));
        prefix.map(|prefix| self.group(prefix)).transpose()
    }

    fn algorithm(&self) -> Result<Algorithm> {
        let (name, momentum, eta) = (self.name, self.momentum, || self.eta.context("a case without eta"));
        let flags = [("nesterov", self.nesterov), ("lr_in_momentum", self.lr_in_momentum)];
        for (key, set) in flags {
            ensure!(!set || !name.lacks(key), "{key} is true for {name}, expected false");
        }
        Ok(match name {
            OptimizerName::Sgd => SgdConfig { momentum, nesterov: self.nesterov }.into(),
            OptimizerName::Lars => {
                let lars = LarsConfig::default().with_momentum(momentum).with_trust_coefficient(eta()?);
                lars.with_lr_in_momentum(self.lr_in_momentum).into()
            }
            OptimizerName::Larc => {
                if let Some(eps) = self.eps {
                    ensure!(eps == 1e-8, "eps is {eps}, expected 1e-8");
                }
                LarcConfig::default().with_momentum(momentum).with_trust_coefficient(eta()?).into()
            }
            OptimizerName::AdamW => {
                let default = AdamWConfig::default();
                let (betas, eps) = (self.betas.unwrap_or(default.betas), self.eps.unwrap_or(default.eps));
                AdamWConfig { betas, eps }.into()
            }
            other => bail!("{other} is unknown here, expected sgd, lars, larc or adamw"),
        })
    }

    /// Whether the learning rate of the tensor `name` stays as it is at first.
    pub(super) fn has_constant_rate(&self, name: &str) -> Result<bool> {
        Ok(matches!(self.group_of(name)?, Some(LrGroup::Constant)))
    }

    /// Whether the learning rate of the tensor `name` is 0 at a step, and not at all steps.
    pub(super) fn has_zero_rate(&self, name: &str, step: usize) -> Result<bool> {
        Ok(matches!(self.group_of(name)?, Some(LrGroup::Held { steps }) if step < steps))
    }

    /// The rates of a step.
    pub(super) fn rates(&self, step: usize) -> Result<Rates> {
        let mut constant = Vec::new();
        for (prefix, table) in &self.lr_groups {
            if matches!(self.group(prefix)?, LrGroup::Constant) {
                constant.push(table.at(step)?);
            }
        }
        ensure!(
            constant.iter().all(|lr| *lr == constant[0]),
            "constant learning rates {constant:?}, expected one"
        );
        let lr = self.lr.at(step)?;
        Ok(Rates {
            lr,
            lr_1d: self.lr_1d.as_ref().map_or(Ok(lr), |table| table.at(step))?,
            lr_constant: constant.first().copied().unwrap_or(lr),
            weight_decay: self.weight_decay.at(step)?,
        })
    }
}
