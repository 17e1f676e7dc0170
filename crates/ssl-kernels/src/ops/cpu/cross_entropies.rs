//! Cross entropies a row at a time: once for the largest logit, once for the sum, and once for each target.
//!
//! ```text
//! a = s / T,   m = max a,   l = log Σ_k exp(a_k − m),   n = Σ over targets and k of q_k
//! cost = n l + Σ q_k (m − a_k),   ds_k = (n exp(a_k − m − l) − Σ q_k) dcost / T
//! ```
//!
//! Neither term of a cost is negative, so nothing cancels.

use burn::backend::DispatchTensor;
use burn::backend::TensorMetadata;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::tensor::Tensor;

use super::exponentials::largest;
use super::normal::exp;
use super::parallel::{each, map};
use super::pool::any_values;
use super::simd::{Instructions, Job, dispatch};
use super::{Bridge, Host, Tracked, tensor, tracked};
use crate::ops::Pairs;

/// Values per job, about.
const PIECE: usize = 1 << 14;
/// Values whose sum is computed in float32.
const SUMMED: usize = 1 << 10;
/// Sums that run side by side, as many as the widest vector has.
const SIDE: usize = 16;

/// See [`cross_entropies`](crate::ops::cross_entropies).
pub(in crate::ops) fn cross_entropies<B: Host>(
    logits: Tensor<2>,
    targets: Tensor<2>,
    temperature: f64,
    pairs: Pairs,
) -> Tensor<1>
where
    DispatchTensor: Bridge<B>,
{
    let plain = !logits.device().is_autodiff();
    let (logits, targets) = (tracked::<B>(logits), tracked::<B>(targets));
    let node = logits.node();
    let (logits, targets) = (B::contiguous(logits.primitive()), B::contiguous(targets.primitive()));
    let predictions = Predictions::<B> { logits, targets, temperature: temperature as f32, pairs };
    let (costs, scales) = predictions.costs();
    if plain {
        return Tensor::from_primitive::<B>(costs);
    }
    let costs = match CrossEntropies.prepare::<NoCheckpointing>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish((predictions, scales), costs),
        OpsKind::UnTracked(prepared) => prepared.finish(costs),
    };
    Tensor::from_primitive::<Tracked<B>>(costs)
}

/// What both passes read.
#[derive(Clone, Debug)]
struct Predictions<B: Host> {
    logits: FloatTensor<B>,
    targets: FloatTensor<B>,
    temperature: f32,
    pairs: Pairs,
}

/// What turns the logits of a row into probabilities.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// `m`
    largest: f32,
    /// `exp(l)`
    sum: f32,
    /// `n`
    targets: f32,
}

impl<B: Host> Predictions<B> {
    fn costs(&self) -> (FloatTensor<B>, Vec<Scale>) {
        let ([rows, class], rows_of_job) = self.lengths();
        let jobs = B::values(&self.logits).chunks((rows_of_job * class).max(1)).enumerate();
        let parts = map::<B, _, _>(jobs, |(index, logits)| {
            dispatch(Costs { logits, rows: self.rows(index * rows_of_job) })
        });
        let (mut costs, scales): (Vec<f32>, Vec<Scale>) = parts.into_iter().flatten().unzip();
        // Without classes there are no jobs.
        costs.resize(rows, 0.0);
        (tensor::<B>(costs, [rows]), scales)
    }

    fn gradient(&self, scales: &[Scale], of_costs: &[f32]) -> FloatTensor<B> {
        let ([rows, class], rows_of_job) = self.lengths();
        let mut gradient = any_values(rows * class);
        let length = (rows_of_job * class).max(1);
        let jobs = B::values(&self.logits).chunks(length).zip(gradient.chunks_mut(length));
        let jobs = jobs.zip(scales.chunks(rows_of_job).zip(of_costs.chunks(rows_of_job))).enumerate();
        each::<B, _>(jobs, |(index, ((logits, gradient), (scales, of_costs)))| {
            dispatch(Slopes { logits, rows: self.rows(index * rows_of_job), scales, of_costs, gradient });
        });
        tensor::<B>(gradient, [rows, class])
    }

