//! AdamW in one pass over the parameters, in place if nothing else uses the old values.

use burn::backend::{DispatchTensor, TensorMetadata};
use burn::tensor::Tensor;

use super::parallel::each;
use super::pool::any_values;
use super::simd::{Instructions, Job, dispatch};
use super::{Bridge, Host, owned, tensor};
use crate::ops::adamw::AdamWRates;

/// Values per job.
const PIECE: usize = 1 << 14;

/// See [`adamw`](crate::ops::adamw).
pub(in crate::ops) fn adamw<B: Host>(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    moments: Option<[Tensor<1>; 2]>,
    rates: AdamWRates,
) -> (Tensor<1>, [Tensor<1>; 2])
where
    DispatchTensor: Bridge<B>,
{
    let primitive = |t: Tensor<1>| t.try_into_primitive::<B>().expect("the device was checked");
    let (mut p, g) = (owned::<B>(primitive(parameter)), B::contiguous(&primitive(gradient)));
    let (length, is_first) = (g.shape().num_elements(), moments.is_none());
    let [mut m, mut v] = match moments {
        Some(both) => both.map(|moment| owned::<B>(primitive(moment))),
        None => [(); 2].map(|()| tensor::<B>(any_values(length), [length])),
    };
    let lengths = [&p, &m, &v].map(|tensor| tensor.shape().num_elements());
    assert_eq!(lengths, [length; 3], "AdamW: values of parameter and moments, and of the gradient");
    let [p_values, m_values, v_values] =
        [&mut p, &mut m, &mut v].map(|tensor| B::own_values(tensor).expect("made one's own above"));
    let moments = m_values.chunks_mut(PIECE).zip(v_values.chunks_mut(PIECE));
    let pieces = p_values.chunks_mut(PIECE).zip(B::values(&g).chunks(PIECE)).zip(moments);
    let coefficients = Coefficients::of(rates);
    each::<B, _>(pieces, |((p, g), (m, v))| dispatch(Update { coefficients, is_first, p, g, m, v }));
    let [p, m, v] = [p, m, v].map(Tensor::from_primitive::<B>);
    (p, [m, v])
}

#[derive(Clone, Copy)]
struct Coefficients {
    betas: [f32; 2],
    rests: [f32; 2],
    second_correction: f32,
    eps: f32,
    rate: f32,
    shrink: f32,
}

impl Coefficients {
    fn of(rates: AdamWRates) -> Self {
        let [first, second] = rates.corrections();
        Self {
            betas: rates.betas.map(|beta| beta as f32),
            rests: rates.betas.map(|beta| (1.0 - beta) as f32),
            second_correction: second as f32,
            eps: rates.eps as f32,
            rate: (rates.lr / first) as f32,
            shrink: (1.0 - rates.lr * rates.decay) as f32,
        }
    }
}

struct Update<'a> {
    coefficients: Coefficients,
    /// Whether the moments have no values yet.
    is_first: bool,
    p: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
}

impl Job for Update<'_> {
    type Output = ();

    /// In the order of the portable operation, so that the result is bit-identical.
    #[inline(always)]
    fn run<I: Instructions>(self) {
        let Coefficients { betas, rests, second_correction, eps, rate, shrink } = self.coefficients;
        let Self { p, g, m, v, .. } = self;
        if self.is_first {
            for ((m, v), g) in m.iter_mut().zip(&mut *v).zip(g) {
                (*m, *v) = (g * rests[0], g * g * rests[1]);
            }
        } else {
            for ((m, v), g) in m.iter_mut().zip(&mut *v).zip(g) {
                *m = *m * betas[0] + g * rests[0];
                *v = *v * betas[1] + g * g * rests[1];
            }
        }
        for ((p, m), v) in p.iter_mut().zip(&*m).zip(&*v) {
            *p = *p * shrink - m / (v.sqrt() / second_correction + eps) * rate;
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use crate::ops::comparison::{assert_close, on_every_host, random};
    use crate::ops::{AdamWRates, adamw};
    use burn::tensor::{Device, Distribution, FloatDType, Tensor, TensorData};

    #[test]
    fn updates_have_the_bits_of_the_portable_operation() {
        let rates = AdamWRates { lr: 1e-3, decay: 0.05, betas: [0.9, 0.95], eps: 1e-8, step: 3 };
        let random = |low| Tensor::<1>::random([70_001], Distribution::Uniform(low, 1.0), &Device::flex());
        let (p, g) = (random(-1.0), random(-1.0));
        for moments in [None, Some([random(-1.0), random(0.0)])] {
            let (ours, our_moments) = adamw::adamw(p.clone(), g.clone(), moments.clone(), rates);
            let (portable, moments) = adamw::portable(p.clone(), g.clone(), moments, rates);
            assert_eq!(ours.into_data(), portable.into_data());
            assert_eq!(our_moments.map(Tensor::into_data), moments.map(Tensor::into_data));
        }
    }

    /// The parameters and the moments after four updates, at a rate at which an error of a step is one of the parameters.
    fn four(dtype: FloatDType) -> [TensorData; 3] {
        let (mut p, mut moments) = (random([1001], 9).cast(dtype), None);
        for step in 1..5 {
            let rates = AdamWRates { lr: 0.1, decay: 0.05, betas: [0.9, 0.95], eps: 1e-8, step };
            let g = random([1001], step as u64).cast(dtype);
            let (next, both) = adamw::adamw(p, g, moments, rates);
            (p, moments) = (next, Some(both));
        }
        let [first, second] = moments.expect("four updates");
        [p, first, second].map(Tensor::into_data)
    }

    #[test]
    fn some_updates_are_those_of_float64() {
        on_every_host(|| assert_close(&four(FloatDType::F32), &four(FloatDType::F64), 1e-6, "four updates"));
    }
}
