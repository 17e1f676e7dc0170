//! Batch normalisation with an explicit mode.

use burn::module::{Module, Param, RunningState};
use burn::tensor::{Device, Tensor};
use ssl_kernels::ops::{self, BatchNormOutput, Maps, NormalisedMaps, relu};

use super::Conv2d;
use crate::group::all_reduce_sum;
use crate::{Group, Init, Mode, Pass};

/// Which learned parameters a batch norm has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affine {
    /// `weight` and `bias`.
    Full,
    /// `weight` alone.
    Scale,
    /// Neither (`affine=False` in PyTorch).
    None,
}

/// Configuration of a [`BatchNorm`].
#[derive(Clone, Debug)]
pub struct BatchNormConfig {
    /// Number of channels.
    pub channels: usize,
    /// The learned parameters, both by default.
    pub affine: Affine,
    /// Initial value of `weight`, 1 by default; 0 makes a residual block start as the identity.
    pub initial_weight: f64,
    /// Number of groups that are normalised separately, 1 by default (see [`BatchNorm`]).
    pub splits: usize,
    /// Added to the variance, 1e-5 by default (PyTorch).
    pub eps: f64,
    /// Weight of the new statistics in the running ones, 0.1 by default (PyTorch).
    pub momentum: f64,
}

impl BatchNormConfig {
    /// Creates a configuration with PyTorch's defaults.
    pub fn new(channels: usize) -> Self {
        Self { channels, affine: Affine::Full, initial_weight: 1.0, splits: 1, eps: 1e-5, momentum: 0.1 }
    }

    /// Sets which parameters are learned.
    pub fn with_affine(mut self, affine: Affine) -> Self {
        self.affine = affine;
        self
    }

    /// Sets the initial value of `weight`.
    pub fn with_initial_weight(mut self, initial_weight: f64) -> Self {
        self.initial_weight = initial_weight;
        self
    }

    /// Sets the number of groups that are normalised separately.
    pub fn with_splits(mut self, splits: usize) -> Self {
        self.splits = splits;
        self
    }

    /// Creates a batch norm with running mean 0 and running variance 1.
    pub fn init(&self, init: &Init) -> BatchNorm {
        let plain = init.plain_device();
        let weight =
            (self.affine != Affine::None).then(|| init.constant([self.channels], self.initial_weight));
        BatchNorm {
            weight,
            bias: (self.affine == Affine::Full).then(|| init.constant([self.channels], 0.0)),
            running_mean: RunningState::new(Tensor::zeros([self.channels], &plain)),
            running_var: RunningState::new(Tensor::ones([self.channels], &plain)),
            splits: self.splits,
            eps: self.eps,
            momentum: self.momentum,
        }
    }
}

/// Batch normalisation over all axes except the channel.
///
/// ```text
/// y = weight · (x − mean) / sqrt(var + eps) + bias
/// running ← (1 − momentum) · running + momentum · batch      running_var takes the unbiased variance
/// ```
///
/// With `splits` > 1, sample `i` belongs to group `i mod splits`, every group is normalised separately, and the running
/// statistics move by the mean of the groups' updates: on one device this emulates the separate batch norms of several
/// GPUs. Groups alone do not prevent leaks: two views of an image at the same place in the batch share their group's
/// statistics with the same other images. A method that must not identify a key this way shuffles its keys.
///
/// In a [`Pass`] with a group of several processes, the batch is that of all processes (synchronised batch norm); their
/// batches must have the same size.
///
/// # Source
/// `torch.nn.BatchNorm2d`; the splits: official MoCo CIFAR-10 notebook (`SplitBatchNorm`).
#[derive(Module, Debug)]
pub struct BatchNorm {
    weight: Option<Param<Tensor<1>>>,
    bias: Option<Param<Tensor<1>>>,
    running_mean: RunningState<Tensor<1>>,
    running_var: RunningState<Tensor<1>>,
    splits: usize,
    eps: f64,
    momentum: f64,
}

