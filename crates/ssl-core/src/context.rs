//! What a forward pass is told about the step it belongs to.

use crate::{Draws, Progress};

/// The place of a forward pass in its run, and the random choices that it may make.
#[derive(Clone, Debug)]
pub struct StepContext {
    /// Where in the run the step is.
    pub at: Progress,
    /// Number of the micro-batch in the step, from 0; 0 unless gradients are accumulated.
    pub micro_batch: usize,
    /// The random choices of this micro-batch.
    pub draws: Draws,
}

impl StepContext {
    /// The context of micro-batch `micro_batch` of a step, in a run with the seed `seed`.
    pub fn new(seed: u64, at: Progress, micro_batch: usize) -> Self {
        Self { at, micro_batch, draws: Draws::new(seed, at.step, micro_batch) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: u64, step: u64, micro_batch: usize) -> Vec<usize> {
        let at = Progress { step, total_steps: 10, steps_per_epoch: 10 };
        StepContext::new(seed, at, micro_batch).draws.permutation("order", 16)
    }

    #[test]
    fn draws_are_those_of_the_seed_the_step_and_the_micro_batch() {
        assert_eq!(order(1, 2, 3), Draws::new(1, 2, 3).permutation("order", 16));
        for other in [order(0, 2, 3), order(1, 0, 3), order(1, 2, 0)] {
            assert_ne!(other, order(1, 2, 3));
        }
    }
}
