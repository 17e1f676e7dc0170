//! Jobs of several processes on this machine (feature `mpi` or `c10d`).
//!
//! `BURN_SSL_LAUNCHER` says what starts them: `mpirun`, which is the default, or `ranks`, the script `xtask/jobs/ranks.sh`, which sets
//! the variables of torchrun.

#[path = "common/mod.rs"]
mod common;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{class_folders, stderr, stdout, text, tiny};
use serde_json::Value;

/// Long enough for a slow machine, and far below what a job that hangs would take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What starts the processes of a job.
#[derive(Clone, Copy, Debug)]
enum Launcher {
    Mpirun,
    Ranks,
}

impl Launcher {
    fn chosen() -> Self {
        match std::env::var("BURN_SSL_LAUNCHER").as_deref() {
            Err(_) | Ok("mpirun") => Self::Mpirun,
            Ok("ranks") => Self::Ranks,
            Ok(other) => panic!("BURN_SSL_LAUNCHER is '{other}', expected mpirun or ranks"),
        }
    }

    /// The command that starts so many processes, without their program.
    fn command(self, processes: usize) -> Command {
        let mut command = match self {
            Self::Mpirun => mpirun(),
            Self::Ranks => ranks(),
        };
        command.arg(processes.to_string()).env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
        command
    }

    /// The variable that has the rank of a process.
    fn rank(self) -> &'static str {
        match self {
            Self::Mpirun => "OMPI_COMM_WORLD_RANK",
            Self::Ranks => "RANK",
        }
    }
}

fn mpirun() -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--oversubscribe", "--bind-to", "none", "-n"]);
    // CI runs as root, in containers that forbid reading the memory of others.
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.env("OMPI_MCA_btl_vader_single_copy_mechanism", "none").env("OMPI_MCA_mpi_yield_when_idle", "1");
    command
}

/// The script in place of torchrun. Jobs of other tests run at the same time, and need other ports.
fn ranks() -> Command {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../xtask/jobs/ranks.sh"));
    command.env("MASTER_PORT", free.expect("a free port").port().to_string());
    command
}

fn job(processes: usize, args: &[&str]) -> Command {
    let mut command = Launcher::chosen().command(processes);
    command.arg(env!("CARGO_BIN_EXE_burn-ssl")).args(args);
    command
}

/// A job whose processes run in the folders `0`, `1` and so on of `parent`.
fn in_folders(processes: usize, parent: &Path, args: &[&str]) -> Command {
    let launcher = Launcher::chosen();
    let enter = format!("cd \"$0/${}\" && exec \"$@\"", launcher.rank());
    let mut command = launcher.command(processes);
    command.args(["sh", "-c", &enter, text(parent), env!("CARGO_BIN_EXE_burn-ssl")]).args(args);
    command
}

/// A job whose processes get an error if a file of theirs would be larger than the system allows, and no signal.
fn job_without_signals_of_size(processes: usize, args: &[&str]) -> Command {
    let mut command = Launcher::chosen().command(processes);
    command.args(["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_burn-ssl")]).args(args);
    command
}

fn run(processes: usize, args: &[&str]) -> Output {
    job(processes, args).output().expect("the launcher is installed")
}

fn done(processes: usize, args: &[&str]) -> Output {
    let output = run(processes, args);
    assert!(output.status.success(), "{processes} processes, {args:?}: {}", stderr(&output));
    output
}

/// The sentences of a job that has to fail, of all processes.
fn sentences(processes: usize, args: &[&str]) -> Vec<String> {
    sentences_of(&run(processes, args))
}

fn sentences_of(output: &Output) -> Vec<String> {
    assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
    let lines = stderr(output).lines().map(str::to_owned).collect::<Vec<_>>();
    lines.iter().filter_map(|line| line.strip_prefix("error: ")).map(str::to_owned).collect()
}

