use std::{
    any::Any,
    cell::RefCell,
    mem::MaybeUninit,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use rayon::prelude::*;

use super::{Batch, ViewBatch, workers::Workers};
use crate::{DataError, Dataset, Image, MaskBatch, ReadError, Scratch};

/// Batches in the making at any time. With one, workers would wait for the slowest image of every batch; with
/// two, they go on with the next batch.
const IN_THE_MAKING: usize = 2;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// What sets training and evaluation apart.
pub(super) trait Task: Send + Sync + 'static {
    /// Whether the next readable image takes the place of an unreadable one; otherwise the batch is shorter.
    const REPLACES: bool;

    /// Batch `number` of the run, `None` after the last one.
    fn plan(&self, number: u64) -> Option<BatchPlan>;

    /// Height and width of each view.
    fn view_sizes(&self) -> Vec<usize>;

    /// Writes all views of one image, every place of them. `sample` is the image that the plan names, which may have been replaced.
    fn render(
        &self,
        image: &Image,
        epoch: u64,
        sample: usize,
        scratch: &mut Scratch,
        views: &mut [&mut [MaybeUninit<f32>]],
    );
}

/// What a batch is made of.
pub(super) struct BatchPlan {
    pub(super) epoch: u64,
    pub(super) index: usize,
    /// The images.
    pub(super) samples: Vec<usize>,
    pub(super) masks: Option<MaskBatch>,
}

/// Batches in order, made ahead of time by worker threads.
///
/// At most two batches are finished or in the making beside the one that the caller holds. The iterator ends
/// after its first error. Dropping it stops the threads and waits until they have ended.
pub struct Batches {
    dataset: Arc<Dataset>,
    /// One for each batch in the making, in turn; empty after the end.
    receivers: Vec<Receiver<Result<Made, DataError>>>,
    turn: usize,
    drivers: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Batches {
    /// Starts at batch `first` of the task.
    pub(super) fn start<T: Task>(
        dataset: &Arc<Dataset>,
        task: &Arc<T>,
        workers: usize,
        first: u64,
    ) -> Result<Self, DataError> {
        let workers = Arc::new(Workers::start(workers)?);
        let (dataset, stop) = (Arc::clone(dataset), Arc::new(AtomicBool::new(false)));
        let mut batches = Self { dataset, receivers: Vec::new(), turn: 0, drivers: Vec::new(), stop };
        for lane in 0..IN_THE_MAKING {
            let maker = Maker {
                dataset: Arc::clone(&batches.dataset),
                task: Arc::clone(task),
                workers: Arc::clone(&workers),
                stop: Arc::clone(&batches.stop),
            };
            batches.add_driver(maker, first, lane)?;
        }
        Ok(batches)
    }

    /// Starts the thread that sees to every second batch, from `first + lane` on.
    fn add_driver<T: Task>(&mut self, maker: Maker<T>, first: u64, lane: usize) -> Result<(), DataError> {
        let (sender, receiver) = sync_channel(0);
        let numbers = (first + lane as u64..).step_by(IN_THE_MAKING);
        let driver = thread::Builder::new()
            .name(format!("ssl-data-batches-{lane}"))
            .spawn(move || maker.drive(numbers, &sender))
            .map_err(DataError::Threads)?;
        self.receivers.push(receiver);
        self.drivers.push(driver);
        Ok(())
    }

    /// Names the unreadable images in the order of the batches, whichever thread met them first.
    fn report(&self, made: Made) -> Result<Batch, DataError> {
        for (index, error) in &made.unreadable {
            self.dataset.report_unreadable(*index, error)?;
        }
        Ok(made.batch)
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let received = self.receivers.get(self.turn)?.recv();
            self.turn = (self.turn + 1) % IN_THE_MAKING;
            let result = received.ok().map(|made| made.and_then(|made| self.report(made)));
            match &result {
                Some(Ok(batch)) if batch.indices.is_empty() => continue,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => self.receivers.clear(),
            }
            return result;
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.receivers.clear();
        for driver in self.drivers.drain(..) {
            // A driver sends its panics; there is nobody left to tell.
            let _ = driver.join();
        }
    }
}

/// A finished batch and the images that could not be read for it.
struct Made {
    batch: Batch,
    unreadable: Vec<(usize, ReadError)>,
}

/// Makes batches in the worker threads.
struct Maker<T> {
    dataset: Arc<Dataset>,
    task: Arc<T>,
    workers: Arc<Workers>,
    stop: Arc<AtomicBool>,
}

/// What became of one image of a plan.
#[derive(Default)]
struct Row {
    /// The image in its place, `None` if there is none.
    image: Option<usize>,
    unreadable: Vec<(usize, ReadError)>,
}

impl<T: Task> Maker<T> {
    fn drive(&self, numbers: impl Iterator<Item = u64>, sender: &SyncSender<Result<Made, DataError>>) {
        for number in numbers {
            let made = catch_unwind(AssertUnwindSafe(|| self.task.plan(number).map(|plan| self.make(plan))));
            let made = match made {
                Ok(None) => return,
                Ok(Some(made)) => Ok(made),
                Err(panic) => Err(DataError::WorkerPanicked { message: panic_message(&*panic) }),
            };
            let failed = made.is_err();
            if sender.send(made).is_err() || failed {
                return;
            }
        }
    }

