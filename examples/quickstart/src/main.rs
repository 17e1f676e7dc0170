//! Pretrains SimCLR on a folder of images, or on rendered ones where no folder is given.
//!
//! ```sh
//! cargo run --release -p example-quickstart -- photos/
//! ```
#![expect(clippy::print_stdout, reason = "an example answers on standard output")]

use burn_ssl::prelude::*;

fn main() -> anyhow::Result<()> {
    let mut recipe = Recipe::named("demo")?;
    recipe.schedule.epochs = 3;
    if let Some(folder) = std::env::args_os().nth(1) {
        recipe.data.path = folder.into();
        recipe.eval.test = None;
    }

    let options = PretrainOptions { overwrite: true, ..PretrainOptions::new("target/quickstart") };
    let report = pretrain(&recipe, &options, &mut NoObserver)?;

    println!(
        "loss {:.3} after {} steps, {:.0} images/s",
        report.train_loss, report.steps, report.images_per_s
    );
    if let (Some(before), Some(after)) = (report.knn_top1_untrained, report.knn_top1) {
        println!("k-NN accuracy: {before:.1} % before, {after:.1} % after");
    }
    println!("encoder: {}/encoder.safetensors", report.out.display());
    Ok(())
}
