//! What is computed from features alone.

mod clusters;
mod nearest;
mod principal;
#[cfg(feature = "tsne")]
mod tsne;

pub use clusters::kmeans;
pub use nearest::nearest;
pub use principal::{Principal, principal};
#[cfg(feature = "tsne")]
pub use tsne::tsne;

/// Feature vectors, a row for each image.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    dim: usize,
    values: Vec<f32>,
}

impl Rows {
    /// Rows of `dim` values each, one after the other.
    ///
    /// # Panics
    /// If the values do not fill rows.
    pub fn new(values: Vec<f32>, dim: usize) -> Self {
        assert!(dim > 0 && values.len().is_multiple_of(dim), "{} values in rows of {dim}", values.len());
        Self { dim, values }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Values of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// One of them.
    pub fn row(&self, place: usize) -> &[f32] {
        &self.values[place * self.dim..][..self.dim]
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.dim)
    }

    /// The same directions with length 1; rows of zeros stay.
    pub fn normalized(mut self) -> Self {
        for row in self.values.chunks_exact_mut(self.dim) {
            let length = dot(row, row).sqrt().max(f32::MIN_POSITIVE);
            row.iter_mut().for_each(|value| *value /= length);
        }
        self
    }

    /// The same with a mean of zero.
    fn centred(mut self) -> Self {
        let (dim, count) = (self.dim, self.len().max(1) as f32);
        let mut mean = vec![0.0; dim];
        self.iter().for_each(|row| add(&mut mean, row, 1.0 / count));
        self.values.chunks_exact_mut(dim).for_each(|row| add(row, &mean, -1.0));
        self
    }
}

/// The sum of products. Eight sums at a time let the compiler use vectors.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (a_parts, b_parts) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a_parts.remainder().iter().zip(b_parts.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_parts.zip(b_parts) {
        sums.iter_mut().zip(x.iter().zip(y)).for_each(|(sum, (x, y))| *sum += x * y);
    }
    sums.iter().sum::<f32>() + rest
}

/// Adds `factor * b` to `a`.
fn add(a: &mut [f32], b: &[f32], factor: f32) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += factor * b);
}
