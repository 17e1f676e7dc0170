//! Feature distillation: a student with adapters, and a teacher that never changes.

use std::sync::Arc;

use burn::module::Module;
use ssl_core::tokens::token_encoder;
use ssl_core::{
    ConfigError, Encoder, Features, Footprint, FrozenEncoder, Head, HeadShape, Init, Loss, LossScale,
    MethodRules, Metrics, Mlp, Needs, NoState, SslMethod, Step, StepContext, TokenEncoder, TokenShape, Views,
};

use crate::{Distance, DistillFeaturesConfig, DistillFeaturesInput};

/// Feature distillation: a student learns what a frozen teacher says of the same view, without labels.
///
/// ```text
/// t      = teacher(view)                         evaluation mode, without gradient
/// s      = student(view)
/// L      = pooled_weight · distill_features(projector(s.pooled), t.pooled)
///        + token_weight · distill_features(token_projector(s.tokens), t.tokens)
/// ```
///
/// The teacher is no part of student or state: a caller gives it with [`MethodRules::learn_from`] before the first step.
#[doc(alias = "knowledge distillation")]
#[derive(Clone, Debug)]
pub struct DistillFeatures {
    pub(crate) config: DistillFeaturesConfig,
    pub(crate) teacher: Option<Arc<dyn FrozenEncoder>>,
}

/// What feature distillation trains.
#[derive(Module, Debug)]
pub struct DistillFeaturesStudent<E> {
    /// The encoder.
    pub encoder: E,
    /// The adapter of pooled features, discarded after training; `None` if they do not count.
    pub projector: Option<Mlp>,
    /// The adapter of tokens, discarded after training; `None` if they do not count.
    pub token_projector: Option<Mlp>,
}

impl DistillFeatures {
    /// The length of the teacher's features, on a student with features of length `feature_dim`.
    fn teacher_dim(&self, feature_dim: usize) -> usize {
        let told = self.teacher.as_ref().map(|teacher| teacher.feature_dim());
        told.or(self.config.teacher_dim).unwrap_or(feature_dim)
    }

    fn teacher(&self) -> &dyn FrozenEncoder {
        self.teacher
            .as_deref()
            .unwrap_or_else(|| panic!("feature distillation has no teacher: expected learn_from before"))
    }

    fn counts(&self) -> [bool; 2] {
        [self.config.pooled_weight > 0.0, self.config.token_weight > 0.0]
    }
}

impl MethodRules for DistillFeatures {
    fn needs(&self) -> Needs {
        let [_, tokens] = self.counts();
        Needs { global_views: 1, tokens, teacher: true, ..Needs::default() }
    }

    fn learn_from(&mut self, teacher: Arc<dyn FrozenEncoder>) {
        self.teacher = Some(teacher);
    }

    /// Directions that have nothing in common, where all distances are cosines; the teacher's features.
    fn loss_scale(&self, _batch: usize) -> LossScale {
        let config = &self.config;
        let terms =
            [(config.pooled_weight, config.pooled_distance), (config.token_weight, config.token_distance)];
        let mut counting = terms.iter().filter(|(weight, _)| *weight > 0.0);
        let scale = match counting.all(|(_, distance)| *distance == Distance::Cosine) {
            true => LossScale::guess(config.pooled_weight + config.token_weight),
            false => LossScale::default(),
        };
        scale.with_floor(0.0)
    }

    fn footprint(&self, feature_dim: usize, images: usize, _views: usize) -> Footprint {
        let dim = self.teacher_dim(feature_dim);
        let [pooled, _] = self.counts();
        let head = pooled.then(|| HeadShape::new(feature_dim, self.config.layers(false, dim)));
        // The teacher's features, their distances, and the gradients of these.
        let loss = 3.0 * images as f64 * dim as f64;
        Footprint { loss, ..Footprint::of_heads(head) }
    }

