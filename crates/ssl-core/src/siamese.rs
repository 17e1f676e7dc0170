//! Methods of one network and no state.

use burn::tensor::{Int, Tensor};

use crate::embed::{embed_each, embed_joint};
use crate::group::{gather_each, gather_labels};
use crate::{
    Embedded, EmbeddingLoss, Encoder, EncoderWith, Init, LayerConfig, MethodRules, Metrics, Mlp, NoState,
    Pass, SslMethod, Step, StepContext, Views,
};

/// A method that embeds two views with one network, compares the embeddings, and keeps no state.
///
/// ```text
/// z1, z2 = projector(encoder(v1)), projector(encoder(v2))
/// L      = compare(z1, z2, labels)          of the images of all processes
/// ```
///
/// It is an [`SslMethod`] for every encoder, and a batch may be embedded in chunks: its
/// [`MethodRules::embeds_in_chunks`] is true.
pub trait Siamese: MethodRules {
    /// The layers of the projector, on features of length `feature_dim`.
    fn projector(&self, feature_dim: usize) -> Vec<LayerConfig>;

    /// How the two views pass through the network.
    fn passes(&self) -> Passes;

    /// The loss, `[1]`.
    ///
    /// # Shapes
    /// - `z`: of both views, `[batch, dim]`; `labels`: `[batch]`, where the data has them
    ///
    /// # Panics
    /// If the method [needs](MethodRules::needs) labels and there are none.
    fn compare(&self, z: [Tensor<2>; 2], labels: Option<Tensor<1, Int>>) -> Tensor<1>;
}

/// How two views pass through a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    /// Both at once: batch norm sees the images of both views.
    Joint,
    /// One after the other: batch norm sees the images of one view at a time.
    Each,
}

impl<E: Encoder, M: Siamese> SslMethod<E> for M {
    type Student = EncoderWith<E>;
    type State = NoState;
    type Carry = ();

    fn init(&self, encoder: E, init: &mut Init) -> (EncoderWith<E>, NoState) {
        let projector = Siamese::projector(self, encoder.feature_dim());
        (EncoderWith::init(encoder, &projector, init), NoState {})
    }

    fn loss(
        &self,
        student: &EncoderWith<E>,
        state: &NoState,
        views: &Views,
        context: &StepContext,
    ) -> Step<()> {
        let method: &dyn EmbeddingLoss<EncoderWith<E>, NoState, Carry = ()> = self;
        let Embedded { outputs, embeddings } = method.embed(student, views, &context.pass("student"));
        let (loss, ()) = method.loss_of(state, outputs, Vec::new(), views.labels.clone(), context);
        Step::of_group(loss, ()).with_metrics(Metrics::of_embeddings(embeddings))
    }

    fn embedding_loss(&self) -> Option<&dyn EmbeddingLoss<EncoderWith<E>, NoState, Carry = ()>> {
        Some(self)
    }

    fn encoder<'a>(&self, student: &'a EncoderWith<E>, _state: &'a NoState) -> &'a E {
        &student.encoder
    }

    fn projector<'a>(&self, student: &'a EncoderWith<E>) -> Option<&'a Mlp> {
        Some(&student.projector)
    }
}

impl<E: Encoder, M: Siamese> EmbeddingLoss<EncoderWith<E>, NoState> for M {
    type Carry = ();

    fn embed(&self, student: &EncoderWith<E>, views: &Views, pass: &Pass) -> Embedded {
        let (v1, v2) = views.pair();
        let EncoderWith { encoder, projector } = student;
        Embedded::new(match self.passes() {
            Passes::Joint => embed_joint(encoder, projector, &[v1, v2], pass),
            Passes::Each => embed_each(encoder, projector, &[v1, v2], pass),
        })
    }

    fn loss_of(
        &self,
        _state: &NoState,
        outputs: Vec<Tensor<2>>,
        _targets: Vec<Tensor<2>>,
        labels: Option<Tensor<1, Int>>,
        context: &StepContext,
    ) -> (Tensor<1>, ()) {
        let group = &context.group;
        let z = gather_each(outputs, group).try_into().expect("an embedding of each of two views");
        (self.compare(z, labels.map(|labels| gather_labels(labels, group))), ())
    }
}
