use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Dataset;
use crate::Image;

/// No image.
const NONE: usize = usize::MAX;

/// What the images are, as they are read.
pub(super) struct Contents {
    /// The hash of each image, 0 if it was not read yet.
    hashes: Vec<AtomicU64>,
    changed: AtomicUsize,
}

impl Contents {
    pub(super) fn new(images: usize) -> Self {
        Self { hashes: (0..images).map(|_| AtomicU64::new(0)).collect(), changed: AtomicUsize::new(NONE) }
    }

    /// Notes an image that was read.
    pub(super) fn note(&self, index: usize, image: &Image) {
        // Images with the same pixels in rows of another length differ.
        self.expect(index, xxh3_64_with_seed(image.pixels(), image.width() as u64).max(1));
    }

    /// Notes what an image is or was; 0 says nothing.
    pub(super) fn expect(&self, index: usize, hash: u64) {
        if hash == 0 {
            return;
        }
        let known = self.hashes[index].compare_exchange(0, hash, Ordering::Relaxed, Ordering::Relaxed);
        if known.is_err_and(|known| known != hash) {
            self.changed.store(index, Ordering::Relaxed);
        }
    }

    pub(super) fn hashes(&self) -> Vec<u64> {
        self.hashes.iter().map(|hash| hash.load(Ordering::Relaxed)).collect()
    }

    pub(super) fn changed(&self) -> Option<usize> {
        Some(self.changed.load(Ordering::Relaxed)).filter(|&index| index != NONE)
    }
}

impl Dataset {
    /// A hash of size and pixels of every image that has been read so far, 0 for the others.
    ///
    /// Source: XXH3 with 64 bits, which costs a fraction of decoding.
    pub fn content_hashes(&self) -> Vec<u64> {
        self.contents.hashes()
    }

    /// Says what [`content_hashes`](Self::content_hashes) were in an earlier process, image by image; 0 stands for any.
    pub fn expect_contents(&self, hashes: &[u64]) {
        hashes
            .iter()
            .enumerate()
            .take(self.len())
            .for_each(|(index, &hash)| self.contents.expect(index, hash));
    }

    /// An image that was not the same each time it was read, or is not as [expected](Self::expect_contents), if there is one.
    pub fn changed_image(&self) -> Option<usize> {
        self.contents.changed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: usize, height: usize, grey: u8) -> Image {
        Image::new(width, height, vec![grey; 3 * width * height])
    }

    #[test]
    fn an_image_that_changes_is_noticed() {
        let contents = Contents::new(3);
        contents.note(1, &image(2, 1, 7));
        contents.note(1, &image(2, 1, 7));
        assert_eq!(contents.changed(), None);
        let hashes = contents.hashes();
        assert!(hashes[0] == 0 && hashes[1] != 0);
        for other in [image(2, 1, 8), image(1, 2, 7)] {
            let later = Contents::new(3);
            hashes.iter().enumerate().for_each(|(index, &hash)| later.expect(index, hash));
            later.note(0, &other);
            assert_eq!(later.changed(), None, "it was not known before");
            later.note(1, &other);
            assert_eq!(later.changed(), Some(1));
        }
    }
}
