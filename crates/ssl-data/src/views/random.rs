use crate::ops::CropBox;
use crate::rng::Generator;

/// Draws a box as torchvision's `RandomResizedCrop.get_params`.
///
/// Ten tries of an area share from `scale` and a width / height from `ratio` (even on a logarithmic scale); then the
/// whole image, cut centrally to the nearest ratio of the range.
pub(super) fn crop_box(
    width: usize,
    height: usize,
    scale: [f64; 2],
    ratio: [f64; 2],
    generator: &mut Generator,
) -> CropBox {
    let area = width as f64 * height as f64;
    for _ in 0..10 {
        let target_area = area * generator.uniform(scale[0], scale[1]);
        let aspect = generator.uniform(ratio[0].ln(), ratio[1].ln()).exp();
        let crop_width = (target_area * aspect).sqrt().round_ties_even() as usize;
        let crop_height = (target_area / aspect).sqrt().round_ties_even() as usize;
        if (1..=width).contains(&crop_width) && (1..=height).contains(&crop_height) {
            let top = generator.below(height - crop_height + 1);
            let left = generator.below(width - crop_width + 1);
            return CropBox { top, left, height: crop_height, width: crop_width };
        }
    }
    central_box(width, height, ratio)
}

fn central_box(width: usize, height: usize, ratio: [f64; 2]) -> CropBox {
    let image_ratio = width as f64 / height as f64;
    let (mut crop_width, mut crop_height) = (width, height);
    if image_ratio < ratio[0] {
        crop_height = ((width as f64 / ratio[0]).round_ties_even() as usize).clamp(1, height);
    } else if image_ratio > ratio[1] {
        crop_width = ((height as f64 * ratio[1]).round_ties_even() as usize).clamp(1, width);
    }
    let (top, left) = ((height - crop_height) / 2, (width - crop_width) / 2);
    CropBox { top, left, height: crop_height, width: crop_width }
}

/// One change of colour, with its parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Jitter {
    Brightness(f32),
    Contrast(f32),
    Saturation(f32),
    Hue(f32),
}

/// Draws the four factors, in the order of their names here, then the order in which they apply.
pub(super) fn jitter(
    [brightness, contrast, saturation, hue]: [f64; 4],
    generator: &mut Generator,
) -> impl Iterator<Item = Jitter> {
    let mut factor = |strength: f64| generator.uniform((1.0 - strength).max(0.0), 1.0 + strength) as f32;
    let mut steps = [
        (brightness, Jitter::Brightness(factor(brightness))),
        (contrast, Jitter::Contrast(factor(contrast))),
        (saturation, Jitter::Saturation(factor(saturation))),
        (hue, Jitter::Hue(generator.uniform(-hue, hue) as f32)),
    ];
    for last in (1..steps.len()).rev() {
        steps.swap(last, generator.below(last + 1));
    }
    steps.into_iter().filter(|(strength, _)| *strength > 0.0).map(|(_, step)| step)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::{prop_assert, proptest};

    use super::{CropBox, Jitter, crop_box, jitter};
    use crate::rng::SampleKey;

    fn generator(sample: u64) -> crate::rng::Generator {
        SampleKey { seed: 0, epoch: 0, sample }.generator(0, 0)
    }

    proptest! {
        #[test]
        fn the_box_is_never_empty_and_always_inside(
            width in 1usize..300, height in 1usize..300,
            scale in (0.001f64..1.5, 0.001f64..1.5), ratio in (0.05f64..20.0, 0.05f64..20.0), sample: u64,
        ) {
            let ordered = |(a, b): (f64, f64)| [a.min(b), a.max(b)];
            let crop = crop_box(width, height, ordered(scale), ordered(ratio), &mut generator(sample));
            prop_assert!(crop.width > 0 && crop.height > 0);
            prop_assert!(crop.left + crop.width <= width && crop.top + crop.height <= height);
        }
    }

    #[test]
    fn the_share_of_the_area_is_even_over_its_range() {
        let shares: Vec<f64> = (0..4000)
            .map(|sample| crop_box(400, 400, [0.1, 0.5], [1.0, 1.0], &mut generator(sample)))
            .map(|crop| (crop.width * crop.height) as f64 / 160_000.0)
            .collect();
        let mean = shares.iter().sum::<f64>() / 4000.0;
        assert!((mean - 0.3).abs() < 0.01, "{mean}");
        let below = shares.iter().filter(|&&share| share < 0.2).count();
        assert!(below.abs_diff(1000) < 100, "{below}");
    }

    #[test]
    fn an_impossible_request_gives_the_central_box_of_the_nearest_ratio() {
        // The whole area at ratio 1 never fits an oblong image.
        let wide = crop_box(100, 20, [1.0, 1.0], [1.0, 1.0], &mut generator(0));
        assert_eq!(wide, CropBox { top: 0, left: 40, height: 20, width: 20 });
        let tall = crop_box(20, 101, [1.0, 1.0], [1.0, 1.0], &mut generator(0));
        assert_eq!(tall, CropBox { top: 40, left: 0, height: 20, width: 20 });
        let inside = crop_box(30, 30, [2.0, 2.0], [0.5, 2.0], &mut generator(0));
        assert_eq!(inside, CropBox::whole(30, 30));
    }

    #[test]
    fn all_24_orders_of_the_jitter_come_up_evenly() {
        let mut counts = HashMap::new();
        for sample in 0..24_000 {
            let order: String = jitter([0.4, 0.4, 0.4, 0.1], &mut generator(sample))
                .map(|step| match step {
                    Jitter::Brightness(_) => 'b',
                    Jitter::Contrast(_) => 'c',
                    Jitter::Saturation(_) => 's',
                    Jitter::Hue(_) => 'h',
                })
                .collect();
            *counts.entry(order).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        assert!(counts.values().all(|&count| count.abs_diff(1000) < 150), "{counts:?}");
    }

    #[test]
    fn jitter_factors_stay_in_their_ranges_and_strength_0_is_left_out() {
        for sample in 0..2000 {
            for step in jitter([0.4, 1.5, 0.0, 0.1], &mut generator(sample)) {
                match step {
                    Jitter::Brightness(factor) => assert!((0.6..=1.4).contains(&factor)),
                    Jitter::Contrast(factor) => assert!((0.0..=2.5).contains(&factor)),
                    Jitter::Hue(shift) => assert!((-0.1..=0.1).contains(&shift)),
                    Jitter::Saturation(_) => panic!("saturation of strength 0"),
                }
            }
        }
    }
}
