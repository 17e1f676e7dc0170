//! The layers that several networks have.

use crate::graph::{Attribute, Graph, Value};
use crate::{OnnxError, Tensor};

/// Added to the variance by batch norm (PyTorch).
const BATCH_NORM_EPS: f32 = 1e-5;
/// Added to the variance by layer norm (timm).
const LAYER_NORM_EPS: f32 = 1e-6;

/// Where a convolution looks.
#[derive(Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) groups: usize,
}

impl Geometry {
    pub(crate) fn strided(stride: usize) -> Self {
        Self { stride, padding: 0, groups: 1 }
    }

    pub(crate) fn padded(self, padding: usize) -> Self {
        Self { padding, ..self }
    }
}

impl Graph {
    /// A convolution, with a bias where there is one.
    ///
    /// # Shapes
    /// - `input`: `[batch, channel_in, height, width]`
    /// - returns: `[batch, channel_out, rows, columns]`
    pub(crate) fn conv(&mut self, input: &Value, path: &str, geometry: Geometry) -> Result<Value, OnnxError> {
        let Geometry { stride, padding, groups } = geometry;
        let [_, _, height, width] = self.axes(&format!("{path}.weight"))?;
        let mut inputs = vec![input.clone(), self.weight(&format!("{path}.weight"))?];
        if self.has(&format!("{path}.bias")) {
            inputs.push(self.weight(&format!("{path}.bias"))?);
        }
        let attributes = [
            Attribute::Ints("kernel_shape", vec![height as i64, width as i64]),
            Attribute::Ints("strides", vec![stride as i64; 2]),
            Attribute::Ints("pads", vec![padding as i64; 4]),
            Attribute::Int("group", groups as i64),
        ];
        Ok(self.node("Conv", path, &inputs.iter().collect::<Vec<_>>(), attributes))
    }

    /// Batch norm with running statistics. Without a weight it is 1, without a bias 0.
    ///
    /// # Shapes
    /// - `input`: `[batch, channel, ...]`
    /// - returns: the same
    pub(crate) fn batch_norm(&mut self, input: &Value, path: &str) -> Result<Value, OnnxError> {
        let [channels] = self.axes(&format!("{path}.running_mean"))?;
        let [weight, bias] = [("weight", 1.0), ("bias", 0.0)].map(|(name, usual)| {
            let name = format!("{path}.{name}");
            match self.has(&name) {
                true => self.weight(&name),
                false => Ok(self.floats(&name, &Tensor::new([channels], vec![usual; channels]))),
            }
        });
        let [mean, variance] =
            ["running_mean", "running_var"].map(|name| self.weight(&format!("{path}.{name}")));
        let inputs = [input, &weight?, &bias?, &mean?, &variance?];
        Ok(self.node("BatchNormalization", path, &inputs, [Attribute::Float("epsilon", BATCH_NORM_EPS)]))
    }

    /// `max(x, 0)`
    pub(crate) fn relu(&mut self, input: &Value, name: &str) -> Value {
        self.node("Relu", name, &[input], [])
    }

    /// Layer norm over the last axis.
    pub(crate) fn layer_norm(&mut self, input: &Value, path: &str) -> Result<Value, OnnxError> {
        let [weight, bias] = ["weight", "bias"].map(|name| self.weight(&format!("{path}.{name}")));
        let attributes = [Attribute::Int("axis", -1), Attribute::Float("epsilon", LAYER_NORM_EPS)];
        Ok(self.node("LayerNormalization", path, &[input, &weight?, &bias?], attributes))
    }

    /// A linear layer on the last axis, with a bias where there is one.
    ///
    /// # Shapes
    /// - `input`: `[..., input]`
    /// - returns: `[..., output]`
    pub(crate) fn linear(&mut self, input: &Value, path: &str) -> Result<Value, OnnxError> {
        self.axes::<2>(&format!("{path}.weight"))?;
        let weight = self.take(&format!("{path}.weight"))?.transposed();
        let weight = self.floats(&format!("{path}.weight.transposed"), &weight);
        if !self.has(&format!("{path}.bias")) {
            return Ok(self.node("MatMul", path, &[input, &weight], []));
        }
        let bias = self.weight(&format!("{path}.bias"))?;
        let product = self.node("MatMul", &format!("{path}.product"), &[input, &weight], []);
        Ok(self.node("Add", path, &[&product, &bias], []))
    }

    /// The exact GELU, `x · Φ(x)`. Opset 17 has no operator for it.
    pub(crate) fn gelu(&mut self, input: &Value, path: &str) -> Value {
        let mut scalar = |name: &str, value: f32| {
            self.floats(&format!("{path}.{name}"), &Tensor::new(Vec::new(), vec![value]))
        };
        let (root, one, half) =
            (scalar("root", std::f32::consts::SQRT_2), scalar("one", 1.0), scalar("half", 0.5));
        let x = self.node("Div", &format!("{path}.scaled"), &[input, &root], []);
        let x = self.node("Erf", &format!("{path}.erf"), &[&x], []);
        let x = self.node("Add", &format!("{path}.above"), &[&x, &one], []);
        let x = self.node("Mul", &format!("{path}.cdf"), &[&x, &half], []);
        self.node("Mul", path, &[input, &x], [])
    }

    /// `fc2(gelu(fc1(x)))`
    pub(crate) fn mlp(&mut self, input: &Value, path: &str) -> Result<Value, OnnxError> {
        let x = self.linear(input, &format!("{path}.fc1"))?;
        let x = self.gelu(&x, &format!("{path}.act"));
        self.linear(&x, &format!("{path}.fc2"))
    }

    /// Another order of the axes.
    pub(crate) fn transpose(&mut self, input: &Value, name: &str, axes: &[i64]) -> Value {
        self.node("Transpose", name, &[input], [Attribute::Ints("perm", axes.to_vec())])
    }

    /// Another shape; 0 keeps the length of an axis.
    pub(crate) fn reshape(&mut self, input: &Value, name: &str, shape: &[i64]) -> Value {
        let shape = self.ints(&format!("{name}.shape"), shape);
        self.node("Reshape", name, &[input, &shape], [])
    }

    /// The mean over all places.
    ///
    /// # Shapes
    /// - `input`: `[batch, channel, height, width]`
    /// - returns: `[batch, channel]`
    pub(crate) fn global_pool(&mut self, input: &Value, name: &str) -> Value {
        let pooled = self.node("GlobalAveragePool", &format!("{name}.places"), &[input], []);
        self.node("Flatten", name, &[&pooled], [Attribute::Int("axis", 1)])
    }
}
