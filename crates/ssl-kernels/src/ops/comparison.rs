//! How tests compare operations with float64 on every backend whose tensors the loops work on, and bits on several numbers of
//! threads.

use std::cell::RefCell;

use burn::tensor::{DType, Device, FloatDType, Gradients, Tensor, TensorData};

use super::{Maps, cpu};

thread_local! {
    /// Where tensors are made, if not on `flex`.
    static DEVICE: RefCell<Option<Device>> = const { RefCell::new(None) };
}

pub(super) fn device() -> Device {
    DEVICE.with_borrow(|device| device.clone().unwrap_or_else(Device::flex))
}

/// Runs a test with tensors of each backend.
#[track_caller]
pub(super) fn on_every_host(test: impl Fn()) {
    let _alone = cpu::alone();
    test();
    #[cfg(feature = "tch")]
    {
        DEVICE.set(Some(crate::DeviceSpec::Tch.open().expect("libtorch runs on every CPU")));
        test();
        DEVICE.set(None);
    }
}

/// Values between -1 and 1. A congruential generator: a wave would cancel in the sums and leave nothing but rounding errors.
pub(super) fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    Tensor::from_data(
        TensorData::new((0..shape.iter().product()).map(next).collect::<Vec<f32>>(), shape),
        &device(),
    )
}

/// An operand that wants a gradient, in the precision of the comparison.
pub(super) fn operand<const D: usize>(tensor: &Tensor<D>, dtype: FloatDType) -> Tensor<D> {
    Tensor::from_inner(tensor.clone().cast(dtype)).require_grad()
}

/// In float32, packed maps: a convolution with the identity packs, and rounds nothing. In float64, which the loops do not take,
/// planes.
pub(super) fn packed(images: Tensor<4>) -> Maps {
    if images.dtype() != DType::F32 {
        return Maps::from(images);
    }
    let channels = images.dims()[1];
    let identity = Tensor::<2>::eye(channels, &images.device().inner()).reshape([channels, channels, 1, 1]);
    Maps::from(images).conv2d(identity, 1, 0)
}

/// The gradients with respect to `operands` of a sum in which every output has another weight, and the output.
macro_rules! results {
    ($output:expr, $($operand:expr),+) => {{
        let output = $output;
        let gradients = $crate::ops::comparison::weighted(&output);
        vec![
            output.inner().into_data(),
            $($operand.grad(&gradients).expect("a gradient").into_data()),+
        ]
    }};
}
pub(super) use results;

/// The gradients of a sum in which every output has another weight.
pub(super) fn weighted<const D: usize>(output: &Tensor<D>) -> Gradients {
    let weights = random(output.dims(), 99).cast(FloatDType::from(output.dtype()));
    (output.clone() * Tensor::from_inner(weights)).sum().backward()
}

/// The largest error relative to the largest value of each tensor.
#[track_caller]
pub(super) fn assert_close(got: &[TensorData], want: &[TensorData], bound: f64, about: &str) {
    assert_eq!(got.len(), want.len());
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!(
            (got.shape().clone(), got.dtype(), want.dtype()),
            (want.shape().clone(), DType::F32, DType::F64)
        );
        let (got, want): (Vec<f64>, Vec<f64>) = (got.iter().collect(), want.iter().collect());
        // Taking the maximum of some errors would skip NaN.
        let is_finite = got.iter().chain(&want).all(|value| value.is_finite());
        assert!(is_finite, "{about}: result {index} is not finite");
        let largest = want.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let error = got.iter().zip(&want).fold(0.0, |error: f64, (a, b)| error.max((a - b).abs())) / largest;
        assert!(error < bound, "{about}: result {index} is off by {error:e} of {largest}");
    }
}

/// Compares the bits of all results on 1, 2, 3 and 7 threads of rayon, which are those of `flex`.
#[track_caller]
pub(super) fn assert_threads_change_no_bit(all: impl Fn() -> Vec<TensorData> + Sync) {
    let _alone = cpu::alone();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(&all)
    };
    let one = on(1);
    for threads in [2, 3, 7] {
        for (index, (got, want)) in on(threads).iter().zip(&one).enumerate() {
            assert_eq!(got, want, "result {index} on {threads} threads");
        }
    }
}
