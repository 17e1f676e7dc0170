//! Measures the training loader, whose batches are dropped as they come, and prints one JSON object.
//!
//! ```text
//! cargo run --release -p ssl-data --example loader_throughput -- --size 32 --workers 1,2
//! cargo run --release -p ssl-data --example loader_throughput -- --size 224 --data photos.tar --decode always
//! ```
//!
//! Views are SimCLR's, two of each image, `--size` pixels wide; `--antialias false` makes them as OpenCV does. Without `--data` the images are random pixels in
//! memory, as large as the views; with it, those of a data set, decoded `once` beforehand or `always` anew. The worker
//! counts are measured in turn, `--rounds` times, on `--batches` batches of `--batch` images.
//!
//! Other programs on the machine slow all workers down, so two figures come without them (on Linux): `busy`, the share
//! of the time in which a worker ran or waited for a core, and `speedup_cpu`, the images per second of the last worker
//! count over the first that the used CPU time allows where each worker has a core and the loader's other threads
//! share these cores.
#![allow(clippy::print_stdout)] // The result.

#[path = "../measured/mod.rs"]
mod measured;
mod threads;

use std::{collections::BTreeMap, error::Error, sync::Arc, time::Instant};

use measured::{simclr_views, vectors};
use serde_json::{Value, json};
use ssl_data::{Dataset, DatasetOptions, Image, LoaderConfig, Normalization, TrainLoader, Views};
use threads::Times;

/// Batches before the measurement: the buffers of the threads have grown then.
const WARM_UP: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_arguments()?;
    let dataset = options.dataset()?;
    let mut all: Vec<Vec<Run>> = options.workers.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        for (runs, &workers) in all.iter_mut().zip(&options.workers) {
            runs.push(Run::measure(&dataset, &options, workers)?);
        }
    }
    let (first, last) = (&all[0], &all[all.len() - 1]);
    let ratio = |speed: fn(&Run) -> f64| median(first.iter().zip(last).map(|(a, b)| speed(b) / speed(a)));
    let rows: Vec<Value> =
        options.workers.iter().zip(&all).map(|(&workers, runs)| row(workers, runs)).collect();
    let result = json!({
        "view_size": options.size,
        "batch_size": options.batch,
        "images_per_round": options.batches * options.batch,
        "antialias": options.antialias,
        "vectors": vectors(),
        "runs": rows,
        "speedup": ratio(|run| run.images_per_s),
        "speedup_cpu": ratio(Run::possible_images_per_s),
    });
    println!("{result}");
    Ok(())
}

fn row(workers: usize, runs: &[Run]) -> Value {
    let list = |figure: fn(&Run) -> f64| runs.iter().map(figure).collect::<Vec<_>>();
    json!({
        "workers": workers,
        "images_per_s": list(|run| run.images_per_s),
        "busy": list(|run| run.busy),
        "worker_us_per_image": list(|run| run.worker_us),
        "other_us_per_image": list(|run| run.other_us),
        "cpu_us_per_image": list(|run| run.worker_us + run.other_us),
    })
}

/// What one run of the loader took.
struct Run {
    workers: usize,
    images_per_s: f64,
    /// Share of the time in which a worker ran or waited for a core; NaN where the system does not tell.
    busy: f64,
    /// CPU time of the workers, in microseconds per image.
    worker_us: f64,
    /// CPU time of the other threads of the program, in microseconds per image.
    other_us: f64,
}

impl Run {
    fn measure(dataset: &Arc<Dataset>, options: &Options, workers: usize) -> Result<Self, Box<dyn Error>> {
        let views = Views::new(&[simclr_views(options.size, options.antialias)], Normalization::CIFAR10)?;
        let config = LoaderConfig { batch_size: options.batch, workers };
        let loader = TrainLoader::new(Arc::clone(dataset), views, 0, config)?;
        let mut stream = loader.batches(0, 0)?;
        stream.by_ref().take(WARM_UP).collect::<Result<Vec<_>, _>>()?;
        let (start, before) = (Instant::now(), Times::now());
        for batch in stream.by_ref().take(options.batches) {
            std::hint::black_box(batch?);
        }
        let (seconds, times) = (start.elapsed().as_secs_f64(), Times::now() - before);
        let images = (options.batches * options.batch) as f64;
        Ok(Self {
            workers,
            images_per_s: images / seconds,
            busy: (times.workers_ran + times.workers_waited) / (seconds * workers as f64),
            worker_us: 1e6 * times.workers_ran / images,
            other_us: 1e6 * times.others_ran / images,
        })
    }

    /// Images per second where each worker has a core of its own that the other threads use too; one worker has all
    /// of a core, because the others find a second one.
    fn possible_images_per_s(&self) -> f64 {
        let others = if self.workers == 1 { 0.0 } else { self.other_us };
        1e6 * self.workers as f64 / (self.worker_us + others)
    }
}

struct Options {
    size: usize,
    batch: usize,
    batches: usize,
    rounds: usize,
    workers: Vec<usize>,
    data: Option<String>,
    limit: usize,
    decode_once: bool,
    antialias: bool,
}

impl Options {
    fn from_arguments() -> Result<Self, Box<dyn Error>> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let mut given = BTreeMap::new();
        for pair in words.chunks(2) {
            match pair {
                [flag, value] if flag.starts_with("--") => given.insert(flag[2..].to_owned(), value.clone()),
                _ => {
                    return Err(
                        format!("found '{}', expected pairs of --option value", pair.join(" ")).into()
                    );
                }
            };
        }
        let mut text = |name: &str, default: &str| given.remove(name).unwrap_or_else(|| default.to_owned());
        let size: usize = text("size", "32").parse()?;
        // A view of 224 pixels costs as much as fifty of 32.
        let batches = (16384 * 32 * 32 / (size * size)).div_ceil(64).max(8);
        let options = Self {
            size,
            batch: text("batch", "64").parse()?,
            batches: text("batches", &batches.to_string()).parse()?,
            rounds: text("rounds", "5").parse()?,
            workers: text("workers", "1,2").split(',').map(str::parse).collect::<Result<_, _>>()?,
            decode_once: text("decode", "once") == "once",
            antialias: text("antialias", "true").parse()?,
            limit: text("limit", "2048").parse()?,
            data: given.remove("data"),
        };
        match given.keys().next() {
            Some(unknown) => Err(format!("there is no option --{unknown}").into()),
            None => Ok(options),
        }
    }

    fn dataset(&self) -> Result<Arc<Dataset>, Box<dyn Error>> {
        let Some(path) = &self.data else {
            return Ok(Arc::new(Dataset::from_images(random_images(self.size), None)));
        };
        let cache_bytes = if self.decode_once { usize::MAX } else { 0 };
        let options = DatasetOptions { limit: Some(self.limit), cache_bytes, ..DatasetOptions::default() };
        let dataset = Dataset::open_with(path, &options)?;
        if self.decode_once {
            (0..dataset.len()).try_for_each(|index| dataset.image(index).map(drop))?;
        }
        Ok(Arc::new(dataset))
    }
}

fn random_images(size: usize) -> Vec<Image> {
    let mut state = 1u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..256).map(|_| Image::new(size, size, (0..3 * size * size).map(|_| byte()).collect())).collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
