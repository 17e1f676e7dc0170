//! Layers with given statistics and without gradients.

#[cfg(any(feature = "flex", feature = "tch"))]
use burn::tensor::Device;
use burn::tensor::Tensor;

use super::Maps;
#[cfg(any(feature = "flex", feature = "tch"))]
use super::{Layout, epilogue};
#[cfg(any(feature = "flex", feature = "tch"))]
use crate::ops::{any_rank::AnyRank, cpu, host::Host};

#[cfg(any(feature = "flex", feature = "tch"))]
impl Maps {
    /// Batch norm with given statistics, then the sum with a shortcut if there is one, then ReLU if wanted; `None` where gradients
    /// are needed, where a shortcut comes without ReLU, or where the layout is not one of these loops.
    ///
    /// # Shapes
    /// - `weight`, `bias`, `mean`, `variance`: `[channel]`
    pub fn batch_norm_eval(
        &self,
        parameters: [Tensor<1>; 4],
        shortcut: Option<&Self>,
        relu: bool,
        eps: f64,
    ) -> Option<Self> {
        let Layout::Pixels { values, channels, .. } = &self.0 else { return None };
        let devices = parameters.iter().map(Tensor::device).chain([values.device()]);
        let host = plain_host(devices.chain(shortcut.map(Self::device)), shortcut, relu)?;
        let norm = cpu::Norm { channels: *channels, splits: 1, eps };
        let values =
            host.batch_norm_eval(values.clone(), parameters, epilogue(shortcut.cloned(), relu), norm);
        Some(Self::of_pixels(values, *channels))
    }

    /// [`conv2d`](Self::conv2d) and [`batch_norm_eval`](Self::batch_norm_eval) of its output, which is normalised while it is in a
    /// cache; `None` where gradients are needed, where a shortcut comes without ReLU, or where the backend has no loops for it.
    ///
    /// # Shapes
    /// - `weight`: `[channel_out, channel_in, kernel, kernel]`, `parameters`: weight, bias, mean and variance, `[channel_out]`
    /// - `shortcut` and the result: those of [`conv2d`](Self::conv2d)
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn conv2d_batch_norm_eval(
        &self,
        weight: Tensor<4>,
        [stride, padding]: [usize; 2],
        parameters: [Tensor<1>; 4],
        shortcut: Option<&Self>,
        relu: bool,
        eps: f64,
    ) -> Option<Self> {
        let devices = parameters.iter().map(Tensor::device).chain([self.device(), weight.device()]);
        let host = plain_host(devices.chain(shortcut.map(Self::device)), shortcut, relu)?;
        if !(host.loops_take(&weight) && self.taken_by(host) && parameters.iter().all(|p| host.loops_take(p)))
        {
            return None;
        }
        let channels = weight.dims()[0];
        let x = match self.0.clone() {
            Layout::Planes(planes) => AnyRank::from(planes),
            Layout::Pixels { values, .. } => AnyRank::from(values),
        };
        let window = cpu::Window { image: self.dims(), stride, padding };
        let epilogue = epilogue(shortcut.cloned(), relu);
        let values = host.conv2d_batch_norm_eval(x, weight, window, parameters, epilogue, eps);
        Some(Self::of_pixels(values, channels))
    }
}

/// The backend of all devices, if none has gradients, and if ReLU follows a shortcut.
#[cfg(any(feature = "flex", feature = "tch"))]
fn plain_host(devices: impl Iterator<Item = Device>, shortcut: Option<&Maps>, relu: bool) -> Option<Host> {
    let devices: Vec<Device> = devices.collect();
    if devices.iter().any(Device::is_autodiff) || (shortcut.is_some() && !relu) {
        return None;
    }
    Host::of(&devices.iter().collect::<Vec<_>>())
}

#[cfg(not(any(feature = "flex", feature = "tch")))]
impl Maps {
    /// `None`: this operation is one of backends that are not part of this program.
    pub fn batch_norm_eval(
        &self,
        _parameters: [Tensor<1>; 4],
        _shortcut: Option<&Self>,
        _relu: bool,
        _eps: f64,
    ) -> Option<Self> {
        None
    }

