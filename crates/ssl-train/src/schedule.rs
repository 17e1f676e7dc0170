//! Learning rate and weight decay as functions of the step.

mod length;

use serde::{Deserialize, Serialize};
use ssl_core::schedule::{cosine, linspace_cosine, warmup_cosine};
use ssl_core::{ConfigError, Progress, limits, names, setters};

pub use length::EarlierLength;

use crate::{OptimizerConfig, Rates};

/// How the learning rate rises at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Warmup {
    /// From 0 at the first step; the peak is the first step after the warm-up (SimCLR, BYOL, MoCo v3, Barlow Twins).
    Step,
    /// From `lr_start` at the first step; the peak is the last step of the warm-up (DINO, SwAV).
    Linspace,
}

names!(Warmup: "warm-up" { Step = "step", Linspace = "linspace" });

/// How long a run is and how its rates change: the `[schedule]` section of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Passes over the data. Default 200 (lightly's CIFAR-10 benchmark).
    pub epochs: u64,
    /// Number of steps, if the run is to end before its epochs do; the schedules then span these steps. Default: all epochs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Images per optimizer step, over all micro-batches. Default 256, the batch that most learning rates are for.
    pub batch_size: usize,
    /// Epochs of rising learning rate. Default 0.
    pub warmup_epochs: f64,
    /// How it rises. Default: from 0, step by step.
    pub warmup: Warmup,
    /// Learning rate at the first step of a `linspace` warm-up. Default 0.
    pub lr_start: f64,
    /// Learning rate at the end of the cosine. Default 0.
    pub lr_end: f64,
    /// Whether the learning rate falls along a cosine after the warm-up instead of staying constant. Default yes.
    pub cosine: bool,
    /// Epochs from which on the learning rate is a tenth of what it was before, in place of the cosine. Default: none. MoCo v1 has
    /// 120 and 160 (`main_moco.py`, `--schedule`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lr_drops: Vec<u64>,
    /// The lengths that the run had before this one, in the order of steps: a resumed run may have other epochs. See
    /// [`span`](Self::span). Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier_lengths: Vec<EarlierLength>,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            epochs: 200,
            max_steps: None,
            batch_size: 256,
            warmup_epochs: 0.0,
            warmup: Warmup::Step,
            lr_start: 0.0,
            lr_end: 0.0,
            cosine: true,
            lr_drops: Vec::new(),
            earlier_lengths: Vec::new(),
        }
    }
}

setters!(ScheduleConfig {
    with_epochs: epochs = u64,
    with_max_steps: max_steps = Option<u64>,
    with_batch_size: batch_size = usize,
    with_warmup_epochs: warmup_epochs = f64,
    with_warmup: warmup = Warmup,
    with_lr_start: lr_start = f64,
    with_lr_end: lr_end = f64,
    with_cosine: cosine = bool,
    with_lr_drops: lr_drops = Vec<u64>,
    with_earlier_lengths: earlier_lengths = Vec<EarlierLength>,
});

