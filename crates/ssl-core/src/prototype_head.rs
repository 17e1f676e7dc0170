//! A head whose outputs are the similarities of an embedding to prototypes.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

use crate::math::{NORMALIZE_EPS, l2_normalize};
use crate::nn::{WeightNormLinear, linear};
use crate::{Head, Init, LayerConfig, Mlp, Pass};

/// Standard deviation of the initial weights of the MLP layers (official `DINOHead`).
const WEIGHT_STD: f64 = 0.02;

/// An MLP that outputs embeddings of unit length, and a last layer that turns them into logits: one for each prototype, a
/// row of its weight.
///
/// ```text
/// z      = l2_normalize(mlp(features))
/// logits = last_layer(z)
/// ```
///
/// # Source
/// Official `vision_transformer.py` of Caron et al. 2021, `DINOHead`, with `norm_last_layer=True`, the default of
/// `main_dino.py`, <https://arxiv.org/abs/2104.14294>. In the head of <https://arxiv.org/abs/2304.07193> the lengths of the
/// prototypes are trained, see [`with_trained_lengths`](Self::with_trained_lengths).
#[derive(Module, Debug)]
pub struct PrototypeHead {
    /// The layers before the last layer.
    pub mlp: Mlp,
    /// Turns embeddings into logits.
    pub last_layer: WeightNormLinear,
}

impl PrototypeHead {
    /// Creates a head with `outputs` logits whose MLP `layers` take rows of length `inputs`, with normal weights of
    /// standard deviation 0.02 and zero biases.
    pub fn init(inputs: usize, layers: &[LayerConfig], outputs: usize, init: &mut Init) -> Self {
        let mlp = Mlp::init(inputs, layers, init);
        let last_layer = WeightNormLinear::init(mlp.outputs(), outputs, init);
        Self { mlp: mlp.map(&mut ReinitMapper { init, name: String::new() }), last_layer }
    }

    /// The layers of an MLP of `count` layers: `hidden` ones, and one that is linear with bias and puts out `outputs` values.
    ///
    /// # Panics
    /// If `count` is 0.
    pub fn layers(count: usize, hidden: LayerConfig, outputs: usize) -> Vec<LayerConfig> {
        let mut layers = vec![hidden; count - 1];
        layers.push(LayerConfig::new(outputs).bias());
        layers
    }

    /// The same head with prototypes whose lengths are trained too.
    pub fn with_trained_lengths(self) -> Self {
        Self { last_layer: self.last_layer.with_trained_lengths(), ..self }
    }

    /// Logits of embeddings.
    ///
    /// # Shapes
    /// - `z`: `[row, dim]`
    /// - returns: `[row, output]`
    pub fn logits(&self, z: Tensor<2>) -> Tensor<2> {
        let [logits] = self.logits_of_each([z]);
        logits
    }

    /// Logits of several tensors of embeddings, for which the weight of the last layer is normalised once.
    ///
    /// Rows that have a loss in common belong in one tensor: of every tensor there is a gradient of the whole last layer.
    ///
    /// # Shapes
    /// As [`logits`](Self::logits).
    pub fn logits_of_each<const N: usize>(&self, z: [Tensor<2>; N]) -> [Tensor<2>; N] {
        let weight = self.last_layer.weight();
        z.map(|z| linear(z, weight.clone(), None))
    }
}

impl Head for PrototypeHead {
    /// Embeddings of unit length.
    fn forward(&self, features: Tensor<2>, pass: &Pass) -> Tensor<2> {
        l2_normalize(self.mlp.forward(features, pass), NORMALIZE_EPS)
    }
}

/// Redraws the weights of linear layers from a truncated normal distribution and sets their biases to 0; batch norms
/// are unchanged.
struct ReinitMapper<'a> {
    init: &'a mut Init,
    /// The name of the field being visited.
    name: String,
}

