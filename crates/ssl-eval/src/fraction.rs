//! Balanced subsets of a labelled set.

use std::collections::BTreeMap;

use ssl_data::epoch_order;

/// Separates this choice from the order of the epochs, which comes from the same generator.
const CHOICE: u64 = 0x6672_6163;

/// The indices, in increasing order, of a share of the images of every class: `share` times their number, rounded, and at
/// least one.
///
/// The images of a class are shuffled by `seed` and the first ones kept, so that with the same seed a smaller share is
/// part of a larger one.
///
/// # Panics
/// If `share` is not above 0 and at most 1.
///
/// # Source
/// SimCLR v2, section 3.1 (1 % and 10 % of the labels, balanced by class), <https://arxiv.org/abs/2006.10029>; the authors'
/// lists of files for ImageNet are not reproduced.
pub fn fraction(labels: &[i64], share: f64, seed: u64) -> Vec<usize> {
    assert!(share > 0.0 && share <= 1.0, "a share of {share}, expected above 0 and at most 1");
    let mut classes: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (place, &label) in labels.iter().enumerate() {
        classes.entry(label).or_default().push(place);
    }
    let kept = |(class, places): (i64, Vec<usize>)| {
        let count = ((places.len() as f64 * share).round() as usize).max(1);
        let order = epoch_order(places.len(), seed ^ CHOICE, class as u64);
        order.into_iter().take(count).map(move |index| places[index]).collect::<Vec<_>>()
    };
    let mut chosen: Vec<usize> = classes.into_iter().flat_map(kept).collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<i64> {
        (0..300).map(|place| if place < 200 { place % 2 } else { 2 }).collect()
    }

    fn counts(places: &[usize]) -> [usize; 3] {
        [0, 1, 2].map(|class| places.iter().filter(|&&place| labels()[place] == class).count())
    }

    #[test]
    fn every_class_keeps_its_share_and_at_least_one_image() {
        assert_eq!(counts(&fraction(&labels(), 0.1, 0)), [10, 10, 10]);
        assert_eq!(counts(&fraction(&labels(), 0.001, 0)), [1, 1, 1]);
        assert_eq!(fraction(&labels(), 1.0, 0), (0..300).collect::<Vec<_>>());
    }

    #[test]
    fn the_choice_depends_on_the_seed_alone_and_smaller_shares_are_part_of_larger_ones() {
        let choice = fraction(&labels(), 0.1, 3);
        assert_eq!(choice, fraction(&labels(), 0.1, 3));
        assert_ne!(choice, fraction(&labels(), 0.1, 4));
        let larger = fraction(&labels(), 0.3, 3);
        assert!(choice.iter().all(|place| larger.contains(place)));
    }
}
