//! Feature maps of a convolutional network.

mod evaluation;

use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};

use super::conv::conv2d;
#[cfg(any(feature = "flex", feature = "tch"))]
use super::cpu;
#[cfg(any(feature = "flex", feature = "tch"))]
use super::epilogue::Epilogue;
#[cfg(any(feature = "flex", feature = "tch"))]
use super::host::Host;
use super::{batch_norm_relu_train, batch_norm_train};

/// Feature maps, in the layout that the backend convolves.
///
/// On `flex`, and in float32 on `tch` on the CPU, the result of a convolution is `[batch, block, height, width, 16]`, in blocks of
/// sixteen channels, which the next layers read without copying. Elsewhere it is `[batch, channel, height, width]`, as what
/// [`From`] takes.
#[derive(Clone, Debug)]
pub struct Maps(Layout);

#[allow(clippy::large_enum_variant)] // tensors are handles, and maps live from one layer to the next
#[derive(Clone, Debug)]
enum Layout {
    Planes(Tensor<4>),
    #[cfg_attr(not(any(feature = "flex", feature = "tch")), allow(dead_code))]
    Pixels {
        /// `[batch, block, height, width, 16]`
        values: Tensor<5>,
        channels: usize,
        /// What a backward pass computes them from again.
        #[cfg(any(feature = "flex", feature = "tch"))]
        origin: Option<cpu::Origin>,
    },
}

/// Normalised feature maps together with the statistics that normalised them.
#[derive(Debug)]
pub struct NormalisedMaps {
    /// The shape of the input.
    pub output: Maps,
    /// `[split · channel]`, mean of the batch, without gradient.
    pub mean: Tensor<1>,
    /// `[split · channel]`, biased variance of the batch, without gradient.
    pub variance: Tensor<1>,
}

impl From<Tensor<4>> for Maps {
    fn from(planes: Tensor<4>) -> Self {
        Self(Layout::Planes(planes))
    }
}

impl Maps {
    /// `[batch, channel, height, width]`
    pub fn dims(&self) -> [usize; 4] {
        match &self.0 {
            Layout::Planes(planes) => planes.dims(),
            Layout::Pixels { values, channels, .. } => {
                let [batch, _, height, width, _] = values.dims();
                [batch, *channels, height, width]
            }
        }
    }

    /// The device.
    pub fn device(&self) -> Device {
        match &self.0 {
            Layout::Planes(planes) => planes.device(),
            Layout::Pixels { values, .. } => values.device(),
        }
    }

    /// The maps of several batches one after another.
    ///
    /// # Panics
    /// If there are none, or if they differ in more than the batch.
    pub fn cat(batches: Vec<Self>) -> Self {
        #[cfg(any(feature = "flex", feature = "tch"))]
        if batches.iter().all(|maps| matches!(maps.0, Layout::Pixels { .. })) {
            let [_, channels, ..] = batches[0].dims();
            let pixels = batches.into_iter().map(Self::into_pixels).collect();
            return Self::of_pixels(Tensor::cat(pixels, 0), channels);
        }
        Self::from(Tensor::cat(batches.into_iter().map(Self::into_planes).collect(), 0))
    }

    /// The values, `[batch, channel, height, width]`.
    pub fn into_planes(self) -> Tensor<4> {
        match self.0 {
            Layout::Planes(planes) => planes,
            Layout::Pixels { values, channels, .. } => planes_of_pixels(values, channels),
        }
    }

    /// Whether a convolution of these images makes packed maps, which are in the memory of this process.
    ///
    /// # Shapes
    /// - `images`: `[batch, channel, height, width]`
    pub fn packs(images: &Tensor<4>) -> bool {
        #[cfg(any(feature = "flex", feature = "tch"))]
        let packs = Host::of(&[&images.device()]).is_some_and(|host| host.loops_take(images));
        #[cfg(not(any(feature = "flex", feature = "tch")))]
        let packs = {
            let _ = images;
            false
        };
        packs
    }