/// An encoder without ReLU, where a rounding error that changes a sign would change whole gradients.
const SMOOTH: [&str; 12] = [
    "--recipe",
    "simclr/cifar10",
    "--model",
    "vit-tiny",
    "--set",
    "encoder.patch_size=8",
    "--set",
    "encoder.embed_dim=24",
    "--set",
    "encoder.heads=2",
    "--set",
    "encoder.depth=2",
];

/// Arguments of a run of three steps an epoch that has a checkpoint after every step.
fn steps<'a>(out: &'a str, epochs: &'a str) -> Vec<&'a str> {
    let more = ["--batch-size", "8", "--epochs", epochs, "--set", "train.sync_bn=true"];
    let every = ["--set", "checkpoint.every_steps=1", "--set", "eval.every_epochs=0"];
    let rest = ["--set", "optimizer.lr=0.01", "--set", "schedule.warmup_epochs=0"];
    [&["pretrain", "--data", "demo:train", "--limit", "24", "--out", out][..], &SMOOTH, &more, &every, &rest]
        .concat()
}

/// A column of the metrics file.
fn column(run: &Path, name: &str) -> Vec<f64> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    rows.filter_map(|row| row[name].as_f64()).collect()
}

fn encoder(run: &Path) -> Vec<u8> {
    fs::read(run.join("encoder.safetensors")).expect("a finished run")
}

