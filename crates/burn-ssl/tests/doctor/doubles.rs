//! SimSiam without one of the parts that keep it from collapsing.

use burn::tensor::Tensor;
use burn_ssl::core::math::{NORMALIZE_EPS, l2_normalize};
use burn_ssl::core::{
    Encoder, Init, LayerConfig, LossScale, MethodRules, Metrics, NoState, Predicted, SslMethod, Step,
    StepContext, Views, WithPredictor,
};
use serde::{Deserialize, Serialize};

/// The configuration of a double.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct NoOptions {}

/// `½ distance(p1, z2) + ½ distance(p2, z1)`, of which something is missing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bare {
    /// `p` is `z`.
    WithoutPredictor,
    /// Gradients also flow into `z`.
    WithoutStopGradient,
}

/// Length of the embeddings.
const DIM: usize = 32;

impl MethodRules for Bare {
    fn loss_scale(&self, _batch: usize) -> LossScale {
        LossScale::guess(0.0).with_floor(-1.0)
    }
}

impl<E: Encoder> SslMethod<E> for Bare {
    type Student = WithPredictor<E>;
    type State = NoState;
    type Carry = ();

    fn init(&self, encoder: E, init: &mut Init) -> (Self::Student, NoState) {
        let head = [LayerConfig::new(DIM).bias()];
        (WithPredictor::init(encoder, &head, &head, init), NoState {})
    }

    fn loss(
        &self,
        student: &Self::Student,
        _state: &NoState,
        views: &Views,
        context: &StepContext,
    ) -> Step<()> {
        let (v1, v2) = views.pair();
        let Predicted { embeddings: z, predictions: p } =
            student.predict(&[v1, v2], &context.pass("student"));
        let metrics = Metrics::of_embeddings(Tensor::cat(z.clone(), 0));
        let (p, targets) = match self {
            Self::WithoutPredictor => (z.clone(), z.into_iter().map(Tensor::detach).collect()),
            Self::WithoutStopGradient => (p, z),
        };
        let loss = (distance(&p[0], &targets[1]) + distance(&p[1], &targets[0])) / 2.0;
        Step::of_share(loss, ()).with_metrics(metrics)
    }

    fn encoder<'a>(&self, student: &'a Self::Student, _state: &'a NoState) -> &'a E {
        &student.encoder
    }
}

/// Minus the mean cosine of rows.
fn distance(p: &Tensor<2>, z: &Tensor<2>) -> Tensor<1> {
    let unit = |rows: &Tensor<2>| l2_normalize(rows.clone(), NORMALIZE_EPS);
    -(unit(p) * unit(z)).sum_dim(1).mean()
}
