//! Dropping the batches ends the loader's threads. Alone in its file: it counts the threads of the process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // A test.

mod common;

use std::{fs, sync::Arc, thread::sleep, time::Duration};

use ssl_data::{Dataset, LoaderConfig, Normalization, TrainLoader, ViewConfig, Views};

fn loader_threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.starts_with("ssl-data")).count()
}

#[test]
fn dropping_the_batches_ends_the_threads() {
    let dataset = Arc::new(Dataset::from_images(common::images(64, 8), None));
    let views = [ViewConfig { count: 2, size: 8, ops: vec![] }];
    let views = Views::new(&views, Normalization::CIFAR10).unwrap();
    let loader = TrainLoader::new(dataset, views, 0, LoaderConfig { batch_size: 16, workers: 3 }).unwrap();
    for taken in [0, 1, 5] {
        let mut batches = loader.batches(0, 0).unwrap();
        (0..taken).for_each(|_| drop(batches.next().unwrap().unwrap()));
        assert!(taken == 0 || loader_threads() > 0, "the threads are found by their names");
        drop(batches);
        // The kernel lists a thread for a moment after it was joined.
        let ended = (0..1000).any(|_| {
            sleep(Duration::from_millis(10));
            loader_threads() == 0
        });
        assert!(ended, "{} threads are left", loader_threads());
    }
}
