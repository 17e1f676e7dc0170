//! A ConvNeXt as the encoder of a run.

use burn_ssl::encoders::StemChoice;
use burn_ssl::prelude::*;

/// SimCLR on rendered images, with a narrow ConvNeXt that drops branches.
fn recipe() -> Recipe {
    let mut recipe = Recipe::named("demo").expect("a recipe of the library");
    (recipe.data.limit, recipe.eval.test) = (Some(24), None);
    recipe.encoder = EncoderConfig {
        depths: Some([1; 4]),
        dims: Some([8, 12, 16, 20]),
        layer_scale: Some(0.1),
        drop_path: Some(0.5),
        ..EncoderConfig::named("convnext-tiny")
    };
    (recipe.schedule.epochs, recipe.schedule.batch_size, recipe.schedule.warmup_epochs) = (2, 8, 0.0);
    recipe
}

/// Stops after four steps, in the middle of the second epoch.
struct StopAfterFour(u64);

impl Observer for StopAfterFour {
    fn on_step(&mut self, report: &burn_ssl::train::StepReport) {
        self.0 = report.at.step;
    }

    fn stop(&self) -> bool {
        self.0 == 4
    }
}

#[test]
fn a_resumed_run_has_the_encoder_of_an_uninterrupted_one() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut options = PretrainOptions::new(dir.path().join("whole"));
    pretrain(&recipe(), &options, &mut NoObserver).expect("a run");
    options.out = dir.path().join("stopped");
    pretrain(&recipe(), &options, &mut StopAfterFour(0)).expect("a run");
    options.resume = true;
    pretrain(&recipe(), &options, &mut NoObserver).expect("the same run");
    let [whole, stopped] = ["whole", "stopped"]
        .map(|run| std::fs::read(dir.path().join(run).join("encoder.safetensors")).expect("an encoder"));
    let tensors = |file: &[u8]| -> Vec<(String, Vec<u8>)> {
        let file = safetensors::SafeTensors::deserialize(file).expect("a safetensors file");
        let tensors = file.tensors().into_iter().map(|(name, tensor)| (name, tensor.data().to_vec()));
        let mut tensors: Vec<_> = tensors.collect();
        tensors.sort();
        tensors
    };
    assert_eq!(tensors(&whole), tensors(&stopped));
    let name = "stages.0.blocks.0.conv_dw.weight";
    assert!(tensors(&whole).iter().any(|(found, _)| found == name), "{name}");
}

#[test]
fn views_that_are_too_small_for_its_last_stage_are_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let refused = |change: fn(&mut Recipe)| {
        let mut recipe = recipe();
        change(&mut recipe);
        let options = PretrainOptions::new(dir.path().join("run"));
        pretrain(&recipe, &options, &mut NoObserver).expect_err("a refusal").to_string()
    };
    assert_eq!(
        refused(|recipe| recipe.views[0].size = 12),
        "views.size is 12, expected at least 16: a ConvNeXt with the CIFAR stem divides the sides of images by 16"
    );
    assert_eq!(
        refused(|recipe| {
            recipe.encoder.stem = StemChoice::ImageNet;
            recipe.data.image_size = 24;
        }),
        "data.image_size is 24, expected at least 32: a ConvNeXt with the ImageNet stem divides the sides of images by 32"
    );
}
