use crate::image::Image;
use crate::ops::{self, BlurBuffers, CropBox, Interpolation, Normalization, Place, Planes, Resizer};
use crate::rng::SampleKey;
use crate::views::error::{check_normalization, check_views};
use crate::views::random::{self, Jitter};
use crate::views::{OpConfig, ViewConfig, ViewError};

/// The checked views of a recipe, ready to render.
///
/// Views are numbered through all blocks: with blocks of `count` 2 and 6, views 0 and 1 come from the first block.
/// What view `v` of a sample looks like depends on the image, the [`SampleKey`] and `v` alone.
#[derive(Clone, Debug)]
pub struct Views {
    blocks: Vec<ViewConfig>,
    normalization: Normalization,
}

impl Views {
    /// Checks `blocks` and `normalization`.
    ///
    /// # Errors
    /// The first declaration that cannot be rendered; see [`ViewError`].
    pub fn new(blocks: &[ViewConfig], normalization: Normalization) -> Result<Self, ViewError> {
        check_views(blocks)?;
        check_normalization(&normalization)?;
        Ok(Self { blocks: blocks.to_vec(), normalization })
    }

    /// Number of views of an image, over all blocks; at least 1.
    #[allow(clippy::len_without_is_empty)] // Never empty.
    pub fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.count).sum()
    }

    /// Width and height of view `view` in pixels.
    ///
    /// # Panics
    /// If there is no such view.
    pub fn size(&self, view: usize) -> usize {
        self.block(view).size
    }

    /// Writes view `view` of `image` to `out`: normalised values, `[3, size, size]`.
    ///
    /// `scratch` may come from any other image, view or recipe; with a reused one nothing big is allocated.
    ///
    /// # Panics
    /// If there is no such view, or `out` is not `3 · size · size` long.
    pub fn render(&self, image: &Image, key: SampleKey, view: usize, scratch: &mut Scratch, out: &mut [f32]) {
        self.render_to(image, key, view, scratch, out);
    }

    /// [`render`](Self::render); writes every place of `out`.
    pub(crate) fn render_to<P: Place>(
        &self,
        image: &Image,
        key: SampleKey,
        view: usize,
        scratch: &mut Scratch,
        out: &mut [P],
    ) {
        self.draw(image, key, view, scratch);
        ops::normalize_to(&scratch.planes, &self.normalization, out);
    }

    /// View `view` of `image` before normalisation.
    ///
    /// # Panics
    /// If there is no such view.
    pub fn render_image(&self, image: &Image, key: SampleKey, view: usize, scratch: &mut Scratch) -> Image {
        self.draw(image, key, view, scratch);
        scratch.planes.to_image()
    }

    fn block(&self, view: usize) -> &ViewConfig {
        let mut first = 0;
        let block = self.blocks.iter().find(|block| {
            first += block.count;
            view < first
        });
        block.unwrap_or_else(|| panic!("view {view} of {}", self.len()))
    }

    fn draw(&self, image: &Image, key: SampleKey, view: usize, scratch: &mut Scratch) {
        let ViewConfig { size, ops, .. } = self.block(view);
        let mut canvas = Canvas { image, scratch, drawn: false, size: *size };
        if !ops.iter().any(|op| matches!(op, OpConfig::RandomResizedCrop { .. } | OpConfig::CenterCrop {})) {
            canvas.resize(*size, *size, Interpolation::Bilinear);
        }
        for (index, op) in ops.iter().enumerate() {
            canvas.apply(op, &mut key.generator(view, index));
        }
        canvas.planes();
    }
}

/// Working memory of [`Views`] and [`EvalTransform`](crate::EvalTransform), one per thread.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) planes: Planes,
    pub(super) resizer: Resizer,
    pub(super) interleaved: Vec<u8>,
    blur: BlurBuffers,
}

impl Scratch {
    /// Empty; the first views make it grow.
    pub fn new() -> Self {
        Self::default()
    }
}

/// A view while it is being made: the untouched image until the first operation, then planes.
struct Canvas<'a> {
    image: &'a Image,
    scratch: &'a mut Scratch,
    /// Whether the planes hold the view, not yet the image.
    drawn: bool,
    /// Width and height of the finished view.
    size: usize,
}

