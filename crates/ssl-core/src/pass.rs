//! How a batch passes through a network.

use std::ops::Range;

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
    images: Option<Images>,
}

/// Where the images of a pass are in a batch.
#[derive(Clone, Debug)]
struct Images {
    range: Range<usize>,
    /// Images of the batch.
    of: usize,
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
        Self { mode, group: Group::default(), draws: None, call: String::new(), images: None }
    }

    /// Lets layers make random choices, under names that start with `call`.
    pub fn with_draws(mut self, draws: Draws, call: &str) -> Self {
        self.draws = Some(draws);
        call.clone_into(&mut self.call);
        self
    }

    /// Says which images of a batch of `of` images pass, so that random choices for an image do not depend on who computes it.
    pub fn with_images(mut self, range: Range<usize>, of: usize) -> Self {
        self.images = Some(Images { range, of });
        self
    }

    /// Some of the images of this pass, which keep their random choices.
    ///
    /// # Panics
    /// If it was not told which images pass.
    pub fn of_images(&self, part: Range<usize>) -> Self {
        let Images { range, of } = self.images.clone().expect("a pass that knows its images");
        self.clone().with_images(range.start + part.start..range.start + part.end, of)
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

    /// Returns `count` numbers in `[0, 1)` for the choice `name`, one for each image of one or more views, or `None` if the pass
    /// makes no random choices, in which case a layer drops nothing.
    ///
    /// # Panics
    /// If `count` is not a multiple of the images of the pass, where it knows them.
    pub fn uniform(&self, name: &str, count: usize) -> Option<Vec<f32>> {
        let draws = self.draws.as_ref()?;
        let name = format!("{}.{name}", self.call);
        let Some(Images { range, of }) = &self.images else { return Some(draws.uniform(&name, count)) };
        let own = range.len();
        assert!(count.is_multiple_of(own), "{count} choices of '{name}' for views of {own} images each");
        let of_batch = draws.uniform(&name, count / own * of);
        Some(of_batch.chunks(*of).flat_map(|view| &view[range.clone()]).copied().collect())
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
    fn the_choices_for_an_image_do_not_depend_on_the_others_of_the_pass() {
        let of = |pass: &Pass, count| pass.uniform("a", count).expect("a pass with draws");
        let whole = of(&pass("student"), 12);
        assert_eq!(of(&pass("student").with_images(0..6, 6), 12), whole, "all images of two views");
        let second = pass("student").with_images(2..4, 6);
        assert_eq!(of(&second, 4), [&whole[2..4], &whole[8..10]].concat(), "two images of both views");
        assert_eq!(of(&second.of_images(1..2), 2), [whole[3], whole[9]]);
    }

    #[test]
    #[should_panic(expected = "5 choices of 'student.a' for views of 2 images each")]
    fn choices_for_a_part_of_a_view_are_refused() {
        pass("student").with_images(2..4, 6).uniform("a", 5);
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
