use std::{
    mem::MaybeUninit,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Batches, LoaderConfig, order,
    pipeline::{BatchPlan, Task},
};
use crate::{DataError, Dataset, Image, MaskConfig, MaskError, MaskKey, Masks, SampleKey, Scratch, Views};

/// Batches of augmented views for training: full batches in a new order each epoch.
///
/// - The order of an epoch depends on `(seed, epoch)` alone, a view on `(seed, epoch, image, view)` alone: the
///   bytes are the same for any number of workers, and for a run that starts in the middle.
/// - The images that do not fill a last batch are left out of their epoch.
/// - An image that cannot be read is replaced by the next readable one of the data set, after the last one by
///   the first; [`Batch::indices`](crate::Batch::indices) and the labels are those of the replacement, its
///   random numbers those of the replaced image. [`DatasetOptions`](crate::DatasetOptions) says how many.
/// - [Masks](Self::with_masks) are drawn for the whole batch and depend on `(seed, number of the batch, images)` alone. A
///   process that loads its [share](Self::with_share) of each batch has the images, views and masks that the whole
///   batch has at these places.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use ssl_data::{Dataset, Image, LoaderConfig, Normalization, OpConfig, TrainLoader, ViewConfig, Views};
///
/// let images = (0..10).map(|grey| Image::new(8, 8, vec![grey; 192])).collect();
/// let dataset = Arc::new(Dataset::from_images(images, None));
/// let views = [ViewConfig { count: 2, size: 8, ops: vec![OpConfig::HorizontalFlip { p: 0.5 }] }];
/// let views = Views::new(&views, Normalization::CIFAR10)?;
///
/// let config = LoaderConfig { batch_size: 4, workers: 2 };
/// let loader = TrainLoader::new(dataset, views, 42, config)?;
/// assert_eq!(loader.batches_per_epoch(), 2);
/// for batch in loader.batches(0, 0)?.take(3) {
///     let batch = batch?;
///     println!("epoch {} batch {}: images {:?}", batch.epoch, batch.index, batch.indices);
///     assert_eq!(batch.views.len(), 2);
///     assert_eq!(batch.views[0].data.len(), 4 * 3 * 8 * 8);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TrainLoader {
    dataset: Arc<Dataset>,
    task: Arc<Training>,
    workers: usize,
}

impl TrainLoader {
    /// `seed` is the seed of the run.
    ///
    /// # Errors
    /// If a number of `config` is 0, or a batch is larger than the data set.
    pub fn new(
        dataset: Arc<Dataset>,
        views: Views,
        seed: u64,
        config: LoaderConfig,
    ) -> Result<Self, DataError> {
        config.validate()?;
        let (batch_size, images) = (config.batch_size, dataset.len());
        if batch_size > images {
            return Err(DataError::BatchTooLarge { batch_size, images });
        }
        let (masks, share) = (None, Share { rank: 0, of: 1 });
        let task = Training { views, masks, seed, batch_size, share, images, order: Arc::default() };
        Ok(Self { dataset, task: Arc::new(task), workers: config.workers })
    }

    /// Gives each batch the masks of its views: [`Batch::masks`](crate::Batch::masks).
    ///
    /// `grids` has the rows and columns of the patches of each view: the view's size divided by the size of a patch. The
    /// views stay as they are.
    ///
    /// # Errors
    /// If there is not one grid for each view, or the masks do not fit the views.
    pub fn with_masks(mut self, config: MaskConfig, grids: &[[usize; 2]]) -> Result<Self, MaskError> {
        let (found, expected) = (grids.len(), self.task.views.len());
        if found != expected {
            return Err(MaskError::GridCount { found, expected });
        }
        self.task = Arc::new(Training { masks: Some(Masks::new(config, grids)?), ..(*self.task).clone() });
        Ok(self)
    }

