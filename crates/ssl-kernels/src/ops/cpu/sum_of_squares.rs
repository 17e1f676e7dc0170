//! The sum of all squares in one pass.

use burn::backend::DispatchTensor;
use burn::tensor::Tensor;

use super::parallel::map;
use super::simd::{Instructions, Job, dispatch};
use super::{Bridge, Host, tensor};

/// Values per job.
const PIECE: usize = 1 << 16;
/// Values whose squares are added in float32.
const SHORT: usize = 1 << 12;
/// Sums that run side by side, as many as the widest vector has.
const SIDE: usize = 16;

/// See [`sum_of_squares`](crate::ops::sum_of_squares).
pub(in crate::ops) fn sum_of_squares<B: Host>(x: &Tensor<1>) -> Tensor<1>
where
    DispatchTensor: Bridge<B>,
{
    let x = B::contiguous(&x.clone().try_into_primitive::<B>().expect("the device was checked"));
    let sums = map::<B, _, _>(B::values(&x).chunks(PIECE), |piece| dispatch(Squares(piece)));
    Tensor::from_primitive::<B>(tensor::<B>(vec![sums.iter().sum::<f64>() as f32], [1]))
}

struct Squares<'a>(&'a [f32]);

impl Job for Squares<'_> {
    type Output = f64;
    #[inline(always)]
    fn run<I: Instructions>(self) -> f64 {
        let mut all = 0.0;
        for values in self.0.chunks(SHORT) {
            let (whole, rest) = values.as_chunks::<SIDE>();
            let mut sums = [0.0; SIDE];
            for values in whole {
                for i in 0..SIDE {
                    sums[i] += values[i] * values[i];
                }
            }
            sums.iter_mut().zip(rest).for_each(|(sum, value)| *sum += value * value);
            all += sums.iter().map(|sum| f64::from(*sum)).sum::<f64>();
        }
        all
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use crate::ops::{sum_of_squares, with_backend_kernels};

    #[test]
    fn the_sum_is_that_of_float64_on_any_number_of_threads() {
        let device = Device::flex();
        for count in [0, 1, 17, (1 << 16) + 5, 300_001] {
            let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
            let want = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
            let x = Tensor::<1>::from_data(TensorData::new(values, [count]), &device);
            let on = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
                pool.install(|| sum_of_squares(&x).into_scalar::<f32>())
            };
            let one = on(1);
            assert!((f64::from(one) - want).abs() <= 2e-7 * want, "{count}: {one}, not {want}");
            assert_eq!([on(2), on(7)].map(f32::to_bits), [one.to_bits(); 2]);
            let portable = with_backend_kernels(|| sum_of_squares(&x)).into_scalar::<f32>();
            assert!((f64::from(portable) - want).abs() <= 1e-4 * want, "{count}: {portable}, not {want}");
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        let of = |value: f32| sum_of_squares(&Tensor::from_floats([1.0, value], &Device::flex()));
        assert!(of(f32::NAN).into_scalar::<f32>().is_nan());
        assert_eq!(of(f32::INFINITY).into_scalar::<f32>(), f32::INFINITY);
    }
}
