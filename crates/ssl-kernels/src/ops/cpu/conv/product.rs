//! The two inner loops of every convolution here: sums over channels, and sums over pixels.

use crate::ops::cpu::simd::{LANES, Lanes, Vector};

/// Rows that are computed together: twelve sums of eight fill the registers of AVX2.
const ROWS: usize = 6;

/// Sums over channels, for sixteen outputs of every row.
///
/// ```text
/// out[r][k] = Σ_s Σ_c x[rows[r] + segments[s]][c] · w[s · depth + c][k]
/// ```
///
/// - `depth`: channels of a segment that count, at most 16
#[inline(always)]
pub(super) fn sum_channels<V: Vector>(
    x: &[Lanes],
    rows: &[usize],
    segments: &[usize],
    depth: usize,
    w: &[Lanes],
    out: &mut [Lanes],
) {
    let mut outs = out.chunks_exact_mut(ROWS);
    let (blocks, rest) = rows.as_chunks::<ROWS>();
    for (rows, out) in blocks.iter().zip(&mut outs) {
        block::<V, ROWS>(x, rows, segments, depth, w, out);
    }
    let out = outs.into_remainder();
    match *rest {
        [] => {}
        [a] => block::<V, 1>(x, &[a], segments, depth, w, out),
        [a, b] => block::<V, 2>(x, &[a, b], segments, depth, w, out),
        [a, b, c] => block::<V, 3>(x, &[a, b, c], segments, depth, w, out),
        [a, b, c, d] => block::<V, 4>(x, &[a, b, c, d], segments, depth, w, out),
        [a, b, c, d, e, ..] => block::<V, 5>(x, &[a, b, c, d, e], segments, depth, w, out),
    }
}

#[inline(always)]
fn block<V: Vector, const R: usize>(
    x: &[Lanes],
    rows: &[usize; R],
    segments: &[usize],
    depth: usize,
    w: &[Lanes],
    out: &mut [Lanes],
) {
    let mut sums = [[V::splat(0.0); 2]; R];
    for (segment, w) in segments.iter().zip(w.chunks_exact(depth)) {
        let mut a = [&x[0].0; R];
        for r in 0..R {
            a[r] = &x[rows[r] + segment].0;
        }
        match <&[Lanes; LANES]>::try_from(w) {
            Ok(w) => {
                for c in 0..LANES {
                    step::<V, R>(&mut sums, a, c, &w[c]);
                }
            }
            Err(_) => {
                for (c, w) in w.iter().enumerate() {
                    step::<V, R>(&mut sums, a, c, w);
                }
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        sums[0].store(out, 0);
        sums[1].store(out, 1);
    }
}

#[inline(always)]
fn step<V: Vector, const R: usize>(sums: &mut [[V; 2]; R], a: [&[f32; LANES]; R], c: usize, w: &Lanes) {
    let (low, high) = (V::load(w, 0), V::load(w, 1));
    for r in 0..R {
        let a = V::splat(a[r][c]);
        sums[r][0] = sums[r][0].mul_add(a, low);
        sums[r][1] = sums[r][1].mul_add(a, high);
    }
}

/// Sums over pixels: `sums[c][k] += Σ_p x[p][c] · y[p][k]` over pairs of pixels, for the first `channels` of `x`.
#[inline(always)]
pub(super) fn sum_pixels<'a, V: Vector>(
    pairs: impl Iterator<Item = (&'a Lanes, &'a Lanes)> + Clone,
    channels: usize,
    sums: &mut [Lanes],
) {
    outer::<V, 0, 6>(pairs.clone(), sums);
    if channels > 6 {
        outer::<V, 6, 5>(pairs.clone(), sums);
    }
    if channels > 11 {
        outer::<V, 11, 5>(pairs, sums);
    }
}

#[inline(always)]
fn outer<'a, V: Vector, const FIRST: usize, const R: usize>(
    pairs: impl Iterator<Item = (&'a Lanes, &'a Lanes)>,
    sums: &mut [Lanes],
) {
    let mut acc = [[V::splat(0.0); 2]; R];
    for (x, y) in pairs {
        let (low, high) = (V::load(y, 0), V::load(y, 1));
        for r in 0..R {
            let a = V::splat(x.0[FIRST + r]);
            acc[r][0] = acc[r][0].mul_add(a, low);
            acc[r][1] = acc[r][1].mul_add(a, high);
        }
    }
    // Added last: a sum of sums loses fewer digits than one long sum.
    for (sums, acc) in sums[FIRST..].iter_mut().zip(acc) {
        for (half, acc) in acc.into_iter().enumerate() {
            V::load(sums, half).add(acc).store(sums, half);
        }
    }
}
