//! What a method is told about the current step.

use ssl_kernels::Group;

use crate::{Draws, Pass, Progress};

/// The position of a micro-batch in its run, the processes that train together, and a source of random numbers.
#[derive(Clone, Debug)]
pub struct StepContext {
    /// Where the step is in the run.
    pub at: Progress,
    /// Index of the micro-batch within the step; always 0 without gradient accumulation.
    pub micro_batch: usize,
    /// The random choices of this micro-batch, identical in all processes.
    pub draws: Draws,
    /// The processes that train together, each with a share of the images.
    pub group: Group,
    /// Whether batch norm uses the statistics of all processes. Default `false`: each process uses those of its own
    /// images, as in the official code of most methods.
    pub sync_batch_norm: bool,
    /// The number of images that this process has, see [`with_images`](Self::with_images). `None` outside of a trainer.
    pub images: Option<usize>,
}

impl StepContext {
    /// Creates the context of one micro-batch, in a single-process run with the given seed.
    pub fn new(seed: u64, at: Progress, micro_batch: usize) -> Self {
        let draws = Draws::new(seed, at.step, micro_batch);
        Self { at, micro_batch, draws, group: Group::default(), sync_batch_norm: false, images: None }
    }

    /// Sets the processes that train together.
    pub fn with_group(mut self, group: Group) -> Self {
        self.group = group;
        self
    }

    /// Sets whether batch norm uses the statistics of all processes.
    pub fn with_sync_batch_norm(mut self, sync_batch_norm: bool) -> Self {
        self.sync_batch_norm = sync_batch_norm;
        self
    }

    /// Sets the number of images that this process has, so that random choices for an image are the same with any number of
    /// processes.
    pub fn with_images(mut self, images: usize) -> Self {
        self.images = Some(images);
        self
    }

    /// A training pass: batch statistics, updated running statistics, and random choices whose names start with `call`.
    pub fn pass(&self, call: &str) -> Pass {
        let pass = self.teacher_pass().with_draws(self.draws.clone(), call);
        let Some(images) = self.images else { return pass };
        let first = self.group.rank() * images;
        pass.with_images(first..first + images, self.group.size() * images)
    }

    /// A teacher's pass: batch statistics and updated running statistics, but no random choices.
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
    fn the_choices_of_all_processes_are_those_of_one() {
        let at = Progress { step: 0, total_steps: 1, steps_per_epoch: 1 };
        let choices = |context: StepContext, images: usize| {
            let pass = context.with_images(images).pass("student");
            pass.uniform("a", 2 * images).expect("a pass with draws")
        };
        let one = choices(StepContext::new(0, at, 0), 6);
        let two = ssl_testing::ranks(2, |group| choices(StepContext::new(0, at, 0).with_group(group), 3));
        assert_eq!([&two[0][..3], &two[1][..3], &two[0][3..], &two[1][3..]].concat(), one);
    }

    #[test]
    fn a_teacher_makes_no_random_choices() {
        let at = Progress { step: 0, total_steps: 10, steps_per_epoch: 10 };
        let context = StepContext::new(0, at, 0);
        assert!(context.pass("student").uniform("a", 1).is_some());
        assert!(context.teacher_pass().uniform("a", 1).is_none());
    }
}
