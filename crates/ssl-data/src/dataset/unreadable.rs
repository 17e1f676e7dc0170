use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use crate::DataError;

const LEAST_ALLOWED: usize = 10;
const ALLOWED_SHARE: usize = 100;

/// Counts the images of a data set that cannot be read.
pub(super) struct Unreadable {
    images: usize,
    allowed: usize,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    indices: HashSet<usize>,
    first: String,
}

impl Unreadable {
    /// At least one image must be readable, whatever is allowed.
    pub(super) fn new(images: usize, allowed: Option<usize>) -> Self {
        let allowed = allowed.unwrap_or(LEAST_ALLOWED.max(images / ALLOWED_SHARE));
        Self { images, allowed: allowed.min(images - 1), found: Mutex::default() }
    }

    pub(super) fn allowed(&self) -> usize {
        self.allowed
    }

    pub(super) fn count(&self) -> usize {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).indices.len()
    }

    pub(super) fn report(&self, index: usize, describe: impl FnOnce() -> String) -> Result<(), DataError> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.indices.insert(index) {
            let description = describe();
            tracing::warn!("skipped an unreadable image: {description}");
            if found.indices.len() == 1 {
                found.first = description;
            }
        }
        let count = found.indices.len();
        if count <= self.allowed {
            return Ok(());
        }
        let first = found.first.clone();
        Err(DataError::TooManyUnreadable { count, images: self.images, allowed: self.allowed, first })
    }
}

#[cfg(test)]
mod tests {
    use super::Unreadable;

    #[test]
    fn one_of_a_hundred_and_at_least_ten_are_allowed() {
        assert_eq!(Unreadable::new(50_000, None).allowed(), 500);
        assert_eq!(Unreadable::new(200, None).allowed(), 10);
        assert_eq!(Unreadable::new(200, Some(3)).allowed(), 3);
    }

    #[test]
    fn a_set_without_a_readable_image_is_never_allowed() {
        assert_eq!(Unreadable::new(5, None).allowed(), 4);
        assert_eq!(Unreadable::new(1, Some(100)).allowed(), 0);
    }

    #[test]
    fn an_image_counts_once_and_the_first_is_named() {
        let unreadable = Unreadable::new(100, Some(1));
        unreadable.report(7, || "seven".into()).expect("one is allowed");
        unreadable.report(7, || "seven again".into()).expect("still one");
        let error = unreadable.report(3, || "three".into()).expect_err("two are not").to_string();
        assert_eq!(
            error,
            "2 of 100 images cannot be read, more than the 1 that are skipped; the first is seven"
        );
    }
}
