//! SimCLR: one encoder, one projector, no state.

use std::marker::PhantomData;

use burn::module::Module;
use burn::tensor::Tensor;
use ssl_core::embed::embed_joint;
use ssl_core::{Encoder, Init, Loss, Mlp, Mode, NoState, Progress, SslMethod, Step, Views};

use crate::{NtXentInput, NtXentLoss, SimClrConfig};

/// SimCLR: the embeddings of two views of an image attract, all others in the batch repel.
///
/// ```text
/// z1, z2 = projector(encoder([v1; v2]))        one pass over both views
/// L      = nt_xent(z1, z2)
/// ```
#[doc(alias = "SimCLR")]
#[derive(Clone, Debug)]
pub struct SimClr<E> {
    pub(crate) config: SimClrConfig,
    pub(crate) loss: NtXentLoss,
    pub(crate) encoder: PhantomData<E>,
}

/// What SimCLR trains.
#[derive(Module, Debug)]
pub struct SimClrStudent<E> {
    /// The encoder.
    pub encoder: E,
    /// The projector, thrown away after pretraining (v1) or kept up to its first layer for fine-tuning (v2).
    pub projector: Mlp,
}

impl<E: Encoder> SslMethod for SimClr<E> {
    type Encoder = E;
    type Student = SimClrStudent<E>;
    type State = NoState;
    type Carry = ();

    fn init(&self, encoder: E, init: &mut Init) -> (Self::Student, NoState) {
        let feature_dim = encoder.feature_dim();
        let projector = Mlp::init(feature_dim, &self.config.projector(feature_dim), init);
        (SimClrStudent { encoder, projector }, NoState {})
    }

    fn loss(&self, student: &Self::Student, _state: &NoState, views: &Views, _at: Progress) -> Step<()> {
        let (v1, v2) = views.pair();
        let mut z = embed_joint(&student.encoder, &student.projector, &[v1, v2], Mode::Train);
        let embeddings = Tensor::cat(z.clone(), 0).without_autodiff();
        let (z2, z1) = (z.remove(1), z.remove(0));
        Step { loss: self.loss.forward(NtXentInput { z1, z2 }), carry: (), embeddings }
    }

    fn encoder<'a>(&self, student: &'a Self::Student, _state: &'a NoState) -> &'a E {
        &student.encoder
    }
}
