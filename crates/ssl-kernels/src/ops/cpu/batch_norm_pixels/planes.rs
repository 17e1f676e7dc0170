//! Passes over the planes of a piece.

use super::layout::{Column, Layout};
use crate::ops::cpu::simd::{Instructions, Job, Lanes, Vector};

/// Normalises planes, and finishes them.
pub(super) struct Forward<'a> {
    pub(super) layout: Layout,
    pub(super) piece: usize,
    pub(super) finish: Finish<'a>,
    pub(super) x: &'a [Lanes],
    pub(super) y: &'a mut [Lanes],
}

impl Job for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        let (pixels, finish) = (self.layout.pixels, self.finish);
        for (plane, y) in self.y.chunks_exact_mut(pixels).enumerate() {
            let column = &finish.columns[self.layout.column(self.piece, plane)];
            let x = &self.x[plane * pixels..][..pixels];
            let shortcut = finish.shortcut_of(plane * pixels, pixels);
            for part in 0..I::Wide::PARTS {
                let column = Loaded::<I::Wide>::of(column, part);
                for i in 0..pixels {
                    let shortcut = shortcut.map(|shortcut| I::Wide::load(&shortcut[i], part));
                    let value = column.normalised(I::Wide::load(&x[i], part));
                    finished(value, shortcut, finish.relu).store(&mut y[i], part);
                }
            }
        }
    }
}

/// A normalisation, then the sum with a shortcut if there is one, then ReLU if wanted.
#[derive(Clone, Copy)]
pub(in crate::ops::cpu) struct Finish<'a> {
    pub(super) columns: &'a [Column],
    /// `[image, block, pixel]`
    pub(super) shortcut: Option<&'a [Lanes]>,
    pub(super) relu: bool,
}

impl<'a> Finish<'a> {
    /// The same of each of the pieces that planes are cut into.
    pub(super) fn pieces(self, length: usize) -> impl Iterator<Item = Self> {
        let shortcuts = self.shortcut.map(|shortcut| shortcut.chunks(length)).into_iter().flatten();
        let shortcuts = shortcuts.map(Some).chain(std::iter::repeat(None));
        shortcuts.map(move |shortcut| Self { shortcut, ..self })
    }

    /// In place, a block of channels that has just been computed and begins at a pixel of the piece.
    #[inline(always)]
    pub(in crate::ops::cpu) fn block<I: Instructions>(
        &self,
        block: usize,
        first: usize,
        plane: &mut [Lanes],
    ) {
        let shortcut = self.shortcut_of(first, plane.len());
        for part in 0..I::Wide::PARTS {
            let column = Loaded::<I::Wide>::of(&self.columns[block], part);
            for (i, pixel) in plane.iter_mut().enumerate() {
                let shortcut = shortcut.map(|shortcut| I::Wide::load(&shortcut[i], part));
                let value = column.normalised(I::Wide::load(pixel, part));
                finished(value, shortcut, self.relu).store(pixel, part);
            }
        }
    }

    #[inline(always)]
    fn shortcut_of(&self, first: usize, count: usize) -> Option<&'a [Lanes]> {
        self.shortcut.map(|shortcut| &shortcut[first..][..count])
    }
}

/// What finishes each piece, if anything does.
pub(in crate::ops::cpu) fn pieces(
    finish: Option<Finish<'_>>,
    length: usize,
) -> impl Iterator<Item = Option<Finish<'_>>> {
    let pieces = finish.map(|finish| finish.pieces(length)).into_iter().flatten();
    pieces.map(Some).chain(std::iter::repeat(None))
}

#[inline(always)]
fn finished<V: Vector>(value: V, shortcut: Option<V>, relu: bool) -> V {
    let value = match shortcut {
        Some(shortcut) => value.add(shortcut),
        None => value,
    };
    if relu { value.positive() } else { value }
}

/// A part of a column.
#[derive(Clone, Copy)]
pub(super) struct Loaded<V> {
    mean: V,
    factor: V,
    bias: V,
}

impl<V: Vector> Loaded<V> {
    #[inline(always)]
    pub(super) fn of(column: &Column, part: usize) -> Self {
        let [mean, factor, bias] = [&column.mean, &column.factor, &column.bias].map(|l| V::load(l, part));
        Self { mean, factor, bias }
    }

    #[inline(always)]
    fn normalised(&self, x: V) -> V {
        self.bias.mul_add(x.sub(self.mean), self.factor)
    }
}

