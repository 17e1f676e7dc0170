//! Optimizers that address parameters by path: SGD, LARS, LARC and AdamW as in the methods' official code.
//!
//! The recipes need what Burn's optimizers lack: momentum without the default dampening of 0.1, LARS, and groups of
//! parameters with their own learning rate and weight decay that change with the step.

mod algorithm;
mod clip_groups;
mod config;
mod rules;
mod table;
mod update;

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use ssl_core::named::{NamedError, Path};
use ssl_core::{GradientRules, read_values};

pub use algorithm::{AdamWConfig, Algorithm, LarcConfig, LarsConfig, OptimizerName, SgdConfig};
pub use config::{LrScaling, OptimizerConfig};
pub use rules::{NoDecay, ParamRule};

use crate::Gradients;
use rules::{ParamRules, ParamSettings};
use update::ParamRates;

/// An optimizer with its state, one entry per parameter path.
#[derive(Clone, Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// Known once the module is.
    rules: Option<ParamRules>,
    states: BTreeMap<String, ParamState>,
}

/// The rates of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Learning rate of weights (tensors of more than one axis).
    pub lr: f64,
    /// Learning rate of biases and of the parameters of norms (one axis).
    pub lr_1d: f64,
    /// Learning rate of parameters whose rate stays constant; see [`GradientRules::constant_lr`].
    pub lr_constant: f64,
    /// Weight decay of the parameters that have it.
    pub weight_decay: f64,
}

impl Rates {
    /// The rates of one parameter with the given number of axes.
    fn of(self, axes: usize, settings: ParamSettings) -> ParamRates {
        let lr = match axes {
            _ if settings.constant_lr => self.lr_constant,
            0 | 1 => self.lr_1d,
            _ => self.lr,
        };
        let decay = if settings.decays { self.weight_decay } else { 0.0 };
        ParamRates { lr: lr * settings.lr_scale, decay }
    }
}

/// What an optimizer remembers of a parameter.
#[derive(Clone, Debug, Default)]
struct ParamState {
    /// Momentum buffer, or first moment.
    first: Option<Tensor<1>>,
    /// Second moment.
    second: Option<Tensor<1>>,
    /// Updates so far.
    steps: i64,
}

impl Optimizer {
    /// An optimizer without state.
    pub fn new(config: OptimizerConfig) -> Self {
        Self { config, rules: None, states: BTreeMap::new() }
    }

    /// Updates all parameters of a module that have a gradient, and leaves the others untouched.
    ///
    /// The method's `rules` for this step apply in addition to those of the configuration. Clipping and freezing are up to
    /// the caller; see [`Gradients`].
    ///
    /// # Panics
    /// If the rules of the configuration do not fit the module; see [`OptimizerConfig::check_module`].
    pub fn step<M: Module>(
        &mut self,
        module: M,
        gradients: Gradients,
        rates: Rates,
        rules: &GradientRules,
    ) -> M {
        if self.rules.is_none() {
            let fitting = ParamRules::new(&self.config, &module);
            self.rules = Some(fitting.unwrap_or_else(|error| panic!("{error}")));
        }
        module.map(&mut ParamUpdater { path: Path::default(), optimizer: self, gradients, rates, rules })
    }

    /// The new value of one parameter outside a module.
    ///
    /// - `path`: its path, under which the state is kept
    /// - `axes`: its number of axes
    /// - `parameter`, `gradient`: flattened
    ///
    /// # Panics
    /// If the configuration has a [`layer_decay`](OptimizerConfig::layer_decay): one parameter does not tell how many layers
    /// there are.
    pub fn update(
        &mut self,
        path: &str,
        axes: usize,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        rates: Rates,
    ) -> Tensor<1> {
        assert!(self.config.layer_decay.is_none(), "layer-wise decay needs the whole module, see `step`");
        let settings = ParamRules::without_layers(&self.config).of(path, axes);
        self.apply(path, axes, parameter, gradient, rates.of(axes, settings))
    }

