//! TiCo: a student, a teacher, and the covariance of the student's embeddings.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Int, Tensor};
use ssl_core::group::gather;
use ssl_core::{
    Advice, Embedded, EmbeddingLoss, Encoder, EncoderWith, Footprint, HeadShape, Init, Loss, LossScale,
    MethodRules, Metrics, Mlp, Pass, Plan, Progress, SslMethod, Step, StepContext, Teacher, Views, schedule,
};

use crate::{TiCoConfig, TiCoInput, TiCoLoss, next_covariance};

/// TiCo: the student's embedding of one view agrees with the teacher's of the other, and avoids the directions that
/// embeddings have taken lately.
///
/// ```text
/// z1, z2  = student(v1), teacher(v2)
/// C       ← β · C + (1 − β) · covariance of z1                   before the loss uses it
/// L       = tico(z1, z2, C)
/// teacher ← m · teacher + (1 − m) · student                      after the optimizer; m rises to 1
/// ```
#[derive(Clone, Debug)]
pub struct TiCo {
    pub(crate) config: TiCoConfig,
    pub(crate) loss: TiCoLoss,
}

/// TiCo's state: the teacher, and the moving average of the covariance.
#[derive(Module, Debug)]
pub struct TiCoState<E: Encoder> {
    /// The network that follows the student.
    pub teacher: Teacher<EncoderWith<E>>,
    /// `C` of the loss, `[dim, dim]`.
    pub covariance: Param<Tensor<2>>,
}

impl<E: Encoder> TiCoState<E> {
    /// Creates the initial state: the teacher is a copy of the student, the covariance is 0.
    pub fn new(student: &EncoderWith<E>, init: &Init) -> Self {
        let dim = student.projector.outputs();
        let covariance = Tensor::zeros([dim, dim], &init.plain_device());
        let covariance = Param::initialized(ParamId::new(), covariance);
        Self { teacher: Teacher::from_student(student), covariance }
    }
}

impl TiCo {
    /// The momentum of the teacher at this step.
    fn momentum_at(&self, at: Progress) -> f64 {
        let TiCoConfig { momentum, momentum_end, .. } = self.config;
        schedule::cosine(at.step as f64, at.total_steps as f64, momentum, momentum_end)
    }
}

impl MethodRules for TiCo {
    /// Views whose embeddings are at right angles and spread evenly; if that costs more than to be all equal, embeddings
    /// that are.
    fn loss_scale(&self, _batch: usize) -> LossScale {
        let rho = self.config.covariance_weight;
        LossScale::guess((1.0 + rho / self.config.output_dim as f64).min(rho))
    }

    fn embeds_in_chunks(&self) -> bool {
        true
    }

    fn footprint(&self, feature_dim: usize, images: usize, _views: usize) -> Footprint {
        let projector = HeadShape::new(feature_dim, self.config.projector());
        let dim = self.config.output_dim as f64;
        // The covariance of the batch, its average and a factor of it; a few copies of the embeddings.
        let loss = 3.0 * dim * dim + 8.0 * images as f64 * dim;
        Footprint {
            teacher_heads: Some(1),
            student_views: Some(1),
            state: dim * dim,
            loss,
            ..Footprint::of_heads([projector])
        }
    }

    fn advice(&self, plan: &Plan) -> Vec<Advice> {
        Advice::of_teacher(plan, "momentum", |at| self.momentum_at(at)).into_iter().collect()
    }
}

impl<E: Encoder> SslMethod<E> for TiCo {
    type Student = EncoderWith<E>;
    type State = TiCoState<E>;
    /// The covariance with this batch in it, the same in all processes.
    type Carry = Tensor<2>;

    fn init(&self, encoder: E, init: &mut Init) -> (Self::Student, Self::State) {
        let student = EncoderWith::init(encoder, &self.config.projector(), init);
        let state = TiCoState::new(&student, init);
        (student, state)
    }

    fn loss(
        &self,
        student: &Self::Student,
        state: &Self::State,
        views: &Views,
        context: &StepContext,
    ) -> Step<Tensor<2>> {
        let method: &dyn EmbeddingLoss<Self::Student, Self::State, Carry = Tensor<2>> = self;
        let Embedded { outputs, embeddings } = method.embed(student, views, &context.pass("student"));
        let targets = method.targets(state, views, &context.teacher_pass());
        let (loss, covariance) = method.loss_of(state, outputs, targets, None, context);
        Step::of_group(loss, covariance).with_metrics(Metrics::of_embeddings(embeddings))
    }

