//! Multi-head attention.

use burn::tensor::{FloatDType, Tensor, TensorData, activation::softmax};

#[cfg(any(feature = "flex", feature = "tch"))]
use super::host::{Host, host_of};

/// What attends, what to, and what of that is seen. See [`attend`].
#[derive(Clone, Debug)]
pub struct AttentionInput {
    /// Queries, keys and values.
    pub tokens: AttentionTokens,
    /// Number of heads.
    pub heads: usize,
    /// Added to the scaled products of queries and keys, `[1 or batch, head, query, key]`: 1 for a bias that all images share.
    /// A pair whose bias is `-inf` is not seen.
    pub bias: Option<Tensor<4>>,
    /// How many keys each image has, the first ones. No query sees the others, which are padding.
    pub lengths: Option<Vec<usize>>,
}

/// Queries, keys and values of [`attend`].
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // moved once; a box would only cost an allocation
pub enum AttentionTokens {
    /// Every token attends to all of its image, `[batch, token, 3 · head · head_dim]`: query, key and value of every head, one
    /// after another.
    Packed(Tensor<3>),
    /// Some tokens attend to others.
    Apart {
        /// `[batch, query, head · head_dim]`
        queries: Tensor<3>,
        /// `[batch, key, 2 · head · head_dim]`: key and value of every head, one after another.
        keys_values: Tensor<3>,
    },
}

impl AttentionInput {
    /// Attention of every token to all tokens of its image, from [`AttentionTokens::Packed`].
    pub fn packed(qkv: Tensor<3>, heads: usize) -> Self {
        Self { tokens: AttentionTokens::Packed(qkv), heads, bias: None, lengths: None }
    }

    /// Attention of `queries` to others, from [`AttentionTokens::Apart`].
    pub fn apart(queries: Tensor<3>, keys_values: Tensor<3>, heads: usize) -> Self {
        Self { tokens: AttentionTokens::Apart { queries, keys_values }, heads, bias: None, lengths: None }
    }

    /// Sets the [`bias`](Self::bias).
    pub fn with_bias(self, bias: Tensor<4>) -> Self {
        Self { bias: Some(bias), ..self }
    }

    /// Sets the [`lengths`](Self::lengths).
    pub fn with_lengths(self, lengths: Vec<usize>) -> Self {
        Self { lengths: Some(lengths), ..self }
    }

    /// `[batch, query, key, dim]`
    pub(super) fn dims(&self) -> [usize; 4] {
        match &self.tokens {
            AttentionTokens::Packed(qkv) => {
                let [batch, tokens, width] = qkv.dims();
                [batch, tokens, tokens, width / 3]
            }
            AttentionTokens::Apart { queries, keys_values } => {
                let [batch, count, dim] = queries.dims();
                [batch, count, keys_values.dims()[1], dim]
            }
        }
    }

    fn check(&self) {
        let (heads, [batch, queries, keys, dim]) = (self.heads, self.dims());
        assert!(heads > 0 && dim.is_multiple_of(heads), "attention: {heads} heads of {dim} values together");
        assert!(queries == 0 || keys > 0, "attention: {queries} queries and no key");
        match &self.tokens {
            AttentionTokens::Packed(qkv) => {
                let width = qkv.dims()[2];
                assert_eq!(width, 3 * dim, "attention: {width} values of {heads} heads");
            }
            AttentionTokens::Apart { keys_values, .. } => {
                let (found, expected) = (keys_values.dims(), [batch, keys, 2 * dim]);
                assert_eq!(found, expected, "attention: shape of the keys and values");
            }
        }
        if let Some(bias) = &self.bias {
            let found = bias.dims();
            let fits = [1, batch].contains(&found[0]) && found[1..] == [heads, queries, keys];
            assert!(fits, "attention: a bias of shape {found:?} for {:?}", [batch, heads, queries, keys]);
        }
        if let Some(lengths) = &self.lengths {
            let fits = lengths.len() == batch && lengths.iter().all(|length| (1..=keys).contains(length));
            assert!(fits, "attention: lengths {lengths:?} for {batch} images of {keys} keys");
        }
    }

    /// The backend whose loops serve it, if there is one.
    #[cfg(any(feature = "flex", feature = "tch"))]
    fn host(&self) -> Option<Host> {
        let host = match &self.tokens {
            AttentionTokens::Packed(qkv) => host_of!((*qkv)),
            AttentionTokens::Apart { queries, keys_values } => host_of!((*queries), (*keys_values)),
        };
        host.filter(|host| self.bias.as_ref().is_none_or(|bias| host.loops_take(bias)))
    }
}

