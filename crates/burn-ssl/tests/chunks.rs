//! Batches that are embedded in chunks: the gradients of the whole batch, in a run and by hand.

use std::fs;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_ssl::core::named;
use burn_ssl::prelude::*;
use burn_ssl::recipe::Draft;
use burn_ssl::registry::{self, WithMethod, with_method};
use burn_ssl::train::{Gradients, in_chunks};

const BATCH: usize = 512;
const CHUNK: usize = 64;
const PIXELS: usize = 8;

fn device() -> Device {
    DeviceSpec::Flex.open().expect("flex is compiled in")
}

/// Images without structure, of ten classes.
fn views() -> Views {
    let view = |seed: f32| {
        let places = Tensor::<1, Int>::arange(0..(BATCH * 3 * PIXELS * PIXELS) as i64, &device()).float();
        (places * 0.618 + seed).sin().reshape([BATCH, 3, PIXELS, PIXELS])
    };
    let labels = (0..BATCH as i64).map(|image| image * 7 % 10).collect();
    let labels = Tensor::from_data(TensorData::new::<i64, _>(labels, [BATCH]), &device());
    Views { labels: Some(labels), ..Views::two(view(0.0), view(1.0)) }
}

/// Compares chunks with one pass over the batch, embedded chunk by chunk in one graph.
struct OneShot;

impl WithMethod<AnyEncoder> for OneShot {
    type Output = ();

    fn run<M: SslMethod<AnyEncoder>>(self, method: M) {
        let start = || {
            let mut init = Init::new(0, &device().autodiff());
            let config = EncoderConfig { width: 4, ..EncoderConfig::named("resnet18") };
            let encoder = config.init(PIXELS, &mut init).expect("a usable network");
            method.init(encoder, &mut init)
        };
        let (views, loss) = (views(), method.embedding_loss().expect("it can be embedded in chunks"));
        let (student, state) = start();
        let context = StepContext::new(0, Progress { step: 0, total_steps: 1, steps_per_epoch: 1 }, 0);
        let (found, carry) = in_chunks(loss, &student, &state, &views, CHUNK, &context);
        let state = method.absorb(state, carry);

        let (once, its_state) = start();
        let chunks = views.chunks(CHUNK);
        let outputs: Vec<_> =
            chunks.iter().map(|chunk| loss.embed(&once, chunk, &Pass::train()).outputs).collect();
        let targets: Vec<_> =
            chunks.iter().map(|chunk| loss.targets(&its_state, chunk, &Pass::train())).collect();
        let (outputs, targets) = (joined(&outputs), joined(&targets));
        let (whole, carry) = loss.loss_of(&its_state, outputs, targets, views.labels.clone(), &context);
        let its_state = method.absorb(its_state, carry);
        let (value, want) = (whole.to_data(), Gradients::of(whole.backward(), &once));

        assert_eq!(found.loss.into_data(), value);
        assert_eq!(found.metrics.names().collect::<Vec<_>>(), ["z_std"]);
        assert_eq!(named::collect(&student), named::collect(&once), "running statistics of the student");
        let (state, its_state) = (named::collect(&state), named::collect(&its_state));
        assert_eq!(state, its_state, "running statistics of the teacher, queue, covariance");
        assert_close(&found.gradients, &want);
    }
}

fn joined(chunks: &[Vec<Tensor<2>>]) -> Vec<Tensor<2>> {
    let kind = |index: usize| chunks.iter().map(|chunk| chunk[index].clone()).collect();
    (0..chunks[0].len()).map(|index| Tensor::cat(kind(index), 0)).collect()
}

fn assert_close(found: &Gradients, want: &Gradients) {
    let paths = |gradients: &Gradients| gradients.iter().map(|(path, _)| path.to_owned()).collect::<Vec<_>>();
    assert_eq!(paths(found), paths(want));
    let norm = |gradient: Tensor<1>| gradient.square().sum().sqrt().into_scalar::<f32>();
    let all = want.norm().expect("a method has gradients").into_scalar::<f32>();
    for (path, want) in want.iter() {
        let found = found.get(path).expect("the same paths").clone();
        // A bias that the next batch norm takes out again has no gradient but for rounding: there is nothing to compare.
        if norm(found.clone()).max(norm(want.clone())) < 1e-5 * all {
            continue;
        }
        let relative = norm(found - want.clone()) / norm(want.clone());
        assert!(relative < 1e-5, "{path} is off by {relative}");
    }
}

#[test]
fn chunks_give_the_gradients_of_one_pass_with_batch_norm_by_chunk() {
    let cases = [
        ("simclr", "output_dim = 16"),
        ("simclr-v2", "output_dim = 16"),
        ("dcl", "output_dim = 16"),
        ("dclw", "output_dim = 16"),
        ("supcon", "output_dim = 16"),
        ("barlow-twins", "hidden_dim = 32\noutput_dim = 16"),
        ("vicreg", "hidden_dim = 32\noutput_dim = 16"),
        ("lejepa", "global_views = 2\nhidden_dim = 32"),
        ("moco-v3", "hidden_dim = 32\noutput_dim = 16"),
        ("nnclr", "queue_len = 700\nhidden_dim = 32\noutput_dim = 16\npredictor_dim = 32"),
        ("tico", "hidden_dim = 32\noutput_dim = 16"),
    ];
    for (name, options) in cases.into_iter().filter(|(name, _)| registry::method(name).is_ok()) {
        with_method(name, &options.parse().expect("TOML"), OneShot).expect(name);
    }
}

