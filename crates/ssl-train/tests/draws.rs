//! What a method draws inside a step depends only on the seed of the run, the step and the micro-batch.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use common::{Pixels, StopAfter, device, loader};
use ssl_core::{Encoder, Init, MethodRules, Metrics, NoState, Pass, SslMethod, Step, StepContext, Views};
use ssl_train::{BatchConfig, Existing, NoEvaluation, RunDir, ScheduleConfig, Start, TrainConfig, Trainer};

/// The arguments of one call of `loss`, and an order that it drew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    step: u64,
    micro_batch: usize,
    order: Vec<usize>,
}

/// A method that draws an order in every call and records it.
#[derive(Default)]
struct Drawing {
    calls: Arc<Mutex<Vec<Call>>>,
}

impl MethodRules for Drawing {}

impl SslMethod<Pixels> for Drawing {
    type Student = Pixels;
    type State = NoState;
    type Carry = ();

    fn init(&self, encoder: Pixels, _init: &mut Init) -> (Pixels, NoState) {
        (encoder, NoState {})
    }

    fn loss(&self, student: &Pixels, _: &NoState, views: &Views, context: &StepContext) -> Step<()> {
        let order = context.draws.permutation("order", 12);
        let call = Call { step: context.at.step, micro_batch: context.micro_batch, order };
        self.calls.lock().expect("no test has panicked").push(call);
        let z = student.encode(views.crops[0].clone(), &Pass::train());
        Step::of_share(z.clone().square().mean(), ()).with_metrics(Metrics::of_embeddings(z))
    }

    fn encoder<'a>(&self, student: &'a Pixels, _: &'a NoState) -> &'a Pixels {
        student
    }
}

/// The calls of a run of two epochs of two steps, each of two micro-batches, stopped after `steps` steps.
fn calls(run: &Path, seed: u64, steps: u64, start: Start) -> Vec<Call> {
    let config = TrainConfig {
        seed,
        batch: BatchConfig::default().with_accumulate(2),
        schedule: ScheduleConfig { epochs: 2, batch_size: 6, ..ScheduleConfig::default() },
        ..TrainConfig::default()
    };
    let run = match start {
        Start::Resume => RunDir::open(run).expect("a run"),
        Start::New => RunDir::create(run, Existing::Refuse).expect("a new folder"),
    };
    run.write_atomic("recipe.toml", b"").expect("a writable folder");
    let (method, device) = (Drawing::default(), device());
    let trainer = Trainer::new(&method, &config, &run, &device);
    let mut hooks = StopAfter::step(steps);
    trainer
        .fit(Pixels::init(), &loader(12, 0, 3), start, &mut NoEvaluation, &mut hooks)
        .expect("a finite loss");
    let calls = method.calls.lock().expect("no test has panicked");
    calls.clone()
}

#[test]
fn every_micro_batch_of_every_step_draws_for_itself() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let calls = calls(&dir.path().join("run"), 7, 4, Start::New);
    let places: Vec<_> = calls.iter().map(|call| (call.step, call.micro_batch)).collect();
    assert_eq!(places, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]);
    let orders: BTreeSet<_> = calls.iter().map(|call| &call.order).collect();
    assert_eq!(orders.len(), 8, "two calls drew the same order");
}

#[test]
fn the_seed_of_the_run_decides_the_draws() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let run = |name: &str, seed| calls(&dir.path().join(name), seed, 4, Start::New);
    let (one, again, other) = (run("one", 7), run("again", 7), run("other", 8));
    assert_eq!(one, again);
    assert!(one.iter().zip(&other).all(|(one, other)| one.order != other.order));
}

#[test]
fn a_resumed_run_draws_what_an_undisturbed_one_draws() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let whole = calls(&dir.path().join("whole"), 7, 4, Start::New);
    let stopped = dir.path().join("stopped");
    let mut parts = calls(&stopped, 7, 3, Start::New);
    assert_eq!(parts.len(), 6, "it stopped after three steps");
    parts.extend(calls(&stopped, 7, 4, Start::Resume));
    assert_eq!(parts, whole);
}
