//! MSN: encoder, projector and prototypes, and a teacher.

use burn::module::Module;
use burn::tensor::Tensor;
use ssl_core::nn::{Linear, LinearConfig};
use ssl_core::{
    Advice, Encoder, EncoderWith, Footprint, HeadShape, Init, LayerConfig, LossScale, MaskKind, MethodRules,
    Metrics, Mlp, Needs, Plan, Progress, SslMethod, Step, StepContext, Teacher, TeacherState, Views,
};

use crate::anchors::embed_anchors;
use crate::{MsnConfig, MsnLoss, assignments, msn, targets_of};

/// MSN: anchors with hidden patches, and small crops, are assigned to the prototypes of a teacher's whole view.
///
/// ```text
/// t       = teacher(view 0)                           all patches, without gradient
/// z_v     = projector(encoder(kept patches of view v))   large views first, then focal ones; one pass per size
/// L       = msn(z, t, prototypes)
/// teacher ← τ · teacher + (1 − τ) · student           after the optimizer step
/// ```
#[doc(alias = "MSN")]
#[doc(alias = "masked siamese networks")]
#[derive(Clone, Debug)]
pub struct Msn {
    pub(crate) config: MsnConfig,
    pub(crate) loss: MsnLoss,
}

/// What MSN trains.
#[derive(Module, Debug)]
pub struct MsnStudent<E> {
    /// The encoder.
    pub encoder: E,
    /// The projector, discarded after pretraining.
    pub projector: Mlp,
    /// The prototypes, `[prototype, dim]`, discarded after pretraining.
    pub prototypes: Linear,
}

impl<E: Encoder> MsnStudent<E> {
    /// The part that the teacher follows. It shares its tensors with the student; [`Teacher::from_student`] copies them.
    pub fn target(&self) -> EncoderWith<E> {
        EncoderWith { encoder: self.encoder.clone(), projector: self.projector.clone() }
    }
}

impl MethodRules for Msn {
    fn needs(&self) -> Needs {
        Needs {
            global_views: 1 + self.config.random_views,
            local_views: true,
            tokens: true,
            masks: Some(MaskKind::Keep),
            ..Needs::default()
        }
    }

    /// Assigned to all prototypes alike.
    fn loss_scale(&self, _batch: usize) -> LossScale {
        LossScale::guess((self.config.prototypes as f64).ln()).with_floor(0.0)
    }

    fn footprint(&self, feature_dim: usize, images: usize, views: usize) -> Footprint {
        let config = &self.config;
        let projector = HeadShape::new(feature_dim, config.projector());
        let prototypes = HeadShape::new(config.output_dim, [LayerConfig::new(config.prototypes)]);
        // Of every anchor its logits, their probabilities and targets, and the gradients of logits and probabilities.
        let rows = images as f64 * views as f64;
        Footprint {
            teacher_heads: Some(1),
            teacher_views: 1,
            joint: true,
            loss: 6.0 * rows * config.prototypes as f64,
            ..Footprint::of_heads([projector, prototypes])
        }
    }

    fn advice(&self, plan: &Plan) -> Vec<Advice> {
        let MsnConfig { prototypes, .. } = self.config;
        // The mean over all anchors is to use every prototype.
        let anchors = plan.batch * plan.views.saturating_sub(1);
        let mut advice: Vec<_> =
            Advice::of_prototypes(plan, "prototypes", prototypes, anchors, Vec::new()).into_iter().collect();
        let momentum = |at| self.config.teacher_momentum_at(at);
        advice.extend(Advice::of_teacher(plan, "teacher_momentum", momentum));
        advice
    }
}

impl<E: Encoder> SslMethod<E> for Msn {
    type Student = MsnStudent<E>;
    type State = TeacherState<EncoderWith<E>>;
    type Carry = ();

    fn init(&self, encoder: E, init: &mut Init) -> (Self::Student, Self::State) {
        let config = &self.config;
        let projector = Mlp::init(encoder.feature_dim(), &config.projector(), init);
        let prototypes = LinearConfig::new(config.output_dim, config.prototypes).with_bias(false).init(init);
        let student = MsnStudent { encoder, projector, prototypes };
        let teacher = Teacher::from_student(&student.target());
        (student, TeacherState { teacher })
    }

    fn loss(
        &self,
        student: &Self::Student,
        state: &Self::State,
        views: &Views,
        context: &StepContext,
    ) -> Step<()> {
        let (group, temperature) = (&context.group, self.loss.temperature);
        let prototypes = student.prototypes.weight.val();
        let target = state.teacher.network().embed(views.crops[0].clone(), &context.teacher_pass());
        let target = assignments(target, prototypes.clone().without_autodiff(), temperature);
        let targets = targets_of(target, &self.loss, group);

        let z = embed_anchors(&student.target(), views, &context.pass("student"));
        let metrics =
            Metrics::of_embeddings(Tensor::cat(z.clone(), 0)).with_prototype_usage(vec![targets.clone()]);
        let logits = z.into_iter().map(|z| assignments(z, prototypes.clone(), temperature)).collect();
        let loss = msn(Tensor::cat(logits, 0), targets, self.loss.regularization_weight, group);
        Step::of_share(loss, ()).with_metrics(metrics)
    }

    fn after_step(&self, student: &Self::Student, mut state: Self::State, at: Progress) -> Self::State {
        state.teacher = state.teacher.follow(&student.target(), self.config.teacher_momentum_at(at));
        state
    }

    fn encoder<'a>(&self, _: &'a Self::Student, state: &'a Self::State) -> &'a E {
        &state.teacher.network().encoder
    }
}