    /// The new value of the parameter at `path`.
    fn apply(&mut self, path: &str, axes: usize, p: Tensor<1>, g: Tensor<1>, rates: ParamRates) -> Tensor<1> {
        let state = self.states.entry(path.to_owned()).or_default();
        state.steps += 1;
        match &self.config.algorithm {
            Algorithm::Sgd(config) => update::sgd(config, state, p, g, rates),
            Algorithm::Lars(config) if axes > 1 => update::lars(config, state, p, g, rates),
            Algorithm::Lars(config) => update::lars_1d(config, state, p, g, rates.lr),
            Algorithm::Larc(config) => update::larc(config, state, p, g, rates),
            Algorithm::AdamW(config) => update::adamw(config, state, p, g, rates),
        }
    }

    /// The state as named tensors, for a checkpoint.
    pub fn state(&self) -> BTreeMap<String, TensorData> {
        let mut tensors = BTreeMap::new();
        for (path, state) in &self.states {
            tensors.insert(format!("{path}:steps"), TensorData::from([state.steps]));
            for (name, tensor) in [("first", &state.first), ("second", &state.second)] {
                if let Some(tensor) = tensor {
                    tensors.insert(format!("{path}:{name}"), read_values(tensor.clone()));
                }
            }
        }
        tensors
    }

    /// Takes the state of a checkpoint of `module`, onto the given device.
    ///
    /// # Errors
    /// The first tensor that no parameter of the module can have or that a parameter with a state lacks, or
    /// [`NamedError::Damaged`] if there is none at all.
    pub fn load_state_of<M: Module>(
        &mut self,
        module: &M,
        tensors: BTreeMap<String, TensorData>,
        device: &burn::tensor::Device,
    ) -> Result<(), NamedError> {
        let sizes = Sizes::of(module);
        if tensors.is_empty() {
            return Err(NamedError::Damaged(
                "it is empty, expected a state of every trained parameter".into(),
            ));
        }
        for (key, data) in &tensors {
            let (path, name) = key.rsplit_once(':').unwrap_or((key, ""));
            let expected = match name {
                "first" | "second" => sizes.get(path).map(|&size| vec![size]),
                "steps" => sizes.get(path).map(|_| vec![1]),
                _ => None,
            };
            let expected = expected.ok_or_else(|| NamedError::Unexpected(key.clone()))?;
            if data.shape().as_slice() != expected {
                let found = data.shape().to_vec();
                return Err(NamedError::Shape { path: key.clone(), found, expected });
            }
        }
        self.check_whole(&tensors)?;
        self.load_state(tensors, device);
        Ok(())
    }

    /// Checks that a parameter with a state has all of it. One without any may have had no gradient yet, as in a frozen layer.
    fn check_whole(&self, tensors: &BTreeMap<String, TensorData>) -> Result<(), NamedError> {
        let names = self.config.algorithm.remembers();
        let paths = tensors.keys().filter_map(|key| key.rsplit_once(':')).map(|(path, _)| path);
        let mut expected = paths.flat_map(|path| names.iter().map(move |name| format!("{path}:{name}")));
        match expected.find(|key| !tensors.contains_key(key)) {
            Some(key) => Err(NamedError::Missing(key)),
            None => Ok(()),
        }
    }

    /// Loads the state of a checkpoint onto the given device.
    pub fn load_state(&mut self, tensors: BTreeMap<String, TensorData>, device: &burn::tensor::Device) {
        self.states.clear();
        for (key, data) in tensors {
            let Some((path, name)) = key.rsplit_once(':') else { continue };
            let state = self.states.entry(path.to_owned()).or_default();
            match name {
                "first" => state.first = Some(Tensor::from_data(data, device)),
                "second" => state.second = Some(Tensor::from_data(data, device)),
                _ => state.steps = data.iter::<i64>().next().unwrap_or_default(),
            }
        }
    }
}

/// The number of values of every parameter, by path.
#[derive(Default)]
struct Sizes {
    path: Path,
    sizes: BTreeMap<String, usize>,
}

