//! The same trajectories with every batch shared by several ranks.
//!
//! A rank is a thread with its own networks; the ranks exchange values through a [`Group`] of `ssl-testing`. Batch norm
//! uses the statistics of all ranks, so every tensor must equal that of the case, within the case's tolerance.

use std::cell::RefCell;
use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use burn::tensor::Tensor;
use ssl_core::{Group, LossOf, Views, group};
use ssl_testing::{Case, Outputs, ranks};
use ssl_train::Gradients;

use super::super::Op;

/// The numbers of ranks that share a batch: 2 and 4 those of 4 and 8 images, 2 and 3 those of 6.
pub(in crate::conformance) const SIZES: [usize; 3] = [2, 3, 4];

/// The numbers of ranks that a case of every method has to be shared by.
const EXPECTED: [usize; 2] = [2, 4];

thread_local! {
    static GROUP: RefCell<Group> = RefCell::new(Group::default());
}

/// The group of the thread that runs a trajectory: alone, unless [`run`] started it.
pub(super) fn current() -> Group {
    GROUP.with_borrow(Clone::clone)
}

/// Whether a case is a trajectory whose batches this many ranks can share.
pub(in crate::conformance) fn divides(case: &Case, size: usize) -> bool {
    let splits = case.params.pointer("/encoder/splits").and_then(serde_json::Value::as_u64).unwrap_or(1);
    let batch = case.param::<usize>("batch").unwrap_or(0);
    // A group of a split batch norm is every n-th image, so a share must hold whole rounds of groups.
    case.group == "method" && batch > 0 && batch.is_multiple_of(size * splits as usize)
}

/// The methods with trajectories of which two ranks, or four, can share none, with what is missing.
pub(in crate::conformance) fn unshared(cases: &[Case]) -> Vec<(String, String)> {
    let methods: BTreeSet<&str> =
        cases.iter().filter(|case| case.group == "method").map(|case| case.op.as_str()).collect();
    let is_shared =
        |method: &str, size: usize| cases.iter().any(|case| case.op == method && divides(case, size));
    let missing = |method: &str| {
        let size = EXPECTED.into_iter().find(|&size| !is_shared(method, size))?;
        let expected = format!("expected a case whose batch is a multiple of {size}");
        Some((method.to_owned(), format!("no case can be shared by {size} ranks: {expected}")))
    };
    methods.into_iter().filter_map(missing).collect()
}

/// Runs a trajectory on `size` ranks and returns what the first computes; all must compute the same bits.
pub(in crate::conformance) fn run(case: &Case, op: Op, size: usize) -> Result<Outputs> {
    run_in(case, op, size, |group| group)
}

/// [`run`] in modified groups.
fn run_in(case: &Case, op: Op, size: usize, change: impl Fn(Group) -> Group + Sync) -> Result<Outputs> {
    let results = ranks(size, |group| -> Result<Outputs> {
        GROUP.set(change(group));
        op(case)
    });
    let mut outputs = results.into_iter().collect::<Result<Vec<_>>>()?;
    let first = outputs.swap_remove(0);
    for other in &outputs {
        ensure!(first == *other, "two ranks have different values");
    }
    Ok(first)
}

/// Runs a trajectory on the processes of a job, and returns what this one computes; all must compute the same bits, also when
/// they run it `again`.
pub(in crate::conformance) fn run_in_job(case: &Case, op: Op, group: &Group, again: bool) -> Result<Outputs> {
    GROUP.set(group.clone());
    let outputs = op(case)?;
    let second = if again { Some(op(case)?) } else { None };
    let all = group.gather_bytes(format!("{outputs:?} {second:?}").into_bytes());
    ensure!(all.iter().all(|of_rank| *of_rank == all[0]), "two ranks have different values");
    ensure!(second.is_none_or(|second| second == outputs), "a second run has other values than the first");
    Ok(outputs)
}

