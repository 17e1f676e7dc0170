//! Training of a whole network with labels.

use burn::tensor::{Int, Tensor};
use ssl_core::{Encoder, Init, MethodRules, Metrics, Needs, NoState, SslMethod, Step, StepContext, Views};

use crate::MixingConfig;

/// Training of a whole network with labels; fine-tuning, if its encoder was pretrained.
///
/// ```text
/// L = cross_entropy(network(view), label)        batch norm in training mode
/// ```
///
/// As an [`SslMethod`] it runs in the same loop as all methods, with checkpoints and metrics. The network returns class
/// scores; see [`Classifier`](crate::Classifier).
#[derive(Clone, Copy, Debug, Default)]
pub struct FineTuning {
    /// Mixtures of images and smooth labels. Default: none.
    pub mixing: MixingConfig,
}

impl MethodRules for FineTuning {
    fn needs(&self) -> Needs {
        Needs { global_views: 1, labels: true, ..Needs::default() }
    }
}

impl<N: Encoder> SslMethod<N> for FineTuning {
    type Student = N;
    type State = NoState;
    type Carry = ();

    fn init(&self, network: N, _init: &mut Init) -> (N, NoState) {
        (network, NoState {})
    }

    fn loss(&self, network: &N, _state: &NoState, views: &Views, context: &StepContext) -> Step<()> {
        let group = &context.group;
        let (images, kept) = self.mixing.mix(views.crops[0].clone(), &context.draws, group);
        let scores = network.encode(images, &context.pass("student"));
        let metrics = Metrics::of_embeddings(scores.clone());
        Step::of_share(self.mixing.loss(scores, labels(views), kept, group), ()).with_metrics(metrics)
    }

    fn encoder<'a>(&self, network: &'a N, _state: &'a NoState) -> &'a N {
        network
    }
}

fn labels(views: &Views) -> Tensor<1, Int> {
    views.labels.clone().expect("the loop checks what `needs` says")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Classifier;
    use crate::testing::{MeanColour, images, init};
    use ssl_core::loss::cross_entropy;
    use ssl_core::{LayerConfig, Mlp, Norm, Pass, Progress};

    #[test]
    fn the_loss_is_the_cross_entropy_and_reaches_the_neck() {
        let mut init = init();
        let neck = Mlp::init(3, &[LayerConfig::new(7).norm(Norm::Affine).relu()], &mut init);
        let network = Classifier::new(MeanColour {}, Some(neck), 2, &mut init);
        let labels = Tensor::from_ints([0, 1, 1, 0], &init.plain_device());
        let views = Views { labels: Some(labels.clone()), ..Views::new(vec![images()], 1) };
        let at = Progress { step: 0, total_steps: 1, steps_per_epoch: 1 };
        let step = FineTuning::default().loss(&network, &NoState {}, &views, &StepContext::new(0, at, 0));
        let want = cross_entropy(network.encode(images(), &Pass::batch_stats()), labels);
        assert_eq!(step.loss.clone().into_data(), want.into_data());

        let gradients = burn::optim::GradientsParams::from_grads(step.loss.backward(), &network);
        assert_eq!(
            gradients.len(),
            5,
            "weight, norm weight and norm bias of the neck; weight and bias of the head"
        );
    }
}
