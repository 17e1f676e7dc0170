//! Several processes that share each batch train the same way as one process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData, Tolerance};
use ssl_core::nn::{BatchNorm, BatchNormConfig, DropPath, Linear, LinearConfig};
use ssl_core::{
    DeviceSpec, Encoder, Group, Init, MethodRules, Metrics, NoState, Pass, Progress, SslMethod, Step,
    StepContext, Views, group, named,
};
use ssl_data::{Dataset, Image, LoaderConfig, Normalization, TrainLoader, ViewConfig};
use ssl_testing::{Fault, ranks};
use ssl_train::{
    BatchConfig, CheckpointConfig, Existing, Finding, FindingKind, NoEvaluation, Observer, OnCollapse,
    RunDir, ScheduleConfig, Start, StepReport, TrainConfig, TrainError, Trainer,
};

const BATCH: usize = 8;

type Tensors = BTreeMap<String, TensorData>;

/// A linear layer that some images leave out, and a batch norm.
#[derive(Module, Debug)]
struct Network {
    linear: Linear,
    norm: BatchNorm,
}

impl Network {
    fn init(init: &mut Init) -> Self {
        Self::of(4, init)
    }

    fn of(features: usize, init: &mut Init) -> Self {
        let linear = LinearConfig::new(48, features).init(init);
        Self { linear, norm: BatchNormConfig::new(features).init(init) }
    }
}

impl Encoder for Network {
    fn encode(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let branch = self.linear.forward::<2>(images.flatten(1, 3)).unsqueeze_dim(1);
        let branch = DropPath { block: 0, rate: 0.3 }.forward(branch, "drop_path", pass);
        self.norm.forward(branch.squeeze_dim(1), pass)
    }

    fn feature_dim(&self) -> usize {
        4
    }
}

/// A loss of each process's own images, plus one that compares all images of the batch.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Share,
    Group,
}

impl MethodRules for Kind {}

impl SslMethod<Network> for Kind {
    type Student = Network;
    type State = NoState;
    type Carry = ();

    fn init(&self, encoder: Network, _init: &mut Init) -> (Network, NoState) {
        (encoder, NoState {})
    }

    fn loss(&self, student: &Network, _: &NoState, views: &Views, context: &StepContext) -> Step<()> {
        let z = student.encode(views.crops[0].clone(), &context.pass("student"));
        let offered = z.clone().without_autodiff();
        let metrics = Metrics::none().with("mean_square", move || offered.square().mean());
        let step = match self {
            Self::Share => Step::of_share((z - 0.5).powi_scalar(4).mean(), ()),
            Self::Group => {
                let z = group::gather(z, &context.group);
                Step::of_group((z.clone().transpose().matmul(z) - 1.0).square().mean(), ())
            }
        };
        step.with_metrics(metrics)
    }

    fn encoder<'a>(&self, student: &'a Network, _: &'a NoState) -> &'a Network {
        student
    }
}

/// Records the losses, and stops the run after a step.
#[derive(Default)]
struct Watch {
    losses: Vec<f64>,
    stop_after: Option<u64>,
    /// The step at which a collapse is found, which ends the run.
    collapses_at: Option<u64>,
    /// The first step whose row shows it.
    since: u64,
    /// The step of the latest row.
    row: u64,
    done: u64,
}

impl Observer for Watch {
    fn on_step(&mut self, report: &StepReport) {
        self.losses.extend(report.loss);
        self.done = report.at.step;
    }

