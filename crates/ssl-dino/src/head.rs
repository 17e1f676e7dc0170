//! The head of DINO.

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::Tensor;
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};
use ssl_core::{Head, Init, LayerConfig, Mlp, Pass};

/// Standard deviation of the initial weights of the MLP layers (official `DINOHead`).
const WEIGHT_STD: f64 = 0.02;

/// An MLP that outputs embeddings of unit length, and a last layer that turns them into logits.
///
/// ```text
/// z      = l2_normalize(mlp(features))
/// logits = last_layer(z)
/// ```
///
/// # Source
/// Official `vision_transformer.py`, `DINOHead`, with `norm_last_layer=True`, the default of `main_dino.py`.
#[derive(Module, Debug)]
pub struct DinoHead {
    /// The layers before the last layer.
    pub mlp: Mlp,
    /// Turns embeddings into logits.
    pub last_layer: WeightNormLinear,
}

impl DinoHead {
    /// Creates a head with `outputs` logits whose MLP `layers` take rows of length `inputs`, with normal weights of
    /// standard deviation 0.02 and zero biases.
    pub fn init(inputs: usize, layers: &[LayerConfig], outputs: usize, init: &mut Init) -> Self {
        let mlp = Mlp::init(inputs, layers, init);
        let last_layer = WeightNormLinear::init(mlp.outputs(), outputs, init);
        Self { mlp: mlp.map(&mut ReinitMapper { init, name: String::new() }), last_layer }
    }

    /// Logits of several views.
    ///
    /// # Shapes
    /// - `z`: for every view, `[batch, dim]`
    /// - returns: for every view, `[batch, output]`
    pub fn logits(&self, z: &[Tensor<2>]) -> Vec<Tensor<2>> {
        // View by view, since splitting the logits of all views would copy by far the largest tensors of a step.
        let weight = self.last_layer.weight().transpose();
        z.iter().map(|z| z.clone().matmul(weight.clone())).collect()
    }
}

impl Head for DinoHead {
    /// Embeddings of unit length.
    fn forward(&self, features: Tensor<2>, pass: &Pass) -> Tensor<2> {
        l2_normalize(self.mlp.forward(features, pass), NORMALIZE_EPS)
    }
}

/// A linear layer without bias whose rows have a trained direction and a fixed length.
///
/// ```text
/// row k of the weight = g_k · v_k / ‖v_k‖,    g = 1
/// ```
///
/// # Source
/// Salimans & Kingma 2016, eq. 2, <https://arxiv.org/abs/1602.07868>; the names and the fixed length are from the
/// official `DINOHead`.
#[derive(Module, Debug)]
pub struct WeightNormLinear {
    /// `v`, `[output, dim]`
    pub weight_v: Param<Tensor<2>>,
    /// `g`, `[output, 1]`: always 1, without gradient.
    pub weight_g: Param<Tensor<2>>,
}

impl WeightNormLinear {
    /// Creates a layer with directions uniform within `±1 / sqrt(inputs)` in every coordinate, like `torch.nn.Linear`.
    pub fn init(inputs: usize, outputs: usize, init: &mut Init) -> Self {
        let weight_v = init.uniform([outputs, inputs], 1.0 / (inputs as f64).sqrt());
        let ones = Tensor::ones([outputs, 1], init.device());
        Self { weight_v, weight_g: Param::initialized(ParamId::new(), ones) }
    }

    /// The weight, `[output, dim]`.
    pub fn weight(&self) -> Tensor<2> {
        l2_normalize(self.weight_v.val(), NORMALIZE_EPS) * self.weight_g.val()
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
    use burn::tensor::{Device, Int, Tolerance};
    use ssl_core::{DeviceSpec, Norm, named};

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    fn head() -> DinoHead {
        let layers = [LayerConfig::new(64).bias().gelu(), LayerConfig::new(8).bias()];
        DinoHead::init(32, &layers, 5, &mut Init::new(0, &device().autodiff()))
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
        let logits = head.logits(&[z.clone(), z]);
        assert_eq!(logits[0].to_data(), logits[1].to_data());
        assert!(logits[0].clone().abs().max().into_scalar::<f32>() <= 1.0 + 1e-6);
    }

    #[test]
    fn only_the_direction_of_a_row_matters() {
        let mut head = head();
        let z = head.forward(features(), &Pass::train());
        let before = head.logits(std::slice::from_ref(&z))[0].to_data();
        let longer = head.last_layer.weight_v.val().without_autodiff() * 7.0;
        head.last_layer.weight_v = Param::from_tensor(longer);
        let after = head.logits(&[z])[0].to_data();
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
        let tensors = named::collect(&DinoHead::init(32, &layers, 5, &mut Init::new(0, &device())));
        let is = |path: &str, value: f32| tensors[path].iter::<f32>().all(|x| x == value);
        assert!(is("mlp.layers.0.norm.weight", 1.0) && is("mlp.layers.0.norm.bias", 0.0));
        assert!(is("mlp.layers.0.norm.running_var", 1.0) && is("mlp.layers.0.linear.bias", 0.0));
    }

    #[test]
    fn the_length_of_a_row_gets_no_gradient() {
        let head = head();
        let z = head.forward(features(), &Pass::train());
        let gradients = head.logits(&[z])[0].clone().square().sum().backward();
        assert!(head.last_layer.weight_v.val().grad(&gradients).is_some());
        assert!(head.last_layer.weight_g.val().grad(&gradients).is_none());
    }
}