/// What the gradient behind ReLU is computed from.
#[derive(Clone, Copy)]
pub(super) struct Gradient<'a> {
    pub(super) dy: &'a [Lanes],
    pub(super) x: &'a [Lanes],
    /// The output, if a shortcut was added.
    pub(super) y: Option<&'a [Lanes]>,
    pub(super) relu: bool,
}

impl Gradient<'_> {
    /// Those of a plane.
    #[inline(always)]
    pub(super) fn plane(self, plane: usize, pixels: usize) -> Self {
        let first = plane * pixels;
        Self {
            dy: &self.dy[first..][..pixels],
            x: &self.x[first..][..pixels],
            y: self.y.map(|y| &y[first..][..pixels]),
            relu: self.relu,
        }
    }

    /// The gradient of the sum before ReLU, and `x − mean`.
    #[inline(always)]
    pub(super) fn at<V: Vector>(&self, pixel: usize, part: usize, column: &Loaded<V>) -> [V; 2] {
        through_relu(
            V::load(&self.dy[pixel], part),
            V::load(&self.x[pixel], part),
            self.y.map(|y| V::load(&y[pixel], part)),
            self.relu,
            column,
        )
    }
}

#[inline(always)]
fn through_relu<V: Vector>(dy: V, x: V, y: Option<V>, relu: bool, column: &Loaded<V>) -> [V; 2] {
    let deviation = x.sub(column.mean);
    let g = match (y, relu) {
        (Some(y), _) => dy.where_positive(y),
        // The same operations as in the forward pass, so the same sign.
        (None, true) => dy.where_positive(column.bias.mul_add(deviation, column.factor)),
        (None, false) => dy,
    };
    [g, deviation]
}

/// Replaces gradients of the output by those of the shortcut, and the input by its gradients; without a shortcut, gradients of the
/// output by those of the input.
///
/// ```text
/// dx = weight · scale · (g − mean(g) − x̂ · mean(g · x̂))
/// ```
pub(super) struct InputGradient<'a> {
    pub(super) layout: Layout,
    pub(super) piece: usize,
    pub(super) columns: &'a [Column],
    /// See [`Layout::slopes`].
    pub(super) slopes: &'a [[Lanes; 2]],
    pub(super) dy: &'a mut [Lanes],
    pub(super) x: Input<'a>,
    pub(super) y: Option<&'a [Lanes]>,
    pub(super) relu: bool,
}

/// The input of a normalisation.
pub(super) enum Input<'a> {
    Kept(&'a [Lanes]),
    /// Its memory is that of its gradient.
    Replaced(&'a mut [Lanes]),
}

impl Input<'_> {
    /// Pieces of it.
    pub(super) fn chunks(self, length: usize) -> impl Iterator<Item = Self> {
        let (kept, replaced) = match self {
            Self::Kept(pixels) => (Some(pixels.chunks(length)), None),
            Self::Replaced(pixels) => (None, Some(pixels.chunks_mut(length))),
        };
        kept.into_iter().flatten().map(Self::Kept).chain(replaced.into_iter().flatten().map(Self::Replaced))
    }

    #[inline(always)]
    fn load<V: Vector>(&self, pixel: usize, part: usize) -> V {
        match self {
            Self::Kept(pixels) => V::load(&pixels[pixel], part),
            Self::Replaced(pixels) => V::load(&pixels[pixel], part),
        }
    }
}

impl Job for InputGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(mut self) {
        let pixels = self.layout.pixels;
        for (plane, dy) in self.dy.chunks_exact_mut(pixels).enumerate() {
            let index = self.layout.column(self.piece, plane);
            let first = plane * pixels;
            let y = self.y.map(|y| &y[first..][..pixels]);
            for part in 0..I::Wide::PARTS {
                let column = Loaded::<I::Wide>::of(&self.columns[index], part);
                let [shift, slope] = &self.slopes[index];
                let (shift, slope) = (I::Wide::load(shift, part), I::Wide::load(slope, part));
                for i in 0..pixels {
                    let (loaded, x) = (I::Wide::load(&dy[i], part), self.x.load(first + i, part));
                    let y = y.map(|y| I::Wide::load(&y[i], part));
                    let [g, deviation] = through_relu(loaded, x, y, self.relu, &column);
                    let value = column.factor.mul(g.sub(shift).sub(deviation.mul(slope)));
                    match &mut self.x {
                        Input::Replaced(x) => {
                            value.store(&mut x[first + i], part);
                            g.store(&mut dy[i], part);
                        }
                        Input::Kept(_) => value.store(&mut dy[i], part),
                    }
                }
            }
        }
    }
}
