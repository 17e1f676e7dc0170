use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::Device;
use ssl_kernels::DeviceSpec;

use super::*;

fn device() -> Device {
    DeviceSpec::Flex.open().expect("flex is compiled in")
}

/// Unordered values of many magnitudes, so that the order of a sum shows in its bits.
fn scattered(rank: usize) -> Tensor<1> {
    let value = |index: usize| ((rank * 1000 + index) as f32).sin() * 10_f32.powi(index as i32 % 7 - 3);
    Tensor::from_floats(std::array::from_fn::<f32, 500, _>(value), &device())
}

fn bits<const D: usize>(tensor: Tensor<D>) -> Vec<u32> {
    tensor.into_data().iter::<f32>().map(f32::to_bits).collect()
}

/// The message with which the work of these ranks panics.
fn panic_of(count: usize, work: impl Fn(Group) + Sync) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| ranks(count, work))).expect_err("it panics");
    text(panic.as_ref()).expect("a panic with a text").to_owned()
}

#[test]
fn results_come_in_the_order_of_ranks() {
    assert_eq!(ranks(3, |group| (group.rank(), group.size())), [(0, 3), (1, 3), (2, 3)]);
}

#[test]
fn a_sum_has_the_same_bits_on_all_ranks_and_in_all_runs() {
    let run = || ranks(4, |group| bits(group.all_reduce_sum(scattered(group.rank()))));
    let in_order = bits((1..4).fold(scattered(0), |sum, rank| sum + scattered(rank)));
    for _ in 0..3 {
        assert_eq!(run(), vec![in_order.clone(); 4]);
    }
    let backwards = bits((0..3).rev().fold(scattered(3), |sum, rank| sum + scattered(rank)));
    assert_ne!(in_order, backwards, "no order shows in these values");
}

#[test]
fn rows_are_gathered_in_the_order_of_ranks_whatever_their_number() {
    let counts = [2, 0, 3];
    let gathered = ranks(3, |group| {
        let rank = group.rank();
        let values: Vec<f32> = (0..2 * counts[rank]).map(|index| (10 * rank + index) as f32).collect();
        let rows = Tensor::<2>::from_data(TensorData::new(values, [counts[rank], 2]), &device());
        group.all_gather(rows).into_data()
    });
    let all = TensorData::from([[0.0, 1.0], [2.0, 3.0], [20.0, 21.0], [22.0, 23.0], [24.0, 25.0_f32]]);
    assert_eq!(gathered, [all.clone(), all.clone(), all]);
}

#[test]
fn rows_that_nobody_has_are_none_of_the_same_width() {
    let gathered = ranks(2, |group| group.all_gather(Tensor::zeros([0, 3], &device())).dims());
    assert_eq!(gathered, [[0, 3], [0, 3]]);
}

#[test]
fn the_bytes_of_the_root_reach_all_ranks() {
    let received = ranks(3, |group| group.broadcast(vec![group.rank() as u8; 2], 1));
    assert_eq!(received, [[1, 1], [1, 1], [1, 1]]);
}

#[test]
fn many_calls_in_a_row_do_not_mix() {
    let work = |group: Group| {
        (0..500)
            .map(|round| {
                group.barrier();
                let value = Tensor::<1>::full([1], (round * (group.rank() + 1)) as f32, &device());
                group.all_reduce_sum(value).into_scalar::<f32>()
            })
            .collect::<Vec<_>>()
    };
    let sums: Vec<f32> = (0..500).map(|round| (round * 6) as f32).collect();
    assert_eq!(ranks(3, work), vec![sums; 3]);
}

#[test]
fn abort_ends_a_rank_that_waits_and_one_that_comes_later() {
    let message = panic_of(2, |group| match group.rank() {
        0 => group.abort(),
        _ => group.barrier(),
    });
    assert_eq!(message, "rank 1: the group was ended by rank 0");
    let message = panic_of(1, |group| {
        group.abort();
        group.barrier();
    });
    assert_eq!(message, "rank 0: the group was ended by rank 0");
}

#[test]
fn the_panic_of_a_rank_is_that_of_the_group() {
    let message = panic_of(3, |group| {
        assert_ne!(group.rank(), 1, "the unlucky one");
        group.barrier();
    });
    assert!(message.starts_with("rank 1: ") && message.contains("the unlucky one"), "{message}");
}

#[test]
fn a_rank_that_returns_too_early_leaves_nobody_waiting() {
    let message = panic_of(2, |group| {
        group.barrier();
        if group.rank() == 0 {
            group.barrier();
        }
    });
    assert_eq!(message, "rank 0: rank 1 has returned and misses a call of the others");
}

#[test]
fn different_calls_are_an_error_on_every_rank() {
    let message = panic_of(2, |group| {
        let length = 2 + group.rank();
        group.all_reduce_sum(Tensor::zeros([length], &device()));
    });
    assert!(
        message.contains("'all_reduce_sum of 3 values' while rank 0 makes 'all_reduce_sum of 2 values'"),
        "{message}"
    );
    let message = panic_of(2, |group| match group.rank() {
        0 => group.barrier(),
        _ => drop(group.all_gather(Tensor::zeros([1, 4], &device()))),
    });
    assert!(
        message.contains("'all_gather of rows with 4 columns' while rank 0 makes 'barrier'"),
        "{message}"
    );
}

#[test]
fn a_tensor_with_autodiff_is_refused() {
    let message = panic_of(1, |group| {
        group.all_reduce_sum(Tensor::zeros([1], &device().autodiff()));
    });
    assert!(message.contains("a group exchanges plain values"), "{message}");
}

#[test]
fn faulty_groups_are_wrong_in_the_way_they_say() {
    let sums = |fault: Fault| {
        ranks(2, |group| {
            let value = Tensor::<1>::full([1], group.rank() as f32 + 1.0, &device());
            fault.in_group(group).all_reduce_sum(value).into_scalar::<f32>()
        })
    };
    assert_eq!(sums(Fault::NoSum), [1.0, 2.0]);
    assert_eq!(sums(Fault::Scale(0.5)), [1.5, 1.5]);
    assert_eq!(sums(Fault::NoGather), [3.0, 3.0]);
    let rows = ranks(2, |group| {
        let row = Tensor::<2>::full([1, 1], group.rank() as f32, &device());
        Fault::NoGather.in_group(group).all_gather(row).into_data()
    });
    assert_eq!(rows, [TensorData::from([[0.0_f32], [0.0]]), TensorData::from([[1.0_f32], [1.0]])]);
}
