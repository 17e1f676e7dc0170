//! The two inner loops of every convolution here: sums over channels and sums over pixels.

use crate::ops::cpu::simd::{LANES, Lanes, Vector};

/// Rows computed together: twelve sums of eight values, two per row, fill the registers of AVX2.
const ROWS: usize = 6;
/// The same where one vector holds a whole pixel: again twelve sums.
const WIDE_ROWS: usize = 12;

/// Sums over channels, for sixteen outputs of every row.
///
/// ```text
/// out[r][k] = Σ_s Σ_c x[rows[r] + segments[s]][c] · w[s · depth + c][k]
/// ```
///
/// - `depth`: number of channels used in a segment, at most 16
#[inline(always)]
pub(super) fn sum_channels<V: Vector>(
    x: &[Lanes],
    rows: &[usize],
    segments: &[usize],
    depth: usize,
    w: &[Lanes],
    out: &mut [Lanes],
) {
    let (rows, out) =
        if V::PARTS == 1 { blocks::<V, WIDE_ROWS>(x, rows, segments, depth, w, out) } else { (rows, out) };
    let (rows, out) = blocks::<V, ROWS>(x, rows, segments, depth, w, out);
    match *rows {
        [] => {}
        [a] => block::<V, 1>(x, &[a], segments, depth, w, out),
        [a, b] => block::<V, 2>(x, &[a, b], segments, depth, w, out),
        [a, b, c] => block::<V, 3>(x, &[a, b, c], segments, depth, w, out),
        [a, b, c, d] => block::<V, 4>(x, &[a, b, c, d], segments, depth, w, out),
        [a, b, c, d, e, ..] => block::<V, 5>(x, &[a, b, c, d, e], segments, depth, w, out),
    }
}

/// Computes whole blocks of `R` rows, and returns the remaining rows.
#[inline(always)]
fn blocks<'a, 'b, V: Vector, const R: usize>(
    x: &[Lanes],
    rows: &'a [usize],
    segments: &[usize],
    depth: usize,
    w: &[Lanes],
    out: &'b mut [Lanes],
) -> (&'a [usize], &'b mut [Lanes]) {
    let mut outs = out.chunks_exact_mut(R);
    let (blocks, rest) = rows.as_chunks::<R>();
    for (rows, out) in blocks.iter().zip(&mut outs) {
        block::<V, R>(x, rows, segments, depth, w, out);
    }
    (rest, outs.into_remainder())
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
        for part in 0..V::PARTS {
            sums[part].store(out, part);
        }
    }
}

#[inline(always)]
fn step<V: Vector, const R: usize>(sums: &mut [[V; 2]; R], a: [&[f32; LANES]; R], c: usize, w: &Lanes) {
    let w = parts::<V>(w);
    for r in 0..R {
        let a = V::splat(a[r][c]);
        for part in 0..V::PARTS {
            sums[r][part] = sums[r][part].mul_add(a, w[part]);
        }
    }
}

/// The parts of a pixel; where one vector holds a whole pixel, the second part repeats the first.
#[inline(always)]
fn parts<V: Vector>(pixel: &Lanes) -> [V; 2] {
    [V::load(pixel, 0), V::load(pixel, V::PARTS - 1)]
}

/// Sums over pixels: `sums[c][k] += Σ_p x[p][c] · y[p][k]` over pairs of pixels, for the first `channels` of `x`.
#[inline(always)]
pub(super) fn sum_pixels<'a, V: Vector>(
    pairs: impl Iterator<Item = (&'a Lanes, &'a Lanes)> + Clone,
    channels: usize,
    sums: &mut [Lanes],
) {
    // The registers hold the sums of all channels, so one pass over the pairs is enough.
    if V::PARTS == 1 && channels > 6 {
        outer::<V, 0, LANES>(pairs, sums);
        return;
    }
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
        let y = parts::<V>(y);
        for r in 0..R {
            let a = V::splat(x.0[FIRST + r]);
            for part in 0..V::PARTS {
                acc[r][part] = acc[r][part].mul_add(a, y[part]);
            }
        }
    }
    // Added last: a sum of sums loses less precision than one long sum.
    for (sums, acc) in sums[FIRST..].iter_mut().zip(acc) {
        for part in 0..V::PARTS {
            V::load(sums, part).add(acc[part]).store(sums, part);
        }
    }
}
