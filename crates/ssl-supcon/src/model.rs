//! SupCon: one encoder, one projector, no state.

use burn::tensor::{Int, Tensor};
use ssl_core::loss::block_values;
use ssl_core::{Footprint, HeadShape, LayerConfig, Loss, MethodRules, Needs, Passes, Siamese};

use crate::{SupConConfig, SupConInput, SupConLoss};

/// SupCon: the embeddings of a class, over all views, attract each other and repel those of other classes.
///
/// ```text
/// z1, z2 = projector(encoder([v1; v2]))        one pass over both views
/// L      = sup_con([z1, z2], labels)
/// ```
#[doc(alias = "supervised contrastive learning")]
#[derive(Clone, Debug)]
pub struct SupCon {
    pub(crate) config: SupConConfig,
    pub(crate) loss: SupConLoss,
}

impl MethodRules for SupCon {
    fn needs(&self) -> Needs {
        Needs { labels: true, ..Needs::default() }
    }

    fn embeds_in_chunks(&self) -> bool {
        true
    }

    fn footprint(&self, feature_dim: usize, images: usize, _views: usize) -> Footprint {
        let projector = HeadShape::new(feature_dim, self.config.projector(feature_dim));
        let rows = 2.0 * images as f64;
        // The positives are a second matrix of the size of the logits.
        let loss = 2.0 * block_values(rows, rows);
        Footprint { joint: true, loss, ..Footprint::of_heads([projector]) }
    }
}

impl Siamese for SupCon {
    fn projector(&self, feature_dim: usize) -> Vec<LayerConfig> {
        self.config.projector(feature_dim)
    }

    fn passes(&self) -> Passes {
        Passes::Joint
    }

    fn compare(&self, z: [Tensor<2>; 2], labels: Option<Tensor<1, Int>>) -> Tensor<1> {
        let labels = Some(labels.expect("SupCon: the images have no labels, expected one per image"));
        self.loss.forward(SupConInput { z: Tensor::stack(z.into(), 1), labels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::optim::GradientsParams;
    use burn::tensor::{Device, Int};
    use ssl_core::{DeviceSpec, Head, Progress, named};
    use ssl_core::{Encoder, EncoderWith, Init, NoState, Pass, SslMethod, Step, StepContext, Views};
    use ssl_encoders::{BlockKind, ResNet, ResNetConfig, Stem};

    fn context() -> StepContext {
        StepContext::new(0, Progress { step: 0, total_steps: 1, steps_per_epoch: 1 }, 0)
    }

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    fn method() -> SupCon {
        SupConConfig::new().with_output_dim(6).build().expect("a valid configuration")
    }

    fn student() -> EncoderWith<ResNet> {
        let mut init = Init::new(0, &device().autodiff());
        let encoder = ResNetConfig::new(BlockKind::Basic, [1]).with_width(4).with_stem(Stem::Cifar);
        method().init(encoder.init(&mut init), &mut init).0
    }

    /// Deterministic pseudo-random images.
    fn images(seed: f32) -> Tensor<4> {
        let places = Tensor::<1, Int>::arange(1..4 * 3 * 8 * 8 + 1, &device()).float();
        (places * 0.618 + seed).sin().reshape([4, 3, 8, 8])
    }

    fn views(labels: [i32; 4]) -> Views {
        let labels = Some(Tensor::from_ints(labels, &device()));
        Views { labels, ..Views::two(images(0.0), images(1.0)) }
    }

    fn loss(labels: [i32; 4]) -> Step<()> {
        method().loss(&student(), &NoState {}, &views(labels), &context())
    }

    #[test]
    fn both_views_pass_together_and_labels_belong_to_images() {
        let student = student();
        let both = Tensor::cat(vec![images(0.0), images(1.0)], 0);
        let z = student.projector.forward(student.encoder.encode(both, &Pass::train()), &Pass::train());
        let z = Tensor::stack(z.chunk(2, 0), 1);
        let labels = views([3, 1, 3, 1]).labels;
        let want = method().loss.forward(SupConInput { z, labels }).into_data();
        assert_eq!(loss([3, 1, 3, 1]).loss.into_data(), want);
        assert_ne!(loss([3, 3, 1, 1]).loss.into_data(), want);
    }

    #[test]
    fn every_parameter_gets_a_gradient_and_the_spread_of_embeddings_is_offered() {
        let student = student();
        let step = method().loss(&student, &NoState {}, &views([0, 0, 1, 1]), &context());
        assert_eq!(step.metrics.names().collect::<Vec<_>>(), ["z_std"]);
        let gradients = GradientsParams::from_grads(step.loss.backward(), &student);
        let parameters = named::collect(&student).keys().filter(|path| !named::is_buffer(path)).count();
        assert_eq!(gradients.len(), parameters);
    }

    #[test]
    #[should_panic(expected = "the images have no labels")]
    fn images_without_labels_are_refused() {
        assert!(method().needs().labels);
        method().loss(&student(), &NoState {}, &Views::two(images(0.0), images(1.0)), &context());
    }
}