impl Canvas<'_> {
    fn apply(&mut self, op: &OpConfig, generator: &mut crate::rng::Generator) {
        match *op {
            OpConfig::RandomResizedCrop { scale, ratio, interpolation } => {
                let (width, height) = self.dimensions();
                let crop = random::crop_box(width, height, scale, ratio, generator);
                self.resized_crop(crop, self.size, self.size, interpolation);
            }
            OpConfig::HorizontalFlip { p } if generator.chance(p) => ops::horizontal_flip(self.planes()),
            OpConfig::ColorJitter { p, brightness, contrast, saturation, hue } if generator.chance(p) => {
                let strengths = [brightness, contrast, saturation, hue];
                random::jitter(strengths, generator).for_each(|step| jitter(self.planes(), step));
            }
            OpConfig::Grayscale { p } if generator.chance(p) => ops::grayscale(self.planes()),
            OpConfig::GaussianBlur { p, sigma, kernel_size } if generator.chance(p) => {
                let sigma = generator.uniform(sigma[0], sigma[1]);
                self.blur(kernel_size.unwrap_or(default_kernel_size(self.size)), sigma);
            }
            OpConfig::Solarize { p, threshold } if generator.chance(p) => {
                ops::solarize(self.planes(), threshold);
            }
            OpConfig::Resize { size, interpolation } => {
                let (width, height) = self.dimensions();
                let (width, height) = with_shorter_side(width, height, size);
                if is_skinny(width, height) {
                    return self.resize_middle(width, height, interpolation);
                }
                self.resize(width, height, interpolation);
            }
            OpConfig::CenterCrop {} => self.center_crop(),
            OpConfig::HorizontalFlip { .. }
            | OpConfig::ColorJitter { .. }
            | OpConfig::Grayscale { .. }
            | OpConfig::GaussianBlur { .. }
            | OpConfig::Solarize { .. } => {}
        }
    }

    fn dimensions(&self) -> (usize, usize) {
        if self.drawn {
            (self.scratch.planes.width(), self.scratch.planes.height())
        } else {
            (self.image.width(), self.image.height())
        }
    }

    fn planes(&mut self) -> &mut Planes {
        if !self.drawn {
            self.scratch.planes.load(self.image.width(), self.image.height(), self.image.pixels());
            self.drawn = true;
        }
        &mut self.scratch.planes
    }

    fn blur(&mut self, kernel_size: usize, sigma: f64) {
        self.planes();
        let Scratch { planes, blur, .. } = &mut *self.scratch;
        ops::gaussian_blur(planes, kernel_size, sigma, blur);
    }

    fn center_crop(&mut self) {
        let (width, height) = self.dimensions();
        self.resized_crop(
            central_square(width, height, self.size),
            self.size,
            self.size,
            Interpolation::Bilinear,
        );
    }

    fn resize(&mut self, width: usize, height: usize, interpolation: Interpolation) {
        let (from_width, from_height) = self.dimensions();
        self.resized_crop(CropBox::whole(from_width, from_height), width, height, interpolation);
    }

    /// Resizes a skinny image and keeps its middle, four times as long as it is wide.
    fn resize_middle(&mut self, width: usize, height: usize, interpolation: Interpolation) {
        let part = middle(width, height);
        let Scratch { planes, resizer, interleaved, .. } = &mut *self.scratch;
        let mut pixels = Vec::new();
        let source = if self.drawn {
            planes.store(interleaved);
            ops::Interleaved::new(planes.width(), planes.height(), interleaved)
        } else {
            ops::Interleaved::new(self.image.width(), self.image.height(), self.image.pixels())
        };
        resizer.part_of_resized(source, [height, width], part, interpolation, &mut pixels);
        planes.load(part.width, part.height, &pixels);
        self.drawn = true;
    }

    fn resized_crop(&mut self, crop: CropBox, width: usize, height: usize, interpolation: Interpolation) {
        let Scratch { planes, resizer, interleaved, .. } = &mut *self.scratch;
        if self.drawn {
            planes.store(interleaved);
            let source = ops::Interleaved::new(planes.width(), planes.height(), interleaved);
            resizer.resized_crop_of(source, crop, height, width, interpolation, planes);
        } else {
            resizer.resized_crop(self.image, crop, height, width, interpolation, planes);
        }
        self.drawn = true;
    }
}