    /// [`conv2d`], without a bias.
    ///
    /// # Shapes
    /// - `weight`: `[channel_out, channel_in, kernel, kernel]`
    pub fn conv2d(self, weight: Tensor<4>, stride: usize, padding: usize) -> Self {
        #[cfg(any(feature = "flex", feature = "tch"))]
        if let Some(host) = Host::of(&[&self.device(), &weight.device()])
            && host.loops_take(&weight)
            && self.taken_by(host)
        {
            let channels = weight.dims()[0];
            let values = match self.0 {
                Layout::Planes(planes) => host.conv2d_of_planes(planes, weight, stride, padding),
                Layout::Pixels { values, channels, origin } => {
                    host.conv2d_of_pixels(values, origin, channels, weight, stride, padding)
                }
            };
            return Self::of_pixels(values, channels);
        }
        Self::from(conv2d(self.into_planes(), weight, None, stride, padding))
    }

    /// [`batch_norm_train`] of groups of images: image `i` belongs to group `i mod splits`.
    ///
    /// # Shapes
    /// - `weight`, `bias`: `[split · channel]`
    ///
    /// # Panics
    /// If the batch is not a multiple of `splits`.
    pub fn batch_norm_train(
        self,
        weight: Tensor<1>,
        bias: Tensor<1>,
        splits: usize,
        eps: f64,
    ) -> NormalisedMaps {
        self.normalised(weight, bias, None, false, splits, eps)
    }

    /// [`batch_norm_relu_train`] of groups of images, see [`batch_norm_train`](Self::batch_norm_train).
    ///
    /// # Panics
    /// If the batch is not a multiple of `splits`.
    pub fn batch_norm_relu_train(
        self,
        weight: Tensor<1>,
        bias: Tensor<1>,
        shortcut: Option<Self>,
        splits: usize,
        eps: f64,
    ) -> NormalisedMaps {
        self.normalised(weight, bias, shortcut, true, splits, eps)
    }

    fn normalised(
        self,
        weight: Tensor<1>,
        bias: Tensor<1>,
        shortcut: Option<Self>,
        relu: bool,
        splits: usize,
        eps: f64,
    ) -> NormalisedMaps {
        let dims = self.dims();
        let values = match self.0 {
            #[cfg(any(feature = "flex", feature = "tch"))]
            Layout::Pixels { values, channels, .. } => {
                if let Some(host) = Host::of(&[&values.device(), &weight.device(), &bias.device()]) {
                    let norm = cpu::Norm { channels, splits, eps };
                    let (out, origin) = host.batch_norm(values, weight, bias, epilogue(shortcut, relu), norm);
                    let output = Self(Layout::Pixels { values: out.output, channels, origin });
                    return NormalisedMaps { output, mean: out.mean, variance: out.variance };
                }
                planes_of_pixels(values, channels)
            }
            layout => Self(layout).into_planes(),
        };
        let [batch, channels, height, width] = dims;
        assert!(batch.is_multiple_of(splits), "batch norm: batch {batch} is no multiple of {splits} splits");
        let grouped = [batch / splits, channels * splits, height, width];
        let values = values.reshape(grouped);
        let out = if relu {
            let shortcut = shortcut.map(|shortcut| shortcut.into_planes().reshape(grouped));
            batch_norm_relu_train(values, weight, bias, shortcut, eps)
        } else {
            batch_norm_train(values, weight, bias, eps)
        };
        let output = Self::from(out.output.reshape(dims));
        NormalisedMaps { output, mean: out.mean, variance: out.variance }
    }

    /// The maximum of every square of `size` × `size` pixels; places outside of the image do not count.
    ///
    /// # Panics
    /// If the padding is more than half of the size.
    pub fn max_pool2d(self, size: usize, stride: usize, padding: usize) -> Self {
        #[cfg(any(feature = "flex", feature = "tch"))]
        if let Layout::Pixels { values, channels, origin } = &self.0
            && let Some(host) = Host::of(&[&values.device()])
        {
            let square = cpu::Square { size, stride, padding };
            return Self::of_pixels(host.max_pool2d(values.clone(), origin.clone(), square), *channels);
        }
        let options = MaxPoolOptions::new([size; 2]).with_stride([stride; 2]).with_padding([padding; 2]);
        Self::from(max_pool2d(self.into_planes(), options))
    }