/// The images of this rank.
pub(super) fn share(views: Views, group: &Group) -> Views {
    let count = views.batch() / group.size();
    views.narrow(group.rank() * count, count)
}

/// What a trainer does with the loss and the gradients of a rank.
pub(super) fn reduce(loss: Tensor<1>, of: LossOf, gradients: &mut Gradients, group: &Group) -> Tensor<1> {
    let mut loss = loss.without_autodiff();
    if of == LossOf::Share && !group.is_solo() {
        gradients.scale(1.0 / group.size() as f64);
        loss = group::mean(loss, group);
    }
    gradients.all_reduce(group);
    loss
}

#[cfg(test)]
mod tests {
    use ssl_testing::{Fault, cases_dir};

    use super::super::OPS;
    use super::*;

    /// Whether a case passes on two ranks, with a mistake in their group if there is to be one.
    fn passes(name: &str, fault: Option<Fault>) -> bool {
        let path = cases_dir().join(format!("{name}.safetensors"));
        let case = Case::read(&path).expect("a case of the repository");
        let (_, op) = OPS.iter().find(|(op, _)| *op == case.op).expect("an implementation");
        assert!(divides(&case, 2), "{name} cannot be shared");
        let change = |group| match fault {
            Some(fault) => fault.in_group(group),
            None => group,
        };
        let Ok(outputs) = run_in(&case, *op, 2, change) else { return false };
        case.compare(&outputs).expect("all outputs").iter().all(|(_, comparison)| comparison.passes())
    }

    const CASES: [&str; 3] = ["method.simclr.sgd", "method.byol.sgd", "method.dino.resnet_sgd"];

    #[test]
    fn every_method_has_a_case_for_two_ranks_and_one_for_four() {
        let mut cases = Case::all(&cases_dir()).expect("cases of the repository");
        assert!(unshared(&cases).is_empty(), "{:?}", unshared(&cases));
        let batch = |cases: &mut [Case], batch: usize| {
            let of_msn = cases.iter_mut().filter(|case| case.group == "method" && case.op == "msn");
            of_msn.for_each(|case| case.params["batch"] = batch.into());
        };
        for (images, missing) in [(5, "multiple of 2"), (6, "multiple of 4")] {
            batch(&mut cases, images);
            let found = unshared(&cases);
            assert!(found.len() == 1 && found[0].0 == "msn" && found[0].1.contains(missing), "{found:?}");
        }
    }

    #[test]
    fn ranks_share_whole_rounds_of_the_groups_of_a_split_batch_norm() {
        let path = cases_dir().join("method.moco_v2.split_bn2.safetensors");
        let mut case = Case::read(&path).expect("a case of the repository");
        case.params["batch"] = 6.into();
        assert!(!divides(&case, 2), "three images are no round of two groups and another");
        assert!(divides(&case, 3));
    }

    #[test]
    fn a_second_run_has_the_same_bits() {
        for name in CASES {
            let path = cases_dir().join(format!("{name}.safetensors"));
            let case = Case::read(&path).expect("a case of the repository");
            let (_, op) = OPS.iter().find(|(op, _)| *op == case.op).expect("an implementation");
            let [first, second] = [(); 2].map(|()| run(&case, *op, 4).expect("four ranks share the batch"));
            assert!(first == second, "{name}");
        }
    }

    #[test]
    fn the_proof_fails_where_sums_or_gathered_rows_are_wrong() {
        for name in CASES {
            assert!(passes(name, None), "{name}");
            assert!(!passes(name, Some(Fault::NoSum)), "{name} without sums");
        }
        assert!(!passes("method.simclr.sgd", Some(Fault::NoGather)));
    }

    #[test]
    fn the_proof_fails_where_gradients_are_divided_by_the_number_of_ranks() {
        for name in CASES {
            assert!(!passes(name, Some(Fault::Scale(0.5))), "{name} with means for sums");
        }
    }
}
