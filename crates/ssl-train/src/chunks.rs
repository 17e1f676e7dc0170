//! The gradient of a loss over all images of a batch, with the activations of only one chunk in memory at a time.

use burn::module::Module;
use burn::tensor::Tensor;
use ssl_core::{Embedded, EmbeddingLoss, Metrics, Mode, StepContext, Views};

use crate::Gradients;

/// What the forward and backward pass of a micro-batch yield.
#[derive(Debug)]
pub struct MicroBatch {
    /// The loss, `[1]`, without gradient.
    pub loss: Tensor<1>,
    /// The metrics that the method offers.
    pub metrics: Metrics,
    /// The gradients of the student.
    pub gradients: Gradients,
}

/// Loss, gradients and carry of a batch that passes through the student twice, `chunk` images at a time.
///
/// ```text
/// z_c = student(chunk c)                               1. without gradient; running statistics stay
/// g   = d loss(z_1, …, z_n) / d z                      2. of all embeddings; the carry comes from them, too
/// Σ_c d ⟨student(chunk c), g_c⟩ / d student            3. with gradient; running statistics move
/// ```
///
/// These are the gradients of the whole batch in one pass, if batch norm sees a chunk at a time there as well. Its
/// running statistics move once for each chunk, as they would with a smaller batch; those of a teacher in `targets` too.
///
/// # Shapes
/// - `views`: of the whole batch; `chunk`: images, of which the last chunk may have fewer
///
/// # Panics
/// If `chunk` is 0, or the loss has no gradient for any output.
///
/// # Source
/// Gao et al. 2021, section 3, <https://arxiv.org/abs/2101.06983>.
pub fn in_chunks<S: Module, T, C>(
    method: &dyn EmbeddingLoss<S, T, Carry = C>,
    student: &S,
    state: &T,
    views: &Views,
    chunk: usize,
    context: &StepContext,
) -> (MicroBatch, C) {
    let chunks = views.chunks(chunk);
    let plain = student.valid();
    let images = views.batch();
    let context = &context.clone().with_images(images);
    // Both passes of a chunk make the same random choices, since these depend on the names of the pass and on the images.
    let pass =
        |index: usize| context.pass("student").of_images(index * chunk..images.min((index + 1) * chunk));
    let first = |(index, views)| method.embed(&plain, views, &pass(index).with_mode(Mode::BatchStats));
    let embedded: Vec<Embedded> = chunks.iter().enumerate().map(first).collect();
    let targets = joined(chunks.iter().map(|views| method.targets(state, views, &context.teacher_pass())));
    let embeddings = Tensor::cat(embedded.iter().map(|chunk| chunk.embeddings.clone()).collect(), 0);
    let outputs = joined(embedded.into_iter().map(|chunk| chunk.outputs));
    let outputs: Vec<_> = outputs.into_iter().map(|output| output.autodiff().require_grad()).collect();

    let (loss, carry) = method.loss_of(state, outputs.clone(), targets, views.labels.clone(), context);
    let recorded = loss.backward();
    // None for what the loss uses without gradient.
    let output_gradients: Vec<_> = outputs.iter().map(|output| output.grad(&recorded)).collect();

    let mut gradients = Gradients::default();
    for (index, views) in chunks.iter().enumerate() {
        let outputs = method.embed(student, views, &pass(index)).outputs;
        let term = |(output, gradient): (Tensor<2>, &Option<Tensor<2>>)| {
            let ([count, _], gradient) = (output.dims(), gradient.clone()?);
            Some((output * gradient.narrow(0, index * chunk, count)).sum())
        };
        let terms = outputs.into_iter().zip(&output_gradients).filter_map(term);
        let product = terms.reduce(|sum, term| sum + term).expect("a loss has a gradient for an output");
        gradients.add(Gradients::of(product.backward(), student));
    }
    let metrics = Metrics::of_embeddings(embeddings);
    (MicroBatch { loss: loss.without_autodiff(), metrics, gradients }, carry)
}

/// Joins the tensors of all chunks along the image axis, kind by kind.
fn joined(chunks: impl Iterator<Item = Vec<Tensor<2>>>) -> Vec<Tensor<2>> {
    let mut kinds: Vec<Vec<Tensor<2>>> = Vec::new();
    for chunk in chunks {
        kinds.resize(chunk.len(), Vec::new());
        kinds.iter_mut().zip(chunk).for_each(|(kind, tensor)| kind.push(tensor));
    }
    kinds.into_iter().map(|kind| Tensor::cat(kind, 0)).collect()
}
