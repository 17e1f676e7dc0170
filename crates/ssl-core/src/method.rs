//! The traits that define a self-supervised method.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Tensor;

use crate::named::is_under;
use crate::{
    Advice, ConfigError, EmbeddingLoss, Encoder, Footprint, FrozenEncoder, Init, MaskKind, Metrics, Mlp,
    Plan, StepContext, TokenShape, Views,
};

/// A self-supervised method: a loss over views, and the updates around an optimizer step.
///
/// A method can train any encoder `E`; what does not depend on the encoder is in [`MethodRules`].
///
/// What the optimizer trains ([`Student`](Self::Student)) and what it must not see ([`State`](Self::State): a teacher,
/// a queue, a centre) are separate modules. Burn keys gradients by parameter id and a clone keeps the ids, so a teacher
/// inside the student would be trained by accident. The state is passed by value, so it can be updated in place.
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
/// With gradient accumulation, `loss`, `backward` and `absorb` run once per micro-batch, each with its own
/// [`StepContext`].
pub trait SslMethod<E: Encoder>: MethodRules {
    /// Everything that the optimizer sees, on the autodiff device.
    type Student: Module;
    /// Everything else that changes, on the plain device; saved as a separate record.
    type State: Module;
    /// What the forward pass hands to [`absorb`](Self::absorb): keys, the teacher's mean, or nothing.
    type Carry;

    /// Puts heads on an encoder and creates the initial state.
    fn init(&self, encoder: E, init: &mut Init) -> (Self::Student, Self::State);

    /// Checks whether this encoder can be trained with batches of `batch` images, counted over all processes (with
    /// gradient accumulation, in one micro-batch). Accepts everything by default.
    ///
    /// # Errors
    /// The option that does not fit, such as a queue that is too short.
    fn check(&self, encoder: &E, batch: usize) -> Result<(), ConfigError> {
        let _ = (encoder, batch);
        Ok(())
    }

    /// Changes made before the forward pass; none by default.
    fn before_step(
        &self,
        student: Self::Student,
        state: Self::State,
        at: Progress,
    ) -> (Self::Student, Self::State) {
        let _ = at;
        (student, state)
    }

    /// The loss of one batch. Nothing changes here except running statistics, and every random choice comes from
    /// `context.draws`, so that a resumed run equals an uninterrupted one.
    fn loss(
        &self,
        student: &Self::Student,
        state: &Self::State,
        views: &Views,
        context: &StepContext,
    ) -> Step<Self::Carry>;

    /// The loss in two parts, for methods that can embed a batch in chunks; `None` by default. A method that returns
    /// one also says so in [`MethodRules::embeds_in_chunks`].
    fn embedding_loss(&self) -> Option<&dyn EmbeddingLoss<Self::Student, Self::State, Carry = Self::Carry>> {
        None
    }

    /// Takes what a forward pass handed over into the state; does nothing by default.
    fn absorb(&self, state: Self::State, carry: Self::Carry) -> Self::State {
        let _ = carry;
        state
    }

    /// Changes made after the optimizer step, given the new student; none by default.
    fn after_step(&self, student: &Self::Student, state: Self::State, at: Progress) -> Self::State {
        let _ = (student, at);
        state
    }

    /// The encoder to evaluate and keep: the student's or the teacher's.
    fn encoder<'a>(&self, student: &'a Self::Student, state: &'a Self::State) -> &'a E;

    /// The projector, whose first layers fine-tuning may keep, see [`MethodRules::kept_layers`]. `None` by default, for
    /// methods whose head is not an [`Mlp`].
    fn projector<'a>(&self, student: &'a Self::Student) -> Option<&'a Mlp> {
        let _ = student;
        None
    }
}

/// The properties of a method that do not depend on its encoder.
///
/// A separate trait, so that they can be queried without naming an encoder.
pub trait MethodRules {
    /// What the method requires of the views.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Which gradients are dropped and which learning rates stay constant at this step; none by default.
    fn gradient_rules(&self, at: Progress) -> GradientRules {
        let _ = at;
        GradientRules::default()
    }

    /// Whether a batch may be embedded in chunks, see [`SslMethod::embedding_loss`]; `false` by default.
    fn embeds_in_chunks(&self) -> bool {
        false
    }

    /// Gives the method the network that it learns from, if [`Needs::teacher`] asks for one: before
    /// [`SslMethod::init`], and again when a run is resumed. Ignored by default.
    fn learn_from(&mut self, teacher: Arc<dyn FrozenEncoder>) {
        let _ = teacher;
    }

    /// What the user should know of a run before it starts, such as a queue that holds the keys of many epochs; nothing by
    /// default. What no run could do is an error of [`SslMethod::check`] or of the configuration instead.
    fn advice(&self, plan: &Plan) -> Vec<Advice> {
        let _ = plan;
        Vec::new()
    }

    /// How many rows of its queue an image replaces, of a method with an option `queue_len`: one unless several of its views leave
    /// theirs.
    fn queue_rows_of_image(&self) -> usize {
        1
    }

    /// What values of the loss mean, for batches of `batch` images, counted over all processes; nothing by default.
    fn loss_scale(&self, batch: usize) -> LossScale {
        let _ = batch;
        LossScale::default()
    }

    /// How many of the projector's first layers fine-tuning keeps unless told otherwise. By default 0: the projector is
    /// discarded.
    fn kept_layers(&self) -> usize {
        0
    }

    /// What the method keeps in memory on features of length `feature_dim`, for batches of `images` images with `views`
    /// views each; an encoder alone by default.
    fn footprint(&self, feature_dim: usize, images: usize, views: usize) -> Footprint {
        let _ = (feature_dim, images, views);
        Footprint::default()
    }

