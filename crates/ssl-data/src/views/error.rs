use crate::ops::Normalization;
use crate::views::{OpConfig, ViewConfig};

/// Width and height of a view at most (our choice: such a view takes 768 MiB; encoders see a few thousand pixels at most).
pub const MAX_VIEW_SIZE: usize = 8192;

/// Views of one block at most (our choice: multi-crop takes about ten).
pub const MAX_VIEWS: usize = 1024;

/// Taps of a blur at most: a wider kernel reaches across the largest view and back.
pub const MAX_KERNEL_SIZE: usize = 2 * MAX_VIEW_SIZE - 1;

/// Other numbers of views and means and deviations of pixels at most (our choice: published ones are up to 4).
const LARGEST: f64 = 1e4;

/// A declaration of views that cannot be rendered. `at` says which block and operation, counted from 0.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// There is no `[[views]]` block.
    #[error("no views are declared, expected at least one [[views]] block")]
    NoViews,
    /// A block declares zero views.
    #[error("{at}: count is 0, expected at least 1")]
    Count {
        /// The block.
        at: String,
    },
    /// A width, height or shorter side is zero.
    #[error("{at}: size is 0, expected at least 1")]
    Size {
        /// The block or operation.
        at: String,
    },
    /// A size or a number is larger than what can be rendered.
    #[error("{at}: {name} is {value}, expected at most {most}")]
    TooLarge {
        /// The block or operation.
        at: String,
        /// `count`, `size` or `kernel_size`.
        name: &'static str,
        /// What was declared.
        value: usize,
        /// [`MAX_VIEWS`], [`MAX_VIEW_SIZE`] or [`MAX_KERNEL_SIZE`].
        most: usize,
    },
    /// A probability is not one.
    #[error("{at}: p is {value}, expected a number in 0..=1")]
    Probability {
        /// The operation.
        at: String,
        /// What was declared.
        value: f64,
    },
    /// A range of crop areas, aspect ratios or blur widths is empty, not positive or beyond any use.
    #[error("{at}: {name} is [{}, {}], expected two numbers above 0 and at most 10000, the smaller one first", value[0], value[1])]
    Range {
        /// The operation.
        at: String,
        /// `scale`, `ratio` or `sigma`.
        name: &'static str,
        /// What was declared.
        value: [f64; 2],
    },
    /// A strength of the colour jitter is negative, beyond any use or not a number.
    #[error("{at}: {name} is {value}, expected a number from 0 to 10000")]
    Strength {
        /// The operation.
        at: String,
        /// `brightness`, `contrast` or `saturation`.
        name: &'static str,
        /// What was declared.
        value: f64,
    },
    /// The hue would turn by more than half a circle, or by a negative amount.
    #[error("{at}: hue is {value}, expected a number in 0..=0.5")]
    Hue {
        /// The operation.
        at: String,
        /// What was declared.
        value: f64,
    },
    /// A blur kernel has no centre.
    #[error("{at}: kernel_size is {value}, expected an odd number")]
    KernelSize {
        /// The operation.
        at: String,
        /// What was declared.
        value: usize,
    },
    /// A `resize` gives a size that depends on the image, and nothing cuts it to the view's.
    #[error("{at}: no crop follows, expected center_crop or random_resized_crop after resize")]
    ResizeWithoutCrop {
        /// The operation.
        at: String,
    },
    /// A mean or a standard deviation is beyond any use, or a standard deviation is not above 0.
    #[error(
        "normalization has mean {mean:?} and std {std:?}, expected numbers of at most 10000, and std above 0"
    )]
    Normalization {
        /// What was declared.
        mean: [f32; 3],
        /// What was declared.
        std: [f32; 3],
    },
}

pub(super) fn check_views(blocks: &[ViewConfig]) -> Result<(), ViewError> {
    if blocks.is_empty() {
        return Err(ViewError::NoViews);
    }
    blocks.iter().enumerate().try_for_each(|(index, block)| check_block(format!("views[{index}]"), block))
}

pub(super) fn check_normalization(normalization: &Normalization) -> Result<(), ViewError> {
    let Normalization { mean, std } = *normalization;
    let usable = |x: &f32| f64::from(x.abs()) <= LARGEST;
    let valid = mean.iter().all(usable) && std.iter().all(|x| usable(x) && *x > 0.0);
    if valid { Ok(()) } else { Err(ViewError::Normalization { mean, std }) }
}

