use crate::SampleKey;

/// No image has this number: its random numbers are free for the order of the epoch.
const ORDER: u64 = u64::MAX;

/// The order in which epoch `epoch` visits `images` images, a permutation of `0..images`: a shuffle after Fisher and Yates (Knuth, The Art
/// of Computer Programming, 3.4.2, algorithm P) that is the same on every platform.
pub fn epoch_order(images: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut random = SampleKey { seed, epoch, sample: ORDER }.generator(0, 0);
    let mut order: Vec<usize> = (0..images).collect();
    for last in (1..images).rev() {
        order.swap(last, random.below(last + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::epoch_order;

    #[test]
    fn golden_order() {
        // From the same formulas in Python; a resumed run relies on them.
        assert_eq!(epoch_order(8, 0, 0), [6, 7, 4, 3, 5, 2, 0, 1]);
        assert_eq!(epoch_order(8, 0, 1), [7, 2, 5, 3, 1, 4, 0, 6]);
    }

    #[test]
    fn it_is_a_permutation_that_seed_and_epoch_change() {
        let order = epoch_order(1000, 1, 2);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..1000));
        assert_ne!(order, epoch_order(1000, 1, 3));
        assert_ne!(order, epoch_order(1000, 2, 2));
    }

    #[test]
    fn every_image_comes_first_equally_often() {
        let mut first = [0u32; 5];
        (0..5000).for_each(|epoch| first[epoch_order(5, 3, epoch)[0]] += 1);
        assert!(first.iter().all(|&count| count.abs_diff(1000) < 150), "{first:?}");
    }
}
