//! VICReg: one encoder, one projector, no state.

use burn::tensor::{Int, Tensor};
use ssl_core::{Footprint, HeadShape, LayerConfig, Loss, LossScale, MethodRules, Passes, Siamese};

use crate::{VicRegConfig, VicRegInput, VicRegLoss};

/// VICReg: two views agree, every dimension of their embeddings varies, and no two dimensions say the same.
///
/// ```text
/// z1 = projector(encoder(v1)),   z2 = projector(encoder(v2))        one pass per view
/// L  = vicreg(z1, z2)
/// ```
#[doc(alias = "VICReg")]
#[derive(Clone, Debug)]
pub struct VicReg {
    pub(crate) config: VicRegConfig,
    pub(crate) loss: VicRegLoss,
}

impl MethodRules for VicReg {
    fn embeds_in_chunks(&self) -> bool {
        true
    }

    /// Views whose embeddings have nothing in common, in uncorrelated dimensions of standard deviation `s`, cost
    /// `2·λ·s² + μ·(1 − s)`; `s` is the one that costs least.
    fn loss_scale(&self, _batch: usize) -> LossScale {
        let (lambda, mu) = (self.config.invariance_weight, self.config.variance_weight);
        let deviation = (mu / (4.0 * lambda)).min(1.0);
        let guess = 2.0 * lambda * deviation.powi(2) + mu * (1.0 - deviation);
        // Without both terms, embeddings that say nothing cost nothing.
        let scale = if guess > 0.0 { LossScale::guess(guess) } else { LossScale::default() };
        scale.with_floor(0.0)
    }

    fn footprint(&self, feature_dim: usize, images: usize, _views: usize) -> Footprint {
        let projector = HeadShape::new(feature_dim, self.config.projector());
        let (rows, dim) = (2.0 * images as f64, self.config.output_dim as f64);
        // The covariance matrix of each view, kept for the backward pass, and one more of their size at a time; four
        // copies of the embeddings.
        let loss = 3.0 * dim * dim + 4.0 * rows * dim;
        Footprint { loss, ..Footprint::of_heads([projector]) }
    }
}

impl Siamese for VicReg {
    fn projector(&self, _feature_dim: usize) -> Vec<LayerConfig> {
        self.config.projector()
    }

    fn passes(&self) -> Passes {
        Passes::Each
    }

    fn compare(&self, [z1, z2]: [Tensor<2>; 2], _labels: Option<Tensor<1, Int>>) -> Tensor<1> {
        self.loss.forward(VicRegInput { z1, z2 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::{EncoderWith, NoState, SslMethod, Views, named};
    use ssl_encoders::ResNet;
    use ssl_fixtures::{assert_trains_only, context, embed, images, init, resnet, views};

    fn config() -> VicRegConfig {
        VicRegConfig::new().with_hidden_dim(8).with_output_dim(6)
    }

    fn method() -> VicReg {
        config().build().expect("a valid configuration")
    }

    fn student() -> EncoderWith<ResNet> {
        let mut init = init();
        method().init(resnet(&mut init), &mut init).0
    }

    #[test]
    fn the_views_pass_one_after_the_other() {
        let (student, by_hand) = (student(), student());
        let loss = method().loss(&student, &NoState {}, &views(), &context(0)).loss;
        let [z1, z2] = [0.0, 1.0].map(|seed| embed(&by_hand, images(seed)));
        let input = VicRegInput { z1, z2 };
        assert_eq!(loss.into_data(), method().loss.forward(input).into_data());
        assert_eq!(named::collect(&student), named::collect(&by_hand), "running statistics");
    }

    #[test]
    fn images_that_are_all_alike_cost_the_variance_weight() {
        // Without the variance term, collapsed embeddings would cost nothing.
        let alike = images(0.0).narrow(0, 0, 1).repeat(&[4, 1, 1, 1]);
        let loss = |method: &VicReg| {
            let views = Views::two(alike.clone(), alike.clone());
            method.loss(&student(), &NoState {}, &views, &context(0)).loss.into_scalar::<f32>()
        };
        assert!((loss(&method()) - 25.0 * 0.99).abs() < 1e-2);
        let without = config().with_variance_weight(0.0).build().expect("a valid configuration");
        assert!(loss(&without).abs() < 1e-2);
    }

    #[test]
    fn every_parameter_gets_a_gradient_and_the_spread_of_embeddings_is_offered() {
        let student = student();
        let step = method().loss(&student, &NoState {}, &views(), &context(0));
        assert_trains_only(&student, &NoState {}, &step);
    }

    #[test]
    fn guessing_costs_least_where_views_without_anything_in_common_do() {
        let guess = |lambda, mu| {
            let config = config().with_invariance_weight(lambda).with_variance_weight(mu);
            config.build().expect("a valid configuration").loss_scale(8).guess
        };
        // The derivative 4·λ·s − μ is 0 at s = 1/4.
        assert_eq!(guess(25.0, 25.0), Some(25.0 * (2.0 / 16.0 + 0.75)));
        // Invariance is so cheap that a deviation of 1 costs least.
        assert_eq!(guess(1.0, 25.0), Some(2.0));
        assert_eq!(guess(0.0, 25.0), None);
        assert_eq!(guess(25.0, 0.0), None);
    }
}