impl BatchNorm {
    /// Which parameters are learned.
    pub fn affine(&self) -> Affine {
        match (&self.weight, &self.bias) {
            (None, _) => Affine::None,
            (Some(_), None) => Affine::Scale,
            (Some(_), Some(_)) => Affine::Full,
        }
    }

    /// Normalises `input`.
    ///
    /// # Shapes
    /// - `input`: `[batch, channel]` or `[batch, channel, height, width]`
    ///
    /// # Panics
    /// With batch statistics, if a channel of a group has only one value, or if `batch` is not a multiple of `splits`.
    pub fn forward<const D: usize>(&self, input: Tensor<D>, pass: &Pass) -> Tensor<D> {
        match pass.mode {
            Mode::Eval => self.with_running_stats(input),
            Mode::Train | Mode::BatchStats => {
                self.with_batch_stats(input, pass, |input, weight, bias, _| match pass.group.is_solo() {
                    true => ops::batch_norm_train(input, weight, bias, self.eps),
                    false => synchronised(input, weight, bias, self.eps, &pass.group),
                })
            }
        }
    }

    /// Normalises `input`, adds a shortcut if given and applies ReLU: the end of a residual block or of a plain layer.
    ///
    /// ```text
    /// y = max(0, norm(input) + shortcut)
    /// ```
    ///
    /// # Shapes
    /// - `input`, `shortcut`: `[batch, channel]` or `[batch, channel, height, width]`
    ///
    /// # Panics
    /// As [`BatchNorm::forward`].
    pub fn forward_relu<const D: usize>(
        &self,
        input: Tensor<D>,
        shortcut: Option<Tensor<D>>,
        pass: &Pass,
    ) -> Tensor<D> {
        match pass.mode {
            Mode::Eval => rectified_sum(self.with_running_stats(input), shortcut),
            Mode::Train | Mode::BatchStats => {
                self.with_batch_stats(input, pass, |input, weight, bias, grouped| {
                    let shortcut = shortcut.map(|shortcut| shortcut.reshape(grouped));
                    if pass.group.is_solo() {
                        return ops::batch_norm_relu_train(input, weight, bias, shortcut, self.eps);
                    }
                    let out = synchronised(input, weight, bias, self.eps, &pass.group);
                    BatchNormOutput { output: rectified_sum(out.output, shortcut), ..out }
                })
            }
        }
    }

    /// [`forward`](Self::forward) of feature maps, in their layout.
    ///
    /// # Panics
    /// As [`BatchNorm::forward`].
    pub fn forward_maps(&self, maps: Maps, pass: &Pass) -> Maps {
        match pass.mode {
            Mode::Eval => self.evaluated(&maps, None, false).unwrap_or_else(|| self.of_planes(maps, pass)),
            _ if !pass.group.is_solo() => self.of_planes(maps, pass),
            _ => self.with_statistics_of_maps(maps, pass, |maps, weight, bias| {
                maps.batch_norm_train(weight, bias, self.splits, self.eps)
            }),
        }
    }

    /// [`forward_relu`](Self::forward_relu) of feature maps, in their layout.
    ///
    /// # Panics
    /// As [`BatchNorm::forward`].
    pub fn forward_relu_maps(&self, maps: Maps, shortcut: Option<Maps>, pass: &Pass) -> Maps {
        let by_planes = |maps: Maps, shortcut: Option<Maps>| {
            self.forward_relu(maps.into_planes(), shortcut.map(Maps::into_planes), pass).into()
        };
        match pass.mode {
            Mode::Eval => match self.evaluated(&maps, shortcut.as_ref(), true) {
                Some(output) => output,
                None => by_planes(maps, shortcut),
            },
            _ if !pass.group.is_solo() => by_planes(maps, shortcut),
            _ => self.with_statistics_of_maps(maps, pass, |maps, weight, bias| {
                maps.batch_norm_relu_train(weight, bias, shortcut, self.splits, self.eps)
            }),
        }
    }

