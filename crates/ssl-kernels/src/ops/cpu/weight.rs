//! The weight of a layer as the right factor of products.

use super::Host;
use super::matrix::{Matrix, MatrixMut};
use super::panels::{Onto, Panels};
use super::parallel::each;
use super::products::{Old, product, wide_product};

/// Rows for which a copy in panels is worth its time.
const COPIED: usize = 128;
/// Rows of a job that writes the same row into all of them.
const FILLED: usize = 16;

/// A weight, or its transpose.
#[derive(Debug)]
pub(super) enum Weight<'a> {
    /// A copy, for many rows.
    Copied(Panels),
    /// As it is stored, for few.
    Stored(Matrix<'a>),
}

impl<'a> Weight<'a> {
    /// The factor of so many rows together.
    pub(super) fn of<B: Host>(matrix: Matrix<'a>, rows: usize) -> Self {
        if rows < COPIED { Self::Stored(matrix) } else { Self::Copied(Panels::new::<B>(matrix)) }
    }

    /// `out = a w`, or that added to something, on this thread.
    pub(super) fn product(&self, out: &mut MatrixMut<'_>, a: Matrix<'_>, onto: Onto<'_>) {
        match self {
            Self::Copied(panels) => panels.product(out, a, onto),
            Self::Stored(matrix) => {
                fill(out, onto);
                product(out, a, *matrix, 1.0, old(onto));
            }
        }
    }

    /// The same on all threads.
    pub(super) fn wide_product<B: Host>(&self, mut out: MatrixMut<'_>, a: Matrix<'_>, onto: Onto<'_>) {
        match self {
            Self::Copied(panels) => panels.wide_product::<B>(out, a, onto),
            Self::Stored(matrix) => {
                let rows = out.rows;
                each::<B, _>(out.rows_mut(0..rows).bands(FILLED), |mut band| fill(&mut band, onto));
                wide_product::<B>(out, a, *matrix, old(onto));
            }
        }
    }
}

/// Writes the row that a product is added to.
fn fill(out: &mut MatrixMut<'_>, onto: Onto<'_>) {
    if let Onto::Row(row) = onto {
        (0..out.rows).for_each(|index| out.row_mut(index).copy_from_slice(row));
    }
}

fn old(onto: Onto<'_>) -> Old {
    if let Onto::Nothing = onto { Old::Replaced } else { Old::Kept }
}
