//! Classifiers on top of an encoder, and their heads.

use burn::module::Module;
use burn::tensor::Tensor;
use ssl_core::nn::Linear;
use ssl_core::{Encoder, Head, Init, Mlp, Pass};

/// Standard deviation of a head's initial weights.
const HEAD_STD: f64 = 0.01;

/// A linear layer from features to class scores: weights from a normal distribution of standard deviation 0.01, bias 0.
///
/// # Source
/// MoCo's `main_lincls.py` and SimCLR's `resnet.py`/`model.py` (`RandomNormal(stddev=.01)`).
pub fn linear_head(feature_dim: usize, classes: usize, init: &mut Init) -> Linear {
    Linear {
        weight: init.normal([classes, feature_dim], HEAD_STD),
        bias: Some(init.constant([classes], 0.0)),
        precision: init.precision(),
    }
}

/// A network from images to class scores: an encoder, optionally the first layers of its projector, and a linear layer.
///
/// It is itself an [`Encoder`], whose features are class scores, `[batch, class]`.
#[derive(Module, Debug)]
pub struct Classifier<E> {
    /// The encoder.
    pub encoder: E,
    /// The first layers of the projector that the encoder was trained with, if they are kept.
    pub neck: Option<Mlp>,
    /// The linear layer from features to class scores.
    pub head: Linear,
}

impl<E: Encoder> Classifier<E> {
    /// A classifier with a new head.
    pub fn new(encoder: E, neck: Option<Mlp>, classes: usize, init: &mut Init) -> Self {
        let width = neck.as_ref().map_or(encoder.feature_dim(), Mlp::outputs);
        Self { head: linear_head(width, classes, init), encoder, neck }
    }
}

impl<E: Encoder> Encoder for Classifier<E> {
    fn encode(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let features = self.encoder.encode(images, pass);
        let features = match &self.neck {
            Some(neck) => neck.forward(features, pass),
            None => features,
        };
        self.head.forward(features)
    }

    fn feature_dim(&self) -> usize {
        self.head.weight.dims()[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{MeanColour, images, init};
    use ssl_core::{LayerConfig, Norm};

    #[test]
    fn scores_are_linear_in_the_features_of_encoder_or_neck() {
        let mut init = init();
        let plain = Classifier::new(MeanColour {}, None, 5, &mut init);
        let features = MeanColour {}.encode(images(), &Pass::eval());
        let want = plain.head.forward(features.clone());
        assert_eq!(plain.encode(images(), &Pass::eval()).into_data(), want.into_data());
        assert_eq!(plain.feature_dim(), 5);

        let neck = Mlp::init(3, &[LayerConfig::new(7).norm(Norm::Affine).relu()], &mut init);
        let deep = Classifier::new(MeanColour {}, Some(neck.clone()), 5, &mut init);
        let want = deep.head.forward(neck.forward(features, &Pass::eval()));
        assert_eq!(deep.encode(images(), &Pass::eval()).into_data(), want.into_data());
        assert_eq!(deep.head.weight.dims(), [5, 7]);
    }
}
