use std::collections::HashMap;

/// The places of `limit` of `count` images, rising: the first ones without labels, else those that come first
/// when the classes take turns, the k-th image of each before the next of any.
pub(super) fn select(count: usize, labels: Option<&[i64]>, limit: usize) -> Vec<usize> {
    let Some(labels) = labels else { return (0..limit).collect() };
    let mut seen = HashMap::new();
    let mut turns: Vec<(usize, usize)> = (0..count)
        .map(|place| {
            let turn = seen.entry(labels[place]).or_insert(0);
            *turn += 1;
            (*turn, place)
        })
        .collect();
    turns.sort_unstable();
    let mut places: Vec<_> = turns[..limit].iter().map(|&(_, place)| place).collect();
    places.sort_unstable();
    places
}

#[cfg(test)]
mod tests {
    use super::select;

    #[test]
    fn without_labels_the_first_images_stay() {
        assert_eq!(select(5, None, 3), [0, 1, 2]);
    }

    #[test]
    fn classes_in_turn_keep_the_first_images() {
        assert_eq!(select(9, Some(&[0, 1, 2, 0, 1, 2, 0, 1, 2]), 4), [0, 1, 2, 3]);
    }

    #[test]
    fn classes_in_blocks_are_kept_evenly() {
        assert_eq!(select(9, Some(&[0, 0, 0, 0, 1, 1, 1, 2, 2]), 6), [0, 1, 4, 5, 7, 8]);
    }

    #[test]
    fn a_small_class_leaves_its_turns_to_the_others() {
        assert_eq!(select(6, Some(&[7, 3, 3, 3, 3, 3]), 4), [0, 1, 2, 3]);
    }
}
