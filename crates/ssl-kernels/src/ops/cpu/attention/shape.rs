//! Where the values of a head are.

use crate::ops::AttentionInput;
use crate::ops::cpu::matrix::{Matrix, MatrixMut};

/// The sizes of an attention.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) batch: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) heads: usize,
    pub(super) head_dim: usize,
    /// Whether all images have the same bias.
    shared_bias: bool,
    /// Keys of each image, if they are not all.
    lengths: Option<Vec<usize>>,
}

/// A job of the backward pass: a head of some images.
pub(super) struct Job<'a> {
    /// The number of each head, and the gradients of its queries, keys and values.
    pub(super) images: Vec<(usize, [MatrixMut<'a>; 3])>,
    /// The gradient of their bias.
    pub(super) bias: Option<MatrixMut<'a>>,
}

impl Shape {
    pub(super) fn of(input: &AttentionInput) -> Self {
        let ([batch, queries, keys, dim], heads) = (input.dims(), input.heads);
        let shared_bias = input.bias.as_ref().is_some_and(|bias| bias.dims()[0] == 1);
        let lengths = input.lengths.clone();
        Self { batch, queries, keys, heads, head_dim: dim / heads, shared_bias, lengths }
    }

    /// Length of an output token.
    pub(super) fn dim(&self) -> usize {
        self.heads * self.head_dim
    }

    pub(super) fn scale(&self) -> f32 {
        (1.0 / (self.head_dim as f64).sqrt()) as f32
    }

    /// The number of keys that a head's queries see.
    pub(super) fn length(&self, job: usize) -> usize {
        self.lengths.as_ref().map_or(self.keys, |lengths| lengths[job / self.heads])
    }

    /// A head's columns, of which the first head's start at `first`, in a matrix of `tokens` tokens for each image.
    pub(super) fn columns<'a>(
        &self,
        values: &'a [f32],
        tokens: usize,
        first: usize,
        job: usize,
    ) -> Matrix<'a> {
        let (image, head) = (job / self.heads, job % self.heads);
        let first = first + head * self.head_dim;
        Matrix::new(values, values.len() / (self.batch * tokens))
            .rows(image * tokens..(image + 1) * tokens)
            .columns(first..first + self.head_dim)
    }

    /// A head's bias.
    pub(super) fn bias<'a>(&self, values: &'a [f32], job: usize) -> Matrix<'a> {
        let index = if self.shared_bias { job % self.heads } else { job };
        let count = self.queries * self.keys;
        Matrix::new(&values[index * count..][..count], self.keys)
    }

    /// The jobs of the backward pass, with the parts of the gradients that they write.
    pub(super) fn gradients<'a>(
        &self,
        queries: &'a mut [f32],
        keys_values: Option<&'a mut [f32]>,
        bias: Option<&'a mut [f32]>,
    ) -> Vec<Job<'a>> {
        let heads = self.of_heads(queries, keys_values).into_iter().enumerate();
        let Some(bias) = bias else {
            return heads.map(|head| Job { images: vec![head], bias: None }).collect();
        };
        let biases = MatrixMut::new(bias, self.keys).parts(self.queries, self.keys);
        let job = |bias| Job { images: Vec::new(), bias: Some(bias) };
        let mut jobs: Vec<_> = biases.into_iter().map(job).collect();
        let count = jobs.len();
        heads.for_each(|head| jobs[head.0 % count].images.push(head));
        jobs
    }

    /// The gradients of the queries, keys and values of each head of each image.
    fn of_heads<'a>(
        &self,
        queries: &'a mut [f32],
        keys_values: Option<&'a mut [f32]>,
    ) -> Vec<[MatrixMut<'a>; 3]> {
        let parts =
            |values, width, tokens| MatrixMut::new(values, width).parts(tokens, self.head_dim).into_iter();
        // Within an image come the queries of all heads, then their keys, then their values.
        let (mut first, mut others) = match keys_values {
            None => (parts(queries, 3 * self.dim(), self.queries), None),
            Some(keys_values) => (
                parts(queries, self.dim(), self.queries),
                Some(parts(keys_values, 2 * self.dim(), self.keys)),
            ),
        };
        let mut heads = Vec::with_capacity(self.batch * self.heads);
        for _ in 0..self.batch {
            let q: Vec<_> = first.by_ref().take(self.heads).collect();
            let others = others.as_mut().unwrap_or(&mut first);
            let k: Vec<_> = others.by_ref().take(self.heads).collect();
            let v = others.by_ref().take(self.heads);
            heads.extend(q.into_iter().zip(k).zip(v).map(|((q, k), v)| [q, k, v]));
        }
        heads
    }
}
