//! AdamW in one pass over the parameters.

use burn::backend::DispatchTensor;
use burn::tensor::Tensor;

use super::parallel::each;
use super::pool::any_values;
use super::simd::{Instructions, Job, dispatch};
use super::{Bridge, Host, tensor};
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
    let primitive =
        |t: Tensor<1>| B::contiguous(&t.try_into_primitive::<B>().expect("the device was checked"));
    let (p, g, moments) =
        (primitive(parameter), primitive(gradient), moments.map(|both| both.map(primitive)));
    let (p, g) = (B::values(&p), B::values(&g));
    let old = moments.as_ref().map(|[m, v]| [B::values(m), B::values(v)]);
    let [m_length, v_length] = old.map_or([p.len(); 2], |old| old.map(<[f32]>::len));
    assert_eq!(
        [g.len(), m_length, v_length],
        [p.len(); 3],
        "AdamW: values of gradient, moments and parameter"
    );
    let mut new = [any_values(p.len()), any_values(p.len()), any_values(p.len())];
    let [new_p, new_m, new_v] = &mut new;
    let pieces =
        new_p.chunks_mut(PIECE).zip(new_m.chunks_mut(PIECE)).zip(new_v.chunks_mut(PIECE)).enumerate();
    let coefficients = Coefficients::of(rates);
    each::<B, _>(pieces, |(index, ((new_p, new_m), new_v))| {
        let piece = index * PIECE..index * PIECE + new_p.len();
        let old = old.map(|old| old.map(|values| &values[piece.clone()]));
        dispatch(Update {
            coefficients,
            p: &p[piece.clone()],
            g: &g[piece],
            old,
            new: [new_p, new_m, new_v],
        });
    });
    let [p, m, v] = new.map(|values| {
        let length = values.len();
        Tensor::from_primitive::<B>(tensor::<B>(values, [length]))
    });
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
    p: &'a [f32],
    g: &'a [f32],
    old: Option<[&'a [f32]; 2]>,
    new: [&'a mut [f32]; 3],
}

impl Job for Update<'_> {
    type Output = ();

    /// In the order of the portable operation, so that the result is bit-identical.
    #[inline(always)]
    fn run<I: Instructions>(self) {
        let Coefficients { betas, rests, second_correction, eps, rate, shrink } = self.coefficients;
        let [new_p, new_m, new_v] = self.new;
        match self.old {
            Some([m, v]) => {
                for ((new, m), g) in new_m.iter_mut().zip(m).zip(self.g) {
                    *new = m * betas[0] + g * rests[0];
                }
                for ((new, v), g) in new_v.iter_mut().zip(v).zip(self.g) {
                    *new = v * betas[1] + g * g * rests[1];
                }
            }
            None => {
                for ((new_m, new_v), g) in new_m.iter_mut().zip(&mut *new_v).zip(self.g) {
                    (*new_m, *new_v) = (g * rests[0], g * g * rests[1]);
                }
            }
        }
        for (((new, p), m), v) in new_p.iter_mut().zip(self.p).zip(&*new_m).zip(&*new_v) {
            *new = p * shrink - m / (v.sqrt() / second_correction + eps) * rate;
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use crate::ops::{AdamWRates, adamw};
    use burn::tensor::{Device, Distribution, Tensor};

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
}
