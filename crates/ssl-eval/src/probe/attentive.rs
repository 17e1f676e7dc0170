//! Attention of one learned query to all patches.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation::softmax};
use ssl_core::Init;
use ssl_core::nn::{FeedForward, LayerNorm, Linear, LinearConfig};

/// Standard deviation of the initial weights and of the query (V-JEPA, `attentive_pooler.py`, `init_std`).
const STD: f64 = 0.02;
/// Width of a head (that of timm's ViTs).
const HEAD: usize = 64;
/// Width of the MLP over that of a token (V-JEPA, `attentive_pooler.py`).
const MLP_RATIO: usize = 4;

/// Patches to one feature: a transformer block in which a learned query attends to them.
///
/// ```text
/// k, v = kv(norm1(patches)), split into heads
/// y = query + softmax(q(query) kᵀ / sqrt(dim / heads)) v;   feature = y + mlp(norm2(y))
/// ```
///
/// # Source
/// V-JEPA (Bardes et al. 2024, arXiv:2404.08471), section 4.2 (attentive probing), by the authors of I-JEPA. As there, the
/// attention has no projection of its heads. Different: the number of heads is the length of a patch over 64, rounded down to a
/// divisor of that length, whatever the encoder has.
#[derive(Module, Debug)]
pub struct AttentivePool {
    query: Param<Tensor<2>>,
    norm1: LayerNorm,
    q: Linear,
    kv: Linear,
    norm2: LayerNorm,
    mlp: FeedForward,
    heads: usize,
}

impl AttentivePool {
    /// A pool of patches of length `dim`.
    pub fn init(dim: usize, init: &mut Init) -> Self {
        let query = init.truncated_normal([1, dim], STD);
        let mut linear =
            |inputs, outputs| LinearConfig::new(inputs, outputs).init_truncated_normal(STD, init);
        let (q, kv) = (linear(dim, dim), linear(dim, 2 * dim));
        let mlp = FeedForward { fc1: linear(dim, MLP_RATIO * dim), fc2: linear(MLP_RATIO * dim, dim) };
        let [norm1, norm2] = [(); 2].map(|()| LayerNorm::init(dim, init));
        Self { query, norm1, q, kv, norm2, mlp, heads: heads(dim) }
    }

    /// The features of a batch.
    ///
    /// # Shapes
    /// - `patches`: `[batch, patch, dim]`
    /// - returns: `[batch, dim]`
    pub fn forward(&self, patches: Tensor<3>) -> Tensor<2> {
        let [batch, patch, dim] = patches.dims();
        let (heads, width) = (self.heads, dim / self.heads);
        let kv = self.kv.forward(self.norm1.forward(patches));
        let [k, v] = [0, 1].map(|part| {
            kv.clone().narrow(2, part * dim, dim).reshape([batch, patch, heads, width]).swap_dims(1, 2)
        });
        let q = self.q.forward(self.query.val()).reshape([1, heads, 1, width]);
        // `[batch, head, patch, 1]`: of each patch, what it has in common with the query.
        let shares = softmax((k * q).sum_dim(3).div_scalar((width as f64).sqrt()), 2);
        let attended = (v * shares).sum_dim(2).reshape([batch, dim]);
        let token = (attended + self.query.val()).unsqueeze_dim::<3>(1);
        let feature = token.clone() + self.mlp.forward(self.norm2.forward(token));
        feature.squeeze_dim(1)
    }
}

/// Heads of about [`HEAD`] values that share a token of length `dim`.
fn heads(dim: usize) -> usize {
    (1..=(dim / HEAD).max(1)).rev().find(|&heads| dim.is_multiple_of(heads)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::{DeviceSpec, named};

    fn init() -> Init {
        Init::new(3, &DeviceSpec::Flex.open().expect("flex is compiled in").autodiff())
    }

    fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().expect("floats")
    }

    /// Patches whose values are all different.
    fn patches(batch: usize, patch: usize, dim: usize) -> Tensor<3> {
        let values = (0..batch * patch * dim).map(|index| (index as f32 * 0.7).sin()).collect::<Vec<_>>();
        let device = init().plain_device();
        Tensor::<1>::from_floats(values.as_slice(), &device).reshape([batch, patch, dim])
    }

    #[test]
    fn heads_divide_the_patch() {
        assert_eq!([1, 48, 64, 96, 192, 200, 768].map(heads), [1, 1, 1, 1, 3, 2, 12]);
    }

    #[test]
    fn a_query_that_likes_all_patches_alike_takes_their_mean() {
        let mut pool = AttentivePool::init(128, &mut init());
        pool.q.weight = pool.q.weight.map(|weight| weight.mul_scalar(0.0));
        let input = patches(2, 5, 128);
        let mean = |patches: Tensor<3>| pool.norm1.forward(patches).mean_dim(1);
        let of_mean = pool.kv.forward(mean(input.clone())).narrow(2, 128, 128).squeeze_dim::<2>(1);
        let token = (of_mean + pool.query.val()).unsqueeze_dim::<3>(1);
        let want = token.clone() + pool.mlp.forward(pool.norm2.forward(token));
        let (got, want) = (floats(pool.forward(input)), floats(want));
        assert!(got.iter().zip(&want).all(|(got, want)| (got - want).abs() < 1e-5), "{got:?} {want:?}");
    }

    #[test]
    fn a_strong_query_takes_the_patch_that_it_likes() {
        let mut pool = AttentivePool::init(64, &mut init());
        pool.q.weight = pool.q.weight.map(|weight| weight.mul_scalar(1e6));
        let input = patches(1, 4, 64);
        let alone: Vec<Vec<f32>> =
            (0..4).map(|patch| floats(pool.forward(input.clone().narrow(1, patch, 1)))).collect();
        let together = floats(pool.forward(input));
        let near = |one: &Vec<f32>| one.iter().zip(&together).all(|(a, b)| (a - b).abs() < 1e-4);
        assert_eq!(alone.iter().filter(|one| near(one)).count(), 1);
    }

    #[test]
    fn the_order_of_the_patches_does_not_matter_and_every_parameter_learns() {
        let pool = AttentivePool::init(128, &mut init());
        let input = patches(3, 6, 128);
        let turned = input.clone().flip([1]);
        let (straight, turned) = (floats(pool.forward(input.clone())), floats(pool.forward(turned)));
        assert!(straight.iter().zip(&turned).all(|(a, b)| (a - b).abs() < 1e-5));
        let gradients = pool.forward(input).square().sum().backward();
        let names: Vec<_> = named::collect(&pool).into_keys().collect();
        assert_eq!(names.len(), 13, "{names:?}");
        for (name, found) in [
            ("query", pool.query.val().grad(&gradients).is_some()),
            ("norm1", pool.norm1.weight.val().grad(&gradients).is_some()),
            ("q", pool.q.weight.val().grad(&gradients).is_some()),
            ("kv", pool.kv.weight.val().grad(&gradients).is_some()),
            ("fc1", pool.mlp.fc1.weight.val().grad(&gradients).is_some()),
        ] {
            assert!(found, "{name} has no gradient");
        }
    }
}
