use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier};
use std::thread;

use burn::tensor::Device;

use super::*;

/// Ranks that are threads: each writes its bytes to its place, and all read after a barrier.
#[derive(Debug)]
struct Threads {
    rank: usize,
    places: Arc<Vec<Mutex<Vec<u8>>>>,
    barrier: Arc<Barrier>,
}

impl Threads {
    fn all(&self, own: &[u8]) -> Vec<Vec<u8>> {
        *self.places[self.rank].lock().expect("no thread panics here") = own.to_vec();
        self.barrier.wait();
        let all =
            self.places.iter().map(|place| place.lock().expect("no thread panics here").clone()).collect();
        self.barrier.wait();
        all
    }
}

impl Wire for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.places.len()
    }

    fn all_gather(&self, own: &[u8], all: &mut [u8]) -> Result<(), Lost> {
        all.copy_from_slice(&self.all(own).concat());
        Ok(())
    }

    fn all_to_all(&self, parts: &[u8], received: &mut [u8]) -> Result<(), Lost> {
        let part = parts.len() / self.size();
        let own: Vec<u8> =
            self.all(parts).iter().flat_map(|parts| parts[self.rank * part..][..part].to_vec()).collect();
        received.copy_from_slice(&own);
        Ok(())
    }

    fn broadcast(&self, bytes: &mut [u8], root: usize) -> Result<(), Lost> {
        bytes.copy_from_slice(&self.all(bytes)[root]);
        Ok(())
    }

    fn abort(&self) {}
}

fn ranks<T: Send>(size: usize, work: impl Fn(HostGroup) -> T + Sync) -> Vec<T> {
    let places: Arc<Vec<_>> = Arc::new((0..size).map(|_| Mutex::default()).collect());
    let barrier = Arc::new(Barrier::new(size));
    let (places, barrier, work) = (&places, &barrier, &work);
    thread::scope(|scope| {
        let start = |rank| {
            let wire = Threads { rank, places: Arc::clone(places), barrier: Arc::clone(barrier) };
            scope.spawn(move || work(HostGroup::new(wire)))
        };
        let threads: Vec<_> = (0..size).map(start).collect();
        threads.into_iter().map(|thread| thread.join().expect("no rank panics")).collect()
    })
}

/// Numbers whose sum depends on the order of its terms.
fn value(rank: usize, place: usize) -> f32 {
    ((rank * 7919 + place * 104_729) % 1000) as f32 / 7.0 - 70.0
}

fn tensor(rank: usize, len: usize) -> Tensor<1> {
    let values: Vec<f32> = (0..len).map(|place| value(rank, place)).collect();
    Tensor::from_data(TensorData::new(values, [len]), &Device::flex())
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("float32")
}

#[test]
fn sums_are_added_in_rank_order_on_every_rank_whatever_their_length() {
    for size in [1, 2, 3, 4] {
        for len in [0, 1, 5, SMALL, SMALL + 1, SMALL + 7] {
            let expected: Vec<f32> = (0..len)
                .map(|place| (1..size).fold(value(0, place), |sum, rank| sum + value(rank, place)))
                .collect();
            for sums in ranks(size, |group| values(group.all_reduce_sum(tensor(group.rank(), len)))) {
                assert_eq!(sums, expected, "{size} ranks, {len} values");
            }
        }
    }
}

