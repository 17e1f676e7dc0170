//! LeJEPA: one encoder, one projector, no state.

use burn::tensor::{Int, Tensor};
use ssl_core::embed::embed_crops;
use ssl_core::group::gather_each;
use ssl_core::{
    Embedded, EmbeddingLoss, Encoder, EncoderWith, Footprint, HeadShape, Init, Loss, MethodRules, Metrics,
    Mlp, Needs, NoState, Pass, SslMethod, Step, StepContext, Views,
};

use crate::sigreg::slices;
use crate::{LeJepaConfig, LeJepaInput, LeJepaLoss};

/// LeJEPA: all views of an image have one embedding, and embeddings are normally distributed.
///
/// ```text
/// z_v = projector(encoder(crop_v))        one pass of the encoder per resolution, one of the projector over all
/// L   = lejepa(z)                         along directions that are new in every step
/// ```
#[doc(alias = "LeJEPA")]
#[doc(alias = "SIGReg")]
#[derive(Clone, Debug)]
pub struct LeJepa {
    pub(crate) config: LeJepaConfig,
    pub(crate) loss: LeJepaLoss,
}

impl MethodRules for LeJepa {
    fn embeds_in_chunks(&self) -> bool {
        true
    }

    fn needs(&self) -> Needs {
        Needs { global_views: self.config.global_views, local_views: true, ..Needs::default() }
    }

    fn footprint(&self, feature_dim: usize, images: usize, views: usize) -> Footprint {
        let projector = HeadShape::new(feature_dim, self.config.projector());
        let (rows, config) = ((images * views) as f64, &self.config);
        // The backward pass of each knot needs the angles of every embedding and slice; four more of their size are on
        // their way.
        let angles = rows * config.slices as f64;
        let loss = (config.knots as f64 + 4.0) * angles + 6.0 * rows * config.output_dim as f64;
        Footprint { joint: true, loss, ..Footprint::of_heads([projector]) }
    }
}

impl<E: Encoder> SslMethod<E> for LeJepa {
    type Student = EncoderWith<E>;
    type State = NoState;
    type Carry = ();

    fn init(&self, encoder: E, init: &mut Init) -> (EncoderWith<E>, NoState) {
        (EncoderWith::init(encoder, &self.config.projector(), init), NoState {})
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
        let (loss, ()) = method.loss_of(state, outputs, Vec::new(), None, context);
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

impl<E: Encoder> EmbeddingLoss<EncoderWith<E>, NoState> for LeJepa {
    type Carry = ();

    fn embed(&self, student: &EncoderWith<E>, views: &Views, pass: &Pass) -> Embedded {
        let z = embed_crops(&student.encoder, &student.projector, &views.crops, pass);
        let embeddings = z.first(views.global).without_autodiff();
        Embedded { outputs: z.chunk(), embeddings }
    }

    fn loss_of(
        &self,
        _state: &NoState,
        z: Vec<Tensor<2>>,
        _targets: Vec<Tensor<2>>,
        _labels: Option<Tensor<1, Int>>,
        context: &StepContext,
    ) -> (Tensor<1>, ()) {
        let proj = Tensor::stack(gather_each(z, &context.group), 0);
        let slices = slices(&context.draws, self.config.output_dim, self.config.slices);
        let slices = Tensor::from_data(slices, &proj.device().inner());
        (self.loss.forward(LeJepaInput { proj, global_views: self.config.global_views, slices }), ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::{Head, named};
    use ssl_encoders::ResNet;
    use ssl_fixtures::{assert_trains_only, context, crops, images, init, resnet};

    fn config() -> LeJepaConfig {
        LeJepaConfig::new().with_global_views(2).with_slices(9).with_hidden_dim(8).with_output_dim(6)
    }

    fn method() -> LeJepa {
        config().build().expect("a valid configuration")
    }

    fn student() -> EncoderWith<ResNet> {
        let mut init = init();
        method().init(resnet(&mut init), &mut init).0
    }

    /// Two large and one small view of four images.
    fn views() -> Views {
        Views::new(vec![images(0.0), images(1.0), crops(4, 4, 2.0)], 2)
    }

    #[test]
    fn views_of_one_size_pass_the_encoder_together_and_all_the_projector() {
        let (student, by_hand) = (student(), student());
        let step = method().loss(&student, &NoState {}, &views(), &context(3));
        let pass = Pass::train();
        let large = by_hand.encoder.encode(Tensor::cat(vec![images(0.0), images(1.0)], 0), &pass);
        let small = by_hand.encoder.encode(crops(4, 4, 2.0), &pass);
        let z = by_hand.projector.forward(Tensor::cat(vec![large, small], 0), &pass);
        let slices = slices(&context(3).draws, 6, 9);
        let slices = Tensor::from_data(slices, &z.device().inner());
        let input = LeJepaInput { proj: z.reshape([3, 4, 6]), global_views: 2, slices };
        assert_eq!(step.loss.into_data(), method().loss.forward(input).into_data());
        assert_eq!(named::collect(&student), named::collect(&by_hand), "running statistics");
    }

    #[test]
    fn slices_are_new_in_every_step_and_the_same_when_it_is_repeated() {
        let loss = |step| {
            let step = method().loss(&student(), &NoState {}, &views(), &context(step));
            step.loss.into_scalar::<f32>()
        };
        assert_eq!(loss(1), loss(1));
        assert_ne!(loss(1), loss(2));
    }

    #[test]
    fn images_that_are_all_alike_cost_more_than_others_because_of_sigreg() {
        let alike = |size, seed| crops(4, size, seed).narrow(0, 0, 1).repeat(&[4, 1, 1, 1]);
        let collapsed = Views::new(vec![alike(8, 0.0), alike(8, 0.0)], 2);
        let loss = |weight, views: &Views| {
            let method = config().with_sigreg_weight(weight).build().expect("a valid configuration");
            method.loss(&student(), &NoState {}, views, &context(0)).loss.into_scalar::<f32>()
        };
        assert!(loss(0.0, &collapsed).abs() < 1e-6, "invariance alone is satisfied");
        assert!(loss(1.0, &collapsed) > 0.1);
    }

    #[test]
    fn every_parameter_gets_a_gradient_and_the_spread_of_embeddings_is_offered() {
        let student = student();
        let step = method().loss(&student, &NoState {}, &views(), &context(0));
        assert_trains_only(&student, &NoState {}, &step);
    }

    #[test]
    fn the_number_of_global_views_is_that_of_the_configuration() {
        assert_eq!(method().needs(), Needs { global_views: 2, local_views: true, ..Needs::default() });
    }
}
