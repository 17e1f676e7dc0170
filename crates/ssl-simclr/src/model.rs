//! SimCLR: one encoder, one projector, no state.

use burn::tensor::{Int, Tensor};
use ssl_core::loss::info_nce_values;
use ssl_core::{
    Advice, Footprint, HeadShape, LayerConfig, Loss, LossScale, MethodRules, Passes, Plan, Siamese,
};

use crate::{NtXentInput, NtXentLoss, SimClrConfig};

/// SimCLR: the embeddings of two views of an image attract each other and repel all others in the batch.
///
/// ```text
/// z1, z2 = projector(encoder([v1; v2]))        one pass over both views
/// L      = nt_xent(z1, z2)
/// ```
#[doc(alias = "SimCLR")]
#[derive(Clone, Debug)]
pub struct SimClr {
    pub(crate) config: SimClrConfig,
    pub(crate) loss: NtXentLoss,
}

impl MethodRules for SimClr {
    fn embeds_in_chunks(&self) -> bool {
        true
    }

    /// Guessing among all other embeddings.
    fn loss_scale(&self, batch: usize) -> LossScale {
        LossScale::guess((2.0 * batch as f64 - 1.0).ln())
    }

    /// v2 fine-tunes from the first of its three layers (section 3.1); v1 discards its projector.
    fn kept_layers(&self) -> usize {
        usize::from(self.config.projector_layers > 2)
    }
    fn footprint(&self, feature_dim: usize, images: usize, _views: usize) -> Footprint {
        let projector = HeadShape::new(feature_dim, self.config.projector(feature_dim));
        // The two views take turns as anchors.
        let (images, dim) = (images as f64, self.config.output_dim as f64);
        let loss = info_nce_values(images, 2.0 * images, dim, true);
        Footprint { joint: true, loss, ..Footprint::of_heads([projector]) }
    }

    fn advice(&self, plan: &Plan) -> Vec<Advice> {
        Advice::of_negatives(plan, "temperature", self.config.temperature).into_iter().collect()
    }
}

impl Siamese for SimClr {
    fn projector(&self, feature_dim: usize) -> Vec<LayerConfig> {
        self.config.projector(feature_dim)
    }

    fn passes(&self) -> Passes {
        Passes::Joint
    }

    fn compare(&self, [z1, z2]: [Tensor<2>; 2], _labels: Option<Tensor<1, Int>>) -> Tensor<1> {
        self.loss.forward(NtXentInput { z1, z2 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::{EncoderWith, NoState, SslMethod, Views};
    use ssl_encoders::ResNet;
    use ssl_fixtures::{assert_trains_only, context, embed, images, init, resnet, views};

    fn method() -> SimClr {
        SimClrConfig::v2().with_output_dim(6).build().expect("a valid configuration")
    }

    fn student() -> EncoderWith<ResNet> {
        let mut init = init();
        method().init(resnet(&mut init), &mut init).0
    }

    fn loss(views: Views) -> f32 {
        method().loss(&student(), &NoState {}, &views, &context(0)).loss.into_scalar::<f32>()
    }

    #[test]
    fn both_views_pass_together() {
        let both = Tensor::cat(vec![images(0.0), images(1.0)], 0);
        let mut z = embed(&student(), both).chunk(2, 0);
        let (z2, z1) = (z.remove(1), z.remove(0));
        let want = method().loss.forward(NtXentInput { z1, z2 }).into_scalar::<f32>();
        assert_eq!(loss(views()), want);
    }

    #[test]
    fn images_that_are_all_alike_cost_the_log_of_the_number_of_candidates() {
        // Without negatives, collapsed embeddings would cost nothing.
        let alike = images(0.0).narrow(0, 0, 1).repeat(&[4, 1, 1, 1]);
        assert!((loss(Views::two(alike.clone(), alike)) - 7.0_f32.ln()).abs() < 1e-4);
    }

    #[test]
    fn every_parameter_gets_a_gradient_and_the_spread_of_embeddings_is_offered() {
        let student = student();
        let step = method().loss(&student, &NoState {}, &views(), &context(0));
        assert_trains_only(&student, &NoState {}, &step);
    }
}
