//! The sum of all squares in one pass.

use burn::backend::{DispatchTensor, TensorMetadata};
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

/// See [`layer_squares`](crate::ops::layer_squares).
pub(in crate::ops) fn layer_squares<B: Host>(p: &Tensor<1>, g: &Tensor<1>, decay: f64) -> Tensor<1>
where
    DispatchTensor: Bridge<B>,
{
    let [p, g] = [p, g].map(|tensor| {
        B::contiguous(&tensor.clone().try_into_primitive::<B>().expect("the device was checked"))
    });
    let [of_p, of_g] = [&p, &g].map(|tensor| tensor.shape().num_elements());
    assert_eq!(of_p, of_g, "norms of a layer: values of the parameter and of the gradient");
    let pieces = B::values(&p).chunks(PIECE).zip(B::values(&g).chunks(PIECE));
    let sums = map::<B, _, _>(pieces, |(p, g)| dispatch(LayerSquares { p, g, decay: decay as f32 }));
    let total = |index: usize| sums.iter().map(|sums| sums[index]).sum::<f64>() as f32;
    Tensor::from_primitive::<B>(tensor::<B>(vec![total(0), total(1)], [2]))
}

struct Squares<'a>(&'a [f32]);

impl Job for Squares<'_> {
    type Output = f64;
    #[inline(always)]
    fn run<I: Instructions>(self) -> f64 {
        self.0.chunks(SHORT).map(short).sum()
    }
}

struct LayerSquares<'a> {
    p: &'a [f32],
    g: &'a [f32],
    decay: f32,
}

impl Job for LayerSquares<'_> {
    type Output = [f64; 2];
    #[inline(always)]
    fn run<I: Instructions>(self) -> [f64; 2] {
        let mut all = [0.0; 2];
        let mut decayed = [0.0; SHORT];
        for (p, g) in self.p.chunks(SHORT).zip(self.g.chunks(SHORT)) {
            let decayed = &mut decayed[..p.len()];
            decayed.iter_mut().zip(p.iter().zip(g)).for_each(|(sum, (p, g))| *sum = g + p * self.decay);
            all[0] += short(p);
            all[1] += short(decayed);
        }
        all
    }
}

/// The sum of few squares.
#[inline(always)]
fn short(values: &[f32]) -> f64 {
    let (whole, rest) = values.as_chunks::<SIDE>();
    let mut sums = [0.0; SIDE];
    for values in whole {
        for i in 0..SIDE {
            sums[i] += values[i] * values[i];
        }
    }
    sums.iter_mut().zip(rest).for_each(|(sum, value)| *sum += value * value);
    sums.iter().map(|sum| f64::from(*sum)).sum()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Distribution, Tensor, TensorData};

    use crate::ops::comparison::{device, on_every_host};
    use crate::ops::{layer_squares, sum_of_squares, with_backend_kernels};

    fn check(count: usize) {
        let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
        let want = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
        let x = Tensor::<1>::from_data(TensorData::new(values, [count]), &device());
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| sum_of_squares(&x).into_scalar::<f32>())
        };
        let one = on(1);
        assert!((f64::from(one) - want).abs() <= 2e-7 * want, "{count}: {one}, not {want}");
        assert_eq!([on(2), on(3), on(7)].map(f32::to_bits), [one.to_bits(); 3]);
        let portable = with_backend_kernels(|| sum_of_squares(&x)).into_scalar::<f32>();
        assert!((f64::from(portable) - want).abs() <= 1e-4 * want, "{count}: {portable}, not {want}");
    }

    #[test]
    fn the_sum_is_that_of_float64_on_any_number_of_threads() {
        on_every_host(|| [0, 1, 17, (1 << 16) + 5, 300_001].into_iter().for_each(check));
    }

    #[test]
    fn the_norms_of_a_layer_are_those_of_separate_passes() {
        let device = Device::flex();
        let random = || Tensor::<1>::random([70_001], Distribution::Uniform(-1.0, 1.0), &device);
        let (p, g) = (random(), random());
        let decayed = g.clone() + p.clone().mul_scalar(0.3);
        let got = layer_squares(&p, &g, 0.3).into_data();
        assert_eq!(got, Tensor::cat(vec![sum_of_squares(&p), sum_of_squares(&decayed)], 0).into_data());
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        let of = |value: f32| sum_of_squares(&Tensor::from_floats([1.0, value], &Device::flex()));
        assert!(of(f32::NAN).into_scalar::<f32>().is_nan());
        assert_eq!(of(f32::INFINITY).into_scalar::<f32>(), f32::INFINITY);
    }
}
