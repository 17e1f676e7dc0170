//! What goes wrong during and after a run: nothing is lost, and nothing is wrong in silence.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output};

use burn_ssl::core::named;
use burn_ssl::train::RunDir;
use common::{class_folders, finished, json, run, sentence, stderr, text, tiny};

/// The largest rate and weight decay, which no weights stand for more than a few steps.
const DIVERGING: [&str; 6] =
    ["--lr", "1e6", "--set", "optimizer.lr_scale_batch=1", "--set", "optimizer.weight_decay=1000"];

/// Starts a run that is not over soon, and waits for its first checkpoint.
fn started(images: &Path, out: &Path) -> Child {
    common::started(images, out, "40")
}

/// A run that was killed after its first checkpoint.
fn killed(images: &Path, out: &Path) {
    let mut child = started(images, out);
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    assert!(!out.join("encoder.safetensors").exists(), "the run was over before it was killed");
}

fn resume(out: &Path, more: &[&str]) -> Output {
    run(&[&["pretrain", "--resume", "--out", text(out)][..], more].concat())
}

/// The error of a resume that is refused.
fn refused(out: &Path) -> String {
    let output = resume(out, &[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    said.lines().last().unwrap_or_default().to_owned()
}

/// Arguments of a fine-tuning of one epoch from an untrained network.
fn finetuning<'a>(images: &'a str, out: &'a str) -> Vec<&'a str> {
    let network = ["finetune", "--untrained", "--width", "4", "--image-size", "16"];
    let sets = ["--train", images, "--test", images, "--epochs", "1", "--batch-size", "8", "--out", out];
    [&network[..], &sets].concat()
}

fn bytes(path: PathBuf) -> Vec<u8> {
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below a folder.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.insert(path.clone(), bytes(path));
        }
    }
    files
}

#[test]
fn weights_that_diverged_are_not_saved() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 10), dir.path().join("run"));
    // The rate of the first step is 0, so that the first checkpoint is a good one.
    let more = ["--set", "schedule.warmup_epochs=1", "--set", "checkpoint.every_steps=1"];
    let output = run(&[&tiny(text(&images), text(&out))[..], &DIVERGING, &more].concat());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is not finite after step 3, so nothing was saved"), "{said}");
    assert!(said.contains("optimizer.lr") && said.contains("checkpoints/last)"), "{said}");
    assert!(!out.join("encoder.safetensors").exists());
    let meta = String::from_utf8(bytes(out.join("checkpoints/last/meta.json"))).expect("text");
    assert!(meta.contains("\"step\": 2,"), "{meta}");

    let alone = dir.path().join("alone");
    let more = ["--max-steps", "3", "--set", "checkpoint.every_epochs=100"];
    let said = stderr(&run(&[&tiny(text(&images), text(&alone))[..], &DIVERGING, &more].concat()));
    assert!(said.contains("after step 3, so nothing was saved") && !said.contains("last good"), "{said}");
    assert!(!alone.join("encoder.safetensors").exists() && !alone.join("checkpoints/last").exists());
}

#[test]
fn classifiers_that_diverged_are_not_saved() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, tuned, student) =
        (class_folders(dir.path(), 4), dir.path().join("tuned"), dir.path().join("student"));
    let images = text(&images);
    let finetune = |out: &str, more: &[&str]| {
        let args = [
            "finetune",
            "--untrained",
            "--width",
            "4",
            "--image-size",
            "16",
            "--train",
            images,
            "--test",
            images,
        ];
        let args = [&args[..], &["--epochs", "1", "--batch-size", "8", "--out", out]].concat();
        run(&[&args[..], more].concat())
    };
    let diverging = ["--lr", "1e6", "--weight-decay", "1000", "--epochs", "8"];
    let said = stderr(&finetune(text(&tuned), &diverging));
    assert!(said.contains("is not finite after step 3, so nothing was saved"), "{said}");
    assert!(!tuned.join("classifier.safetensors").exists() && !tuned.join("encoder.safetensors").exists());

    let teacher = dir.path().join("teacher");
    assert!(finetune(text(&teacher), &[]).status.success());
    let args = ["distill", "--teacher", text(&teacher), "--data", images, "--out", text(&student)];
    let more = ["--batch-size", "8", "--warmup-epochs", "0"];
    let said = stderr(&run(&[&args[..], &more, &diverging].concat()));
    assert!(said.contains("is not finite after step 3, so nothing was saved"), "{said}");
    assert!(!student.join("classifier.safetensors").exists());
}