    fn on_row(&mut self, at: Progress, _values: &[(&'static str, f64)]) -> Vec<Finding> {
        self.row = at.step;
        let finding = Finding {
            rule: "a-rule".into(),
            kind: FindingKind::Collapse,
            since: self.since,
            cause: "all is equal".into(),
            evidence: "z_std 0".into(),
            remedy: "optimizer.lr=0.1".into(),
            reference: "a paper".into(),
        };
        self.collapses_at.filter(|&step| step == at.step).map(|_| finding).into_iter().collect()
    }

    fn suspected_since(&self) -> Option<u64> {
        (self.collapses_at.is_some() && self.row >= self.since).then_some(self.since)
    }

    fn stop(&self) -> bool {
        self.stop_after == Some(self.done)
    }
}

fn device() -> Device {
    DeviceSpec::Flex.open().expect("flex is compiled in")
}

fn loader(group: &Group) -> TrainLoader {
    loader_of(24, group)
}

fn loader_of(images: u8, group: &Group) -> TrainLoader {
    let image =
        |index: u8| Image::new(4, 4, (0..48).map(|byte| index.wrapping_mul(37) ^ (byte * 5)).collect());
    let dataset = Arc::new(Dataset::from_images((0..images).map(image).collect(), None));
    let views = [ViewConfig { count: 2, size: 4, ops: Vec::new() }];
    let views = ssl_data::Views::new(&views, Normalization::CIFAR10).expect("two views");
    let loader = TrainLoader::new(dataset, views, 0, LoaderConfig { batch_size: BATCH / 2, workers: 1 });
    loader.and_then(|loader| loader.with_share(group.rank(), group.size())).expect("a loader")
}

/// Two epochs of three steps, each of two micro-batches.
fn fit(kind: Kind, folder: &Path, group: Group, watch: &mut Watch) -> Result<Network, TrainError> {
    fit_from(0, kind, folder, group, watch)
}

/// [`fit`] from the initial weights of a seed.
fn fit_from(
    seed: u64,
    kind: Kind,
    folder: &Path,
    group: Group,
    watch: &mut Watch,
) -> Result<Network, TrainError> {
    let on_collapse = if watch.collapses_at.is_some() { OnCollapse::Stop } else { OnCollapse::Warn };
    let config = TrainConfig {
        batch: BatchConfig::default().with_accumulate(2).with_sync_bn(true).with_on_collapse(on_collapse),
        schedule: ScheduleConfig { epochs: 2, batch_size: BATCH, ..ScheduleConfig::default() },
        log_every: 1,
        checkpoint: CheckpointConfig::default().with_every_steps(watch.collapses_at.map(|_| 1_u64)),
        ..TrainConfig::default()
    };
    let (device, run) = (device(), RunDir::open(folder).expect("a run"));
    let network = Network::init(&mut Init::new(seed, &device.clone().autodiff()));
    let loader = loader(&group);
    let trainer = Trainer::new(&kind, &config, &run, &device).with_group(group);
    Ok(trainer.fit(network, &loader, Start::New, &mut NoEvaluation, watch)?.student)
}

fn new_run(folder: &Path) {
    let run = RunDir::create(folder, Existing::Refuse).expect("a new folder");
    run.write_atomic("recipe.toml", b"").expect("a writable folder");
}

/// The tensors, losses and rows of metrics of a run on `size` ranks, taken from the first.
fn trained(kind: Kind, size: usize, fault: Option<Fault>) -> (Tensors, Vec<f64>, Vec<f64>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    new_run(&folder.path().join("run"));
    let mut results = ranks(size, |group| {
        let group = match fault {
            Some(fault) => fault.in_group(group),
            None => group,
        };
        let mut watch = Watch::default();
        let network = fit(kind, &folder.path().join("run"), group, &mut watch).expect("a finite loss");
        (named::collect(&network), watch.losses)
    });
    let (tensors, losses) = results.swap_remove(0);
    for (others, their_losses) in &results {
        assert_eq!(*others, tensors, "{kind:?}: two ranks have different networks");
        assert_eq!(*their_losses, losses, "{kind:?}: two ranks report different losses");
    }
    let rows = std::fs::read_to_string(folder.path().join("run/metrics.jsonl")).expect("metrics");
    let row = |row: &str| -> Option<f64> {
        serde_json::from_str::<serde_json::Value>(row).ok()?.get("mean_square")?.as_f64()
    };
    let offered: Vec<f64> = rows.lines().filter_map(row).collect();
    (tensors, losses, offered)
}

fn differ(one: &Tensors, other: &Tensors) -> f32 {
    let pairs = one.iter().flat_map(|(path, data)| data.iter::<f32>().zip(other[path].iter::<f32>()));
    pairs.map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f32::max)
}

#[test]
fn ranks_that_share_a_batch_train_the_network_of_one_process() {
    for kind in [Kind::Share, Kind::Group] {
        let (alone, losses, offered) = trained(kind, 1, None);
        assert_eq!((losses.len(), offered.len()), (6, 6));
        for size in [2, 4] {
            let (shared, their_losses, their_offers) = trained(kind, size, None);
            for (path, data) in &shared {
                data.assert_approx_eq::<f32>(&alone[path], Tolerance::absolute(1e-5).set_relative(1e-4));
            }
            let close =
                |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4 * (1.0 + b.abs()));
            assert!(close(&their_losses, &losses), "{kind:?} {size}: {their_losses:?} and {losses:?}");
            assert!(their_offers.len() == 6 && close(&their_offers, &offered), "{kind:?} {size}");
        }
    }
}

#[test]
fn a_group_that_does_not_sum_trains_another_network() {
    for kind in [Kind::Share, Kind::Group] {
        let (alone, _, _) = trained(kind, 1, None);
        let (wrong, _, _) = trained(kind, 2, Some(Fault::Scale(0.5)));
        assert!(differ(&wrong, &alone) > 1e-3, "{kind:?}");
    }
}

#[test]
fn all_ranks_stop_where_one_is_asked_to_and_the_first_writes_the_checkpoint() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = folder.path().join("run");
    new_run(&run);
    let done = ranks(2, |group| {
        let stop_after = (group.rank() == 1).then_some(2);
        let mut watch = Watch { stop_after, ..Watch::default() };
        fit(Kind::Share, &run, group, &mut watch).expect("a finite loss");
        watch.done
    });
    assert_eq!(done, [2, 2]);
    assert!(run.join("checkpoints/last").is_dir());
}

