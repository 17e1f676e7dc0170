//! SimSiam: one encoder, one projector, one predictor, no state.

use burn::tensor::Tensor;
use ssl_core::{
    Encoder, Footprint, GradientRules, HeadShape, Init, Loss, LossScale, MethodRules, Metrics, Mlp, NoState,
    Predicted, Progress, SslMethod, Step, StepContext, Views, WithPredictor,
};

use crate::{SimSiamConfig, SimSiamInput, SimSiamLoss};

/// SimSiam: from one view, predicts the embedding of the other.
///
/// ```text
/// z1, z2 = projector(encoder(v1)), projector(encoder(v2))        one pass per view
/// p1, p2 = predictor(z1), predictor(z2)
/// L      = simsiam(p1, p2, z1, z2)
/// ```
#[derive(Clone, Debug)]
pub struct SimSiam {
    pub(crate) config: SimSiamConfig,
    pub(crate) loss: SimSiamLoss,
}

impl MethodRules for SimSiam {
    /// Views whose embeddings are at right angles, and views that agree.
    fn loss_scale(&self, _batch: usize) -> LossScale {
        LossScale::guess(0.0).with_floor(-1.0)
    }

    /// A constant learning rate lets the predictor follow the latest embeddings (section 4.2 and table 1c; official
    /// `--fix-pred-lr`).
    fn gradient_rules(&self, _at: Progress) -> GradientRules {
        GradientRules { constant_lr: vec!["predictor"], ..Default::default() }
    }

    fn footprint(&self, feature_dim: usize, images: usize, _views: usize) -> Footprint {
        let projector = HeadShape::new(feature_dim, self.config.projector(feature_dim));
        let predictor = HeadShape::new(projector.outputs(), self.config.predictor());
        let loss = 8.0 * (images * predictor.outputs()) as f64;
        Footprint { loss, ..Footprint::of_heads([projector, predictor]) }
    }
}

impl<E: Encoder> SslMethod<E> for SimSiam {
    type Student = WithPredictor<E>;
    type State = NoState;
    type Carry = ();

    fn init(&self, encoder: E, init: &mut Init) -> (Self::Student, NoState) {
        let projector = self.config.projector(encoder.feature_dim());
        (WithPredictor::init(encoder, &projector, &self.config.predictor(), init), NoState {})
    }

    fn loss(
        &self,
        student: &Self::Student,
        _state: &NoState,
        views: &Views,
        context: &StepContext,
    ) -> Step<()> {
        let (v1, v2) = views.pair();
        let Predicted { embeddings: mut z, predictions: mut p } =
            student.predict(&[v1, v2], &context.pass("student"));
        let metrics = Metrics::of_embeddings(Tensor::cat(z.clone(), 0));
        let (p2, p1, z2, z1) = (p.remove(1), p.remove(0), z.remove(1), z.remove(0));
        Step::of_share(self.loss.forward(SimSiamInput { p1, p2, z1, z2 }), ()).with_metrics(metrics)
    }

    fn encoder<'a>(&self, student: &'a Self::Student, _state: &'a NoState) -> &'a E {
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
    use ssl_core::{Head, Pass, named};
    use ssl_encoders::ResNet;
    use ssl_fixtures::{assert_trains_only, at, context, descend, images, init, resnet, views};

    fn method() -> SimSiam {
        SimSiamConfig::new().with_output_dim(6).with_predictor_dim(4).build().expect("a valid configuration")
    }

    fn student() -> WithPredictor<ResNet> {
        let mut init = init();
        method().init(resnet(&mut init), &mut init).0
    }

    fn loss(student: &WithPredictor<ResNet>) -> Step<()> {
        method().loss(student, &NoState {}, &views(), &context(0))
    }

    #[test]
    fn a_step_is_that_towards_constant_embeddings_of_the_other_view() {
        let by_hand = student();
        let z =
            |view| by_hand.projector.forward(by_hand.encoder.encode(view, &Pass::train()), &Pass::train());
        let (z1, z2) = (z(images(0.0)), z(images(1.0)));
        let p = |z: &Tensor<2>| by_hand.predictor.forward(z.clone(), &Pass::train());
        let (p1, p2) = (p(&z1), p(&z2));
        let input = SimSiamInput { p1, p2, z1: z1.without_autodiff(), z2: z2.without_autodiff() };
        let want = method().loss.forward(input);

        let student = student();
        let step = loss(&student);
        assert_eq!(step.loss.to_data(), want.to_data());
        let want = named::collect(&descend(by_hand, &want, 0.5));
        for (path, tensor) in named::collect(&descend(student, &step.loss, 0.5)) {
            tensor.assert_approx_eq::<f32>(&want[&path], Tolerance::absolute(1e-6));
        }
    }

    #[test]
    fn every_parameter_gets_a_gradient_and_the_spread_of_embeddings_is_offered() {
        let student = student();
        let step = loss(&student);
        assert_trains_only(&student, &NoState {}, &step);
    }

    #[test]
    fn the_predictor_and_nothing_else_keeps_its_learning_rate() {
        let rules = method().gradient_rules(at(0));
        assert!(rules.frozen.is_empty());
        for path in named::collect(&student()).keys() {
            assert_eq!(rules.has_constant_lr(path), path.starts_with("predictor."), "{path}");
        }
    }
}