fn jitter(planes: &mut Planes, step: Jitter) {
    match step {
        Jitter::Brightness(factor) => ops::adjust_brightness(planes, factor),
        Jitter::Contrast(factor) => ops::adjust_contrast(planes, factor),
        Jitter::Saturation(factor) => ops::adjust_saturation(planes, factor),
        Jitter::Hue(shift) => ops::adjust_hue(planes, shift),
    }
}

/// A tenth of the view, made odd.
fn default_kernel_size(size: usize) -> usize {
    (size / 10) | 1
}

/// Width and height after a resize of the shorter side to `size`; the longer side is rounded down, as torchvision's.
pub(super) fn with_shorter_side(width: usize, height: usize, size: usize) -> (usize, usize) {
    if width <= height { (size, size * height / width) } else { (size * width / height, size) }
}

/// Whether an image of this size would take much memory for pixels that a crop throws away: more than 16 million pixels
/// (our choice), more than four times as long as wide.
pub(super) fn is_skinny(width: usize, height: usize) -> bool {
    let (short, long) = (width.min(height), width.max(height));
    long > 4 * short && short.saturating_mul(long) > 1 << 24
}

/// The middle of a skinny image, four times as long as wide. The length cut off is a multiple of 4, so that a central
/// crop lies where it lay in the whole image.
fn middle(width: usize, height: usize) -> CropBox {
    let cut = |short: usize, long: usize| (long - 4 * short) / 4 * 4;
    if width > height {
        let cut = cut(height, width);
        CropBox { top: 0, left: cut / 2, height, width: width - cut }
    } else {
        let cut = cut(width, height);
        CropBox { top: cut / 2, left: 0, height: height - cut, width }
    }
}

