//! MoCo v3: a student with a predictor, and a teacher without one.

use burn::tensor::{Int, Tensor};
use ssl_core::group::{gather, gather_each};
use ssl_core::loss::info_nce_values;
use ssl_core::{
    Advice, ConfigError, Embedded, EmbeddingLoss, Encoder, EncoderWith, Footprint, GradientRules, HeadShape,
    Init, Loss, LossScale, MethodRules, Metrics, Mlp, Pass, Plan, Predicted, Progress, SslMethod, Step,
    StepContext, TeacherState, Views, WithPredictor, schedule,
};

use super::{MoCoV3Config, MoCoV3Heads, MoCoV3Input, MoCoV3Loss};

/// MoCo v3: the student's prediction from one view attracts the teacher's embedding of the other, and repels those of
/// the other images in the batch.
///
/// ```text
/// teacher ← m · teacher + (1 − m) · student      m rises to 1
/// q1, q2 = predictor(student(v1)), predictor(student(v2))        one pass per view
/// k1, k2 = teacher(v1), teacher(v2)
/// L      = moco_v3(q1, q2, k1, k2)
/// ```
#[doc(alias = "MoCo v3")]
#[derive(Clone, Debug)]
pub struct MoCoV3 {
    pub(super) config: MoCoV3Config,
    pub(super) loss: MoCoV3Loss,
}

impl MoCoV3 {
    /// The momentum of the teacher at this step.
    fn momentum_at(&self, at: Progress) -> f64 {
        let MoCoV3Config { momentum, momentum_end, .. } = self.config;
        schedule::cosine(at.step as f64, at.total_steps as f64, momentum, momentum_end)
    }
}

impl MethodRules for MoCoV3 {
    /// Guessing among the keys of the batch, in both directions.
    fn loss_scale(&self, batch: usize) -> LossScale {
        LossScale::guess(4.0 * self.config.temperature * (batch as f64).ln())
    }

    fn gradient_rules(&self, _at: Progress) -> GradientRules {
        GradientRules { frozen: self.config.frozen(), ..Default::default() }
    }

    fn embeds_in_chunks(&self) -> bool {
        true
    }

    fn footprint(&self, feature_dim: usize, images: usize, _views: usize) -> Footprint {
        let projector = HeadShape::new(feature_dim, self.config.projector());
        let predictor = HeadShape::new(projector.outputs(), self.config.predictor());
        let (images, dim) = (images as f64, projector.outputs() as f64);
        let loss = info_nce_values(images, images, dim, false);
        Footprint { teacher_heads: Some(1), loss, ..Footprint::of_heads([projector, predictor]) }
    }

    fn advice(&self, plan: &Plan) -> Vec<Advice> {
        let negatives = Advice::of_negatives(plan, "temperature", self.config.temperature);
        let teacher = Advice::of_teacher(plan, "momentum", |at| self.momentum_at(at));
        negatives.into_iter().chain(teacher).collect()
    }
}

impl<E: Encoder> SslMethod<E> for MoCoV3 {
    type Student = WithPredictor<E>;
    type State = TeacherState<EncoderWith<E>>;
    type Carry = ();

    fn init(&self, encoder: E, init: &mut Init) -> (Self::Student, Self::State) {
        let (projector, predictor) = (self.config.projector(), self.config.predictor());
        WithPredictor::init(encoder, &projector, &predictor, init).with_teacher()
    }

    /// The heads must match the encoder: only a token encoder has the position embedding that
    /// [`gradient_rules`](MethodRules::gradient_rules) freezes.
    fn check(&self, encoder: &E, _batch: usize) -> Result<(), ConfigError> {
        let is_vit = encoder.tokens().is_some();
        let wanted = if is_vit { MoCoV3Heads::Vit } else { MoCoV3Heads::ResNet };
        let (found, expected) = match is_vit {
            true => ("'resnet'", "'vit' for a vision transformer"),
            false => ("'vit'", "'resnet' for an encoder without tokens"),
        };
        ConfigError::check(self.config.heads == wanted, "heads", found, expected)
    }

    /// The teacher follows the student as it was before this step's update, so the first step leaves the teacher
    /// unchanged.
    fn before_step(
        &self,
        student: Self::Student,
        state: Self::State,
        at: Progress,
    ) -> (Self::Student, Self::State) {
        let teacher = state.teacher.follow(&student.target(), self.momentum_at(at));
        (student, TeacherState { teacher })
    }

    fn loss(
        &self,
        student: &Self::Student,
        state: &Self::State,
        views: &Views,
        context: &StepContext,
    ) -> Step<()> {
        let method: &dyn EmbeddingLoss<Self::Student, Self::State, Carry = ()> = self;
        let Embedded { outputs, embeddings } = method.embed(student, views, &context.pass("student"));
        let targets = method.targets(state, views, &context.teacher_pass());
        let (loss, ()) = method.loss_of(state, outputs, targets, None, context);
        Step::of_group(loss, ()).with_metrics(Metrics::of_embeddings(embeddings))
    }

    fn embedding_loss(&self) -> Option<&dyn EmbeddingLoss<Self::Student, Self::State, Carry = ()>> {
        Some(self)
    }

    fn encoder<'a>(&self, student: &'a Self::Student, _state: &'a Self::State) -> &'a E {
        &student.encoder
    }

