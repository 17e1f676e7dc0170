//! The graph of a ViT, with timm's names, and DINOv2's for registers.

use crate::graph::{Attribute, Graph, Value};
use crate::layers::Geometry;
use crate::{OnnxError, Pool, Tensor};

/// The features of normalised images, `[batch, dim]`.
///
/// # Source
/// timm `vision_transformer.py`; DINOv2 `vision_transformer.py` for registers.
pub(crate) fn features(
    graph: &mut Graph,
    images: &Value,
    heads: usize,
    pool: Pool,
) -> Result<Value, OnnxError> {
    let [_, count, dim] = graph.axes("pos_embed")?;
    let places = count - usize::from(graph.has("cls_token"));
    let (mut tokens, first_patch) = first_tokens(graph, images, places, dim)?;
    let size = Attention { tokens: first_patch + places, dim, heads };
    for index in 0.. {
        if !graph.has(&format!("blocks.{index}.norm1.weight")) {
            break;
        }
        tokens = block(graph, &tokens, &format!("blocks.{index}"), size)?;
    }
    match pool {
        Pool::Class => {
            // The norm works on each token separately.
            let token = row(graph, &tokens, "pool");
            graph.layer_norm(&token, "norm")
        }
        Pool::Mean => {
            let tokens = graph.layer_norm(&tokens, "norm")?;
            let patches = from(graph, &tokens, first_patch, "pool.patches");
            let attributes = [Attribute::Ints("axes", vec![1]), Attribute::Int("keepdims", 0)];
            Ok(graph.node("ReduceMean", "pool", &[&patches], attributes))
        }
    }
}

/// The tokens of the first block, `[batch, token, dim]`, and how many are before the patches.
fn first_tokens(
    graph: &mut Graph,
    images: &Value,
    places: usize,
    dim: usize,
) -> Result<(Value, usize), OnnxError> {
    let [_, _, patch, _] = graph.axes("patch_embed.proj.weight")?;
    let patches = graph.conv(images, "patch_embed.proj", Geometry::strided(patch))?;
    let patches = graph.reshape(&patches, "patch_embed.flatten", &[0, dim as i64, places as i64]);
    let patches = graph.transpose(&patches, "patch_embed", &[0, 2, 1]);
    let (before, positions) = constant_tokens(graph, dim)?;
    let positions = graph.floats("pos_embed", &positions);
    let patches = graph.node("Add", "positioned", &[&patches, &positions], []);
    let [_, count, _] = before.shape()[..] else { return Ok((patches, 0)) };
    if count == 0 {
        return Ok((patches, 0));
    }
    let before = graph.floats("prefix_tokens", &before);
    let rest = graph.ints("prefix.size", &[count as i64, dim as i64]);
    let attributes = [Attribute::Int("start", 0), Attribute::Int("end", 1)];
    let batch = graph.node("Shape", "prefix.batch", &[&patches], attributes);
    let shape = graph.node("Concat", "prefix.shape", &[&batch, &rest], [Attribute::Int("axis", 0)]);
    let before = graph.node("Expand", "prefix", &[&before, &shape], []);
    let tokens = graph.node("Concat", "tokens", &[&before, &patches], [Attribute::Int("axis", 1)]);
    Ok((tokens, count))
}

/// What is before the patches, the same for every image: the class token with its position, then registers, which have none; and
/// the positions of the patches.
fn constant_tokens(graph: &mut Graph, dim: usize) -> Result<(Tensor, Tensor), OnnxError> {
    let mut before = Vec::new();
    let mut positions = graph.take("pos_embed")?.values().to_vec();
    if graph.has("cls_token") {
        let class = graph.take("cls_token")?;
        let rest = positions.split_off(dim);
        before.extend(class.values().iter().zip(&positions).map(|(value, position)| value + position));
        positions = rest;
    }
    if graph.has("register_tokens") {
        before.extend(graph.take("register_tokens")?.values());
    }
    let rows = |values: Vec<f32>| Tensor::new([1, values.len() / dim, dim], values);
    Ok((rows(before), rows(positions)))
}

