//! t-SNE.

use bhtsne::tSNE;

use super::{Rows, dot, principal};

/// Rows that the perplexity of 30 fits (van der Maaten and Hinton 2008, section 3.4: 5 to 50).
const PERPLEXITY: f32 = 30.0;
/// Components that are kept (van der Maaten and Hinton 2008, section 4.2: 30).
const COMPONENTS: usize = 30;
/// Standard deviation of the start along the first component (Kobak and Berens 2019: 0.0001).
const START: f32 = 1e-4;
/// θ of Barnes and Hut (van der Maaten 2014, section 5: 0.5).
const THETA: f32 = 0.5;
/// Variance along the first component, over the mean square of a row, up to which rows differ by rounding alone.
const SAME: f32 = 1e-10;
/// Fewer have no neighbourhoods.
const LEAST: usize = 10;

/// Rows in two dimensions that keep neighbours together; `None` if there are too few of them, or all are the same.
///
/// It starts from the principal components, so that groups keep their places. Places within a group differ from call to call: `bhtsne`
/// searches neighbours from random points.
///
/// # Source
/// van der Maaten 2014, <https://jmlr.org/papers/v15/vandermaaten14a.html>, as the crate `bhtsne` has it; Kobak and Berens 2019,
/// <https://doi.org/10.1038/s41467-019-13056-x>, for the start.
pub fn tsne(rows: &Rows) -> Option<Vec<[f32; 2]>> {
    let found = principal(rows, COMPONENTS.min(rows.dim()));
    let count = found.coordinates.len();
    let along = |row: &Vec<f32>, axis: usize| row.get(axis).copied().unwrap_or(0.0);
    let spread = found.coordinates.iter().map(|row| along(row, 0).powi(2)).sum::<f32>() / count.max(1) as f32;
    let squares = rows.iter().map(|row| dot(row, row)).sum::<f32>() / count.max(1) as f32;
    if count < LEAST || spread <= SAME * squares {
        return None;
    }
    let factor = START / spread.sqrt();
    let start: Vec<f32> =
        found.coordinates.iter().flat_map(|row| [0, 1].map(|axis| factor * along(row, axis))).collect();
    let points: Vec<&[f32]> = found.coordinates.iter().map(Vec::as_slice).collect();
    let distance =
        |a: &&[f32], b: &&[f32]| a.iter().zip(b.iter()).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
    let mut fit: tSNE<f32, &[f32]> = tSNE::new(&points);
    // Three times the perplexity are neighbours, of which there are no more than other rows.
    fit.perplexity(PERPLEXITY.min((count - 1) as f32 / 3.0)).initial_embedding(start);
    fit.barnes_hut(THETA, distance);
    Some(fit.embedding().chunks_exact(2).map(|point| [point[0], point[1]]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three groups of rows around far corners.
    fn groups(each: usize) -> Rows {
        let value = |group: usize, place: usize, axis: usize| {
            let corner = if axis == group { 10.0 } else { 0.0 };
            corner + ((place * 7 + axis * 3) % 11) as f32 / 11.0
        };
        let row = |place: usize| (0..5).map(move |axis| value(place % 3, place, axis));
        Rows::new((0..3 * each).flat_map(row).collect(), 5)
    }

    #[test]
    fn neighbours_stay_together() {
        let found = tsne(&groups(20)).expect("enough rows");
        let nearest = |place: usize| {
            let distance = |&other: &usize| {
                let [x, y] = [0, 1].map(|axis| found[place][axis] - found[other][axis]);
                x * x + y * y
            };
            (0..60).filter(|&other| other != place).min_by(|a, b| distance(a).total_cmp(&distance(b)))
        };
        for place in 0..60 {
            assert_eq!(nearest(place).map(|other| other % 3), Some(place % 3), "row {place}");
        }
    }

    #[test]
    fn groups_have_the_same_places_in_every_call() {
        let centres = || {
            let found = tsne(&groups(20)).expect("enough rows");
            let mean = |group: usize, axis: usize| {
                found.iter().skip(group).step_by(3).map(|point| point[axis]).sum::<f32>() / 20.0
            };
            [0, 1, 2].map(|group| [0, 1].map(|axis| mean(group, axis)))
        };
        let apart = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
        let (one, other) = (centres(), centres());
        for group in 0..3 {
            let moved = apart(one[group], other[group]);
            let between = apart(one[group], one[(group + 1) % 3]);
            assert!(moved < 0.25 * between, "group {group}: {one:?} and {other:?}");
        }
    }

    #[test]
    fn too_few_rows_or_equal_ones_have_no_picture() {
        assert_eq!(tsne(&groups(1)), None);
        for value in [0.0, 1.0, 0.3, 1e6] {
            assert_eq!(tsne(&Rows::new(vec![value; 60], 3)), None, "all are {value}");
        }
    }
}
