//! Stochastic gradient descent in one pass over the parameters, in place if nothing else uses the old values.

use burn::backend::{DispatchTensor, TensorMetadata};
use burn::tensor::Tensor;

use super::parallel::each;
use super::pool::any_values;
use super::simd::{Instructions, Job, dispatch};
use super::{Bridge, Host, owned, tensor};
use crate::ops::sgd_rates::SgdRates;

/// Values per job.
const PIECE: usize = 1 << 15;

/// See [`sgd_momentum`](crate::ops::sgd_momentum).
pub(in crate::ops) fn sgd_momentum<B: Host>(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    buffer: Option<Tensor<1>>,
    rates: SgdRates,
    layer: Option<Tensor<1>>,
) -> (Tensor<1>, Tensor<1>)
where
    DispatchTensor: Bridge<B>,
{
    let primitive = |t: Tensor<1>| t.try_into_primitive::<B>().expect("the device was checked");
    let (mut p, g) = (owned::<B>(primitive(parameter)), B::contiguous(&primitive(gradient)));
    let layer = layer.map(|layer| B::contiguous(&primitive(layer)));
    let layer = layer.as_ref().map_or([1.0, 1.0], |layer| [0, 1].map(|index| B::values(layer)[index]));
    let (length, is_first) = (g.shape().num_elements(), buffer.is_none());
    let mut buffer = match buffer {
        Some(buffer) => owned::<B>(primitive(buffer)),
        None => tensor::<B>(any_values(length), [length]),
    };
    let lengths = [&p, &buffer].map(|tensor| tensor.shape().num_elements());
    assert_eq!(lengths, [length; 2], "SGD: values of parameter and buffer, and of the gradient");
    let [p_values, buffer_values] =
        [&mut p, &mut buffer].map(|tensor| B::own_values(tensor).expect("made one's own above"));
    let pieces =
        p_values.chunks_mut(PIECE).zip(buffer_values.chunks_mut(PIECE)).zip(B::values(&g).chunks(PIECE));
    each::<B, _>(pieces, |((p, buffer), g)| dispatch(Update { p, g, buffer, is_first, rates, layer }));
    (Tensor::from_primitive::<B>(p), Tensor::from_primitive::<B>(buffer))
}

struct Update<'a> {
    p: &'a mut [f32],
    g: &'a [f32],
    buffer: &'a mut [f32],
    /// Whether the buffer has no values yet.
    is_first: bool,
    rates: SgdRates,
    /// Factor of the gradient, and share of the weight decay.
    layer: [f32; 2],
}

impl Job for Update<'_> {
    type Output = ();

    /// In the order of the portable operation, so that the result is bit-identical.
    #[inline(always)]
    fn run<I: Instructions>(self) {
        let Self { p, g, buffer, is_first, rates, layer: [factor, share] } = self;
        let (lr, momentum, decay) = (rates.lr as f32, rates.momentum as f32, share * rates.decay as f32);
        let (in_buffer, lr) = if rates.lr_in_momentum { (lr, 1.0) } else { (1.0, lr) };
        let next = |p: f32, g: f32, b: f32| {
            let g = (g + p * decay) * factor * in_buffer;
            (g, if is_first { g } else { b * momentum + g })
        };
        let rows = buffer.iter_mut().zip(p.iter_mut().zip(g));
        if rates.nesterov {
            rows.for_each(|(b, (p, g))| {
                let (g, next) = next(*p, *g, *b);
                (*p, *b) = (*p - (next * momentum + g) * lr, next);
            });
        } else {
            rows.for_each(|(b, (p, g))| {
                let (_, next) = next(*p, *g, *b);
                (*p, *b) = (*p - next * lr, next);
            });
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use crate::ops::comparison::{assert_close, device, on_every_host, random};
    use crate::ops::{SgdRates, sgd, sgd_momentum};
    use burn::tensor::{Device, Distribution, FloatDType, Tensor, TensorData};

    #[test]
    fn updates_have_the_bits_of_the_portable_operation() {
        let device = Device::flex();
        let usual = SgdRates { lr: 0.06, momentum: 0.9, decay: 5e-4, ..SgdRates::default() };
        let random = || Tensor::<1>::random([70_001], Distribution::Uniform(-1.0, 1.0), &device);
        let (p, g) = (random(), random());
        let layer = Tensor::from_floats([0.37, 1.0], &device);
        let lars = SgdRates { lr_in_momentum: true, ..usual };
        let nesterov = SgdRates { nesterov: true, ..usual };
        for (rates, layer) in
            [(usual, None), (nesterov, None), (usual, Some(layer.clone())), (lars, Some(layer))]
        {
            for buffer in [None, Some(random())] {
                let ours = sgd_momentum(p.clone(), g.clone(), buffer.clone(), rates, layer.clone());
                let portable = sgd::portable(p.clone(), g.clone(), buffer, rates, layer.clone());
                assert_eq!(ours.0.into_data(), portable.0.into_data(), "{rates:?}");
                assert_eq!(ours.1.into_data(), portable.1.into_data(), "{rates:?}");
            }
        }
    }

    /// The parameters and the buffer after four updates.
    fn four(rates: SgdRates, layer: Option<[f32; 2]>, dtype: FloatDType) -> [TensorData; 2] {
        let layer = layer.map(|layer| Tensor::<1>::from_floats(layer, &device()).cast(dtype));
        let (mut p, mut buffer) = (random([1001], 9).cast(dtype), None);
        for step in 1..5 {
            let g = random([1001], step).cast(dtype);
            let (next, sums) = sgd_momentum(p, g, buffer, rates, layer.clone());
            (p, buffer) = (next, Some(sums));
        }
        [p, buffer.expect("four updates")].map(Tensor::into_data)
    }

    #[test]
    fn some_updates_are_those_of_float64() {
        let usual = SgdRates { lr: 0.06, momentum: 0.9, decay: 5e-4, ..SgdRates::default() };
        let lars = SgdRates { lr_in_momentum: true, ..usual };
        let nesterov = SgdRates { nesterov: true, ..usual };
        on_every_host(|| {
            for (rates, layer) in
                [(usual, None), (nesterov, None), (usual, Some([0.37, 1.0])), (lars, Some([0.37, 1.0]))]
            {
                let run = |dtype| four(rates, layer, dtype);
                assert_close(&run(FloatDType::F32), &run(FloatDType::F64), 1e-6, &format!("{rates:?}"));
            }
        });
    }
}
