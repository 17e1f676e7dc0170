//! Barlow Twins: one encoder, one projector, no state.

use burn::tensor::{Int, Tensor};
use ssl_core::{Footprint, HeadShape, LayerConfig, Loss, MethodRules, Passes, Siamese};

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
    use burn::optim::GradientsParams;
    use burn::tensor::{Device, Int};
    use ssl_core::{DeviceSpec, Progress, named};
    use ssl_core::{Encoder, EncoderWith, Init, NoState, Pass, SslMethod, StepContext, Views};
    use ssl_encoders::{BlockKind, ResNet, ResNetConfig, Stem};

    fn context() -> StepContext {
        StepContext::new(0, Progress { step: 0, total_steps: 1, steps_per_epoch: 1 }, 0)
    }

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    fn method() -> BarlowTwins {
        let config = BarlowTwinsConfig::new().with_hidden_dim(8).with_output_dim(6);
        config.build().expect("a valid configuration")
    }

    fn student() -> EncoderWith<ResNet> {
        let mut init = Init::new(0, &device().autodiff());
        let encoder = ResNetConfig::new(BlockKind::Basic, [1]).with_width(4).with_stem(Stem::Cifar);
        method().init(encoder.init(&mut init), &mut init).0
    }

    /// Deterministic pseudo-random images.
    fn images(seed: f32) -> Tensor<4> {
        let places = Tensor::<1, Int>::arange(1..6 * 3 * 8 * 8 + 1, &device()).float();
        (places * 0.618 + seed).sin().reshape([6, 3, 8, 8])
    }

    #[test]
    fn the_views_pass_one_after_the_other() {
        let (views, by_hand) = (Views::two(images(0.0), images(1.0)), student());
        let student = student();
        let loss = method().loss(&student, &NoState {}, &views, &context()).loss;

        let embed = |view| {
            use ssl_core::Head;
            by_hand.projector.forward(by_hand.encoder.encode(view, &Pass::train()), &Pass::train())
        };
        let input = BarlowTwinsInput { z1: embed(images(0.0)), z2: embed(images(1.0)) };
        assert_eq!(loss.into_data(), method().loss.forward(input).into_data());
        assert_eq!(named::collect(&student), named::collect(&by_hand), "running statistics");
    }

    #[test]
    fn every_parameter_gets_a_gradient_and_the_spread_of_embeddings_is_offered() {
        let student = student();
        let step = method().loss(&student, &NoState {}, &Views::two(images(0.0), images(1.0)), &context());
        assert_eq!(step.metrics.names().collect::<Vec<_>>(), ["z_std"]);
        let gradients = GradientsParams::from_grads(step.loss.backward(), &student);
        let parameters = named::collect(&student).keys().filter(|path| !named::is_buffer(path)).count();
        assert_eq!(gradients.len(), parameters);
    }
}
