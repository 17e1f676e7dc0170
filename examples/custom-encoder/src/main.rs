//! An encoder of your own, pretrained with SimCLR on rendered images: with a run directory, k-NN on the way, and at the end
//! features of the test images in `features.csv`, near-duplicates among them in `duplicates.csv`, a report about 100 images, and a file
//! for other programs with its model card.
//!
//! ```sh
//! cargo run --release -p example-custom-encoder
//! ```

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Tensor, activation::relu};
use burn_ssl::core::nn::{BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig};
use burn_ssl::export::{ExportFormat, ExportOptions, export_with};
use burn_ssl::prelude::*;
use burn_ssl::{
    DedupOptions, EmbedOptions, EncoderSource, HtmlReportOptions, dedup_with, embed_images_with,
    html_report_with,
};

/// Three convolutions that halve height and width, and the mean over all positions.
#[derive(Module, Debug)]
struct SmallNet {
    convs: Vec<Conv2d>,
    norms: Vec<BatchNorm>,
}

fn small_net(init: &mut Init) -> SmallNet {
    let channels = [(3, 16), (16, 32), (32, 64)];
    let conv = |(from, to)| Conv2dConfig::new(from, to, 3).with_stride(2).with_padding(1).init(init);
    let convs = channels.map(conv).into();
    SmallNet { convs, norms: channels.map(|(_, to)| BatchNormConfig::new(to).init(init)).into() }
}

impl Encoder for SmallNet {
    fn encode(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let layers = self.convs.iter().zip(&self.norms);
        let maps = layers.fold(images, |x, (conv, norm)| relu(norm.forward(conv.forward(x), pass)));
        maps.flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2)
    }

    fn feature_dim(&self) -> usize {
        64
    }
}

fn main() -> anyhow::Result<()> {
    train_and_use(&Recipe::named("demo")?, Path::new("target/custom-encoder"))
}

/// Pretrains in the directory `out`, and writes there what else an encoder is good for. Only this program can build the network, so
/// each of these is given the function that does.
fn train_and_use(recipe: &Recipe, out: &Path) -> anyhow::Result<()> {
    let options = PretrainOptions { overwrite: true, ..PretrainOptions::new(out) };
    pretrain_encoder("small-net", small_net, recipe, &options, &mut NoObserver)?;

    let encoder = EncoderSource::Run(out.into());
    let embed = EmbedOptions::new(encoder.clone(), "demo:test", out.join("features.csv"));
    embed_images_with(small_net, &EmbedOptions { overwrite: true, ..embed })?;
    let dedup = DedupOptions::new(encoder, "demo:test", out.join("duplicates.csv"));
    dedup_with(small_net, &DedupOptions { overwrite: true, ..dedup })?;

    let report = HtmlReportOptions { images: Some(100), ..HtmlReportOptions::new(vec![out.into()]) };
    let report = HtmlReportOptions { out: Some(out.join("of-100-images.html")), overwrite: true, ..report };
    html_report_with(small_net, &report)?;

    let export = ExportOptions::new(out, out.join("exported.safetensors"));
    let export = ExportOptions { overwrite: true, ..export.with_format(ExportFormat::Safetensors) };
    export_with(small_net, &export)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use burn_ssl::encoders::{Artifact, ResNetConfig, weights};
    use burn_ssl::{SimilarOptions, images, load_encoder, similar_with};

    use super::*;

    /// Two steps on few images, and all that comes after them.
    fn finished(dir: &Path) -> PathBuf {
        let out = dir.join("run");
        let mut recipe = Recipe::named("demo").expect("a recipe of the library");
        (recipe.data.limit, recipe.eval.limit, recipe.schedule.max_steps) = (Some(128), Some(32), Some(2));
        train_and_use(&recipe, &out).unwrap_or_else(|error| panic!("{error}"));
        out
    }

    #[test]
    fn features_reports_and_an_export_have_the_weights_of_the_run() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let out = finished(dir.path());
        let text =
            |file: &str| fs::read_to_string(out.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        for table in ["features.csv", "duplicates.csv"] {
            assert_eq!(text(table).lines().count(), 1001, "a header and the images of demo:test");
        }
        for (page, sample) in [
            ("report.html", "All 128 training images"),
            ("of-100-images.html", "100 of the 128 training images"),
        ] {
            let html = text(page);
            assert!(html.contains("small-net") && html.contains(sample), "{page}");
            assert!(html.contains("<section id=\"map\"") && !html.contains("not be shown"), "{page}");
        }
        assert!(text("README.md").contains("# small-net, trained with simclr"));

        let file = out.join("exported.safetensors");
        let about = Artifact::read(&file).expect("readable").expect("our own");
        assert_eq!(about.encoder.name, "small-net");
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let run = RunDir::open(&out).expect("a run");
        let trained = load_encoder(&run, small_net, &device).expect("its network");
        let exported = weights::load(&file, small_net(&mut Init::new(1, &device))).expect("its tensors");
        assert_eq!(weights::fingerprint(&exported), weights::fingerprint(&trained));
    }

    #[test]
    fn images_like_another_are_found_with_the_weights_of_the_run() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let out = finished(dir.path());
        let name = images::open(Path::new("demo:test"), Some(20)).expect("rendered").name(5);
        let similar = SimilarOptions::new(EncoderSource::Run(out), "demo:test", vec![name.clone().into()]);
        let similar = SimilarOptions { limit: Some(20), top: 19, ..similar };
        let report = similar_with(small_net, &similar).expect("its network");
        let [found] = &report.queries[..] else { panic!("{report:?}") };
        assert_eq!((found.neighbours.len(), report.images, &*report.encoder.model), (19, 20, "small-net"));
        assert!(found.neighbours.iter().all(|found| found.file != name), "{report:?}");
        assert!(found.neighbours.is_sorted_by(|a, b| a.similarity >= b.similarity), "{report:?}");
        let other = |init: &mut Init| ResNetConfig::resnet18().with_width(2).init(init);
        assert!(similar_with(other, &similar).is_err(), "it has other tensors");
    }

    #[test]
    fn other_formats_other_networks_and_several_runs_are_refused_in_a_sentence() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let out = finished(dir.path());
        let (file, page) = (dir.path().join("a.safetensors"), dir.path().join("a.html"));
        let export = ExportOptions::new(&out, &file).with_format(ExportFormat::Timm);
        let said = export_with(small_net, &export).expect_err("no library has it").to_string();
        assert_eq!(said, "small-net cannot be exported as timm: expected the format safetensors");

        let other = |init: &mut Init| ResNetConfig::resnet18().with_width(2).init(init);
        let export = export.with_format(ExportFormat::Safetensors);
        assert!(export_with(other, &export).is_err(), "it has other tensors");
        let report =
            HtmlReportOptions { out: Some(page.clone()), ..HtmlReportOptions::new(vec![out.clone()]) };
        assert!(html_report_with(other, &report).is_err(), "it has other tensors");
        let table = dir.path().join("a.csv");
        let dedup = DedupOptions::new(EncoderSource::Run(out.clone()), "demo:test", &table);
        assert!(dedup_with(other, &dedup).is_err(), "it has other tensors");
        let several = HtmlReportOptions { runs: vec![out.clone(), out], ..report };
        let said = html_report_with(small_net, &several).expect_err("one network for two runs").to_string();
        assert!(said.starts_with("runs is 2, expected 1, the run whose network is given"), "{said}");
        assert!(!file.exists() && !page.exists() && !table.exists(), "nothing was written");
    }
}
