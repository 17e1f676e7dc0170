//! Runs that are made shorter or longer than their recipe says.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use common::{class_folders, command, finished, json, run, sentence, stderr, text, tiny};

#[test]
fn a_shortened_run_gets_a_shorter_warm_up_unless_one_is_asked_for() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 4), dir.path().join("run"));
    let file = dir.path().join("slow.toml");
    let recipe = "base = 'simclr/cifar10'\n[schedule]\nepochs = 8\nwarmup_epochs = 4\n";
    fs::write(&file, recipe).expect("writable");
    let slow = [&tiny(text(&images), text(&out))[..], &["--recipe", text(&file)]].concat();
    for (options, warmup) in [(&["--epochs", "2"][..], "1.0"), (&["--set", "schedule.epochs=3"], "1.5")] {
        let output = run(&[&slow[..], options, &["--overwrite"]].concat());
        let said = stderr(&output);
        assert!(output.status.success(), "{said}");
        let epochs = options[1].trim_start_matches("schedule.epochs=");
        let sentence = format!(" instead of 4, in proportion to {epochs} epochs instead of 8");
        assert!(said.contains(&sentence), "{said}");
        let written = fs::read_to_string(out.join("recipe.toml")).expect("a recipe");
        assert!(written.contains(&format!("warmup_epochs = {warmup}\n")), "{written}");
    }
    fs::remove_dir_all(&out).expect("removable");
    let asked = sentence(&[&slow[..], &["--set", "schedule.warmup_epochs=3"]].concat());
    assert!(
        asked.starts_with("schedule.warmup_epochs is 3 of 2, expected at most schedule.epochs"),
        "{asked}"
    );
    assert!(!out.exists());
    let fits = run(&[&slow[..], &["--epochs", "5", "--max-steps", "1"]].concat());
    assert!(fits.status.success() && !stderr(&fits).contains("in proportion"), "{}", stderr(&fits));
}

/// Copies a run that nobody writes.
fn copied(from: &Path, to: &Path) {
    fs::create_dir(to).expect("writable");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("readable");
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copied(&path, &copy);
        } else {
            fs::copy(path, copy).expect("writable");
        }
    }
}

fn resume<'a>(out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    [&["pretrain", "--resume", "--out", text(out)][..], more].concat()
}

/// What a resume that has to work says.
fn resumed(out: &Path, more: &[&str]) -> String {
    let output = run(&resume(out, more));
    assert!(output.status.success(), "{more:?}: {}", stderr(&output));
    stderr(&output)
}

fn bytes(path: PathBuf) -> Vec<u8> {
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn encoder(out: &Path) -> Vec<u8> {
    bytes(out.join("encoder.safetensors"))
}

/// The rows of the metrics that say how the length was changed: step, steps before and steps from then on.
fn changes(out: &Path) -> Vec<[f64; 3]> {
    let text = fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    let rows = text.lines().map(|row| serde_json::from_str::<serde_json::Value>(row).expect("JSON"));
    let keys = ["step", "total_steps_before", "total_steps"];
    rows.filter_map(|row| Some(keys.map(|key| row[key].as_f64())).filter(|found| found[2].is_some()))
        .map(|found| found.map(|value| value.expect("all three")))
        .collect()
}

#[test]
fn a_finished_run_is_extended_twice_and_its_recipe_tells_the_whole_run() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = finished(dir.path(), &["--eval-test", text(&class_folders(dir.path(), 10))]);
    let first = encoder(&out);
    let said = resumed(&out, &["--epochs", "5"]);
    assert!(said.contains("from step 4 on, the run has 10 steps instead of 4"), "{said}");
    assert!(said.contains("the run goes on after step 4 of 10, in epoch 3"), "{said}");
    assert_eq!(
        bytes(out.join("encoder.step-4.safetensors")),
        first,
        "the encoder of the shorter run is kept"
    );
    assert_ne!(encoder(&out), first, "it was trained on");
    assert_eq!(changes(&out), [[4.0, 4.0, 10.0]]);
    let meta = fs::read_to_string(out.join("checkpoints/last/meta.json")).expect("text");
    assert!(meta.contains("earlier_lengths") && meta.contains("epochs = 5"), "{meta}");

    let report = json(&resume(&out, &["--epochs", "7"]));
    assert_eq!((report["steps"].as_u64(), report["epochs"].as_u64()), (Some(14), Some(7)));
    assert_eq!(changes(&out), [[4.0, 4.0, 10.0], [10.0, 10.0, 14.0]]);
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    assert_eq!(
        metrics.matches("knn_top1\"").count(),
        4,
        "before the first step, and at every end: {metrics}"
    );

    let (recipe, whole) = (out.join("recipe.toml"), dir.path().join("whole"));
    let args = ["pretrain", "--recipe", text(&recipe), "--out", text(&whole)];
    let output = run(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        encoder(&whole),
        encoder(&out),
        "the recipe of an extended run gives the same bytes in one go"
    );
    assert_eq!(changes(&whole), changes(&out));

    let again = resumed(&out, &[]);
    assert!(again.contains("the run is finished: all 14 steps are done"), "{again}");
    let args = [&tiny(text(&images), text(&out))[..], &["--overwrite", "--max-steps", "1"]].concat();
    assert!(run(&args).status.success());
    assert!(!out.join("encoder.step-4.safetensors").exists(), "it goes with the run that it is of");
}

