use multiversion::multiversion;

use crate::ops::Planes;

/// Convolves with a Gaussian of standard deviation `sigma` pixels, cut to `kernel_size` (odd) taps a side.
///
/// ```text
/// y = Σ_i Σ_j k_i · k_j · x[reflect(row + i), reflect(column + j)],   k_i ∝ exp(−i² / 2σ²),   Σ k = 1
/// ```
///
/// Borders reflect without repeating the edge pixel; the result is rounded. torchvision `gaussian_blur` on 8-bit
/// tensors. Computed in fixed point: weights of 16 bits, sums with 7 bits after the point. Taps whose weight rounds
/// to 0 are skipped; with r taps left on either side the error before the final rounding is below (r + 1) / 128
/// levels, 0.08 for sigma 2.
///
/// # Panics
/// If `kernel_size` is even or `sigma` is not above 0.
pub fn gaussian_blur(planes: &mut Planes, kernel_size: usize, sigma: f64, buffers: &mut BlurBuffers) {
    assert!(kernel_size % 2 == 1, "blur kernel of {kernel_size} taps, expected an odd number");
    assert!(sigma > 0.0, "blur sigma {sigma}, expected a number above 0");
    let (width, height) = (planes.width(), planes.height());
    fill_weights(kernel_size / 2, sigma, &mut buffers.weights);
    let Some(radius) = buffers.weights.len().checked_sub(1) else { return };
    buffers.line.resize(width + 2 * radius, 0);
    buffers.sums.resize(width, 0);
    for plane in planes.channels_mut() {
        if !plane.is_empty() {
            blur_plane(plane, height, buffers);
        }
    }
}

/// Working memory of [`gaussian_blur`], of any content.
#[derive(Clone, Debug, Default)]
pub struct BlurBuffers {
    /// Weight of the centre and of the pairs of taps 1, 2, … pixels away, in units of 2⁻¹⁶.
    weights: Vec<u16>,
    /// The plane before the blur, in units of 2⁻⁷ levels.
    source: Vec<u16>,
    /// One row blurred vertically, with its reflected borders, in units of 2⁻⁷ levels.
    line: Vec<u16>,
    /// One row blurred both ways, in units of 2⁻⁷ levels.
    sums: Vec<u16>,
}