#[test]
fn weights_that_are_not_finite_are_not_used() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = finished(dir.path(), &[]);
    let path = out.join("encoder.safetensors");
    let (mut tensors, description) = named::decode(&bytes(path.clone())).expect("own file");
    // As earlier versions wrote it, without a checksum.
    let (description, _) = description.rsplit_once(",\"checksum\"").expect("a checksum");
    let (_, variance) =
        tensors.iter_mut().find(|(name, _)| name.ends_with("running_var")).expect("batch norm");
    variance.as_mut_slice::<f32>().expect("float32")[0] = f32::INFINITY;
    fs::write(&path, named::encode(&tensors, &format!("{description}}}"))).expect("writable");

    let features = dir.path().join("features.csv");
    let embed = ["embed", "--run", text(&out), "--data", text(&images), "--out", text(&features)];
    let knn = ["knn", "--run", text(&out), "--train", text(&images), "--test", text(&images)];
    for args in [&embed[..], &knn[..]] {
        let said = stderr(&run(args));
        assert!(said.contains("is not finite: the weights are damaged or have diverged"), "{said}");
    }
    assert!(!features.exists());
}

#[test]
fn a_flipped_bit_in_an_encoder_is_noticed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = finished(dir.path(), &[]);
    let path = out.join("encoder.safetensors");
    let mut flipped = bytes(path.clone());
    let place = flipped.len() - 30;
    flipped[place] ^= 1;
    fs::write(&path, flipped).expect("writable");
    let features = dir.path().join("features.csv");
    let said = sentence(&["embed", "--run", text(&out), "--data", text(&images), "--out", text(&features)]);
    assert!(said.contains("encoder.safetensors") && said.contains("not as it was written"), "{said}");
    assert!(!features.exists());
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_newest_intact_one() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (_, out) = finished(dir.path(), &[]);
    let whole = bytes(out.join("encoder.safetensors"));
    fs::remove_file(out.join("encoder.safetensors")).expect("removable");
    fs::remove_file(out.join("checkpoints/last/meta.json")).expect("removable");
    let student = out.join("checkpoints/step-4/student.safetensors");
    let mut flipped = bytes(student.clone());
    let place = flipped.len() - 2;
    flipped[place] ^= 1;
    fs::write(&student, flipped).expect("writable");

    let output = resume(&out, &[]);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("last: meta.json is missing; going on from "), "{said}");
    assert!(
        said.contains("student.safetensors is not as it was written") && said.contains("of step 3"),
        "{said}"
    );
    assert_eq!(bytes(out.join("encoder.safetensors")), whole);
    assert!(out.join("checkpoints/last.damaged-1/student.safetensors").exists(), "it is kept to look at");
}

#[test]
fn without_an_intact_checkpoint_nothing_is_touched() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (_, out) = finished(dir.path(), &[]);
    for name in ["last", "step-3", "step-4"] {
        fs::remove_file(out.join("checkpoints").join(name).join("meta.json")).expect("removable");
    }
    let checkpoints = || tree(&out.join("checkpoints"));
    let before = checkpoints();
    let said = sentence(&["pretrain", "--resume", "--out", text(&out)]);
    assert!(said.contains("is intact (") && said.contains("last: meta.json is missing"), "{said}");
    assert_eq!(checkpoints(), before);
}