impl ScheduleConfig {
    /// # Errors
    /// The first field whose value no run could use.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.epochs > 0, "schedule.epochs", 0, "at least 1")?;
        let expected = "at most 1000000: published runs have up to 1600";
        ConfigError::check(self.epochs <= 1_000_000, "schedule.epochs", self.epochs, expected)?;
        let steps = self.max_steps.unwrap_or(1);
        let expected = "at least 1 and at most 1000000000: that many take weeks at a thousand in a second";
        ConfigError::check((1..=1_000_000_000).contains(&steps), "schedule.max_steps", steps, expected)?;
        let batch = self.batch_size;
        ConfigError::check(
            batch > 1,
            "schedule.batch_size",
            batch,
            "at least 2: batch norm and contrast need more than one image",
        )?;
        let expected = "at most 1048576: published batches have up to 65536 images";
        ConfigError::check(batch <= 1 << 20, "schedule.batch_size", batch, expected)?;
        let warmup = self.warmup_epochs;
        ConfigError::check(
            (0.0..=1e6).contains(&warmup),
            "schedule.warmup_epochs",
            warmup,
            "a number of at least 0 and at most 1000000, as schedule.epochs",
        )?;
        limits::rate("schedule.lr_start", self.lr_start)?;
        limits::rate("schedule.lr_end", self.lr_end)?;
        let drops = &self.lr_drops;
        let rising =
            drops.is_sorted_by(|a, b| a < b) && drops.iter().all(|&epoch| (1..=1_000_000).contains(&epoch));
        let expected = "rising epochs from 1 to 1000000, as schedule.epochs, such as [120, 160]";
        ConfigError::check(rising, "schedule.lr_drops", format!("{drops:?}"), expected)?;
        self.validate_lengths()
    }

    /// Number of steps in the whole run.
    pub fn total_steps(&self, steps_per_epoch: u64) -> u64 {
        let all = self.epochs.saturating_mul(steps_per_epoch);
        self.max_steps.map_or(all, |max| max.min(all))
    }

    /// The rates at a step; [`total_steps`](Progress::total_steps) are those of [`span`](Self::span).
    pub fn rates(&self, optimizer: &OptimizerConfig, at: Progress) -> Rates {
        let peak = optimizer.peak_lr(self.batch_size);
        let lr = self.lr(peak, at);
        let ratio = optimizer.lr_1d.filter(|_| optimizer.lr > 0.0).map_or(1.0, |lr_1d| lr_1d / optimizer.lr);
        let (t, total) = (at.step as f64, at.total_steps as f64);
        let weight_decay = match optimizer.weight_decay_end {
            Some(end) => cosine(t, total, optimizer.weight_decay, end),
            None => optimizer.weight_decay,
        };
        Rates { lr, lr_1d: lr * ratio, lr_constant: peak, weight_decay }
    }

    fn lr(&self, peak: f64, at: Progress) -> f64 {
        let (t, total) = (at.step as f64, at.total_steps as f64);
        let warmup = (self.warmup_epochs * at.steps_per_epoch as f64).round();
        if t >= warmup && !(self.cosine && self.lr_drops.is_empty()) {
            let epoch = at.step / at.steps_per_epoch.max(1);
            let drops = self.lr_drops.iter().filter(|&&drop| drop <= epoch).count();
            return peak * 0.1_f64.powi(drops as i32);
        }
        match self.warmup {
            Warmup::Step => warmup_cosine(t, total, warmup, peak, self.lr_end),
            Warmup::Linspace => linspace_cosine(t, total, warmup, self.lr_start, peak, self.lr_end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: u64) -> Progress {
        Progress { step, total_steps: 100, steps_per_epoch: 10 }
    }

    #[test]
    fn names_of_warm_ups_are_those_that_recipes_have() {
        let parsed = |name: &str| serde_json::from_str::<Warmup>(&format!("\"{name}\"")).ok();
        assert!(Warmup::NAMES.iter().all(|name| name.parse().ok() == parsed(name)));
    }

    #[test]
    fn the_rate_warms_up_peaks_and_falls() {
        let schedule = ScheduleConfig { warmup_epochs: 1.0, batch_size: 512, ..ScheduleConfig::default() };
        let optimizer = OptimizerConfig::default().with_lr(0.3).with_lr_scale_batch(256);
        let lr = |step| schedule.rates(&optimizer, at(step)).lr;
        assert_eq!((lr(0), lr(10)), (0.0, 0.6));
        assert!((lr(5) - 0.3).abs() < 1e-12 && (lr(55) - 0.3).abs() < 1e-12);
    }

    #[test]
    fn biases_keep_their_ratio_and_constant_rates_their_peak() {
        let optimizer = OptimizerConfig::default().with_lr(0.2).with_lr_1d(0.0048);
        let rates = ScheduleConfig::default().rates(&optimizer, at(50));
        assert!((rates.lr_1d / rates.lr - 0.024).abs() < 1e-12);
        assert_eq!(rates.lr_constant, 0.2);
        let none = OptimizerConfig::default().with_lr(0.0).with_lr_1d(0.0);
        assert_eq!(ScheduleConfig::default().rates(&none, at(50)).lr_1d, 0.0);
    }

    #[test]
    fn weight_decay_follows_a_cosine_where_it_has_an_end() {
        let optimizer = OptimizerConfig::default().with_weight_decay(0.04).with_weight_decay_end(0.4);
        let decay = |step| ScheduleConfig::default().rates(&optimizer, at(step)).weight_decay;
        assert!((decay(0) - 0.04).abs() < 1e-12 && (decay(50) - 0.22).abs() < 1e-12 && decay(99) < 0.4);
    }

    #[test]
    fn a_constant_rate_stays_at_its_peak_after_the_warm_up() {
        let schedule = ScheduleConfig { cosine: false, warmup_epochs: 1.0, ..ScheduleConfig::default() };
        let lr = |step| schedule.rates(&OptimizerConfig::default(), at(step)).lr;
        assert_eq!((lr(0), lr(10), lr(99)), (0.0, 0.06, 0.06));
    }

    #[test]
    fn a_rate_with_drops_falls_to_a_tenth_at_each() {
        let schedule = ScheduleConfig::default().with_lr_drops(vec![6, 8]).with_warmup_epochs(1.0);
        assert!(schedule.validate().is_ok());
        let lr = |step| schedule.rates(&OptimizerConfig::default().with_lr(0.5), at(step)).lr;
        assert_eq!((lr(0), lr(5), lr(10), lr(59)), (0.0, 0.25, 0.5, 0.5));
        assert!((lr(60) - 0.05).abs() < 1e-12 && (lr(79) - 0.05).abs() < 1e-12);
        assert!((lr(80) - 0.005).abs() < 1e-12 && (lr(99) - 0.005).abs() < 1e-12);
        let error = schedule.with_lr_drops(vec![8, 6]).validate().expect_err("not rising").to_string();
        assert!(error.contains("schedule.lr_drops is [8, 6], expected rising epochs"), "{error}");
    }

    #[test]
    fn max_steps_shorten_a_run_and_never_lengthen_it() {
        let schedule = |max_steps| ScheduleConfig { epochs: 2, max_steps, ..ScheduleConfig::default() };
        assert_eq!(schedule(None).total_steps(10), 20);
        assert_eq!(schedule(Some(7)).total_steps(10), 7);
        assert_eq!(schedule(Some(70)).total_steps(10), 20);
        let endless = ScheduleConfig { epochs: 1 << 62, ..ScheduleConfig::default() };
        assert_eq!(endless.total_steps(4), u64::MAX, "no overflow to no step at all");
    }

    #[test]
    fn every_unusable_value_is_named() {
        let bad = |change: fn(&mut ScheduleConfig)| {
            let mut config = ScheduleConfig::default();
            change(&mut config);
            config.validate().expect_err("a bad value").field
        };
        assert_eq!(bad(|c| c.epochs = 0), "schedule.epochs");
        assert_eq!(bad(|c| c.epochs = 1 << 62), "schedule.epochs");
        assert_eq!(bad(|c| c.max_steps = Some(0)), "schedule.max_steps");
        assert_eq!(bad(|c| c.max_steps = Some(1 << 40)), "schedule.max_steps");
        assert_eq!(bad(|c| c.warmup_epochs = 1e308), "schedule.warmup_epochs");
        assert_eq!(bad(|c| c.lr_end = f64::INFINITY), "schedule.lr_end");
        assert_eq!(bad(|c| c.batch_size = 1), "schedule.batch_size");
        assert_eq!(bad(|c| c.warmup_epochs = -1.0), "schedule.warmup_epochs");
        assert_eq!(bad(|c| c.lr_start = -1.0), "schedule.lr_start");
        assert_eq!(bad(|c| c.lr_end = -1.0), "schedule.lr_end");
    }
}
