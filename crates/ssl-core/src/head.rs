//! Heads: the small networks on top of an encoder (projectors and predictors), all of them one kind of MLP.

use burn::module::Module;
use burn::tensor::{Tensor, activation::gelu};

use crate::nn::{Affine, BatchNorm, BatchNormConfig, Linear, LinearConfig, relu};
use crate::{Init, Mode};

/// A network from features to embeddings, or from embeddings to predictions.
pub trait Head: Module {
    /// # Shapes
    /// - `features`: `[batch, input]`
    /// - returns: `[batch, output]`
    fn forward(&self, features: Tensor<2>, mode: Mode) -> Tensor<2>;
}

/// The normalisation of a layer of an [`Mlp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// None.
    None,
    /// Batch norm with weight and bias.
    Affine,
    /// Batch norm with a weight and no bias.
    Scale,
    /// Batch norm without parameters.
    Plain,
}

/// The activation of a layer of an [`Mlp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// None.
    None,
    /// `max(x, 0)`
    Relu,
    /// `x · Φ(x)`, exact form.
    Gelu,
}

/// One layer of an [`Mlp`]: linear, then normalisation, then activation.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// A linear layer without bias, normalisation and activation.
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

/// Layers of linear, normalisation and activation: every projector and every predictor.
///
/// ```
/// # use ssl_core::{DeviceSpec, Head, Init, LayerConfig, Mlp, Mode, Norm};
/// # use burn::tensor::Tensor;
/// let device = DeviceSpec::Flex.open().unwrap();
/// let layers = [LayerConfig::new(64).norm(Norm::Affine).relu(), LayerConfig::new(16).norm(Norm::Scale)];
/// let projector = Mlp::init(32, &layers, &mut Init::new(0, &device));
/// let z = projector.forward(Tensor::ones([8, 32], &device), Mode::Train);
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
    /// A network whose first layer takes rows of length `inputs`.
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

    /// The output of the first `layers` layers, for fine-tuning from the middle of a head.
    ///
    /// # Shapes
    /// - `features`: `[batch, input]`
    /// - returns: `[batch, width of that layer]`
    pub fn forward_first(&self, layers: usize, features: Tensor<2>, mode: Mode) -> Tensor<2> {
        self.layers.iter().take(layers).fold(features, |x, layer| layer.forward(x, mode))
    }
}

impl Head for Mlp {
    fn forward(&self, features: Tensor<2>, mode: Mode) -> Tensor<2> {
        self.forward_first(self.layers.len(), features, mode)
    }
}

impl MlpLayer {
    fn forward(&self, x: Tensor<2>, mode: Mode) -> Tensor<2> {
        let x = self.linear.forward(x);
        let x = match &self.norm {
            Some(norm) => norm.forward(x, mode),
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
