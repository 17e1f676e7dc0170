//! Losses that see a batch only through its embeddings.

use burn::tensor::{Int, Tensor};
use ssl_kernels::Group;

use crate::{Pass, Views};

/// A loss that sees a batch only through its embeddings, in two parts: what a loop needs to embed a batch in chunks and
/// still compare all its images.
///
/// ```text
/// SslMethod::loss = loss_of(embed(student, views), targets(state, views), labels)
/// ```
///
/// For methods that leave nothing to [`absorb`](crate::SslMethod::absorb). One whose loss is a mean over images that
/// ignore each other has no use for it: gradient accumulation gives the same.
///
/// # Source
/// Gao et al. 2021, section 3 (gradient cache), <https://arxiv.org/abs/2101.06983>.
pub trait EmbeddingLoss<Student, State> {
    /// What the loss compares of some images, and what batch norm sees is these images.
    fn embed(&self, student: &Student, views: &Views, pass: &Pass) -> Embedded;

    /// What it is compared with, without gradient: one tensor `[batch, dim]` for each kind, by default none.
    fn targets(&self, state: &State, views: &Views, pass: &Pass) -> Vec<Tensor<2>> {
        let _ = (state, views, pass);
        Vec::new()
    }

    /// The loss of the images of all processes, `[1]`: [`gather`](crate::group::gather) brings their rows together.
    ///
    /// # Shapes
    /// - `outputs`: those of [`Embedded`], `targets`: those of [`targets`](Self::targets), of all images of this
    ///   process, each `[batch, dim]`
    /// - `labels`: `[batch]`
    fn loss_of(
        &self,
        outputs: Vec<Tensor<2>>,
        targets: Vec<Tensor<2>>,
        labels: Option<Tensor<1, Int>>,
        group: &Group,
    ) -> Tensor<1>;
}

/// What a student makes of some images.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// What the loss compares, `[batch, dim]` for each view.
    pub outputs: Vec<Tensor<2>>,
    /// What the collapse metrics look at, `[row, dim]`, without gradient.
    pub embeddings: Tensor<2>,
}

impl Embedded {
    /// Outputs that the collapse metrics look at too.
    pub fn new(outputs: Vec<Tensor<2>>) -> Self {
        let embeddings = Tensor::cat(outputs.clone(), 0).without_autodiff();
        Self { outputs, embeddings }
    }
}
