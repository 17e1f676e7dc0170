use multiversion::multiversion;

use crate::ops::{Planes, color::truncate};

/// Turns the hue by `shift` of a full circle, in `[−0.5, 0.5]`.
///
/// ```text
/// (h, c, v) = hue in [0, 6), max − min, max of the pixel
/// channel n ← v − c · clamp(min(k, 4 − k), 0, 1),  k = (n + h + 6 · shift) mod 6,  n = 5, 3, 1 for R, G, B
/// x ← trunc(255.999 / 255 · channel)
/// ```
///
/// The same map as RGB → HSV, h + shift, HSV → RGB, without a branch per sixth of the circle. torchvision
/// `adjust_hue` on 8-bit tensors (floating-point HSV); PIL's 8-bit HSV differs by more than rounding.
///
/// # Panics
/// If `shift` is outside its range.
pub fn adjust_hue(planes: &mut Planes, shift: f32) {
    assert!((-0.5..=0.5).contains(&shift), "hue shift {shift}, expected a number in -0.5..=0.5");
    let [red, green, blue] = planes.channels_mut();
    turn_hue(red, green, blue, if shift < 0.0 { 6.0 * (shift + 1.0) } else { 6.0 * shift });
}

/// `turn` is in sixths of the circle, in `[0, 6]`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn turn_hue(red: &mut [u8], green: &mut [u8], blue: &mut [u8], turn: f32) {
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        let value = (*r).max(*g).max(*b);
        let chroma = f32::from(value - (*r).min(*g).min(*b));
        let (x, y, z, value) = (f32::from(*r), f32::from(*g), f32::from(*b), f32::from(value));
        let hue = hue_in_sixths(x, y, z, value, chroma) + turn;
        let hue = if hue >= 6.0 { hue - 6.0 } else { hue };
        *r = channel(5.0, hue, value, chroma);
        *g = channel(3.0, hue, value, chroma);
        *b = channel(1.0, hue, value, chroma);
    }
}

/// In `[0, 6)`; 0 for a grey pixel.
#[inline(always)]
fn hue_in_sixths(x: f32, y: f32, z: f32, value: f32, chroma: f32) -> f32 {
    let (difference, base) = if z == value { (x - y, 4.0) } else { (y - z, 6.0) };
    let (difference, base) = if y == value { (z - x, 2.0) } else { (difference, base) };
    let (difference, base) = if x == value { (y - z, 6.0) } else { (difference, base) };
    let hue = base + difference / if chroma > 1.0 { chroma } else { 1.0 };
    if hue >= 6.0 { hue - 6.0 } else { hue }
}

#[inline(always)]
fn channel(offset: f32, hue: f32, value: f32, chroma: f32) -> u8 {
    let k = offset + hue;
    let k = if k >= 6.0 { k - 6.0 } else { k };
    let slope = if k < 2.0 { k } else { 4.0 - k };
    let slope = if slope > 0.0 { slope } else { 0.0 };
    let slope = if slope < 1.0 { slope } else { 1.0 };
    truncate((value - chroma * slope) * (255.999 / 255.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::adjust_hue;
    use crate::{image::Image, ops::Planes};

    fn turned(pixel: [u8; 3], shift: f32) -> [u8; 3] {
        let mut planes = Planes::from_image(&Image::new(1, 1, pixel.to_vec()));
        adjust_hue(&mut planes, shift);
        [planes.pixels()[0], planes.pixels()[1], planes.pixels()[2]]
    }

    #[test]
    fn thirds_of_the_circle_permute_the_channels() {
        assert_eq!(turned([200, 100, 50], 1.0 / 3.0), [50, 200, 100]);
        assert_eq!(turned([200, 100, 50], -1.0 / 3.0), [100, 50, 200]);
        assert_eq!(turned([255, 0, 0], 0.5), [0, 255, 255]);
    }

    proptest! {
        #[test]
        fn no_shift_is_the_identity(pixels in prop::collection::vec(any::<[u8; 3]>(), 1..100)) {
            let before = Planes::from_image(&Image::new(pixels.len(), 1, pixels.concat()));
            let mut after = before.clone();
            adjust_hue(&mut after, 0.0);
            prop_assert_eq!(after, before);
        }

        #[test]
        fn value_stays_and_grey_has_no_hue(pixel: [u8; 3], shift in -0.5f32..=0.5) {
            prop_assert_eq!(turned(pixel, shift).into_iter().max(), pixel.into_iter().max());
            prop_assert_eq!(turned([pixel[0]; 3], shift), [pixel[0]; 3]);
        }

        #[test]
        fn a_shift_and_its_opposite_cancel(pixel: [u8; 3], shift in 0.0f32..=0.5) {
            let back = turned(turned(pixel, shift), -shift);
            for (a, b) in back.into_iter().zip(pixel) {
                prop_assert!(a.abs_diff(b) <= 2, "{:?} became {:?}", pixel, back);
            }
        }
    }
}
