//! Barlow Twins: one encoder, one projector, no state.

use burn::tensor::{Int, Tensor};
use ssl_core::{Footprint, HeadShape, LayerConfig, Loss, LossScale, MethodRules, Passes, Siamese};

use crate::{BarlowTwinsConfig, BarlowTwinsInput, BarlowTwinsLoss};

/// Barlow Twins: two views agree in every dimension of their embeddings, and different dimensions are uncorrelated.
///
/// ```text
/// z1 = projector(encoder(v1)),   z2 = projector(encoder(v2))        one pass per view
/// L  = barlow_twins(z1, z2)
/// ```
#[derive(Clone, Debug)]
pub struct BarlowTwins {
    pub(crate) config: BarlowTwinsConfig,
    pub(crate) loss: BarlowTwinsLoss,
}

impl MethodRules for BarlowTwins {
    fn embeds_in_chunks(&self) -> bool {
        true
    }

    /// Views whose embeddings have nothing in common, in dimensions that have nothing in common either.
    fn loss_scale(&self, _batch: usize) -> LossScale {
        LossScale::guess(self.config.scale * self.config.output_dim as f64).with_floor(0.0)
    }

    fn footprint(&self, feature_dim: usize, images: usize, _views: usize) -> Footprint {
        let projector = HeadShape::new(feature_dim, self.config.projector());
        let (rows, dim) = (2.0 * images as f64, self.config.output_dim as f64);
        // The correlation matrix and one more of its size at a time; four copies of the embeddings.
        let loss = 2.0 * dim * dim + 4.0 * rows * dim;
        Footprint { loss, ..Footprint::of_heads([projector]) }
    }
}

impl Siamese for BarlowTwins {
    fn projector(&self, _feature_dim: usize) -> Vec<LayerConfig> {
        self.config.projector()
    }

    fn passes(&self) -> Passes {
        Passes::Each
    }

    fn compare(&self, [z1, z2]: [Tensor<2>; 2], _labels: Option<Tensor<1, Int>>) -> Tensor<1> {
        self.loss.forward(BarlowTwinsInput { z1, z2 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::{EncoderWith, NoState, SslMethod, named};
    use ssl_encoders::ResNet;
    use ssl_fixtures::{assert_trains_only, context, embed, images, init, resnet, views};

    fn method() -> BarlowTwins {
        let config = BarlowTwinsConfig::new().with_hidden_dim(8).with_output_dim(6);
        config.build().expect("a valid configuration")
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
        let input = BarlowTwinsInput { z1, z2 };
        assert_eq!(loss.into_data(), method().loss.forward(input).into_data());
        assert_eq!(named::collect(&student), named::collect(&by_hand), "running statistics");
    }

    #[test]
    fn every_parameter_gets_a_gradient_and_the_spread_of_embeddings_is_offered() {
        let student = student();
        let step = method().loss(&student, &NoState {}, &views(), &context(0));
        assert_trains_only(&student, &NoState {}, &step);
    }
}