    /// `None`: this operation is one of backends that are not part of this program.
    pub fn conv2d_batch_norm_eval(
        &self,
        _weight: Tensor<4>,
        _steps: [usize; 2],
        _parameters: [Tensor<1>; 4],
        _shortcut: Option<&Self>,
        _relu: bool,
        _eps: f64,
    ) -> Option<Self> {
        None
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{FloatDType, Tensor, TensorData};

    use crate::ops::comparison::{assert_close, assert_threads_change_no_bit, on_every_host, random};
    use crate::ops::{Maps, batch_norm_eval, conv, relu};

    /// Batch, channels in and out, size, kernel, stride and padding: a first layer, direct convolutions, and Winograd's.
    const LAYERS: [[usize; 7]; 5] = [
        [2, 3, 20, 37, 7, 2, 3],
        [1, 20, 17, 9, 1, 1, 0],
        [3, 20, 33, 11, 3, 2, 1],
        [1, 16, 16, 5, 3, 1, 1],
        [5, 20, 24, 34, 3, 1, 1],
    ];
    /// Whether a shortcut is added, and whether ReLU follows.
    const AFTER: [(bool, bool); 3] = [(false, false), (false, true), (true, true)];

    fn operands([batch, from, to, size, kernel, _, _]: [usize; 7]) -> (Tensor<4>, Tensor<4>, [Tensor<1>; 4]) {
        let [weight, bias, mean, variance] = [1, 2, 3, 4].map(|seed| random([to], seed));
        let parameters = [weight, bias, mean, variance * 0.9 + 1.0];
        (random([batch, from, size, size], 5), random([to, from, kernel, kernel], 6), parameters)
    }

    /// A norm after a convolution, and in one go with it.
    fn loops(layer: [usize; 7], (added, relu): (bool, bool)) -> [TensorData; 2] {
        let ((images, kernel, parameters), [.., stride, padding]) = (operands(layer), layer);
        let images = Maps::from(images);
        let convolved = images.clone().conv2d(kernel.clone(), stride, padding);
        let shortcut = added.then(|| Maps::from(random(convolved.dims(), 7)));
        let shortcut = shortcut.as_ref();
        let apart = convolved.batch_norm_eval(parameters.clone(), shortcut, relu, 1e-5);
        let steps = [stride, padding];
        let at_once = images.conv2d_batch_norm_eval(kernel, steps, parameters, shortcut, relu, 1e-5);
        [apart, at_once].map(|maps| maps.expect("no gradient is needed").into_planes().into_data())
    }

    /// The same in float64, with Burn's operations.
    fn portable(layer: [usize; 7], (added, then_relu): (bool, bool)) -> TensorData {
        let ((images, kernel, parameters), [.., stride, padding]) = (operands(layer), layer);
        let [images, kernel] = [images, kernel].map(|values| values.cast(FloatDType::F64));
        let [weight, bias, mean, variance] = parameters.map(|values| values.cast(FloatDType::F64));
        let convolved = conv::portable(images, kernel, None, stride, padding);
        let mut y = batch_norm_eval(convolved, weight, bias, mean, variance, 1e-5);
        if added {
            y = y.clone() + random(y.dims(), 7).cast(FloatDType::F64);
        }
        if then_relu { relu(y).into_data() } else { y.into_data() }
    }

    #[test]
    fn norms_with_given_statistics_are_those_of_float64() {
        on_every_host(|| {
            for (layer, after) in LAYERS.into_iter().flat_map(|layer| AFTER.map(|after| (layer, after))) {
                let want = portable(layer, after);
                let about = format!("{layer:?}, shortcut and ReLU: {after:?}");
                assert_close(&loops(layer, after), &[want.clone(), want], 3e-6, &about);
            }
        });
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        assert_threads_change_no_bit(|| {
            let cases = LAYERS.into_iter().flat_map(|layer| AFTER.map(|after| (layer, after)));
            cases.flat_map(|(layer, after)| loops(layer, after)).collect()
        });
    }
}
