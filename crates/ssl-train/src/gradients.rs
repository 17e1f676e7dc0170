//! The gradients of a module, by parameter path.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Gradients as Recorded, Tensor};
use ssl_core::named::{Path, is_under};
use ssl_core::{GradientRules, Group};
use ssl_kernels::ops::sum_of_squares;

use crate::OptimizerConfig;

/// The gradients of a module by parameter path, each flattened to one axis.
///
/// A parameter that the loss does not depend on has no gradient.
#[derive(Clone, Debug, Default)]
pub struct Gradients {
    by_path: BTreeMap<String, Tensor<1>>,
}

impl Gradients {
    /// Takes the gradients of a module's parameters out of a backward pass.
    pub fn of<M: Module>(mut recorded: Recorded, module: &M) -> Self {
        let mut collector = GradientCollector {
            path: Path::default(),
            recorded: GradientsParams::from_module(&mut recorded, module),
            gradients: Self::default(),
        };
        module.visit(&mut collector);
        collector.gradients
    }

    /// Sets the gradient of a parameter.
    pub fn insert(&mut self, path: &str, gradient: Tensor<1>) {
        self.by_path.insert(path.to_owned(), gradient);
    }

    /// The gradient of a parameter.
    pub fn get(&self, path: &str) -> Option<&Tensor<1>> {
        self.by_path.get(path)
    }

    /// Takes the gradient of a parameter out.
    pub fn remove(&mut self, path: &str) -> Option<Tensor<1>> {
        self.by_path.remove(path)
    }

    /// Paths and gradients, ordered by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor<1>)> {
        self.by_path.iter().map(|(path, gradient)| (path.as_str(), gradient))
    }

    /// Adds the gradients of another micro-batch.
    pub fn add(&mut self, other: Self) {
        for (path, gradient) in other.by_path {
            let sum = match self.by_path.remove(&path) {
                Some(sum) => sum + gradient,
                None => gradient,
            };
            self.by_path.insert(path, sum);
        }
    }

    /// Sums the gradients of all processes, in one message. All must have gradients of the same parameters: a run compares the
    /// networks of its processes when it starts, and sums of other lengths are refused.
    pub fn all_reduce(&mut self, group: &Group) {
        if group.is_solo() || self.by_path.is_empty() {
            return;
        }
        let sum = group.all_reduce_sum(Tensor::cat(self.by_path.values().cloned().collect(), 0));
        let mut start = 0;
        for gradient in self.by_path.values_mut() {
            let [count] = gradient.dims();
            *gradient = sum.clone().narrow(0, start, count);
            start += count;
        }
    }

    /// Multiplies all gradients by a number.
    pub fn scale(&mut self, factor: f64) {
        self.map(|gradient| gradient.mul_scalar(factor));
    }

    /// Drops the gradients of frozen parameters, so that no optimizer touches them.
    pub fn drop_frozen(&mut self, rules: &GradientRules) {
        self.by_path.retain(|path, _| !rules.is_frozen(path));
    }

    /// The norm of all gradients taken as one vector, `[1]`; `None` without gradients.
    pub fn norm(&self) -> Option<Tensor<1>> {
        let squares = self.by_path.values().map(sum_of_squares);
        squares.reduce(|a, b| a + b).map(Tensor::sqrt)
    }

    /// Drops the gradients of the parameters that a configuration freezes, and clips the others as it says.
    pub fn clip(&mut self, config: &OptimizerConfig) {
        self.by_path.retain(|path, _| !config.is_frozen(path));
        match config.clip_norm {
            None => {}
            Some(max) if config.clip_per_parameter => self.clip_each(max),
            Some(max) if !config.clip_groups.is_empty() => self.clip_groups(&config.clip_groups, max),
            Some(max) => self.clip_global(max),
        }
    }

    /// Scales all gradients down together if their norm exceeds `max_norm`.
    ///
    /// ```text
    /// g ← g · min(1, max_norm / (norm of all + 1e-6))
    /// ```
    ///
    /// # Source
    /// `torch.nn.utils.clip_grad_norm_`.
    pub fn clip_global(&mut self, max_norm: f64) {
        if let Some(norm) = self.norm() {
            let factor = clip_factor(norm, max_norm);
            self.map(|gradient| gradient * factor.clone());
        }
    }

    /// Scales the gradients of every group down together if their norm exceeds `max_norm`, and leaves those of no group alone.
    ///
    /// A group is the prefixes of paths, as whole parts: `["encoder", "projector"]`.
    ///
    /// # Source
    /// Official DINOv2 code, `train.py`: `clip_grad_norm_` of every module of the student.
    pub fn clip_groups(&mut self, groups: &[Vec<String>], max_norm: f64) {
        for group in groups {
            let gradients = std::mem::take(&mut self.by_path);
            let is_in = |path: &str| group.iter().any(|prefix| is_under(path, prefix));
            let (inside, outside) = gradients.into_iter().partition(|(path, _)| is_in(path));
            let mut inside = Self { by_path: inside };
            inside.clip_global(max_norm);
            self.by_path = outside;
            self.by_path.append(&mut inside.by_path);
        }
    }

    /// Scales every gradient down on its own if its norm exceeds `max_norm`.
    ///
    /// # Source
    /// Official DINO code, `utils.clip_gradients`.
    pub fn clip_each(&mut self, max_norm: f64) {
        self.map(|gradient| {
            let factor = clip_factor(sum_of_squares(&gradient).sqrt(), max_norm);
            gradient * factor
        });
    }

    fn map(&mut self, change: impl Fn(Tensor<1>) -> Tensor<1>) {
        let gradients = std::mem::take(&mut self.by_path);
        self.by_path = gradients.into_iter().map(|(path, gradient)| (path, change(gradient))).collect();
    }
}

