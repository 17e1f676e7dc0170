//! Heads: the small MLPs on top of an encoder (projectors and predictors).

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::nn::{Affine, BatchNorm, BatchNormConfig, Linear, LinearConfig, gelu, relu};
use crate::{Init, Pass};

/// A network from features to embeddings, or from embeddings to predictions.
pub trait Head: Module {
    /// # Shapes
    /// - `features`: `[batch, input]`
    /// - returns: `[batch, output]`
    fn forward(&self, features: Tensor<2>, pass: &Pass) -> Tensor<2>;
}

/// The normalisation of a layer of an [`Mlp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Norm {
    /// No normalisation.
    None,
    /// Batch norm with weight and bias.
    Affine,
    /// Batch norm with a weight and no bias.
    Scale,
    /// Batch norm without parameters.
    Plain,
}

crate::names!(Norm: "norm" { None = "none", Affine = "affine", Scale = "scale", Plain = "plain" });

/// The activation of a layer of an [`Mlp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Activation {
    /// No activation.
    None,
    /// `max(x, 0)`
    Relu,
    /// `x · Φ(x)`, exact form.
    Gelu,
}

crate::names!(Activation: "activation" { None = "none", Relu = "relu", Gelu = "gelu" });

/// One layer of an [`Mlp`]: linear, then normalisation, then activation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerConfig {
    /// Length of an output row.
    pub outputs: usize,
    /// Whether the linear part has a bias.
    pub bias: bool,
    /// The normalisation.
    pub norm: Norm,
    /// The activation.
    pub activation: Activation,
}

impl LayerConfig {
    /// A linear layer without bias, normalisation or activation.
    pub fn new(outputs: usize) -> Self {
        Self { outputs, bias: false, norm: Norm::None, activation: Activation::None }
    }

    /// Adds a bias to the linear part.
    pub fn bias(mut self) -> Self {
        self.bias = true;
        self
    }

    /// Sets the normalisation.
    pub fn norm(mut self, norm: Norm) -> Self {
        self.norm = norm;
        self
    }

    /// Adds a ReLU.
    pub fn relu(mut self) -> Self {
        self.activation = Activation::Relu;
        self
    }

    /// Adds a GELU.
    pub fn gelu(mut self) -> Self {
        self.activation = Activation::Gelu;
        self
    }
}

/// An MLP: layers of linear, normalisation and activation. Every projector and predictor here is one.
///
/// ```
/// # use ssl_core::{DeviceSpec, Head, Init, LayerConfig, Mlp, Norm, Pass};
/// # use burn::tensor::Tensor;
/// let device = DeviceSpec::Flex.open().unwrap();
/// let layers = [LayerConfig::new(64).norm(Norm::Affine).relu(), LayerConfig::new(16).norm(Norm::Scale)];
/// let projector = Mlp::init(32, &layers, &mut Init::new(0, &device));
/// let z = projector.forward(Tensor::ones([8, 32], &device), &Pass::train());
/// assert_eq!(z.dims(), [8, 16]);
/// ```
#[derive(Module, Debug)]
pub struct Mlp {
    layers: Vec<MlpLayer>,
}

#[derive(Module, Debug)]
struct MlpLayer {
    linear: Linear,
    norm: Option<BatchNorm>,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    /// Creates a network whose first layer takes rows of length `inputs`.
    pub fn init(inputs: usize, layers: &[LayerConfig], init: &mut Init) -> Self {
        let mut width = inputs;
        let mut layer = |config: &LayerConfig| {
            let linear = LinearConfig::new(width, config.outputs).with_bias(config.bias).init(init);
            width = config.outputs;
            MlpLayer { linear, norm: batch_norm(config, init), activation: config.activation }
        };
        Self { layers: layers.iter().map(&mut layer).collect() }
    }

    /// Length of an output row; 0 for a network without layers.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.linear.weight.dims()[0])
    }

    /// The configuration of its layers.
    pub fn layers(&self) -> Vec<LayerConfig> {
        self.layers.iter().map(MlpLayer::config).collect()
    }

    /// The network truncated to its first `layers` layers, weights included; the whole network if it has fewer.
    pub fn first(mut self, layers: usize) -> Self {
        self.layers.truncate(layers);
        self
    }

    /// The output of the first `layers` layers, for fine-tuning from the middle of a head.
    ///
    /// # Shapes
    /// - `features`: `[batch, input]`
    /// - returns: `[batch, width of that layer]`
    pub fn forward_first(&self, layers: usize, features: Tensor<2>, pass: &Pass) -> Tensor<2> {
        self.layers.iter().take(layers).fold(features, |x, layer| layer.forward(x, pass))
    }
}

impl Head for Mlp {
    fn forward(&self, features: Tensor<2>, pass: &Pass) -> Tensor<2> {
        self.forward_first(self.layers.len(), features, pass)
    }
}

impl MlpLayer {
    fn config(&self) -> LayerConfig {
        let norm = match self.norm.as_ref().map(BatchNorm::affine) {
            None => Norm::None,
            Some(Affine::Full) => Norm::Affine,
            Some(Affine::Scale) => Norm::Scale,
            Some(Affine::None) => Norm::Plain,
        };
        let Self { linear, activation, .. } = self;
        LayerConfig {
            outputs: linear.weight.dims()[0],
            bias: linear.bias.is_some(),
            norm,
            activation: *activation,
        }
    }

    fn forward(&self, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let x = self.linear.forward(x);
        let x = match &self.norm {
            Some(norm) => norm.forward(x, pass),
            None => x,
        };
        match self.activation {
            Activation::None => x,
            Activation::Relu => relu(x),
            Activation::Gelu => gelu(x),
        }
    }
}

fn batch_norm(layer: &LayerConfig, init: &Init) -> Option<BatchNorm> {
    let affine = match layer.norm {
        Norm::None => return None,
        Norm::Affine => Affine::Full,
        Norm::Scale => Affine::Scale,
        Norm::Plain => Affine::None,
    };
    Some(BatchNormConfig::new(layer.outputs).with_affine(affine).init(init))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceSpec, named};

    fn layers() -> Vec<LayerConfig> {
        let hidden = LayerConfig::new(6).norm(Norm::Affine).relu();
        let scaled = LayerConfig::new(4).norm(Norm::Scale).gelu();
        vec![hidden, scaled, LayerConfig::new(2).norm(Norm::Plain), LayerConfig::new(3).bias()]
    }

    fn network() -> Mlp {
        Mlp::init(5, &layers(), &mut Init::new(0, &DeviceSpec::Flex.open().expect("flex is compiled in")))
    }

    #[test]
    fn a_network_tells_the_layers_it_was_made_of() {
        assert_eq!(network().layers(), layers());
    }

    #[test]
    fn the_first_layers_keep_their_weights_and_give_what_they_gave_inside() {
        let (whole, part) = (network(), network().first(2));
        assert_eq!(part.layers(), layers()[..2]);
        let all = named::collect(&whole);
        assert!(named::collect(&part).iter().all(|(path, tensor)| all[path] == *tensor));
        let x =
            Tensor::<2>::from_floats([[1.0, -2.0, 0.5, 3.0, 0.0]], &DeviceSpec::Flex.open().expect("flex"));
        let inside = whole.forward_first(2, x.clone(), &Pass::eval());
        assert_eq!(part.forward(x, &Pass::eval()).into_data(), inside.into_data());
    }
}
