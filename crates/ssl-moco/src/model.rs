//! MoCo v1 and v2: a student, a teacher, and a queue of the teacher's embeddings.

use burn::module::Module;
use burn::tensor::Tensor;
use ssl_core::group::{gather, gather_images, share};
use ssl_core::loss::info_nce_values;
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};
use ssl_core::{
    Advice, ConfigError, Encoder, EncoderWith, Footprint, HeadShape, Init, Loss, LossScale, MethodRules,
    Metrics, Mlp, Plan, Progress, Queue, SslMethod, Step, StepContext, Teacher, Views,
};

use crate::shuffle::in_order;
use crate::{MoCoConfig, MoCoInput, MoCoLoss};

/// MoCo v1 and v2: the student's embedding of one view attracts the teacher's embedding of the other, and repels those
/// of earlier images.
///
/// ```text
/// teacher ← momentum · teacher + (1 − momentum) · student
/// q = student(v1),   k = teacher(v2)
/// L = moco(q, k, queue)                          symmetric: + moco(student(v2), teacher(v1), queue)
/// queue ← the keys in place of the oldest rows
/// ```
///
/// Both networks use batch statistics in batch norm, and each keeps its own running statistics. Keys pass through the
/// teacher in a random order that is undone afterwards, so that keys and queries fall into different batch-norm groups:
/// the order of the i-th encoding of keys in a step is the draw `shuffle.<i>`.
#[doc(alias = "momentum contrast")]
#[derive(Clone, Debug)]
pub struct MoCo {
    pub(crate) config: MoCoConfig,
    pub(crate) loss: MoCoLoss,
}

/// MoCo's state.
#[derive(Module, Debug)]
pub struct MoCoState<E: Encoder> {
    /// The network that computes the keys.
    pub teacher: Teacher<EncoderWith<E>>,
    /// Keys of earlier images, of unit length.
    pub queue: Queue,
}

impl MoCo {
    /// The keys of a view, which is the `encoding`-th to be encoded in this step, counted from 0.
    ///
    /// They are shuffled across all processes, so that a key is normalised with other images even if each process uses
    /// only the batch statistics of its own images.
    fn keys<E: Encoder>(
        &self,
        state: &MoCoState<E>,
        view: Tensor<4>,
        encoding: usize,
        context: &StepContext,
    ) -> Tensor<2> {
        let (teacher, pass, group) = (state.teacher.network(), context.teacher_pass(), &context.group);
        let keys = if self.config.shuffle {
            let view = gather_images(view, group);
            let order = context.draws.permutation(&format!("shuffle.{encoding}"), view.dims()[0]);
            let all = in_order(view, &order, |view| gather(teacher.embed(share(view, group), &pass), group));
            share(all, group)
        } else {
            teacher.embed(view, &pass)
        };
        l2_normalize(keys, NORMALIZE_EPS)
    }

    fn contrast<E: Encoder>(&self, q: &Tensor<2>, k: &Tensor<2>, state: &MoCoState<E>) -> Tensor<1> {
        self.loss.forward(MoCoInput { q: q.clone(), k: k.clone(), queue: state.queue.rows() })
    }

    /// Creates a queue of random directions.
    fn queue(&self, init: &mut Init) -> Queue {
        let rows = init.normal([self.config.queue_len, self.config.output_dim], 1.0).val().without_autodiff();
        Queue::new(l2_normalize(rows, NORMALIZE_EPS))
    }
}

impl MethodRules for MoCo {
    fn queue_rows_of_image(&self) -> usize {
        if self.config.symmetric { 2 } else { 1 }
    }

    /// Guessing among the key and the queue, in each direction.
    fn loss_scale(&self, _batch: usize) -> LossScale {
        let directions = if self.config.symmetric { 2.0 } else { 1.0 };
        LossScale::guess(directions * (1.0 + self.config.queue_len as f64).ln())
    }

    fn footprint(&self, feature_dim: usize, images: usize, _views: usize) -> Footprint {
        let projector = HeadShape::new(feature_dim, self.config.projector(feature_dim));
        let (rows, dim) = (self.config.queue_len as f64, self.config.output_dim as f64);
        Footprint {
            teacher_heads: Some(1),
            student_views: (!self.config.symmetric).then_some(1),
            state: rows * dim,
            loss: info_nce_values(images as f64, rows, dim, false),
            ..Footprint::of_heads([projector])
        }
    }