    /// The mean of all pixels.
    ///
    /// # Shapes
    /// - returns: `[batch, channel]`
    pub fn mean(self) -> Tensor<2> {
        match self.0 {
            Layout::Planes(planes) => planes.flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2),
            Layout::Pixels { values, channels, .. } => {
                let [batch, blocks, height, width, lanes] = values.dims();
                let means = values.reshape([batch, blocks, height * width, lanes]).mean_dim(2);
                means.reshape([batch, blocks * lanes]).narrow(1, 0, channels)
            }
        }
    }
}

/// The operation after a batch norm: ReLU if wanted, which comes with every shortcut.
#[cfg(any(feature = "flex", feature = "tch"))]
fn epilogue(shortcut: Option<Maps>, relu: bool) -> Epilogue<5> {
    match (shortcut, relu) {
        (Some(shortcut), _) => Epilogue::AddRelu(shortcut.into_pixels()),
        (None, true) => Epilogue::Relu,
        (None, false) => Epilogue::None,
    }
}

#[cfg(any(feature = "flex", feature = "tch"))]
impl Maps {
    fn of_pixels(values: Tensor<5>, channels: usize) -> Self {
        Self(Layout::Pixels { values, channels, origin: None })
    }

    fn taken_by(&self, host: Host) -> bool {
        match &self.0 {
            Layout::Planes(planes) => host.loops_take(planes),
            Layout::Pixels { .. } => true,
        }
    }

    fn into_pixels(self) -> Tensor<5> {
        match self.0 {
            Layout::Pixels { values, .. } => values,
            Layout::Planes(planes) => {
                let host = Host::of(&[&planes.device()]).expect("the backend of other pixels");
                host.pixels_of_planes(planes)
            }
        }
    }
}

#[cfg(any(feature = "flex", feature = "tch"))]
fn planes_of_pixels(values: Tensor<5>, channels: usize) -> Tensor<4> {
    let host = Host::of(&[&values.device()]).expect("the backend that made the pixels");
    host.planes_of_pixels(values, channels)
}

