//! Training images that are mixtures of two, and labels that are not quite certain.

use std::f64::consts::PI;
use std::ops::Range;

use burn::tensor::kind::Basic;
use burn::tensor::{Int, Tensor, TensorData, activation::log_softmax};
use ssl_core::group::{gather_images, gather_labels};
use ssl_core::loss::cross_entropy;
use ssl_core::{ConfigError, Draws, Group, setters};

/// Mixtures of images and smooth labels. The default has neither.
///
/// Every image of a batch is mixed with the one that has its place counted from the end, in the same proportion `λ`, and its
/// label is that mixture too:
///
/// ```text
/// mixup    λ ~ Beta(mixup, mixup)      image = λ · a + (1 − λ) · b
/// cutmix   λ ~ Beta(cutmix, cutmix)    image = a, with a rectangle of b of (1 − λ) of its area; λ is then that of the pixels
/// loss     λ · H(label a) + (1 − λ) · H(label b)
/// H(y)     (1 − s) · −log p_y + s · mean over classes k of −log p_k        s: label smoothing
/// ```
///
/// With both, each step has one of them, by the flip of a coin.
///
/// # Source
/// Zhang et al. 2018, arXiv:1710.09412; Yun et al. 2019, arXiv:1905.04899; timm `data/mixup.py` in its mode `batch`, which MAE
/// uses. Different in a run of several processes: there each mixes its own images, and here the batch is that of all of them, so
/// that the run is the same with any number. The processes gather their images for it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MixingConfig {
    /// `s`, from 0 to below 1. Default 0; MAE has 0.1.
    pub label_smoothing: f64,
    /// Parameter of mixup, at least 0, which is without mixup. Default 0; MAE has 0.8.
    pub mixup: f64,
    /// Parameter of cutmix, at least 0, which is without cutmix. Default 0; MAE has 1.
    pub cutmix: f64,
}

setters!(MixingConfig {
    with_label_smoothing: label_smoothing = f64,
    with_mixup: mixup = f64,
    with_cutmix: cutmix = f64,
});

/// Largest parameter of a Beta distribution: above, all mixtures are halves.
const LARGEST: f64 = 1000.0;

impl MixingConfig {
    /// Checks all values.
    ///
    /// # Errors
    /// The first value that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self { label_smoothing, mixup, cutmix } = *self;
        let smooth = (0.0..1.0).contains(&label_smoothing);
        ConfigError::check(smooth, "label_smoothing", label_smoothing, "a number from 0 to below 1")?;
        let usable = |parameter: f64| (0.0..=LARGEST).contains(&parameter);
        ConfigError::check(usable(mixup), "mixup", mixup, "a number from 0 to 1000")?;
        ConfigError::check(usable(cutmix), "cutmix", cutmix, "a number from 0 to 1000")
    }

    /// Mixes the images of this process with others of the batch, and says how much of each image is left: `λ`, or `None` if nothing
    /// is mixed.
    ///
    /// # Shapes
    /// - `images`: `[batch, channel, height, width]`
    pub(crate) fn mix(&self, images: Tensor<4>, draws: &Draws, group: &Group) -> (Tensor<4>, Option<f64>) {
        let draw = Draw::new(draws);
        let cut = match (self.mixup > 0.0, self.cutmix > 0.0) {
            (false, false) => return (images, None),
            (mixup, cutmix) => cutmix && (!mixup || draw.coin),
        };
        let other = partners(gather_images(images.clone(), group), group);
        if cut {
            return paste(images, other, draw.rectangle(self.cutmix));
        }
        let kept = draw.beta(self.mixup);
        (images.mul_scalar(kept) + other.mul_scalar(1.0 - kept), Some(kept))
    }

    /// The loss of class scores, of images of which `kept` is left.
    ///
    /// # Shapes
    /// - `scores`: `[batch, class]`
    /// - `labels`: `[batch]`
    /// - returns: `[1]`, in nats
    pub(crate) fn loss(
        &self,
        scores: Tensor<2>,
        labels: Tensor<1, Int>,
        kept: Option<f64>,
        group: &Group,
    ) -> Tensor<1> {
        let of_labels = match kept {
            None => cross_entropy(scores.clone(), labels),
            Some(kept) => {
                let others = partners(gather_labels(labels.clone(), group), group);
                let other = cross_entropy(scores.clone(), others);
                cross_entropy(scores.clone(), labels).mul_scalar(kept) + other.mul_scalar(1.0 - kept)
            }
        };
        if self.label_smoothing == 0.0 {
            return of_labels;
        }
        let of_all = log_softmax(scores, 1).mean().neg();
        of_labels.mul_scalar(1.0 - self.label_smoothing) + of_all.mul_scalar(self.label_smoothing)
    }
}

/// Of each place of this process, the one that is as far from the end of what `all` processes have.
fn partners<const D: usize, K: Basic>(all: Tensor<D, K>, group: &Group) -> Tensor<D, K> {
    let count = all.dims()[0] / group.size();
    all.narrow(0, (group.size() - 1 - group.rank()) * count, count).flip([0])
}