    /// [`forward_maps`](Self::forward_maps) of a convolution; with running statistics one operation where the backend has it.
    ///
    /// # Panics
    /// As [`BatchNorm::forward`], or if the convolution does not fit the maps.
    pub fn forward_conv(&self, conv: &Conv2d, maps: Maps, pass: &Pass) -> Maps {
        let normalised = self.evaluated_conv(conv, &maps, None, false, pass);
        normalised.unwrap_or_else(|| self.forward_maps(conv.forward_maps(maps), pass))
    }

    /// [`forward_relu_maps`](Self::forward_relu_maps) of a convolution; with running statistics one operation where the backend
    /// has it.
    ///
    /// # Panics
    /// As [`BatchNorm::forward`], or if the convolution does not fit the maps.
    pub fn forward_relu_conv(&self, conv: &Conv2d, maps: Maps, shortcut: Option<Maps>, pass: &Pass) -> Maps {
        let normalised = self.evaluated_conv(conv, &maps, shortcut.as_ref(), true, pass);
        normalised.unwrap_or_else(|| self.forward_relu_maps(conv.forward_maps(maps), shortcut, pass))
    }

    fn evaluated_conv(
        &self,
        conv: &Conv2d,
        maps: &Maps,
        shortcut: Option<&Maps>,
        relu: bool,
        pass: &Pass,
    ) -> Option<Maps> {
        if pass.mode != Mode::Eval {
            return None;
        }
        conv.forward_normalised(|kernel, steps| {
            let (weight, bias) = self.parameters(kernel.dims()[0], &maps.device(), 1);
            let parameters = [weight, bias, self.running_mean.value(), self.running_var.value()];
            maps.conv2d_batch_norm_eval(kernel, steps, parameters, shortcut, relu, self.eps)
        })
    }

    fn of_planes(&self, maps: Maps, pass: &Pass) -> Maps {
        self.forward(maps.into_planes(), pass).into()
    }

    /// With running statistics, where no gradient is needed and the backend has an operation for it.
    fn evaluated(&self, maps: &Maps, shortcut: Option<&Maps>, relu: bool) -> Option<Maps> {
        let (weight, bias) = self.parameters(maps.dims()[1], &maps.device(), 1);
        let parameters = [weight, bias, self.running_mean.value(), self.running_var.value()];
        maps.batch_norm_eval(parameters, shortcut, relu, self.eps)
    }

    fn with_statistics_of_maps(
        &self,
        maps: Maps,
        pass: &Pass,
        normalise: impl FnOnce(Maps, Tensor<1>, Tensor<1>) -> NormalisedMaps,
    ) -> Maps {
        let dims = maps.dims();
        let count = self.values_per_group(&dims, pass);
        let (weight, bias) = self.parameters(dims[1], &maps.device(), self.splits);
        let out = normalise(maps, weight, bias);
        self.follow(count, pass, out.mean, out.variance);
        out.output
    }

