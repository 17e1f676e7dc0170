//! One channel of a batch normalisation: sums over its values, then its results while the values are in a cache.

use super::super::simd::{Eight, Instructions, Job, Lanes, Vector};

/// Values per vector.
const WIDTH: usize = 8;
/// Number of values summed in float32 before the sum moves to float64.
const RUN: usize = 512;

/// `[batch, channels, pixels]`, for tensors of any rank.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) batch: usize,
    pub(super) channels: usize,
    pub(super) pixels: usize,
}

impl Layout {
    pub(super) fn of(shape: &[usize]) -> Self {
        let [batch, channels, ..] = *shape else {
            panic!("batch norm: shape {shape:?}, expected [batch, channel, ...]")
        };
        Self { batch, channels, pixels: shape[2..].iter().product() }
    }

    /// Number of values in one channel.
    pub(super) fn count(self) -> f64 {
        (self.batch * self.pixels) as f64
    }

    /// One channel's plane of one image.
    #[inline(always)]
    fn plane(self, x: &[f32], image: usize, channel: usize) -> &[f32] {
        let at = (image * self.channels + channel) * self.pixels;
        &x[at..at + self.pixels]
    }

    /// The planes of every channel, in batch order.
    pub(super) fn planes_mut(self, x: &mut [f32]) -> Vec<Vec<&mut [f32]>> {
        let mut channels: Vec<_> = (0..self.channels).map(|_| Vec::with_capacity(self.batch)).collect();
        for (index, plane) in x.chunks_exact_mut(self.pixels).enumerate() {
            channels[index % self.channels].push(plane);
        }
        channels
    }
}

/// The statistics of a channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    pub(super) mean: f32,
    /// Biased.
    pub(super) variance: f32,
    /// `1 / sqrt(variance + eps)`
    pub(super) scale: f32,
}

/// Sums over a channel's gradients, plain and weighted by the normalised values.
#[derive(Clone, Copy, Debug)]
pub(super) struct GradientSums {
    pub(super) plain: f64,
    pub(super) with_normalised: f64,
}

/// The forward pass of one channel.
pub(super) struct Forward<'a> {
    pub(super) layout: Layout,
    pub(super) channel: usize,
    pub(super) x: &'a [f32],
    pub(super) shortcut: Option<&'a [f32]>,
    pub(super) relu: bool,
    pub(super) weight: f32,
    pub(super) bias: f32,
    pub(super) eps: f64,
    /// One plane per image.
    pub(super) output: Vec<&'a mut [f32]>,
}

impl Job for Forward<'_> {
    type Output = Moments;

    #[inline(always)]
    fn run<I: Instructions>(self) -> Moments {
        let moments = moments::<I::Eight>(self.layout, self.x, self.channel, self.eps);
        let (mean, bias) = (I::Eight::splat(moments.mean), I::Eight::splat(self.bias));
        let factor = I::Eight::splat(moments.scale * self.weight);
        for (n, output) in self.output.into_iter().enumerate() {
            let x = self.layout.plane(self.x, n, self.channel);
            let shortcut = match self.shortcut {
                Some(shortcut) => self.layout.plane(shortcut, n, self.channel),
                None => &[],
            };
            for at in (0..output.len()).step_by(WIDTH) {
                let mut y = bias.mul_add(load::<I::Eight>(x, at).sub(mean), factor);
                if !shortcut.is_empty() {
                    y = y.add(load(shortcut, at));
                }
                if self.relu {
                    y = y.positive();
                }
                store(y, output, at);
            }
        }
        moments
    }
}

#[inline(always)]
fn moments<V: Eight>(layout: Layout, x: &[f32], channel: usize, eps: f64) -> Moments {
    // Deviations from the first plane's mean: squares of the raw values would cancel where the mean is large.
    let first = layout.plane(x, 0, channel);
    let shift = (first.iter().map(|v| f64::from(*v)).sum::<f64>() / first.len() as f64) as f32;
    let origin = V::splat(shift);
    let (mut plain, mut squares) = (Sum::<V>::new(), Sum::<V>::new());
    let (mut rest_plain, mut rest_squares) = (0.0, 0.0);
    for n in 0..layout.batch {
        let plane = layout.plane(x, n, channel);
        let whole = plane.len() / WIDTH * WIDTH;
        for pair in (0..whole).step_by(2 * WIDTH) {
            for lane in 0..2 {
                let at = pair + lane * WIDTH;
                if at < whole {
                    let d = load::<V>(plane, at).sub(origin);
                    plain.add(lane, d, V::splat(1.0));
                    squares.add(lane, d, d);
                }
            }
        }
        plain.end_run(whole);
        squares.end_run(whole);
        for v in &plane[whole..] {
            let d = f64::from(*v - shift);
            rest_plain += d;
            rest_squares += d * d;
        }
    }
    let count = layout.count();
    let deviation = (plain.total() + rest_plain) / count;
    let variance = ((squares.total() + rest_squares) / count - deviation * deviation).max(0.0);
    Moments {
        mean: (f64::from(shift) + deviation) as f32,
        variance: variance as f32,
        scale: (1.0 / (variance + eps).sqrt()) as f32,
    }
}

