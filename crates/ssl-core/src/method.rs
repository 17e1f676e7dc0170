//! What a self-supervised method is.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::{ConfigError, EmbeddingLoss, Encoder, Init, Metrics, Mlp, StepContext, Views};

/// A self-supervised method: a loss over views, and what happens around an optimizer step.
///
/// A method trains any encoder `E`; what does not depend on the encoder is in [`MethodRules`].
///
/// What the optimizer trains ([`Student`](Self::Student)) and what it must not see ([`State`](Self::State): a
/// teacher, a queue, a centre) are two modules. Burn keys gradients by parameter id and a clone keeps the ids, so
/// a teacher inside the student would be trained by accident; and a state that is moved by value is written in
/// place.
///
/// One step of a training loop, in the order that the reference trajectories check:
///
/// ```text
/// (student, state) = before_step(student, state)         an average before the forward pass; prototypes to unit length
/// step             = loss(student, state, views, context)
/// gradients        = step.loss.backward()                sum over processes, clip, drop those of gradient_rules().frozen
/// state            = absorb(state, step.carry)           queue, centre
/// student          = optimizer(student, gradients)
/// state            = after_step(student, state)          an average after the optimizer
/// ```
///
/// With gradient accumulation, `loss`, `backward` and `absorb` run once per micro-batch, each with a [`StepContext`] of its own.
pub trait SslMethod<E: Encoder>: MethodRules {
    /// All that the optimizer sees, on the autodiff device.
    type Student: Module;
    /// Everything else that changes, on the plain device; saved as its own record.
    type State: Module;
    /// What the forward pass leaves for [`absorb`](Self::absorb): keys, the teacher's mean, nothing.
    type Carry;

    /// Puts heads on an encoder and makes the initial state.
    fn init(&self, encoder: E, init: &mut Init) -> (Self::Student, Self::State);

    /// Whether this encoder can be trained with batches of `batch` images of all processes, of one micro-batch where
    /// gradients are accumulated; any by default.
    ///
    /// # Errors
    /// The option that does not fit, such as a queue that is too short.
    fn check(&self, encoder: &E, batch: usize) -> Result<(), ConfigError> {
        let _ = (encoder, batch);
        Ok(())
    }

    /// Changes before the forward pass; none by default.
    fn before_step(
        &self,
        student: Self::Student,
        state: Self::State,
        at: Progress,
    ) -> (Self::Student, Self::State) {
        let _ = at;
        (student, state)
    }

    /// The loss of one batch. Nothing but running statistics changes here, and every random choice is one of
    /// `context.draws`: then a resumed run is the same run.
    fn loss(
        &self,
        student: &Self::Student,
        state: &Self::State,
        views: &Views,
        context: &StepContext,
    ) -> Step<Self::Carry>;

    /// The loss in two parts, where a batch may be embedded in chunks; none by default. A method that has it says so in
    /// [`MethodRules::embeds_in_chunks`].
    fn embedding_loss(&self) -> Option<&dyn EmbeddingLoss<Self::Student, Self::State>> {
        None
    }

    /// Takes what a forward pass left behind into the state; nothing by default.
    fn absorb(&self, state: Self::State, carry: Self::Carry) -> Self::State {
        let _ = carry;
        state
    }

    /// Changes after the optimizer step, with the new student; none by default.
    fn after_step(&self, student: &Self::Student, state: Self::State, at: Progress) -> Self::State {
        let _ = (student, at);
        state
    }

    /// The encoder to evaluate and to keep: the student's, or a teacher's.
    fn encoder<'a>(&self, student: &'a Self::Student, state: &'a Self::State) -> &'a E;

    /// The projector, whose first layers fine-tuning may keep on top of the encoder, see [`MethodRules::kept_layers`]; none by
    /// default, for methods whose head is no [`Mlp`].
    fn projector<'a>(&self, student: &'a Self::Student) -> Option<&'a Mlp> {
        let _ = student;
        None
    }
}

/// What is true of a method whatever its encoder.
///
/// A trait of its own, so that it can be asked without naming an encoder.
pub trait MethodRules {
    /// What the views have to be like.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Which gradients are dropped and which learning rates stay constant at this step; none by default.
    fn gradient_rules(&self, at: Progress) -> GradientRules {
        let _ = at;
        GradientRules::default()
    }

