//! NNCLR: an encoder with projector and predictor, and a queue of embeddings.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use ssl_core::group::{gather, gather_each};
use ssl_core::loss::info_nce_values;
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};
use ssl_core::{
    Advice, ConfigError, Embedded, EmbeddingLoss, Encoder, Footprint, HeadShape, Init, Loss, LossScale,
    MethodRules, Metrics, Mlp, Pass, Plan, Predicted, Queue, SslMethod, Step, StepContext, Views,
    WithPredictor,
};

use crate::nearest::BLOCK;
use crate::{NnClrConfig, NnClrInput, NnClrLoss, nearest};

/// NNCLR: the prediction from one view of an image attracts the nearest neighbour of the other view's embedding among
/// those of earlier images, and repels the neighbours of other images.
///
/// ```text
/// z1, z2 = projector(encoder(v1)), projector(encoder(v2))        one pass per view
/// p1, p2 = predictor(z1), predictor(z2)
/// n1, n2 = the rows of the queue nearest to z1 and z2            without gradient
/// L      = nnclr(n1, n2, p1, p2)
/// queue  ← z1 in place of the oldest rows, of unit length
/// ```
#[doc(alias = "NNCLR")]
#[derive(Clone, Debug)]
pub struct NnClr {
    pub(crate) config: NnClrConfig,
    pub(crate) loss: NnClrLoss,
}

/// NNCLR's state.
#[derive(Module, Debug)]
pub struct NnClrState {
    /// Embeddings of the first views of earlier images, of unit length: the paper's support set.
    pub queue: Queue,
}

impl NnClr {
    /// Creates a queue of random directions.
    fn queue(&self, init: &mut Init) -> Queue {
        let rows = init.normal([self.config.queue_len, self.config.output_dim], 1.0).val().without_autodiff();
        Queue::new(l2_normalize(rows, NORMALIZE_EPS))
    }
}

impl MethodRules for NnClr {
    /// Guessing among the predictions of the batch.
    fn loss_scale(&self, batch: usize) -> LossScale {
        LossScale::guess((batch as f64).ln())
    }

    fn embeds_in_chunks(&self) -> bool {
        true
    }

    fn footprint(&self, feature_dim: usize, images: usize, _views: usize) -> Footprint {
        let projector = HeadShape::new(feature_dim, self.config.projector());
        let predictor = HeadShape::new(projector.outputs(), self.config.predictor());
        let (images, rows, dim) =
            (images as f64, self.config.queue_len as f64, self.config.output_dim as f64);
        // A look-up normalises the queue and holds a block of similarities; the loss comes after both.
        let look_up = 2.0 * rows * dim + (images * rows).min((BLOCK as f64).max(rows));
        Footprint {
            state: rows * dim,
            loss: look_up.max(info_nce_values(images, images, dim, true)),
            ..Footprint::of_heads([projector, predictor])
        }
    }

    fn advice(&self, plan: &Plan) -> Vec<Advice> {
        let NnClrConfig { temperature, queue_len, .. } = self.config;
        let mut advice = Advice::of_queue(plan, "queue_len", queue_len, plan.batch, 0);
        advice.extend(Advice::of_negatives(plan, "temperature", temperature));
        advice
    }
}

impl<E: Encoder> SslMethod<E> for NnClr {
    type Student = WithPredictor<E>;
    type State = NnClrState;
    /// The embeddings of the first views in all processes.
    type Carry = Tensor<2>;

    fn init(&self, encoder: E, init: &mut Init) -> (Self::Student, Self::State) {
        let (projector, predictor) = (self.config.projector(), self.config.predictor());
        let student = WithPredictor::init(encoder, &projector, &predictor, init);
        (student, NnClrState { queue: self.queue(init) })
    }

    fn check(&self, _encoder: &E, batch: usize) -> Result<(), ConfigError> {
        let len = self.config.queue_len;
        let found = format!("{len} for the embeddings of a batch of {batch} images");
        ConfigError::check(len >= batch, "queue_len", found, "at least as many")
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
        let (loss, keys) = method.loss_of(state, outputs, Vec::new(), None, context);
        Step::of_group(loss, keys).with_metrics(Metrics::of_embeddings(embeddings))
    }

    fn embedding_loss(&self) -> Option<&dyn EmbeddingLoss<Self::Student, Self::State, Carry = Tensor<2>>> {
        Some(self)
    }

    fn absorb(&self, state: Self::State, keys: Tensor<2>) -> Self::State {
        NnClrState { queue: state.queue.push(keys) }
    }

    fn encoder<'a>(&self, student: &'a Self::Student, _state: &'a Self::State) -> &'a E {
        &student.encoder
    }

    fn projector<'a>(&self, student: &'a Self::Student) -> Option<&'a Mlp> {
        Some(&student.projector)
    }
}

impl<E: Encoder> EmbeddingLoss<WithPredictor<E>, NnClrState> for NnClr {
    type Carry = Tensor<2>;

