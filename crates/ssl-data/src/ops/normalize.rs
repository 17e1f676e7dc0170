use std::mem::MaybeUninit;

use multiversion::multiversion;
use serde::{Deserialize, Serialize};

use crate::ops::Planes;

/// Mean and standard deviation of each channel (red, green, blue) of a data set, on the scale 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// Mean of each channel.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, above 0.
    pub std: [f32; 3],
}

impl Normalization {
    /// CIFAR-10's training images. Source: the values of the SimSiam, MoCo and solo-learn CIFAR recipes.
    ///
    /// The deviations are means over images of each image's own deviation, as everywhere in the field; over all
    /// pixels they are 0.247, 0.243, 0.262.
    pub const CIFAR10: Self = Self { mean: [0.4914, 0.4822, 0.4465], std: [0.2023, 0.1994, 0.2010] };

    /// ImageNet's training images. Source: torchvision's models.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
}

/// Writes `(x / 255 − mean) / std` to `out`, `[3, height, width]`.
///
/// torchvision `to_dtype(scale=True)` followed by `normalize`.
///
/// # Panics
/// If `out` is not `3 · height · width` long.
pub fn normalize(planes: &Planes, normalization: &Normalization, out: &mut [f32]) {
    normalize_to(planes, normalization, out);
}

/// A place for a value, with or without an old one.
pub(crate) trait Place {
    fn put(&mut self, value: f32);
}

impl Place for f32 {
    #[inline(always)]
    fn put(&mut self, value: f32) {
        *self = value;
    }
}

impl Place for MaybeUninit<f32> {
    #[inline(always)]
    fn put(&mut self, value: f32) {
        self.write(value);
    }
}

/// [`normalize`]; writes every place of `out`.
pub(crate) fn normalize_to<P: Place>(planes: &Planes, normalization: &Normalization, out: &mut [P]) {
    let area = planes.width() * planes.height();
    assert_eq!(out.len(), 3 * area, "values of a normalised {} x {} view", planes.width(), planes.height());
    for channel in 0..3 {
        let (mean, std) = (f64::from(normalization.mean[channel]), f64::from(normalization.std[channel]));
        let range = channel * area..(channel + 1) * area;
        let (scale, offset) = ((1.0 / (255.0 * std)) as f32, (-mean / std) as f32);
        scale_and_shift(&planes.pixels()[range.clone()], scale, offset, &mut out[range]);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2+fma"))]
fn scale_and_shift<P: Place>(values: &[u8], scale: f32, offset: f32, out: &mut [P]) {
    for (out, &value) in out.iter_mut().zip(values) {
        out.put(f32::from(value) * scale + offset);
    }
}

#[cfg(test)]
mod tests {
    use super::{Normalization, normalize};
    use crate::{image::Image, ops::Planes};

    #[test]
    fn each_channel_uses_its_own_mean_and_deviation() {
        let planes = Planes::from_image(&Image::new(1, 1, vec![0, 51, 255]));
        let normalization = Normalization { mean: [0.5, 0.2, 0.0], std: [0.25, 1.0, 0.5] };
        let mut out = [0.0; 3];
        normalize(&planes, &normalization, &mut out);
        for (value, expected) in out.into_iter().zip([-2.0, 0.0, 2.0]) {
            assert!((value - expected).abs() < 1e-6, "{out:?}");
        }
    }
}