fn check_block(at: String, block: &ViewConfig) -> Result<(), ViewError> {
    if block.count == 0 {
        return Err(ViewError::Count { at });
    }
    if block.size == 0 {
        return Err(ViewError::Size { at });
    }
    check_most(&at, "count", block.count, MAX_VIEWS)?;
    check_most(&at, "size", block.size, MAX_VIEW_SIZE)?;
    let mut crop_follows = false;
    for (index, op) in block.ops.iter().enumerate().rev() {
        let at = format!("{at}.ops[{index}]");
        match op {
            OpConfig::RandomResizedCrop { .. } | OpConfig::CenterCrop {} => crop_follows = true,
            OpConfig::Resize { .. } if !crop_follows => return Err(ViewError::ResizeWithoutCrop { at }),
            _ => {}
        }
        check_op(&at, op)?;
    }
    Ok(())
}

fn check_op(at: &str, op: &OpConfig) -> Result<(), ViewError> {
    match *op {
        OpConfig::RandomResizedCrop { scale, ratio, .. } => {
            check_range(at, "scale", scale)?;
            check_range(at, "ratio", ratio)
        }
        OpConfig::ColorJitter { p, brightness, contrast, saturation, hue } => {
            check_probability(at, p)?;
            check_strength(at, "brightness", brightness)?;
            check_strength(at, "contrast", contrast)?;
            check_strength(at, "saturation", saturation)?;
            let valid = (0.0..=0.5).contains(&hue);
            if valid { Ok(()) } else { Err(ViewError::Hue { at: at.into(), value: hue }) }
        }
        OpConfig::GaussianBlur { p, sigma, kernel_size } => {
            check_probability(at, p)?;
            check_range(at, "sigma", sigma)?;
            match kernel_size {
                Some(value) if value % 2 == 0 => Err(ViewError::KernelSize { at: at.into(), value }),
                Some(value) => check_most(at, "kernel_size", value, MAX_KERNEL_SIZE),
                None => Ok(()),
            }
        }
        OpConfig::HorizontalFlip { p } | OpConfig::Grayscale { p } | OpConfig::Solarize { p, .. } => {
            check_probability(at, p)
        }
        OpConfig::Resize { size: 0, .. } => Err(ViewError::Size { at: at.into() }),
        OpConfig::Resize { size, .. } => check_most(at, "size", size, MAX_VIEW_SIZE),
        OpConfig::CenterCrop {} => Ok(()),
    }
}

pub(super) fn check_most(at: &str, name: &'static str, value: usize, most: usize) -> Result<(), ViewError> {
    if value <= most { Ok(()) } else { Err(ViewError::TooLarge { at: at.into(), name, value, most }) }
}

fn check_probability(at: &str, value: f64) -> Result<(), ViewError> {
    let valid = (0.0..=1.0).contains(&value);
    if valid { Ok(()) } else { Err(ViewError::Probability { at: at.into(), value }) }
}

fn check_range(at: &str, name: &'static str, value: [f64; 2]) -> Result<(), ViewError> {
    let valid = value[0] > 0.0 && value[0] <= value[1] && value[1] <= LARGEST;
    if valid { Ok(()) } else { Err(ViewError::Range { at: at.into(), name, value }) }
}

fn check_strength(at: &str, name: &'static str, value: f64) -> Result<(), ViewError> {
    let valid = (0.0..=LARGEST).contains(&value);
    if valid { Ok(()) } else { Err(ViewError::Strength { at: at.into(), name, value }) }
}

#[cfg(test)]
mod tests {
    use super::{ViewError, check_normalization, check_views};
    use crate::ops::{Interpolation, Normalization};
    use crate::views::{OpConfig, ViewConfig};

    fn check(op: OpConfig) -> Result<(), ViewError> {
        check_views(&[ViewConfig { count: 1, size: 8, ops: vec![OpConfig::CenterCrop {}, op] }])
    }

    fn at() -> String {
        "views[0].ops[1]".into()
    }

    #[test]
    fn at_least_one_block_is_needed() {
        assert_eq!(check_views(&[]), Err(ViewError::NoViews));
    }

    #[test]
    fn a_block_has_at_least_one_view() {
        let block = ViewConfig { count: 0, size: 8, ops: vec![] };
        assert_eq!(check_views(&[block]), Err(ViewError::Count { at: "views[0]".into() }));
    }

    #[test]
    fn sizes_are_not_zero() {
        let block = ViewConfig { count: 1, size: 0, ops: vec![] };
        assert_eq!(check_views(&[block]), Err(ViewError::Size { at: "views[0]".into() }));
        let resize = OpConfig::Resize { size: 0, interpolation: Interpolation::Bilinear };
        let block = ViewConfig { count: 1, size: 8, ops: vec![resize, OpConfig::CenterCrop {}] };
        assert_eq!(check_views(&[block]), Err(ViewError::Size { at: "views[0].ops[0]".into() }));
    }