    /// The predictions of both views, then their embeddings, which are looked up and get no gradient.
    fn embed(&self, student: &WithPredictor<E>, views: &Views, pass: &Pass) -> Embedded {
        let (v1, v2) = views.pair();
        let Predicted { embeddings: z, predictions: p } = student.predict(&[v1, v2], pass);
        let embeddings = Tensor::cat(z.clone(), 0).without_autodiff();
        Embedded { outputs: p.into_iter().chain(z).collect(), embeddings }
    }

    fn loss_of(
        &self,
        state: &NnClrState,
        mut p: Vec<Tensor<2>>,
        _targets: Vec<Tensor<2>>,
        _labels: Option<Tensor<1, Int>>,
        context: &StepContext,
    ) -> (Tensor<1>, Tensor<2>) {
        let group = &context.group;
        let z = p.split_off(2);
        let [n1, n2] = [0, 1].map(|view| gather(nearest(z[view].clone(), state.queue.rows()), group));
        let mut p = gather_each(p, group);
        let (p2, p1) = (p.remove(1), p.remove(0));
        let loss = self.loss.forward(NnClrInput { n1, n2, p1, p2 });
        let keys = l2_normalize(gather(z[0].clone().without_autodiff(), group), NORMALIZE_EPS);
        (loss, keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Tolerance;
    use ssl_core::named;
    use ssl_encoders::ResNet;
    use ssl_fixtures::{assert_trains_only, context, embed, images, init, predict, resnet, views};

    fn config() -> NnClrConfig {
        NnClrConfig::new().with_queue_len(10).with_hidden_dim(8).with_output_dim(6).with_predictor_dim(5)
    }

    fn method() -> NnClr {
        config().build().expect("a valid configuration")
    }

    fn start() -> (WithPredictor<ResNet>, NnClrState) {
        let mut init = init();
        method().init(resnet(&mut init), &mut init)
    }

    /// The embeddings of a view by a fresh student.
    fn embeddings(seed: f32) -> Tensor<2> {
        let WithPredictor { encoder, projector, .. } = start().0;
        embed(&ssl_core::EncoderWith { encoder, projector }, images(seed))
    }

    #[test]
    fn a_queue_that_is_shorter_than_a_batch_is_an_error() {
        let encoder = start().0.encoder;
        let check = |batch| method().check(&encoder, batch).map_err(|error| error.to_string());
        let expected =
            "queue_len is 10 for the embeddings of a batch of 11 images, expected at least as many";
        assert_eq!((check(10), check(11)), (Ok(()), Err(expected.to_owned())));
    }

    #[test]
    fn the_loss_compares_predictions_with_the_neighbours_of_the_other_view_in_the_old_queue() {
        let ((student, state), (by_hand, _)) = (start(), start());
        let step = method().loss(&student, &state, &views(), &context(0));
        let [n1, n2] = [0.0, 1.0].map(|seed| nearest(embeddings(seed), state.queue.rows()));
        let [p1, p2] = [0.0, 1.0].map(|seed| predict(&by_hand, images(seed)));
        let want = method().loss.forward(NnClrInput { n1, n2, p1, p2 }).into_data();
        assert_eq!(step.loss.into_data(), want);
    }

    #[test]
    fn the_embeddings_of_the_first_view_replace_the_oldest_rows_of_a_queue_that_no_batch_divides() {
        let (student, mut state) = start();
        let keys = l2_normalize(embeddings(0.0).without_autodiff(), NORMALIZE_EPS).into_data();
        let first = state.queue.rows().into_data();
        for _ in 0..3 {
            let step = method().loss(&student, &state, &views(), &context(0));
            assert!(!step.carry.device().is_autodiff());
            step.carry.to_data().assert_approx_eq::<f32>(&keys, Tolerance::absolute(1e-6));
            state = SslMethod::<ResNet>::absorb(&method(), state, step.carry);
        }
        assert_eq!(state.queue.position(), 2);
        assert_ne!(state.queue.rows().into_data(), first);
        let saved = named::collect(&state);
        let restored = named::load(start().1, saved.clone()).expect("the same state");
        assert_eq!(named::collect(&restored), saved, "queue and position");
    }

    #[test]
    fn a_queue_starts_with_directions_of_unit_length() {
        let rows = start().1.queue.rows();
        assert_eq!(rows.dims(), [10, 6]);
        let lengths: Vec<f32> = rows.square().sum_dim(1).sqrt().into_data().iter().collect();
        assert!(lengths.iter().all(|length| (length - 1.0).abs() < 1e-5), "{lengths:?}");
    }

    #[test]
    fn the_student_gets_every_gradient_and_the_queue_none() {
        let (student, state) = start();
        let step = method().loss(&student, &state, &views(), &context(0));
        assert_trains_only(&student, &state, &step);
    }
}