    fn with_running_stats<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let (weight, bias) = self.parameters(input.dims()[1], &input.device(), 1);
        ops::batch_norm_eval(
            input,
            weight,
            bias,
            self.running_mean.value(),
            self.running_var.value(),
            self.eps,
        )
    }

    /// - `normalise`: takes the grouped input, weight, bias and the shape of the groups
    fn with_batch_stats<const D: usize>(
        &self,
        input: Tensor<D>,
        pass: &Pass,
        normalise: impl FnOnce(Tensor<D>, Tensor<1>, Tensor<1>, [usize; D]) -> BatchNormOutput<D>,
    ) -> Tensor<D> {
        let dims = input.dims();
        let count = self.values_per_group(&dims, pass);
        let (weight, bias) = self.parameters(dims[1], &input.device(), self.splits);
        let mut grouped = dims;
        grouped[0] = dims[0] / self.splits;
        grouped[1] = dims[1] * self.splits;
        let out = normalise(input.reshape(grouped), weight, bias, grouped);
        self.follow(count, pass, out.mean, out.variance);
        out.output.reshape(dims)
    }

    /// Checks that the batch has whole groups, and returns the number of values per channel in a group.
    fn values_per_group(&self, dims: &[usize], pass: &Pass) -> usize {
        let whole = dims[0].is_multiple_of(self.splits);
        assert!(whole, "batch norm: batch {} is no multiple of {} splits", dims[0], self.splits);
        let count = dims.iter().product::<usize>() / dims[1] / self.splits * pass.group.size();
        assert!(count > 1, "batch norm needs more than one value per channel, got shape {dims:?}");
        count
    }

    /// Moves the running statistics in training mode, by those of groups with so many values.
    fn follow(&self, count: usize, pass: &Pass, mean: Tensor<1>, variance: Tensor<1>) {
        if pass.mode == Mode::Train {
            let unbias = count as f64 / (count as f64 - 1.0);
            self.move_running(&self.running_mean, mean);
            self.move_running(&self.running_var, variance.mul_scalar(unbias));
        }
    }

    /// The learned parameters, or constants in their place, repeated for each group.
    fn parameters(&self, channels: usize, device: &Device, groups: usize) -> (Tensor<1>, Tensor<1>) {
        let plain = device.clone().inner();
        let weight = self.weight.as_ref().map_or_else(|| Tensor::ones([channels], &plain), Param::val);
        let bias = self.bias.as_ref().map_or_else(|| Tensor::zeros([channels], &plain), Param::val);
        if groups == 1 { (weight, bias) } else { (weight.repeat(&[groups]), bias.repeat(&[groups])) }
    }

    fn move_running(&self, running: &RunningState<Tensor<1>>, batch: Tensor<1>) {
        let old = running.value().without_autodiff();
        let batch = batch.without_autodiff();
        let [channels] = old.dims();
        let batch = batch.reshape([self.splits, channels]).mean_dim(0).reshape([channels]);
        running.update(old.mul_scalar(1.0 - self.momentum) + batch.mul_scalar(self.momentum));
        // A running state's value lags one update behind until it is synchronised; records read the value.
        running.value_sync();
    }
}

fn rectified_sum<const D: usize>(x: Tensor<D>, shortcut: Option<Tensor<D>>) -> Tensor<D> {
    relu(match shortcut {
        Some(shortcut) => x + shortcut,
        None => x,
    })
}