fn clip_factor(norm: Tensor<1>, max_norm: f64) -> Tensor<1> {
    norm.add_scalar(1e-6).recip().mul_scalar(max_norm).clamp_max(1.0)
}

/// Takes the gradient of every parameter out of a backward pass.
struct GradientCollector {
    path: Path,
    recorded: GradientsParams,
    gradients: Gradients,
}

impl ModuleVisitor for GradientCollector {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.recorded.remove::<D>(param.id) {
            let count = gradient.dims().iter().product::<usize>();
            self.gradients.insert(&self.path.join(), gradient.reshape([count]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParamRule;
    use ssl_core::DeviceSpec;

    fn gradients(values: &[(&str, &[f32])]) -> Gradients {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let mut gradients = Gradients::default();
        for (path, values) in values {
            gradients.insert(path, Tensor::from_floats(*values, &device));
        }
        gradients
    }

    fn values(gradients: &Gradients, path: &str) -> Vec<f32> {
        gradients.get(path).expect("a gradient").to_data().try_to_vec().expect("floats")
    }

    #[test]
    fn global_clipping_keeps_the_direction_of_all_gradients_together() {
        let mut clipped = gradients(&[("a", &[3.0, 0.0]), ("b", &[4.0])]);
        clipped.clip_global(1.0);
        assert!(
            (values(&clipped, "a")[0] - 0.6).abs() < 1e-5 && (values(&clipped, "b")[0] - 0.8).abs() < 1e-5
        );
        clipped.clip_global(10.0);
        assert!((values(&clipped, "b")[0] - 0.8).abs() < 1e-5, "small gradients stay");
    }

    #[test]
    fn clipping_each_leaves_small_gradients_alone() {
        let mut clipped = gradients(&[("a", &[30.0, 40.0]), ("b", &[0.5])]);
        clipped.clip_each(1.0);
        assert!((values(&clipped, "a")[1] - 0.8).abs() < 1e-5);
        assert_eq!(values(&clipped, "b"), [0.5]);
    }

    #[test]
    fn every_group_is_clipped_by_its_own_norm_and_what_is_in_none_stays() {
        let all = [("encoder.w", [3.0, 0.0]), ("projector.w", [4.0, 0.0]), ("head.w", [0.5, 0.0])];
        let rest = [("head_of_patches.w", [7.0, 0.0])];
        let mut clipped =
            gradients(&all.iter().chain(&rest).map(|(path, g)| (*path, &g[..])).collect::<Vec<_>>());
        let groups = [vec!["encoder".to_owned(), "projector".to_owned()], vec!["head".to_owned()]];
        let config = OptimizerConfig::default().with_clip_norm(1.0).with_clip_groups(groups.to_vec());
        clipped.clip(&config);
        let first = |path: &str| values(&clipped, path)[0];
        assert!((first("encoder.w") - 0.6).abs() < 1e-5 && (first("projector.w") - 0.8).abs() < 1e-5);
        assert_eq!((first("head.w"), first("head_of_patches.w")), (0.5, 7.0));
    }

    #[test]
    fn what_a_rule_freezes_takes_no_part_in_the_norm() {
        let freezing = vec![ParamRule::new("encoder.conv1").with_frozen(true)];
        let config = OptimizerConfig::default().with_clip_norm(1.0).with_rules(freezing);
        let mut clipped = gradients(&[("encoder.conv1.weight", &[40.0]), ("head.weight", &[3.0, 4.0])]);
        clipped.clip(&config);
        assert!(clipped.get("encoder.conv1.weight").is_none());
        assert!((values(&clipped, "head.weight")[1] - 0.8).abs() < 1e-5);
    }

    #[test]
    fn a_configuration_without_a_norm_clips_nothing() {
        let mut free = gradients(&[("head.weight", &[30.0, 40.0])]);
        free.clip(&OptimizerConfig::default());
        assert_eq!(values(&free, "head.weight"), [30.0, 40.0]);
        free.clip(&OptimizerConfig::default().with_clip_norm(1.0).with_clip_per_parameter(true));
        assert!((values(&free, "head.weight")[1] - 0.8).abs() < 1e-5);
    }

    #[test]
    fn micro_batches_add_up_and_frozen_gradients_are_dropped() {
        let mut sum = gradients(&[("head.weight", &[1.0])]);
        sum.add(gradients(&[("head.weight", &[2.0]), ("encoder.weight", &[5.0])]));
        sum.scale(0.5);
        assert_eq!(values(&sum, "head.weight"), [1.5]);
        sum.drop_frozen(&GradientRules { frozen: vec!["head"], ..Default::default() });
        assert!(sum.get("head.weight").is_none() && sum.get("encoder.weight").is_some());
    }
}
