//! VICReg: an encoder, a projector, no state.

use std::marker::PhantomData;

use burn::{module::Module, tensor::Tensor};
use burn_ssl::core::embed::embed_each;
use burn_ssl::core::{
    Encoder, Init, LayerConfig, Mlp, Mode, NoState, Norm, SslMethod, Step, StepContext, Views,
};

use crate::{VicRegConfig, vicreg};

/// VICReg for encoders of type `E`.
pub struct VicReg<E>(pub(crate) VicRegConfig, pub(crate) PhantomData<E>);

/// What VICReg trains.
#[derive(Module, Debug)]
pub struct Student<E> {
    /// What is kept.
    pub encoder: E,
    /// What is thrown away after pretraining.
    pub projector: Mlp,
}

impl<E: Encoder> SslMethod for VicReg<E> {
    type Encoder = E;
    type Student = Student<E>;
    type State = NoState;
    type Carry = ();

    fn init(&self, encoder: E, init: &mut Init) -> (Student<E>, NoState) {
        let hidden = LayerConfig::new(self.0.dim).norm(Norm::Affine).relu();
        let layers = [hidden.clone(), hidden, LayerConfig::new(self.0.dim)];
        let projector = Mlp::init(encoder.feature_dim(), &layers, init);
        (Student { encoder, projector }, NoState {})
    }

    fn loss(&self, student: &Student<E>, _: &NoState, views: &Views, _: &StepContext) -> Step<()> {
        let (v1, v2) = views.pair();
        let z = embed_each(&student.encoder, &student.projector, &[v1, v2], Mode::Train);
        let loss = vicreg(z[0].clone(), z[1].clone(), &self.0);
        Step { loss, carry: (), embeddings: Tensor::cat(z, 0).without_autodiff() }
    }

    fn encoder<'a>(&self, student: &'a Student<E>, _state: &'a NoState) -> &'a E {
        &student.encoder
    }
}