/// `images` with a rectangle of `other`, given in shares of height and width, and the share of pixels that are left.
fn paste(images: Tensor<4>, other: Tensor<4>, rectangle: Rectangle) -> (Tensor<4>, Option<f64>) {
    let [_, _, height, width] = images.dims();
    let (rows, columns) = rectangle.pixels([height, width]);
    let cut = rows.len() * columns.len();
    let inside = |place: usize| rows.contains(&(place / width)) && columns.contains(&(place % width));
    let mask: Vec<f32> = (0..height * width).map(|place| f32::from(u8::from(inside(place)))).collect();
    let mask = Tensor::<4>::from_data(TensorData::new(mask, [1, 1, height, width]), &images.device());
    let mixed = images.clone() + (other - images) * mask;
    (mixed, Some(1.0 - cut as f64 / (height * width) as f64))
}

/// The random numbers of a step.
struct Draw {
    /// Whether to cut.
    coin: bool,
    /// What a proportion is made of.
    proportion: [f64; 3],
    /// The middle of a rectangle, in shares of height and width.
    middle: [f64; 2],
}

impl Draw {
    fn new(draws: &Draws) -> Self {
        let number = draws.uniform("mixing", 6);
        let at = |index: usize| f64::from(number[index]);
        Self { coin: at(0) < 0.5, proportion: [at(1), at(2), at(3)], middle: [at(4), at(5)] }
    }

    /// A number from `Beta(parameter, parameter)`.
    ///
    /// # Source
    /// Devroye 1996, "Random variate generation in one line of code", on the symmetric beta distribution.
    fn beta(&self, parameter: f64) -> f64 {
        let [first, second, sign] = self.proportion;
        // 24 random bits: the middle of their interval is never 0.
        let spread = (first + 2.0_f64.powi(-25)).powf(-1.0 / parameter) - 1.0;
        let half = 0.5 / (1.0 + 1.0 / (spread * (2.0 * PI * second).cos().powi(2))).sqrt();
        if sign < 0.5 { 0.5 - half } else { 0.5 + half }
    }

    /// A rectangle of `1 − λ` of an image, `λ` from `Beta(parameter, parameter)`.
    fn rectangle(&self, parameter: f64) -> Rectangle {
        Rectangle { side: (1.0 - self.beta(parameter)).sqrt(), middle: self.middle }
    }
}

/// A rectangle of the shape of an image.
struct Rectangle {
    /// Its side over that of the image.
    side: f64,
    /// Its middle, in shares of height and width.
    middle: [f64; 2],
}