    fn advice(&self, plan: &Plan) -> Vec<Advice> {
        let MoCoConfig { momentum, queue_len, .. } = self.config;
        let keys = self.queue_rows_of_image() * plan.batch;
        let mut advice = Advice::of_queue(plan, "queue_len", queue_len, keys, 0);
        advice.extend(Advice::of_teacher(plan, "momentum", |_| momentum));
        advice
    }
}

impl<E: Encoder> SslMethod<E> for MoCo {
    type Student = EncoderWith<E>;
    type State = MoCoState<E>;
    /// The keys of all processes.
    type Carry = Tensor<2>;

    fn init(&self, encoder: E, init: &mut Init) -> (Self::Student, Self::State) {
        let projector = self.config.projector(encoder.feature_dim());
        let student = EncoderWith::init(encoder, &projector, init);
        let state = MoCoState { teacher: Teacher::from_student(&student), queue: self.queue(init) };
        (student, state)
    }

    fn check(&self, _encoder: &E, batch: usize) -> Result<(), ConfigError> {
        let keys = self.queue_rows_of_image() * batch;
        let len = self.config.queue_len;
        let found = format!("{len} for the {keys} keys of a batch of {batch} images");
        ConfigError::check(len >= keys, "queue_len", found, "at least as many")
    }

    /// The teacher follows the student as it was before this step's update, so the first step leaves the teacher
    /// unchanged.
    fn before_step(
        &self,
        student: Self::Student,
        state: Self::State,
        _at: Progress,
    ) -> (Self::Student, Self::State) {
        let teacher = state.teacher.follow(&student, self.config.momentum);
        (student, MoCoState { teacher, ..state })
    }

    fn loss(
        &self,
        student: &Self::Student,
        state: &Self::State,
        views: &Views,
        context: &StepContext,
    ) -> Step<Tensor<2>> {
        let (v1, v2) = views.pair();
        let (pass, group) = (context.pass("student"), &context.group);
        let q1 = student.embed(v1.clone(), &pass.part("view", 0));
        let k2 = self.keys(state, v2.clone(), 0, context);
        let loss = self.contrast(&q1, &k2, state);
        if !self.config.symmetric {
            return Step::of_share(loss, gather(k2, group)).with_metrics(Metrics::of_embeddings(q1));
        }
        let q2 = student.embed(v2, &pass.part("view", 1));
        let k1 = self.keys(state, v1, 1, context);
        let loss = loss + self.contrast(&q2, &k1, state);
        let carry = Tensor::cat(vec![gather(k1, group), gather(k2, group)], 0);
        Step::of_share(loss, carry).with_metrics(Metrics::of_embeddings(Tensor::cat(vec![q1, q2], 0)))
    }

