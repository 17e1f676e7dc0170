//! Products whose right factor is read by many jobs: it is copied once, in the order in which they read it.
//!
//! A sum stays in a register over the length of a row, or over pieces of it, so the order does not depend on how a product is divided.

use std::ops::Range;

use super::Host;
use super::matrix::{Matrix, MatrixMut};
use super::parallel::each;
use super::pool::{Room, scratch};
use super::simd::{Instructions, Job, LANES, Lanes, Level, Vector, dispatch_at};

/// Rows computed together: twelve sums of eight values, two per row, fill the registers of AVX2.
const ROWS: usize = 6;
/// The same for AVX-512: twenty-four sums of sixteen values.
const WIDE_ROWS: usize = 12;
/// The fewest and the most rows of a job.
const OF_JOB: (usize, usize) = (24, 96);
/// Jobs for each thread, if the product is large enough.
const JOBS: usize = 4;
/// The most products whose sum is in a register before it is written: a longer sum loses precision, and a longer panel stays in no
/// cache. No shape of a job changes it, so it changes no bit.
const LENGTH: usize = 1024;

/// A matrix in panels of as many columns as two vectors have, each row by row, filled up with zeros.
#[derive(Debug)]
pub(super) struct Panels {
    pixels: Room,
    rows: usize,
    columns: usize,
    /// The instructions whose vectors determine the width of panels.
    level: Level,
}

/// What the sums are added to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Onto<'a> {
    /// Nothing: what was there is overwritten.
    Nothing,
    /// A row, to which all rows of the product are added.
    Row(&'a [f32]),
    /// What is there.
    Old,
}

impl Panels {
    /// A copy of a matrix.
    ///
    /// # Panics
    /// If neither its rows nor its columns are contiguous.
    pub(super) fn new<B: Host>(matrix: Matrix<'_>) -> Self {
        matrix.check();
        assert!(matrix.column_stride == 1 || matrix.row_stride == 1, "contiguous rows or columns");
        let (rows, columns) = (matrix.rows, matrix.columns);
        let level = Level::of_processor();
        let lanes = dispatch_at(level, PixelsOfRow);
        let width = lanes * LANES;
        let mut pixels = scratch(columns.div_ceil(width) * lanes * rows);
        let panels = pixels.chunks_mut(lanes * rows).enumerate();
        each::<B, _>(panels, |(panel, pixels)| {
            let columns = panel * width..((panel + 1) * width).min(columns);
            copy(matrix.columns(columns), Lanes::values_mut(pixels), width);
        });
        Self { pixels, rows, columns, level }
    }

    /// `out = a b`, or that added to something, where `b` is the matrix in these panels.
    ///
    /// # Panics
    /// If the shapes do not fit, `out` is empty, or the rows of `a` are not contiguous.
    pub(super) fn product(&self, out: &mut MatrixMut<'_>, a: Matrix<'_>, onto: Onto<'_>) {
        self.check(out, a, onto);
        let pixels = &*self.pixels;
        dispatch_at(self.level, Product { pixels, rows: self.rows, out, a, onto });
    }

    /// The same on all threads. Rows and panels are divided so that there are enough jobs.
    pub(super) fn wide_product<B: Host>(&self, out: MatrixMut<'_>, a: Matrix<'_>, onto: Onto<'_>) {
        self.check(&out, a, onto);
        let jobs = JOBS * B::threads();
        let of_job = a.rows.div_ceil(jobs).clamp(OF_JOB.0, OF_JOB.1).next_multiple_of(WIDE_ROWS);
        let lanes = dispatch_at(self.level, PixelsOfRow);
        let across = jobs.div_ceil(a.rows.div_ceil(of_job));
        let panels = self.columns.div_ceil(lanes * LANES).div_ceil(across);
        let (columns, pixels) = (panels * lanes * LANES, panels * lanes * self.rows);
        let bands = out.bands(of_job).into_iter().enumerate().flat_map(|(index, band)| {
            let strips = band.strips(columns).into_iter().enumerate();
            strips.map(move |(strip, part)| (index * of_job, strip, part))
        });
        each::<B, _>(bands, |(first, strip, mut out)| {
            let a = a.rows(first..first + out.rows);
            let pixels = self.pixels.chunks(pixels).nth(strip).expect("as many strips as of `out`");
            let onto = onto.columns(strip * columns..strip * columns + out.columns);
            dispatch_at(self.level, Product { pixels, rows: self.rows, out: &mut out, a, onto });
        });
    }

