//! DCL and DCLW: SimCLR's networks with another loss.

use burn::tensor::{Int, Tensor};
use ssl_core::loss::block_values;
use ssl_core::{Footprint, HeadShape, LayerConfig, Loss, LossScale, MethodRules, Passes, Siamese};

use super::{DclConfig, DclInput, DclLoss};

/// DCL and DCLW: as in SimCLR, the embeddings of two views of an image attract each other and repel all others in the
/// batch, but the attraction does not weaken the repulsion.
///
/// ```text
/// z1, z2 = projector(encoder([v1; v2]))        one pass over both views
/// L      = dcl(z1, z2)
/// ```
#[doc(alias = "DCL")]
#[doc(alias = "DCLW")]
#[derive(Clone, Debug)]
pub struct Dcl {
    pub(super) config: DclConfig,
    pub(super) loss: DclLoss,
}

impl MethodRules for Dcl {
    fn embeds_in_chunks(&self) -> bool {
        true
    }

    /// Embeddings that are all at right angles.
    fn loss_scale(&self, batch: usize) -> LossScale {
        LossScale::guess((2.0 * batch as f64 - 2.0).max(1.0).ln())
    }

    fn footprint(&self, feature_dim: usize, images: usize, _views: usize) -> Footprint {
        let projector = HeadShape::new(feature_dim, self.config.projector(feature_dim));
        let rows = 2.0 * images as f64;
        Footprint { joint: true, loss: block_values(rows, rows), ..Footprint::of_heads([projector]) }
    }
}

impl Siamese for Dcl {
    fn projector(&self, feature_dim: usize) -> Vec<LayerConfig> {
        self.config.projector(feature_dim)
    }

    fn passes(&self) -> Passes {
        Passes::Joint
    }

    fn compare(&self, [z1, z2]: [Tensor<2>; 2], _labels: Option<Tensor<1, Int>>) -> Tensor<1> {
        self.loss.forward(DclInput { z1, z2 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::{EncoderWith, NoState, SslMethod, Views};
    use ssl_encoders::ResNet;
    use ssl_fixtures::{assert_trains_only, context, embed, images, init, resnet, views};

    fn methods() -> [Dcl; 2] {
        [DclConfig::dcl(), DclConfig::dclw()]
            .map(|config| config.with_output_dim(6).build().expect("a valid configuration"))
    }

    fn student(method: &Dcl) -> EncoderWith<ResNet> {
        let mut init = init();
        method.init(resnet(&mut init), &mut init).0
    }

    #[test]
    fn both_views_pass_together() {
        for method in methods() {
            let both = Tensor::cat(vec![images(0.0), images(1.0)], 0);
            let mut z = embed(&student(&method), both).chunk(2, 0);
            let (z2, z1) = (z.remove(1), z.remove(0));
            let want = method.loss.forward(DclInput { z1, z2 }).into_data();
            let step = method.loss(&student(&method), &NoState {}, &views(), &context(0));
            assert_eq!(step.loss.into_data(), want);
        }
    }

    #[test]
    fn images_that_are_all_alike_cost_the_log_of_the_number_of_negatives() {
        // Positive and negatives have the same logit. Without negatives, collapsed embeddings would cost less than any
        // others.
        let alike = images(0.0).narrow(0, 0, 1).repeat(&[4, 1, 1, 1]);
        for method in methods() {
            let views = Views::two(alike.clone(), alike.clone());
            let step = method.loss(&student(&method), &NoState {}, &views, &context(0));
            assert!((step.loss.into_scalar::<f32>() - 6.0_f32.ln()).abs() < 1e-4);
        }
    }

    #[test]
    fn every_parameter_gets_a_gradient_and_the_spread_of_embeddings_is_offered() {
        for method in methods() {
            let student = student(&method);
            let step = method.loss(&student, &NoState {}, &views(), &context(0));
            assert_trains_only(&student, &NoState {}, &step);
        }
    }
}