    fn token_footprint(&self, shape: &TokenShape) -> Footprint {
        let dim = self.teacher_dim(shape.feature_dim);
        let layers = self.config.layers(true, dim);
        let [pooled, tokens] = self.counts();
        let head = HeadShape::new(shape.feature_dim, layers);
        let patches = shape.patches as f64;
        let of_tokens = if tokens { 1.0 } else { 0.0 };
        let adapter = Footprint::of_heads([head.clone()]);
        Footprint {
            other_parameters: of_tokens * adapter.parameters(),
            other_kept: of_tokens * adapter.kept(patches),
            // Of all tokens, the teacher's are there in any case.
            loss: (1.0 + 2.0 * of_tokens) * shape.images as f64 * patches * dim as f64,
            ..Footprint::of_heads(pooled.then_some(head))
        }
    }
}

impl<E: Encoder> SslMethod<E> for DistillFeatures {
    type Student = DistillFeaturesStudent<E>;
    type State = NoState;
    type Carry = ();

    /// # Panics
    /// If tokens count and the encoder has none.
    fn init(&self, encoder: E, init: &mut Init) -> (DistillFeaturesStudent<E>, NoState) {
        let feature_dim = encoder.feature_dim();
        let layers = self.config.layers(encoder.tokens().is_some(), self.teacher_dim(feature_dim));
        let [pooled, tokens] = self.counts();
        let projector = pooled.then(|| Mlp::init(feature_dim, &layers, init));
        let token_projector = tokens.then(|| Mlp::init(token_encoder(&encoder).token_dim(), &layers, init));
        (DistillFeaturesStudent { encoder, projector, token_projector }, NoState {})
    }

    /// # Errors
    /// If tokens count, and student or teacher has none, or their patches differ in size.
    fn check(&self, encoder: &E, _batch: usize) -> Result<(), ConfigError> {
        let (weight, [_, tokens]) = (self.config.token_weight, self.counts());
        let Some(teacher) = self.teacher.as_ref().filter(|_| tokens) else { return Ok(()) };
        let says = |size: Option<usize>| match size {
            Some(size) => format!("patches of {size} pixels"),
            None => "no tokens".to_owned(),
        };
        let (own, theirs) = (encoder.tokens().map(TokenEncoder::patch_size), teacher.patch_size());
        let found = format!("{weight} for a student with {} and a teacher with {}", says(own), says(theirs));
        let expected = "0, or networks with patches of one size";
        ConfigError::check(own.is_some() && own == theirs, "token_weight", found, expected)
    }

    /// # Panics
    /// If nobody has given the method a teacher.
    fn loss(
        &self,
        student: &DistillFeaturesStudent<E>,
        _state: &NoState,
        views: &Views,
        context: &StepContext,
    ) -> Step<()> {
        let view = views.crops[0].clone();
        let teacher = self.teacher().features(view.clone());
        let pass = context.pass("student");
        let Features { pooled, tokens } = Features::of(&student.encoder, view, &pass);
        let metrics = Metrics::of_embeddings(pooled.clone());

        let of_images = student.projector.as_ref().map(|projector| {
            let student = projector.forward(pooled, &pass.part("projector", 0));
            let input = DistillFeaturesInput { student, teacher: teacher.pooled };
            self.config.pooled_loss().forward(input).mul_scalar(self.config.pooled_weight)
        });
        let of_tokens = student.token_projector.as_ref().zip(tokens.zip(teacher.tokens)).map(
            |(projector, (student, teacher))| {
                let student = projector.forward(student.flatten(0, 1), &pass.part("projector", 1));
                let input = DistillFeaturesInput { student, teacher: teacher.flatten(0, 1) };
                self.config.token_loss().forward(input).mul_scalar(self.config.token_weight)
            },
        );
        let loss = of_images.into_iter().chain(of_tokens).reduce(|a, b| a + b);
        Step::of_share(loss.expect("one of the weights is above 0"), ()).with_metrics(metrics)
    }

    fn encoder<'a>(&self, student: &'a DistillFeaturesStudent<E>, _state: &'a NoState) -> &'a E {
        &student.encoder
    }
}
