//! Planes of packed pixels, the columns that are normalised together, and the pieces in which they are summed.

use super::{Moments, Norm};
use crate::ops::cpu::simd::{LANES, Lanes};

/// Pieces of all planes, whatever the number of threads: sums are in their order.
const PIECES: usize = 32;

/// Images `[image, block, pixel]`. A plane is a block of an image, and a column are all planes that have the same block and belong
/// to the same group of images.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    batch: usize,
    blocks: usize,
    pub(super) pixels: usize,
    channels: usize,
    splits: usize,
}

/// What a column is normalised with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) mean: Lanes,
    /// The weight divided by the standard deviation.
    pub(super) factor: Lanes,
    pub(super) bias: Lanes,
}

impl Layout {
    /// # Panics
    /// If the blocks do not have the channels, or if the groups are not of one size.
    pub(super) fn of([batch, blocks, height, width, lanes]: [usize; 5], norm: Norm) -> Self {
        let Norm { channels, splits, .. } = norm;
        assert_eq!(
            [blocks, lanes],
            [channels.div_ceil(LANES), LANES],
            "batch norm: blocks of {channels} channels"
        );
        assert!(batch.is_multiple_of(splits), "batch norm: batch {batch} is no multiple of {splits} splits");
        Self { batch, blocks, pixels: height * width, channels, splits }
    }

    pub(super) fn columns_count(&self) -> usize {
        self.splits * self.blocks
    }

    /// The number of values that a channel of a column has.
    pub(super) fn count(&self) -> f64 {
        (self.batch / self.splits * self.pixels) as f64
    }

    /// Pixels of a piece.
    pub(super) fn piece(&self) -> usize {
        ((self.batch * self.blocks).div_ceil(PIECES) * self.pixels).max(1)
    }

    /// The column of a plane of a piece.
    #[inline(always)]
    pub(super) fn column(&self, piece: usize, plane: usize) -> usize {
        let plane = piece * (self.piece() / self.pixels) + plane;
        plane / self.blocks % self.splits * self.blocks + plane % self.blocks
    }

    /// The mean of the first plane of a column.
    pub(super) fn origin(&self, x: &[Lanes], column: usize) -> Lanes {
        let mut sums = [0.0_f64; LANES];
        for pixel in &x[column * self.pixels..][..self.pixels] {
            sums.iter_mut().zip(pixel.0).for_each(|(sum, value)| *sum += f64::from(value));
        }
        Lanes(sums.map(|sum| (sum / self.pixels as f64) as f32))
    }

    /// The values `[split, channel]` of a column; 0 past the last channel.
    pub(super) fn lanes(&self, values: &[f32], column: usize) -> Lanes {
        let (split, first) = (column / self.blocks, column % self.blocks * LANES);
        let count = LANES.min(self.channels - first);
        let mut lanes = Lanes::default();
        lanes.0[..count].copy_from_slice(&values[split * self.channels + first..][..count]);
        lanes
    }

    /// The inverse of [`lanes`](Self::lanes), for all columns.
    pub(super) fn values(&self, columns: impl Iterator<Item = Lanes>) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.splits * self.channels);
        for (column, lanes) in columns.enumerate() {
            let count = LANES.min(self.channels - column % self.blocks * LANES);
            values.extend_from_slice(&lanes.0[..count]);
        }
        values
    }

    pub(super) fn columns(&self, moments: &[Moments], weight: &[f32], bias: &[f32]) -> Vec<Column> {
        let of = |(column, moments): (usize, &Moments)| {
            let (weight, mut factor) = (self.lanes(weight, column), moments.scale);
            factor.0.iter_mut().zip(weight.0).for_each(|(factor, weight)| *factor *= weight);
            Column { mean: moments.mean, factor, bias: self.lanes(bias, column) }
        };
        moments.iter().enumerate().map(of).collect()
    }
}
