//! What goes into the graph.

use crate::Tensor;
use crate::graph::{Attribute, Graph, Value};
use crate::messages::{FLOAT, UINT8};

/// What goes into the graph, under the name `images`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Input {
    /// Pixels that are normalised already: float32, `[batch, 3, height, width]`.
    #[default]
    Normalized,
    /// RGB from 0 to 1, which the graph normalises: float32, `[batch, 3, height, width]`.
    Unit(Normalization),
    /// RGB from 0 to 255, which the graph normalises: uint8, `[batch, height, width, 3]`, as libraries of images have them.
    Bytes(Normalization),
}

/// Mean and standard deviation of each channel, of pixels from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// The mean, which is subtracted.
    pub mean: [f32; 3],
    /// The standard deviation, which pixels are divided by.
    pub std: [f32; 3],
}

impl Input {
    /// The type of the values.
    pub(crate) fn data_type(self) -> i32 {
        match self {
            Self::Normalized | Self::Unit(_) => FLOAT,
            Self::Bytes(_) => UINT8,
        }
    }

    /// The lengths of the axes after the batch.
    pub(crate) fn shape(self, size: usize) -> [usize; 3] {
        match self {
            Self::Normalized | Self::Unit(_) => [3, size, size],
            Self::Bytes(_) => [size, size, 3],
        }
    }

    /// The normalised images, `[batch, 3, height, width]`.
    pub(crate) fn normalized(self, graph: &mut Graph, images: &Value) -> Value {
        match self {
            Self::Normalized => images.clone(),
            Self::Unit(normalization) => normalize(graph, images, normalization, 1.0),
            Self::Bytes(normalization) => {
                let to_float = [Attribute::Int("to", FLOAT.into())];
                let x = graph.node("Cast", "images.float", &[images], to_float);
                let x = graph.transpose(&x, "images.channels", &[0, 3, 1, 2]);
                normalize(graph, &x, normalization, 255.0)
            }
        }
    }
}

/// `(x − mean) / std` of pixels from 0 to `largest`.
fn normalize(graph: &mut Graph, x: &Value, normalization: Normalization, largest: f32) -> Value {
    let Normalization { mean, std } = normalization;
    let mut constant = |name: &str, values: [f32; 3]| {
        graph.floats(name, &Tensor::new([3, 1, 1], values.map(|value| value * largest).to_vec()))
    };
    let (mean, std) = (constant("images.mean", mean), constant("images.std", std));
    let x = graph.node("Sub", "images.centred", &[x, &mean], []);
    graph.node("Div", "images.normalized", &[&x, &std], [])
}