impl Rectangle {
    /// Rows and columns inside of the image, as timm rounds them.
    fn pixels(&self, size: [usize; 2]) -> (Range<usize>, Range<usize>) {
        let range = |axis: usize| {
            let all = size[axis] as f64;
            let (half, middle) = ((all * self.side) as usize / 2, (all * self.middle[axis]) as usize);
            middle.saturating_sub(half)..(middle + half).min(size[axis])
        };
        (range(0), range(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::DeviceSpec;
    use ssl_core::group::share;

    fn device() -> burn::tensor::Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().expect("floats")
    }

    /// A batch of three images of one value each: 0, 1 and 2.
    fn images() -> Tensor<4> {
        let values = Tensor::<1>::from_floats([0.0, 1.0, 2.0], &device()).reshape([3, 1, 1, 1]);
        values.expand([3, 2, 16, 16])
    }

    fn of_steps<T>(config: MixingConfig, of: impl Fn(Tensor<4>, Option<f64>) -> T) -> Vec<T> {
        let mixed = |step| config.mix(images(), &Draws::new(4, step, 0), &Group::default());
        (0..200).map(mixed).map(|(images, kept)| of(images, kept)).collect()
    }

    #[test]
    fn proportions_are_those_of_the_beta_distribution() {
        for parameter in [0.3, 0.8, 1.0, 5.0] {
            let of_step = |step| Draw::new(&Draws::new(1, step, 0)).beta(parameter);
            let numbers: Vec<f64> = (0..20_000).map(of_step).collect();
            assert!(numbers.iter().all(|number| (0.0..=1.0).contains(number)));
            let mean = |of: fn(f64) -> f64| numbers.iter().map(|&number| of(number)).sum::<f64>() / 20_000.0;
            let (first, second) = (mean(|x| x), mean(|x| (x - 0.5) * (x - 0.5)));
            let variance = 1.0 / (4.0 * (2.0 * parameter + 1.0));
            assert!((first - 0.5).abs() < 0.01, "{parameter}: mean {first}");
            assert!((second / variance - 1.0).abs() < 0.03, "{parameter}: variance {second}, not {variance}");
        }
    }

    #[test]
    fn mixup_mixes_every_image_with_the_one_at_the_other_end() {
        let config = MixingConfig::default().with_mixup(0.8);
        for (values, kept) in of_steps(config, |images, kept| (floats(images), kept.expect("mixed"))) {
            let kept = kept as f32;
            let want = [2.0 - 2.0 * kept, 1.0, 2.0 * kept];
            let all = values.chunks(2 * 16 * 16).zip(want);
            for (image, want) in all {
                assert!(image.iter().all(|value| (value - want).abs() < 1e-5), "{kept}: {want}");
            }
        }
    }

    #[test]
    fn cutmix_keeps_the_share_of_pixels_that_it_says() {
        let config = MixingConfig::default().with_cutmix(1.0);
        let shares = of_steps(config, |images, kept| {
            let values = floats(images);
            let whole = values[..512].iter().filter(|&&value| value == 0.0).count();
            assert!(values[..512].iter().all(|value| [0.0, 2.0].contains(value)));
            assert_eq!(values[512..1024], [1.0; 512], "the middle image is its own partner");
            let kept = kept.expect("mixed");
            assert!((whole as f64 / 512.0 - kept).abs() < 1e-9);
            kept
        });
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        assert!((0.5..0.75).contains(&mean), "rectangles are cut off at the edges: {mean}");
    }

    #[test]
    fn with_both_each_step_has_one_of_them_and_with_none_nothing_changes() {
        let both = MixingConfig::default().with_mixup(0.8).with_cutmix(1.0);
        let cut = of_steps(both, |images, _| floats(images).iter().all(|value| value.fract() == 0.0));
        let count = cut.iter().filter(|&&cut| cut).count();
        assert!((70..130).contains(&count), "{count} of 200");
        let none = of_steps(MixingConfig::default(), |mixed, kept| (floats(mixed), kept));
        assert!(none.iter().all(|(values, kept)| kept.is_none() && *values == floats(images())));
    }

    #[test]
    fn the_loss_is_the_cross_entropy_with_the_mixed_smooth_label() {
        let config = MixingConfig::default().with_label_smoothing(0.3);
        let scores = Tensor::<2>::from_floats([[1.0, -1.0, 0.5], [0.0, 2.0, 1.0]], &device());
        let labels = Tensor::<1, Int>::from_ints([2, 0], &device());
        // 0.7 of the label and 0.1 for each class, then 0.6 of that and 0.4 of the other image's.
        let targets = [[0.1 + 0.7 * 0.4, 0.1, 0.1 + 0.7 * 0.6], [0.1 + 0.7 * 0.6, 0.1, 0.1 + 0.7 * 0.4]];
        let logs = log_softmax(scores.clone(), 1);
        let want = floats((logs * Tensor::<2>::from_floats(targets, &device())).sum_dim(1).mean().neg())[0];
        let got = floats(config.loss(scores, labels, Some(0.6), &Group::default()))[0];
        assert!((got - want).abs() < 1e-6, "{got} and {want}");
    }

    #[test]
    fn images_of_all_processes_are_mixed_as_those_of_one() {
        let config = MixingConfig::default().with_mixup(0.8).with_cutmix(1.0);
        let of_all = |group: &Group, step: u64| {
            let values = Tensor::<1, Int>::arange(0..8, &device());
            let images = values.clone().float().reshape([8, 1, 1, 1]).expand([8, 2, 4, 4]);
            let scores =
                values.clone().float().reshape([8, 1]) * Tensor::<2>::from_floats([[0.1, -0.2]], &device());
            let (images, kept) = config.mix(share(images, group), &Draws::new(4, step, 0), group);
            let labels = values.remainder_scalar(2);
            let (labels, scores) = (share(labels.float(), group).int(), share(scores, group));
            (floats(images), floats(config.loss(scores, labels, kept, group))[0])
        };
        for step in 0..6 {
            let (images, loss) = of_all(&Group::default(), step);
            for size in [2, 4] {
                let found = ssl_testing::ranks(size, |group| of_all(&group, step));
                let mixed: Vec<f32> = found.iter().flat_map(|(images, _)| images.clone()).collect();
                let mean = found.iter().map(|(_, loss)| loss).sum::<f32>() / size as f32;
                assert_eq!(mixed, images, "{size} processes at step {step}");
                assert!((mean - loss).abs() < 1e-6, "{size} processes at step {step}: {mean} and {loss}");
            }
        }
    }

    #[test]
    fn values_out_of_range_are_named() {
        let error = |config: MixingConfig| config.validate().expect_err("out of range").to_string();
        let base = MixingConfig::default;
        assert!(base().validate().is_ok());
        assert_eq!(
            error(base().with_label_smoothing(1.0)),
            "label_smoothing is 1, expected a number from 0 to below 1"
        );
        assert!(error(base().with_mixup(-0.1)).starts_with("mixup is -0.1"));
        assert!(error(base().with_cutmix(f64::NAN)).starts_with("cutmix is NaN"));
    }
}
