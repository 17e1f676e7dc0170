//! SwAV: encoder, projector and prototypes, and a queue for small batches.

use burn::module::Module;
use burn::tensor::Tensor;
use ssl_core::embed::embed_crops;
use ssl_core::loss::sinkhorn_in_group;
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};
use ssl_core::nn::{Linear, LinearConfig};
use ssl_core::{
    Advice, Change, ConfigError, Encoder, Footprint, GradientRules, Group, HeadShape, Init, LayerConfig,
    Loss, LossScale, MethodRules, Metrics, Mlp, Needs, Norm, Plan, Progress, SslMethod, Step, StepContext,
    Views, group,
};

use crate::{CropQueue, SwavConfig, SwavInput, SwavLoss};

/// SwAV: the prototypes that one crop of an image is assigned to are predicted from the other crops.
///
/// ```text
/// prototypes ← rows of unit length                                   before the forward pass
/// z_v        = l2_normalize(projector(encoder(crop_v)))              one pass of the encoder per resolution
/// s_v        = z_v · prototypesᵀ
/// q_i        = sinkhorn([queue_i · prototypesᵀ; s_i]), rows of s_i   of the global crops i, queue_i only when full
/// L          = swav(s, q)
/// queue_i    ← [z_i; queue_i] without its oldest rows
/// ```
#[doc(alias = "SwAV")]
#[derive(Clone, Debug)]
pub struct Swav {
    pub(crate) config: SwavConfig,
    pub(crate) loss: SwavLoss,
}

/// What SwAV trains.
#[derive(Module, Debug)]
pub struct SwavStudent<E> {
    /// The encoder.
    pub encoder: E,
    /// The projector, discarded after pretraining.
    pub projector: Mlp,
    /// The prototypes, `[prototype, dim]`, discarded after pretraining.
    pub prototypes: Linear,
}

/// SwAV's state.
#[derive(Module, Debug)]
pub struct SwavState {
    /// Past embeddings; `None` if `queue_len` is 0.
    pub queue: Option<CropQueue>,
}

impl MethodRules for Swav {
    /// Guessing among the prototypes.
    fn loss_scale(&self, _batch: usize) -> LossScale {
        LossScale::guess((self.config.prototypes as f64).ln())
    }

    fn needs(&self) -> Needs {
        Needs { local_views: true, ..Needs::default() }
    }

    fn gradient_rules(&self, at: Progress) -> GradientRules {
        let is_frozen = at.step < self.config.freeze_prototypes_steps;
        GradientRules {
            frozen: is_frozen.then_some("prototypes").into_iter().collect(),
            ..Default::default()
        }
    }

    fn footprint(&self, feature_dim: usize, images: usize, views: usize) -> Footprint {
        let config = &self.config;
        let projector = HeadShape::new(feature_dim, config.projector());
        let prototypes =
            HeadShape::new(config.output_dim, [LayerConfig::new(config.prototypes).norm(Norm::None)]);
        let (images, classes, queue) = (images as f64, config.prototypes as f64, config.queue_len as f64);
        // Of every view its scores and their gradient; codes have two matrices at a time.
        let loss = classes * (2.0 * images * views as f64 + 2.0 * (images + queue));
        let state = 2.0 * queue * config.output_dim as f64;
        Footprint { joint: true, state, loss, ..Footprint::of_heads([projector, prototypes]) }
    }

    fn advice(&self, plan: &Plan) -> Vec<Advice> {
        let SwavConfig { prototypes, queue_len, queue_start_epoch, freeze_prototypes_steps, .. } =
            self.config;
        // One of the two global crops at a time, together with its queue.
        let rows = plan.batch + queue_len;
        let queue = Change::option("queue_len", prototypes.next_multiple_of(plan.batch.max(1)));
        let mut advice: Vec<_> =
            Advice::of_prototypes(plan, "prototypes", prototypes, rows, vec![queue]).into_iter().collect();
        if queue_len > 0 {
            let first = queue_start_epoch.saturating_mul(plan.steps_per_epoch);
            advice.extend(Advice::of_queue(plan, "queue_len", queue_len, plan.batch, first));
        }
        advice.extend(Advice::of_frozen_layer(
            plan,
            "freeze_prototypes_steps",
            "the layer of prototypes",
            freeze_prototypes_steps,
        ));
        advice
    }
}

impl<E: Encoder> SslMethod<E> for Swav {
    type Student = SwavStudent<E>;
    type State = SwavState;
    /// Embeddings of the global crops of all processes, for the queue; `None` before it starts to fill.
    type Carry = Option<[Tensor<2>; 2]>;