/// A recipe of a run that takes a second: 3 steps of 16 images an epoch.
fn recipe(assignments: &[&str]) -> Recipe {
    let mut draft = Draft::named("demo").expect("a recipe of the library");
    draft.set_image_size(16).expect("usable");
    for assignment in ["data.limit=48", "encoder.width=4", "schedule.epochs=2", "schedule.batch_size=16"] {
        draft.assign(assignment).expect("usable");
    }
    for assignment in assignments {
        draft.assign(assignment).expect("usable");
    }
    let mut recipe = draft.finish().expect("usable");
    recipe.eval.test = None;
    recipe
}

fn encoder(out: &Path, recipe: &Recipe) -> Vec<u8> {
    pretrain(recipe, &PretrainOptions::new(out), &mut NoObserver).expect("a run");
    fs::read(out.join("encoder.safetensors")).expect("a finished run")
}

/// Stops a run after its fourth step, in the middle of the second epoch.
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
fn a_run_in_chunks_is_another_run_and_goes_on_to_its_own_bytes() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (whole, chunked) = (recipe(&[]), recipe(&["train.embed_chunk=4"]));
    let want = encoder(&dir.path().join("chunked"), &chunked);
    assert_ne!(want, encoder(&dir.path().join("whole"), &whole), "batch norm sees other images");

    let mut options = PretrainOptions::new(dir.path().join("stopped"));
    let report = pretrain(&chunked, &options, &mut StopAfterFour(0)).expect("a run");
    assert!(!report.finished);
    options.resume = true;
    pretrain(&chunked, &options, &mut NoObserver).expect("the same run");
    assert_eq!(fs::read(options.out.join("encoder.safetensors")).expect("a finished run"), want);
}

#[test]
fn a_chunk_of_the_whole_batch_is_the_run_without_chunks_up_to_rounding() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let loss = |name: &str, recipe: Recipe| {
        let options = PretrainOptions::new(dir.path().join(name));
        pretrain(&recipe, &options, &mut NoObserver).expect("a run").train_loss
    };
    let want = loss("whole", recipe(&[]));
    let found = loss("one-chunk", recipe(&["train.embed_chunk=16"]));
    assert!((found - want).abs() < 1e-4 * want, "{found} is not {want}");
}

/// TiCo's loss grows with the covariance, which starts at 0 and has every batch in it.
#[cfg(feature = "tico")]
#[test]
fn the_state_takes_in_a_batch_that_is_embedded_in_chunks() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let loss = |name: &str, assignments: &[&str]| {
        let mut recipe = recipe(assignments);
        recipe.method = "tico".to_owned();
        recipe.method_options = "hidden_dim = 32\noutput_dim = 16".parse().expect("TOML");
        let options = PretrainOptions::new(dir.path().join(name));
        pretrain(&recipe, &options, &mut NoObserver).expect("a run").train_loss
    };
    let want = loss("whole", &[]);
    let found = loss("one-chunk", &["train.embed_chunk=16"]);
    assert!((found - want).abs() < 1e-2 * want, "{found} is not {want}");
}

#[test]
fn chunks_of_micro_batches_are_possible() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let both = recipe(&["train.accumulate=2", "train.embed_chunk=4"]);
    let accumulated = recipe(&["train.accumulate=2"]);
    let found = encoder(&dir.path().join("both"), &both);
    assert_ne!(found, encoder(&dir.path().join("accumulated"), &accumulated));
}

#[test]
fn what_cannot_be_embedded_in_chunks_is_refused_before_the_directory_is_made() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("run");
    let refused = |recipe: &Recipe| {
        let error = pretrain(recipe, &PretrainOptions::new(&out), &mut NoObserver).expect_err("unusable");
        assert!(!out.exists());
        error.to_string()
    };
    #[cfg(feature = "byol")]
    {
        let mut byol = recipe(&["train.embed_chunk=4"]);
        (byol.method, byol.method_options) = ("byol".to_owned(), Default::default());
        let sentence = refused(&byol);
        assert!(
            sentence.starts_with("train.embed_chunk is 4, expected no such key: this method"),
            "{sentence}"
        );
    }
    let sentence = refused(&recipe(&["train.embed_chunk=5"]));
    assert!(
        sentence.contains("16 images") && sentence.contains("multiple of train.embed_chunk"),
        "{sentence}"
    );
    let sentence = refused(&recipe(&["train.embed_chunk=1"]));
    assert_eq!(
        sentence,
        "train.embed_chunk is 1, expected at least 2; without the key, all images pass through at once"
    );
}