/// Leaves `weights` empty where the kernel is the identity.
fn fill_weights(radius: usize, sigma: f64, weights: &mut Vec<u16>) {
    let gauss = |i: usize| (-0.5 * (i as f64 / sigma).powi(2)).exp();
    let total: f64 = 1.0 + 2.0 * (1..=radius).map(gauss).sum::<f64>();
    weights.clear();
    weights.push(0);
    weights.extend((1..=radius).map(|i| (65536.0 * gauss(i) / total).round() as u16).take_while(|&w| w > 0));
    let sides: u32 = weights.iter().map(|&weight| 2 * u32::from(weight)).sum();
    // The centre takes what rounding left over, so that an even image keeps its value.
    match u16::try_from(65536 - sides.min(65536)) {
        Ok(centre) => weights[0] = centre,
        Err(_) => weights.clear(),
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn blur_plane(plane: &mut [u8], height: usize, buffers: &mut BlurBuffers) {
    let BlurBuffers { weights, source, line, sums } = buffers;
    source.clear();
    source.extend(plane.iter().map(|&x| u16::from(x) << 7));
    for (y, out) in plane.chunks_exact_mut(sums.len()).enumerate() {
        blur_column_wise(source, y, height, weights, line);
        blur_row_wise(line, weights, sums);
        for (out, &sum) in out.iter_mut().zip(sums.iter()) {
            *out = ((sum + 64) >> 7) as u8;
        }
    }
}

/// Fills the middle of `line` with row `y` of the vertical blur, and its ends with the reflection.
#[inline(always)]
fn blur_column_wise(source: &[u16], y: usize, height: usize, weights: &[u16], line: &mut [u16]) {
    let radius = weights.len() - 1;
    let width = line.len() - 2 * radius;
    let row = |offset: isize| {
        let start = width * reflect(y as isize + offset, height);
        &source[start..start + width]
    };
    let middle = &mut line[radius..radius + width];
    for (sum, &x) in middle.iter_mut().zip(row(0)) {
        *sum = bias(weights) + scaled(x, weights[0]);
    }
    for (i, &weight) in weights.iter().enumerate().skip(1) {
        let pairs = row(-(i as isize)).iter().zip(row(i as isize));
        for (sum, (&a, &b)) in middle.iter_mut().zip(pairs) {
            *sum += scaled(a + b, weight);
        }
    }
    for i in 1..=radius {
        line[radius - i] = line[radius + reflect(-(i as isize), width)];
        line[radius + width - 1 + i] = line[radius + reflect((width - 1 + i) as isize, width)];
    }
}

#[inline(always)]
fn blur_row_wise(line: &[u16], weights: &[u16], sums: &mut [u16]) {
    let radius = weights.len() - 1;
    for (sum, &x) in sums.iter_mut().zip(&line[radius..]) {
        *sum = bias(weights) + scaled(x, weights[0]);
    }
    for (i, &weight) in weights.iter().enumerate().skip(1) {
        let pairs = line[radius - i..].iter().zip(&line[radius + i..]);
        for (sum, (&a, &b)) in sums.iter_mut().zip(pairs) {
            *sum += scaled(a + b, weight);
        }
    }
}

/// What one pass loses on average: half a unit a product. Capped so that the sum of two values fits 16 bits.
#[inline(always)]
fn bias(weights: &[u16]) -> u16 {
    (weights.len() / 2).min(127) as u16
}

#[inline(always)]
fn scaled(value: u16, weight: u16) -> u16 {
    ((u32::from(value) * u32::from(weight)) >> 16) as u16
}

/// The index in `0..count` that `index` mirrors to, however far outside it lies.
#[inline(always)]
fn reflect(index: isize, count: usize) -> usize {
    if (0..count as isize).contains(&index) {
        return index as usize;
    }
    let period = (2 * (count as isize - 1)).max(1);
    let index = index.rem_euclid(period) as usize;
    index.min(period as usize - index)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::{BlurBuffers, gaussian_blur, reflect};
    use crate::{image::Image, ops::Planes};

    fn exact_blur(plane: &[f64], width: usize, height: usize, kernel_size: usize, sigma: f64) -> Vec<f64> {
        let radius = (kernel_size / 2) as isize;
        let kernel: Vec<f64> =
            (-radius..=radius).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
        let total: f64 = kernel.iter().sum();
        let at = |x: isize, y: isize| plane[reflect(y, height) * width + reflect(x, width)];
        let mut out = Vec::new();
        for y in 0..height as isize {
            for x in 0..width as isize {
                let mut sum = 0.0;
                for (j, wy) in (-radius..=radius).zip(&kernel) {
                    for (i, wx) in (-radius..=radius).zip(&kernel) {
                        sum += wy * wx * at(x + i, y + j);
                    }
                }
                out.push(sum / (total * total));
            }
        }
        out
    }

    #[test]
    fn reflection_does_not_repeat_the_edge() {
        let indices: Vec<_> = (-4..8).map(|i| reflect(i, 4)).collect();
        assert_eq!(indices, [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]);
        assert_eq!(reflect(-3, 1), 0);
    }

    proptest! {
        #[test]
        fn it_is_within_rounding_of_the_exact_convolution(
            width in 1usize..20, height in 1usize..20, radius in 0usize..14, sigma in 0.05f64..4.0, seed: u64,
        ) {
            let mut generator = crate::rng::SampleKey { seed, epoch: 0, sample: 0 }.generator(0, 0);
            let pixels = (0..3 * width * height).map(|_| generator.next_u64() as u8).collect();
            let before = Planes::from_image(&Image::new(width, height, pixels));
            let mut after = before.clone();
            gaussian_blur(&mut after, 2 * radius + 1, sigma, &mut BlurBuffers::default());
            let planes = before.pixels().chunks(width * height).zip(after.pixels().chunks(width * height));
            for (before, after) in planes {
                let plane: Vec<f64> = before.iter().map(|&x| f64::from(x)).collect();
                let exact = exact_blur(&plane, width, height, 2 * radius + 1, sigma);
                for (&got, want) in after.iter().zip(exact) {
                    prop_assert!((f64::from(got) - want).abs() < 0.5 + 0.12, "{} for {}", got, want);
                }
            }
        }

        #[test]
        fn an_even_image_stays_as_it_is(value: u8, radius in 0usize..14, sigma in 0.05f64..4.0) {
            let before = Planes::from_image(&Image::new(9, 7, vec![value; 3 * 9 * 7]));
            let mut after = before.clone();
            gaussian_blur(&mut after, 2 * radius + 1, sigma, &mut BlurBuffers::default());
            prop_assert_eq!(after, before);
        }

        #[test]
        fn buffers_do_not_leak_from_one_call_to_the_next(pixels in prop::collection::vec(any::<u8>(), 3 * 8 * 8)) {
            let mut buffers = BlurBuffers::default();
            gaussian_blur(&mut Planes::from_image(&Image::new(31, 17, vec![200; 3 * 31 * 17])), 23, 2.0, &mut buffers);
            let mut reused = Planes::from_image(&Image::new(8, 8, pixels));
            let mut fresh = reused.clone();
            gaussian_blur(&mut reused, 5, 1.0, &mut buffers);
            gaussian_blur(&mut fresh, 5, 1.0, &mut BlurBuffers::default());
            prop_assert_eq!(reused, fresh);
        }
    }
}
