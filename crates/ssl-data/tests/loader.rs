//! What the loaders yield depends on data, seed and place in the run, and every failure reaches the caller.
#![allow(clippy::unwrap_used)] // Tests.

mod common;

use std::{
    fs,
    io::Write,
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{images, ppm, write};
use ssl_data::{
    Batch, DataError, Dataset, DatasetOptions, EvalLoader, EvalTransform, Image, ImageSource, LoaderConfig,
    Normalization, OpConfig, ReadError, SampleKey, Scratch, TrainLoader, ViewConfig, Views,
};
use tempfile::tempdir;

/// Two views of 8 pixels and one of 4, all random.
fn views() -> Views {
    let ops = || {
        vec![
            OpConfig::RandomResizedCrop {
                scale: [0.2, 1.0],
                ratio: [0.75, 1.33],
                interpolation: Default::default(),
            },
            OpConfig::HorizontalFlip { p: 0.5 },
            OpConfig::ColorJitter { p: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 },
        ]
    };
    let blocks = [ViewConfig { count: 2, size: 8, ops: ops() }, ViewConfig { count: 1, size: 4, ops: ops() }];
    Views::new(&blocks, Normalization::CIFAR10).unwrap()
}

fn transform() -> EvalTransform {
    EvalTransform::new(2, Normalization::CIFAR10).unwrap()
}

fn config(batch_size: usize, workers: usize) -> LoaderConfig {
    LoaderConfig { batch_size, workers }
}

fn made(count: usize) -> Arc<Dataset> {
    let labels = (0..count as i64).map(|label| label % 3).collect();
    Arc::new(Dataset::from_images(images(count, 12), Some(labels)))
}

fn train(dataset: &Arc<Dataset>, batch_size: usize, workers: usize) -> TrainLoader {
    TrainLoader::new(Arc::clone(dataset), views(), 5, config(batch_size, workers)).unwrap()
}

fn take(loader: &TrainLoader, epoch: u64, batch: usize, count: usize) -> Vec<Batch> {
    loader.batches(epoch, batch).unwrap().take(count).map(Result::unwrap).collect()
}

#[test]
fn the_bytes_are_the_same_for_any_number_of_workers() {
    let dataset = made(23);
    let expected = take(&train(&dataset, 5, 1), 0, 0, 10);
    for workers in [2, 7] {
        assert!(take(&train(&dataset, 5, workers), 0, 0, 10) == expected, "{workers} workers");
    }
}

#[test]
fn a_run_that_starts_in_the_middle_has_the_same_batches() {
    let dataset = made(23);
    let loader = train(&dataset, 5, 2);
    assert_eq!(loader.batches_per_epoch(), 4);
    let whole = take(&loader, 0, 0, 12);
    assert!(take(&loader, 1, 2, 6) == whole[6..]);
    assert!(take(&loader, 0, 6, 6) == whole[6..], "batches past the end of an epoch count on");
    assert_eq!((whole[6].epoch, whole[6].index), (1, 2));
}

#[test]
fn an_epoch_has_every_image_once_but_for_the_rest() {
    let dataset = made(23);
    let batches = take(&train(&dataset, 5, 2), 0, 0, 8);
    let epoch = |range: std::ops::Range<usize>| {
        let mut seen: Vec<_> = batches[range].iter().flat_map(|batch| batch.indices.clone()).collect();
        let order = seen.clone();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 20);
        order
    };
    assert_ne!(epoch(0..4), epoch(4..8));
}

#[test]
fn every_row_is_the_view_of_its_image() {
    let dataset = made(10);
    let (views, mut scratch) = (views(), Scratch::new());
    for batch in take(&train(&dataset, 4, 2), 3, 0, 2) {
        assert_eq!(batch.views.iter().map(|view| view.size).collect::<Vec<_>>(), [8, 8, 4]);
        for (row, &index) in batch.indices.iter().enumerate() {
            assert_eq!(batch.labels.as_ref().unwrap()[row], index as i64 % 3);
            let image = dataset.image(index as usize).unwrap();
            for (view, found) in batch.views.iter().enumerate() {
                let mut expected = vec![0.0; 3 * found.size * found.size];
                let key = SampleKey { seed: 5, epoch: 3, sample: index };
                views.render(&image, key, view, &mut scratch, &mut expected);
                assert!(found.data.chunks(expected.len()).nth(row).unwrap() == expected);
            }
        }
    }
}