/// The step of the newest checkpoint, unless it is being replaced.
fn step(out: &Path) -> Option<u64> {
    let meta = fs::read(out.join("checkpoints/last/meta.json")).ok()?;
    serde_json::from_slice::<serde_json::Value>(&meta).ok()?["step"].as_u64()
}

#[test]
fn a_killed_extension_goes_on_to_the_bytes_of_an_undisturbed_one() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (_, out) = finished(dir.path(), &[]);
    let undisturbed = dir.path().join("undisturbed");
    copied(&out, &undisturbed);
    resumed(&undisturbed, &["--epochs", "12"]);

    let mut child =
        command(&resume(&out, &["--epochs", "12"])).stderr(Stdio::null()).spawn().expect("it starts");
    while step(&out).is_none_or(|step| step < 6) {
        assert!(child.try_wait().expect("a child").is_none(), "it ended before its sixth step");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    assert!(!out.join("encoder.safetensors").exists(), "it was over before it was killed");
    let embedded = dir.path().join("features.csv");
    let embed = run(&[
        "embed",
        "--run",
        text(&out),
        "--data",
        text(&dir.path().join("images-10")),
        "--out",
        text(&embedded),
    ]);
    assert!(stderr(&embed).contains("of 24 of an unfinished run"), "{}", stderr(&embed));

    resumed(&out, &[]);
    assert_eq!(encoder(&out), encoder(&undisturbed));
    assert_eq!(changes(&out), [[4.0, 4.0, 24.0]]);
}

#[test]
fn a_stopped_run_is_made_longer_shorter_or_ended_where_it_is_and_never_before() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (_, out) = finished(dir.path(), &[]);
    // As if it had been stopped after step 3.
    fs::remove_dir_all(out.join("checkpoints/last")).expect("removable");
    fs::remove_dir_all(out.join("checkpoints/step-4")).expect("removable");
    fs::remove_file(out.join("encoder.safetensors")).expect("removable");
    let before = bytes(out.join("recipe.toml"));
    let said = sentence_of(&resume(&out, &["--epochs", "1"]));
    assert!(said.contains("is from step 3, and the run ends after 2 (schedule.epochs"), "{said}");
    let said = sentence_of(&resume(&out, &["--epochs", "9", "--lr", "7"]));
    assert!(said.contains("optimizer.lr is 0.06 and not 7") && said.contains("schedule.epochs, "), "{said}");
    assert_eq!(bytes(out.join("recipe.toml")), before);

    resumed(&out, &["--max-steps", "3"]);
    let said = sentence_of(&resume(&out, &["--epochs", "9"]));
    assert!(said.starts_with("schedule.epochs is 9 with schedule.max_steps = 3, expected"), "{said}");
    resumed(&out, &["--max-steps", "6", "--epochs", "9", "--workers", "2"]);
    assert_eq!(changes(&out), [[3.0, 4.0, 6.0]], "nothing was trained in between");
    let recipe = fs::read_to_string(out.join("recipe.toml")).expect("a recipe");
    assert!(recipe.contains("workers = 2") && recipe.contains("until_step = 3"), "{recipe}");
}

#[test]
fn an_edited_length_is_refused_and_other_images_change_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = finished(dir.path(), &[]);
    let (recipe, first) = (fs::read_to_string(out.join("recipe.toml")).expect("a recipe"), encoder(&out));
    fs::write(out.join("recipe.toml"), recipe.replace("epochs = 2\n", "epochs = 9\n")).expect("writable");
    let said = sentence_of(&resume(&out, &[]));
    assert!(said.contains("was changed after the run began: schedule.epochs is 9 in it and 2 in "), "{said}");
    fs::write(out.join("recipe.toml"), &recipe).expect("writable");

    let more = images.join("dark/zz.png");
    fs::copy(images.join("dark/00.png"), &more).expect("writable");
    let said = sentence_of(&resume(&out, &["--epochs", "9"]));
    assert!(said.contains("there are 21 images, and the run started with 20"), "{said}");
    assert_eq!(fs::read_to_string(out.join("recipe.toml")).expect("a recipe"), recipe);
    assert_eq!(encoder(&out), first);
}

/// The error of a command that has to fail, after any warnings.
fn sentence_of(args: &[&str]) -> String {
    let output = run(args);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or_else(|| panic!("{said}")).to_owned()
}
