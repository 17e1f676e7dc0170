//! Losses that depend on a batch only through its embeddings.

use burn::tensor::{Int, Tensor};

use crate::{Pass, StepContext, Views};

/// A loss that depends on a batch only through its embeddings, split into two parts, so that a loop can embed the batch
/// in chunks and still compare all its images.
///
/// ```text
/// SslMethod::loss = loss_of(embed(student, views), targets(state, views), labels)
/// ```
///
/// For methods that pass nothing to [`absorb`](crate::SslMethod::absorb). If the loss is a mean over independent
/// images, this trait is not needed: gradient accumulation gives the same result.
///
/// # Source
/// Gao et al. 2021, section 3 (gradient cache), <https://arxiv.org/abs/2101.06983>.
pub trait EmbeddingLoss<Student, State> {
    /// Embeds some of the images, for the loss to compare. Batch norm sees these images only.
    fn embed(&self, student: &Student, views: &Views, pass: &Pass) -> Embedded;

    /// What the embeddings are compared with, without gradient: one tensor `[batch, dim]` per kind. None by default.
    fn targets(&self, state: &State, views: &Views, pass: &Pass) -> Vec<Tensor<2>> {
        let _ = (state, views, pass);
        Vec::new()
    }

    /// The loss over the images of all processes, `[1]`; use [`gather`](crate::group::gather) to collect their rows, and
    /// `context.draws` for random choices.
    ///
    /// # Shapes
    /// - `outputs`: as in [`Embedded`], and `targets`: as returned by [`targets`](Self::targets), for all images of
    ///   this process, each `[batch, dim]`
    /// - `labels`: `[batch]`
    fn loss_of(
        &self,
        outputs: Vec<Tensor<2>>,
        targets: Vec<Tensor<2>>,
        labels: Option<Tensor<1, Int>>,
        context: &StepContext,
    ) -> Tensor<1>;
}

/// A student's outputs for some images.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// The rows that the loss compares, `[batch, dim]` for each view.
    pub outputs: Vec<Tensor<2>>,
    /// The rows that the collapse metrics are computed from, `[row, dim]`, without gradient.
    pub embeddings: Tensor<2>,
}

impl Embedded {
    /// Uses the same outputs for the collapse metrics.
    pub fn new(outputs: Vec<Tensor<2>>) -> Self {
        let embeddings = Tensor::cat(outputs.clone(), 0).without_autodiff();
        Self { outputs, embeddings }
    }
}
