//! The ten patterns: what a rendered image shows, and all that its label says.

use std::f32::consts::TAU;

/// A point or a vector in the plane.
pub(super) type Point = [f32; 2];

/// A figure repeated over the plane; neither place, turn nor colour tells it from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Stripes,
    Zigzag,
    Checks,
    Mesh,
    Dots,
    Rings,
    Crosses,
    Triangles,
    Bars,
    Patches,
}

impl Pattern {
    /// All patterns, in the order of their labels.
    pub(super) const ALL: [Self; 10] = [
        Self::Stripes,
        Self::Zigzag,
        Self::Checks,
        Self::Mesh,
        Self::Dots,
        Self::Rings,
        Self::Crosses,
        Self::Triangles,
        Self::Bars,
        Self::Patches,
    ];

    /// Repetitions along the side of an image: as many as leave a figure some eight pixels of 32.
    pub(super) fn repeats(self) -> f32 {
        match self {
            Self::Stripes | Self::Zigzag => 4.5,
            Self::Checks | Self::Mesh => 4.0,
            Self::Dots => 4.6,
            Self::Rings | Self::Crosses | Self::Triangles => 2.8,
            Self::Bars => 3.5,
            Self::Patches => 3.0,
        }
    }

    /// Distance of `p` from the outline of the figures, negative inside.
    ///
    /// The unit is one repetition. Exact near an outline only, which is where it matters.
    /// Different salts give different arrangements of the scattered figures and the patches.
    pub(super) fn distance(self, p: Point, salt: u32) -> f32 {
        match self {
            Self::Stripes => stripe(p[1]),
            Self::Zigzag => 0.8 * stripe(p[1] + 1.1 * (fract(0.6 * p[0]) - 0.5).abs()),
            Self::Checks => checks(p),
            Self::Mesh => line(p) - 0.12,
            Self::Patches => 0.9 * value_noise(p, salt),
            Self::Dots => scattered(p, salt, |q, r| length(q) - 0.85 * r),
            Self::Rings => scattered(p, salt, |q, r| (length(q) - 0.78 * r).abs() - 0.26 * r),
            Self::Crosses => scattered(p, salt, cross),
            Self::Triangles => scattered(p, salt, triangle),
            Self::Bars => scattered(p, salt, |q, r| bar(q, r, 0.28 * r)),
        }
    }
}

/// One figure in each unit cell, at a random place within it, of random size and turn.
///
/// `figure` is the distance from the outline of a figure around the origin, of about the given radius.
fn scattered(p: Point, salt: u32, figure: impl Fn(Point, f32) -> f32) -> f32 {
    let cell = p.map(f32::floor);
    let bits = hash(cell, salt).to_le_bytes().map(|byte| f32::from(byte) / 255.0);
    let radius = 0.32 + 0.1 * bits[0];
    let reach = 1.0 - 2.0 * radius;
    let centre = [0, 1].map(|axis| cell[axis] + 0.5 + reach * (bits[1 + axis] - 0.5));
    figure(rotate([p[0] - centre[0], p[1] - centre[1]], TAU * bits[3]), radius)
}

fn stripe(y: f32) -> f32 {
    (fract(y) - 0.5).abs() - 0.25
}

fn checks(p: Point) -> f32 {
    let dark = (p[0].floor() + p[1].floor()).rem_euclid(2.0) < 0.5;
    if dark { -line(p) } else { line(p) }
}

/// Distance from the lines of the unit grid.
fn line(p: Point) -> f32 {
    let [x, y] = p.map(|x| 0.5 - (fract(x) - 0.5).abs());
    x.min(y)
}

/// A bar with round ends along the first axis, from `-reach` to `reach`.
fn bar(p: Point, reach: f32, radius: f32) -> f32 {
    length([(p[0].abs() - reach + radius).max(0.0), p[1]]) - radius
}

fn cross(p: Point, reach: f32) -> f32 {
    bar(p, reach, 0.26 * reach).min(bar([p[1], p[0]], reach, 0.26 * reach))
}

/// An equilateral triangle, its corners slightly outside the circle of `radius`.
fn triangle(p: Point, radius: f32) -> f32 {
    let side = |angle: f32| angle.cos() * p[0] + angle.sin() * p[1];
    side(0.0).max(side(TAU / 3.0)).max(side(-TAU / 3.0)) - 0.55 * radius
}

/// Smooth noise between -0.5 and 0.5: random values at the corners of the unit grid, blended between them.
fn value_noise(p: Point, salt: u32) -> f32 {
    let cell = p.map(f32::floor);
    let [u, v] = [0, 1].map(|axis| {
        let t = p[axis] - cell[axis];
        t * t * (3.0 - 2.0 * t)
    });
    let corner = |x: f32, y: f32| (hash([cell[0] + x, cell[1] + y], salt) & 0xFFFF) as f32 / 65_535.0 - 0.5;
    let blend = |a: f32, b: f32, t: f32| a + t * (b - a);
    blend(blend(corner(0.0, 0.0), corner(1.0, 0.0), u), blend(corner(0.0, 1.0), corner(1.0, 1.0), u), v)
}

/// Random bits of a cell of the unit grid.
fn hash(cell: Point, salt: u32) -> u32 {
    let [x, y] = cell.map(|x| x as i32 as u32);
    let mut bits = salt ^ x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA77);
    for _ in 0..2 {
        bits = (bits ^ (bits >> 16)).wrapping_mul(0x7FEB_352D);
        bits = (bits ^ (bits >> 15)).wrapping_mul(0x846C_A68B);
    }
    bits ^ (bits >> 16)
}

fn fract(x: f32) -> f32 {
    x - x.floor()
}

pub(super) fn length(p: Point) -> f32 {
    p[0].hypot(p[1])
}

pub(super) fn rotate(p: Point, angle: f32) -> Point {
    let (sin, cos) = angle.sin_cos();
    [cos * p[0] - sin * p[1], sin * p[0] + cos * p[1]]
}