    #[test]
    fn numbers_beyond_any_use_are_refused() {
        let block =
            |count, size, ops| check_views(&[ViewConfig { count, size, ops }]).map_err(|e| e.to_string());
        let error = |text: &str| Err::<(), _>(text.to_string());
        assert_eq!(
            block(1 << 40, 8, vec![]),
            error("views[0]: count is 1099511627776, expected at most 1024")
        );
        assert_eq!(block(1, 100_000, vec![]), error("views[0]: size is 100000, expected at most 8192"));
        let blur = OpConfig::GaussianBlur { p: 1.0, sigma: [0.1, 2.0], kernel_size: Some((1 << 62) + 1) };
        assert!(block(1, 8, vec![blur]).is_err_and(|error| error.contains("kernel_size")));
    }

    #[test]
    fn probabilities_lie_between_0_and_1() {
        for value in [-0.1, 1.1, f64::INFINITY] {
            let expected = Err(ViewError::Probability { at: at(), value });
            assert_eq!(check(OpConfig::HorizontalFlip { p: value }), expected);
            assert_eq!(check(OpConfig::Grayscale { p: value }), expected);
            assert_eq!(check(OpConfig::Solarize { p: value, threshold: 128 }), expected);
            let blur = OpConfig::GaussianBlur { p: value, sigma: [0.1, 2.0], kernel_size: None };
            assert_eq!(check(blur), expected);
            let jitter =
                OpConfig::ColorJitter { p: value, brightness: 0.1, contrast: 0.1, saturation: 0.1, hue: 0.1 };
            assert_eq!(check(jitter), expected);
        }
        assert!(check(OpConfig::Grayscale { p: f64::NAN }).is_err());
        assert_eq!(check(OpConfig::Grayscale { p: 1.0 }), Ok(()));
        assert_eq!(check(OpConfig::Grayscale { p: 0.0 }), Ok(()));
    }

    #[test]
    fn ranges_are_positive_and_ordered() {
        for value in [[0.0, 1.0], [1.0, 0.5], [-1.0, 1.0], [0.5, f64::INFINITY], [0.5, 1e308]] {
            let interpolation = Interpolation::Bilinear;
            let crop = OpConfig::RandomResizedCrop { scale: value, ratio: [1.0, 1.0], interpolation };
            assert_eq!(check(crop), Err(ViewError::Range { at: at(), name: "scale", value }));
            let crop = OpConfig::RandomResizedCrop { scale: [1.0, 1.0], ratio: value, interpolation };
            assert_eq!(check(crop), Err(ViewError::Range { at: at(), name: "ratio", value }));
            let blur = OpConfig::GaussianBlur { p: 0.5, sigma: value, kernel_size: None };
            assert_eq!(check(blur), Err(ViewError::Range { at: at(), name: "sigma", value }));
        }
    }

    #[test]
    fn jitter_strengths_are_not_negative() {
        for (index, name) in ["brightness", "contrast", "saturation"].into_iter().enumerate() {
            let mut strengths = [0.1; 3];
            strengths[index] = -0.5;
            let [brightness, contrast, saturation] = strengths;
            let jitter = OpConfig::ColorJitter { p: 1.0, brightness, contrast, saturation, hue: 0.0 };
            assert_eq!(check(jitter), Err(ViewError::Strength { at: at(), name, value: -0.5 }));
        }
    }

    #[test]
    fn the_hue_turns_by_at_most_half_a_circle() {
        for hue in [-0.1, 0.6] {
            let jitter =
                OpConfig::ColorJitter { p: 1.0, brightness: 0.0, contrast: 0.0, saturation: 0.0, hue };
            assert_eq!(check(jitter), Err(ViewError::Hue { at: at(), value: hue }));
        }
    }

    #[test]
    fn blur_kernels_are_odd() {
        for value in [0, 4] {
            let blur = OpConfig::GaussianBlur { p: 1.0, sigma: [1.0, 1.0], kernel_size: Some(value) };
            assert_eq!(check(blur), Err(ViewError::KernelSize { at: at(), value }));
        }
    }

    #[test]
    fn a_crop_follows_every_resize() {
        let resize = OpConfig::Resize { size: 9, interpolation: Interpolation::Bilinear };
        assert_eq!(check(resize), Err(ViewError::ResizeWithoutCrop { at: at() }));
    }

    #[test]
    fn standard_deviations_are_above_0() {
        let wrong = Normalization { std: [0.2, 0.0, 0.2], ..Normalization::IMAGENET };
        let Normalization { mean, std } = wrong;
        assert_eq!(check_normalization(&wrong), Err(ViewError::Normalization { mean, std }));
    }

    #[test]
    fn the_message_says_where_what_and_what_was_expected() {
        let error = check(OpConfig::Grayscale { p: 1.5 }).expect_err("not a probability");
        assert_eq!(error.to_string(), "views[0].ops[1]: p is 1.5, expected a number in 0..=1");
    }
}
