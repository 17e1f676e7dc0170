//! Rows that are most alike.

use super::{Rows, dot};

/// The `count` other rows that are most like each row, with the cosines, the largest first; equal ones by place.
///
/// # Shapes
/// - `rows`: of length 1 each
pub fn nearest(rows: &Rows, count: usize) -> Vec<Vec<(usize, f32)>> {
    let all = rows.len();
    let mut found = vec![Vec::with_capacity(count + 1); all];
    for a in 0..all {
        for b in a + 1..all {
            let cosine = dot(rows.row(a), rows.row(b));
            insert(&mut found[a], (b, cosine), count);
            insert(&mut found[b], (a, cosine), count);
        }
    }
    found
}

/// Keeps the `count` largest. Candidates come in the order of their places, so that equal ones stay in it.
fn insert(found: &mut Vec<(usize, f32)>, (place, cosine): (usize, f32), count: usize) {
    if found.len() == count && found.last().is_none_or(|&(_, least)| cosine <= least) {
        return;
    }
    let at = found.partition_point(|&(_, other)| other >= cosine);
    found.insert(at, (place, cosine));
    found.truncate(count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_on_a_circle_are_the_adjacent_ones() {
        let point = |degrees: f32| [degrees.to_radians().cos(), degrees.to_radians().sin()];
        let rows = Rows::new([0.0, 10.0, 21.0, 180.0].into_iter().flat_map(point).collect(), 2);
        let found = nearest(&rows, 2);
        let places = |row: usize| found[row].iter().map(|&(place, _)| place).collect::<Vec<_>>();
        assert_eq!([places(0), places(1), places(2), places(3)], [[1, 2], [0, 2], [1, 0], [2, 1]]);
        assert!((found[0][0].1 - 10_f32.to_radians().cos()).abs() < 1e-6);
        assert_eq!(nearest(&Rows::new(vec![1.0; 3], 1), 5)[1], [(0, 1.0), (2, 1.0)], "as many as there are");
    }
}
