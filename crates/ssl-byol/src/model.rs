//! BYOL: a student with a predictor, and a teacher without one.

use burn::tensor::Tensor;
use ssl_core::{
    Advice, Encoder, EncoderWith, Footprint, HeadShape, Init, Loss, LossScale, MethodRules, Metrics, Mlp,
    Plan, Predicted, Progress, SslMethod, Step, StepContext, TeacherState, Views, WithPredictor, schedule,
};

use crate::{ByolConfig, ByolInput, ByolLoss};

/// BYOL: from one view, the student predicts the teacher's embedding of the other.
///
/// ```text
/// p1, p2 = predictor(student(v1)), predictor(student(v2))        one pass per view
/// z1, z2 = teacher(v1), teacher(v2)
/// L      = byol(p1, p2, z1, z2)
/// teacher ← m · teacher + (1 − m) · student                      after the optimizer; m rises to 1
/// ```
#[doc(alias = "BYOL")]
#[derive(Clone, Debug)]
pub struct Byol {
    pub(crate) config: ByolConfig,
    pub(crate) loss: ByolLoss,
}

impl Byol {
    /// The momentum of the teacher at this step.
    fn momentum_at(&self, at: Progress) -> f64 {
        let ByolConfig { momentum, momentum_end, .. } = self.config;
        schedule::cosine(at.step as f64, at.total_steps as f64, momentum, momentum_end)
    }
}

impl MethodRules for Byol {
    /// Views whose embeddings are at right angles, and views that agree.
    fn loss_scale(&self, _batch: usize) -> LossScale {
        LossScale::guess(4.0).with_floor(0.0)
    }

    fn footprint(&self, feature_dim: usize, images: usize, _views: usize) -> Footprint {
        let projector = HeadShape::new(feature_dim, self.config.head());
        let predictor = HeadShape::new(projector.outputs(), self.config.head());
        let loss = 8.0 * (images * predictor.outputs()) as f64;
        Footprint { teacher_heads: Some(1), loss, ..Footprint::of_heads([projector, predictor]) }
    }

    fn advice(&self, plan: &Plan) -> Vec<Advice> {
        Advice::of_teacher(plan, "momentum", |at| self.momentum_at(at)).into_iter().collect()
    }
}

impl<E: Encoder> SslMethod<E> for Byol {
    type Student = WithPredictor<E>;
    type State = TeacherState<EncoderWith<E>>;
    type Carry = ();

    fn init(&self, encoder: E, init: &mut Init) -> (Self::Student, Self::State) {
        let head = self.config.head();
        WithPredictor::init(encoder, &head, &head, init).with_teacher()
    }

    fn loss(
        &self,
        student: &Self::Student,
        state: &Self::State,
        views: &Views,
        context: &StepContext,
    ) -> Step<()> {
        let (v1, v2) = views.pair();
        let views = [v1, v2];
        let Predicted { embeddings, predictions: mut p } = student.predict(&views, &context.pass("student"));
        let mut z = state.embed_each(&views, &context.teacher_pass());
        let (p2, p1, z2, z1) = (p.remove(1), p.remove(0), z.remove(1), z.remove(0));
        let metrics = Metrics::of_embeddings(Tensor::cat(embeddings, 0));
        Step::of_share(self.loss.forward(ByolInput { p1, p2, z1, z2 }), ()).with_metrics(metrics)
    }

    fn after_step(&self, student: &Self::Student, state: Self::State, at: Progress) -> Self::State {
        TeacherState { teacher: state.teacher.follow(&student.target(), self.momentum_at(at)) }
    }

    fn encoder<'a>(&self, student: &'a Self::Student, _state: &'a Self::State) -> &'a E {
        &student.encoder
    }

    fn projector<'a>(&self, student: &'a Self::Student) -> Option<&'a Mlp> {
        Some(&student.projector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::named;
    use ssl_encoders::ResNet;
    use ssl_fixtures::{
        assert_near, assert_only_statistics_changed, assert_trains_only, at, context, descend, embed, images,
        init, predict, resnet, views,
    };

    fn method() -> Byol {
        let config = ByolConfig::new().with_momentum(0.9, 1.0).with_hidden_dim(8).with_output_dim(6);
        config.build().expect("a valid configuration")
    }

    fn start() -> (WithPredictor<ResNet>, TeacherState<EncoderWith<ResNet>>) {
        let mut init = init();
        method().init(resnet(&mut init), &mut init)
    }

    /// A student that differs from its teacher.
    fn moved(
        student: WithPredictor<ResNet>,
        state: &TeacherState<EncoderWith<ResNet>>,
    ) -> WithPredictor<ResNet> {
        let loss = method().loss(&student, state, &views(), &context(0)).loss;
        descend(student, &loss, 0.5)
    }

    #[test]
    fn the_loss_compares_predictions_with_the_teachers_embeddings_of_the_other_view() {
        let (student, state) = start();
        let student = moved(student, &state);
        let teacher = state.teacher.network();
        let [p1, p2] = [0.0, 1.0].map(|seed| predict(&student, images(seed)));
        let [z1, z2] = [0.0, 1.0].map(|seed| embed(teacher, images(seed)));
        let input = ByolInput { p1, p2, z1, z2 };
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
    fn the_teacher_follows_the_new_student_with_a_momentum_that_rises_to_one() {
        for (step, momentum) in [(0, 0.9), (5, 0.95), (10, 1.0)] {
            let (student, state) = start();
            let student = moved(student, &state);
            let state = method().after_step(&student, start().1, at(step));
            let by_hand = start().1.teacher.follow(&student.target(), momentum);
            assert_near(&state.teacher, &by_hand);
        }
    }

    #[test]
    fn the_teacher_keeps_running_statistics_of_its_own() {
        let (student, state) = start();
        let (before, students) = (named::collect(&state), named::collect(&student));
        method().loss(&student, &state, &views(), &context(0));
        assert_only_statistics_changed(&before, &state);
        let after = method().after_step(&moved(start().0, &start().1), start().1, at(0));
        for (path, tensor) in named::collect(after.teacher.network()) {
            assert_eq!(tensor == students[&path], named::is_buffer(&path), "{path}");
        }
    }

    #[test]
    fn equal_ends_make_the_momentum_constant() {
        let config = ByolConfig::new().with_momentum(0.9, 0.9).with_hidden_dim(8).with_output_dim(6);
        let method: Byol = config.build().expect("a valid configuration");
        let (student, state) = start();
        let student = moved(student, &state);
        let after = |step| named::collect(&method.after_step(&student, start().1, at(step)));
        assert_eq!(after(0), after(7));
    }
}
