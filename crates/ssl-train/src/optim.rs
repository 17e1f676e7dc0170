//! Optimizers on parameters by path: SGD, LARS, LARC and AdamW as the methods' official code writes them.
//!
//! Burn's optimizers dampen momentum by 0.1 unless told otherwise, know no LARS, and cannot give a group of parameters a
//! learning rate or a weight decay of its own that changes with the step; the recipes need all of that.

mod config;
mod update;

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use ssl_core::named::Path;
use ssl_core::{GradientRules, read_values};

pub use config::{LrScaling, NoDecay, OptimizerConfig, OptimizerName};

use crate::Gradients;

/// An optimizer with its state, one entry per parameter path.
#[derive(Clone, Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    slots: BTreeMap<String, Slots>,
}

/// The rates of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Learning rate of weights (tensors of more than one axis).
    pub lr: f64,
    /// Learning rate of biases and of the parameters of norms (one axis).
    pub lr_1d: f64,
    /// Learning rate of parameters whose rate stays constant, see [`GradientRules::constant_lr`].
    pub lr_constant: f64,
    /// Weight decay, where the parameter has any.
    pub weight_decay: f64,
}

/// What an optimizer remembers of a parameter.
#[derive(Clone, Debug, Default)]
struct Slots {
    /// Momentum buffer, or first moment.
    first: Option<Tensor<1>>,
    /// Second moment.
    second: Option<Tensor<1>>,
    /// Updates so far.
    steps: i64,
}

impl Optimizer {
    /// An optimizer without a past.
    pub fn new(config: OptimizerConfig) -> Self {
        Self { config, slots: BTreeMap::new() }
    }

    /// Updates all parameters of a module that have a gradient; the others are not touched at all.
    ///
    /// Clipping and frozen parameters are the caller's, see [`Gradients`].
    pub fn step<M: Module>(
        &mut self,
        module: M,
        gradients: Gradients,
        rates: Rates,
        rules: &GradientRules,
    ) -> M {
        module.map(&mut Stepping { path: Path::default(), optimizer: self, gradients, rates, rules })
    }

    /// The new value of one parameter.
    ///
    /// - `path`: its path, under which the state is kept
    /// - `axes`: how many axes it has
    /// - `parameter`, `gradient`: flattened
    pub fn update(
        &mut self,
        path: &str,
        axes: usize,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        rates: Rates,
    ) -> Tensor<1> {
        let slots = self.slots.entry(path.to_owned()).or_default();
        slots.steps += 1;
        let decay = if self.config.decays(path, axes) { rates.weight_decay } else { 0.0 };
        let lr = if axes > 1 { rates.lr } else { rates.lr_1d };
        match self.config.name {
            OptimizerName::Sgd => update::sgd(&self.config, slots, parameter, gradient, lr, decay),
            OptimizerName::Lars if axes > 1 && self.config.clip_lr => {
                update::larc(&self.config, slots, parameter, gradient, lr, decay)
            }
            OptimizerName::Lars if axes > 1 => {
                update::lars(&self.config, slots, parameter, gradient, lr, decay)
            }
            OptimizerName::Lars => update::momentum(&self.config, slots, parameter, gradient, lr),
            OptimizerName::Larc => update::larc(&self.config, slots, parameter, gradient, lr, decay),
            OptimizerName::Adamw => update::adamw(&self.config, slots, parameter, gradient, lr, decay),
        }
    }

    /// The state as named tensors, for a checkpoint.
    pub fn state(&self) -> BTreeMap<String, TensorData> {
        let mut tensors = BTreeMap::new();
        for (path, slots) in &self.slots {
            tensors.insert(format!("{path}:steps"), TensorData::from([slots.steps]));
            for (name, slot) in [("first", &slots.first), ("second", &slots.second)] {
                if let Some(tensor) = slot {
                    tensors.insert(format!("{path}:{name}"), read_values(tensor.clone()));
                }
            }
        }
        tensors
    }

    /// Takes the state of a checkpoint, onto the given device.
    pub fn load_state(&mut self, tensors: BTreeMap<String, TensorData>, device: &burn::tensor::Device) {
        self.slots.clear();
        for (key, data) in tensors {
            let Some((path, name)) = key.rsplit_once(':') else { continue };
            let slots = self.slots.entry(path.to_owned()).or_default();
            match name {
                "first" => slots.first = Some(Tensor::from_data(data, device)),
                "second" => slots.second = Some(Tensor::from_data(data, device)),
                _ => slots.steps = data.iter::<i64>().next().unwrap_or_default(),
            }
        }
    }
}

struct Stepping<'a> {
    path: Path,
    optimizer: &'a mut Optimizer,
    gradients: Gradients,
    rates: Rates,
    rules: &'a GradientRules,
}