#[test]
fn a_finished_run_without_checkpoints_is_left_as_it_is() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (_, out) = finished(dir.path(), &[]);
    fs::remove_dir_all(out.join("checkpoints")).expect("removable");
    let before = tree(&out);
    for more in [&[][..], &["--epochs", "200"], &["--workers", "2"]] {
        let output = resume(&out, more);
        let said = stderr(&output);
        assert!(!output.status.success() && said.contains("has no checkpoint to go on from"), "{said}");
    }
    let without_lock = |files: BTreeMap<PathBuf, Vec<u8>>| {
        files.into_iter().filter(|(path, _)| !path.ends_with("run.lock")).collect::<Vec<_>>()
    };
    assert_eq!(without_lock(tree(&out)), without_lock(before));
}

#[test]
fn an_edited_record_is_not_compared_with_itself() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = finished(dir.path(), &[]);
    let recipe = fs::read_to_string(out.join("recipe.toml")).expect("a recipe");
    let edited = recipe.replace("lr = 0.06", "lr = 0.5");
    assert_ne!(edited, recipe);
    fs::write(out.join("recipe.toml"), edited).expect("writable");
    let said = sentence(&["pretrain", "--resume", "--out", text(&out)]);
    assert!(
        said.contains("recipe.toml was changed after the run began: optimizer.lr is 0.5 in it and 0.06 in"),
        "{said}"
    );

    let (tuned, images) = (dir.path().join("tuned"), text(&images));
    let args = finetuning(images, text(&tuned));
    assert!(run(&args).status.success());
    let record = fs::read_to_string(tuned.join("classifier.toml")).expect("a record");
    fs::write(tuned.join("classifier.toml"), record.replace("lr = 0.05", "lr = 0.5")).expect("writable");
    let said = sentence(&[&args[..], &["--resume", "--lr", "0.5"]].concat());
    assert!(said.contains("classifier.toml was changed after the run began: optimizer.lr"), "{said}");
}

#[test]
fn a_damaged_record_is_named() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (_, out) = finished(dir.path(), &[]);
    let recipe = fs::read_to_string(out.join("recipe.toml")).expect("a recipe");
    let cut = recipe[..recipe.find("[schedule]").expect("a section")].to_owned();
    for (damaged, wrong) in [
        (String::new(), "the recipe has no 'method', "),
        (cut, "the recipe has no 'schedule', "),
        (recipe.replace("accumulate = ", "Accumulate = "), "unknown key 'train.Accumulate'"),
    ] {
        assert_ne!(damaged, recipe);
        fs::write(out.join("recipe.toml"), damaged).expect("writable");
        let said = sentence(&["pretrain", "--resume", "--out", text(&out)]);
        assert!(said.contains(&format!("recipe.toml: {wrong}")), "{said}");
    }
}

#[test]
fn images_that_changed_are_named_and_accepted_on_request() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 12), dir.path().join("run"));
    killed(&images, &out);
    let more = images.join("dark/zz.png");
    fs::copy(images.join("dark/00.png"), &more).expect("writable");
    let said = refused(&out);
    assert!(said.contains("there are 25 images, and the run started with 24"), "{said}");
    assert!(said.ends_with("try --accept-changed-data"), "{said}");
    fs::remove_file(&more).expect("removable");

    fs::rename(images.join("dark/00.png"), images.join("dark/0.png")).expect("renamed");
    let said = refused(&out);
    assert!(said.contains("other names, labels or another order"), "{said}");
    fs::rename(images.join("dark/0.png"), images.join("dark/00.png")).expect("renamed");

    let whole = bytes(images.join("dark/03.png"));
    fs::copy(images.join("dark/04.png"), images.join("dark/03.png")).expect("writable");
    assert_ne!(bytes(images.join("dark/03.png")).len(), whole.len());
    let said = refused(&out);
    assert!(said.contains("the images have files of other lengths than when the run started"), "{said}");

    for class in ["bright", "dark"] {
        for entry in fs::read_dir(images.join(class)).expect("a folder") {
            let path = entry.expect("readable").path();
            image::RgbImage::from_pixel(16, 16, image::Rgb([9, 9, 9])).save(path).expect("writable");
        }
    }
    let output = resume(&out, &["--accept-changed-data"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn one_process_writes_a_run_at_a_time() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 12), dir.path().join("run"));
    let mut child = started(&images, &out);
    let holder = format!("is in use by process {} on ", child.id());
    let new = tiny(text(&images), text(&out));
    for args in
        [&new[..], &[&new[..], &["--overwrite"]].concat(), &["pretrain", "--resume", "--out", text(&out)]]
    {
        let said = sentence(args);
        assert!(said.contains(&holder), "{said}");
    }
    assert!(child.try_wait().expect("a child").is_none(), "the run goes on");
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    let output = run(&[&new[..], &["--overwrite", "--max-steps", "1"]].concat());
    assert!(output.status.success(), "a lock ends with its process: {}", stderr(&output));
}

