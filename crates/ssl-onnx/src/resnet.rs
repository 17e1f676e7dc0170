//! The graph of a ResNet, with torchvision's names.

use crate::OnnxError;
use crate::graph::{Attribute, Graph, Value};
use crate::layers::Geometry;

/// The features of normalised images, `[batch, feature]`.
///
/// A network with a max-pool after the first convolution has a stride of 2 there, as torchvision's; one without has none of
/// both, for small images.
///
/// # Source
/// torchvision `resnet.py`.
pub(crate) fn features(graph: &mut Graph, images: &Value, max_pool: bool) -> Result<Value, OnnxError> {
    let [_, _, kernel, _] = graph.axes("conv1.weight")?;
    let stem = Geometry::strided(if max_pool { 2 } else { 1 }).padded(kernel / 2);
    let x = graph.conv(images, "conv1", stem)?;
    let x = graph.batch_norm(&x, "bn1")?;
    let mut x = graph.relu(&x, "relu");
    if max_pool {
        x = pooled(graph, &x);
    }
    for stage in 1.. {
        if !graph.has(&format!("layer{stage}.0.conv1.weight")) {
            break;
        }
        x = layer(graph, &x, stage)?;
    }
    Ok(graph.global_pool(&x, "avgpool"))
}

fn pooled(graph: &mut Graph, x: &Value) -> Value {
    let attributes = [
        Attribute::Ints("kernel_shape", vec![3; 2]),
        Attribute::Ints("strides", vec![2; 2]),
        Attribute::Ints("pads", vec![1; 4]),
    ];
    graph.node("MaxPool", "maxpool", &[x], attributes)
}

fn layer(graph: &mut Graph, x: &Value, stage: usize) -> Result<Value, OnnxError> {
    let mut x = x.clone();
    for index in 0.. {
        let path = format!("layer{stage}.{index}");
        if !graph.has(&format!("{path}.conv1.weight")) {
            break;
        }
        x = block(graph, &x, &path, if stage > 1 && index == 0 { 2 } else { 1 })?;
    }
    Ok(x)
}

/// A basic block, or a bottleneck where there is a third convolution; that has the stride on the second one.
fn block(graph: &mut Graph, x: &Value, path: &str, stride: usize) -> Result<Value, OnnxError> {
    let (three, one) = (|stride| Geometry::strided(stride).padded(1), Geometry::strided(1));
    let is_bottleneck = graph.has(&format!("{path}.conv3.weight"));
    let geometries: Vec<Geometry> =
        if is_bottleneck { vec![one, three(stride), one] } else { vec![three(stride), three(1)] };
    let mut branch = x.clone();
    let last = geometries.len();
    for (number, geometry) in (1..).zip(geometries) {
        branch = graph.conv(&branch, &format!("{path}.conv{number}"), geometry)?;
        branch = graph.batch_norm(&branch, &format!("{path}.bn{number}"))?;
        if number < last {
            branch = graph.relu(&branch, &format!("{path}.relu{number}"));
        }
    }
    let shortcut = match graph.has(&format!("{path}.downsample.0.weight")) {
        true => {
            let x = graph.conv(x, &format!("{path}.downsample.0"), Geometry::strided(stride))?;
            graph.batch_norm(&x, &format!("{path}.downsample.1"))?
        }
        false => x.clone(),
    };
    let sum = graph.node("Add", &format!("{path}.add"), &[&branch, &shortcut], []);
    Ok(graph.relu(&sum, &format!("{path}.relu")))
}