impl Sizes {
    fn of<M: Module>(module: &M) -> BTreeMap<String, usize> {
        let mut sizes = Self::default();
        module.visit(&mut sizes);
        sizes.sizes
    }
}

impl ModuleVisitor for Sizes {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.sizes.insert(self.path.join(), param.val().dims().iter().product());
    }
}

/// Replaces every parameter with its new value.
struct ParamUpdater<'a> {
    path: Path,
    optimizer: &'a mut Optimizer,
    gradients: Gradients,
    rates: Rates,
    rules: &'a GradientRules,
}

impl ModuleMapper for ParamUpdater<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join();
        let Some(gradient) = self.gradients.remove(&path) else { return param };
        let param_rules = self.optimizer.rules.as_ref().expect("`step` sets them");
        let mut settings = param_rules.of(&path, D);
        settings.constant_lr |= self.rules.has_constant_lr(&path);
        if self.rules.has_zero_lr(&path) {
            settings.lr_scale = 0.0;
        }
        let rates = self.rates.of(D, settings);
        param.map(|old| {
            let dims = old.dims();
            let flat = old.without_autodiff().reshape([dims.iter().product::<usize>()]);
            let new = self.optimizer.apply(&path, D, flat, gradient, rates);
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
        let mut optimizer = Optimizer::new(OptimizerConfig::default());
        let rates = Rates { weight_decay: 0.5, ..RATES };
        let before = named::collect(&network());
        let after =
            optimizer.step(network(), ones(&[("layers.0.linear.bias", 2)]), rates, &GradientRules::default());
        let after = named::collect(&after);
        assert_eq!(before["layers.0.linear.weight"], after["layers.0.linear.weight"]);
        assert_ne!(before["layers.0.linear.bias"], after["layers.0.linear.bias"]);
    }

    #[test]
    fn a_state_that_the_network_cannot_have_is_refused() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let mut optimizer = Optimizer::new(OptimizerConfig::default());
        optimizer.step(network(), ones(&[("layers.0.linear.bias", 2)]), RATES, &GradientRules::default());
        let state = optimizer.state();
        let load = |state: &BTreeMap<String, TensorData>| {
            let mut optimizer = Optimizer::new(OptimizerConfig::default());
            optimizer.load_state_of(&network(), state.clone(), &device).map(|()| optimizer.state())
        };
        assert_eq!(load(&state), Ok(state.clone()));
        assert!(matches!(load(&BTreeMap::new()), Err(NamedError::Damaged(_))));
        for key in state.keys() {
            let mut other = state.clone();
            other.remove(key);
            assert_eq!(load(&other), Err(NamedError::Missing(key.clone())), "half a state");
        }
        let mut other = state.clone();
        other.insert("body.weight:first".into(), TensorData::from([0.0_f32; 2]));
        assert_eq!(load(&other), Err(NamedError::Unexpected("body.weight:first".into())));
        let mut other = state;
        other.insert("layers.0.linear.bias:first".into(), TensorData::from([0.0_f32; 3]));
        assert!(matches!(load(&other), Err(NamedError::Shape { expected, .. }) if expected == [2]));
    }

    #[test]
    fn every_optimizer_writes_what_it_is_expected_to_remember() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let without_momentum: Algorithm = SgdConfig::default().with_momentum(0.0).into();
        let algorithms = OptimizerName::ALL.map(Algorithm::from).into_iter().chain([without_momentum]);
        for algorithm in algorithms {
            let config = OptimizerConfig::new(algorithm);
            let mut optimizer = Optimizer::new(config.clone());
            let gradients = ones(&[("layers.0.linear.weight", 4), ("layers.0.linear.bias", 2)]);
            optimizer.step(network(), gradients, RATES, &GradientRules::default());
            // The other layer has had no gradient, as if it were frozen.
            let loaded = Optimizer::new(config.clone()).load_state_of(&network(), optimizer.state(), &device);
            assert_eq!(loaded, Ok(()), "{config:?}");
        }
    }

    #[test]
    fn constant_rates_apply_by_path() {
        let mut optimizer = Optimizer::new(OptimizerConfig::default());
        let rules = GradientRules { constant_lr: vec!["layers.1"], ..Default::default() };
        let before = named::collect(&network());
        let after = optimizer.step(network(), ones(&[("layers.1.linear.weight", 2)]), RATES, &rules);
        let moved = |tensors: &BTreeMap<String, TensorData>| {
            tensors["layers.1.linear.weight"].try_to_vec::<f32>().expect("floats")[0]
        };
        assert!((moved(&before) - moved(&named::collect(&after)) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_rate_of_zero_leaves_the_weights_and_builds_up_the_momentum() {
        let path = "layers.1.linear.weight";
        let step = |network, optimizer: &mut Optimizer, rules: &GradientRules| {
            optimizer.step(network, ones(&[(path, 2)]), RATES, rules)
        };
        let first_steps = |rules: &GradientRules| {
            let sgd = SgdConfig::default().with_momentum(0.5);
            let mut optimizer = Optimizer::new(OptimizerConfig::new(sgd));
            let after = step(network(), &mut optimizer, rules);
            let at_first = first_weight(&named::collect(&after), path);
            let after = step(after, &mut optimizer, &GradientRules::default());
            [at_first, first_weight(&named::collect(&after), path)]
        };
        let start = first_weight(&named::collect(&network()), path);
        let [at_first, later] =
            first_steps(&GradientRules { zero_lr: vec!["layers.1"], ..Default::default() });
        assert_eq!(at_first, start);
        // A rate of 0.1 times the second momentum, 1 + 0.5.
        assert!((start - later - 0.15).abs() < 1e-6);
        let [at_first, _] = first_steps(&GradientRules::default());
        assert!((start - at_first - 0.1).abs() < 1e-6);
    }

    /// The first weight of a network whose layers are called as those of a student's head.
    fn first_weight(tensors: &BTreeMap<String, TensorData>, path: &str) -> f32 {
        tensors[path].try_to_vec::<f32>().expect("floats")[0]
    }

    #[test]
    fn rules_of_the_configuration_and_of_the_method_hold_together() {
        let weights = ["layers.0.linear.weight", "layers.1.linear.weight"];
        let list = vec![
            ParamRule::new("layers.0").with_lr_scale(0.5),
            ParamRule::new("layers.1").with_no_decay(true),
        ];
        let moved = |rules: GradientRules, list: &[ParamRule]| {
            let config = OptimizerConfig::new(SgdConfig::default()).with_rules(list.to_vec());
            let (before, gradients) = (network(), ones(&[(weights[0], 4), (weights[1], 2)]));
            let old = named::collect(&before);
            let rates = Rates { weight_decay: 10.0, ..RATES };
            let new = named::collect(&Optimizer::new(config).step(before, gradients, rates, &rules));
            weights
                .map(|path| (first_weight(&old, path), first_weight(&old, path) - first_weight(&new, path)))
        };
        let close = |found: f32, want: f32| assert!((found - want).abs() < 1e-5, "{found} is not {want}");
        let [(p0, plain0), (p1, plain1)] = moved(GradientRules::default(), &[]);
        close(plain0, 0.1 * (1.0 + 10.0 * p0));
        close(plain1, 0.1 * (1.0 + 10.0 * p1));
        let [(_, halved), (_, without_decay)] = moved(GradientRules::default(), &list);
        close(halved, 0.5 * plain0);
        close(without_decay, 0.1);
        let constant = GradientRules { constant_lr: vec!["layers.0"], ..Default::default() };
        let [(_, half_of_the_peak), (_, without_decay)] = moved(constant, &list);
        close(half_of_the_peak, 0.5 * (1.0 + 10.0 * p0));
        close(without_decay, 0.1);
        let constant = [ParamRule::new("layers.1").with_constant_lr(true)];
        let [(_, plain), (_, peak)] = moved(GradientRules::default(), &constant);
        close(plain, plain0);
        close(peak, 1.0 + 10.0 * p1);
    }

    #[test]
    #[should_panic(expected = "which no parameter of this network has in its path")]
    fn rules_that_do_not_fit_the_module_are_no_step() {
        let config = OptimizerConfig::default().with_rules(vec![ParamRule::new("body").with_lr_scale(0.5)]);
        Optimizer::new(config).step(network(), Gradients::default(), RATES, &GradientRules::default());
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
        let lars = LarsConfig::default().with_trust_coefficient(0.02).with_clip_lr(true);
        let config = OptimizerConfig::new(lars).with_weight_decay(1e-2);
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
    fn clipped_step(p: &[f32], g: &[f32], lr: f64, eta: f64, decay: f64) -> Vec<f64> {
        let norm = |x: &[f32]| x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let denominator = norm(g) + decay * norm(p) + 1e-8;
        let factor = (eta * norm(p) / denominator / lr).min(1.0);
        let step = |(&p, &g): (&f32, &f32)| {
            let (p, g) = (f64::from(p), f64::from(g));
            p - lr * factor * (g + decay * p)
        };
        p.iter().zip(g).map(step).collect()
    }

    /// LARS and LARC with clipped rates.
    fn clipping(eta: f64) -> [Algorithm; 2] {
        let lars = LarsConfig::default().with_trust_coefficient(eta).with_clip_lr(true);
        [lars.into(), LarcConfig::default().with_trust_coefficient(eta).with_clip_lr(true).into()]
    }

    #[test]
    fn a_clipped_rate_is_the_smaller_of_the_layers_and_the_given() {
        let (p, g): (&[f32], &[f32]) = (&[3.0, -4.0, 12.0], &[0.6, 0.8, -2.4]);
        for (eta, lr) in [(1e-3, 0.5), (0.02, 0.5), (0.02, 0.01), (0.02, 4.8)] {
            let larc = LarcConfig::default().with_trust_coefficient(eta);
            let free = OptimizerConfig::new(larc.clone()).with_weight_decay(0.1);
            for algorithm in clipping(eta) {
                let config = OptimizerConfig::new(algorithm).with_weight_decay(0.1);
                let clipped = updates(&config, 2, p, &[(g, lr)]);
                assert_close(&clipped, &clipped_step(p, g, lr, eta, 0.1));
                // Where the layer's rate is the smaller one, the given rate has no say.
                let scaled = updates(&free, 2, p, &[(g, 1.0)]);
                let layers_rate_is_smaller = eta * 13.0 / (6.76f64.sqrt() + 1.3) < lr;
                assert_eq!(
                    clipped.iter().zip(&scaled).all(|(a, b)| (a - b).abs() < 2e-6),
                    layers_rate_is_smaller,
                    "{config:?}, {lr}"
                );
            }
        }
    }

    #[test]
    fn a_clipped_rate_leaves_a_parameter_or_gradient_of_zeros_to_the_momentum() {
        let [lars, larc] = clipping(1e-3);
        for (algorithm, lr) in [(lars.clone(), 4.8), (larc, 4.8), (lars, 0.0)] {
            let config = OptimizerConfig::new(algorithm).with_weight_decay(0.1);
            assert_close(&updates(&config, 2, &[0.0, 0.0], &[(&[1.0, -2.0], lr)]), &[-lr, 2.0 * lr]);
            assert_close(&updates(&config, 2, &[1.0, -2.0], &[(&[0.0, 0.0], lr)]), &[1.0, -2.0]);
        }
    }

    #[test]
    fn a_clipped_rate_of_zero_leaves_the_gradient_to_the_momentum_as_it_is() {
        let config = OptimizerConfig::new(LarsConfig::default().with_momentum(0.5).with_clip_lr(true));
        // The second gradient of zeros has no factor, so half of the first one is what moves.
        let moved = updates(&config, 2, &[1.0, 2.0], &[(&[3.0, 4.0], 0.0), (&[0.0, 0.0], 0.1)]);
        assert_close(&moved, &[1.0 - 0.15, 2.0 - 0.2]);
    }

    #[test]
    fn a_restored_state_continues_to_the_same_bits() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        for name in OptimizerName::ALL {
            let config = OptimizerConfig::new(name).with_weight_decay(0.1);
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
