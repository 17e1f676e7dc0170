//! Losses that depend on a batch only through its embeddings.

use burn::tensor::{Int, Tensor};

use crate::{Pass, StepContext, Views};

/// A loss that depends on a batch only through its embeddings, split into two parts, so that a loop can embed the batch
/// in chunks and still compare all its images.
///
/// ```text
/// SslMethod::loss, carry = loss_of(state, embed(student, views), targets(state, views), labels)
/// ```
///
/// What is handed to [`absorb`](crate::SslMethod::absorb) is made of the same embeddings: rows of a queue, a covariance. If the
/// loss is a mean over independent images, this trait is not needed: gradient accumulation gives the same result.
///
/// # Source
/// Gao et al. 2021, section 3 (gradient cache), <https://arxiv.org/abs/2101.06983>.
pub trait EmbeddingLoss<Student, State> {
    /// What the loss hands to [`absorb`](crate::SslMethod::absorb): the carry of the method, of all images.
    type Carry;

    /// Embeds some of the images, for the loss to compare. Batch norm sees these images only.
    fn embed(&self, student: &Student, views: &Views, pass: &Pass) -> Embedded;

    /// What the embeddings are compared with, without gradient: one tensor `[batch, dim]` per kind. None by default.
    fn targets(&self, state: &State, views: &Views, pass: &Pass) -> Vec<Tensor<2>> {
        let _ = (state, views, pass);
        Vec::new()
    }

    /// The loss over the images of all processes, `[1]`, and what is absorbed; use [`gather`](crate::group::gather) to collect
    /// their rows, and `context.draws` for random choices. The state is that of before the step.
    ///
    /// # Shapes
    /// - `outputs`: as in [`Embedded`], and `targets`: as returned by [`targets`](Self::targets), for all images of
    ///   this process, each `[batch, dim]`
    /// - `labels`: `[batch]`
    fn loss_of(
        &self,
        state: &State,
        outputs: Vec<Tensor<2>>,
        targets: Vec<Tensor<2>>,
        labels: Option<Tensor<1, Int>>,
        context: &StepContext,
    ) -> (Tensor<1>, Self::Carry);
}

/// A student's outputs for some images.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// The rows that the loss sees, `[batch, dim]` for each view and kind. Those that it uses without gradient get none.
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
