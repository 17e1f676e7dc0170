//! Balanced assignment of samples to prototypes.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use ssl_kernels::Group;

/// Codes: soft assignments of samples to prototypes, balanced so that all prototypes are used equally.
///
/// ```text
/// Q = exp(scores / ε) / total
/// repeat `iterations` times:   column k of Q ← column k / its sum / prototypes,   row b of Q ← row b / its sum / samples
/// codes = samples · Q
/// ```
///
/// Constant factors cancel in the next normalisation. So in log space, one iteration is a `log_softmax` over the
/// samples and one over the prototypes, and nothing overflows or vanishes whatever the scores.
///
/// # Shapes
/// - `scores`: `[sample, prototype]`, used without gradient
/// - returns: `[take_last, prototype]`, the codes of the last samples, on the plain device; each row sums to 1 unless
///   `iterations` is 0
///
/// # Panics
/// If `take_last` exceeds the number of samples.
///
/// # Source
/// Cuturi 2013, <https://arxiv.org/abs/1306.0895>; Caron et al. 2020, section 3.1 and eq. 3 to 5,
/// <https://arxiv.org/abs/2006.09882>.
/// Differs from the official `main_swav.py`, which exponentiates the scores directly.
pub fn sinkhorn(scores: Tensor<2>, epsilon: f64, iterations: usize, take_last: usize) -> Tensor<2> {
    let [samples, prototypes] = scores.dims();
    assert!(take_last <= samples, "Sinkhorn: the last {take_last} of {samples} samples");
    let scores = scores.without_autodiff().div_scalar(epsilon);
    let of_total = log_softmax(scores.reshape([1, samples * prototypes]), 1);
    let start = of_total.reshape([samples, prototypes]).add_scalar((samples as f64).ln());
    let log_codes = (0..iterations).fold(start, |codes, _| log_softmax(log_softmax(codes, 0), 1));
    log_codes.narrow(0, samples - take_last, take_last).exp()
}

/// [`sinkhorn`] of the samples of all processes: the codes of this one's.
///
/// Processes exchange a largest score and a sum for each prototype, twice per iteration, and no scores of samples.
///
/// # Shapes
/// - `scores`: `[sample, prototype]`, those of this process, used without gradient; each sample belongs to one process
/// - `counts`: whether they are samples at all; a process without any passes some row that must not count
/// - returns: `[take_last, prototype]`, the codes of the last samples of this process
///
/// # Panics
/// If `take_last` exceeds the number of samples, or `iterations` is 0 and there are several processes.
pub fn sinkhorn_in_group(
    scores: Tensor<2>,
    epsilon: f64,
    iterations: usize,
    take_last: usize,
    counts: bool,
    group: &Group,
) -> Tensor<2> {
    if group.is_solo() {
        return sinkhorn(scores, epsilon, iterations, take_last);
    }
    let [samples, _] = scores.dims();
    assert!(take_last <= samples, "Sinkhorn: the last {take_last} of {samples} samples");
    assert!(iterations > 0, "Sinkhorn: without an iteration, nothing is balanced");
    let start = scores.without_autodiff().div_scalar(epsilon);
    let log_codes = (0..iterations).fold(start, |codes, _| {
        let of_prototypes = log_sum_exp(&codes, counts, group);
        log_softmax(codes - of_prototypes, 1)
    });
    log_codes.narrow(0, samples - take_last, take_last).exp()
}

