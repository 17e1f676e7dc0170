//! I-JEPA: an encoder of a context, a predictor of the teacher's tokens elsewhere, and the teacher.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use ssl_core::nn::TransformerBlock;
use ssl_core::tokens::token_encoder;
use ssl_core::{
    Advice, Encoder, Footprint, Init, LossScale, Mask, MaskKind, Masking, MethodRules, Metrics, Needs, Plan,
    Progress, SslMethod, Step, StepContext, Teacher, TeacherState, TokenShape, Views,
};

use crate::{IJepaConfig, Predictor, PredictorInput, ijepa};

/// I-JEPA: what a teacher says of blocks of patches is predicted from a context without them.
///
/// ```text
/// h       = teacher(image)                   all patches, without gradient
/// pred    = predictor(encoder(context))      for each block of targets
/// L       = ijepa(pred, h)
/// teacher ← τ · teacher + (1 − τ) · encoder         after the optimizer step
/// ```
#[doc(alias = "I-JEPA")]
#[derive(Clone, Debug)]
pub struct IJepa {
    pub(crate) config: IJepaConfig,
}

/// What I-JEPA trains.
#[derive(Module, Debug)]
pub struct IJepaStudent<E> {
    /// The encoder of the context.
    pub encoder: E,
    /// The predictor, discarded after pretraining.
    pub predictor: Predictor,
}

/// The part of the student that the teacher follows.
#[derive(Module, Debug)]
pub struct TargetEncoder<E> {
    /// The encoder.
    pub encoder: E,
}

impl<E: Encoder> IJepaStudent<E> {
    /// The part that a teacher follows. It shares its tensors with the student; [`Teacher::from_student`] copies them.
    pub fn target(&self) -> TargetEncoder<E> {
        TargetEncoder { encoder: self.encoder.clone() }
    }
}

impl MethodRules for IJepa {
    fn needs(&self) -> Needs {
        Needs { global_views: 1, tokens: true, masks: Some(MaskKind::Predict), ..Needs::default() }
    }

    /// The teacher's tokens.
    fn loss_scale(&self, _batch: usize) -> LossScale {
        LossScale::default().with_floor(0.0)
    }

    fn token_footprint(&self, shape: &TokenShape) -> Footprint {
        let IJepaConfig { predictor_dim, predictor_depth, predictor_mlp_ratio, .. } = self.config;
        let (dim, depth) = (predictor_dim as f64, predictor_depth as f64);
        let (features, patches) = (shape.feature_dim as f64, shape.patches as f64);
        let of_blocks = depth * TransformerBlock::parameters(predictor_dim, predictor_mlp_ratio);
        // Both projections, the mask token and the positions, and the norm.
        let around = (features + 1.0) * dim + (dim + 1.0) * features + (1.0 + patches) * dim + 2.0 * dim;
        let of_token = 4.0 * dim + depth * TransformerBlock::kept(predictor_dim, predictor_mlp_ratio);
        let rows = shape.targets as f64 * patches * (shape.seen + shape.target).min(1.0);
        Footprint {
            teacher_heads: Some(0),
            other_parameters: of_blocks + around,
            other_kept: rows * of_token,
            loss: 4.0 * shape.images as f64 * rows * features,
            seen: Some(shape.seen),
            ..Footprint::default()
        }
    }

    fn advice(&self, plan: &Plan) -> Vec<Advice> {
        let momentum = |at| self.config.teacher_momentum_at(at);
        Advice::of_teacher(plan, "teacher_momentum", momentum).into_iter().collect()
    }
}

impl<E: Encoder> SslMethod<E> for IJepa {
    type Student = IJepaStudent<E>;
    /// The moving average of the encoder, which is the one to keep.
    type State = TeacherState<TargetEncoder<E>>;
    type Carry = ();

    /// # Panics
    /// If the encoder has no tokens.
    fn init(&self, encoder: E, init: &mut Init) -> (Self::Student, Self::State) {
        let predictor = Predictor::init(&self.config, token_encoder(&encoder), init);
        let student = IJepaStudent { encoder, predictor };
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
        let (images, mask) = views.masked();
        let (context_places, target_places) = places_of(mask);
        let teacher = token_encoder(&state.teacher.network().encoder);
        let h = teacher.encode_tokens(images.clone(), Masking::None, &context.teacher_pass()).patches;

        let pass = context.pass("student");
        let [_, _, height, width] = images.dims();
        let grid = teacher.patch_grid([height, width]);
        let tokens = token_encoder(&student.encoder).encode_tokens(images, mask.masking(), &pass);
        let metrics = Metrics::of_embeddings(tokens.clone().patch_mean());
        let input = PredictorInput {
            context: tokens.patches,
            context_places,
            target_places: target_places.clone(),
            grid,
        };
        let pred = student.predictor.forward(input, &pass.part("predictor", 0));
        Step::of_share(ijepa(pred, h, target_places), ()).with_metrics(metrics)
    }

    fn after_step(&self, student: &Self::Student, mut state: Self::State, at: Progress) -> Self::State {
        state.teacher = state.teacher.follow(&student.target(), self.config.teacher_momentum_at(at));
        state
    }

    fn encoder<'a>(&self, _: &'a Self::Student, state: &'a Self::State) -> &'a E {
        &state.teacher.network().encoder
    }
}

/// The places of context and targets: `[batch, kept]` and `[block, batch, target]`.
///
/// # Panics
/// If the mask is of another kind.
fn places_of(mask: &Mask) -> (Tensor<2, Int>, Tensor<3, Int>) {
    match mask {
        Mask::Predict { context, targets } => (context.clone(), targets.clone().swap_dims(0, 1)),
        other => {
            panic!("I-JEPA predicts blocks of patches: expected a mask that has them, got {:?}", other.kind())
        }
    }
}
