//! Measures the training loader: images per second with one and with two workers, as one JSON object.
//!
//! ```text
//! cargo run --release -p ssl-data --example loader_throughput -- [VIEW_SIZE [DATA_PATH]]
//! ```
//!
//! Views are SimCLR's, two of each image, `VIEW_SIZE` pixels wide (default 32). Without `DATA_PATH` the images are
//! random pixels in memory, as large as the views; with it, the images of that data set, decoded beforehand, and
//! the rate of reading and decoding on one thread is measured too. Both worker counts are measured in turn; the
//! figures are medians of the rounds, the ratio is the median of the rounds' ratios.
#![allow(clippy::print_stdout)] // The result.

use std::{error::Error, sync::Arc, time::Instant};

use ssl_data::{
    Dataset, DatasetOptions, Image, LoaderConfig, Normalization, OpConfig, TrainLoader, ViewConfig, Views,
};

const ROUNDS: usize = 5;
const IMAGES_PER_ROUND: usize = 4096;
const BATCH_SIZE: usize = 64;
const LIMIT: usize = 2048;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let size: usize = arguments.next().map_or(Ok(32), |size| size.parse())?;
    let (images, decoded_per_s) = match arguments.next() {
        Some(path) => decoded(&path)?,
        None => (random_images(size), None),
    };
    let dataset = Arc::new(Dataset::from_images(images, None));
    // A view of 224 pixels costs as much as fifty of 32.
    let batches = (IMAGES_PER_ROUND * 32 * 32 / (size * size)).div_ceil(BATCH_SIZE).max(4);

    let (mut one, mut two, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        one.push(images_per_s(&dataset, size, 1, batches)?);
        two.push(images_per_s(&dataset, size, 2, batches)?);
        ratios.push(two[two.len() - 1] / one[one.len() - 1]);
    }
    println!(
        "{{\"view_size\": {size}, \"batch_size\": {BATCH_SIZE}, \"images_per_round\": {}, \
         \"images_per_s_1_worker\": {:.1}, \"images_per_s_2_workers\": {:.1}, \"ratio\": {:.3}, \
         \"decoded_per_s\": {}}}",
        batches * BATCH_SIZE,
        median(one),
        median(two),
        median(ratios),
        decoded_per_s.map_or("null".into(), |rate: f64| format!("{rate:.1}")),
    );
    Ok(())
}

/// The first images of a data set, and how many a second were read and decoded on this thread.
fn decoded(path: &str) -> Result<(Vec<Image>, Option<f64>), Box<dyn Error>> {
    let options = DatasetOptions { limit: Some(LIMIT), cache_bytes: 0, ..DatasetOptions::default() };
    let dataset = Dataset::open_with(path, &options)?;
    let start = Instant::now();
    let images = (0..dataset.len()).map(|index| dataset.image(index)).collect::<Result<Vec<_>, _>>()?;
    let rate = images.len() as f64 / start.elapsed().as_secs_f64();
    Ok((images.into_iter().map(Arc::unwrap_or_clone).collect(), Some(rate)))
}

fn random_images(size: usize) -> Vec<Image> {
    let mut state = 1u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..256).map(|_| Image::new(size, size, (0..3 * size * size).map(|_| byte()).collect())).collect()
}

/// The views of SimCLR: blur, which the paper drops for CIFAR, from 64 pixels on.
fn simclr_views(size: usize) -> ViewConfig {
    let mut ops = vec![
        OpConfig::RandomResizedCrop {
            scale: [0.08, 1.0],
            ratio: [0.75, 4.0 / 3.0],
            interpolation: Default::default(),
        },
        OpConfig::HorizontalFlip { p: 0.5 },
        OpConfig::ColorJitter { p: 0.8, brightness: 0.8, contrast: 0.8, saturation: 0.8, hue: 0.2 },
        OpConfig::Grayscale { p: 0.2 },
    ];
    if size >= 64 {
        ops.push(OpConfig::GaussianBlur { p: 0.5, sigma: [0.1, 2.0], kernel_size: None });
    }
    ViewConfig { count: 2, size, ops }
}

fn images_per_s(
    dataset: &Arc<Dataset>,
    size: usize,
    workers: usize,
    batches: usize,
) -> Result<f64, Box<dyn Error>> {
    let views = Views::new(&[simclr_views(size)], Normalization::CIFAR10)?;
    let config = LoaderConfig { batch_size: BATCH_SIZE, workers };
    let loader = TrainLoader::new(Arc::clone(dataset), views, 0, config)?;
    let mut stream = loader.batches(0, 0)?;
    let warm_up = 3;
    stream.by_ref().take(warm_up).collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    for batch in stream.take(batches) {
        std::hint::black_box(batch?);
    }
    Ok((batches * BATCH_SIZE) as f64 / start.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