    fn projector<'a>(&self, student: &'a Self::Student) -> Option<&'a Mlp> {
        Some(&student.projector)
    }
}

impl<E: Encoder> EmbeddingLoss<WithPredictor<E>, TeacherState<EncoderWith<E>>> for MoCoV3 {
    type Carry = ();

    fn embed(&self, student: &WithPredictor<E>, views: &Views, pass: &Pass) -> Embedded {
        let (v1, v2) = views.pair();
        let Predicted { embeddings, predictions } = student.predict(&[v1, v2], pass);
        Embedded { outputs: predictions, embeddings: Tensor::cat(embeddings, 0).without_autodiff() }
    }

    fn targets(&self, state: &TeacherState<EncoderWith<E>>, views: &Views, pass: &Pass) -> Vec<Tensor<2>> {
        let (v1, v2) = views.pair();
        state.embed_each(&[v1, v2], pass)
    }

    fn loss_of(
        &self,
        _state: &TeacherState<EncoderWith<E>>,
        mut q: Vec<Tensor<2>>,
        k: Vec<Tensor<2>>,
        _labels: Option<Tensor<1, Int>>,
        context: &StepContext,
    ) -> (Tensor<1>, ()) {
        let group = &context.group;
        let mut k = gather_each(k, group);
        let (q2, q1) = (gather(q.remove(1), group), gather(q.remove(0), group));
        let (k2, k1) = (k.remove(1), k.remove(0));
        (self.loss.forward(MoCoV3Input { q1, q2, k1, k2 }), ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::named;
    use ssl_encoders::{Vit, VitConfig};
    use ssl_fixtures::{assert_trains_only, at, context, descend, embed, images, init, predict, views};

    fn method() -> MoCoV3 {
        let config = MoCoV3Config::vit().with_momentum(0.9, 1.0).with_hidden_dim(8).with_output_dim(6);
        config.build().expect("a valid configuration")
    }

    fn start() -> (WithPredictor<Vit>, TeacherState<EncoderWith<Vit>>) {
        let mut init = init();
        let encoder = VitConfig::new(8, 1, 2).with_image_size(8).with_patch_size(4).init(&mut init);
        method().init(encoder, &mut init)
    }

    /// A student that differs from its teacher.
    fn moved(student: WithPredictor<Vit>, state: &TeacherState<EncoderWith<Vit>>) -> WithPredictor<Vit> {
        let loss = method().loss(&student, state, &views(), &context(0)).loss;
        descend(student, &loss, 0.5)
    }

    #[test]
    fn heads_of_another_structure_than_the_encoders_are_an_error() {
        let encoder = start().0.encoder;
        let with = |config: MoCoV3Config| {
            let method = config.build().expect("a valid configuration");
            method.check(&encoder, 4).map_err(|error| error.to_string())
        };
        assert_eq!(with(MoCoV3Config::vit()), Ok(()));
        let sentence = "heads is 'resnet', expected 'vit' for a vision transformer";
        assert_eq!(with(MoCoV3Config::new()), Err(sentence.to_owned()));
    }

    #[test]
    fn the_loss_compares_predictions_with_the_teachers_embeddings_of_the_other_view() {
        let (student, state) = start();
        let student = moved(student, &state);
        let teacher = state.teacher.network();
        let [q1, q2] = [0.0, 1.0].map(|seed| predict(&student, images(seed)));
        let [k1, k2] = [0.0, 1.0].map(|seed| embed(teacher, images(seed)));
        let input = MoCoV3Input { q1, q2, k1, k2 };
        let want = method().loss.forward(input).into_data();
        let step = method().loss(&student, &state, &views(), &context(0));
        assert_eq!(step.loss.into_data(), want);
    }

    #[test]
    fn the_student_gets_every_gradient_and_its_teacher_none() {
        let (student, state) = start();
        let step = method().loss(&student, &state, &views(), &context(0));
        assert_trains_only(&student, &state, &step);
    }

    #[test]
    fn the_momentum_of_the_teacher_rises_to_one() {
        for (step, momentum) in [(0, 0.9), (5, 0.95), (10, 1.0)] {
            let (student, state) = start();
            let student = moved(student, &state);
            let (student, state) = method().before_step(student, start().1, at(step));
            let by_hand = start().1.teacher.follow(&student.target(), momentum);
            for (path, tensor) in named::collect(&by_hand) {
                let tolerance = burn::tensor::Tolerance::absolute(1e-7);
                named::collect(&state.teacher)[&path].assert_approx_eq::<f32>(&tensor, tolerance);
            }
        }
    }

    #[test]
    fn patch_projection_and_position_embedding_of_a_vit_stay_as_they_are() {
        let (student, _) = start();
        let frozen = |config: MoCoV3Config| -> Vec<String> {
            let rules = config.build().expect("a valid configuration").gradient_rules(at(0));
            named::collect(&student).into_keys().filter(|path| rules.is_frozen(path)).collect()
        };
        let patches =
            ["encoder.patch_embed.proj.bias", "encoder.patch_embed.proj.weight", "encoder.pos_embed"];
        assert_eq!(frozen(MoCoV3Config::vit()), patches);
        let trained = MoCoV3Config { freeze_patch_embed: false, ..MoCoV3Config::vit() };
        assert_eq!(frozen(trained), ["encoder.pos_embed"]);
        assert!(frozen(MoCoV3Config::new()).is_empty());
    }
}