    /// The shape of the logits, and the rows of a job.
    fn lengths(&self) -> ([usize; 2], usize) {
        let [rows, class] = self.logits.shape().dims();
        ([rows, class], (PIECE / class.max(1)).max(1))
    }

    fn rows(&self, first: usize) -> Rows<'_> {
        let [_, class]: [usize; 2] = self.targets.shape().dims();
        Rows {
            first,
            class,
            targets: B::values(&self.targets),
            temperature: self.temperature,
            pairs: self.pairs,
        }
    }
}

#[derive(Debug)]
struct CrossEntropies;

impl<B: Host> Backward<B, 1> for CrossEntropies {
    type State = (Predictions<B>, Vec<Scale>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let of_costs = B::contiguous(&grads.consume::<B>(&ops.node));
        let (predictions, scales) = ops.state;
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, predictions.gradient(&scales, B::values(&of_costs)));
        }
    }
}

/// The rows of a job, of which `first` is the first.
#[derive(Clone, Copy)]
struct Rows<'a> {
    first: usize,
    class: usize,
    targets: &'a [f32],
    temperature: f32,
    pairs: Pairs,
}

impl<'a> Rows<'a> {
    /// The targets of a row of the job.
    #[inline(always)]
    fn targets(self, row: usize) -> impl Iterator<Item = &'a [f32]> {
        let of_row = self.pairs.of(self.first + row, self.targets.len() / self.class);
        of_row.map(move |target| &self.targets[target * self.class..][..self.class])
    }
}

struct Costs<'a> {
    logits: &'a [f32],
    rows: Rows<'a>,
}

impl Job for Costs<'_> {
    type Output = Vec<(f32, Scale)>;

    #[inline(always)]
    fn run<I: Instructions>(self) -> Vec<(f32, Scale)> {
        let Self { logits, rows } = self;
        let mut costs = Vec::with_capacity(logits.len() / rows.class);
        for (row, logits) in logits.chunks_exact(rows.class).enumerate() {
            let largest = largest(logits) / rows.temperature;
            let below = |logit: f32| largest - logit / rows.temperature;
            let [sum] = totals(logits, logits, |logit, _| [exp(-below(logit))]);
            let (mut targets, mut distance) = (0.0, 0.0);
            for target in rows.targets(row) {
                let [all, far] = totals(target, logits, |q, logit| [q, q * below(logit)]);
                (targets, distance) = (targets + all, distance + far);
            }
            let scale = Scale { largest, sum: sum as f32, targets: targets as f32 };
            costs.push(((targets * sum.ln() + distance) as f32, scale));
        }
        costs
    }
}

/// The sums of `terms` over the elements of two rows, in an order that does not depend on the processor.
#[inline(always)]
fn totals<const N: usize>(a: &[f32], b: &[f32], terms: impl Fn(f32, f32) -> [f32; N]) -> [f64; N] {
    let mut totals = [0.0; N];
    for (a, b) in a.chunks(SUMMED).zip(b.chunks(SUMMED)) {
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<SIDE>(), b.as_chunks::<SIDE>());
        let mut sums = [[0.0; SIDE]; N];
        for (a, b) in a.iter().zip(b) {
            for i in 0..SIDE {
                let terms = terms(a[i], b[i]);
                (0..N).for_each(|n| sums[n][i] += terms[n]);
            }
        }
        for (i, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
            let terms = terms(*a, *b);
            (0..N).for_each(|n| sums[n][i] += terms[n]);
        }
        for (total, sums) in totals.iter_mut().zip(sums) {
            *total += sums.iter().map(|sum| f64::from(*sum)).sum::<f64>();
        }
    }
    totals
}

struct Slopes<'a> {
    logits: &'a [f32],
    rows: Rows<'a>,
    scales: &'a [Scale],
    of_costs: &'a [f32],
    gradient: &'a mut [f32],
}

