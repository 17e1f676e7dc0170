//! What a method of tokens and masks gets: an encoder of tokens, masks with its views, and a sentence where one is missing.

use std::path::Path;
use std::sync::{Arc, Mutex};

use burn_ssl::core::{Mask, MaskKind, Masking, Needs, NoState};
use burn_ssl::prelude::*;
use serde::{Deserialize, Serialize};

/// The tokens of kept patches are to have length one; what the method saw is written down.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct KeptConfig {}

#[derive(Clone, Default)]
struct Kept {
    seen: Arc<Mutex<Vec<Vec<i64>>>>,
}

impl MethodRules for Kept {
    fn needs(&self) -> Needs {
        Needs { global_views: 1, tokens: true, masks: Some(MaskKind::Keep), ..Needs::default() }
    }
}

impl<E: Encoder> SslMethod<E> for Kept {
    type Student = E;
    type State = NoState;
    type Carry = ();

    fn init(&self, encoder: E, _init: &mut Init) -> (E, NoState) {
        (encoder, NoState {})
    }

    fn loss(&self, student: &E, _: &NoState, views: &Views, context: &StepContext) -> Step<()> {
        let Some(Some(mask @ Mask::Keep(kept))) = views.masks.first() else {
            panic!("a mask that keeps patches")
        };
        self.seen.lock().expect("no test has panicked").push(kept.to_data().iter::<i64>().collect());
        let encoder = student.tokens().expect("the loop checks what `needs` says");
        let tokens = encoder.encode_tokens(views.crops[0].clone(), mask.masking(), &context.pass("student"));
        let [_, patches, _] = tokens.patches.dims();
        assert_eq!(patches, kept.dims()[1]);
        let length = tokens.patches.square().sum_dim(2);
        Step::of_share((length - 1.0).square().mean(), ())
    }

    fn encoder<'a>(&self, student: &'a E, _: &'a NoState) -> &'a E {
        student
    }
}

fn recipe() -> Recipe {
    let mut recipe = Recipe::named("demo").expect("a recipe of the library");
    (recipe.method, recipe.data.limit, recipe.eval.test) = ("kept".into(), Some(24), None);
    recipe.encoder = EncoderConfig { patch_size: Some(8), ..EncoderConfig::named("vit-tiny") };
    recipe.method_options.clear();
    recipe.optimizer.lr = 1e-5;
    recipe.views[0].count = 1;
    recipe.mask = Some(toml::from_str("kind = 'random'\nratio = 0.75").expect("a mask"));
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

fn run(
    recipe: &Recipe,
    options: &PretrainOptions,
    observer: &mut dyn Observer,
) -> Result<Vec<Vec<i64>>, Error> {
    let method = Kept::default();
    let seen = Arc::clone(&method.seen);
    pretrain_with(KeptConfig::default(), |_| Ok(method), recipe, options, observer)?;
    let seen = seen.lock().expect("no test has panicked").clone();
    Ok(seen)
}

#[test]
fn every_step_has_masks_of_its_own_and_a_resumed_run_has_those_of_an_uninterrupted_one() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let whole =
        run(&recipe(), &PretrainOptions::new(dir.path().join("whole")), &mut NoObserver).expect("a run");
    // 16 patches of 8 pixels, of which a quarter is kept, of 8 images in each of 6 steps.
    assert!(whole.len() == 6 && whole.iter().all(|kept| kept.len() == 8 * 4), "{whole:?}");
    assert!((1..6).all(|step| whole[step] != whole[0]), "the masks of all steps are the same");

    let mut options = PretrainOptions::new(dir.path().join("stopped"));
    let mut parts = run(&recipe(), &options, &mut StopAfterFour(0)).expect("a run");
    options.resume = true;
    parts.extend(run(&recipe(), &options, &mut NoObserver).expect("the same run"));
    assert_eq!(parts, whole);
    let encoder =
        |run: &str| std::fs::read(dir.path().join(run).join("encoder.safetensors")).expect("an encoder");
    assert_eq!(tensors(&encoder("stopped")), tensors(&encoder("whole")));
}

/// A file without its metadata, which has the place of the run in it.
fn tensors(file: &[u8]) -> Vec<(String, Vec<u8>)> {
    let file = safetensors::SafeTensors::deserialize(file).expect("a safetensors file");
    let mut tensors: Vec<_> =
        file.tensors().into_iter().map(|(name, tensor)| (name, tensor.data().to_vec())).collect();
    tensors.sort();
    tensors
}

fn refused(change: impl FnOnce(&mut Recipe), out: &Path) -> String {
    let mut recipe = recipe();
    change(&mut recipe);
    let error = run(&recipe, &PretrainOptions::new(out), &mut NoObserver).expect_err("unusable").to_string();
    assert!(!out.exists(), "{error}: a directory was left behind");
    error
}

#[test]
fn what_a_method_of_tokens_lacks_is_one_sentence_before_anything_starts() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("run");
    for name in ["resnet18", "convnext-tiny"] {
        assert_eq!(
            refused(|recipe| recipe.encoder = EncoderConfig::named(name), &out),
            format!(
                "this method needs an encoder with a token for every patch, and {name} has none: expected a ViT, such \
                 as vit-small"
            )
        );
    }
    let uneven = refused(|recipe| recipe.views[0].size = 30, &out);
    assert_eq!(
        uneven,
        "view 0 is 30 pixels wide, and the patches of the network 8: expected a multiple of that"
    );
    let unmasked = refused(|recipe| recipe.mask = None, &out);
    assert_eq!(unmasked, "this method hides patches, and the views have no masks: expected a section [mask]");
    let other = refused(|recipe| recipe.mask = toml::from_str("kind = 'block'").ok(), &out);
    assert_eq!(other, "mask.kind is 'block', expected 'random' or 'focal' for kept");
    let nothing = refused(|recipe| recipe.mask = toml::from_str("kind = 'random'\nratio = 0.0").ok(), &out);
    assert_eq!(nothing, "mask.ratio is 0, expected a number that hides at least one of 16 patches");
    let ratio = refused(|recipe| recipe.mask = toml::from_str("kind = 'random'\nratio = 1.5").ok(), &out);
    assert!(ratio.starts_with("mask.ratio is 1.5, expected"), "{ratio}");
}

#[test]
fn a_mask_for_a_method_that_hides_nothing_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("run");
    let mut recipe = Recipe::named("demo").expect("a recipe of the library");
    recipe.mask = Some(toml::from_str("kind = 'random'").expect("a mask"));
    let error =
        pretrain(&recipe, &PretrainOptions::new(&out), &mut NoObserver).expect_err("unusable").to_string();
    let sentence = "the recipe has a section [mask], but simclr hides no patches: expected no such section";
    assert_eq!((error.as_str(), out.exists()), (sentence, false));
}

#[test]
fn masking_is_what_the_mask_says() {
    let device = DeviceSpec::Flex.open().expect("flex is compiled in");
    let kept = burn::tensor::Tensor::from_data([[2, 0]], &device);
    assert!(matches!(Mask::Keep(kept).masking(), Masking::Keep(places) if places.dims() == [1, 2]));
}