    fn check(&self, out: &MatrixMut<'_>, a: Matrix<'_>, onto: Onto<'_>) {
        let found = (out.rows, out.columns, a.columns);
        assert_eq!(found, (a.rows, self.columns, self.rows), "a product's shapes");
        assert_eq!(a.column_stride, 1, "contiguous rows");
        if let Onto::Row(row) = onto {
            assert_eq!(row.len(), self.columns, "values of a row that is added");
        }
        a.check();
    }
}

impl<'a> Onto<'a> {
    fn columns(self, range: Range<usize>) -> Self {
        if let Self::Row(row) = self { Self::Row(&row[range]) } else { self }
    }
}

/// Writes the rows of a panel, `width` values each.
fn copy(matrix: Matrix<'_>, values: &mut [f32], width: usize) {
    if matrix.column_stride == 1 {
        for (row, values) in values.chunks_exact_mut(width).enumerate() {
            let (found, zeros) = values.split_at_mut(matrix.columns);
            found.copy_from_slice(matrix.row(row));
            zeros.fill(0.0);
        }
        return;
    }
    let columns = matrix.transposed();
    if columns.rows < width {
        values.fill(0.0);
    }
    for first in (0..columns.columns).step_by(LANES) {
        let rows = &mut values[first * width..];
        for column in 0..columns.rows {
            let found = &columns.row(column)[first..];
            for (value, row) in found.iter().take(LANES).zip(rows.chunks_exact_mut(width)) {
                row[column] = *value;
            }
        }
    }
}

/// Asks for the pixels in a row of a panel.
struct PixelsOfRow;

impl Job for PixelsOfRow {
    type Output = usize;
    #[inline(always)]
    fn run<I: Instructions>(self) -> usize {
        lanes::<I::Wide>()
    }
}

/// The product of some rows and some panels.
struct Product<'a, 'b> {
    /// The panels.
    pixels: &'a [Lanes],
    /// Rows of the matrix in panels.
    rows: usize,
    out: &'a mut MatrixMut<'b>,
    a: Matrix<'a>,
    onto: Onto<'a>,
}

impl Job for Product<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<I: Instructions>(self) {
        let lanes = lanes::<I::Wide>();
        for first in (0..self.rows).step_by(LENGTH) {
            let range = first..(first + LENGTH).min(self.rows);
            let a = self.a.columns(range.clone());
            let onto = if first == 0 { self.onto } else { Onto::Old };
            for (index, panel) in self.pixels.chunks_exact(lanes * self.rows).enumerate() {
                let panel = &panel[range.start * lanes..range.end * lanes];
                let column = index * lanes * LANES;
                Tiles { a, panel, column, onto, out: self.out }.all::<I::Wide>();
            }
        }
    }
}

/// Pixels in a row of a panel: two vectors.
#[inline(always)]
fn lanes<V: Vector>() -> usize {
    2 / V::PARTS
}

/// A panel and what it is multiplied by.
struct Tiles<'a, 'b, 'c> {
    a: Matrix<'a>,
    panel: &'a [Lanes],
    /// The first column of the panel.
    column: usize,
    onto: Onto<'a>,
    out: &'c mut MatrixMut<'b>,
}