/// The largest difference of two values at the same place.
fn furthest(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The values of a safetensors file of float32.
fn floats(file: &[u8]) -> Vec<f32> {
    let header = u64::from_le_bytes(file[..8].try_into().expect("a length")) as usize;
    file[8 + header..].as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn has_checkpoint(run: &Path) -> bool {
    run.join("checkpoints/last/meta.json").exists()
}

/// The step of the last checkpoint.
fn saved_step(run: &Path) -> u64 {
    let meta = fs::read_to_string(run.join("checkpoints/last/meta.json")).expect("a checkpoint");
    let meta: Value = serde_json::from_str(&meta).expect("JSON");
    meta["step"].as_u64().expect("a step")
}

/// Starts a job, whose errors can be read when it ends.
fn spawned(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the launcher is installed")
}

/// Waits for the first checkpoint.
fn started(processes: usize, args: &[&str], out: &Path) -> Child {
    saving(spawned(job(processes, args)), out)
}

fn saving(mut child: Child, out: &Path) -> Child {
    let start = Instant::now();
    while !has_checkpoint(out) {
        assert!(child.try_wait().expect("a child").is_none(), "the job ended before its first checkpoint");
        assert!(start.elapsed() < PATIENCE, "no checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// Waits for the end of a job, which must come.
fn ended(mut child: Child) -> Output {
    let start = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        assert!(start.elapsed() < PATIENCE, "the job hangs");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("a child")
}

/// The processes that write to or read from a run directory, without their launcher.
fn processes_of(out: &Path) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("Linux").filter_map(Result::ok);
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_of = |id: &u32| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.starts_with(env!("CARGO_BIN_EXE_burn-ssl")) && line.contains(text(out))
    };
    ids.filter(is_of).collect()
}

/// Whether a process is the one that writes for all.
fn is_first(id: u32) -> bool {
    let variables = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
    let first = format!("{}=0", Launcher::chosen().rank());
    variables.split(|&byte| byte == 0).any(|variable| variable == first.as_bytes())
}

fn signal(id: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "{id} is there");
}

/// What sends signals to the processes of a job, or to what started them.
type Sends = fn(&Child, &Path);

/// Sends a signal to the last process of a job.
fn signal_one(out: &Path, name: &str) {
    signal(*processes_of(out).last().expect("a process"), name);
}

/// Sends signals to all processes of a job, of which some may have ended.
fn signal_all(out: &Path, names: &[&str]) {
    let ids: Vec<_> = processes_of(out).iter().map(u32::to_string).collect();
    for name in names {
        let status = Command::new("kill").arg(format!("-{name}")).args(&ids).stderr(Stdio::null()).status();
        status.expect("kill is installed");
    }
}

/// Sends a signal to a job as a whole: to mpirun, which hands it on, or to all processes if they have no such launcher.
fn signal_job(job: &Child, out: &Path, name: &str) {
    match Launcher::chosen() {
        Launcher::Mpirun => signal(job.id(), name),
        Launcher::Ranks => signal_all(out, &[name]),
    }
}

#[test]
fn a_job_has_one_directory_and_one_report_and_the_losses_of_one_process() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let of = |processes: usize| {
        let out = dir.path().join(format!("run-{processes}"));
        let output = done(processes, &[&steps(text(&out), "4")[..], &["--json"]].concat());
        assert_eq!(stdout(&output).lines().count(), 1, "{}", stdout(&output));
        assert!(serde_json::from_str::<Value>(stdout(&output).trim()).is_ok());
        let said = stderr(&output);
        assert_eq!(said.matches("expected memory").count(), 1, "{said}");
        out
    };
    let one = column(&of(1), "train_loss");
    assert!(one.len() >= 4, "a row for every epoch: {one:?}");
    for processes in [2, 4] {
        let out = of(processes);
        let losses = column(&out, "train_loss");
        let near = one.iter().zip(&losses).all(|(one, other)| (one - other).abs() < 1e-4 * one.abs());
        assert!(near && losses.len() == one.len(), "{processes} processes: {losses:?}, alone: {one:?}");
        assert!(column(&out, "comm_time").iter().all(|seconds| *seconds > 0.0));
        let seen = column(&out, "view_retrieval");
        assert_eq!(
            seen[0],
            column(&dir.path().join("run-1"), "view_retrieval")[0],
            "of the untrained network"
        );
        assert!(out.join("views.png").exists() && out.join("recipe.toml").exists());
    }
    assert!(column(&dir.path().join("run-1"), "comm_time").is_empty());
}

#[test]
fn gradients_of_a_job_are_sums_and_not_means() {
    // Plain SGD for one step: were gradients divided by the number of processes, the weights would move half as far.
    let dir = tempfile::tempdir().expect("a temporary folder");
    let after = |processes: usize, rate: &str| {
        let out = dir.path().join(format!("run-{processes}-{rate}"));
        let plain = ["--max-steps", "1", "--set", "optimizer.momentum=0", "--set", rate];
        let undecayed = ["--set", "optimizer.weight_decay=0"];
        done(processes, &[&steps(text(&out), "4")[..], &plain, &undecayed].concat());
        (column(&out, "grad_norm")[0], floats(&encoder(&out)))
    };
    let rate = "optimizer.lr=1";
    let ((one, after_one), (two, after_two)) = (after(1, rate), after(2, rate));
    assert!((one - two).abs() < 1e-4 * one, "{one} alone, {two} with two processes");
    let (_, before) = after(1, "optimizer.lr=0");
    let (moved, furthest) = (furthest(&before, &after_one), furthest(&after_one, &after_two));
    assert!(moved > 1e-4, "weights move by {moved}");
    assert!(furthest < 1e-3 * moved, "weights differ by {furthest} after they moved by {moved}");
}

#[test]
fn two_runs_with_as_many_processes_have_the_same_bytes_and_a_resumed_run_too() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for sync in ["train.sync_bn=true", "train.sync_bn=false"] {
        let name = |which: &str| dir.path().join(format!("{sync}-{which}"));
        let arguments = |out: &Path, epochs: &'static str| -> Vec<String> {
            let arguments = [&steps(text(out), epochs)[..], &["--set", sync]].concat();
            arguments.into_iter().map(str::to_owned).collect()
        };
        let run = |out: &Path, epochs: &'static str| {
            let arguments = arguments(out, epochs);
            done(2, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        };
        let (first, second) = (name("first"), name("second"));
        run(&first, "4");
        run(&second, "4");
        assert_eq!(encoder(&first), encoder(&second), "{sync}");

        let killed = name("killed");
        let arguments = arguments(&killed, "4");
        let child = started(2, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), &killed);
        let ids = processes_of(&killed);
        assert!(!ids.is_empty());
        ids.iter().for_each(|id| drop(Command::new("kill").args(["-KILL", &id.to_string()]).status()));
        assert!(!ended(child).status.success());
        done(2, &["pretrain", "--resume", "--out", text(&killed)]);
        assert_eq!(encoder(&first), encoder(&killed), "{sync}");
    }
}

