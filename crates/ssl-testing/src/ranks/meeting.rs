//! Where threads wait for each other and exchange values.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A call of a rank to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    AllReduceSum,
    AllGather,
    Broadcast,
    Barrier,
}

/// What a rank contributes to a call.
#[derive(Clone, Debug)]
pub(super) struct Given {
    call: Call,
    /// What must be the same on all ranks: the number of values in a sum, the columns of rows, the root of a broadcast.
    size: usize,
    pub(super) values: Vec<f32>,
    pub(super) bytes: Vec<u8>,
}

impl Given {
    pub(super) fn values(call: Call, size: usize, values: Vec<f32>) -> Self {
        Self { call, size, values, bytes: Vec::new() }
    }

    pub(super) fn bytes(root: usize, bytes: Vec<u8>) -> Self {
        Self { call: Call::Broadcast, size: root, values: Vec::new(), bytes }
    }

    fn about(&self) -> String {
        let size = self.size;
        match self.call {
            Call::AllReduceSum => format!("all_reduce_sum of {size} values"),
            Call::AllGather => format!("all_gather of rows with {size} columns"),
            Call::Broadcast => format!("broadcast from rank {size}"),
            Call::Barrier => "barrier".to_owned(),
        }
    }
}

/// A place where threads meet repeatedly.
#[derive(Debug)]
pub(super) struct Meeting {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    given: Vec<Option<Given>>,
    /// The contributions of all ranks, until each rank has taken them.
    all: Option<Arc<[Given]>>,
    taken: usize,
    left: Vec<bool>,
    ended_by: Option<usize>,
}

impl Meeting {
    pub(super) fn of(size: usize) -> Self {
        let state =
            State { given: vec![None; size], all: None, taken: 0, left: vec![false; size], ended_by: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn size(&self) -> usize {
        self.lock().given.len()
    }

    /// Waits for all ranks, and returns their contributions in order.
    ///
    /// # Panics
    /// If the group was ended, if a rank has returned, or if the ranks make different calls.
    pub(super) fn exchange(&self, rank: usize, given: Given) -> Arc<[Given]> {
        let mut state = self.wait(self.lock(), |state| state.all.is_none());
        state.given[rank] = Some(given);
        if state.given.iter().all(Option::is_some) {
            state.all = Some(state.given.iter_mut().filter_map(Option::take).collect());
            self.changed.notify_all();
        }
        let mut state = self.wait(state, |state| state.all.is_some());
        let all = state.all.clone().expect("waited for above");
        state.taken += 1;
        if state.taken == all.len() {
            (state.all, state.taken) = (None, 0);
            self.changed.notify_all();
        }
        drop(state);
        check(&all);
        all
    }

    /// Records that the rank makes no more calls.
    pub(super) fn leave(&self, rank: usize) {
        self.lock().left[rank] = true;
        self.changed.notify_all();
    }

    /// Lets the rank end the group.
    pub(super) fn end(&self, rank: usize) {
        self.lock().ended_by.get_or_insert(rank);
        self.changed.notify_all();
    }

    /// The rank that ended the group first.
    pub(super) fn ended_by(&self) -> Option<usize> {
        self.lock().ended_by
    }

    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        until: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        loop {
            if let Some(rank) = state.ended_by {
                drop(state);
                panic!("the group was ended by rank {rank}");
            }
            if until(&state) {
                return state;
            }
            // While a result is there, a rank may have taken it and returned.
            let absent = state.left.iter().position(|left| *left).filter(|_| state.all.is_none());
            if let Some(absent) = absent {
                drop(state);
                panic!("rank {absent} has returned and misses a call of the others");
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// # Panics
/// If the ranks make different calls.
fn check(all: &[Given]) {
    let first = all[0].about();
    for (rank, given) in all.iter().enumerate() {
        let call = given.about();
        assert_eq!(call, first, "rank {rank} makes the call '{call}' while rank 0 makes '{first}'");
    }
}
