//! A whole training step as one function.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::named::Path;
use crate::{Encoder, GradientRules, Metrics, SslMethod, StepContext, Views};

/// The networks after a [`train_step`], and what it measured.
#[derive(Debug)]
pub struct TrainStep<S, T> {
    /// The student after the optimizer.
    pub student: S,
    /// The method's state for the next step.
    pub state: T,
    /// The loss before the update, `[1]`, without gradient.
    pub loss: Tensor<1>,
    /// The metrics that the method offers.
    pub metrics: Metrics,
}

/// One training step on one batch, in the order documented at [`SslMethod`]: for training loops of your own.
///
/// `optimize` gets the student and the gradients of its trainable parameters and returns the updated student, such as
/// `|student, gradients| optimizer.step(lr, student, gradients)` with an optimizer of Burn. Gradients of parameters that
/// the method freezes at this step are gone by then.
///
/// Unlike the loop of `ssl-train`, it knows no gradient accumulation, clipping or groups of processes, and the learning rate is
/// yours: a method that wants a constant one somewhere, or none, says so in [`GradientRules::constant_lr`] and
/// [`GradientRules::zero_lr`].
pub fn train_step<E: Encoder, M: SslMethod<E>>(
    method: &M,
    student: M::Student,
    state: M::State,
    views: &Views,
    context: &StepContext,
    optimize: impl FnOnce(M::Student, GradientsParams) -> M::Student,
) -> TrainStep<M::Student, M::State> {
    let at = context.at;
    let (student, state) = method.before_step(student, state, at);
    let step = method.loss(&student, &state, views, context);
    let gradients = GradientsParams::from_grads(step.loss.backward(), &student);
    let state = method.absorb(state, step.carry);
    let gradients = without_frozen(gradients, &student, &method.gradient_rules(at));
    let student = optimize(student, gradients);
    let state = method.after_step(&student, state, at);
    TrainStep { student, state, loss: step.loss.without_autodiff(), metrics: step.metrics }
}

/// The gradients of the parameters that are trained at this step.
fn without_frozen<M: Module>(
    gradients: GradientsParams,
    module: &M,
    rules: &GradientRules,
) -> GradientsParams {
    let mut thaw = Thaw { path: Path::default(), gradients, rules };
    module.visit(&mut thaw);
    thaw.gradients
}

struct Thaw<'a> {
    path: Path,
    gradients: GradientsParams,
    rules: &'a GradientRules,
}

impl ModuleVisitor for Thaw<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.rules.is_frozen(&self.path.join()) {
            self.gradients.remove::<D>(param.id);
        }
    }
}