impl ModuleMapper for Stepping<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join();
        let Some(gradient) = self.gradients.remove(&path) else { return param };
        let mut rates = self.rates;
        if self.rules.has_constant_lr(&path) {
            (rates.lr, rates.lr_1d) = (rates.lr_constant, rates.lr_constant);
        }
        param.map(|old| {
            let dims = old.dims();
            let flat = old.without_autodiff().reshape([dims.iter().product::<usize>()]);
            let new = self.optimizer.update(&path, D, flat, gradient, rates);
            Tensor::from_inner(new.reshape(dims)).require_grad()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::{DeviceSpec, Init, LayerConfig, Mlp, named};

    fn network() -> Mlp {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in").autodiff();
        Mlp::init(2, &[LayerConfig::new(2).bias(), LayerConfig::new(1)], &mut Init::new(0, &device))
    }

    fn ones(paths: &[(&str, usize)]) -> Gradients {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let mut gradients = Gradients::default();
        for (path, count) in paths {
            gradients.insert(path, Tensor::ones([*count], &device));
        }
        gradients
    }

    const RATES: Rates = Rates { lr: 0.1, lr_1d: 0.01, lr_constant: 1.0, weight_decay: 0.0 };

    #[test]
    fn a_parameter_without_gradient_is_not_touched() {
        let mut optimizer =
            Optimizer::new(OptimizerConfig { weight_decay: 0.5, ..OptimizerConfig::default() });
        let rates = Rates { weight_decay: 0.5, ..RATES };
        let before = named::collect(&network());
        let after =
            optimizer.step(network(), ones(&[("layers.0.linear.bias", 2)]), rates, &GradientRules::default());
        let after = named::collect(&after);
        assert_eq!(before["layers.0.linear.weight"], after["layers.0.linear.weight"]);
        assert_ne!(before["layers.0.linear.bias"], after["layers.0.linear.bias"]);
    }

    #[test]
    fn constant_rates_apply_by_path() {
        let mut optimizer = Optimizer::new(OptimizerConfig::default());
        let rules = GradientRules { frozen: vec![], constant_lr: vec!["layers.1"] };
        let before = named::collect(&network());
        let after = optimizer.step(network(), ones(&[("layers.1.linear.weight", 2)]), RATES, &rules);
        let moved = |tensors: &BTreeMap<String, TensorData>| {
            tensors["layers.1.linear.weight"].try_to_vec::<f32>().expect("floats")[0]
        };
        assert!((moved(&before) - moved(&named::collect(&after)) - 1.0).abs() < 1e-6);
    }

    /// All updates of one parameter, each with its gradient and rate.
    fn updates(config: &OptimizerConfig, axes: usize, start: &[f32], steps: &[(&[f32], f64)]) -> Vec<f32> {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let flat = |values: &[f32]| Tensor::from_floats(values, &device);
        let mut optimizer = Optimizer::new(config.clone());
        let last = steps.iter().fold(flat(start), |parameter, &(gradient, lr)| {
            let rates = Rates { lr, lr_1d: lr, lr_constant: lr, weight_decay: config.weight_decay };
            optimizer.update("p", axes, parameter, flat(gradient), rates)
        });
        last.to_data().iter().collect()
    }

    fn assert_close(got: &[f32], want: &[f64]) {
        let close = got.iter().zip(want).all(|(&got, want)| (f64::from(got) - want).abs() < 2e-6);
        assert!(got.len() == want.len() && close, "{got:?} is not {want:?}");
    }

    /// solo-learn's `LARS` (`solo/utils/lars.py`) with `clip_lars_lr` and `exclude_bias_n_norm_lars`, in float64. The factors
    /// of the three steps are 1 (the rate is small), 1 (the gradient is) and 0.147.
    #[test]
    fn lars_with_a_clipped_rate_is_solo_learns() {
        let config = OptimizerConfig {
            name: OptimizerName::Lars,
            weight_decay: 1e-2,
            trust_coefficient: 0.02,
            clip_lr: true,
            ..OptimizerConfig::default()
        };
        let weights = updates(
            &config,
            2,
            &[0.5, -1.0, 0.25, 2.0, 0.125, -0.75],
            &[
                (&[3.0, -2.0, 1.0, 0.5, 4.0, -1.5], 0.001),
                (&[0.01, 0.02, -0.03, 0.005, -0.01, 0.015], 0.3),
                (&[-0.5, 0.25, 0.75, 1.0, -0.125, 0.5], 0.2),
            ],
        );
        assert_close(
            &weights,
            &[-0.7935431894, -0.1417015644, -0.1929440766, 1.7328705101, -1.5993621244, -0.1154721479],
        );
        let biases = updates(
            &config,
            1,
            &[0.5, -0.25, 1.0],
            &[(&[0.1, -0.2, 0.3], 0.001), (&[0.4, 0.0, -0.1], 0.3), (&[-0.3, 0.2, 0.1], 0.2)],
        );
        assert_close(&biases, &[0.3247, -0.2034, 0.8981]);
    }

    /// `p − lr · min(η ‖p‖ / (‖g‖ + decay · ‖p‖ + 1e-8) / lr, 1) · (g + decay · p)` in float64.
    fn clipped_step(p: &[f32], g: &[f32], lr: f64, config: &OptimizerConfig) -> Vec<f64> {
        let norm = |x: &[f32]| x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let denominator = norm(g) + config.weight_decay * norm(p) + 1e-8;
        let factor = (config.trust_coefficient * norm(p) / denominator / lr).min(1.0);
        let step = |(&p, &g): (&f32, &f32)| {
            let (p, g) = (f64::from(p), f64::from(g));
            p - lr * factor * (g + config.weight_decay * p)
        };
        p.iter().zip(g).map(step).collect()
    }

    #[test]
    fn a_clipped_rate_is_the_smaller_of_the_layers_and_the_given() {
        let (p, g): (&[f32], &[f32]) = (&[3.0, -4.0, 12.0], &[0.6, 0.8, -2.4]);
        for name in [OptimizerName::Lars, OptimizerName::Larc] {
            for (eta, lr) in [(1e-3, 0.5), (0.02, 0.5), (0.02, 0.01), (0.02, 4.8)] {
                let config = OptimizerConfig {
                    name,
                    weight_decay: 0.1,
                    trust_coefficient: eta,
                    clip_lr: true,
                    ..OptimizerConfig::default()
                };
                assert_close(&updates(&config, 2, p, &[(g, lr)]), &clipped_step(p, g, lr, &config));
                // Where the layer's rate is the smaller one, the given rate has no say.
                let free = OptimizerConfig { clip_lr: false, ..config.clone() };
                let alone: Vec<_> = updates(&config, 2, p, &[(g, lr)]);
                let scaled =
                    updates(&OptimizerConfig { name: OptimizerName::Larc, ..free }, 2, p, &[(g, 1.0)]);
                let layers_rate_is_smaller = eta * 13.0 / (6.76f64.sqrt() + 1.3) < lr;
                assert_eq!(
                    alone.iter().zip(&scaled).all(|(a, b)| (a - b).abs() < 2e-6),
                    layers_rate_is_smaller,
                    "{name:?}, {eta}, {lr}"
                );
            }
        }
    }

    #[test]
    fn a_clipped_rate_leaves_a_parameter_or_gradient_of_zeros_to_the_momentum() {
        for (name, lr) in [(OptimizerName::Lars, 4.8), (OptimizerName::Larc, 4.8), (OptimizerName::Lars, 0.0)]
        {
            let config =
                OptimizerConfig { name, weight_decay: 0.1, clip_lr: true, ..OptimizerConfig::default() };
            assert_close(&updates(&config, 2, &[0.0, 0.0], &[(&[1.0, -2.0], lr)]), &[-lr, 2.0 * lr]);
            assert_close(&updates(&config, 2, &[1.0, -2.0], &[(&[0.0, 0.0], lr)]), &[1.0, -2.0]);
        }
    }

    #[test]
    fn a_clipped_rate_of_zero_gathers_the_gradient_as_it_is() {
        let config = OptimizerConfig {
            name: OptimizerName::Lars,
            momentum: 0.5,
            clip_lr: true,
            ..OptimizerConfig::default()
        };
        // The second gradient of zeros has no factor, so half of the first one is what moves.
        let moved = updates(&config, 2, &[1.0, 2.0], &[(&[3.0, 4.0], 0.0), (&[0.0, 0.0], 0.1)]);
        assert_close(&moved, &[1.0 - 0.15, 2.0 - 0.2]);
    }

    #[test]
    fn a_restored_state_continues_to_the_same_bits() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        for name in [OptimizerName::Sgd, OptimizerName::Lars, OptimizerName::Larc, OptimizerName::Adamw] {
            let config =
                OptimizerConfig { name, momentum: 0.9, weight_decay: 0.1, ..OptimizerConfig::default() };
            let step = |optimizer: &mut Optimizer, network: Mlp| {
                let gradients = ones(&[("layers.0.linear.weight", 4), ("layers.0.linear.bias", 2)]);
                optimizer.step(network, gradients, RATES, &GradientRules::default())
            };
            let mut optimizer = Optimizer::new(config.clone());
            let network = step(&mut optimizer, network());
            let mut restored = Optimizer::new(config);
            restored.load_state(optimizer.state(), &device);
            let copy = named::load(super::tests::network(), named::collect(&network)).expect("same network");
            let (one, other) = (step(&mut optimizer, network), step(&mut restored, copy));
            assert_eq!(named::collect(&one), named::collect(&other), "{name:?}");
        }
    }
}
