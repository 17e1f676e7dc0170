//! Colours of a rendered image: any hue, on any side of the contrast.

use super::pattern::Point;
use crate::Generator;

/// Red, green and blue, from 0 to 1 before lighting.
pub(super) type Colour = [f32; 3];

/// How far a tone may leave the grey of its luminance, as a share of a random colour's distance.
///
/// Our choice: at 1 an image is known by its colours alone, and SimCLR learns those instead of the pattern.
const SATURATION: f32 = 0.4;

/// A colour that runs from one tone into another across the image.
#[derive(Debug)]
pub(super) struct Gradient {
    from: Colour,
    to: Colour,
    direction: Point,
}

impl Gradient {
    /// The colour at `p`, both coordinates from -0.5 to 0.5.
    pub(super) fn at(&self, p: Point) -> Colour {
        let along = 0.5 + p[0] * self.direction[0] + p[1] * self.direction[1];
        mix(self.from, self.to, along.clamp(0.0, 1.0))
    }

    fn draw(luminance: f32, generator: &mut Generator) -> Self {
        let from = tone(luminance, generator);
        let to = mix(from, tone(luminance, generator), uniform(generator, 0.0, 0.6));
        Self { from, to, direction: direction(generator) }
    }
}

/// The colours of ground and figure: apart in luminance, so that they stay apart in a grey view.
pub(super) fn ground_and_figure(generator: &mut Generator) -> [Gradient; 2] {
    let middle = uniform(generator, 0.4, 0.6);
    let half = 0.5 * uniform(generator, 0.35, 0.7);
    let sign = if generator.chance(0.5) { 1.0 } else { -1.0 };
    [-sign, sign].map(|side| Gradient::draw(middle + side * half, generator))
}

/// Any colour at all.
pub(super) fn colour(generator: &mut Generator) -> Colour {
    [(); 3].map(|()| uniform(generator, 0.0, 1.0))
}

/// `under` at 0, `over` at 1.
pub(super) fn mix(under: Colour, over: Colour, share: f32) -> Colour {
    std::array::from_fn(|channel| under[channel] + share * (over[channel] - under[channel]))
}

/// A random tone of the given luminance.
fn tone(luminance: f32, generator: &mut Generator) -> Colour {
    let any = colour(generator);
    let [red, green, blue] = any;
    // The weights of ITU-R BT.601, those of the grayscale view.
    let own = 0.299 * red + 0.587 * green + 0.114 * blue;
    any.map(|channel| luminance + SATURATION * (channel - own))
}

/// A vector of length 1.
pub(super) fn direction(generator: &mut Generator) -> Point {
    let (sin, cos) = uniform(generator, 0.0, std::f32::consts::TAU).sin_cos();
    [cos, sin]
}

/// A number evenly spread over `[low, high)`.
pub(super) fn uniform(generator: &mut Generator, low: f32, high: f32) -> f32 {
    generator.uniform(low.into(), high.into()) as f32
}
