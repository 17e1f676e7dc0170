//! What a method is told about the step that it is in.

use ssl_kernels::Group;

use crate::{Draws, Pass, Progress};

/// The place of a micro-batch in its run, the processes that train together, and the random choices it may make.
#[derive(Clone, Debug)]
pub struct StepContext {
    /// Where in the run the step is.
    pub at: Progress,
    /// Number of the micro-batch in the step, from 0; 0 unless gradients are accumulated.
    pub micro_batch: usize,
    /// The random choices of this micro-batch, the same in all processes.
    pub draws: Draws,
    /// The processes that train together, each with a share of the images.
    pub group: Group,
    /// Whether batch norm takes the statistics of all processes. Default no: each takes those of its own images, as in
    /// the official code of most methods.
    pub sync_batch_norm: bool,
}

impl StepContext {
    /// The context of micro-batch `micro_batch` of a step, in a run of one process with the seed `seed`.
    pub fn new(seed: u64, at: Progress, micro_batch: usize) -> Self {
        let draws = Draws::new(seed, at.step, micro_batch);
        Self { at, micro_batch, draws, group: Group::default(), sync_batch_norm: false }
    }

    /// Sets the processes that train together, and whether batch norm takes the statistics of all of them.
    pub fn with_group(mut self, group: Group, sync_batch_norm: bool) -> Self {
        (self.group, self.sync_batch_norm) = (group, sync_batch_norm);
        self
    }

    /// A pass through a network that is trained: batch statistics, running statistics that move, and random choices whose
    /// names begin with `call` and the rank.
    pub fn pass(&self, call: &str) -> Pass {
        let call = match self.group.is_solo() {
            true => call.to_owned(),
            false => format!("{call}.rank{}", self.group.rank()),
        };
        self.teacher_pass().with_draws(self.draws.clone(), &call)
    }

    /// A pass through a teacher: batch statistics and running statistics that move, without random choices.
    pub fn teacher_pass(&self) -> Pass {
        let group = if self.sync_batch_norm { self.group.clone() } else { Group::default() };
        Pass::train().with_group(group)
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

    #[test]
    fn a_teacher_makes_no_random_choices() {
        let at = Progress { step: 0, total_steps: 10, steps_per_epoch: 10 };
        let context = StepContext::new(0, at, 0);
        assert!(context.pass("student").uniform("a", 1).is_some());
        assert!(context.teacher_pass().uniform("a", 1).is_none());
    }
}
