//! Checks the losses against the golden values of the conformance suite and naive float64 sums, and checks their
//! properties.

use burn::tensor::{Int, Tensor, Tolerance};
use ssl_moco::{moco, moco_v3};
use ssl_testing::oracle::{self, Rows};
use ssl_testing::tensors::{device, of_rows};
use ssl_testing::{Case, CaseError, LossInputs};

#[test]
fn the_loss_of_v1_and_v2_is_golden_and_keys_and_queue_get_no_gradient() -> Result<(), CaseError> {
    for case in Case::of("loss", "info_nce_queue") {
        let mut inputs = LossInputs::of(&case);
        let [q, k, queue] = inputs.take(["q", "k", "queue"])?;
        case.assert_passes(&inputs.outputs(moco(q, k, queue, case.param("temperature")?))?);
    }
    Ok(())
}

#[test]
fn the_loss_of_v3_is_golden_and_keys_get_no_gradient() -> Result<(), CaseError> {
    for case in Case::of("loss", "moco_v3") {
        let mut inputs = LossInputs::of(&case);
        let [q1, q2, k1, k2] = inputs.take(["q1", "q2", "k1", "k2"])?;
        case.assert_passes(&inputs.outputs(moco_v3(q1, q2, k1, k2, case.param("temperature")?))?);
    }
    Ok(())
}

/// Deterministic pseudo-random rows of unit length.
fn rows(count: usize, dim: usize, seed: usize) -> Rows {
    let unit = |row: Vec<f64>| {
        let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        row.into_iter().map(|x| x / length).collect()
    };
    oracle::rows(count, dim, seed).into_iter().map(unit).collect()
}

fn value(loss: Tensor<1>) -> f64 {
    f64::from(loss.into_scalar::<f32>())
}

/// The mean over queries of `−log( exp(⟨q_i, k_i⟩ / T) / Σ_j exp(⟨q_i, k_j⟩ / T) )`.
fn one_sided_info_nce(q: &Rows, k: &Rows, temperature: f64) -> f64 {
    let similarity = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / temperature;
    let loss = |i: usize| {
        let total: f64 = k.iter().map(|k| similarity(&q[i], k).exp()).sum();
        total.ln() - similarity(&q[i], &k[i])
    };
    (0..q.len()).map(loss).sum::<f64>() / q.len() as f64
}

#[test]
fn a_queue_of_the_other_keys_of_the_batch_gives_the_one_sided_info_nce() {
    let (q, k) = (rows(5, 4, 1), rows(5, 4, 2));
    for temperature in [0.2, 1.0] {
        let loss_of = |i: usize| {
            let others: Vec<_> =
                k.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, k)| k.clone()).collect();
            value(moco(of_rows(&q[i..=i]), of_rows(&k[i..=i]), of_rows(&others), temperature))
        };
        let mean = (0..5).map(loss_of).sum::<f64>() / 5.0;
        let want = one_sided_info_nce(&q, &k, temperature);
        assert!((mean - want).abs() < 1e-5 * want, "{mean} is not {want}");
    }
}

#[test]
fn v3_is_twice_the_temperature_times_the_one_sided_info_nce_of_both_directions() {
    let [q1, q2, k1, k2] = [1, 2, 3, 4].map(|seed| rows(6, 5, seed));
    for temperature in [0.2, 1.0] {
        let both = one_sided_info_nce(&q1, &k2, temperature) + one_sided_info_nce(&q2, &k1, temperature);
        let want = 2.0 * temperature * both;
        let loss = value(moco_v3(of_rows(&q1), of_rows(&q2), of_rows(&k1), of_rows(&k2), temperature));
        assert!((loss - want).abs() < 1e-5 * want, "{loss} is not {want}");
    }
}

#[test]
fn equal_embeddings_cost_the_log_of_the_number_of_candidates() {
    let ones = |count: usize| Tensor::<2>::ones([count, 4], &device()).div_scalar(2.0);
    let with_queue = |len: usize| value(moco(ones(3), ones(3), ones(len), 0.1));
    assert!((with_queue(1) - 2.0_f64.ln()).abs() < 1e-5 && (with_queue(15) - 16.0_f64.ln()).abs() < 1e-5);
    let in_batch = value(moco_v3(ones(8), ones(8), ones(8), ones(8), 0.25));
    assert!((in_batch - 8.0_f64.ln()).abs() < 1e-5, "4·T·log(batch)");
}

#[test]
fn order_and_length_do_not_matter_but_pairing_does() {
    let [q, k, queue] = [rows(5, 4, 1), rows(5, 4, 2), rows(7, 4, 3)].map(|rows| of_rows(&rows));
    let order = Tensor::<1, Int>::from_ints([3, 0, 4, 1, 2], &device());
    let permuted = |x: &Tensor<2>| x.clone().select(0, order.clone());
    let loss = value(moco(q.clone(), k.clone(), queue.clone(), 0.2));
    let same = [
        moco(permuted(&q), permuted(&k), queue.clone(), 0.2),
        moco(q.clone(), k.clone(), queue.clone().flip([0]), 0.2),
        moco(q.clone().mul_scalar(30.0), k.clone().mul_scalar(0.01), queue.clone(), 0.2),
    ];
    for other in same.map(value) {
        assert!((loss - other).abs() < 1e-5, "{other} is not {loss}");
    }
    assert!((loss - value(moco(q, permuted(&k), queue, 0.2))).abs() > 1e-2);
}

#[test]
fn the_order_of_the_views_does_not_matter_in_v3() {
    let [q1, q2, k1, k2] = [1, 2, 3, 4].map(|seed| of_rows(&rows(6, 5, seed)));
    let loss = moco_v3(q1.clone(), q2.clone(), k1.clone(), k2.clone(), 0.2).into_data();
    moco_v3(q2, q1, k2, k1, 0.2).into_data().assert_approx_eq::<f32>(&loss, Tolerance::default());
}