    fn embedding_loss(&self) -> Option<&dyn EmbeddingLoss<Self::Student, Self::State, Carry = Tensor<2>>> {
        Some(self)
    }

    fn absorb(&self, mut state: Self::State, covariance: Tensor<2>) -> Self::State {
        state.covariance = state.covariance.map(|_| covariance);
        state
    }

    fn after_step(&self, student: &Self::Student, mut state: Self::State, at: Progress) -> Self::State {
        state.teacher = state.teacher.follow(student, self.momentum_at(at));
        state
    }

    fn encoder<'a>(&self, student: &'a Self::Student, _state: &'a Self::State) -> &'a E {
        &student.encoder
    }

    fn projector<'a>(&self, student: &'a Self::Student) -> Option<&'a Mlp> {
        Some(&student.projector)
    }
}

impl<E: Encoder> EmbeddingLoss<EncoderWith<E>, TiCoState<E>> for TiCo {
    type Carry = Tensor<2>;

    fn embed(&self, student: &EncoderWith<E>, views: &Views, pass: &Pass) -> Embedded {
        Embedded::new(vec![student.embed(views.pair().0, pass)])
    }

    fn targets(&self, state: &TiCoState<E>, views: &Views, pass: &Pass) -> Vec<Tensor<2>> {
        vec![state.teacher.network().embed(views.pair().1, pass)]
    }

    fn loss_of(
        &self,
        state: &TiCoState<E>,
        mut outputs: Vec<Tensor<2>>,
        mut targets: Vec<Tensor<2>>,
        _labels: Option<Tensor<1, Int>>,
        context: &StepContext,
    ) -> (Tensor<1>, Tensor<2>) {
        let group = &context.group;
        let (z1, z2) = (gather(outputs.remove(0), group), gather(targets.remove(0), group));
        let beta = self.config.covariance_momentum;
        let covariance = next_covariance(state.covariance.val(), z1.clone(), beta);
        let loss = self.loss.forward(TiCoInput { z1, z2, covariance: covariance.clone() });
        (loss, covariance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::named;
    use ssl_encoders::ResNet;
    use ssl_fixtures::{
        assert_near, assert_only_statistics_changed, assert_trains_only, at, context, descend, embed, images,
        init, resnet, views,
    };

    fn method() -> TiCo {
        let config = TiCoConfig::new().with_momentum(0.9, 1.0).with_hidden_dim(8).with_output_dim(6);
        config.build().expect("a valid configuration")
    }

    fn start() -> (EncoderWith<ResNet>, TiCoState<ResNet>) {
        let mut init = init();
        method().init(resnet(&mut init), &mut init)
    }

    /// A student that differs from its teacher.
    fn moved(student: EncoderWith<ResNet>, state: &TiCoState<ResNet>) -> EncoderWith<ResNet> {
        let loss = method().loss(&student, state, &views(), &context(0)).loss;
        descend(student, &loss, 0.5)
    }

    #[test]
    fn the_loss_holds_the_first_view_of_the_student_against_the_second_of_the_teacher() {
        let (student, state) = start();
        let student = moved(student, &state);
        let (z1, z2) = (embed(&student, images(0.0)), embed(state.teacher.network(), images(1.0)));
        let covariance = next_covariance(Tensor::zeros([6, 6], &z2.device()), z1.clone(), 0.9);
        let want = method().loss.forward(TiCoInput { z1, z2, covariance }).into_data();
        let step = method().loss(&student, &state, &views(), &context(0));
        assert_eq!(step.loss.into_data(), want);
    }

    #[test]
    fn the_loss_uses_the_covariance_with_its_batch_in_it_and_the_state_keeps_that() {
        let (student, state) = start();
        let step = method().loss(&student, &state, &views(), &context(0));
        let carry = step.carry.to_data();
        assert!(!step.carry.is_autodiff() && carry.iter::<f32>().any(|value| value.abs() > 1e-3));
        let state = method().absorb(state, step.carry);
        assert_eq!(state.covariance.val().into_data(), carry);
        let saved = named::collect(&state);
        assert_eq!(named::collect(&named::load(start().1, saved.clone()).expect("the same state")), saved);
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
            let by_hand = start().1.teacher.follow(&student, momentum);
            assert_near(&state.teacher, &by_hand);
        }
    }

    #[test]
    fn each_network_keeps_running_statistics_of_its_own() {
        let (student, state) = start();
        let (before, students) = (named::collect(&state), named::collect(&student));
        method().loss(&student, &state, &views(), &context(0));
        assert_only_statistics_changed(&before, &state);
        assert_ne!(named::collect(&student), students);
    }
}
