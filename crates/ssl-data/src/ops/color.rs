use multiversion::multiversion;

use crate::ops::Planes;

/// Scales brightness: `x ← trunc(clamp(factor · x, 0, 255))`.
///
/// `factor` 1 changes nothing, 0 gives black. torchvision `adjust_brightness` on 8-bit tensors.
///
/// # Panics
/// If `factor` is negative or not a number.
pub fn adjust_brightness(planes: &mut Planes, factor: f32) {
    assert_factor("brightness", factor);
    blend_constant(planes.pixels_mut(), factor, 0.0);
}

/// Scales contrast: `x ← trunc(clamp(factor · x + (1 − factor) · m, 0, 255))`, `m` the mean of the grey image.
///
/// `factor` 1 changes nothing, 0 gives one grey. torchvision `adjust_contrast` on 8-bit tensors; the grey
/// image is truncated to whole levels before its mean is taken, as there.
///
/// # Panics
/// If `factor` is negative or not a number.
pub fn adjust_contrast(planes: &mut Planes, factor: f32) {
    assert_factor("contrast", factor);
    let count = planes.width() * planes.height();
    let [red, green, blue] = planes.channels_mut();
    let mean = (sum_of_luma(red, green, blue) as f64 / count.max(1) as f64) as f32;
    blend_constant(planes.pixels_mut(), factor, (1.0 - factor) * mean);
}

/// Scales saturation: `x ← trunc(clamp(factor · x + (1 − factor) · grey(pixel), 0, 255))`.
///
/// `factor` 1 changes nothing, 0 gives the grey image. torchvision `adjust_saturation` on 8-bit tensors.
///
/// # Panics
/// If `factor` is negative or not a number.
pub fn adjust_saturation(planes: &mut Planes, factor: f32) {
    assert_factor("saturation", factor);
    let [red, green, blue] = planes.channels_mut();
    blend_luma(red, green, blue, factor);
}

/// Replaces all three channels by `trunc(0.2989 R + 0.587 G + 0.114 B)`.
///
/// torchvision `rgb_to_grayscale(num_output_channels=3)` on 8-bit tensors. The weights are the ones of ITU-R BT.601
/// as torchvision rounds them; they add up to 0.9999, so that white becomes 254.
pub fn grayscale(planes: &mut Planes) {
    let [red, green, blue] = planes.channels_mut();
    replace_by_luma(red, green, blue);
}

/// Inverts bright values: `x ← 255 − x` where `x ≥ threshold`.
///
/// torchvision `solarize`; exact.
pub fn solarize(planes: &mut Planes, threshold: u8) {
    invert_from(planes.pixels_mut(), threshold);
}

fn assert_factor(what: &str, factor: f32) {
    assert!(factor >= 0.0, "{what} factor {factor}, expected a number that is not negative");
}

#[inline(always)]
fn luma(r: u8, g: u8, b: u8) -> u8 {
    truncate(0.2989 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b))
}

/// Cuts off what lies behind the point; below 0 or not a number gives 0, above 255 gives 255.
#[inline(always)]
pub(super) fn truncate(value: f32) -> u8 {
    let value = if value > 0.0 { value } else { 0.0 };
    let value = if value < 255.0 { value } else { 255.0 };
    // Rust's checked cast keeps LLVM from vectorising the loops around it, which then take ten times as long.
    #[allow(unsafe_code)]
    // SAFETY: `value` is not NaN, because NaN > 0 is false, and lies in 0..=255, which an i32 holds.
    let level: i32 = unsafe { value.to_int_unchecked() };
    level as u8
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn blend_constant(values: &mut [u8], factor: f32, offset: f32) {
    for value in values {
        *value = truncate(factor * f32::from(*value) + offset);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn blend_luma(red: &mut [u8], green: &mut [u8], blue: &mut [u8], factor: f32) {
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        let grey = (1.0 - factor) * f32::from(luma(*r, *g, *b));
        *r = truncate(factor * f32::from(*r) + grey);
        *g = truncate(factor * f32::from(*g) + grey);
        *b = truncate(factor * f32::from(*b) + grey);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn replace_by_luma(red: &mut [u8], green: &mut [u8], blue: &mut [u8]) {
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        let grey = luma(*r, *g, *b);
        (*r, *g, *b) = (grey, grey, grey);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn sum_of_luma(red: &[u8], green: &[u8], blue: &[u8]) -> u64 {
    // A 32-bit sum cannot overflow within a chunk, and vectorises better than a 64-bit one.
    const CHUNK: usize = 1 << 16;
    let channels = red.chunks(CHUNK).zip(green.chunks(CHUNK)).zip(blue.chunks(CHUNK));
    channels
        .map(|((red, green), blue)| {
            let pixels = red.iter().zip(green).zip(blue);
            u64::from(pixels.map(|((&r, &g), &b)| u32::from(luma(r, g, b))).sum::<u32>())
        })
        .sum()
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn invert_from(values: &mut [u8], threshold: u8) {
    for value in values {
        *value = if *value >= threshold { 255 - *value } else { *value };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::{adjust_brightness, adjust_contrast, adjust_saturation, grayscale, luma, solarize};
    use crate::{image::Image, ops::Planes};

    fn planes(pixels: Vec<u8>) -> Planes {
        Planes::from_image(&Image::new(pixels.len() / 3, 1, pixels))
    }

    #[test]
    fn brightness_clamps_and_truncates() {
        let mut image = planes(vec![0, 1, 3, 100, 200, 255]);
        adjust_brightness(&mut image, 1.5);
        assert_eq!(image.to_image().pixels(), [0, 1, 4, 150, 255, 255]);
    }

    #[test]
    fn contrast_zero_is_the_mean_of_the_grey_image() {
        let mut image = planes(vec![10, 10, 10, 31, 31, 31]);
        adjust_contrast(&mut image, 0.0);
        // Grey levels 9 and 30: 0.9999 · 10 and 0.9999 · 31, truncated.
        assert_eq!(image.to_image().pixels(), [19; 6]);
    }

    #[test]
    fn solarize_inverts_from_the_threshold_on() {
        let mut image = planes(vec![0, 127, 128, 129, 254, 255]);
        solarize(&mut image, 128);
        assert_eq!(image.to_image().pixels(), [0, 127, 127, 126, 1, 0]);
    }

    proptest! {
        #[test]
        fn factor_one_is_the_identity(pixels in prop::collection::vec(any::<[u8; 3]>(), 1..200)) {
            let before = planes(pixels.concat());
            for adjust in [adjust_brightness, adjust_contrast, adjust_saturation] {
                let mut after = before.clone();
                adjust(&mut after, 1.0);
                prop_assert_eq!(&after, &before);
            }
        }

        #[test]
        fn saturation_zero_is_the_grey_image(pixels in prop::collection::vec(any::<[u8; 3]>(), 1..200)) {
            let mut grey = planes(pixels.concat());
            let mut unsaturated = grey.clone();
            grayscale(&mut grey);
            adjust_saturation(&mut unsaturated, 0.0);
            prop_assert_eq!(unsaturated, grey);
        }

        #[test]
        fn luma_lies_between_the_channels(r: u8, g: u8, b: u8) {
            let (low, high) = (r.min(g).min(b), r.max(g).max(b));
            prop_assert!((low.saturating_sub(1)..=high).contains(&luma(r, g, b)));
        }
    }
}