impl ModuleMapper for ReinitMapper<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        name.clone_into(&mut self.name);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.val().dims();
        match self.name.as_str() {
            "weight" if D == 2 => self.init.truncated_normal(shape, WEIGHT_STD),
            "bias" => self.init.constant(shape, 0.0),
            _ => param,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceSpec, Norm, Teacher, named};
    use burn::tensor::{Device, Int, Tolerance};

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    fn head() -> PrototypeHead {
        let layers = [LayerConfig::new(64).bias().gelu(), LayerConfig::new(8).bias()];
        PrototypeHead::init(32, &layers, 5, &mut Init::new(0, &device().autodiff()))
    }

    fn features() -> Tensor<2> {
        Tensor::<1, Int>::arange(0..4 * 32, &device()).float().sin().reshape([4, 32])
    }

    #[test]
    fn embeddings_have_length_one_and_logits_are_cosines() {
        let head = head();
        let z = head.forward(features(), &Pass::train());
        let lengths = z.clone().square().sum_dim(1).into_data();
        lengths
            .assert_approx_eq::<f32>(&Tensor::<2>::ones([4, 1], &device()).into_data(), Tolerance::default());
        let logits = head.logits_of_each([z.clone(), z]);
        assert_eq!(logits[0].to_data(), logits[1].to_data());
        assert!(logits[0].clone().abs().max().into_scalar::<f32>() <= 1.0 + 1e-6);
    }

    #[test]
    fn only_the_direction_of_a_row_matters() {
        let mut head = head();
        let z = head.forward(features(), &Pass::train());
        let before = head.logits(z.clone()).to_data();
        let longer = head.last_layer.weight_v.val().without_autodiff() * 7.0;
        head.last_layer.weight_v = Param::from_tensor(longer);
        let after = head.logits(z).to_data();
        after.assert_approx_eq::<f32>(&before, Tolerance::absolute(1e-6).set_relative(1e-5));
    }

    #[test]
    fn weights_start_small_biases_at_zero_and_lengths_at_one() {
        let tensors = named::collect(&head());
        let values = |path: &str| tensors[path].try_to_vec::<f32>().expect("floats");
        let weights = values("mlp.layers.0.linear.weight");
        let std = (weights.iter().map(|w| w * w).sum::<f32>() / weights.len() as f32).sqrt();
        // The standard deviation of a normal distribution cut at two standard deviations is 0.88 of the original.
        assert!((std - 0.02 * 0.88).abs() < 0.002, "standard deviation {std}");
        assert!(values("mlp.layers.1.linear.bias").iter().all(|&b| b == 0.0));
        assert!(values("last_layer.weight_g").iter().all(|&g| g == 1.0));
        assert!(values("last_layer.weight_v").iter().any(|v| v.abs() > 0.1));
    }

    #[test]
    fn a_batch_norm_starts_as_it_does_elsewhere() {
        let layers = [LayerConfig::new(64).bias().norm(Norm::Affine).gelu(), LayerConfig::new(8).bias()];
        let tensors = named::collect(&PrototypeHead::init(32, &layers, 5, &mut Init::new(0, &device())));
        let is = |path: &str, value: f32| tensors[path].iter::<f32>().all(|x| x == value);
        assert!(is("mlp.layers.0.norm.weight", 1.0) && is("mlp.layers.0.norm.bias", 0.0));
        assert!(is("mlp.layers.0.norm.running_var", 1.0) && is("mlp.layers.0.linear.bias", 0.0));
    }

    #[test]
    fn the_length_of_a_row_gets_no_gradient() {
        let head = head();
        let z = head.forward(features(), &Pass::train());
        let gradients = head.logits(z).square().sum().backward();
        assert!(head.last_layer.weight_v.val().grad(&gradients).is_some());
        assert!(head.last_layer.weight_g.val().grad(&gradients).is_none());
    }

    #[test]
    fn the_length_of_a_row_is_trained_where_that_is_asked_for_and_not_in_a_teacher() {
        let head = head().with_trained_lengths();
        let z = head.forward(features(), &Pass::train());
        let gradients = head.logits(z).square().sum().backward();
        assert!(head.last_layer.weight_g.val().grad(&gradients).is_some());
        let teacher = Teacher::from_student(&head);
        assert!(!teacher.network().last_layer.weight_g.is_require_grad());
        let loaded = named::load(head.clone(), named::collect(&head)).expect("the same network");
        assert!(loaded.last_layer.weight_g.is_require_grad(), "loading keeps it");
    }
}
