//! One image: a pattern, and all that a representation should learn to look past.
//!
//! Nothing here depends on the class but the figure that [`Cloth`] repeats.

use std::f32::consts::TAU;

use super::{
    colour::{Colour, Gradient, colour, direction, ground_and_figure, mix, uniform},
    pattern::{Pattern, Point, length, rotate},
};
use crate::Generator;

/// Everything about an image but its resolution.
///
/// A point of the image lies between -0.5 and 0.5 on both axes, the second pointing down.
#[derive(Debug)]
pub(super) struct Scene {
    cloth: Cloth,
    blob: Option<Blob>,
    light: Light,
}

impl Scene {
    pub(super) fn draw(pattern: Pattern, generator: &mut Generator) -> Self {
        let cloth = Cloth::draw(pattern, generator);
        let blob = generator.chance(0.5).then(|| Blob::draw(generator));
        Self { cloth, blob, light: Light::draw(generator) }
    }

    /// The bytes of the image, `[size, size, 3]`; the generator gives the noise of the pixels.
    pub(super) fn render(&self, size: usize, generator: &mut Generator) -> Vec<u8> {
        let pixel = 1.0 / size as f32;
        bytes(size, self.light.grain, |p| self.colour(p, pixel), generator)
    }

    fn colour(&self, p: Point, pixel: f32) -> Colour {
        let cloth = self.cloth.colour(p, pixel);
        let seen = self.blob.as_ref().map_or(cloth, |blob| blob.over(cloth, p, pixel));
        self.light.on(seen, p)
    }
}

/// Two patterns under one light, on both sides of a wavy line through the middle.
#[derive(Debug)]
pub(super) struct TwoCloths {
    cloths: [Cloth; 2],
    /// Across the line.
    normal: Point,
    /// How far the line passes from the centre.
    offset: f32,
    /// Height and phase of the line's waves.
    wave: [f32; 2],
    light: Light,
}

impl TwoCloths {
    pub(super) fn draw(patterns: [Pattern; 2], generator: &mut Generator) -> Self {
        Self {
            cloths: patterns.map(|pattern| Cloth::draw(pattern, generator)),
            normal: direction(generator),
            offset: uniform(generator, -0.15, 0.15),
            wave: [uniform(generator, 0.0, 0.06), uniform(generator, 0.0, TAU)],
            light: Light::draw(generator),
        }
    }

    /// The bytes of the image, as of [`Scene::render`].
    pub(super) fn render(&self, size: usize, generator: &mut Generator) -> Vec<u8> {
        let pixel = 1.0 / size as f32;
        let colour = |p: Point| {
            let [first, second] = self.cloths.each_ref().map(|cloth| cloth.colour(p, pixel));
            self.light.on(mix(second, first, covered(self.beyond(p), pixel)), p)
        };
        bytes(size, self.light.grain, colour, generator)
    }

    /// Whether each pixel is of the second pattern, row by row.
    pub(super) fn sides(&self, size: usize) -> impl Iterator<Item = bool> {
        points(size).map(|p| self.beyond(p) > 0.0)
    }

    /// How far a point is beyond the line, negative before it.
    fn beyond(&self, p: Point) -> f32 {
        let [x, y] = self.normal;
        let along = p[1] * x - p[0] * y;
        let [height, phase] = self.wave;
        p[0] * x + p[1] * y - self.offset + height * (1.5 * TAU * along + phase).sin()
    }
}

/// The centres of all pixels, row by row.
fn points(size: usize) -> impl Iterator<Item = Point> {
    let pixel = 1.0 / size as f32;
    let centre = move |place: usize| (place as f32 + 0.5) * pixel - 0.5;
    (0..size * size).map(move |place| [centre(place % size), centre(place / size)])
}

/// The bytes of an image, with noise of the given strength.
fn bytes(size: usize, grain: f32, colour: impl Fn(Point) -> Colour, generator: &mut Generator) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(3 * size * size);
    for p in points(size) {
        for channel in colour(p) {
            let value = channel + grain * triangular(generator);
            bytes.push((255.0 * value.clamp(0.0, 1.0)).round() as u8);
        }
    }
    bytes
}