    /// Loads part `rank` of `of` equal parts of each batch, for one of several processes that train together.
    ///
    /// `batch_size` remains that of the whole batch. The parts lie one behind the other: part 0 is the beginning.
    ///
    /// # Errors
    /// If `of` is 0, the batch does not divide into `of` parts, or it has no part `rank`.
    pub fn with_share(mut self, rank: usize, of: usize) -> Result<Self, DataError> {
        let batch_size = self.task.batch_size;
        if of == 0 {
            return Err(DataError::Zero { field: "of" });
        }
        if rank >= of {
            return Err(DataError::Rank { rank, of });
        }
        if !batch_size.is_multiple_of(of) {
            return Err(DataError::Share { batch_size, of });
        }
        self.task = Arc::new(Training { share: Share { rank, of }, ..(*self.task).clone() });
        Ok(self)
    }

    /// Full batches in an epoch, at least 1.
    pub fn batches_per_epoch(&self) -> usize {
        self.task.batches_per_epoch()
    }

    /// The data set that the batches come from.
    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    /// Starts worker threads at batch `batch` of epoch `epoch` and goes on through the epochs without an end.
    ///
    /// A `batch` past the end of the epoch counts on into the following ones.
    ///
    /// # Errors
    /// If no threads can be started. The iterator yields an error and ends where too many images are unreadable
    /// or a worker panicked.
    pub fn batches(&self, epoch: u64, batch: usize) -> Result<Batches, DataError> {
        let first = epoch * self.batches_per_epoch() as u64 + batch as u64;
        Batches::start(&self.dataset, &self.task, self.workers, first)
    }
}

#[derive(Clone)]
struct Training {
    views: Views,
    masks: Option<Masks>,
    seed: u64,
    /// Images of a whole batch.
    batch_size: usize,
    share: Share,
    images: usize,
    order: Arc<Mutex<LastOrder>>,
}

/// The epoch that was last asked for, and its order.
type LastOrder = Option<(u64, Arc<[usize]>)>;

/// Part `rank` of `of` equal parts of a batch.
#[derive(Clone, Copy)]
struct Share {
    rank: usize,
    of: usize,
}

impl Training {
    fn batches_per_epoch(&self) -> usize {
        self.images / self.batch_size
    }

    fn order(&self, epoch: u64) -> Arc<[usize]> {
        let mut last = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, order)) if *known == epoch => Arc::clone(order),
            _ => {
                let order: Arc<[usize]> = order::epoch_order(self.images, self.seed, epoch).into();
                *last = Some((epoch, Arc::clone(&order)));
                order
            }
        }
    }
}

impl Task for Training {
    const REPLACES: bool = true;

    fn plan(&self, number: u64) -> Option<BatchPlan> {
        let per_epoch = self.batches_per_epoch() as u64;
        let (epoch, index) = (number / per_epoch, (number % per_epoch) as usize);
        let order = self.order(epoch);
        let batch = &order[index * self.batch_size..][..self.batch_size];
        let images = self.batch_size / self.share.of;
        let first = self.share.rank * images;
        let masks = self.masks.as_ref().map(|masks| {
            let samples: Vec<u64> = batch.iter().map(|&sample| sample as u64).collect();
            masks.draw(MaskKey { seed: self.seed, step: number }, &samples).narrow(first, images)
        });
        Some(BatchPlan { epoch, index, samples: batch[first..first + images].to_vec(), masks })
    }

    fn view_sizes(&self) -> Vec<usize> {
        (0..self.views.len()).map(|view| self.views.size(view)).collect()
    }

    fn render(
        &self,
        image: &Image,
        epoch: u64,
        sample: usize,
        scratch: &mut Scratch,
        views: &mut [&mut [MaybeUninit<f32>]],
    ) {
        let key = SampleKey { seed: self.seed, epoch, sample: sample as u64 };
        for (view, out) in views.iter_mut().enumerate() {
            self.views.render_to(image, key, view, scratch, out);
        }
    }
}