    fn absorb(&self, state: Self::State, keys: Tensor<2>) -> Self::State {
        MoCoState { queue: state.queue.push(keys), ..state }
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
    use burn::tensor::Tolerance;
    use ssl_core::{Pass, named};
    use ssl_encoders::ResNet;
    use ssl_fixtures::{
        assert_only_statistics_changed, assert_trains_only, at, context, descend, images, init, resnet, views,
    };

    fn config() -> MoCoConfig {
        MoCoConfig::v2().with_momentum(0.9).with_queue_len(10).with_output_dim(6)
    }

    fn method() -> MoCo {
        config().build().expect("a valid configuration")
    }

    fn start() -> (EncoderWith<ResNet>, MoCoState<ResNet>) {
        let mut init = init();
        method().init(resnet(&mut init), &mut init)
    }

    /// A student that differs from its teacher.
    fn moved(student: EncoderWith<ResNet>, state: &MoCoState<ResNet>) -> EncoderWith<ResNet> {
        let loss = method().loss(&student, state, &views(), &context(0)).loss;
        descend(student, &loss, 0.5)
    }

    fn lengths(rows: Tensor<2>) -> Vec<f32> {
        rows.square().sum_dim(1).sqrt().into_data().try_to_vec().expect("floats")
    }

    #[test]
    fn a_queue_that_is_shorter_than_the_keys_of_a_batch_is_an_error() {
        let encoder = start().0.encoder;
        let check = |symmetric, batch| {
            let method = config().with_symmetric(symmetric).build().expect("a valid configuration");
            method.check(&encoder, batch).map_err(|error| error.to_string())
        };
        let keys = |keys, batch| {
            format!(
                "queue_len is 10 for the {keys} keys of a batch of {batch} images, expected at least as many"
            )
        };
        assert_eq!((check(false, 10), check(true, 5)), (Ok(()), Ok(())));
        assert_eq!((check(false, 11), check(true, 6)), (Err(keys(11, 11)), Err(keys(12, 6))));
    }

    #[test]
    fn the_teacher_follows_the_student_before_the_keys() {
        let (student, state) = start();
        let by_hand = Teacher::from_student(&student);
        let student = moved(student, &state);
        let (_, untouched) = start();
        let (student, state) = method().before_step(student, untouched, at(0));
        let by_hand = by_hand.follow(&student, 0.9);
        assert_eq!(named::collect(&state.teacher), named::collect(&by_hand));
        assert_ne!(named::collect(state.teacher.network()), named::collect(&start().0));
    }

    #[test]
    fn the_first_step_leaves_the_teacher_where_it_is() {
        let (student, state) = start();
        let (student, state) = method().before_step(student, state, at(0));
        let student = named::collect(&student);
        for (path, tensor) in named::collect(state.teacher.network()) {
            tensor.assert_approx_eq::<f32>(&student[&path], Tolerance::absolute(1e-6));
        }
    }

    #[test]
    fn the_keys_are_the_teachers_of_the_second_view_and_move_its_running_statistics_alone() {
        let (student, state) = start();
        let student = moved(student, &state);
        let (_, by_hand) = start();
        let (_, state) = start();
        let before = named::collect(&state);
        let step = method().loss(&student, &state, &views(), &context(0));
        let keys = l2_normalize(by_hand.teacher.network().embed(images(1.0), &Pass::train()), NORMALIZE_EPS);
        // The order of the images changes rounding in batch norm.
        step.carry.into_data().assert_approx_eq::<f32>(&keys.into_data(), Tolerance::absolute(1e-5));
        assert_only_statistics_changed(&before, &state);
    }

    #[test]
    fn the_student_gets_every_gradient_and_its_teacher_none() {
        let (student, state) = start();
        let step = method().loss(&student, &state, &views(), &context(0));
        assert!(!step.carry.device().is_autodiff());
        assert_trains_only(&student, &state, &step);
    }

    #[test]
    fn keys_replace_the_oldest_rows_of_a_queue_that_no_batch_divides() {
        let (student, mut state) = start();
        let first = state.queue.rows().into_data();
        for _ in 0..3 {
            let step = method().loss(&student, &state, &views(), &context(0));
            state = method().absorb(state, step.carry);
        }
        assert_eq!(state.queue.position(), 2);
        assert_ne!(state.queue.rows().into_data(), first);
        assert!(lengths(state.queue.rows()).iter().all(|length| (length - 1.0).abs() < 1e-5));
    }

    #[test]
    fn a_queue_starts_with_directions_of_unit_length() {
        let (_, state) = start();
        assert_eq!(state.queue.rows().dims(), [10, 6]);
        assert!(lengths(state.queue.rows()).iter().all(|length| (length - 1.0).abs() < 1e-5));
    }

    #[test]
    fn the_symmetric_loss_is_the_sum_of_both_directions_and_keeps_the_keys_of_the_first_view_first() {
        let symmetric: MoCo = config().with_symmetric(true).build().expect("a valid configuration");
        let (student, state) = start();
        let forth = method().loss(&student, &state, &views(), &context(0));
        let back = method().loss(&student, &state, &Views::two(images(1.0), images(0.0)), &context(0));
        let both = symmetric.loss(&student, &state, &views(), &context(0));
        let sum = (forth.loss + back.loss).into_data();
        both.loss.into_data().assert_approx_eq::<f32>(&sum, Tolerance::default());
        let keys = Tensor::cat(vec![back.carry, forth.carry], 0).into_data();
        both.carry.into_data().assert_approx_eq::<f32>(&keys, Tolerance::default());
    }
}