/// Batch norm with the statistics of all processes, each of which has the same number of values per channel.
///
/// The variance is the mean of centred squares. That takes a second reduction but loses no precision where the mean is
/// large.
fn synchronised<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
    group: &Group,
) -> BatchNormOutput<D> {
    let dims = input.dims();
    let (batch, channels) = (dims[0], dims[1]);
    let places = dims[2..].iter().product::<usize>();
    let count = (batch * places * group.size()) as f64;
    let x: Tensor<3> = input.reshape([batch, channels, places]);
    let mean_over_all = |x: Tensor<3>| {
        let sum = x.sum_dim(2).sum_dim(0).reshape([channels]);
        all_reduce_sum(sum, group).div_scalar(count)
    };
    let by_channel = |x: Tensor<1>| x.reshape([1, channels, 1]);
    let mean = mean_over_all(x.clone());
    let centred = x - by_channel(mean.clone());
    let variance = mean_over_all(centred.clone().square());
    let scale = weight / variance.clone().add_scalar(eps).sqrt();
    let output = centred * by_channel(scale) + by_channel(bias);
    let (mean, variance) = (mean.without_autodiff(), variance.without_autodiff());
    BatchNormOutput { output: output.reshape(dims), mean, variance }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;
    use crate::nn::Conv2dConfig;
    use burn::tensor::Tolerance;

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    fn batch() -> Tensor<2> {
        Tensor::from_floats([[1.0, -2.0], [3.0, 0.5], [-1.0, 4.0], [2.0, 2.5]], &device())
    }

    fn layer(splits: usize) -> BatchNorm {
        BatchNormConfig::new(2).with_splits(splits).init(&Init::new(0, &device()))
    }

    #[test]
    fn a_convolution_is_normalised_as_its_output_is() {
        for bias in [false, true] {
            let mut init = Init::new(0, &device());
            let conv = Conv2dConfig::new(2, 2, 1).with_bias(bias).init(&mut init);
            let maps = Maps::from(batch().reshape([2, 2, 2, 1]));
            for pass in [Pass::train(), Pass::eval()] {
                let assert_same = |whole: Maps, parts: Maps| {
                    assert_eq!(whole.into_planes().into_data(), parts.into_planes().into_data())
                };
                let layer = || layer(1);
                assert_same(
                    layer().forward_conv(&conv, maps.clone(), &pass),
                    layer().forward_maps(conv.forward_maps(maps.clone()), &pass),
                );
                assert_same(
                    layer().forward_relu_conv(&conv, maps.clone(), Some(maps.clone()), &pass),
                    layer().forward_relu_maps(conv.forward_maps(maps.clone()), Some(maps.clone()), &pass),
                );
            }
        }
    }

    #[test]
    fn a_rectified_sum_is_the_sum_rectified_in_every_mode() {
        for (splits, pass) in [(1, Pass::train()), (2, Pass::batch_stats()), (1, Pass::eval())] {
            let shortcut = Tensor::from_floats([[0.5, 1.0], [-2.0, 0.0], [0.1, -0.2], [0.0, 3.0]], &device());
            for shortcut in [None, Some(shortcut)] {
                let fused = layer(splits).forward_relu(batch(), shortcut.clone(), &pass);
                let plain = layer(splits).forward(batch(), &pass);
                let sum = relu(match shortcut {
                    Some(shortcut) => plain + shortcut,
                    None => plain,
                });
                fused.into_data().assert_approx_eq::<f32>(&sum.into_data(), Tolerance::default());
            }
        }
    }

    #[test]
    fn running_variance_takes_the_unbiased_batch_variance() {
        let layer = layer(1);
        layer.forward(batch(), &Pass::train());
        let want = batch().var(0).reshape([2]).mul_scalar(0.1).add_scalar(0.9);
        layer
            .running_var
            .value()
            .into_data()
            .assert_approx_eq::<f32>(&want.into_data(), Tolerance::default());
    }

    #[test]
    fn only_train_mode_moves_the_running_statistics() {
        let layer = layer(1);
        let same = layer.forward(batch(), &Pass::batch_stats());
        assert_eq!(layer.running_mean.value().into_data().try_to_vec::<f32>().expect("floats"), [0.0, 0.0]);
        layer.forward(batch(), &Pass::eval());
        assert_eq!(layer.running_mean.value().into_data().try_to_vec::<f32>().expect("floats"), [0.0, 0.0]);
        assert_eq!(layer.forward(batch(), &Pass::train()).into_data(), same.into_data());
    }

    #[test]
    fn evaluation_mode_follows_the_running_statistics() {
        let layer = layer(1);
        let out = layer.forward(batch(), &Pass::eval());
        let want = batch().div_scalar((1.0_f64 + 1e-5).sqrt());
        out.into_data().assert_approx_eq::<f32>(&want.into_data(), Tolerance::default());
    }

    #[test]
    fn splits_normalise_interleaved_groups_alone() {
        let out = layer(2).forward(batch(), &Pass::train());
        let even = layer(1)
            .forward(Tensor::cat(vec![batch().narrow(0, 0, 1), batch().narrow(0, 2, 1)], 0), &Pass::train());
        let got = Tensor::cat(vec![out.clone().narrow(0, 0, 1), out.narrow(0, 2, 1)], 0);
        got.into_data().assert_approx_eq::<f32>(&even.into_data(), Tolerance::default());
    }

    #[test]
    fn splits_average_the_running_updates() {
        let layer = layer(2);
        layer.forward(batch(), &Pass::train());
        let want = batch().mean_dim(0).reshape([2]).mul_scalar(0.1);
        layer
            .running_mean
            .value()
            .into_data()
            .assert_approx_eq::<f32>(&want.into_data(), Tolerance::default());
    }

    #[test]
    #[should_panic(expected = "more than one value per channel")]
    fn one_value_per_channel_is_refused() {
        layer(1).forward(batch().narrow(0, 0, 1), &Pass::train());
    }
}