/// The backward pass of one channel.
///
/// ```text
/// g = dy, or 0 where y is not above 0;   dx = weight · scale · (g − mean(g) − x̂ · mean(g · x̂))
/// ```
pub(super) struct Backward<'a> {
    pub(super) layout: Layout,
    pub(super) channel: usize,
    pub(super) x: &'a [f32],
    /// The output, if ReLU was applied.
    pub(super) y: Option<&'a [f32]>,
    pub(super) moments: Moments,
    pub(super) weight: f32,
    /// Gradients of the output, overwritten by those of the shortcut.
    pub(super) gradient: Vec<&'a mut [f32]>,
    /// Gradients of the input, if they have their own memory; otherwise they overwrite those of the output.
    pub(super) dx: Option<Vec<&'a mut [f32]>>,
}

impl Job for Backward<'_> {
    type Output = GradientSums;

    #[inline(always)]
    fn run<I: Instructions>(mut self) -> GradientSums {
        let sums = self.sums::<I::Eight>();
        let count = self.layout.count();
        let mean = I::Eight::splat(self.moments.mean);
        let factor = I::Eight::splat(self.weight * self.moments.scale);
        let shift = I::Eight::splat((sums.plain / count) as f32);
        let slope = I::Eight::splat((sums.with_normalised / count) as f32 * self.moments.scale);
        for (n, gradient) in self.gradient.into_iter().enumerate() {
            let x = self.layout.plane(self.x, n, self.channel);
            for at in (0..x.len()).step_by(WIDTH) {
                let (x, g) = (load::<I::Eight>(x, at), load::<I::Eight>(gradient, at));
                let dx = factor.mul(g.sub(shift).sub(x.sub(mean).mul(slope)));
                match &mut self.dx {
                    Some(planes) => store(dx, planes[n], at),
                    None => store(dx, gradient, at),
                }
            }
        }
        sums
    }
}

impl Backward<'_> {
    /// Sums over the gradients, after setting those cut off by ReLU to 0.
    #[inline(always)]
    fn sums<V: Eight>(&mut self) -> GradientSums {
        let mean = V::splat(self.moments.mean);
        let (mut plain, mut weighted) = (Sum::<V>::new(), Sum::<V>::new());
        for (n, gradient) in self.gradient.iter_mut().enumerate() {
            let x = self.layout.plane(self.x, n, self.channel);
            let y = match self.y {
                Some(y) => self.layout.plane(y, n, self.channel),
                None => &[],
            };
            for pair in (0..x.len()).step_by(2 * WIDTH) {
                for lane in 0..2 {
                    let at = pair + lane * WIDTH;
                    if at >= x.len() {
                        break;
                    }
                    let mut g = load::<V>(gradient, at);
                    if !y.is_empty() {
                        g = g.where_positive(load(y, at));
                        store(g, gradient, at);
                    }
                    // Past the end of a plane, g is 0.
                    plain.add(lane, g, V::splat(1.0));
                    weighted.add(lane, g, load::<V>(x, at).sub(mean));
                }
            }
            plain.end_run(x.len());
            weighted.end_run(x.len());
        }
        let scale = f64::from(self.moments.scale);
        GradientSums { plain: plain.total(), with_normalised: weighted.total() * scale }
    }
}

/// A sum of products: float32 in the lanes of two vectors, float64 over runs of values.
struct Sum<V> {
    lanes: [V; 2],
    run: usize,
    total: f64,
}

impl<V: Eight> Sum<V> {
    #[inline(always)]
    fn new() -> Self {
        Self { lanes: [V::splat(0.0); 2], run: 0, total: 0.0 }
    }

    #[inline(always)]
    fn add(&mut self, lane: usize, a: V, b: V) {
        self.lanes[lane] = self.lanes[lane].mul_add(a, b);
    }

    #[inline(always)]
    fn end_run(&mut self, values: usize) {
        self.run += values;
        if self.run >= RUN {
            self.flush();
        }
    }

    #[inline(always)]
    fn flush(&mut self) {
        let mut lanes = Lanes::default();
        self.lanes[0].store(&mut lanes, 0);
        self.lanes[1].store(&mut lanes, 1);
        self.total += lanes.0.iter().map(|v| f64::from(*v)).sum::<f64>();
        self.lanes = [V::splat(0.0); 2];
        self.run = 0;
    }