#[test]
fn one_process_writes_a_training_with_labels_at_a_time() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 4);
    let (images, teacher, student) = (text(&images), dir.path().join("teacher"), dir.path().join("student"));
    let finetune = finetuning(images, text(&teacher));
    let args = ["distill", "--teacher", text(&teacher), "--data", images, "--out", text(&student)];
    let distill = [&args[..], &["--epochs", "1", "--batch-size", "8"]].concat();
    for (training, out) in [(&finetune, &teacher), (&distill, &student)] {
        let output = run(training);
        assert!(output.status.success(), "{}", stderr(&output));
        let _held = RunDir::open_classifier(out).and_then(RunDir::locked).expect("nobody writes it");
        let holder = format!("is in use by process {} on ", std::process::id());
        let before = tree(&out.join("checkpoints"));
        for more in ["--resume", "--overwrite"] {
            let output = run(&[&training[..], &[more]].concat());
            assert!(!output.status.success() && stderr(&output).contains(&holder), "{}", stderr(&output));
        }
        assert_eq!(tree(&out.join("checkpoints")), before);
    }
}

#[test]
fn an_evaluation_that_a_kill_cut_off_is_made_up_for() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 10);
    let (_, out) = finished(dir.path(), &["--eval-test", text(&images), "--eval-every", "1"]);
    let metrics = out.join("metrics.jsonl");
    let rows = fs::read_to_string(&metrics).expect("metrics");
    let evaluations = |rows: &str| -> Vec<String> {
        rows.lines().filter(|row| row.contains("knn_top1")).map(str::to_owned).collect()
    };
    assert_eq!(evaluations(&rows).len(), 3, "{rows}");
    let (encoder, last) = (bytes(out.join("encoder.safetensors")), evaluations(&rows)[2].clone());

    // What a process leaves that was killed between the last checkpoint and the evaluation.
    fs::remove_file(out.join("encoder.safetensors")).expect("removable");
    fs::write(&metrics, rows.replace(&format!("{last}\n"), "")).expect("writable");
    assert!(resume(&out, &[]).status.success());
    assert_eq!(evaluations(&fs::read_to_string(&metrics).expect("metrics")), evaluations(&rows));
    assert_eq!(bytes(out.join("encoder.safetensors")), encoder);

    // The same after the first epoch, which the checkpoint step-2 would be of.
    assert!(resume(&out, &[]).status.success());
    assert_eq!(evaluations(&fs::read_to_string(&metrics).expect("metrics")).len(), 3, "nothing comes twice");
}

#[test]
fn files_that_no_run_wrote_are_not_overwritten() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 4), dir.path().join("d"));
    fs::create_dir_all(out.join("checkpoints")).expect("writable");
    fs::write(out.join("checkpoints/thesis.txt"), "mine").expect("writable");
    let said = sentence(&[&tiny(text(&images), text(&out))[..], &["--overwrite"]].concat());
    assert!(said.contains("no run wrote them"), "{said}");
    assert_eq!(bytes(out.join("checkpoints/thesis.txt")), b"mine");
    assert_eq!(fs::read_dir(&out).expect("a folder").count(), 1);
}

#[cfg(unix)]
#[test]
fn a_run_whose_directory_is_removed_ends() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 12), dir.path().join("run"));
    let child = started(&images, &out);
    // The run may add a file while its directory is being removed.
    while out.join("run.lock").exists() {
        let _ = fs::remove_dir_all(&out);
    }
    let output = child.wait_with_output().expect("it ends");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("was removed or replaced during the run"), "{said}");
    assert!(!out.join("encoder.safetensors").exists());
}

