use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use crate::Image;

/// Decoded images by index, until a number of bytes is used up. Nothing is ever dropped from it: in an epoch
/// every image is read once, and a cache that drops the oldest would never be hit.
pub(super) struct Cache {
    cells: Vec<OnceLock<Arc<Image>>>,
    free_bytes: AtomicUsize,
}

impl Cache {
    pub(super) fn new(images: usize, bytes: usize) -> Self {
        let images = if bytes == 0 { 0 } else { images };
        Self { cells: (0..images).map(|_| OnceLock::new()).collect(), free_bytes: AtomicUsize::new(bytes) }
    }

    pub(super) fn get(&self, index: usize) -> Option<Arc<Image>> {
        self.cells.get(index)?.get().cloned()
    }

    pub(super) fn keep(&self, index: usize, image: &Arc<Image>) {
        let Some(cell) = self.cells.get(index) else { return };
        let bytes = image.pixels().len();
        let take = |free: usize| free.checked_sub(bytes);
        if self.free_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return;
        }
        if cell.set(Arc::clone(image)).is_err() {
            self.free_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_what_fits_and_counts_each_image_once() {
        let image = Arc::new(Image::new(2, 1, vec![7; 6]));
        let cache = Cache::new(3, 12);
        cache.keep(0, &image);
        cache.keep(0, &image);
        cache.keep(2, &image);
        cache.keep(1, &image);
        assert!(cache.get(0).is_some() && cache.get(2).is_some());
        assert!(cache.get(1).is_none(), "only two images fit");
    }

    #[test]
    fn without_bytes_it_holds_nothing() {
        let cache = Cache::new(1, 0);
        cache.keep(0, &Arc::new(Image::new(1, 1, vec![0; 3])));
        assert!(cache.get(0).is_none());
    }
}