/// The pattern, laid out and coloured.
#[derive(Debug)]
struct Cloth {
    pattern: Pattern,
    salt: u32,
    /// Repetitions along the side of the image.
    repeats: f32,
    turn: f32,
    offset: Point,
    /// Height of the waves in which the cloth lies, and their phases.
    bend: f32,
    phases: Point,
    ground: Gradient,
    figure: Gradient,
}

impl Cloth {
    fn draw(pattern: Pattern, generator: &mut Generator) -> Self {
        let [ground, figure] = ground_and_figure(generator);
        Self {
            pattern,
            salt: generator.next_u64() as u32,
            repeats: pattern.repeats() * 1.3f32.powf(uniform(generator, -1.0, 1.0)),
            turn: uniform(generator, 0.0, TAU),
            offset: [(); 2].map(|()| uniform(generator, 0.0, 64.0)),
            bend: uniform(generator, 0.0, 0.05),
            phases: [(); 2].map(|()| uniform(generator, 0.0, TAU)),
            ground,
            figure,
        }
    }

    fn colour(&self, p: Point, pixel: f32) -> Colour {
        let wave = |along: f32, phase: f32| self.bend * (1.2 * TAU * along + phase).sin();
        let bent = [p[0] + wave(p[1], self.phases[0]), p[1] + wave(p[0], self.phases[1])];
        let turned = rotate(bent, self.turn);
        let place = [0, 1].map(|axis| self.repeats * turned[axis] + self.offset[axis]);
        let distance = self.pattern.distance(place, self.salt) / self.repeats;
        mix(self.ground.at(p), self.figure.at(p), covered(distance, pixel))
    }
}

/// An ellipse that hides a part of the cloth.
#[derive(Debug)]
struct Blob {
    centre: Point,
    turn: f32,
    radii: Point,
    colour: Colour,
    opacity: f32,
}

impl Blob {
    fn draw(generator: &mut Generator) -> Self {
        Self {
            centre: [(); 2].map(|()| uniform(generator, -0.5, 0.5)),
            turn: uniform(generator, 0.0, TAU),
            radii: [(); 2].map(|()| uniform(generator, 0.06, 0.22)),
            colour: colour(generator),
            opacity: uniform(generator, 0.4, 1.0),
        }
    }

    fn over(&self, under: Colour, p: Point, pixel: f32) -> Colour {
        let [x, y] = rotate([p[0] - self.centre[0], p[1] - self.centre[1]], self.turn);
        let [a, b] = self.radii;
        let distance = (length([x / a, y / b]) - 1.0) * a.min(b);
        mix(under, self.colour, self.opacity * covered(distance, pixel))
    }
}

/// The light on the cloth, and what the camera makes of it.
#[derive(Debug)]
struct Light {
    gain: f32,
    bias: f32,
    /// Change of the gain from one side of the image to the other.
    slope: Point,
    /// Largest noise of a channel.
    grain: f32,
}

impl Light {
    fn draw(generator: &mut Generator) -> Self {
        let strength = uniform(generator, 0.0, 0.5);
        Self {
            gain: uniform(generator, 0.7, 1.1),
            bias: uniform(generator, -0.1, 0.1),
            slope: direction(generator).map(|part| strength * part),
            grain: uniform(generator, 0.0, 0.08),
        }
    }

    fn on(&self, colour: Colour, p: Point) -> Colour {
        let gain = self.gain * (1.0 + p[0] * self.slope[0] + p[1] * self.slope[1]);
        colour.map(|channel| gain * channel + self.bias)
    }
}

/// The share of a pixel that lies inside an outline `distance` away, which antialiases the outline.
fn covered(distance: f32, pixel: f32) -> f32 {
    (0.5 - distance / pixel).clamp(0.0, 1.0)
}

/// Noise in (-1, 1), most of it near 0.
fn triangular(generator: &mut Generator) -> f32 {
    uniform(generator, 0.0, 1.0) - uniform(generator, 0.0, 1.0)
}