/// The central `size` by `size` pixels, or the largest central square of a smaller image.
pub(super) fn central_square(width: usize, height: usize, size: usize) -> CropBox {
    let size = size.min(width).min(height);
    let offset = |total: usize| ((total - size) as f64 / 2.0).round_ties_even() as usize;
    CropBox { top: offset(height), left: offset(width), height: size, width: size }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::{CropBox, Scratch, Views, central_square, default_kernel_size, with_shorter_side};
    use crate::image::Image;
    use crate::ops::{self, Interpolation, Normalization, Planes};
    use crate::rng::SampleKey;
    use crate::views::{OpConfig, ViewConfig};

    const NORMALIZATION: Normalization = Normalization::IMAGENET;

    fn noise(width: usize, height: usize, seed: u64) -> Image {
        let mut generator = SampleKey { seed, epoch: 0, sample: 0 }.generator(0, 0);
        Image::new(width, height, (0..3 * width * height).map(|_| generator.next_u64() as u8).collect())
    }

    fn key(sample: u64) -> SampleKey {
        SampleKey { seed: 3, epoch: 1, sample }
    }

    fn views(size: usize, ops: Vec<OpConfig>) -> Views {
        Views::new(&[ViewConfig { count: 1, size, ops }], NORMALIZATION).expect("valid views")
    }

    fn view(size: usize, ops: Vec<OpConfig>, image: &Image) -> Image {
        views(size, ops).render_image(image, key(0), 0, &mut Scratch::new())
    }

    fn crop() -> OpConfig {
        let interpolation = Interpolation::Bicubic;
        OpConfig::RandomResizedCrop { scale: [0.2, 1.0], ratio: [0.75, 1.33], interpolation }
    }

    /// Two sizes, and every operation at least once, some of them before the crop.
    fn multi_crop() -> Vec<ViewConfig> {
        let jitter =
            OpConfig::ColorJitter { p: 0.8, brightness: 0.8, contrast: 0.8, saturation: 0.8, hue: 0.2 };
        let blur = OpConfig::GaussianBlur { p: 0.5, sigma: [0.1, 2.0], kernel_size: Some(5) };
        let solarize = OpConfig::Solarize { p: 0.5, threshold: 128 };
        let global = vec![crop(), OpConfig::HorizontalFlip { p: 0.5 }, jitter.clone(), blur, solarize];
        let resize = OpConfig::Resize { size: 20, interpolation: Interpolation::Bilinear };
        let local = vec![OpConfig::Grayscale { p: 0.5 }, jitter, resize, OpConfig::CenterCrop {}, crop()];
        vec![ViewConfig { count: 2, size: 16, ops: global }, ViewConfig { count: 3, size: 9, ops: local }]
    }

    fn render_all(
        views: &Views,
        images: &[Image],
        order: impl Iterator<Item = usize>,
    ) -> Vec<(usize, Vec<f32>)> {
        let mut scratch = Scratch::new();
        let mut rendered = Vec::new();
        for job in order {
            let (sample, view) = (job / views.len(), job % views.len());
            let mut out = vec![f32::NAN; 3 * views.size(view).pow(2)];
            views.render(&images[sample], key(sample as u64), view, &mut scratch, &mut out);
            rendered.push((job, out));
        }
        rendered
    }

    #[test]
    fn views_are_numbered_through_the_blocks() {
        let views = Views::new(&multi_crop(), NORMALIZATION).expect("valid views");
        assert_eq!(views.len(), 5);
        assert_eq!((0..5).map(|view| views.size(view)).collect::<Vec<_>>(), [16, 16, 9, 9, 9]);
    }

    #[test]
    #[should_panic(expected = "view 5 of 5")]
    fn a_view_that_is_not_declared_panics() {
        Views::new(&multi_crop(), NORMALIZATION).expect("valid views").size(5);
    }

    #[test]
    fn neither_order_nor_threads_nor_used_scratch_change_a_view() {
        let views = Views::new(&multi_crop(), NORMALIZATION).expect("valid views");
        let images: Vec<_> = (0..6).map(|i| noise(20 + 3 * i, 31 - 2 * i, i as u64)).collect();
        let jobs = images.len() * views.len();
        let expected = render_all(&views, &images, 0..jobs);
        assert!(expected.iter().all(|(_, values)| values.iter().all(|value| value.is_finite())));

        let mut reversed = render_all(&views, &images, (0..jobs).rev());
        reversed.reverse();
        assert_eq!(reversed, expected);

        for threads in [2, 3, 5] {
            let mut rendered = std::thread::scope(|scope| {
                let workers: Vec<_> = (0..threads)
                    .map(|first| {
                        scope.spawn({
                            let (views, images) = (&views, &images);
                            move || render_all(views, images, (first..jobs).step_by(threads))
                        })
                    })
                    .collect();
                workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect::<Vec<_>>()
            });
            rendered.sort_by_key(|(job, _)| *job);
            assert_eq!(rendered, expected);
        }
    }

    #[test]
    fn views_never_change_silently_and_do_not_depend_on_the_cpu() {
        // FNV-1a of 64 views. The value comes from an optimised build on AVX-512; other builds have to agree.
        let ops = vec![
            crop(),
            OpConfig::HorizontalFlip { p: 0.5 },
            OpConfig::ColorJitter { p: 0.8, brightness: 0.8, contrast: 0.8, saturation: 0.8, hue: 0.2 },
            OpConfig::Grayscale { p: 0.2 },
            OpConfig::GaussianBlur { p: 0.5, sigma: [0.1, 2.0], kernel_size: Some(9) },
            OpConfig::Solarize { p: 0.2, threshold: 128 },
        ];
        let views =
            Views::new(&[ViewConfig { count: 2, size: 48, ops }], NORMALIZATION).expect("valid views");
        let (image, mut scratch) = (noise(90, 70, 0), Scratch::new());
        let hash = (0..64).fold(0xCBF2_9CE4_8422_2325, |hash, sample| {
            let key = SampleKey { seed: 1, epoch: 0, sample };
            let view = views.render_image(&image, key, sample as usize % 2, &mut scratch);
            view.pixels()
                .iter()
                .fold(hash, |hash: u64, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
        });
        assert_eq!(hash, 0x7FC6_A3D1_4ADA_C4D7);
    }

    #[test]
    fn views_samples_epochs_and_seeds_all_differ() {
        let views = Views::new(&[ViewConfig { count: 2, size: 16, ops: vec![crop()] }], NORMALIZATION)
            .expect("valid views");
        let image = noise(40, 40, 0);
        let render = |seed, epoch, sample, view| {
            views.render_image(&image, SampleKey { seed, epoch, sample }, view, &mut Scratch::new())
        };
        let first = render(0, 0, 0, 0);
        assert_eq!(render(0, 0, 0, 0), first);
        for other in [render(1, 0, 0, 0), render(0, 1, 0, 0), render(0, 0, 1, 0), render(0, 0, 0, 1)] {
            assert_ne!(other, first);
        }
    }

    #[test]
    fn probability_1_always_and_0_never_applies() {
        let image = noise(16, 16, 4);
        let flip = |p| view(16, vec![OpConfig::HorizontalFlip { p }], &image);
        let mut mirrored = Planes::from_image(&image);
        ops::horizontal_flip(&mut mirrored);
        assert_eq!(flip(0.0), image);
        assert_eq!(flip(1.0), mirrored.to_image());

        let never = vec![
            OpConfig::ColorJitter { p: 0.0, brightness: 0.8, contrast: 0.8, saturation: 0.8, hue: 0.5 },
            OpConfig::Grayscale { p: 0.0 },
            OpConfig::GaussianBlur { p: 0.0, sigma: [2.0, 2.0], kernel_size: Some(5) },
            OpConfig::Solarize { p: 0.0, threshold: 0 },
        ];
        assert_eq!(view(16, never.clone(), &image), image);
        for op in never {
            let certain = match op {
                OpConfig::ColorJitter { brightness, contrast, saturation, hue, .. } => {
                    OpConfig::ColorJitter { p: 1.0, brightness, contrast, saturation, hue }
                }
                OpConfig::Grayscale { .. } => OpConfig::Grayscale { p: 1.0 },
                OpConfig::GaussianBlur { sigma, kernel_size, .. } => {
                    OpConfig::GaussianBlur { p: 1.0, sigma, kernel_size }
                }
                OpConfig::Solarize { threshold, .. } => OpConfig::Solarize { p: 1.0, threshold },
                other => panic!("{other:?}"),
            };
            assert_ne!(view(16, vec![certain], &image), image);
        }
    }

    #[test]
    fn without_a_crop_the_image_is_resized() {
        let image = noise(30, 20, 5);
        let mut expected = Planes::default();
        let whole = CropBox::whole(30, 20);
        ops::Resizer::default().resized_crop(&image, whole, 8, 8, Interpolation::Bilinear, &mut expected);
        assert_eq!(view(8, vec![], &image), expected.to_image());
    }

    #[test]
    fn resize_then_center_crop_takes_the_middle() {
        // Columns of the image are constant: 0, 10, … 50.
        let pixels = (0..4 * 6).flat_map(|i| [(i % 6) as u8 * 10; 3]).collect();
        let resize = OpConfig::Resize { size: 4, interpolation: Interpolation::Bilinear };
        let middle = view(2, vec![resize, OpConfig::CenterCrop {}], &Image::new(6, 4, pixels));
        assert_eq!(middle.pixels(), [[20u8; 3], [30; 3], [20; 3], [30; 3]].concat());
    }

    #[test]
    fn a_small_image_is_enlarged_for_a_center_crop() {
        let image = Image::new(3, 2, vec![77; 18]);
        assert_eq!(view(5, vec![OpConfig::CenterCrop {}], &image), Image::new(5, 5, vec![77; 75]));
    }

    #[test]
    fn render_is_the_normalised_image() {
        let views = Views::new(&multi_crop(), NORMALIZATION).expect("valid views");
        let image = noise(33, 21, 6);
        let mut scratch = Scratch::new();
        let picture = views.render_image(&image, key(1), 0, &mut scratch);
        let mut expected = vec![0.0; 3 * 16 * 16];
        ops::normalize(&Planes::from_image(&picture), &NORMALIZATION, &mut expected);
        let mut out = vec![0.0; 3 * 16 * 16];
        views.render(&image, key(1), 0, &mut scratch, &mut out);
        assert_eq!(out, expected);
    }

    #[test]
    fn the_blur_kernel_is_a_tenth_of_the_view_made_odd() {
        assert_eq!([8, 32, 64, 96, 224].map(default_kernel_size), [1, 3, 7, 9, 23]);
    }

    proptest! {
        #[test]
        fn a_resize_keeps_the_ratio_and_covers_the_crop(
            width in 1usize..500, height in 1usize..500, size in 1usize..300,
        ) {
            let (new_width, new_height) = with_shorter_side(width, height, size);
            prop_assert_eq!(new_width.min(new_height), size);
            let centre = central_square(new_width, new_height, size);
            prop_assert_eq!((centre.width, centre.height), (size, size));
            prop_assert!(centre.left + size <= new_width && centre.top + size <= new_height);
            let exact = size as f64 * width.max(height) as f64 / width.min(height) as f64;
            prop_assert!((new_width.max(new_height) as f64 - exact).abs() < 1.0);
        }
    }
}
