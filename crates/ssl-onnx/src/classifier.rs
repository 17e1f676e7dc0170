//! The classifier on top of an encoder.

use crate::OnnxError;
use crate::graph::{Graph, Value};

/// A classifier on top of an encoder: the layers `neck.layers.{i}` (`linear`, then `norm` where there is one, then the activation),
/// and the linear layer `head`. The encoder's tensors are under `encoder.`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classifier {
    /// The activation of each layer between encoder and classifier; there may be none.
    pub neck: Vec<Activation>,
}

/// The activation of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// No activation.
    None,
    /// `max(x, 0)`
    Relu,
    /// `x · Φ(x)`, exact form.
    Gelu,
}

/// The scores of features, `[batch, class]`.
pub(crate) fn scores(
    graph: &mut Graph,
    features: &Value,
    classifier: &Classifier,
) -> Result<Value, OnnxError> {
    let mut x = features.clone();
    for (index, activation) in classifier.neck.iter().enumerate() {
        let path = format!("neck.layers.{index}");
        x = graph.linear(&x, &format!("{path}.linear"))?;
        if graph.has(&format!("{path}.norm.running_mean")) {
            x = graph.batch_norm(&x, &format!("{path}.norm"))?;
        }
        x = match activation {
            Activation::None => x,
            Activation::Relu => graph.relu(&x, &format!("{path}.activation")),
            Activation::Gelu => graph.gelu(&x, &format!("{path}.activation")),
        };
    }
    graph.linear(&x, "head")
}
