//! Pretrains alignment and uniformity on rendered images; arguments change its recipe: `data.path=photos/ schedule.epochs=20`.
#![expect(clippy::print_stdout, reason = "an example answers on standard output")]

use std::path::Path;

use burn_ssl::prelude::*;
use burn_ssl::recipe::Draft;
use example_custom_method::AlignUniformConfig;

fn main() -> anyhow::Result<()> {
    let mut draft = Draft::parse("align-uniform.toml", include_str!("../align-uniform.toml"))?;
    for argument in std::env::args().skip(1) {
        draft.assign(&argument)?;
    }
    let mut recipe = draft.finish()?;
    if recipe.data.path != Path::new("demo:train") {
        // The test images are rendered, as those of the recipe are.
        recipe.eval.test = None;
    }

    let options = PretrainOptions { overwrite: true, ..PretrainOptions::new("target/custom-method") };
    let (config, build) = (AlignUniformConfig::default(), AlignUniformConfig::build);
    let report = pretrain_with(config, build, &recipe, &options, &mut NoObserver)?;

    println!("loss {:.2} after {} steps of {}", report.train_loss, report.steps, report.method);
    if let (Some(before), Some(after)) = (report.knn_top1_untrained, report.knn_top1) {
        println!("k-NN accuracy: {before:.1} % before, {after:.1} % after");
    }
    Ok(())
}