    #[inline(always)]
    fn total(mut self) -> f64 {
        self.flush();
        self.total
    }
}

/// Eight values starting at `at`, 0 past the end.
#[inline(always)]
fn load<V: Eight>(plane: &[f32], at: usize) -> V {
    let values = &plane[at..];
    match values.first_chunk::<WIDTH>() {
        Some(values) => V::load_slice(values),
        None => {
            let mut padded = [0.0; WIDTH];
            padded[..values.len()].copy_from_slice(values);
            V::load_slice(&padded)
        }
    }
}

/// The inverse of [`load`].
#[inline(always)]
fn store<V: Eight>(vector: V, plane: &mut [f32], at: usize) {
    let values = &mut plane[at..];
    match values.first_chunk_mut::<WIDTH>() {
        Some(values) => vector.store_slice(values),
        None => {
            let mut padded = [0.0; WIDTH];
            vector.store_slice(&mut padded);
            let len = values.len();
            values.copy_from_slice(&padded[..len]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::simd::Portable;
    use super::*;

    const LAYOUT: Layout = Layout { batch: 5, channels: 3, pixels: 43 };
    const WEIGHT: f64 = 1.5;

    fn wave(speed: f32, offset: f32) -> Vec<f32> {
        (0..LAYOUT.batch * LAYOUT.channels * LAYOUT.pixels)
            .map(|i| (i as f32 * speed).sin() + offset)
            .collect()
    }

    /// Output and gradients of input and shortcut, computed from the definition in float64.
    fn definition(x: &[f32], shortcut: &[f32], dy: &[f32], channel: usize) -> Vec<[f64; 3]> {
        let places: Vec<usize> =
            (0..x.len()).filter(|i| i / LAYOUT.pixels % LAYOUT.channels == channel).collect();
        let mean_of =
            |f: &dyn Fn(usize) -> f64| places.iter().map(|i| f(*i)).sum::<f64>() / places.len() as f64;
        let mean = mean_of(&|i| f64::from(x[i]));
        let variance = mean_of(&|i| (f64::from(x[i]) - mean).powi(2));
        let scale = 1.0 / (variance + 1e-5).sqrt();
        let normal = |i: usize| (f64::from(x[i]) - mean) * scale;
        let output = |i: usize| (WEIGHT * normal(i) + 0.2 + f64::from(shortcut[i])).max(0.0);
        let g = |i: usize| if output(i) > 0.0 { f64::from(dy[i]) } else { 0.0 };
        let (plain, weighted) = (mean_of(&g), mean_of(&|i| g(i) * normal(i)));
        let dx = |i: usize| WEIGHT * scale * (g(i) - plain - normal(i) * weighted);
        places.iter().map(|i| [output(*i), dx(*i), g(*i)]).collect()
    }

    fn check<I: Instructions>() {
        let (x, shortcut) = (wave(0.7, 3.0), wave(0.31, 0.0));
        let (mut y, mut g, mut dx) = (wave(0.0, 0.0), wave(0.13, 0.0), wave(0.0, 0.0));
        let dy = g.clone();
        let outputs = LAYOUT.planes_mut(&mut y).into_iter().enumerate().map(|(channel, output)| {
            let (shortcut, weight) = (Some(shortcut.as_slice()), WEIGHT as f32);
            let (relu, bias, eps) = (true, 0.2, 1e-5);
            Forward { layout: LAYOUT, channel, x: &x, shortcut, relu, weight, bias, eps, output }.run::<I>()
        });
        let moments: Vec<Moments> = outputs.collect();
        let planes = LAYOUT.planes_mut(&mut g).into_iter().zip(LAYOUT.planes_mut(&mut dx)).enumerate();
        for (channel, (gradient, dx)) in planes {
            let (moments, weight) = (moments[channel], WEIGHT as f32);
            let (y, dx) = (Some(y.as_slice()), Some(dx));
            Backward { layout: LAYOUT, channel, x: &x, y, moments, weight, gradient, dx }.run::<I>();
        }
        for channel in 0..LAYOUT.channels {
            let places = (0..x.len()).filter(|i| i / LAYOUT.pixels % LAYOUT.channels == channel);
            for (i, want) in places.zip(definition(&x, &shortcut, &dy, channel)) {
                for (got, want) in [y[i], dx[i], g[i]].into_iter().zip(want) {
                    assert!((f64::from(got) - want).abs() < 1e-5, "channel {channel}: {got} and {want}");
                }
            }
        }
    }

    #[test]
    fn both_passes_are_those_of_the_definition_with_and_without_vector_instructions() {
        struct Check;
        impl Job for Check {
            type Output = ();
            fn run<I: Instructions>(self) {
                check::<I>();
            }
        }
        super::super::super::simd::dispatch(Check);
        check::<Portable>();
    }
}