#[test]
fn rows_stand_in_rank_order_and_their_number_may_differ() {
    let rows = |count: usize, rank: usize| Tensor::<2>::full([count, 2], rank as f32, &Device::flex());
    let gathered = ranks(3, |group| {
        let rank = group.rank();
        (values(group.all_gather(rows(rank, rank))), values(group.all_gather(rows(1, rank))))
    });
    for (different, same) in gathered {
        assert_eq!(different, [1.0, 1.0, 2.0, 2.0, 2.0, 2.0]);
        assert_eq!(same, [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
    }
}

#[test]
fn bytes_are_gathered_and_broadcast_whatever_their_length() {
    let found = ranks(3, |group| {
        let own = vec![group.rank() as u8; 2 * group.rank()];
        (group.gather_bytes(own.clone()), group.broadcast(own, 2))
    });
    for (gathered, broadcast) in found {
        assert_eq!(gathered, [vec![], vec![1; 2], vec![2; 4]]);
        assert_eq!(broadcast, [2; 4]);
    }
}

/// How each rank ends: whether it fails, or what it is told.
fn ends(size: usize, fails: impl Fn(usize) -> bool + Sync) -> Vec<Result<bool, Ended>> {
    ranks(size, |group| {
        group.barrier();
        let end = catch_unwind(AssertUnwindSafe(|| match fails(group.rank()) {
            true => Some(group.fail(&format!("disk {} is full", group.rank()))),
            false => {
                group.all_reduce_sum(tensor(0, 3));
                None
            }
        }));
        group.part();
        end.map(|said| said.expect("a job with a failure goes on nowhere"))
            .map_err(|panic| panic.downcast_ref::<Ended>().expect("the panic of a group").clone())
    })
}

#[test]
fn a_rank_that_fails_ends_all_others_with_its_sentence() {
    let ends = ends(3, |rank| rank == 1);
    let told = Ended { message: "rank 1: disk 1 is full".into(), speaks: false };
    assert_eq!(ends, [Err(told.clone()), Ok(true), Err(told)]);
}

#[test]
fn of_several_ranks_that_fail_together_the_first_says_so() {
    assert_eq!(
        ends(3, |rank| rank > 0),
        [Err(Ended { message: "rank 1: disk 1 is full".into(), speaks: false }), Ok(true), Ok(false)]
    );
    assert_eq!(ends(2, |_| true), [Ok(true), Ok(false)]);
}

#[test]
fn ranks_that_make_different_calls_end_instead_of_waiting() {
    let ends = ranks(2, |group| {
        let end = catch_unwind(AssertUnwindSafe(|| match group.rank() {
            0 => group.barrier(),
            _ => drop(group.broadcast(Vec::new(), 0)),
        }));
        end.expect_err("no common call").downcast_ref::<Ended>().expect("the panic of a group").clone()
    });
    assert_eq!(
        ends[0].message,
        "this is a bug: rank 0 calls barrier while rank 1 calls broadcast, expected the same call"
    );
    assert_eq!((ends[0].speaks, ends[1].speaks), (true, false));
}

/// A connection between devices whose sums are told from those of the host.
#[derive(Debug)]
struct Negative;

impl DeviceWire for Negative {
    fn connects(&self, _: &Device) -> bool {
        true
    }

    fn all_reduce_sum(&self, values: Tensor<1>) -> Result<Tensor<1>, Lost> {
        Ok(values.neg())
    }

    fn all_gather(&self, rows: Tensor<2>) -> Result<Tensor<2>, Lost> {
        Ok(rows)
    }
}

#[test]
fn tensors_go_past_the_host_in_all_ranks_or_in_none() {
    for failing in [None, Some(0), Some(2)] {
        let found = ranks(3, |group| {
            let fails = failing == Some(group.rank());
            let wire = if fails { Err("no driver".to_owned()) } else { Ok(Negative) };
            let (group, reasons) = group.between_devices(wire).expect("threads lose nothing");
            (values(group.all_reduce_sum(tensor(0, 1))), reasons)
        });
        let expected = if failing.is_none() { -value(0, 0) } else { 3.0 * value(0, 0) };
        for (sum, reasons) in found {
            assert_eq!(sum, [expected], "{failing:?} has no connection between devices");
            let failed = reasons.iter().position(|reason| reason == "no driver");
            assert_eq!((failed, reasons.len()), (failing, 3), "{reasons:?}");
        }
    }
}

#[test]
fn calls_are_counted_with_their_bytes_and_time() {
    let traffic = ranks(2, |group| {
        group.barrier();
        let before = group.traffic();
        group.all_reduce_sum(tensor(0, 5));
        group.gather_bytes(vec![0; 3]);
        group.all_reduce_sum(tensor(0, SMALL + 1));
        group.traffic() - before
    });
    let summed = 4 * (SMALL as u64 + 1);
    for one in &traffic {
        // A short sum goes to all ranks as it is, like what they gather.
        assert_eq!((one.calls, one.summed, one.gathered), (3, summed, 23), "{traffic:?}");
        assert!(one.bytes() == summed + 23 && one.seconds > 0.0, "{traffic:?}");
    }
}

#[test]
fn copies_between_device_and_host_take_time_and_are_no_calls() {
    let pause = std::time::Duration::from_millis(20);
    let traffic = ranks(1, |group| {
        group.copied(|| thread::sleep(pause));
        group.traffic()
    });
    assert_eq!((traffic[0].calls, traffic[0].bytes()), (0, 0));
    assert!(traffic[0].seconds >= pause.as_secs_f64(), "{traffic:?}");
}