/// What an attention layer has to know.
#[derive(Clone, Copy)]
struct Attention {
    tokens: usize,
    dim: usize,
    heads: usize,
}

/// `x + ls1(attn(norm1(x)))`, then `x + ls2(mlp(norm2(x)))`.
fn block(graph: &mut Graph, x: &Value, path: &str, size: Attention) -> Result<Value, OnnxError> {
    let branch = graph.layer_norm(x, &format!("{path}.norm1"))?;
    let branch = attention(graph, &branch, &format!("{path}.attn"), size)?;
    let branch = scaled(graph, branch, &format!("{path}.ls1"))?;
    let x = graph.node("Add", &format!("{path}.attended"), &[x, &branch], []);
    let branch = graph.layer_norm(&x, &format!("{path}.norm2"))?;
    let branch = graph.mlp(&branch, &format!("{path}.mlp"))?;
    let branch = scaled(graph, branch, &format!("{path}.ls2"))?;
    Ok(graph.node("Add", path, &[&x, &branch], []))
}

/// Multiplied by the factors of a layer scale, if there are any.
fn scaled(graph: &mut Graph, branch: Value, path: &str) -> Result<Value, OnnxError> {
    let name = format!("{path}.gamma");
    if !graph.has(&name) {
        return Ok(branch);
    }
    let factors = graph.weight(&name)?;
    Ok(graph.node("Mul", path, &[&branch, &factors], []))
}

/// `proj(softmax(q kᵀ / sqrt(dim / heads)) v)`
fn attention(graph: &mut Graph, x: &Value, path: &str, size: Attention) -> Result<Value, OnnxError> {
    let Attention { tokens, dim, heads } = size;
    let x = graph.linear(x, &format!("{path}.qkv"))?;
    let parts: [Value; 3] = graph.node_of("Split", &format!("{path}.parts"), &x, [Attribute::Int("axis", 2)]);
    let shape = [0, tokens as i64, heads as i64, (dim / heads) as i64];
    // Keys come transposed.
    let orders = [("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])];
    let mut split = parts.iter().zip(orders).map(|(part, (name, order))| {
        let part = graph.reshape(part, &format!("{path}.{name}.heads"), &shape);
        graph.transpose(&part, &format!("{path}.{name}"), &order)
    });
    let (Some(q), Some(k), Some(v)) = (split.next(), split.next(), split.next()) else {
        unreachable!("three parts")
    };
    drop(split);
    let scale = Tensor::new(Vec::new(), vec![((dim / heads) as f32).sqrt().recip()]);
    let scale = graph.floats(&format!("{path}.scale"), &scale);
    let q = graph.node("Mul", &format!("{path}.q.scaled"), &[&q, &scale], []);
    let logits = graph.node("MatMul", &format!("{path}.logits"), &[&q, &k], []);
    let weights = graph.node("Softmax", &format!("{path}.weights"), &[&logits], [Attribute::Int("axis", -1)]);
    let x = graph.node("MatMul", &format!("{path}.mixed"), &[&weights, &v], []);
    let x = graph.transpose(&x, &format!("{path}.tokens"), &[0, 2, 1, 3]);
    let x = graph.reshape(&x, &format!("{path}.joined"), &[0, tokens as i64, dim as i64]);
    graph.linear(&x, &format!("{path}.proj"))
}

/// The first token.
fn row(graph: &mut Graph, tokens: &Value, name: &str) -> Value {
    let first = graph.ints(&format!("{name}.index"), &[0]);
    let token =
        graph.node("Gather", &format!("{name}.first"), &[tokens, &first], [Attribute::Int("axis", 1)]);
    graph.node("Flatten", name, &[&token], [Attribute::Int("axis", 1)])
}

/// The tokens from one on.
fn from(graph: &mut Graph, tokens: &Value, first: usize, name: &str) -> Value {
    let constants = [("first", first as i64), ("end", i64::MAX), ("axis", 1)];
    let [first, end, axis] = constants.map(|(part, value)| graph.ints(&format!("{name}.{part}"), &[value]));
    graph.node("Slice", name, &[tokens, &first, &end, &axis], [])
}
