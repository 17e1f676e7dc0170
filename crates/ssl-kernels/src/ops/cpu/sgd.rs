//! Stochastic gradient descent in one pass over the parameters.

use burn::backend::DispatchTensor;
use burn::tensor::Tensor;

use super::parallel::each;
use super::pool::any_values;
use super::{Bridge, Host, tensor};
use crate::ops::sgd_rates::SgdRates;

/// Values per job.
const PIECE: usize = 1 << 15;

/// See [`sgd_momentum`](crate::ops::sgd_momentum).
pub(in crate::ops) fn sgd_momentum<B: Host>(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    buffer: Option<Tensor<1>>,
    rates: SgdRates,
) -> (Tensor<1>, Tensor<1>)
where
    DispatchTensor: Bridge<B>,
{
    let primitive =
        |t: Tensor<1>| B::contiguous(&t.try_into_primitive::<B>().expect("the device was checked"));
    let (p, g, buffer) = (primitive(parameter), primitive(gradient), buffer.map(primitive));
    let (p, g, buffer) = (B::values(&p), B::values(&g), buffer.as_ref().map(B::values));
    let lengths = [g.len(), buffer.map_or(p.len(), <[f32]>::len)];
    assert_eq!(lengths, [p.len(); 2], "SGD: values of gradient and buffer, and of the parameter");
    let mut new_p = any_values(p.len());
    let mut new_buffer = any_values(p.len());
    let pieces = new_p.chunks_mut(PIECE).zip(new_buffer.chunks_mut(PIECE)).enumerate();
    each::<B, _>(pieces, |(index, (new_p, new_buffer))| {
        let piece = index * PIECE..index * PIECE + new_p.len();
        let buffer = buffer.map(|buffer| &buffer[piece.clone()]);
        update(&p[piece.clone()], &g[piece], buffer, rates, new_p, new_buffer);
    });
    let to_tensor = |values: Vec<f32>| {
        let len = values.len();
        Tensor::from_primitive::<B>(tensor::<B>(values, [len]))
    };
    (to_tensor(new_p), to_tensor(new_buffer))
}

/// In the order of the portable operation, so that the result is bit-identical.
fn update(
    p: &[f32],
    g: &[f32],
    buffer: Option<&[f32]>,
    rates: SgdRates,
    new_p: &mut [f32],
    new_buffer: &mut [f32],
) {
    let (lr, momentum, decay) = (rates.lr as f32, rates.momentum as f32, rates.decay as f32);
    match buffer {
        Some(buffer) => {
            let old = buffer.iter().zip(p.iter().zip(g));
            new_buffer
                .iter_mut()
                .zip(old)
                .for_each(|(new, (b, (p, g)))| *new = b * momentum + (g + p * decay));
        }
        None => {
            let old = p.iter().zip(g);
            new_buffer.iter_mut().zip(old).for_each(|(new, (p, g))| *new = g + p * decay);
        }
    }
    let old = p.iter().zip(new_buffer);
    new_p.iter_mut().zip(old).for_each(|(new, (p, b))| *new = p - *b * lr);
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use crate::ops::{SgdRates, sgd, sgd_momentum};
    use burn::tensor::{Device, Distribution, Tensor};

    #[test]
    fn updates_have_the_bits_of_the_portable_operation() {
        let device = Device::flex();
        let rates = SgdRates { lr: 0.06, momentum: 0.9, decay: 5e-4 };
        let random = || Tensor::<1>::random([70_001], Distribution::Uniform(-1.0, 1.0), &device);
        let (p, g) = (random(), random());
        for buffer in [None, Some(random())] {
            let ours = sgd_momentum(p.clone(), g.clone(), buffer.clone(), rates);
            let portable = sgd::portable(p.clone(), g.clone(), buffer, rates);
            assert_eq!(ours.0.into_data(), portable.0.into_data());
            assert_eq!(ours.1.into_data(), portable.1.into_data());
        }
    }
}
