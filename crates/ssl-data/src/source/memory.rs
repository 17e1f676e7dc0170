use std::sync::Arc;

use super::ImageSource;
use crate::{Image, ReadError};

/// Images that are already decoded.
pub(crate) struct Memory {
    images: Vec<Arc<Image>>,
}

impl Memory {
    pub(crate) fn new(images: Vec<Image>) -> Self {
        Self { images: images.into_iter().map(Arc::new).collect() }
    }
}

impl ImageSource for Memory {
    fn count(&self) -> usize {
        self.images.len()
    }

    fn image(&self, index: usize) -> Result<Arc<Image>, ReadError> {
        Ok(Arc::clone(&self.images[index]))
    }

    fn name(&self, index: usize) -> String {
        format!("image {index} in memory")
    }
}