#[test]
fn a_collapse_that_the_first_rank_finds_ends_all_and_leaves_the_checkpoint_from_before_its_first_row() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (size, since) in [(1, 3), (2, 3), (2, 1)] {
        let run = folder.path().join(format!("{size}-{since}"));
        new_run(&run);
        let errors = ranks(size, |group| {
            // The others are not asked.
            let collapses_at = Some(if group.rank() == 0 { 5 } else { 1 });
            let mut watch = Watch { collapses_at, since, ..Watch::default() };
            fit(Kind::Share, &run, group, &mut watch).map(|_| ()).expect_err("a collapse").to_string()
        });
        let good = run.join("checkpoints/last-good");
        let before = match since {
            1 => "there is no checkpoint from before step 1".to_owned(),
            _ => format!("the last good checkpoint is {}", good.display()),
        };
        let expected = format!(
            "all is equal (a-rule: z_std 0, since step {since}), so the run was stopped after step 5 and nothing was saved \
             ({before}): expected a recipe that does not collapse, such as one with optimizer.lr=0.1"
        );
        assert!(errors.iter().all(|error| *error == expected), "{errors:#?}");
        assert_eq!(
            step_of(&run.join("checkpoints/last")),
            Some(4),
            "it was written before the collapse was certain"
        );
        assert_eq!(step_of(&good), (since == 3).then_some(2));
        let rows = std::fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
        assert_eq!(rows.matches("\"finding\":\"a-rule\"").count(), 1, "{rows}");
    }
}

/// The step of a checkpoint, if it is there.
fn step_of(checkpoint: &Path) -> Option<u64> {
    let meta = std::fs::read(checkpoint.join("meta.json")).ok()?;
    serde_json::from_slice::<serde_json::Value>(&meta).ok()?["step"].as_u64()
}

#[test]
fn ranks_whose_weights_differ_end_before_any_are_saved() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = folder.path().join("run");
    new_run(&run);
    let errors = ranks(4, |group| {
        // In a job, a processor that rounds otherwise would take its weights away from those of the others.
        let seed = u64::from(group.rank() == 2);
        let fitted = fit_from(seed, Kind::Share, &run, group, &mut Watch::default());
        fitted.map(|_| ()).expect_err("other weights")
    });
    for error in &errors {
        assert!(matches!(error, TrainError::Drift { step: 3, rank: 2 }), "{error}");
    }
    let sentence = "after step 3 rank 2 has other weights than rank 0, so nothing was saved: expected the same kind of processor, \
                    library and device in every process";
    assert_eq!(errors[0].to_string(), sentence);
    assert!(!run.join("checkpoints/last").exists());
}

/// What a process brings to a run.
#[derive(Clone, Copy)]
struct Own {
    recipe: &'static str,
    images: u8,
    features: usize,
}

/// A run of two ranks, of which the second may bring something else.
fn run_of(first: Own, second: Own) -> Vec<Result<(), TrainError>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = folder.path().join("run");
    new_run(&run);
    let config = TrainConfig {
        schedule: ScheduleConfig { epochs: 1, batch_size: BATCH / 2, ..ScheduleConfig::default() },
        ..TrainConfig::default()
    };
    ranks(2, |group| {
        let own = [first, second][group.rank()];
        let (device, run) = (device(), RunDir::open(&run).expect("a run"));
        let network = Network::of(own.features, &mut Init::new(0, &device.clone().autodiff()));
        let loader = loader_of(own.images, &group);
        let trainer = Trainer::new(&Kind::Share, &config, &run, &device).with_group(group);
        let (trainer, mut watch) = (trainer.with_recipe(own.recipe), Watch::default());
        trainer.fit(network, &loader, Start::New, &mut NoEvaluation, &mut watch).map(|_| ())
    })
}

#[test]
fn ranks_with_other_recipes_images_or_networks_do_not_train_together() {
    let first = Own { recipe: "seed = 0", images: 24, features: 4 };
    assert!(run_of(first, first).iter().all(Result::is_ok));
    for second in
        [Own { recipe: "seed = 1", ..first }, Own { images: 25, ..first }, Own { features: 5, ..first }]
    {
        for result in run_of(first, second) {
            let error = result.expect_err("another run");
            assert!(matches!(error, TrainError::OtherRun { rank: 1 }), "{error}");
            assert!(
                error.to_string().starts_with("rank 1 has another recipe, another network, other images or")
            );
        }
    }
}

#[test]
fn a_batch_that_the_ranks_cannot_share_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = folder.path().join("run");
    new_run(&run);
    let config = TrainConfig {
        schedule: ScheduleConfig { batch_size: 9, ..ScheduleConfig::default() },
        ..TrainConfig::default()
    };
    let errors = ranks(2, |group| {
        let (device, run) = (device(), RunDir::open(&run).expect("a run"));
        let network = Network::init(&mut Init::new(0, &device.clone().autodiff()));
        let trainer = Trainer::new(&Kind::Share, &config, &run, &device).with_group(group);
        let (loader, mut watch) = (loader(&Group::default()), Watch::default());
        let fitted = trainer.fit(network, &loader, Start::New, &mut NoEvaluation, &mut watch);
        fitted.map(|_| ()).expect_err("nine images for two ranks").to_string()
    });
    let sentence = "a micro-batch has 9 images, expected a multiple of the 2 processes that share it";
    assert_eq!(errors, [sentence, sentence]);
}