impl Tiles<'_, '_, '_> {
    /// All rows of the product.
    #[inline(always)]
    fn all<V: Vector>(&mut self) {
        let mut row = 0;
        if V::PARTS == 1 {
            row = self.whole::<V, WIDE_ROWS>(row);
        }
        row = self.whole::<V, ROWS>(row);
        match self.a.rows - row {
            0 => {}
            1 => self.tile::<V, 1>(row),
            2 => self.tile::<V, 2>(row),
            3 => self.tile::<V, 3>(row),
            4 => self.tile::<V, 4>(row),
            _ => self.tile::<V, 5>(row),
        }
    }

    /// Tiles of `R` rows from a row on, and the first row that is left.
    #[inline(always)]
    fn whole<V: Vector, const R: usize>(&mut self, mut row: usize) -> usize {
        while row + R <= self.a.rows {
            self.tile::<V, R>(row);
            row += R;
        }
        row
    }

    /// `R` rows of the product.
    #[inline(always)]
    fn tile<V: Vector, const R: usize>(&mut self, first: usize) {
        let a = self.a;
        let mut sums = [[V::splat(0.0); 2]; R];
        let rows: [&[f32]; R] = std::array::from_fn(|r| a.row(first + r));
        let (pieces, rest) = self.panel.split_at(a.columns / LANES * LANES * lanes::<V>());
        for (piece, panel) in pieces.chunks_exact(LANES * lanes::<V>()).enumerate() {
            let mut x = [&[0.0; LANES]; R];
            for r in 0..R {
                x[r] = rows[r][piece * LANES..].first_chunk().expect("as many pieces as of the panel");
            }
            for c in 0..LANES {
                step(&mut sums, |r| x[r][c], &panel[c * lanes::<V>()..]);
            }
        }
        let done = a.columns / LANES * LANES;
        for (c, panel) in rest.chunks_exact(lanes::<V>()).enumerate() {
            step(&mut sums, |r| rows[r][done + c], panel);
        }
        for (r, sums) in sums.into_iter().enumerate() {
            self.write(first + r, sums);
        }
    }

    /// Writes the sums of a row, or adds them to something.
    ///
    /// They are passed by value: with an address, they would not stay in registers.
    #[inline(always)]
    fn write<V: Vector>(&mut self, row: usize, sums: [V; 2]) {
        let row = &mut self.out.row_mut(row)[self.column..];
        let bias = if let Onto::Row(bias) = self.onto { &bias[self.column..] } else { &[] };
        for lane in 0..lanes::<V>() {
            let sums = &sums[lane * V::PARTS..][..V::PARTS];
            let columns = lane * LANES..((lane + 1) * LANES).min(row.len());
            if columns.is_empty() {
                return;
            }
            let bias = bias.get(columns.clone()).unwrap_or_default();
            let row = &mut row[columns];
            match row.first_chunk_mut() {
                Some(row) => add(sums, bias.first_chunk(), self.onto, row),
                None => {
                    let (mut whole, of_bias) = (filled_up(row), filled_up(bias));
                    add(sums, Some(&of_bias), self.onto, &mut whole);
                    row.copy_from_slice(&whole[..row.len()]);
                }
            }
        }
    }
}

/// One product for each sum.
#[inline(always)]
fn step<V: Vector, const R: usize>(sums: &mut [[V; 2]; R], x: impl Fn(usize) -> f32, panel: &[Lanes]) {
    let w = [V::load(&panel[0], 0), V::load(&panel[1 / V::PARTS], 1 % V::PARTS)];
    for (r, sums) in sums.iter_mut().enumerate() {
        let x = V::splat(x(r));
        for part in 0..2 {
            sums[part] = sums[part].mul_add(x, w[part]);
        }
    }
}

/// Writes sixteen sums, or adds them to something.
#[inline(always)]
fn add<V: Vector>(sums: &[V], bias: Option<&[f32; LANES]>, onto: Onto<'_>, row: &mut [f32; LANES]) {
    for (part, sum) in sums.iter().enumerate() {
        let sum = match (onto, bias) {
            (Onto::Row(_), Some(bias)) => sum.add(V::read(bias, part)),
            (Onto::Old, _) => sum.add(V::read(row, part)),
            _ => *sum,
        };
        sum.write(row, part);
    }
}

