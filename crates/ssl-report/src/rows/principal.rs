//! Principal components.

use super::{Rows, add, dot};

/// Rounds of the iteration (our choice: enough for a picture).
const ROUNDS: usize = 40;

/// Rows in the directions in which they differ most.
#[derive(Clone, Debug, PartialEq)]
pub struct Principal {
    /// The coordinates of each row, the first component first.
    pub coordinates: Vec<Vec<f32>>,
    /// The share of the variance in each component, 0 to 1.
    pub shares: Vec<f64>,
}

/// The first `count` principal components of rows, or as many as these have dimensions.
///
/// Orthogonal iteration from fixed directions, so that the same rows always give the same picture. The sign of a component is
/// that of its coordinate with the largest magnitude.
///
/// # Source
/// Golub and Van Loan, Matrix Computations, section 7.3.2.
pub fn principal(rows: &Rows, count: usize) -> Principal {
    let rows = rows.clone().centred();
    let mut directions = start(count.min(rows.dim()), rows.dim());
    for _ in 0..ROUNDS {
        directions.iter_mut().for_each(|direction| *direction = turned(&rows, direction));
        orthonormalize(&mut directions);
    }
    let total: f64 = rows.iter().map(|row| f64::from(dot(row, row))).sum();
    let mut components: Vec<Vec<f32>> =
        directions.iter().map(|direction| rows.iter().map(|row| dot(row, direction)).collect()).collect();
    components.iter_mut().for_each(|component| point_upwards(component));
    let variance =
        |component: &Vec<f32>| component.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
    let shares = components.iter().map(|component| variance(component) / total.max(f64::MIN_POSITIVE));
    let coordinates = (0..rows.len()).map(|row| components.iter().map(|component| component[row]).collect());
    Principal { shares: shares.collect(), coordinates: coordinates.collect() }
}

/// Directions that no features are likely to be orthogonal to.
fn start(count: usize, dim: usize) -> Vec<Vec<f32>> {
    let value = |direction: usize, place: usize| {
        let mixed = ((direction * dim + place) as u32 + 1).wrapping_mul(2_654_435_761);
        (mixed >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|direction| (0..dim).map(|place| value(direction, place)).collect()).collect()
}

/// A direction times the covariance of the rows, up to a factor.
fn turned(rows: &Rows, direction: &[f32]) -> Vec<f32> {
    let mut sum = vec![0.0; rows.dim()];
    rows.iter().for_each(|row| add(&mut sum, row, dot(row, direction)));
    sum
}

/// The Gram-Schmidt process.
fn orthonormalize(directions: &mut [Vec<f32>]) {
    for place in 0..directions.len() {
        let (before, rest) = directions.split_at_mut(place);
        let direction = &mut rest[0];
        for other in before {
            let along = dot(direction, other);
            add(direction, other, -along);
        }
        let length = dot(direction, direction).sqrt();
        let factor = if length > 0.0 { 1.0 / length } else { 0.0 };
        direction.iter_mut().for_each(|value| *value *= factor);
    }
}

fn point_upwards(component: &mut [f32]) {
    let largest = component.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0);
    if largest < 0.0 {
        component.iter_mut().for_each(|value| *value = -*value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ellipse_has_its_axes_whatever_its_mean() {
        let point = |place: usize| {
            let angle = std::f32::consts::TAU * place as f32 / 64.0;
            let (long, short) = (5.0 * angle.cos(), angle.sin());
            // Turned by 45 degrees in the first two of three dimensions.
            [10.0 + (long - short) / 2_f32.sqrt(), -3.0 + (long + short) / 2_f32.sqrt(), 7.0]
        };
        let rows = Rows::new((0..64).flat_map(point).collect(), 3);
        let found = principal(&rows, 2);
        assert!((found.shares[0] - 25.0 / 26.0).abs() < 1e-4, "{:?}", found.shares);
        assert!((found.shares.iter().sum::<f64>() - 1.0).abs() < 1e-4, "{:?}", found.shares);
        let spread =
            |component: usize| found.coordinates.iter().map(|row| row[component].abs()).fold(0.0, f32::max);
        assert!((spread(0) - 5.0).abs() < 1e-2 && (spread(1) - 1.0).abs() < 1e-2);
    }

    #[test]
    fn rows_that_are_all_the_same_have_coordinates_of_zero() {
        let found = principal(&Rows::new(vec![1.0; 12], 3), 5);
        assert_eq!(found.coordinates, vec![vec![0.0; 3]; 4], "three dimensions have three components");
        assert_eq!(found.shares, [0.0; 3]);
    }
}