    /// [`footprint`](Self::footprint) on a token encoder, for methods with layers on tokens; the same by default.
    fn token_footprint(&self, shape: &TokenShape) -> Footprint {
        self.footprint(shape.feature_dim, shape.images, shape.views)
    }
}

/// Values of a loss to compare a measured one with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossScale {
    /// The loss of embeddings that say nothing: of a guess among the candidates, or of unrelated directions.
    pub guess: Option<f64>,
    /// The smallest loss there can be.
    pub floor: Option<f64>,
}

impl LossScale {
    /// A loss that is `guess` for embeddings that say nothing, and has no useful bound.
    pub fn guess(guess: f64) -> Self {
        Self { guess: Some(guess), floor: None }
    }

    /// Sets the smallest loss there can be.
    pub fn with_floor(self, floor: f64) -> Self {
        Self { floor: Some(floor), ..self }
    }
}

/// What [`SslMethod::loss`] returns.
#[derive(Debug)]
pub struct Step<C> {
    /// The loss, `[1]`, on the autodiff device.
    pub loss: Tensor<1>,
    /// Which images the loss covers.
    pub loss_of: LossOf,
    /// Passed to [`SslMethod::absorb`].
    pub carry: C,
    /// The metrics that the method reports.
    pub metrics: Metrics,
}

impl<C> Step<C> {
    /// A step whose loss is a mean over the images of this process.
    pub fn of_share(loss: Tensor<1>, carry: C) -> Self {
        Self { loss, loss_of: LossOf::Share, carry, metrics: Metrics::none() }
    }

    /// A step whose loss covers the images of all processes, with gradients for the rows of this process.
    pub fn of_group(loss: Tensor<1>, carry: C) -> Self {
        Self { loss_of: LossOf::Group, ..Self::of_share(loss, carry) }
    }

    /// Sets the metrics to report.
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }
}

/// The images that a loss covers when several processes train together; decides how their gradients are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossOf {
    /// Those of this process: the loss of the group is the mean over processes, and so is its gradient.
    Share,
    /// Those of the whole group: every process has computed the same loss, and its gradient is the sum over processes.
    Group,
}

/// The state of a method that has none.
#[derive(Module, Debug, Default)]
pub struct NoState {}

/// The position of a step in its run. Schedules are functions of it, so a resumed run needs nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Number of steps done before this one.
    pub step: u64,
    /// Number of steps in the whole run. If that changes during the run, it moves from one number to the other for a while, so
    /// that no schedule jumps.
    pub total_steps: u64,
    /// Number of steps per epoch.
    pub steps_per_epoch: u64,
}

impl Progress {
    /// Number of epochs done before this step.
    pub fn epoch(&self) -> u64 {
        self.step / self.steps_per_epoch.max(1)
    }
}

/// What a method needs from the data and the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Number of global views, all of the same size.
    pub global_views: usize,
    /// Whether smaller local views may follow.
    pub local_views: bool,
    /// Whether images must have labels.
    pub labels: bool,
    /// Whether the encoder must be a token encoder, see [`Encoder::tokens`].
    pub tokens: bool,
    /// The kind of masks that views must have, see [`Views::masks`]; `None` for views without masks.
    pub masks: Option<MaskKind>,
    /// Whether the method learns from a frozen network, see [`MethodRules::learn_from`].
    pub teacher: bool,
}

impl Default for Needs {
    /// Two global views, no local ones, any encoder, no labels, no masks and no frozen network.
    fn default() -> Self {
        Self {
            global_views: 2,
            local_views: false,
            labels: false,
            tokens: false,
            masks: None,
            teacher: false,
        }
    }
}

/// Exceptions for parameters, by the prefix of their path in the student (`"prototypes"`, `"encoder.patch_embed"`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GradientRules {
    /// Parameters whose gradients are dropped: the optimizer skips them, including weight decay and momentum.
    pub frozen: Vec<&'static str>,
    /// Parameters whose learning rate stays at its initial value.
    pub constant_lr: Vec<&'static str>,
    /// Parameters whose learning rate is 0: they stay, and unlike with `frozen`, the optimizer's moments of their gradients
    /// build up.
    pub zero_lr: Vec<&'static str>,
}

impl GradientRules {
    /// Whether the parameter at `path` is frozen.
    pub fn is_frozen(&self, path: &str) -> bool {
        is_under_any(path, &self.frozen)
    }

    /// Whether the parameter at `path` keeps its initial learning rate.
    pub fn has_constant_lr(&self, path: &str) -> bool {
        is_under_any(path, &self.constant_lr)
    }

    /// Whether the learning rate of the parameter at `path` is 0.
    pub fn has_zero_lr(&self, path: &str) -> bool {
        is_under_any(path, &self.zero_lr)
    }
}

fn is_under_any(path: &str, prefixes: &[&'static str]) -> bool {
    prefixes.iter().any(|prefix| is_under(path, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_match_whole_path_components() {
        let rules = GradientRules { frozen: vec!["head.last"], ..Default::default() };
        assert!(rules.is_frozen("head.last.weight") && rules.is_frozen("head.last"));
        assert!(!rules.is_frozen("head.last_layer.weight") && !rules.is_frozen("encoder.head.last"));
    }

    #[test]
    fn epochs_count_from_zero() {
        let at = |step| Progress { step, total_steps: 100, steps_per_epoch: 10 };
        assert_eq!((at(0).epoch(), at(9).epoch(), at(10).epoch()), (0, 0, 1));
    }
}
