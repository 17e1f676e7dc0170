//! How a batch passes through a network.

use ssl_kernels::Group;

use crate::{Draws, Mode};

/// One pass of a batch through a network: which statistics batch norm uses, and which random choices its layers make.
///
/// A method gets the passes of a step from its [`StepContext`](crate::StepContext). Outside a run, use [`Pass::train`],
/// [`Pass::batch_stats`] or [`Pass::eval`], which make no random choices.
///
/// ```
/// # use ssl_core::{Mode, Pass, Progress, StepContext};
/// let at = Progress { step: 3, total_steps: 10, steps_per_epoch: 5 };
/// let context = StepContext::new(0, at, 0);
/// let student = context.pass("student");
/// let kept = student.uniform("blocks.2.drop_path", 4).unwrap();
/// assert_eq!(kept, context.pass("student").uniform("blocks.2.drop_path", 4).unwrap());
/// assert!(Pass::eval().uniform("blocks.2.drop_path", 4).is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Pass {
    /// The statistics that batch norm uses.
    pub mode: Mode,
    /// The processes whose images share the batch statistics: this process alone, unless batch norm is synchronised.
    pub group: Group,
    draws: Option<Draws>,
    call: String,
}

impl Pass {
    /// A pass with batch statistics that updates the running ones, without random choices.
    pub fn train() -> Self {
        Self::of_mode(Mode::Train)
    }

    /// A pass with batch statistics that leaves the running ones alone, without random choices.
    pub fn batch_stats() -> Self {
        Self::of_mode(Mode::BatchStats)
    }

    /// A pass with running statistics, without random choices.
    pub fn eval() -> Self {
        Self::of_mode(Mode::Eval)
    }

    fn of_mode(mode: Mode) -> Self {
        Self { mode, group: Group::default(), draws: None, call: String::new() }
    }

    /// Lets layers make random choices, under names that start with `call`.
    pub fn with_draws(mut self, draws: Draws, call: &str) -> Self {
        self.draws = Some(draws);
        call.clone_into(&mut self.call);
        self
    }

    /// Sets the processes whose images share the batch statistics.
    pub fn with_group(mut self, group: Group) -> Self {
        self.group = group;
        self
    }

    /// The same pass in another mode, with the same random choices.
    pub fn with_mode(&self, mode: Mode) -> Self {
        Self { mode, ..self.clone() }
    }

    /// A part of this pass, such as one of several views, with random choices of its own.
    pub fn part(&self, name: &str, index: usize) -> Self {
        match self.draws {
            Some(_) => Self { call: format!("{}.{name}{index}", self.call), ..self.clone() },
            None => self.clone(),
        }
    }

    /// Returns `count` numbers in `[0, 1)` for the choice `name`, or `None` if the pass makes no random choices, in
    /// which case a layer drops nothing.
    pub fn uniform(&self, name: &str, count: usize) -> Option<Vec<f32>> {
        self.draws.as_ref().map(|draws| draws.uniform(&format!("{}.{name}", self.call), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(call: &str) -> Pass {
        Pass::train().with_draws(Draws::new(1, 2, 0), call)
    }

    #[test]
    fn the_choices_of_a_pass_depend_on_its_call_its_part_and_the_layer() {
        let of = |pass: &Pass, layer| pass.uniform(layer, 6).expect("a pass with draws");
        let one = of(&pass("student"), "a");
        assert_eq!(one, of(&pass("student"), "a"));
        let others = [
            of(&pass("other"), "a"),
            of(&pass("student"), "b"),
            of(&pass("student").part("view", 0), "a"),
            of(&pass("student").part("view", 1), "a"),
        ];
        assert!(others.iter().all(|other| *other != one) && others[2] != others[3], "{others:?}");
    }

    #[test]
    fn another_mode_keeps_the_choices() {
        let first = pass("student").with_mode(Mode::BatchStats);
        assert_eq!(first.mode, Mode::BatchStats);
        assert_eq!(first.uniform("a", 3), pass("student").uniform("a", 3));
    }

    #[test]
    fn a_pass_outside_of_a_run_makes_no_choices() {
        for pass in [Pass::train(), Pass::batch_stats(), Pass::eval().part("view", 1)] {
            assert!(pass.uniform("a", 3).is_none());
        }
    }
}