#[test]
fn numbers_that_no_run_can_use_are_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 10), dir.path().join("run"));
    for (setting, start) in [
        ("schedule.epochs=4611686018427387904", "schedule.epochs is 4611686018427387904, expected at most"),
        ("train.accumulate=8", "train.accumulate is 8, expected at most half of schedule.batch_size"),
        ("optimizer.lr=1e308", "optimizer.lr is 1"),
        ("optimizer.weight_decay=1e308", "optimizer.weight_decay is 1"),
        ("method_options.temperature=1e308", "method_options.temperature is 1"),
        ("schedule.max_steps=1099511627776", "schedule.max_steps is 1099511627776, expected at least 1"),
        ("data.workers=100000", "data.workers is 100000, expected at most 1024"),
    ] {
        let said = sentence(&[&tiny(text(&images), text(&out))[..], &["--set", setting]].concat());
        assert!(said.starts_with(start), "{said}");
        assert!(!out.exists());
    }
}

#[test]
fn what_a_resume_does_not_need_does_not_block_it() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, first) = finished(dir.path(), &[]);
    let (start, out) = (dir.path().join("start.safetensors"), dir.path().join("second"));
    fs::copy(first.join("encoder.safetensors"), &start).expect("writable");
    let init = format!("encoder.init={}", text(&start));
    let args = [&tiny(text(&images), text(&out))[..], &["--set", &init]].concat();
    let whole = json(&args)["steps"].clone();
    let encoder = bytes(out.join("encoder.safetensors"));
    for name in ["encoder.safetensors", "metrics.jsonl"] {
        fs::remove_file(out.join(name)).expect("removable");
    }
    fs::write(out.join("metrics.jsonl"), b"{\"step\":1,\"\xff\xfe\"}\n").expect("writable");
    fs::write(out.join("recipe.toml.tmp"), "half").expect("writable");
    fs::remove_file(&start).expect("removable");
    let output = resume(&out, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(bytes(out.join("encoder.safetensors")), encoder);
    assert_eq!(whole, 4);
}

#[test]
fn trainings_with_labels_resume_as_carefully() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 4);
    let (images, teacher) = (text(&images), dir.path().join("teacher"));
    let finetune = finetuning(images, text(&teacher));
    assert!(run(&finetune).status.success());

    let (start, student) = (dir.path().join("start.safetensors"), dir.path().join("student"));
    fs::copy(teacher.join("encoder.safetensors"), &start).expect("writable");
    let args = ["distill", "--teacher", text(&teacher), "--data", images, "--out", text(&student)];
    let more = ["--epochs", "1", "--batch-size", "8", "--width", "4", "--init", text(&start)];
    let distill = [&args[..], &more].concat();
    let output = run(&distill);
    assert!(output.status.success(), "{}", stderr(&output));
    let classifier = bytes(student.join("classifier.safetensors"));
    fs::remove_file(student.join("classifier.safetensors")).expect("removable");
    fs::remove_file(&start).expect("removable");
    let output = run(&[&distill[..], &["--resume"]].concat());
    assert!(output.status.success(), "the checkpoint has the weights: {}", stderr(&output));
    assert_eq!(bytes(student.join("classifier.safetensors")), classifier);

    fs::remove_file(teacher.join("checkpoints/last/meta.json")).expect("removable");
    let before = tree(&teacher.join("checkpoints"));
    let output = run(&[&finetune[..], &["--resume"]].concat());
    let said = stderr(&output);
    assert!(!output.status.success() && said.contains("last: meta.json is missing"), "{said}");
    assert_eq!(tree(&teacher.join("checkpoints")), before);
}