    fn make(&self, plan: BatchPlan) -> Made {
        let count = plan.samples.len();
        let mut views: Vec<_> =
            self.task.view_sizes().into_iter().map(|size| UnwrittenView::new(size, count)).collect();
        let rows: Vec<Row> = {
            let slots = rows_of(&mut views, count);
            let samples = plan.samples.par_iter();
            let rows = slots.into_par_iter().zip(samples).with_max_len(1);
            self.workers
                .run(|| rows.map(|(mut row, &sample)| self.fill(plan.epoch, sample, &mut row)).collect())
        };
        let views = views.into_iter().map(UnwrittenView::written).collect();
        self.finish(plan, views, rows)
    }

    /// Renders `sample`, or what replaces it, to `row`; writes every place of it.
    fn fill(&self, epoch: u64, sample: usize, row: &mut [&mut [MaybeUninit<f32>]]) -> Row {
        let mut made = Row::default();
        let tries = if T::REPLACES { self.dataset.max_unreadable() + 1 } else { 1 };
        for image in (sample..self.dataset.len()).chain(0..sample).take(tries) {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            match self.dataset.image(image) {
                Ok(pixels) => {
                    SCRATCH.with_borrow_mut(|scratch| self.task.render(&pixels, epoch, sample, scratch, row));
                    made.image = Some(image);
                    break;
                }
                Err(error) => made.unreadable.push((image, error)),
            }
        }
        if made.image.is_none() {
            row.iter_mut().for_each(|view| view.fill(MaybeUninit::new(0.0)));
        }
        made
    }

    fn finish(&self, plan: BatchPlan, mut views: Vec<ViewBatch>, rows: Vec<Row>) -> Made {
        let kept: Vec<usize> = (0..rows.len()).filter(|&row| rows[row].image.is_some()).collect();
        if kept.len() < rows.len() {
            views.iter_mut().for_each(|view| keep_rows(view, &kept));
        }
        let images: Vec<usize> = rows.iter().filter_map(|row| row.image).collect();
        let labels = self.dataset.labels().map(|labels| images.iter().map(|&image| labels[image]).collect());
        let indices = images.into_iter().map(|image| image as u64).collect();
        let BatchPlan { epoch, index, masks, .. } = plan;
        let batch = Batch { epoch, index, views, labels, indices, masks };
        Made { batch, unreadable: rows.into_iter().flat_map(|row| row.unreadable).collect() }
    }
}

/// Memory of one view of a batch that nothing was written to. To fill it with zeros first would be as much writing as
/// the views themselves, all by the one thread that prepares the batch.
struct UnwrittenView {
    size: usize,
    data: Box<[MaybeUninit<f32>]>,
}

impl UnwrittenView {
    fn new(size: usize, count: usize) -> Self {
        let values = [3, size, size].into_iter().try_fold(count, usize::checked_mul);
        let values =
            values.unwrap_or_else(|| panic!("{count} views of {size} x {size} pixels do not fit memory"));
        Self { size, data: Box::new_uninit_slice(values) }
    }

    /// Only for a view of which [`Maker::fill`] has had every row.
    #[expect(unsafe_code, reason = "the safe ways write every value twice")]
    fn written(self) -> ViewBatch {
        // SAFETY: `rows_of` cuts all of `data` into rows, and `fill` writes all of a row: a task renders every place of
        // it, and without an image it gets zeros. A panic on the way ends the batch before it comes here.
        let data = unsafe { self.data.assume_init() };
        ViewBatch { size: self.size, data: data.into_vec() }
    }
}

/// For each image the places of its views.
fn rows_of(views: &mut [UnwrittenView], count: usize) -> Vec<Vec<&mut [MaybeUninit<f32>]>> {
    let mut rows: Vec<Vec<_>> = (0..count).map(|_| Vec::with_capacity(views.len())).collect();
    for view in views {
        let places = view.data.chunks_exact_mut(3 * view.size * view.size);
        rows.iter_mut().zip(places).for_each(|(row, place)| row.push(place));
    }
    rows
}

/// Moves the rows `kept`, rising, to the front and drops the others.
fn keep_rows(view: &mut ViewBatch, kept: &[usize]) {
    let len = 3 * view.size * view.size;
    for (to, &from) in kept.iter().enumerate() {
        view.data.copy_within(from * len..(from + 1) * len, to * len);
    }
    view.data.truncate(kept.len() * len);
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests {
    use super::{UnwrittenView, ViewBatch, keep_rows};

    #[test]
    #[should_panic(expected = "do not fit memory")]
    fn a_product_that_overflows_makes_no_small_view() {
        let _ = UnwrittenView::new(1 << 31, 1 << 2);
    }

    #[test]
    fn kept_rows_move_to_the_front() {
        let row = |value: f32| [value; 3];
        let mut view = ViewBatch { size: 1, data: [0.0, 1.0, 2.0, 3.0].map(row).concat() };
        keep_rows(&mut view, &[1, 3]);
        assert_eq!(view.data, [1.0, 3.0].map(row).concat());
    }
}