#[cfg(not(any(feature = "flex", feature = "tch")))]
fn planes_of_pixels(_values: Tensor<5>, _channels: usize) -> Tensor<4> {
    unreachable!("without a backend that convolves pixels there are none")
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::super::comparison::{operand, packed, results};
    use super::super::{comparison, with_backend_kernels};
    use super::*;
    use burn::tensor::{Distribution, FloatDType, TensorData, Tolerance};

    fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
        Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), &Device::flex())
    }

    /// The result of `work` on the output of a convolution, and the gradients of its images and kernel.
    fn run(images: &Tensor<4>, kernel: &Tensor<4>, work: impl Fn(Maps) -> Tensor<2>) -> [TensorData; 3] {
        let [x, w] = [images, kernel].map(|tensor| Tensor::from_inner(tensor.clone()).require_grad());
        let output = work(Maps::from(x.clone() * 1.0).conv2d(w.clone(), 1, 1));
        let gradients = (output.clone() * output.clone().sin()).sum().backward();
        let of = |tensor: &Tensor<4>| tensor.grad(&gradients).expect("a gradient").into_data();
        [output.inner().into_data(), of(&x), of(&w)]
    }

    fn check(images: [usize; 4], channels: usize, work: impl Fn(Maps) -> Tensor<2>) {
        let (images, kernel) = (random(images), random([channels, images[1], 3, 3]));
        let is_packed = |maps: Maps| matches!(maps.0, Layout::Pixels { .. });
        assert!(is_packed(Maps::from(images.clone()).conv2d(kernel.clone(), 1, 1)), "the loops are used");
        let ours = run(&images, &kernel, &work);
        let planes = with_backend_kernels(|| run(&images, &kernel, &work));
        for (ours, planes) in ours.into_iter().zip(planes) {
            ours.assert_approx_eq::<f32>(&planes, Tolerance::rel_abs(1e-4, 1e-4));
        }
    }

    #[test]
    fn a_network_of_packed_maps_is_that_of_planes() {
        for channels in [8, 16, 20, 35] {
            let second = random([24, channels, 3, 3]) * 0.1;
            check([3, 5, 9, 7], channels, |maps| {
                let kernel = Tensor::from_inner(second.clone());
                let shortcut = maps.clone().conv2d(kernel.clone(), 2, 1).into_planes();
                let maps = maps.conv2d(kernel, 2, 1).into_planes() + shortcut;
                Maps::from(maps).mean()
            });
            check([2, 3, 8, 8], channels, Maps::mean);
        }
    }

    #[test]
    fn pools_are_those_of_planes() {
        for (size, stride, padding) in [(3, 2, 1), (2, 2, 0), (3, 1, 1)] {
            for side in [7, 8] {
                check([2, 3, side, side + 1], 20, |maps| {
                    maps.max_pool2d(size, stride, padding).into_planes().flatten(1, 3)
                });
            }
        }
    }

    #[test]
    fn the_first_of_several_largest_values_has_the_gradient() {
        check([1, 2, 6, 6], 16, |maps| {
            // Rounded, many are alike.
            let maps = Maps::from((maps.into_planes() * 0.5).clamp(-0.25, 0.25));
            let eye = Tensor::<2>::eye(16, &Device::flex()).reshape([16, 16, 1, 1]);
            maps.conv2d(eye, 1, 0).max_pool2d(3, 2, 1).into_planes().flatten(1, 3)
        });
    }

    /// Packed maps after a batch norm and ReLU, with what they can be computed from again or without; and its operands.
    fn rectified(splits: usize, again: bool) -> (Maps, [Tensor<1>; 2], Tensor<4>) {
        let x = operand(&comparison::random([4, 20, 9, 8], 1), FloatDType::F32);
        let row = |seed| operand(&comparison::random([splits * 20], seed), FloatDType::F32);
        let [weight, bias] = [row(2), row(3)];
        let maps = packed(x.clone());
        let maps = maps.batch_norm_relu_train(weight.clone(), bias.clone(), None, splits, 1e-5).output;
        let Layout::Pixels { values, channels, origin } = maps.0 else { panic!("packed maps") };
        let maps = Maps(Layout::Pixels { values, channels, origin: origin.filter(|_| again) });
        (maps, [weight, bias], x)
    }

    #[test]
    fn values_that_are_computed_again_have_the_same_bits() {
        let kernel = operand(&comparison::random([24, 20, 3, 3], 4), FloatDType::F32);
        let layers: [fn(Maps, Tensor<4>) -> Maps; 3] = [
            |maps, kernel| maps.conv2d(kernel, 1, 1),
            |maps, kernel| maps.conv2d(kernel, 2, 1),
            |maps, kernel| maps.max_pool2d(3, 2, 1).conv2d(kernel, 1, 1),
        ];
        for (layer, splits) in layers.into_iter().flat_map(|layer| [1, 2].map(|splits| (layer, splits))) {
            let run = |again| {
                let (maps, [weight, bias], x) = rectified(splits, again);
                results!(layer(maps, kernel.clone()).into_planes(), x, weight, bias, kernel)
            };
            assert_eq!(run(true), run(false), "{splits} splits");
        }
    }

    #[test]
    fn the_graph_keeps_no_values_that_are_computed_again() {
        let kernel = operand(&comparison::random([24, 20, 3, 3], 4), FloatDType::F32);
        let layers: [fn(Maps, Tensor<4>) -> Maps; 2] =
            [|maps, kernel| maps.conv2d(kernel, 1, 1), |maps, _| maps.max_pool2d(3, 2, 1)];
        for (layer, again) in layers.into_iter().flat_map(|layer| [true, false].map(|again| (layer, again))) {
            let (maps, ..) = rectified(1, again);
            let output = layer(maps.clone(), kernel.clone());
            let Layout::Pixels { values, .. } = maps.0 else { panic!("packed maps") };
            assert_eq!(cpu::is_shared(values.inner()), !again);
            drop(output);
        }
    }

    #[test]
    fn without_gradients_nothing_is_computed_again() {
        let images = Maps::from(random([2, 20, 4, 4])).conv2d(random([20, 20, 1, 1]), 1, 0);
        let row = || Tensor::<1>::ones([20], &Device::flex());
        let output = images.batch_norm_relu_train(row(), row(), None, 1, 1e-5).output;
        assert!(matches!(output.0, Layout::Pixels { origin: None, .. }));
    }

    #[test]
    fn given_statistics_normalise_as_burns_operation_does() {
        let device = Device::flex();
        let (images, kernel) = (random([3, 20, 5, 4]), random([20, 20, 1, 1]));
        let row = |low: f64| Tensor::<1>::random([20], Distribution::Uniform(low, 2.0), &device);
        let [weight, bias, mean, variance] = [row(-1.0), row(-1.0), row(-1.0), row(0.1)];
        let maps = Maps::from(images.clone()).conv2d(kernel, 1, 0);
        let parameters = || [weight.clone(), bias.clone(), mean.clone(), variance.clone()];
        let planes = super::super::batch_norm_eval(
            maps.clone().into_planes(),
            weight.clone(),
            bias.clone(),
            mean.clone(),
            variance.clone(),
            1e-5,
        );
        let added = maps.clone().into_planes() + planes.clone();
        for (shortcut, relu, want) in [
            (None, false, planes.clone()),
            (None, true, super::super::relu(planes)),
            (Some(&maps), true, super::super::relu(added)),
        ] {
            let found =
                maps.batch_norm_eval(parameters(), shortcut, relu, 1e-5).expect("no gradient is needed");
            found
                .into_planes()
                .into_data()
                .assert_approx_eq::<f32>(&want.into_data(), Tolerance::rel_abs(1e-4, 1e-4));
        }
        let tracked =
            Maps::from(Tensor::<4>::from_inner(images)).conv2d(Tensor::ones([20, 20, 1, 1], &device), 1, 0);
        assert!(tracked.batch_norm_eval(parameters(), None, true, 1e-5).is_none(), "gradients are needed");
    }

    #[test]
    fn a_convolution_that_normalises_has_the_bits_of_both_one_after_the_other() {
        let _alone = cpu::alone();
        let row = |low: f64| Tensor::<1>::random([20], Distribution::Uniform(low, 2.0), &Device::flex());
        let parameters = [row(-1.0), row(-1.0), row(-1.0), row(0.1)];
        // The first layer of a network, direct convolutions, and Winograd's.
        let layers = [(3, 7, 2, 3), (20, 1, 1, 0), (20, 3, 2, 1), (20, 3, 1, 1)];
        // Also of several strips and bands.
        let sizes = [[12, 9], [40, 33]];
        for ((channels, kernel, stride, padding), [height, width]) in
            layers.into_iter().flat_map(|layer| sizes.map(|size| (layer, size)))
        {
            let weight = random([20, channels, kernel, kernel]);
            let images = Maps::from(random([5, channels, height, width]));
            let eye = random([channels, channels, 1, 1]);
            for maps in [images.clone(), images.conv2d(eye, 1, 0)] {
                let convolved = maps.clone().conv2d(weight.clone(), stride, padding);
                let other = Maps::from(random(convolved.dims()));
                for (shortcut, relu) in [(None, false), (None, true), (Some(&other), true)] {
                    let one = maps
                        .conv2d_batch_norm_eval(
                            weight.clone(),
                            [stride, padding],
                            parameters.clone(),
                            shortcut,
                            relu,
                            1e-5,
                        )
                        .expect("no gradient is needed");
                    let apart = convolved
                        .batch_norm_eval(parameters.clone(), shortcut, relu, 1e-5)
                        .expect("no gradient is needed");
                    assert_eq!(
                        one.into_planes().into_data(),
                        apart.into_planes().into_data(),
                        "kernel {kernel}"
                    );
                }
            }
        }
    }

    #[test]
    fn gradients_and_other_kernels_normalise_apart() {
        let device = Device::flex();
        let evaluate = |maps: Maps| {
            let rows = || Tensor::<1>::ones([20], &device);
            let parameters = [rows(), rows(), rows(), rows()];
            maps.conv2d_batch_norm_eval(
                Tensor::ones([20, 3, 1, 1], &device),
                [1, 0],
                parameters,
                None,
                true,
                1e-5,
            )
        };
        let images = random([2, 3, 4, 4]);
        assert!(evaluate(images.clone().into()).is_some());
        assert!(evaluate(Tensor::<4>::from_inner(images.clone()).into()).is_none(), "gradients are needed");
        assert!(with_backend_kernels(|| evaluate(images.into())).is_none());
    }
}