#[test]
fn a_run_goes_on_with_another_number_of_processes() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (whole, out) = (dir.path().join("whole"), dir.path().join("run"));
    done(1, &steps(text(&whole), "4"));
    let child = started(4, &steps(text(&out), "4"), &out);
    processes_of(&out).iter().take(1).for_each(|id| signal(*id, "KILL"));
    assert!(!ended(child).status.success());
    done(2, &["pretrain", "--resume", "--out", text(&out)]);
    let (one, other) = (column(&whole, "train_loss"), column(&out, "train_loss"));
    let near = one.iter().zip(&other).all(|(one, other)| (one - other).abs() < 1e-4 * one.abs());
    assert!(near && one.len() == other.len(), "{other:?}, alone: {one:?}");
}

#[test]
fn a_killed_process_ends_the_job() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("run");
    let child = started(3, &[&steps(text(&out), "400")[..], &["--batch-size", "12"]].concat(), &out);
    let victim = *processes_of(&out).last().expect("three processes");
    signal(victim, "KILL");
    assert!(!ended(child).status.success());
    assert!(processes_of(&out).is_empty(), "nothing is left running");
}

#[test]
fn signals_of_a_scheduler_stop_all_with_a_checkpoint_and_the_code_to_start_again() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sends: [(&str, Sends); 4] = [
        ("usr1-to-one", |_, out| signal_one(out, "USR1")),
        ("term-to-one", |_, out| signal_one(out, "TERM")),
        ("usr1-to-the-job", |job, out| signal_job(job, out, "USR1")),
        ("many-to-all", |_, out| signal_all(out, &["USR1", "USR1", "TERM", "TERM"])),
    ];
    for (name, send) in sends {
        let out = dir.path().join(name);
        let child = started(2, &steps(text(&out), "400"), &out);
        send(&child, &out);
        let output = ended(child);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(75), "{name}: {said}");
        assert_eq!(said.matches("stopped and saved after step").count(), 1, "{name}: {said}");
        assert!(!out.join("encoder.safetensors").exists(), "{name}");
        let last = column(&out, "step").pop().expect("rows") as u64 + 6;
        done(2, &["pretrain", "--resume", "--out", text(&out), "--max-steps", &last.to_string()]);
        assert!(out.join("encoder.safetensors").exists(), "{name}");
    }
}

#[test]
fn a_signal_ends_a_command_without_checkpoints_at_once() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 12), dir.path().join("run"));
    done(1, &tiny(text(&images), text(&out)));
    let endless = ["linear", "--epochs", "100000", "--batch-size", "6", "--run", text(&out)];
    let sets = ["--train", text(&images), "--test", text(&images)];
    let child = spawned(job(2, &[&endless[..], &sets].concat()));
    let start = Instant::now();
    while processes_of(&out).len() < 2 {
        assert!(start.elapsed() < PATIENCE, "no processes");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_secs(3)); // until they train
    signal(processes_of(&out)[0], "TERM");
    let output = ended(child);
    let said = stderr(&output);
    assert!(!output.status.success(), "{said}");
    assert!(!said.contains("stopping after this step"), "{said}");
    assert!(processes_of(&out).is_empty(), "nothing is left running");
}

