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
        let Layout::Pixels { values, channels } = &self.0 else { return None };
        let devices = parameters.iter().map(Tensor::device).chain([values.device()]);
        let host = plain_host(devices.chain(shortcut.map(Self::device)), shortcut, relu)?;
        let norm = cpu::Norm { channels: *channels, splits: 1, eps };
        let values =
            host.batch_norm_eval(values.clone(), parameters, epilogue(shortcut.cloned(), relu), norm);
        Some(Self(Layout::Pixels { values, channels: *channels }))
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
        Some(Self(Layout::Pixels { values, channels }))
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
