//! Images that a classifier is both trained and tested with.

use std::collections::HashMap;

use ssl_data::Dataset;
use tracing::warn;

/// Images of a set that are read for the comparison alone (our choice: seconds). An epoch leaves out less than a batch.
pub(crate) const READ: usize = 1024;

/// Warns if test images are among the training images, by their pixels.
///
/// It comes after the evaluation, which has read nearly all images. Of the others, [`READ`] are read; what is left, as after a
/// training that was resumed at its end, is not compared.
pub(crate) fn warn_of_overlap(train: &Dataset, test: &Dataset) {
    if let Some(sentence) = shared(train, test, READ).sentence() {
        warn!("{sentence}");
    }
}

/// Test images that are also training images.
pub(crate) struct Shared {
    /// Their places in the test set and in the training set.
    pub(crate) pairs: Vec<(usize, usize)>,
    /// Test images.
    of: usize,
    /// Whether some images were not compared.
    pub(crate) is_partial: bool,
}

/// Compares the images that have been read, and `read` more of each set, by their pixels.
pub(crate) fn shared(train: &Dataset, test: &Dataset, read: usize) -> Shared {
    let (known, tested) = (hashes(train, read), hashes(test, read));
    let is_partial = [&known, &tested].into_iter().any(|hashes| hashes.contains(&0));
    let mut places = HashMap::new();
    for (place, hash) in known.into_iter().enumerate().filter(|&(_, hash)| hash != 0) {
        places.entry(hash).or_insert(place);
    }
    let found = tested.iter().enumerate().filter_map(|(test, hash)| Some((test, *places.get(hash)?)));
    Shared { pairs: found.collect(), of: tested.len(), is_partial }
}

impl Shared {
    /// What is to be said of them, if there are any.
    pub(crate) fn sentence(&self) -> Option<String> {
        let (shared, of, at_least) =
            (self.pairs.len(), self.of, if self.is_partial { "at least " } else { "" });
        (shared > 0).then(|| {
            format!(
                "{at_least}{shared} of {of} test images are also training images, by their pixels, so the accuracy says little about \
                 new images: take them out of one of the sets, or test with others"
            )
        })
    }
}

/// The hashes of the images, 0 for those that were not read.
fn hashes(set: &Dataset, read: usize) -> Vec<u64> {
    let hashes = set.content_hashes();
    let unread = hashes.iter().enumerate().filter(|(_, hash)| **hash == 0).map(|(index, _)| index);
    // One that cannot be decoded has no pixels to compare.
    if unread.take(read).filter_map(|index| set.image(index).ok()).count() > 0 {
        set.content_hashes()
    } else {
        hashes
    }
}

#[cfg(test)]
mod tests {
    use ssl_data::Image;

    use super::*;

    fn overlap(train: &Dataset, test: &Dataset) -> Option<String> {
        shared(train, test, READ).sentence()
    }

    /// Images of one colour each, none of them read yet.
    fn set(shades: impl IntoIterator<Item = u16>) -> Dataset {
        let image = |shade: u16| Image::new(2, 2, [shade.to_le_bytes(); 6].concat());
        Dataset::from_images(shades.into_iter().map(image).collect(), None)
    }

    #[test]
    fn test_images_among_the_training_images_are_counted_whoever_has_read_them() {
        assert_eq!(overlap(&set([1, 2, 3]), &set([4, 5])), None);
        let (train, test) = (set([1, 2, 3]), set([3, 4, 1]));
        train.image(0).expect("in memory");
        let sentence = overlap(&train, &test).expect("two are shared");
        assert!(sentence.starts_with("2 of 3 test images are also training images"), "{sentence}");
        assert_eq!(shared(&train, &test, 0).pairs, [(0, 2), (2, 0)]);
        let twice = overlap(&set([7, 8]), &set([7, 8, 7])).expect("the same images");
        assert!(twice.starts_with("3 of 3 test images"), "{twice}");
    }

    #[test]
    fn a_set_that_was_hardly_read_is_compared_in_part_and_the_sentence_says_so() {
        let many = READ as u16 + 10;
        let sentence = overlap(&set(0..many), &set(0..4)).expect("four are shared");
        assert!(sentence.starts_with("at least 4 of 4 test images"), "{sentence}");
        assert_eq!(overlap(&set(0..many), &set([many - 1])), None, "the last was not read");
    }
}
