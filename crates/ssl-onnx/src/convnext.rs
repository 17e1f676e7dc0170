//! The graph of a ConvNeXt, with timm's names.

use crate::OnnxError;
use crate::graph::{Graph, Value};
use crate::layers::Geometry;

/// `[batch, channel, height, width]` as `[batch, height, width, channel]`.
const CHANNELS_LAST: [i64; 4] = [0, 2, 3, 1];
/// The way back.
const CHANNELS_FIRST: [i64; 4] = [0, 3, 1, 2];

/// The features of normalised images, `[batch, dim]`.
///
/// # Source
/// timm `convnext.py`.
pub(crate) fn features(graph: &mut Graph, images: &Value) -> Result<Value, OnnxError> {
    let [_, _, patch, _] = graph.axes("stem.0.weight")?;
    let x = graph.conv(images, "stem.0", Geometry::strided(patch))?;
    let mut x = channel_norm(graph, &x, "stem.1")?;
    for stage in 0.. {
        if !graph.has(&format!("stages.{stage}.blocks.0.gamma")) {
            break;
        }
        x = self::stage(graph, x, &format!("stages.{stage}"))?;
    }
    let x = graph.global_pool(&x, "head.pool");
    graph.layer_norm(&x, "head.norm")
}

fn stage(graph: &mut Graph, mut x: Value, path: &str) -> Result<Value, OnnxError> {
    if graph.has(&format!("{path}.downsample.1.weight")) {
        x = channel_norm(graph, &x, &format!("{path}.downsample.0"))?;
        x = graph.conv(&x, &format!("{path}.downsample.1"), Geometry::strided(2))?;
    }
    for index in 0.. {
        let path = format!("{path}.blocks.{index}");
        if !graph.has(&format!("{path}.gamma")) {
            break;
        }
        x = block(graph, &x, &path)?;
    }
    Ok(x)
}

/// `x + gamma · mlp(norm(conv_dw(x)))`
fn block(graph: &mut Graph, x: &Value, path: &str) -> Result<Value, OnnxError> {
    let conv = format!("{path}.conv_dw");
    let [groups, _, kernel, _] = graph.axes(&format!("{conv}.weight"))?;
    let geometry = Geometry { stride: 1, padding: kernel / 2, groups };
    let branch = graph.conv(x, &conv, geometry)?;
    let branch = graph.transpose(&branch, &format!("{path}.last"), &CHANNELS_LAST);
    let branch = graph.layer_norm(&branch, &format!("{path}.norm"))?;
    let branch = graph.mlp(&branch, &format!("{path}.mlp"))?;
    let factors = graph.weight(&format!("{path}.gamma"))?;
    let branch = graph.node("Mul", &format!("{path}.scaled"), &[&branch, &factors], []);
    let branch = graph.transpose(&branch, &format!("{path}.first"), &CHANNELS_FIRST);
    Ok(graph.node("Add", path, &[x, &branch], []))
}

/// Layer norm over the channels of a map.
fn channel_norm(graph: &mut Graph, x: &Value, path: &str) -> Result<Value, OnnxError> {
    let x = graph.transpose(x, &format!("{path}.last"), &CHANNELS_LAST);
    let x = graph.layer_norm(&x, path)?;
    Ok(graph.transpose(&x, &format!("{path}.first"), &CHANNELS_FIRST))
}
