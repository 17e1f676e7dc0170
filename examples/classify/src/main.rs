//! Names the classes of images, by a classifier that `burn-ssl finetune` wrote.
//!
//! ```sh
//! cargo run --release -p example-classify -- tuned photos/
//! ```
#![expect(clippy::print_stdout, reason = "an example answers on standard output")]

use anyhow::Context;
use burn_ssl::{ClassifyOptions, classify};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let classifier = arguments.next().context("expected the directory of a classifier")?;
    let images = arguments.next().context("expected a folder of images after the classifier")?;

    let report = classify(&ClassifyOptions::new(classifier, images))?;
    for image in &report.classified {
        let best = &image.classes[0];
        println!("{}: {} ({:.0} %)", image.file, best.class, 100.0 * best.score);
    }
    Ok(())
}