#[test]
fn trainings_with_labels_that_no_machine_has_room_for_leave_no_directory() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, teacher, out) =
        (class_folders(dir.path(), 32), dir.path().join("teacher"), dir.path().join("out"));
    let sets = ["finetune", "--train", text(&images), "--test", text(&images), "--batch-size", "64"];
    let network = ["--untrained", "--model", "resnet50", "--image-size", "8192", "--out", text(&out)];
    let said = sentence(&[&sets[..], &network].concat());
    assert!(
        said.starts_with("the run needs about ") && said.contains("activations of the encoder"),
        "{said}"
    );
    assert!(said.ends_with("expected a smaller batch_size or smaller images") && !out.exists(), "{said}");

    assert!(run(&finetuning(text(&images), text(&teacher))).status.success());
    let args = ["distill", "--teacher", text(&teacher), "--data", text(&images), "--out", text(&out)];
    let said = sentence(&[&args[..], &["--model", "resnet152", "--width", "2048"]].concat());
    assert!(said.starts_with("the run needs about ") && said.contains(", of it "), "{said}");
    assert!(said.ends_with("expected a smaller network") && !out.exists(), "{said}");
}

#[test]
fn a_distillation_does_not_go_on_with_another_teacher() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 4);
    let (images, teacher, student) = (text(&images), dir.path().join("teacher"), dir.path().join("student"));
    let tune = |seed: &str| {
        let args = [&finetuning(images, text(&teacher))[..], &["--overwrite", "--seed", seed]].concat();
        let output = run(&args);
        assert!(output.status.success(), "{}", stderr(&output));
    };
    tune("0");
    let args = ["distill", "--teacher", text(&teacher), "--data", images, "--out", text(&student)];
    let distill = [&args[..], &["--epochs", "1", "--batch-size", "8"]].concat();
    assert!(run(&distill).status.success());
    let resumed = [&distill[..], &["--resume"]].concat();
    let output = run(&resumed);
    assert!(output.status.success(), "the same teacher: {}", stderr(&output));

    tune("1");
    let output = run(&resumed);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("options.teacher_hash is ") && said.contains("expected the same options"),
        "{said}"
    );
}

#[test]
fn trainings_with_labels_accept_another_number_of_images_on_request() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, tuned) = (class_folders(dir.path(), 4), dir.path().join("tuned"));
    let (teacher, student) = (dir.path().join("teacher"), dir.path().join("student"));
    assert!(run(&finetuning(text(&images), text(&teacher))).status.success());
    let finetune = finetuning(text(&images), text(&tuned));
    let args = ["distill", "--teacher", text(&teacher), "--data", text(&images), "--out", text(&student)];
    let distill = [&args[..], &["--epochs", "1", "--batch-size", "8"]].concat();
    assert!(run(&finetune).status.success() && run(&distill).status.success());

    fs::copy(images.join("dark/00.png"), images.join("dark/zz.png")).expect("writable");
    for command in [finetune, distill] {
        let resumed = [&command[..], &["--resume"]].concat();
        let said = stderr(&run(&resumed));
        assert!(said.contains("there are 9 images, and the run started with 8"), "{said}");
        assert!(said.trim_end().ends_with("try --accept-changed-data"), "{said}");
        let output = run(&[&resumed[..], &["--accept-changed-data"]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

#[test]
fn a_stopped_run_whose_recipe_was_edited_is_described_by_its_checkpoint() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = finished(dir.path(), &["--seed", "3"]);
    fs::remove_file(out.join("encoder.safetensors")).expect("removable");
    let recipe = fs::read_to_string(out.join("recipe.toml")).expect("a recipe");
    let edited = recipe.replace("seed = 3\n", "seed = 7\n").replace("width = 4\n", "width = 8\n");
    let edited = edited.replace("epochs = 2\n", "epochs = 90\n");
    fs::write(out.join("recipe.toml"), edited).expect("writable");
    let features = dir.path().join("features.csv");
    let args = ["embed", "--run", text(&out), "--data", text(&images), "--out", text(&features)];
    let encoder = json(&args)["encoder"].clone();
    let said = stderr(&run(&[&args[..], &["--overwrite"]].concat()));
    assert!(
        said.contains("the run is finished, but ") && said.contains("encoder.safetensors is missing"),
        "{said}"
    );
    assert_eq!((encoder["seed"].as_u64(), encoder["width"].as_u64()), (Some(3), Some(4)), "{encoder}");
    assert_eq!(encoder["total_steps"].as_u64(), Some(4), "{encoder}");
}