    fn init(&self, encoder: E, init: &mut Init) -> (Self::Student, SwavState) {
        let config = &self.config;
        let projector = Mlp::init(encoder.feature_dim(), &config.projector(), init);
        let prototypes = LinearConfig::new(config.output_dim, config.prototypes).with_bias(false).init(init);
        let new_queue = || CropQueue::new(config.queue_len, config.output_dim, &init.plain_device());
        let queue = (config.queue_len > 0).then(new_queue);
        (SwavStudent { encoder, projector, prototypes }, SwavState { queue })
    }

    fn check(&self, _encoder: &E, batch: usize) -> Result<(), ConfigError> {
        let len = self.config.queue_len;
        let found = format!("{len} for batches of {batch} images");
        ConfigError::check(
            len == 0 || len >= batch,
            "queue_len",
            found,
            "at least as many, or 0 for no queue",
        )
    }

    fn before_step(
        &self,
        mut student: Self::Student,
        state: SwavState,
        _at: Progress,
    ) -> (Self::Student, SwavState) {
        student.prototypes.weight = student.prototypes.weight.map(|rows| {
            let is_trained = rows.is_require_grad();
            l2_normalize(rows.set_require_grad(false), NORMALIZE_EPS).set_require_grad(is_trained)
        });
        (student, state)
    }

    fn loss(
        &self,
        student: &Self::Student,
        state: &SwavState,
        views: &Views,
        context: &StepContext,
    ) -> Step<Self::Carry> {
        let z = embed_crops(&student.encoder, &student.projector, &views.crops, &context.pass("student"));
        let z = z.map(|z| l2_normalize(z, NORMALIZE_EPS));
        let global = z.first(2).without_autodiff();
        let scores = z.map(|z| student.prototypes.forward(z));

        let queue = state.queue.as_ref().filter(|_| context.at.epoch() >= self.config.queue_start_epoch);
        let prototypes = student.prototypes.weight.val().without_autodiff();
        let past = queue.filter(|queue| queue.is_full()).map(|queue| (queue, prototypes));
        let batch = scores.batch();
        let of_crop = |rows: &Tensor<2>, crop: usize| rows.clone().narrow(0, crop * batch, batch);
        let of_global = scores.first(2).without_autodiff();
        let codes =
            [0, 1].map(|crop| self.codes(crop, of_crop(&of_global, crop), past.as_ref(), &context.group));

        let metrics = Metrics::of_embeddings(global.clone()).with_prototype_usage(codes.to_vec());
        let loss = self.loss.forward(SwavInput { scores, codes: codes.to_vec().into() });
        let carry = queue.map(|_| [0, 1].map(|crop| group::gather(of_crop(&global, crop), &context.group)));
        Step::of_share(loss, carry).with_metrics(metrics)
    }

    fn absorb(&self, state: SwavState, carry: Self::Carry) -> SwavState {
        match (state.queue, carry) {
            (Some(queue), Some(z)) => SwavState { queue: Some(queue.push(z)) },
            (queue, _) => SwavState { queue },
        }
    }

    fn encoder<'a>(&self, student: &'a Self::Student, _state: &'a SwavState) -> &'a E {
        &student.encoder
    }

    fn projector<'a>(&self, student: &'a Self::Student) -> Option<&'a Mlp> {
        Some(&student.projector)
    }
}

impl Swav {
    /// The codes of a global crop, assigned together with the scores of all processes and those of the queue, if it is
    /// used.
    fn codes(
        &self,
        crop: usize,
        scores: Tensor<2>,
        past: Option<&(&CropQueue, Tensor<2>)>,
        group: &Group,
    ) -> Tensor<2> {
        let [batch, _] = scores.dims();
        let scores = scores.without_autodiff();
        let scores = match past {
            Some((queue, prototypes)) => match part(queue.of_crop(crop), group) {
                Some(past) => Tensor::cat(vec![past.matmul(prototypes.clone().transpose()), scores], 0),
                None => scores,
            },
            None => scores,
        };
        let SwavConfig { epsilon, sinkhorn_iterations, .. } = self.config;
        sinkhorn_in_group(scores, epsilon, sinkhorn_iterations, batch, true, group)
    }
}

/// The rows of a queue, which all processes have, that this one assigns, if there are any.
fn part(queue: Tensor<2>, group: &Group) -> Option<Tensor<2>> {
    let [rows, _] = queue.dims();
    let end = |rank: usize| rank * rows / group.size();
    let (start, end) = (end(group.rank()), end(group.rank() + 1));
    (end > start).then(|| queue.narrow(0, start, end - start))
}