impl Job for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        let Self { logits, rows, scales, of_costs, gradient } = self;
        let values = logits.chunks_exact(rows.class).zip(gradient.chunks_exact_mut(rows.class));
        for (row, (logits, gradient)) in values.enumerate() {
            let (Scale { largest, sum, targets }, slope) = (scales[row], of_costs[row] / rows.temperature);
            let factor = slope * targets / sum;
            for (gradient, logit) in gradient.iter_mut().zip(logits) {
                *gradient = factor * exp(logit / rows.temperature - largest);
            }
            for target in rows.targets(row) {
                gradient.iter_mut().zip(target).for_each(|(gradient, q)| *gradient -= slope * q);
            }
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Distribution, Tensor, TensorData, activation::softmax};

    use crate::ops::comparison::{device, on_every_host};
    use crate::ops::cpu::alone;
    use crate::ops::cross_entropies::{cross_entropies, portable};
    use crate::ops::{Pairs, with_backend_kernels};

    const TEMPERATURE: f64 = 0.1;
    /// Rows, targets and classes.
    const CASES: [([usize; 3], Pairs); 6] = [
        ([1, 1, 1], Pairs::Same),
        ([7, 7, 40], Pairs::Same),
        ([300, 300, 65], Pairs::Same),
        ([12, 6, 5], Pairs::OtherViews { images: 3 }),
        ([6, 6, 3000], Pairs::OtherViews { images: 2 }),
        ([4, 2, 20_000], Pairs::OtherViews { images: 2 }),
    ];

    fn input([rows, targets, class]: [usize; 3]) -> (Tensor<2>, Tensor<2>) {
        let random = |rows| Tensor::random([rows, class], Distribution::Normal(0.0, 1.0), &device());
        // Targets need not add up to one.
        (random(rows), softmax(random(targets).mul_scalar(3.0), 1).mul_scalar(0.9))
    }

    /// What a row counts.
    fn weight(row: usize) -> f64 {
        (row as f64 + 1.0).sin()
    }

    /// Costs, and the gradient of their sum with unequal weights.
    fn run(
        (logits, targets): &(Tensor<2>, Tensor<2>),
        pairs: Pairs,
        op: fn(Tensor<2>, Tensor<2>, f64, Pairs) -> Tensor<1>,
    ) -> [TensorData; 2] {
        let logits = Tensor::from_inner(logits.clone()).require_grad();
        let costs = op(logits.clone(), Tensor::from_inner(targets.clone()), TEMPERATURE, pairs);
        let weights: Vec<f32> = (0..costs.dims()[0]).map(|row| weight(row) as f32).collect();
        let weighted = costs.clone() * Tensor::<1>::from_floats(weights.as_slice(), &costs.device());
        let gradient = logits.grad(&weighted.sum().backward()).expect("of the logits");
        [costs.inner().into_data(), gradient.into_data()]
    }

    /// The same by definition, in float64.
    fn by_definition((logits, targets): &(Tensor<2>, Tensor<2>), pairs: Pairs) -> [Vec<f64>; 2] {
        let ([_, class], [count, _]) = (logits.dims(), targets.dims());
        let list = |tensor: &Tensor<2>| tensor.to_data().iter::<f64>().collect::<Vec<_>>();
        let (logits, targets) = (list(logits), list(targets));
        let (mut costs, mut gradient) = (Vec::new(), Vec::new());
        for (row, logits) in logits.chunks(class).enumerate() {
            let scaled: Vec<f64> = logits.iter().map(|logit| logit / TEMPERATURE).collect();
            let log_sum = scaled.iter().map(|logit| logit.exp()).sum::<f64>().ln();
            let mut wanted = vec![0.0; class];
            for target in pairs.of(row, count) {
                let target = &targets[target * class..][..class];
                wanted.iter_mut().zip(target).for_each(|(sum, q)| *sum += q);
            }
            let cost: f64 = wanted.iter().zip(&scaled).map(|(q, logit)| q * (log_sum - logit)).sum();
            let all: f64 = wanted.iter().sum();
            costs.push(cost);
            gradient.extend(
                wanted
                    .iter()
                    .zip(&scaled)
                    .map(|(q, logit)| weight(row) / TEMPERATURE * (all * (logit - log_sum).exp() - q)),
            );
        }
        [costs, gradient]
    }

    fn check(shape: [usize; 3], pairs: Pairs) {
        let input = input(shape);
        let want = by_definition(&input, pairs);
        for op in [cross_entropies, portable] {
            for (index, (found, want)) in run(&input, pairs, op).iter().zip(&want).enumerate() {
                let largest = want.iter().fold(1e-3, |a: f64, b| a.max(b.abs()));
                for (found, want) in found.iter::<f64>().zip(want) {
                    let error = (found - want).abs() / largest;
                    assert!(error < 3e-6, "{shape:?}, {pairs:?}: result {index} by {error:e}");
                }
            }
        }
    }

    #[test]
    fn costs_and_gradients_are_those_of_float64() {
        on_every_host(|| CASES.into_iter().for_each(|(shape, pairs)| check(shape, pairs)));
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let _alone = alone();
        let inputs = CASES.map(|(shape, pairs)| (input(shape), pairs));
        let results = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| inputs.each_ref().map(|(input, pairs)| run(input, *pairs, cross_entropies)))
        };
        let one = results(1);
        for threads in [2, 3, 7] {
            assert_eq!(results(threads), one, "{threads} threads");
        }
    }

    #[test]
    fn logits_that_are_far_apart_cost_their_distance() {
        let device = Device::flex();
        let input = (
            Tensor::from_floats([[5e3, -5e3, 0.0]], &device),
            Tensor::from_floats([[0.0, 1.0, 0.0]], &device),
        );
        let [costs, gradient] = run(&input, Pairs::Same, cross_entropies);
        let slope = weight(0) as f32 * 10.0;
        assert_eq!(costs.iter::<f32>().collect::<Vec<_>>(), [1e5]);
        for (found, want) in gradient.iter::<f32>().zip([slope, -slope, 0.0]) {
            assert!((found - want).abs() < 1e-4, "{found}, expected {want}");
        }
    }

    #[test]
    fn kernels_of_the_backend_can_be_chosen_and_rows_without_another_view_cost_nothing() {
        let _alone = alone();
        let input = input([6, 6, 3000]);
        let pairs = Pairs::OtherViews { images: 2 };
        let of_backend = with_backend_kernels(|| run(&input, pairs, cross_entropies));
        assert_eq!(of_backend, run(&input, pairs, portable));
        let single = Pairs::OtherViews { images: 6 };
        for op in [cross_entropies, portable] {
            let costs = op(input.0.clone(), input.1.clone(), TEMPERATURE, single);
            assert!(costs.into_data().iter::<f32>().all(|cost| cost == 0.0));
        }
    }

    #[test]
    fn logits_of_any_layout_are_read_and_nothing_costs_nothing() {
        let _alone = alone();
        let (logits, targets) = input([7, 7, 40]);
        let turned = logits.clone().transpose().into_data();
        let turned = Tensor::<2>::from_data(turned, &Device::flex()).transpose();
        let cost = |logits, targets| cross_entropies(logits, targets, TEMPERATURE, Pairs::Same).into_data();
        assert_eq!(cost(turned, targets.clone()), cost(logits, targets));
        let empty = |shape: [usize; 2]| Tensor::<2>::zeros(shape, &Device::flex());
        assert_eq!(cost(empty([0, 4]), empty([0, 4])).num_elements(), 0);
        assert_eq!(cost(empty([3, 0]), empty([3, 0])), TensorData::from([0.0_f32; 3]));
    }

    #[test]
    #[should_panic(expected = "a temperature of 0, expected one above 0")]
    fn a_temperature_of_zero_is_refused() {
        let (logits, targets) = input([1, 1, 1]);
        cross_entropies(logits, targets, 0.0, Pairs::Same);
    }

    #[test]
    #[should_panic(expected = "cross entropies: 5 targets of 9 rows, in views of 3 images")]
    fn targets_are_of_whole_views() {
        let (logits, targets) =
            (Tensor::zeros([9, 2], &Device::flex()), Tensor::zeros([5, 2], &Device::flex()));
        cross_entropies(logits, targets, 1.0, Pairs::OtherViews { images: 3 });
    }
}
