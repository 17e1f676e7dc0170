use std::{mem::MaybeUninit, ops::Range, sync::Arc};

use super::{
    Batches, LoaderConfig,
    pipeline::{BatchPlan, Task},
};
use crate::{DataError, Dataset, EvalTransform, Image, Scratch};

/// Batches for evaluation: every image once, in the data set's order, as one view without chance.
///
/// The last batch may be shorter. An image that cannot be read is left out, so that its batch is shorter too;
/// [`Batch::indices`](crate::Batch::indices) says which images came. [`DatasetOptions`](crate::DatasetOptions)
/// says how many.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use ssl_data::{Dataset, EvalLoader, EvalTransform, Image, LoaderConfig, Normalization};
///
/// let images = (0..5).map(|grey| Image::new(8, 8, vec![grey; 192])).collect();
/// let dataset = Arc::new(Dataset::from_images(images, Some(vec![0, 1, 0, 1, 0])));
/// let transform = EvalTransform::new(8, Normalization::CIFAR10)?;
/// let loader = EvalLoader::new(dataset, transform, LoaderConfig { batch_size: 4, workers: 1 })?;
///
/// let batches = loader.batches()?.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(batches[0].indices, [0, 1, 2, 3]);
/// assert_eq!(batches[1].labels, Some(vec![0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EvalLoader {
    dataset: Arc<Dataset>,
    task: Arc<Evaluation>,
    workers: usize,
}

impl EvalLoader {
    /// The batch size may be larger than the data set.
    ///
    /// # Errors
    /// If a number of `config` is 0.
    pub fn new(
        dataset: Arc<Dataset>,
        transform: EvalTransform,
        config: LoaderConfig,
    ) -> Result<Self, DataError> {
        config.validate()?;
        let task = Evaluation { transform, batch_size: config.batch_size, images: 0..dataset.len() };
        Ok(Self { dataset, task: Arc::new(task), workers: config.workers })
    }

    /// The data set that the batches come from.
    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// Starts worker threads at the first image; the iterator ends after the last one.
    ///
    /// # Errors
    /// If no threads can be started. The iterator yields an error and ends where too many images are unreadable
    /// or a worker panicked.
    pub fn batches(&self) -> Result<Batches, DataError> {
        self.batches_of_part(0, 1)
    }

    /// [`batches`](Self::batches) of the `rank`-th of `of` parts of the images, which are as long as each other, give or take one.
    /// The parts in their order are all images in their order.
    ///
    /// # Errors
    /// Those of [`batches`](Self::batches), and if `rank` is not below `of`.
    pub fn batches_of_part(&self, rank: usize, of: usize) -> Result<Batches, DataError> {
        if rank >= of {
            return Err(DataError::Rank { rank, of });
        }
        let images = self.dataset.len();
        let images = rank * images / of..(rank + 1) * images / of;
        let task = Evaluation { images, ..(*self.task).clone() };
        Batches::start(&self.dataset, &Arc::new(task), self.workers, 0)
    }
}

#[derive(Clone)]
struct Evaluation {
    transform: EvalTransform,
    batch_size: usize,
    images: Range<usize>,
}

impl Task for Evaluation {
    const REPLACES: bool = false;

    fn plan(&self, number: u64) -> Option<BatchPlan> {
        let index = number as usize;
        let start = self.images.start + index * self.batch_size;
        let samples = start..self.images.end.min(start + self.batch_size);
        (start < self.images.end).then(|| BatchPlan {
            epoch: 0,
            index,
            samples: samples.collect(),
            masks: None,
        })
    }

    fn view_sizes(&self) -> Vec<usize> {
        vec![self.transform.size()]
    }

    fn render(
        &self,
        image: &Image,
        _epoch: u64,
        _sample: usize,
        scratch: &mut Scratch,
        views: &mut [&mut [MaybeUninit<f32>]],
    ) {
        self.transform.render_to(image, scratch, views[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Normalization;

    #[test]
    fn parts_are_all_images_in_their_order() {
        let images = (0..7).map(|grey| Image::new(2, 2, vec![grey; 12])).collect();
        let transform = EvalTransform::new(2, Normalization::CIFAR10).expect("a usable transform");
        let config = LoaderConfig { batch_size: 2, workers: 1 };
        let loader = EvalLoader::new(Arc::new(Dataset::from_images(images, None)), transform, config)
            .expect("usable numbers");
        let part = |rank, of| -> Vec<u64> {
            let batches = loader.batches_of_part(rank, of).expect("threads start");
            batches.flat_map(|batch| batch.expect("readable").indices).collect()
        };
        for of in [1, 2, 3, 7, 9] {
            let parts: Vec<_> = (0..of).map(|rank| part(rank, of)).collect();
            assert_eq!(parts.concat(), [0, 1, 2, 3, 4, 5, 6], "{of} parts");
            assert!(parts.iter().all(|part| part.len().abs_diff(7 / of) <= 1), "{parts:?}");
        }
        assert!(matches!(loader.batches_of_part(2, 2), Err(DataError::Rank { rank: 2, of: 2 })));
    }
}