#[test]
fn evaluation_is_in_order_and_keeps_the_last_short_batch() {
    let dataset = made(7);
    let loader = EvalLoader::new(Arc::clone(&dataset), transform(), config(3, 2)).unwrap();
    let batches: Vec<_> = loader.batches().unwrap().map(Result::unwrap).collect();
    let indices: Vec<_> = batches.iter().map(|batch| batch.indices.clone()).collect();
    assert_eq!(indices, [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    assert_eq!(batches[2].labels, Some(vec![0]));
    let mut expected = vec![0.0; 12];
    transform().render(&dataset.image(6).unwrap(), &mut Scratch::new(), &mut expected);
    assert_eq!(batches[2].views[0].data, expected);

    let at_once = EvalLoader::new(dataset, transform(), config(100, 2)).unwrap();
    assert_eq!(at_once.batches().unwrap().next().unwrap().unwrap().len(), 7);
}

/// A folder of `count` images of which those in `bad` are cut JPEG files.
fn folder_with_bad(root: &Path, count: usize, bad: &[usize]) {
    let jpeg = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images/rgb.jpg")).unwrap();
    for index in 0..count {
        let bytes = if bad.contains(&index) { jpeg[..jpeg.len() - 20].to_vec() } else { ppm(index as u8) };
        write(root, &[(&format!("{index:03}.jpg"), bytes)]);
    }
}

#[test]
fn an_unreadable_image_is_named_and_replaced_by_the_next_one() {
    let folder = tempdir().unwrap();
    folder_with_bad(folder.path(), 12, &[4, 5, 11]);
    let run = |workers| {
        let dataset = Arc::new(Dataset::open(folder.path()).unwrap());
        let log = Log::default();
        let batches = log.collect(|| take(&train(&dataset, 4, workers), 0, 0, 6));
        assert_eq!(dataset.unreadable(), 3);
        (batches, log.text())
    };
    let (batches, log) = run(1);
    assert!(batches.iter().all(|batch| batch.len() == 4));
    let mut first_epoch: Vec<_> = batches[..3].iter().flat_map(|batch| batch.indices.clone()).collect();
    first_epoch.sort_unstable();
    assert_eq!(first_epoch, [0, 0, 1, 2, 3, 6, 6, 6, 7, 8, 9, 10]);
    for name in ["004.jpg: it is not a readable JPEG file: it breaks off", "005.jpg", "011.jpg"] {
        assert_eq!(log.matches(name).count(), 1, "{log}");
    }
    assert!(run(3) == (batches, log));
}

#[test]
fn an_unreadable_image_is_left_out_of_evaluation() {
    let folder = tempdir().unwrap();
    folder_with_bad(folder.path(), 7, &[1, 3, 4, 5]);
    let dataset = Arc::new(Dataset::open(folder.path()).unwrap());
    let loader = EvalLoader::new(dataset, transform(), config(3, 2)).unwrap();
    let batches: Vec<_> = loader.batches().unwrap().map(Result::unwrap).collect();
    let indices: Vec<_> = batches.iter().map(|batch| batch.indices.clone()).collect();
    assert_eq!(indices, [vec![0, 2], vec![6]], "a batch without any image is left out");
    let mut expected = vec![0.0; 12];
    let two = Image::new(2, 2, vec![2; 12]);
    transform().render(&two, &mut Scratch::new(), &mut expected);
    assert_eq!(batches[0].views[0].data[12..], expected);
}

#[test]
fn too_many_unreadable_images_end_the_run() {
    let folder = tempdir().unwrap();
    folder_with_bad(folder.path(), 8, &[2, 3, 5]);
    let options = DatasetOptions { max_unreadable: Some(2), ..DatasetOptions::default() };
    let dataset = Arc::new(Dataset::open_with(folder.path(), &options).unwrap());
    let mut batches = EvalLoader::new(dataset, transform(), config(4, 2)).unwrap().batches().unwrap();
    assert_eq!(batches.next().unwrap().unwrap().indices, [0, 1]);
    let error = batches.next().unwrap().unwrap_err().to_string();
    assert!(error.starts_with("3 of 8 images cannot be read, more than the 2 that are skipped"), "{error}");
    assert!(error.contains("002.jpg"), "{error}");
    assert!(batches.next().is_none());
}

#[test]
fn a_set_without_one_readable_image_is_an_error() {
    let folder = tempdir().unwrap();
    folder_with_bad(folder.path(), 3, &[0, 1, 2]);
    let dataset = Arc::new(Dataset::open(folder.path()).unwrap());
    let error = train(&dataset, 2, 2).batches(0, 0).unwrap().next().unwrap().unwrap_err();
    assert!(matches!(error, DataError::TooManyUnreadable { count: 3, images: 3, .. }), "{error}");
}

#[test]
fn impossible_configurations_are_errors() {
    let new = |batch_size, workers| {
        let loader = TrainLoader::new(made(3), views(), 0, config(batch_size, workers));
        loader.map(drop).unwrap_err().to_string()
    };
    assert_eq!(new(4, 1), "a batch of 4 images is larger than the data set of 3 images");
    assert_eq!(new(0, 1), "batch_size is 0, expected at least 1");
    assert_eq!(new(1, 0), "workers is 0, expected at least 1");
    assert!(new(1, 100_000).starts_with("workers is 100000, expected at most 1024"));
    let eval = EvalLoader::new(made(3), transform(), config(2, 0)).map(drop);
    assert!(matches!(eval, Err(DataError::Zero { field: "workers" })));
}

/// A source of `count` images that does `work` before each.
struct Source<F> {
    count: usize,
    work: F,
}

impl<F: Fn(usize) + Send + Sync> ImageSource for Source<F> {
    fn count(&self) -> usize {
        self.count
    }

    fn image(&self, index: usize) -> Result<Arc<Image>, ReadError> {
        (self.work)(index);
        Ok(Arc::new(Image::new(2, 2, vec![index as u8; 12])))
    }

    fn name(&self, index: usize) -> String {
        index.to_string()
    }
}

fn source(count: usize, work: impl Fn(usize) + Send + Sync + 'static) -> Arc<Dataset> {
    let options = DatasetOptions { cache_bytes: 0, ..DatasetOptions::default() };
    Arc::new(Dataset::from_source(Box::new(Source { count, work }), None, None, &options).unwrap())
}

#[test]
fn a_panic_in_a_worker_is_an_error_and_the_end() {
    let dataset = source(8, |index| assert!(index != 5, "no image five"));
    let mut batches = EvalLoader::new(dataset, transform(), config(2, 2)).unwrap().batches().unwrap();
    assert!(batches.next().unwrap().is_ok());
    assert!(batches.next().unwrap().is_ok());
    let error = batches.next().unwrap().unwrap_err().to_string();
    assert_eq!(error, "a worker thread of the loader panicked: no image five");
    assert!(batches.next().is_none());
}

#[test]
fn at_most_two_batches_are_made_ahead() {
    let read = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&read);
    let dataset = source(100, move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let mut batches = train(&dataset, 10, 2).batches(0, 0).unwrap();
    for taken in 1..=5 {
        batches.next().unwrap().unwrap();
        std::thread::sleep(Duration::from_millis(20)); // Time to run too far ahead.
        assert!(read.load(Ordering::SeqCst) <= 10 * (taken + 2));
    }
}

#[test]
fn the_images_of_one_batch_are_shared_by_the_workers() {
    let inside = Arc::new((Mutex::new(0), Condvar::new()));
    let dataset = source(2, move |_| {
        let (count, changed) = &*inside;
        let mut count = count.lock().unwrap();
        *count += 1;
        changed.notify_all();
        let both = changed.wait_timeout_while(count, Duration::from_secs(30), |count| *count < 2).unwrap();
        assert!(!both.1.timed_out(), "the second worker never came");
    });
    let loader = EvalLoader::new(dataset, transform(), config(2, 2)).unwrap();
    assert_eq!(loader.batches().unwrap().next().unwrap().unwrap().len(), 2);
}

/// The log of the calling thread as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn collect<T>(&self, run: impl FnOnce() -> T) -> T {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || log.clone())
            .without_time()
            .with_ansi(false)
            .finish();
        // A test beside this one may come by the same events while nobody listens to them; somebody always does.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
        tracing::subscriber::with_default(subscriber, || {
            tracing::callsite::rebuild_interest_cache();
            run()
        })
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
