//! Alignment and uniformity: an encoder, a projector, no state.

use burn::tensor::Tensor;
use burn_ssl::core::embed::embed_each;
use burn_ssl::core::group::gather;
use burn_ssl::core::{Encoder, EncoderWith, Init, LayerConfig, MethodRules, Metrics, NoState, Norm};
use burn_ssl::core::{SslMethod, Step, StepContext, Views};

use crate::{AlignUniformConfig, align_uniform};

/// Alignment and uniformity.
pub struct AlignUniform(pub(crate) AlignUniformConfig);

impl MethodRules for AlignUniform {}

impl<E: Encoder> SslMethod<E> for AlignUniform {
    type Student = EncoderWith<E>;
    type State = NoState;
    type Carry = ();

    fn init(&self, encoder: E, init: &mut Init) -> (EncoderWith<E>, NoState) {
        let hidden = LayerConfig::new(encoder.feature_dim()).norm(Norm::Affine).relu();
        (EncoderWith::init(encoder, &[hidden, LayerConfig::new(self.0.dim)], init), NoState {})
    }

    fn loss(&self, student: &EncoderWith<E>, _: &NoState, views: &Views, context: &StepContext) -> Step<()> {
        let (v1, v2) = views.pair();
        let z = embed_each(&student.encoder, &student.projector, &[v1, v2], &context.pass("student"));
        let metrics = Metrics::of_embeddings(Tensor::cat(z.clone(), 0));
        let [z1, z2] = [0, 1].map(|view| gather(z[view].clone(), &context.group));
        Step::of_group(align_uniform(z1, z2, &self.0), ()).with_metrics(metrics)
    }

    fn encoder<'a>(&self, student: &'a EncoderWith<E>, _state: &'a NoState) -> &'a E {
        &student.encoder
    }
}
