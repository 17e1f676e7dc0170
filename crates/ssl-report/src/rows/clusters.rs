//! k-means.

use super::{Rows, add, dot};

/// Rounds at most (our choice: enough for a picture).
const ROUNDS: usize = 30;

/// The cluster of each row, below `count`: spherical k-means, which maximises the cosines to the means of the clusters. Clusters
/// are numbered by size, the largest first; some of the last may be empty.
///
/// The first means are drawn as by k-means++, from numbers that depend on `seed` alone.
///
/// # Shapes
/// - `rows`: of length 1 each
///
/// # Source
/// Dhillon and Modha 2001, Concept decompositions for large sparse text data; Arthur and Vassilvitskii 2007, k-means++.
pub fn kmeans(rows: &Rows, count: usize, seed: u64) -> Vec<usize> {
    let count = count.min(rows.len());
    if count == 0 {
        return vec![0; rows.len()];
    }
    let mut means = start(rows, count, seed);
    let mut found = assigned(rows, &means);
    for _ in 0..ROUNDS {
        means = means_of(rows, &found, means);
        let next = assigned(rows, &means);
        if next == found {
            break;
        }
        found = next;
    }
    by_size(&found, count)
}

/// Rows that are far from each other.
fn start(rows: &Rows, count: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut numbers = Numbers(seed);
    let first = ((numbers.next() * rows.len() as f64) as usize).min(rows.len() - 1);
    let mut means = vec![rows.row(first).to_vec()];
    // Half the squared distance to the nearest mean.
    let mut far: Vec<f64> = rows.iter().map(|row| distance(row, &means[0])).collect();
    while means.len() < count {
        let mut left = numbers.next() * far.iter().sum::<f64>();
        let drawn = far.iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        let mean = rows.row(drawn.unwrap_or(means.len() % rows.len())).to_vec();
        far.iter_mut().zip(rows.iter()).for_each(|(far, row)| *far = far.min(distance(row, &mean)));
        means.push(mean);
    }
    means
}

fn distance(row: &[f32], mean: &[f32]) -> f64 {
    f64::from(1.0 - dot(row, mean)).max(0.0)
}

/// The most similar mean of each row.
fn assigned(rows: &Rows, means: &[Vec<f32>]) -> Vec<usize> {
    let best = |row: &[f32]| {
        let cosines = means.iter().map(|mean| dot(row, mean)).enumerate();
        // The first of equal ones.
        cosines.fold((0, f32::NEG_INFINITY), |best, next| if next.1 > best.1 { next } else { best }).0
    };
    rows.iter().map(best).collect()
}

/// Means of length 1; an empty cluster keeps its own.
fn means_of(rows: &Rows, found: &[usize], before: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    let mut sums = vec![vec![0.0; rows.dim()]; before.len()];
    rows.iter().zip(found).for_each(|(row, &cluster)| add(&mut sums[cluster], row, 1.0));
    let unit = |(mut sum, before): (Vec<f32>, Vec<f32>)| {
        let length = dot(&sum, &sum).sqrt();
        if length == 0.0 {
            return before;
        }
        sum.iter_mut().for_each(|value| *value /= length);
        sum
    };
    sums.into_iter().zip(before).map(unit).collect()
}

fn by_size(found: &[usize], count: usize) -> Vec<usize> {
    let size = |cluster: usize| found.iter().filter(|&&of| of == cluster).count();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&cluster| std::cmp::Reverse(size(cluster)));
    let mut number = vec![0; count];
    order.into_iter().enumerate().for_each(|(place, cluster)| number[cluster] = place);
    found.iter().map(|&cluster| number[cluster]).collect()
}

/// SplitMix64 (Steele et al. 2014), as numbers from 0 to 1.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_lie_apart_are_found_whatever_the_seed() {
        // Around three axes, 6, 4 and 2 rows.
        let rows: Vec<f32> = [0, 0, 1, 0, 1, 2, 0, 1, 0, 1, 2, 0]
            .into_iter()
            .enumerate()
            .flat_map(|(place, axis)| {
                let near = |other: usize| if other == axis { 1.0 } else { 0.02 * (place % 3) as f32 };
                [0, 1, 2].map(near)
            })
            .collect();
        let rows = Rows::new(rows, 3).normalized();
        for seed in 0..8 {
            assert_eq!(kmeans(&rows, 3, seed), [0, 0, 1, 0, 1, 2, 0, 1, 0, 1, 2, 0], "seed {seed}");
        }
    }

    #[test]
    fn equal_rows_and_more_clusters_than_rows_are_no_fault() {
        let rows = Rows::new(vec![1.0; 4], 1);
        assert_eq!(kmeans(&rows, 3, 0), [0; 4]);
        assert_eq!(kmeans(&Rows::new(vec![1.0, 0.0, 0.0, 1.0], 2), 9, 0).len(), 2);
    }
}
