//! Views per second of the SimCLR recipes on one core, from decoded images to normalised floats.
//!
//! `cargo run --release -p ssl-data --example augment_throughput` prints one JSON object. An argument sets the
//! seconds per recipe (2), a second one whether the crop antialiases (true). At 32 pixels the source is a 32 x 32 image
//! and the views are CIFAR's (no blur); at 224 pixels the source is a 500 x 375 image and the views are ImageNet's. The
//! images are random pixels, eight of each.

mod measured;

use std::time::{Duration, Instant};

use measured::{simclr_views, vectors};
use ssl_data::{Image, Normalization, SampleKey, Scratch, Views};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(2.0), |text| text.parse::<f64>())?;
    let antialias = std::env::args().nth(2).map_or(Ok(true), |text| text.parse::<bool>())?;
    let budget = Duration::from_secs_f64(seconds);
    let cifar = Views::new(&[simclr_views(32, antialias)], Normalization::CIFAR10)?;
    let imagenet = Views::new(&[simclr_views(224, antialias)], Normalization::IMAGENET)?;
    let at_32 = views_per_second(&cifar, &images(32, 32), budget);
    let at_224 = views_per_second(&imagenet, &images(500, 375), budget);
    let result = serde_json::json!({
        "views_per_s_32": at_32.round(),
        "views_per_s_224": at_224.round(),
        "antialias": antialias,
        "vectors": vectors(),
    });
    #[allow(clippy::print_stdout)] // The result of the program.
    {
        println!("{result}");
    }
    Ok(())
}

fn images(width: usize, height: usize) -> Vec<Image> {
    (0..8)
        .map(|sample| {
            let mut generator = SampleKey { seed: 0, epoch: 0, sample }.generator(0, 0);
            Image::new(width, height, (0..3 * width * height).map(|_| generator.next_u64() as u8).collect())
        })
        .collect()
}

fn views_per_second(views: &Views, images: &[Image], budget: Duration) -> f64 {
    let mut scratch = Scratch::new();
    let size = views.size(0);
    let mut out = vec![0.0; 3 * size * size];
    let mut render = |sample: u64| {
        let image = &images[sample as usize % images.len()];
        let key = SampleKey { seed: 1, epoch: 0, sample };
        for view in 0..views.len() {
            views.render(image, key, view, &mut scratch, &mut out);
        }
    };
    (0..20).for_each(&mut render);

    let start = Instant::now();
    let mut samples = 0u64;
    while start.elapsed() < budget {
        render(samples);
        samples += 1;
    }
    (samples * views.len() as u64) as f64 / start.elapsed().as_secs_f64()
}
