//! DINO: student and teacher with the same structure, and the centre of the teacher's logits.

use burn::module::{Module, Param, ParamId};
use burn::tensor::Tensor;
use ssl_core::embed::embed_crops;
use ssl_core::loss::{centered_entropy, mean_logits, next_center};
use ssl_core::math::length;
use ssl_core::{
    Advice, Encoder, Footprint, GradientRules, HeadShape, Init, LayerConfig, Loss, LossScale, MethodRules,
    Metrics, Needs, Plan, Progress, PrototypeHead, SslMethod, Step, StepContext, Teacher, Views, group,
};

use crate::{DinoConfig, DinoInput, DinoLoss};

/// DINO: for every crop of an image, a student predicts its own moving average's output for another crop.
///
/// ```text
/// s_v     = student(crop_v)               all crops, one pass of the encoder per resolution
/// t_i     = teacher(crop_i)               the global crops in one pass, without gradient, batch norm in training mode
/// L       = dino(s, t, center)
/// center  ← m · center + (1 − m) · mean of t
/// teacher ← τ · teacher + (1 − τ) · student        after the optimizer step
/// ```
#[doc(alias = "DINO")]
#[derive(Clone, Debug)]
pub struct Dino {
    pub(crate) config: DinoConfig,
}

/// What DINO trains; the teacher has the same structure.
#[derive(Module, Debug)]
pub struct DinoStudent<E> {
    /// The encoder.
    pub encoder: E,
    /// The head, discarded after pretraining.
    pub head: PrototypeHead,
}

/// DINO's state: the teacher and the centre of its logits.
#[derive(Module, Debug)]
pub struct DinoState<E: Encoder> {
    /// The moving average of the student; its encoder is the one to keep.
    pub teacher: Teacher<DinoStudent<E>>,
    /// `[output]`
    pub center: Param<Tensor<1>>,
}

impl<E: Encoder> DinoState<E> {
    /// Creates the initial state: the teacher is a copy of the student, the centre is 0.
    pub fn new(student: &DinoStudent<E>) -> Self {
        let weight = student.head.last_layer.weight_v.val().without_autodiff();
        let center = Tensor::zeros([weight.dims()[0]], &weight.device());
        Self { teacher: Teacher::from_student(student), center: Param::initialized(ParamId::new(), center) }
    }
}

impl MethodRules for Dino {
    /// Guessing among the outputs.
    fn loss_scale(&self, _batch: usize) -> LossScale {
        LossScale::guess((self.config.output_dim as f64).ln())
    }

    fn needs(&self) -> Needs {
        Needs { local_views: true, ..Needs::default() }
    }

    fn gradient_rules(&self, at: Progress) -> GradientRules {
        let is_frozen = at.epoch() < self.config.freeze_last_layer_epochs;
        let frozen = is_frozen.then_some("head.last_layer").into_iter().collect();
        GradientRules { frozen, ..Default::default() }
    }

    fn footprint(&self, feature_dim: usize, images: usize, views: usize) -> Footprint {
        let config = &self.config;
        let head = HeadShape::new(feature_dim, config.head());
        let last = HeadShape::new(head.outputs(), [LayerConfig::new(config.output_dim)]);
        let (images, outputs) = (images as f64, config.output_dim as f64);
        // Of every view its logits and their gradient, of the two global ones the teacher's logits and distributions as well; and
        // the last layer's normalised weight.
        let rows = 2.0 * images * views as f64 + 2.0 * 2.0 * images;
        let loss = outputs * (rows + 3.0 * head.outputs() as f64);
        Footprint {
            teacher_heads: Some(2),
            joint: true,
            state: outputs,
            loss,
            ..Footprint::of_heads([head, last])
        }
    }

    fn advice(&self, plan: &Plan) -> Vec<Advice> {
        let config = &self.config;
        Advice::of_self_distillation(plan, config.freeze_last_layer_epochs, |at| {
            config.teacher_momentum_at(at)
        })
    }
}

impl<E: Encoder> SslMethod<E> for Dino {
    type Student = DinoStudent<E>;
    type State = DinoState<E>;
    /// The mean of the teacher's logits over the images of all processes, `[output]`.
    type Carry = Tensor<1>;

    fn init(&self, encoder: E, init: &mut Init) -> (Self::Student, Self::State) {
        let head =
            PrototypeHead::init(encoder.feature_dim(), &self.config.head(), self.config.output_dim, init);
        let student = DinoStudent { encoder, head };
        let state = DinoState::new(&student);
        (student, state)
    }

    fn loss(
        &self,
        student: &Self::Student,
        state: &Self::State,
        views: &Views,
        context: &StepContext,
    ) -> Step<Tensor<1>> {
        let teacher = state.teacher.network();
        let z = embed_crops(&teacher.encoder, &teacher.head, views.global(), &context.teacher_pass());
        let teacher = z.map(|z| teacher.head.logits(z));
        let carry = group::mean(mean_logits(teacher.rows.clone()), &context.group);

        let z = embed_crops(&student.encoder, &student.head, &views.crops, &context.pass("student"));
        let embeddings = z.first(views.global);
        let student = z.map(|z| student.head.logits(z));

        let (center, temperature) = (state.center.val(), self.config.teacher_temperature_at(context.at));
        let metrics = Metrics::of_embeddings(embeddings);
        let of_center = center.clone();
        let metrics = metrics
            .with("teacher_entropy", centered_entropy(teacher.rows.clone(), center.clone(), temperature))
            .with("center_norm", move || length(of_center));
        let loss = DinoLoss::new(self.config.student_temperature, temperature);
        let loss = loss.forward(DinoInput { student, teacher, center });
        Step::of_share(loss, carry).with_metrics(metrics)
    }

    fn absorb(&self, mut state: Self::State, mean_logits: Tensor<1>) -> Self::State {
        let momentum = self.config.center_momentum;
        state.center = state.center.map(|center| next_center(center, mean_logits, momentum));
        state
    }

    fn after_step(&self, student: &Self::Student, mut state: Self::State, at: Progress) -> Self::State {
        state.teacher = state.teacher.follow(student, self.config.teacher_momentum_at(at));
        state
    }

    fn encoder<'a>(&self, _student: &'a Self::Student, state: &'a Self::State) -> &'a E {
        &state.teacher.network().encoder
    }
}
