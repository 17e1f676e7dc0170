//! Packing images into pixels of sixteen channels, and back.

use crate::ops::cpu::simd::{Eight, LANES, Lanes};

/// Packs the channels of one image into pixels.
///
/// - `planes`: `[channel, pixel]`, at most sixteen channels; missing ones become 0
/// - `at`: the destination of each pixel
#[inline(always)]
pub(super) fn pack<V: Eight>(planes: &[f32], at: &[usize], pixels: &mut [Lanes]) {
    let count = at.len();
    let channels = planes.len() / count;
    for half in 0..2 {
        let first = half * 8;
        let (blocks, rest) = at.as_chunks::<8>();
        for (i, at) in blocks.iter().enumerate() {
            let mut rows = [V::splat(0.0); 8];
            for c in 0..8.min(channels.saturating_sub(first)) {
                if let Some(row) = planes[(first + c) * count + i * 8..].first_chunk::<8>() {
                    rows[c] = V::load_slice(row);
                }
            }
            let columns = V::transpose(rows);
            for p in 0..8 {
                columns[p].store(&mut pixels[at[p]], half);
            }
        }
        for (i, at) in rest.iter().enumerate() {
            for c in first..first + 8 {
                let from = c * count + count - rest.len() + i;
                pixels[*at].0[c] = if c < channels { planes[from] } else { 0.0 };
            }
        }
    }
}

/// The inverse of [`pack`].
#[inline(always)]
pub(super) fn unpack<V: Eight>(pixels: &[Lanes], at: &[usize], planes: &mut [f32]) {
    let count = at.len();
    let channels = planes.len() / count;
    for half in 0..channels.div_ceil(8).min(2) {
        let first = half * 8;
        let (blocks, rest) = at.as_chunks::<8>();
        for (i, at) in blocks.iter().enumerate() {
            let mut columns = [V::splat(0.0); 8];
            for p in 0..8 {
                columns[p] = V::load(&pixels[at[p]], half);
            }
            let rows = V::transpose(columns);
            for c in 0..8.min(channels - first) {
                if let Some(row) = planes[(first + c) * count + i * 8..].first_chunk_mut::<8>() {
                    rows[c].store_slice(row);
                }
            }
        }
        for (i, at) in rest.iter().enumerate() {
            for c in first..channels.min(first + 8) {
                planes[c * count + count - rest.len() + i] = pixels[*at].0[c];
            }
        }
    }
}

/// The image in blocks of sixteen channels, each as planes `[channel, pixel]`.
pub(super) fn blocks(image: &[f32], pixels: usize) -> impl Iterator<Item = &[f32]> {
    image.chunks(LANES * pixels)
}