#[test]
fn an_error_is_one_sentence_of_one_process() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 12), dir.path().join("run"));
    let missing = sentences(3, &tiny("/no/such/folder", text(&out)));
    assert_eq!(missing, ["there is no file or folder at /no/such/folder"]);
    let uneven = sentences(3, &tiny(text(&images), text(&out)));
    assert_eq!(uneven, ["a micro-batch has 8 images, expected a multiple of the 3 processes that share it"]);
    assert!(!out.exists());
    done(2, &tiny(text(&images), text(&out)));
    let exists = sentences(2, &tiny(text(&images), text(&out)));
    assert!(exists.len() == 1 && exists[0].contains("already exists"), "{exists:?}");
    let splits = ["--batch-size", "16", "--set", "encoder.bn_splits=8", "--overwrite"];
    let groups = sentences(4, &[&tiny(text(&images), text(&out))[..], &splits].concat());
    let expected = "1, or a divisor of these images that leaves every group 2 or more";
    let found = "encoder.bn_splits is 8 for the 4 images that each of 4 processes has at a time";
    assert_eq!(groups, [format!("{found}, expected {expected}")]);
    let usage = run(2, &["pretrain", "--bogus"]);
    assert_eq!(
        (usage.status.code(), stderr(&usage).matches("error:").count()),
        (Some(2), 1),
        "{}",
        stderr(&usage)
    );
}

#[test]
fn a_run_directory_that_is_removed_ends_all_with_one_sentence() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("run");
    let child = started(2, &steps(text(&out), "400"), &out);
    // At once, since the job writes to it meanwhile.
    fs::rename(&out, dir.path().join("elsewhere")).expect("a folder");
    let output = ended(child);
    let said = stderr(&output);
    assert_eq!(said.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
}

#[test]
fn images_that_one_process_cannot_read_end_all() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (good, bad, out) = (dir.path().join("0"), dir.path().join("1"), dir.path().join("run"));
    class_folders(&good, 12);
    let damaged = class_folders(&bad, 12);
    for class in ["bright", "dark"] {
        // Some are left, by which images are recognised, and all keep their lengths, which processes compare.
        for index in 2..12 {
            let path = damaged.join(class).join(format!("{index:02}.png"));
            let bytes = fs::read(&path).expect("an image");
            fs::write(&path, vec![0_u8; bytes.len()]).expect("writable");
        }
    }
    // One path for both processes, so that they have one recipe, to the images of each.
    let args = [&tiny("/proc/self/cwd/images-12", text(&out))[..], &["--epochs", "400"]].concat();
    let output = ended(spawned(in_folders(2, dir.path(), &args)));
    let said = sentences_of(&output);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("rank 1: ") && said[0].contains("of 24 images cannot be read"), "{said:?}");
    assert!(!out.join("encoder.safetensors").exists());
}

#[test]
fn weights_that_diverged_end_all_and_are_not_saved() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 12), dir.path().join("run"));
    let diverging = ["--lr", "1e6", "--set", "optimizer.lr_scale_batch=1"];
    // The rate of the first step is 0, so that the first checkpoint is a good one.
    let rest = ["--set", "optimizer.weight_decay=1000", "--set", "schedule.warmup_epochs=1"];
    let every = ["--set", "checkpoint.every_steps=1", "--epochs", "8"];
    let args = [&tiny(text(&images), text(&out))[..], &diverging, &rest, &every].concat();
    let said = sentences(2, &args);
    assert!(said.len() == 1 && said[0].contains("finite") && !said[0].starts_with("rank"), "{said:?}");
    assert!(said[0].contains("checkpoints/last)"), "{said:?}");
    assert!(has_checkpoint(&out) && !out.join("encoder.safetensors").exists());
}

