//! The transforms of Winograd's convolution, along one axis.
//!
//! ```text
//! F(m, 3):   y = Aᵀ [(G g) ⊙ (Bᵀ d)]       m outputs of a kernel g of 3 from a tile d of m + 2 inputs
//! ```
//!
//! Here m is 2, and the points are 0, 1, −1, ∞.
//!
//! Source: Lavin and Gray 2015, <https://arxiv.org/abs/1509.09308>, sections 4.1 and 4.3.

use crate::ops::cpu::simd::Vector;

/// Points of a tile along one axis.
pub(super) const N: usize = 4;

/// Outputs of a tile along one axis, `m`.
pub(super) const M: usize = 2;

/// Applies a one-axis transform to both axes of a square: `[[V; A]; A]` to `[[V; B]; B]`.
///
/// A macro, because a transform passed as a function would not be compiled for its caller's instructions.
macro_rules! both {
    ($x:expr, $a:expr => $b:expr, $transform:expr) => {{
        let mut rows = [[$x[0][0]; $b]; $a];
        for i in 0..$a {
            rows[i] = $transform($x[i]);
        }
        let mut result = [[$x[0][0]; $b]; $b];
        for j in 0..$b {
            let mut column = [$x[0][0]; $a];
            for i in 0..$a {
                column[i] = rows[i][j];
            }
            let column = $transform(column);
            for i in 0..$b {
                result[i][j] = column[i];
            }
        }
        result
    }};
}
pub(in crate::ops::cpu::conv) use both;

/// `Bᵀ d`
#[inline(always)]
pub(super) fn input<V: Vector>(d: [V; 4]) -> [V; 4] {
    [d[0].sub(d[2]), d[1].add(d[2]), d[2].sub(d[1]), d[1].sub(d[3])]
}

/// `Aᵀ m`
#[inline(always)]
pub(super) fn output<V: Vector>(m: [V; 4]) -> [V; 2] {
    [m[0].add(m[1]).add(m[2]), m[1].sub(m[2]).sub(m[3])]
}

/// `A y`, the transpose of [`output`].
#[inline(always)]
pub(super) fn output_gradient<V: Vector>(y: [V; 2]) -> [V; 4] {
    [y[0], y[0].add(y[1]), y[0].sub(y[1]), V::splat(0.0).sub(y[1])]
}

/// `G g`
#[inline(always)]
pub(super) fn weight<V: Vector>(g: [V; 3]) -> [V; 4] {
    let (even, half) = (g[0].add(g[2]), V::splat(0.5));
    [g[0], even.add(g[1]).mul(half), even.sub(g[1]).mul(half), g[2]]
}

/// `Gᵀ m`, the transpose of [`weight`].
#[inline(always)]
pub(super) fn weight_gradient<V: Vector>(m: [V; 4]) -> [V; 3] {
    let half = V::splat(0.5);
    let even = m[1].add(m[2]).mul(half);
    [m[0].add(even), m[1].sub(m[2]).mul(half), even.add(m[3])]
}