/// Fewer than sixteen values, and zeros.
#[inline(always)]
fn filled_up(values: &[f32]) -> [f32; LANES] {
    let mut whole = [0.0; LANES];
    whole[..values.len()].copy_from_slice(values);
    whole
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::ops::cpu::simd;
    use burn_flex::Flex;

    /// Rows, columns and the length of a sum: one of everything, tiles of all heights, whole panels and parts of them, sums in pieces.
    const SHAPES: [[usize; 3]; 8] = [
        [1, 1, 1],
        [5, 16, 16],
        [11, 33, 17],
        [17, 31, 5],
        [24, 64, 32],
        [197, 70, 48],
        [40, 7, 1024],
        [13, 33, 2500],
    ];

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|place| ((place * 7919 + seed * 31) % 1009) as f32 / 1009.0 - 0.5).collect()
    }

    /// The product of a matrix and another, or another's transpose, added to something, by parts of the rows.
    fn product(
        [rows, columns, length]: [usize; 3],
        transposed: bool,
        onto: Onto<'_>,
        of_job: usize,
    ) -> Vec<f32> {
        let (a, b, mut out) =
            (values(rows * length, 1), values(length * columns, 2), values(rows * columns, 3));
        let a = Matrix::new(&a, length);
        let b = if transposed { Matrix::new(&b, length).transposed() } else { Matrix::new(&b, columns) };
        let panels = Panels::new::<Flex>(b);
        for (index, mut band) in MatrixMut::new(&mut out, columns).bands(of_job).into_iter().enumerate() {
            let rows = a.rows(index * of_job..index * of_job + band.rows);
            panels.product(&mut band, rows, onto);
        }
        out
    }

    /// The same in float64.
    fn product_in_float64([rows, columns, length]: [usize; 3], transposed: bool, onto: Onto<'_>) -> Vec<f64> {
        let (a, b, old) = (values(rows * length, 1), values(length * columns, 2), values(rows * columns, 3));
        let element = |place: usize| {
            let (row, column) = (place / columns, place % columns);
            let b = |c: usize| b[if transposed { column * length + c } else { c * columns + column }];
            let products = (0..length).map(|c| f64::from(a[row * length + c]) * f64::from(b(c)));
            let start = match onto {
                Onto::Nothing => 0.0,
                Onto::Row(bias) => bias[column],
                Onto::Old => old[place],
            };
            f64::from(start) + products.sum::<f64>()
        };
        (0..rows * columns).map(element).collect()
    }

    #[test]
    fn products_are_those_of_float64() {
        for shape in SHAPES {
            let bias = values(shape[1], 4);
            for transposed in [false, true] {
                for onto in [Onto::Nothing, Onto::Row(&bias), Onto::Old] {
                    let wanted = product_in_float64(shape, transposed, onto);
                    let largest = wanted.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
                    for (found, wanted) in product(shape, transposed, onto, shape[0]).into_iter().zip(wanted)
                    {
                        let error = (f64::from(found) - wanted).abs() / largest;
                        assert!(error < 2e-6, "{shape:?}, {onto:?}: {found} for {wanted}");
                    }
                }
            }
        }
    }

    #[test]
    fn neither_the_height_of_a_band_nor_the_instructions_change_a_bit() {
        let alone = simd::alone();
        for shape in SHAPES {
            let whole = product(shape, true, Onto::Old, shape[0]);
            for of_job in [1, 6, 7, 12, 13] {
                assert_eq!(product(shape, true, Onto::Old, of_job), whole, "{shape:?} by {of_job}");
            }
            alone.limit(Level::Avx2);
            assert_eq!(product(shape, true, Onto::Old, shape[0]), whole, "{shape:?} with AVX2");
            alone.limit(Level::Avx512);
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let _alone = simd::alone();
        let run = |[rows, columns, length]: [usize; 3], threads: usize| {
            let (a, b, row) = (values(rows * length, 1), values(length * columns, 2), values(columns, 3));
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let mut out = vec![0.0; rows * columns];
            pool.install(|| {
                let out = MatrixMut::new(&mut out, columns);
                let panels = Panels::new::<Flex>(Matrix::new(&b, columns));
                panels.wide_product::<Flex>(out, Matrix::new(&a, length), Onto::Row(&row));
            });
            out
        };
        // Many rows, and so few that panels are divided too.
        for shape in [[700, 50, 40], [130, 1000, 40]] {
            let one = run(shape, 1);
            let a = product_in_float64(shape, false, Onto::Row(&values(shape[1], 3)));
            let largest = a.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
            assert!(one.iter().zip(a).all(|(one, a)| (f64::from(*one) - a).abs() < 2e-6 * largest));
            for threads in [2, 3, 7] {
                assert!(run(shape, threads) == one, "{shape:?} on {threads} threads");
            }
        }
    }

    #[test]
    #[should_panic(expected = "values of a row that is added")]
    fn a_row_of_another_length_is_refused() {
        let values = [0.0; 6];
        let panels = Panels::new::<Flex>(Matrix::new(&values, 3));
        let row = Onto::Row(&values[..2]);
        panels.product(&mut MatrixMut::new(&mut [0.0; 9], 3), Matrix::new(&values, 2), row);
    }

    #[test]
    #[should_panic(expected = "a product's shapes")]
    fn a_product_of_other_shapes_is_refused() {
        let values = [0.0; 6];
        let panels = Panels::new::<Flex>(Matrix::new(&values, 3));
        panels.product(&mut MatrixMut::new(&mut [0.0; 4], 2), Matrix::new(&values, 3), Onto::Nothing);
    }
}