#[test]
fn a_first_process_that_cannot_write_ends_all_and_leaves_what_a_run_goes_on_from() {
    // A full disk needs root. A limit on the length of files is as final, and comes as late.
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("run");
    let job = job_without_signals_of_size(2, &steps(text(&out), "400"));
    let child = saving(spawned(job), &out);
    let first = processes_of(&out).into_iter().find(|id| is_first(*id)).expect("a first process");
    let limit = Command::new("prlimit").args(["--pid", &first.to_string(), "--fsize=1024:1024"]).status();
    if !limit.is_ok_and(|status| status.success()) {
        signal(first, "KILL");
        ended(child);
        panic!("prlimit cannot limit another process of this user, expected that of the package util-linux");
    }
    let said = sentences_of(&ended(child));
    assert!(said.len() == 1 && said[0].contains("File too large"), "{said:?}");
    assert!(!said[0].starts_with("rank"), "{said:?}");
    let last = saved_step(&out) + 6;
    done(2, &["pretrain", "--resume", "--out", text(&out), "--max-steps", &last.to_string()]);
    assert!(out.join("encoder.safetensors").exists());
}

/// The loss and the weights of a classifier trained by so many processes.
fn classifier(processes: usize, args: &[&str], out: &Path) -> (f64, Vec<f32>) {
    let output = done(processes, &[args, &["--out", text(out), "--json"]].concat());
    let report: Value = serde_json::from_str(stdout(&output).trim()).expect("one line of JSON");
    let file = fs::read(out.join("classifier.safetensors")).expect("a classifier");
    (report["train_loss"].as_f64().expect("a loss"), floats(&file))
}

#[test]
fn classifiers_of_a_job_are_those_of_one_process() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, teacher) = (class_folders(dir.path(), 12), dir.path().join("finetune-1"));
    let images = text(&images);
    // Without batch norm, whose statistics would be those of each process.
    let network = ["finetune", "--untrained", "--model", "vit-tiny", "--image-size", "16"];
    let length = ["--epochs", "2", "--batch-size", "8", "--warmup-epochs", "0"];
    // An image is mixed with one that another process has.
    let mixed = ["--mixup", "0.8", "--cutmix", "1"];
    let finetune = [&network[..], &["--train", images, "--test", images], &length, &mixed].concat();
    let distill = [&["distill", "--teacher", text(&teacher), "--data", images][..], &length].concat();
    for args in [finetune, distill] {
        let of = |processes: usize| {
            classifier(processes, &args, &dir.path().join(format!("{}-{processes}", args[0])))
        };
        let ((loss, weights), (shared_loss, shared)) = (of(1), of(2));
        assert!((loss - shared_loss).abs() < 1e-4 * loss.abs(), "{}: {loss} {shared_loss}", args[0]);
        let furthest = furthest(&weights, &shared);
        assert!(furthest < 1e-4, "{}: weights differ by {furthest}", args[0]);
    }
}

#[test]
fn evaluation_shares_its_images_and_finds_the_same() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 12), dir.path().join("run"));
    let images = text(&images);
    done(1, &tiny(images, text(&out)));
    let found = |processes: usize, args: &[&str]| -> Value {
        let output = done(processes, &[args, &["--run", text(&out), "--json"]].concat());
        serde_json::from_str(stdout(&output).trim()).expect("one line of JSON")
    };
    let knn = ["knn", "--train", images, "--test", images];
    assert_eq!(found(1, &knn), found(3, &knn));
    for cached in [&["--cached"][..], &[]] {
        let linear =
            [&["linear", "--train", images, "--test", images, "--epochs", "2", "--batch-size", "6"], cached];
        let [one, three] = [1, 3].map(|processes| found(processes, &linear.concat())["train_loss"].as_f64());
        let [one, three] = [one, three].map(|loss| loss.expect("a loss"));
        assert!((one - three).abs() < 1e-5 * one, "{one} {three}");
    }
    let files = [1, 3].map(|processes| {
        let file = dir.path().join(format!("{processes}.csv"));
        found(processes, &["embed", "--data", images, "--out", text(&file)]);
        fs::read(file).expect("written")
    });
    assert_eq!(files[0], files[1]);
}