/// Attention of every token to all tokens of its image: [`attend`] without bias and padding.
///
/// # Shapes
/// - `qkv`: `[batch, token, 3 · head · head_dim]`: query, key and value of every head, one after another
/// - returns: `[batch, token, head · head_dim]`
///
/// # Panics
/// If the last axis is not a multiple of `3 · heads`.
pub fn attention(qkv: Tensor<3>, heads: usize) -> Tensor<3> {
    attend(AttentionInput::packed(qkv, heads))
}

/// Multi-head attention.
///
/// ```text
/// out = softmax(q kᵀ / sqrt(head_dim) + bias) v      for each image and head
/// ```
///
/// On `flex`, and in float32 on `tch`, the matrix of all pairs of tokens never exists as a whole: blocks of it are computed
/// with a running maximum, and again in the backward pass. There memory is linear in the number of tokens, except for a bias.
/// Where a query sees no key at all, the output is not finite.
///
/// # Shapes
/// - returns: `[batch, query, head · head_dim]`
///
/// # Panics
/// If the heads do not share a token equally, or if shapes or lengths do not fit.
///
/// # Source
/// Vaswani et al. 2017, equation 1, <https://arxiv.org/abs/1706.03762>; in blocks: Dao et al. 2022,
/// <https://arxiv.org/abs/2205.14135>; layout: timm `vision_transformer.py`.
pub fn attend(input: AttentionInput) -> Tensor<3> {
    input.check();
    #[cfg(any(feature = "flex", feature = "tch"))]
    if let Some(host) = input.host() {
        return host.attend(input);
    }
    portable(input)
}

/// The attention weights of the first token.
///
/// # Shapes
/// - `qkv`: as [`attention`]
/// - returns: `[batch, head, token]`, each row with sum 1
pub fn first_attention(qkv: Tensor<3>, heads: usize) -> Tensor<3> {
    let [q, k, _] = AttentionTokens::Packed(qkv).apart(heads);
    softmax(pairs(q.slice_dim(2, 0..1), k), 3).squeeze_dim(2)
}

/// The portable version. Burn's own attention has no backward pass of its own, and its mask means something else on
/// libtorch.
pub(super) fn portable(input: AttentionInput) -> Tensor<3> {
    let [batch, queries, keys, dim] = input.dims();
    let [q, k, v] = input.tokens.apart(input.heads);
    let mut pairs = pairs(q, k);
    if let Some(bias) = input.bias {
        pairs = pairs + bias;
    }
    if let Some(lengths) = input.lengths {
        let unseen =
            |length: usize| (0..keys).map(move |key| if key < length { 0.0 } else { f32::NEG_INFINITY });
        let unseen: Vec<f32> = lengths.into_iter().flat_map(unseen).collect();
        let unseen =
            Tensor::<4>::from_data(TensorData::new(unseen, [batch, 1, 1, keys]), &pairs.device().inner());
        pairs = pairs.clone() + unseen.cast(FloatDType::from(pairs.dtype()));
    }
    softmax(pairs, 3).matmul(v).swap_dims(1, 2).reshape([batch, queries, dim])
}

impl AttentionTokens {
    /// Queries, keys and values, `[batch, head, token, head_dim]` each.
    fn apart(self, heads: usize) -> [Tensor<4>; 3] {
        match self {
            Self::Packed(qkv) => parts(qkv, heads),
            Self::Apart { queries, keys_values } => {
                let ([q], [k, v]) = (parts(queries, heads), parts(keys_values, heads));
                [q, k, v]
            }
        }
    }
}

/// The parts of packed tokens, `[batch, head, token, head_dim]` each.
fn parts<const N: usize>(tokens: Tensor<3>, heads: usize) -> [Tensor<4>; N] {
    let [batch, length, width] = tokens.dims();
    let tokens = tokens.reshape([batch, length, N, heads, width / N / heads]).permute([2, 0, 3, 1, 4]);
    std::array::from_fn(|part| tokens.clone().slice_dim(0, part..part + 1).squeeze_dim(0))
}

/// `q kᵀ / sqrt(head_dim)`, `[batch, head, query, key]`.
fn pairs(q: Tensor<4>, k: Tensor<4>) -> Tensor<4> {
    let [_, _, _, head_dim] = q.dims();
    let scale = 1.0 / (head_dim as f64).sqrt();
    q.mul_scalar(scale).matmul(k.swap_dims(2, 3))
}
