//! SupCon: one encoder, one projector, no state.

use burn::tensor::{Int, Tensor};
use ssl_core::loss::block_values;
use ssl_core::{
    Advice, Footprint, HeadShape, LayerConfig, Loss, LossScale, MethodRules, Needs, Passes, Plan, Siamese,
};

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

    /// Guessing among all other embeddings.
    fn loss_scale(&self, batch: usize) -> LossScale {
        LossScale::guess(
            self.config.temperature / self.config.base_temperature * (2.0 * batch as f64 - 1.0).ln(),
        )
    }

    fn footprint(&self, feature_dim: usize, images: usize, _views: usize) -> Footprint {
        let projector = HeadShape::new(feature_dim, self.config.projector(feature_dim));
        let rows = 2.0 * images as f64;
        // The positives are a second matrix of the size of the logits.
        let loss = 2.0 * block_values(rows, rows);
        Footprint { joint: true, loss, ..Footprint::of_heads([projector]) }
    }

    /// An image of a class that the batch has once attracts its own other view alone, as without labels.
    fn advice(&self, plan: &Plan) -> Vec<Advice> {
        let Some(classes) = plan.classes.filter(|&classes| plan.batch < 2 * classes) else {
            return Vec::new();
        };
        let found = format!("batches of {} images have {classes} classes", plan.batch);
        let expected = "two images of a class or more, or labels say little";
        let batch = (2 * classes).next_power_of_two();
        let changes = if batch <= plan.images { vec![plan.with_batch(batch)] } else { Vec::new() };
        vec![Advice::unwise(found, expected, changes)]
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
    use ssl_core::{EncoderWith, NoState, SslMethod, Step, Views};
    use ssl_encoders::ResNet;
    use ssl_fixtures::{assert_trains_only, context, device, embed, images, init, resnet, views};

    fn method() -> SupCon {
        SupConConfig::new().with_output_dim(6).build().expect("a valid configuration")
    }

    fn student() -> EncoderWith<ResNet> {
        let mut init = init();
        method().init(resnet(&mut init), &mut init).0
    }

    fn labelled(labels: [i32; 4]) -> Views {
        Views { labels: Some(Tensor::from_ints(labels, &device())), ..views() }
    }

    fn loss(labels: [i32; 4]) -> Step<()> {
        method().loss(&student(), &NoState {}, &labelled(labels), &context(0))
    }

    #[test]
    fn both_views_pass_together_and_labels_belong_to_images() {
        let both = Tensor::cat(vec![images(0.0), images(1.0)], 0);
        let z = Tensor::stack(embed(&student(), both).chunk(2, 0), 1);
        let labels = labelled([3, 1, 3, 1]).labels;
        let want = method().loss.forward(SupConInput { z, labels }).into_data();
        assert_eq!(loss([3, 1, 3, 1]).loss.into_data(), want);
        assert_ne!(loss([3, 3, 1, 1]).loss.into_data(), want);
    }

    #[test]
    fn every_parameter_gets_a_gradient_and_the_spread_of_embeddings_is_offered() {
        let student = student();
        let step = method().loss(&student, &NoState {}, &labelled([0, 0, 1, 1]), &context(0));
        assert_trains_only(&student, &NoState {}, &step);
    }

    #[test]
    #[should_panic(expected = "the images have no labels")]
    fn images_without_labels_are_refused() {
        assert!(method().needs().labels);
        method().loss(&student(), &NoState {}, &views(), &context(0));
    }
}