    /// Whether a batch may be embedded in chunks, see [`SslMethod::embedding_loss`]; not by default.
    fn embeds_in_chunks(&self) -> bool {
        false
    }

    /// How many of the projector's first layers fine-tuning keeps, unless it is told otherwise; by default 0: the projector is
    /// thrown away.
    fn kept_layers(&self) -> usize {
        0
    }
}

/// What [`SslMethod::loss`] returns.
#[derive(Debug)]
pub struct Step<C> {
    /// The loss, `[1]`, on the autodiff device.
    pub loss: Tensor<1>,
    /// Which images the loss is of.
    pub loss_of: LossOf,
    /// Handed to [`SslMethod::absorb`].
    pub carry: C,
    /// What the method wants to be seen.
    pub metrics: Metrics,
}

impl<C> Step<C> {
    /// A step whose loss is a mean over the images of this process.
    pub fn of_share(loss: Tensor<1>, carry: C) -> Self {
        Self { loss, loss_of: LossOf::Share, carry, metrics: Metrics::none() }
    }

    /// A step whose loss is that of the images of all processes, with gradients for the rows of this one.
    pub fn of_group(loss: Tensor<1>, carry: C) -> Self {
        Self { loss_of: LossOf::Group, ..Self::of_share(loss, carry) }
    }

    /// Sets what is to be seen.
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }
}

/// The images that a loss is of, where several processes train together; decides how gradients of processes add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossOf {
    /// Those of this process: the loss of the group is the mean of all, and so is its gradient.
    Share,
    /// Those of the group: every process has computed the same loss, and its gradient is the sum of all.
    Group,
}

/// The state of a method that keeps none.
#[derive(Module, Debug, Default)]
pub struct NoState {}

/// Where in a run a step is. Schedules are functions of it, so a resumed run needs nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Steps done before this one.
    pub step: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
}

impl Progress {
    /// Epochs done before this step.
    pub fn epoch(&self) -> u64 {
        self.step / self.steps_per_epoch.max(1)
    }
}

/// What a method needs from the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Number of global views, all of one size.
    pub global_views: usize,
    /// Whether more, smaller views may follow.
    pub local_views: bool,
    /// Whether images must have labels.
    pub labels: bool,
    /// Whether the encoder must be one of tokens, see [`Encoder::tokens`].
    pub tokens: bool,
    /// Whether views must have masks, see [`Views::masks`].
    pub masks: bool,
}

impl Default for Needs {
    /// Two global views, no local ones, any encoder, neither labels nor masks.
    fn default() -> Self {
        Self { global_views: 2, local_views: false, labels: false, tokens: false, masks: false }
    }
}

/// Exceptions for parameters, by prefix of their path in the student (`"prototypes"`, `"encoder.patch_embed"`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GradientRules {
    /// Their gradients are dropped: the optimizer skips them, weight decay and momentum included.
    pub frozen: Vec<&'static str>,
    /// Their learning rate stays at its initial value.
    pub constant_lr: Vec<&'static str>,
}

impl GradientRules {
    /// Whether the parameter at `path` gets no update.
    pub fn is_frozen(&self, path: &str) -> bool {
        starts_with_any(path, &self.frozen)
    }

    /// Whether the parameter at `path` keeps its initial learning rate.
    pub fn has_constant_lr(&self, path: &str) -> bool {
        starts_with_any(path, &self.constant_lr)
    }
}

fn starts_with_any(path: &str, prefixes: &[&'static str]) -> bool {
    let matches = |prefix: &&str| {
        path.strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    prefixes.iter().any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_match_whole_path_components() {
        let rules = GradientRules { frozen: vec!["head.last"], constant_lr: vec![] };
        assert!(rules.is_frozen("head.last.weight") && rules.is_frozen("head.last"));
        assert!(!rules.is_frozen("head.last_layer.weight") && !rules.is_frozen("encoder.head.last"));
    }

    #[test]
    fn epochs_count_from_zero() {
        let at = |step| Progress { step, total_steps: 100, steps_per_epoch: 10 };
        assert_eq!((at(0).epoch(), at(9).epoch(), at(10).epoch()), (0, 0, 1));
    }
}
