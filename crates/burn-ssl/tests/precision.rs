//! Products in bfloat16, everything else in float32.

use std::fs;

use burn::tensor::{DType, Device, Int, Tensor};
use burn_ssl::core::{Precision, named};
use burn_ssl::prelude::*;
use burn_ssl::recipe::Draft;
use burn_ssl::registry::{self, WithMethod, with_method};
use burn_ssl::train::Gradients;

const AT: Progress = Progress { step: 0, total_steps: 1, steps_per_epoch: 1 };

fn device() -> Device {
    DeviceSpec::Flex.open().expect("flex is compiled in")
}

/// Images without structure.
fn images(seed: f32) -> Tensor<4> {
    let places = Tensor::<1, Int>::arange(0..16 * 3 * 16 * 16, &device()).float();
    (places * 0.618 + seed).sin().reshape([16, 3, 16, 16])
}

/// The loss of the first step, and what kinds of numbers network, state and gradients hold.
struct FirstStep(Precision);

impl WithMethod<AnyEncoder> for FirstStep {
    type Output = (f32, Vec<DType>);

    fn run<M: SslMethod<AnyEncoder>>(self, method: M) -> Self::Output {
        let mut init = Init::new(0, &device().autodiff()).with_precision(self.0);
        let config = EncoderConfig { width: 8, ..EncoderConfig::named("resnet18") };
        let encoder = config.init(16, &mut init).expect("a usable network");
        let (student, state) = method.init(encoder, &mut init);
        let (student, state) = method.before_step(student, state, AT);
        let step =
            method.loss(&student, &state, &Views::two(images(0.0), images(1.0)), &StepContext::new(0, AT, 0));
        let loss = step.loss.clone().into_scalar::<f32>();
        let gradients = Gradients::of(step.loss.backward(), &student);
        let state = method.after_step(&student, method.absorb(state, step.carry), AT);
        let mut kinds: Vec<_> = gradients.iter().map(|(_, gradient)| gradient.dtype()).collect();
        kinds.extend(named::collect(&student).values().map(|data| data.dtype()));
        kinds.extend(named::collect(&state).values().map(|data| data.dtype()).filter(DType::is_float));
        (loss, kinds)
    }
}

#[test]
fn the_loss_is_that_of_float32_but_for_rounding_and_all_that_lasts_is_float32() {
    for name in ["simclr", "byol", "moco-v2"].into_iter().filter(|name| registry::method(name).is_ok()) {
        let run = |precision| {
            with_method(name, &Default::default(), FirstStep(precision)).expect("a method of this build")
        };
        let ((found, kinds), (want, _)) = (run(Precision::Bf16), run(Precision::F32));
        assert!(found != want && (found - want).abs() < 2e-2 * want.abs(), "{name}: {found} is not {want}");
        assert!(kinds.iter().all(|kind| *kind == DType::F32), "{name}: {kinds:?}");
    }
}

#[test]
fn a_run_in_bfloat16_saves_float32_and_is_resumed_in_bfloat16_only() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let recipe = |precision: &str| {
        let mut draft = Draft::named("demo").expect("a recipe of the library");
        draft.set_image_size(16).expect("usable");
        let precision = format!("precision={precision}");
        for key in
            ["data.limit=16", "encoder.width=4", "schedule.epochs=1", "schedule.batch_size=8", &precision]
        {
            draft.assign(key).expect("usable");
        }
        let mut recipe = draft.finish().expect("usable");
        recipe.eval.test = None;
        recipe
    };
    let mut options = PretrainOptions::new(dir.path().join("run"));
    let report = pretrain(&recipe("bf16"), &options, &mut NoObserver).expect("a run");
    assert!(report.finished && report.train_loss.is_finite());
    for name in ["checkpoints/last/student", "checkpoints/last/optimizer", "encoder"] {
        let file = fs::read(options.out.join(format!("{name}.safetensors"))).expect("a finished run");
        let header = String::from_utf8_lossy(&file[8..]).into_owned();
        assert!(header.contains("\"F32\"") && !header.contains("\"BF16\""), "{name}");
    }
    options.resume = true;
    let error = pretrain(&recipe("f32"), &options, &mut NoObserver).expect_err("another run").to_string();
    assert!(error.contains("precision is \"bf16\" and not \"f32\""), "{error}");
}

#[test]
fn an_unknown_format_is_told_the_known_ones() {
    let mut draft = Draft::named("demo").expect("a recipe of the library");
    draft.assign("precision=fp16").expect("a key and a value");
    let error = draft.finish().expect_err("unknown").to_string();
    assert_eq!(error, "precision: unknown variant 'fp16', expected 'f32' or 'bf16'");
}
