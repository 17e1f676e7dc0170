//! The students that several methods share: an encoder with heads.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::embed::embed_each;
use crate::{Encoder, Head, Init, LayerConfig, Mlp, Pass, Teacher};

/// An encoder with a projector on top.
///
/// ```text
/// z = projector(encoder(view))
/// ```
#[derive(Module, Debug)]
pub struct EncoderWith<E, H = Mlp> {
    /// The encoder.
    pub encoder: E,
    /// The projector, discarded after pretraining unless the method keeps a part of it.
    pub projector: H,
}

impl<E: Encoder> EncoderWith<E> {
    /// Puts a new projector with these layers on an encoder.
    pub fn init(encoder: E, projector: &[LayerConfig], init: &mut Init) -> Self {
        let projector = Mlp::init(encoder.feature_dim(), projector, init);
        Self { encoder, projector }
    }
}

impl<E: Encoder, H: Head> EncoderWith<E, H> {
    /// The embeddings of one view.
    ///
    /// # Shapes
    /// - `view`: `[batch, channel, height, width]`
    /// - returns: `[batch, dim]`
    pub fn embed(&self, view: Tensor<4>, pass: &Pass) -> Tensor<2> {
        self.projector.forward(self.encoder.encode(view, pass), pass)
    }
}

/// An encoder with a projector and a predictor; a teacher has no predictor.
///
/// ```text
/// z = projector(encoder(view)),   p = predictor(z)
/// ```
#[derive(Module, Debug)]
pub struct WithPredictor<E> {
    /// The encoder.
    pub encoder: E,
    /// The projector, discarded after pretraining.
    pub projector: Mlp,
    /// The predictor, discarded after pretraining.
    pub predictor: Mlp,
}

impl<E: Encoder> WithPredictor<E> {
    /// Puts new heads with these layers on an encoder; the predictor takes the projector's output.
    pub fn init(encoder: E, projector: &[LayerConfig], predictor: &[LayerConfig], init: &mut Init) -> Self {
        let projector = Mlp::init(encoder.feature_dim(), projector, init);
        let predictor = Mlp::init(projector.outputs(), predictor, init);
        Self { encoder, projector, predictor }
    }

    /// Embeddings and predictions of some views: one pass of encoder and projector per view, then one predictor pass
    /// per view.
    ///
    /// # Shapes
    /// - `views`: each `[batch, channel, height, width]`
    pub fn predict(&self, views: &[Tensor<4>], pass: &Pass) -> Predicted {
        let embeddings = embed_each(&self.encoder, &self.projector, views, pass);
        let predict =
            |(view, z): (usize, &Tensor<2>)| self.predictor.forward(z.clone(), &pass.part("view", view));
        let predictions = embeddings.iter().enumerate().map(predict).collect();
        Predicted { embeddings, predictions }
    }

    /// The part that a teacher follows. It shares its tensors with the student; [`Teacher::from_student`] copies them.
    pub fn target(&self) -> EncoderWith<E> {
        EncoderWith { encoder: self.encoder.clone(), projector: self.projector.clone() }
    }

    /// Returns the student and a teacher that starts as a copy of it, without the predictor.
    pub fn with_teacher(self) -> (Self, TeacherState<EncoderWith<E>>) {
        let teacher = Teacher::from_student(&self.target());
        (self, TeacherState { teacher })
    }
}

/// The outputs of a [`WithPredictor`] for some views, each `[batch, dim]`.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// The embeddings of each view.
    pub embeddings: Vec<Tensor<2>>,
    /// The predictions from each view.
    pub predictions: Vec<Tensor<2>>,
}

/// The state of a method that has only a teacher.
#[derive(Module, Debug)]
pub struct TeacherState<N: Module> {
    /// The network that follows the student.
    pub teacher: Teacher<N>,
}

impl<E: Encoder> TeacherState<EncoderWith<E>> {
    /// The teacher's embeddings of some views, one pass per view.
    ///
    /// # Shapes
    /// - `views`: each `[batch, channel, height, width]`
    /// - returns: `[batch, dim]` for each
    pub fn embed_each(&self, views: &[Tensor<4>], pass: &Pass) -> Vec<Tensor<2>> {
        let teacher = self.teacher.network();
        embed_each(&teacher.encoder, &teacher.projector, views, pass)
    }
}