/// The logarithm of the sum of exponentials over the rows of all processes, `[1, column]`.
fn log_sum_exp(rows: &Tensor<2>, counts: bool, group: &Group) -> Tensor<2> {
    /// Less than any score, and finite.
    const LEAST: f32 = f32::MIN / 4.0;
    let (device, [_, columns]) = (rows.device(), rows.dims());
    let largest = if counts { rows.clone().max_dim(0) } else { Tensor::full([1, columns], LEAST, &device) };
    let largest = group.all_gather(largest).max_dim(0);
    let sum = match counts {
        true => (rows.clone() - largest.clone()).exp().sum_dim(0),
        false => Tensor::zeros([1, columns], &device),
    };
    largest + group.all_reduce_sum(sum.reshape([columns])).reshape([1, columns]).log()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;
    use burn::tensor::{Device, Int, Tolerance};

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    /// Deterministic pseudo-random scores between −1 and 1.
    fn scores(samples: usize, prototypes: usize) -> Tensor<2> {
        let places = Tensor::<1, Int>::arange(1..(samples * prototypes) as i64 + 1, &device()).float();
        (places.clone() * places * 0.618).sin().reshape([samples, prototypes])
    }

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_to_vec().expect("floats")
    }

    fn assert_all_close(tensor: Tensor<2>, want: f32, tolerance: f32) {
        for value in values(tensor) {
            assert!((value - want).abs() < tolerance, "{value} is not {want}");
        }
    }

    #[test]
    fn every_sample_is_assigned_once_and_every_prototype_gets_its_share() {
        let codes = sinkhorn(scores(12, 4), 0.1, 60, 12);
        assert_all_close(codes.clone().sum_dim(1), 1.0, 1e-5);
        assert_all_close(codes.sum_dim(0), 3.0, 1e-2);
    }

    #[test]
    fn samples_that_are_all_alike_are_assigned_to_every_prototype() {
        let alike = scores(1, 5).repeat(&[6, 1]);
        assert_all_close(sinkhorn(alike, 0.05, 3, 6), 0.2, 1e-5);
    }

    #[test]
    fn it_is_the_loop_of_the_definition() {
        let (samples, prototypes) = (7, 5);
        let mut q = scores(samples, prototypes).div_scalar(0.1).exp();
        q = q.clone() / q.sum().reshape([1, 1]);
        for _ in 0..3 {
            q = q.clone() / q.sum_dim(0).mul_scalar(prototypes as f64);
            q = q.clone() / q.sum_dim(1).mul_scalar(samples as f64);
        }
        let want = q.mul_scalar(samples as f64).into_data();
        let codes = sinkhorn(scores(samples, prototypes), 0.1, 3, samples).into_data();
        codes.assert_approx_eq::<f32>(&want, Tolerance::absolute(1e-6).set_relative(1e-5));
    }

    #[test]
    fn without_iterations_the_scores_are_normalised_in_total_alone() {
        let codes = sinkhorn(scores(6, 4), 0.1, 0, 6);
        assert!((codes.sum().into_scalar::<f32>() - 6.0).abs() < 1e-4);
    }

    #[test]
    fn the_last_samples_are_those_of_the_whole() {
        let all = sinkhorn(scores(9, 4), 0.05, 3, 9);
        assert_eq!(values(sinkhorn(scores(9, 4), 0.05, 3, 2)), values(all.narrow(0, 7, 2)));
    }

    #[test]
    fn scores_far_apart_and_far_from_zero_give_finite_codes() {
        // exp(scores / ε) of ±110 is infinite or 0 in float32, and so is a row 220 below the others.
        let rows = Tensor::<2>::from_floats([[5.5, 5.4, 5.3], [-5.5, -5.4, -5.3]], &device());
        let codes = sinkhorn(rows.clone(), 0.05, 3, 2);
        assert_all_close(codes.sum_dim(1), 1.0, 1e-5);
        // A constant added to all scores changes nothing.
        let shifted = values(sinkhorn(rows.clone() + 100.0, 0.05, 3, 2));
        for (value, want) in shifted.iter().zip(values(sinkhorn(rows, 0.05, 3, 2))) {
            assert!((value - want).abs() < 1e-3, "{value} is not {want}");
        }
    }

    #[test]
    fn codes_carry_no_gradient() {
        let leaf = Tensor::from_data(scores(4, 3).into_data(), &device().autodiff()).require_grad();
        let codes = sinkhorn(leaf.clone(), 0.05, 3, 4);
        assert!(!codes.is_autodiff());
        assert!(
            leaf.grad(&(leaf.clone() * codes).sum().backward()).is_some(),
            "codes are constants to a loss"
        );
    }

    #[test]
    fn processes_assign_as_one_would() {
        let all = scores(9, 4);
        let want = sinkhorn(all.clone(), 0.1, 3, 9);
        // Two, three and four samples, of which the last two, three and two are assigned; the last process has none.
        let parts = [(0, 2, 2), (2, 3, 3), (5, 4, 2), (0, 1, 1)];
        let codes = ssl_testing::ranks(4, |group| {
            let (from, count, last) = parts[group.rank()];
            let own = scores(9, 4).narrow(0, from, count);
            values(sinkhorn_in_group(own, 0.1, 3, last, group.rank() < 3, &group))
        });
        let want = |from, count| values(want.clone().narrow(0, from, count));
        for (found, want) in codes.iter().zip([want(0, 2), want(2, 3), want(7, 2)]) {
            let gap = found.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(gap < 1e-6, "{found:?} is not {want:?}");
        }
        assert!(codes[3].iter().all(|code| code.is_finite()), "{:?}", codes[3]);
    }

    #[test]
    fn one_process_has_the_same_bits() {
        let alone = sinkhorn_in_group(scores(6, 5), 0.05, 3, 4, true, &Group::default());
        assert_eq!(alone.into_data(), sinkhorn(scores(6, 5), 0.05, 3, 4).into_data());
    }
}
