//! What is said of a run before its first step: by `plan` and by the run itself, and what is refused.

mod common;

use std::fs;
use std::path::Path;

use common::{class_folders, finished, json, run, sentence, stderr, stdout, text, tiny};
use serde_json::Value;

/// A run of one step on images of 16 pixels.
fn short<'a>(images: &'a Path, out: &'a Path) -> Vec<&'a str> {
    let run = ["pretrain", "--method", "simclr", "--width", "4", "--max-steps", "1", "--workers", "1"];
    [&run[..], &["--data", text(images), "--out", text(out)]].concat()
}

#[test]
fn a_run_says_what_it_is_about_to_do_and_a_small_set_gets_a_batch_that_fits() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 10), dir.path().join("run"));
    let output = run(&short(&images, &out));
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stderr(&output);
    let starts = [
        "images: 20 images of 2 classes",
        "recipe: simclr/cifar10, for images of up to 64 pixels",
        "mean and std are those of CIFAR-10",
        "schedule.batch_size is 16 instead of 512, since there are 20 images",
        "simclr, resnet18 with 0.0",
        "1 epoch, 1 steps of 16 images, 1 an epoch; sgd at a rate of 0.007",
        "on flex: the CPU, ",
        "expected memory: ",
    ];
    // A tiny network has no counterpart in torchvision, which is said too.
    let lines: Vec<_> =
        said.lines().filter(|line| !line.starts_with("torchvision")).take(starts.len()).collect();
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}\nin\n{said}");
    }
}

#[test]
fn a_batch_that_was_asked_for_is_not_made_smaller() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 10), dir.path().join("run"));
    for asked in [["--batch-size", "32"], ["--set", "schedule.batch_size=32"]] {
        let said = sentence(&[&short(&images, &out)[..], &asked].concat());
        assert_eq!(said, "a batch of 32 images is larger than the data set of 20 images");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_result_has_the_expected_and_the_largest_memory() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 10), dir.path().join("run"));
    let report = json(&short(&images, &out));
    for key in ["expected_mem", "max_mem"] {
        assert!(report[key].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{key} in {report}");
    }
}

#[test]
fn a_run_far_beyond_the_machine_is_refused_with_the_largest_part_and_leaves_no_directory() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 10), dir.path().join("run"));
    let size = ["--image-size", "2048", "--set", "encoder.width=1024", "--set", "schedule.batch_size=16"];
    let said = sentence(&[&short(&images, &out)[..], &size].concat());
    assert!(
        said.starts_with("the run needs about ") && said.contains(" for activations of the encoder"),
        "{said}"
    );
    assert!(said.contains("expected a smaller schedule.batch_size, smaller views"), "{said}");
    assert!(!out.exists());
}

#[test]
fn numbers_far_beyond_anything_published_are_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 10), dir.path().join("run"));
    for (method, setting, expected) in [
        ("simclr", "encoder.width=100000", "encoder.width is 100000, expected at most 2048"),
        ("moco-v2", "method_options.queue_len=1099511627776", "queue_len is 1099511627776, expected at most"),
        (
            "simclr",
            "method_options.projector_layers=1000000",
            "projector_layers is 1000000, expected at most 64",
        ),
        (
            "dino",
            "method_options.output_dim=1000000000",
            "output_dim is 1000000000, expected at most 1048576",
        ),
        (
            "swav",
            "method_options.prototypes=1000000000",
            "prototypes is 1000000000, expected at most 1048576",
        ),
        ("byol", "method_options.hidden_dim=1000000000", "hidden_dim is 1000000000, expected at most 262144"),
        (
            "simclr",
            "schedule.epochs=4611686018427387904",
            "schedule.epochs is 4611686018427387904, expected at most",
        ),
        (
            "simclr",
            "schedule.batch_size=1099511627776",
            "schedule.batch_size is 1099511627776, expected at most",
        ),
        ("simclr", "data.image_size=1000000", "data.image_size is 1000000, expected at most 8192"),
        ("simclr", "data.max_image_bytes=5", "data.max_image_bytes is 5, expected at least 1048576"),
    ] {
        let args =
            ["pretrain", "--method", method, "--data", text(&images), "--out", text(&out), "--set", setting];
        let said = sentence(&args);
        assert!(said.contains(expected), "{setting}: {said}");
        assert!(!out.exists(), "{setting}");
    }
}

/// The arguments of [`tiny`] for `plan`.
fn tiny_plan<'a>(images: &'a Path, out: &'a Path) -> Vec<&'a str> {
    let mut args = tiny(text(images), text(out));
    args[0] = "plan";
    args
}

/// What a look at a recipe on 4,000 rendered images advises.
fn advice(recipe: &str, more: &[&str]) -> Vec<Value> {
    let look = ["plan", "--json", "--no-steps", "--data", "demo:train", "--recipe", recipe];
    let output = run(&[&look[..], more].concat());
    let plan: Value = serde_json::from_str(&stdout(&output))
        .unwrap_or_else(|error| panic!("{recipe} {more:?}: {error}: {}", stderr(&output)));
    let advice = plan["advice"].as_array().expect("a list").clone();
    let cannot_work = advice.iter().any(|one| one["severity"] == "cannot_work");
    assert_eq!(output.status.code(), Some(i32::from(cannot_work)), "{recipe} {more:?}: {plan}");
    // What is free here is not what is tested.
    advice.into_iter().filter(|one| !one["found"].to_string().contains("the run needs about")).collect()
}

#[test]
fn a_plan_says_what_a_run_will_take_and_writes_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 10), dir.path().join("run"));
    let args = [&tiny_plan(&images, &out)[..], &["--eval-test", text(&images)]].concat();
    let plan = json(&args);
    assert!(!out.exists());
    for key in ["images_per_s", "seconds_per_epoch", "seconds", "seconds_per_evaluation"] {
        assert!(plan[key].as_f64().is_some_and(|value| value > 0.0 && value.is_finite()), "{key} in {plan}");
    }
    for (key, value) in
        [("images", 20), ("classes", 2), ("steps", 4), ("steps_per_epoch", 2), ("evaluations", 2)]
    {
        assert_eq!(plan[key].as_u64(), Some(value), "{key} in {plan}");
    }
    assert!(plan["measured_steps"].as_u64().is_some_and(|steps| steps >= 2), "{plan}");
    assert_eq!(plan["views"], serde_json::json!([32, 32]));
    let words = stdout(&run(&args));
    for start in [
        "images: 20 images of 2 classes",
        "simclr, resnet18 with 0.0",
        "2 epochs, 4 steps of 8 images, 2 an epoch",
        "views of an image: 2 of 32 pixels",
        "measured in ",
        "  memory: ",
        "  speed: ",
        "  time: ",
        "  end: 2",
        "  disk: ",
        "unwise: views of 32 pixels are made of images of 16, expected ",
        "  try --image-size 16",
    ] {
        assert!(words.lines().any(|line| line.starts_with(start)), "{start} in {words}");
    }

    // The run has the checkpoint that the plan foresaw.
    let finished = run(&tiny(text(&images), text(&out)));
    assert!(finished.status.success(), "{}", stderr(&finished));
    let files =
        fs::read_dir(out.join("checkpoints/last")).expect("a checkpoint").map(|entry| entry.expect("a file"));
    let kept = files.filter(|file| !file.file_name().to_string_lossy().ends_with(".json"));
    let bytes: u64 = kept.map(|file| file.metadata().expect("a file").len()).sum();
    assert_eq!(plan["checkpoint_bytes"].as_u64(), Some(bytes));
    let taken = sentence(&tiny_plan(&images, &out));
    assert!(taken.contains("try --resume to continue or --overwrite"), "{taken}");
}

#[test]
fn a_plan_of_a_run_that_goes_on_is_of_what_is_left() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (_, out) = finished(dir.path(), &[]);
    let plan = json(&["plan", "--resume", "--out", text(&out), "--epochs", "6"]);
    assert_eq!((plan["steps"].as_u64(), plan["steps_done"].as_u64()), (Some(12), Some(4)), "{plan}");
    let [all, each] = ["step_seconds", "seconds_per_epoch"].map(|key| plan[key].as_f64().expect("seconds"));
    assert!((all / each - 4.0).abs() < 1e-6, "4 of 6 epochs are left: {plan}");
    let advice = plan["advice"].to_string();
    assert!(!advice.contains("the run draws"), "it was told before its first step: {advice}");
    let recipe = fs::read_to_string(out.join("recipe.toml")).expect("a recipe");
    assert!(recipe.contains("epochs = 2\n"), "{recipe}");
}

#[test]
fn a_run_that_cannot_work_is_refused_with_what_to_set_and_one_that_is_unwise_is_told_once() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 10), dir.path().join("run"));
    let swav = ["--recipe", "swav/cifar10-quick", "--width", "4", "--batch-size", "16"];
    let data = ["--data", text(&images), "--out", text(&out), "--max-steps", "1"];
    let set = ["--set", "method_options.prototypes=3000"];
    let refused = sentence(&[&["pretrain"][..], &swav, &data, &set].concat());
    let expected = "16 embeddings at a time are shared out among 3000 prototypes, expected at least as many embeddings, or most \
                    prototypes stand for nothing; try --set method_options.prototypes=16 or --set method_options.queue_len=3008";
    assert_eq!(refused, expected);
    assert!(!out.exists());
    let plan = run(&[&["plan"][..], &swav, &data, &set].concat());
    assert_eq!(plan.status.code(), Some(1), "{}", stderr(&plan));
    let words = stdout(&plan);
    assert!(words.contains("cannot work: 16 embeddings") && !words.contains("measured"), "{words}");

    let unwise = run(&[&["pretrain"][..], &swav, &data, &["--set", "method_options.prototypes=32"]].concat());
    assert!(unwise.status.success(), "{}", stderr(&unwise));
    let said = stderr(&unwise);
    let warned: Vec<_> = said.lines().filter(|line| line.contains("prototypes")).collect();
    let expected = "warning: unwise: 16 embeddings at a time are shared out among 32 prototypes";
    assert!(matches!(&warned[..], [line] if line.starts_with(expected)), "{said}");
}

/// Each rule, on a recipe that raises nothing of the kind otherwise: what is set, a word of what is found, and a key to change.
const RULES: &[(&str, &[&str], &str, &str)] = &[
    (
        "simclr/cifar10-quick",
        &["--batch-size", "64", "--set", "method_options.temperature=0.1"],
        "the 63 others of its batch",
        "schedule.batch_size",
    ),
    (
        "moco-v2/cifar10-quick",
        &["--set", "method_options.queue_len=65536"],
        "of 8.3 epochs",
        "method_options.queue_len",
    ),
    (
        "nnclr/cifar10-quick",
        &["--set", "method_options.queue_len=16384"],
        "of 4.1 epochs",
        "method_options.queue_len",
    ),
    (
        "swav/cifar10-quick",
        &["--set", "method_options.queue_len=256"],
        "is full after 467 of 310 steps",
        "schedule.epochs",
    ),
    (
        "swav/cifar10-quick",
        &["--set", "method_options.prototypes=300"],
        "300 prototypes",
        "method_options.queue_len",
    ),
    (
        "swav/cifar10-quick",
        &["--set", "method_options.freeze_prototypes_steps=313"],
        "is not trained in the first 310 of 310 steps",
        "method_options.freeze_prototypes_steps",
    ),
    (
        "msn/cifar10-quick",
        &["--set", "method_options.prototypes=2048"],
        "2048 prototypes",
        "method_options.prototypes",
    ),
    (
        "byol/cifar10-quick",
        &["--set", "method_options.momentum=0.9999"],
        "98 % of the teacher",
        "method_options.momentum",
    ),
    (
        "moco-v1/cifar10-quick",
        &["--set", "method_options.momentum=0.999"],
        "73 % of the teacher",
        "method_options.momentum",
    ),
    (
        "moco-v3/cifar10-quick",
        &["--set", "method_options.momentum=0.996"],
        "of the teacher",
        "method_options.momentum",
    ),
    (
        "tico/cifar10-quick",
        &["--set", "method_options.momentum=0.999"],
        "of the teacher",
        "method_options.momentum",
    ),
    (
        "dino/cifar10-quick",
        &["--set", "method_options.teacher_momentum=0.999"],
        "of the teacher",
        "method_options.teacher_momentum",
    ),
    (
        "dino/cifar10-quick",
        &["--set", "method_options.freeze_last_layer_epochs=9"],
        "the last layer of the head is not trained in the first 279 of 310",
        "method_options.freeze_last_layer_epochs",
    ),
    (
        "supcon/cifar10-quick",
        &["--batch-size", "16"],
        "batches of 16 images have 10 classes",
        "schedule.batch_size",
    ),
    (
        "simclr/cifar10-quick",
        &["--image-size", "64"],
        "views of 64 pixels are made of images of 32",
        "data.image_size",
    ),
    ("moco-v2/cifar10-quick", &["--batch-size", "32"], "batch norm sees 4 images", "encoder.bn_splits"),
    (
        "simclr/cifar10-quick",
        &["--set", "train.embed_chunk=4"],
        "batch norm sees 4 images",
        "train.embed_chunk",
    ),
    ("simclr/cifar10", &["--epochs", "1"], "draws 3584 images", "schedule.epochs"),
    ("simclr/cifar10-quick", &["--batch-size", "1024"], "has 30 steps of 1024 images", "schedule.epochs"),
    ("simclr/cifar10-quick", &["--max-steps", "20"], "draws 2560 images", "schedule.max_steps"),
];

#[test]
fn every_rule_fires_on_a_recipe_that_breaks_it_and_its_change_silences_it() {
    for (recipe, broken, word, key) in RULES {
        let has = |advice: &[Value]| {
            let found = |one: &&Value| one["found"].as_str().is_some_and(|found| found.contains(word));
            advice.iter().find(found).cloned()
        };
        let found = advice(recipe, broken);
        let one = has(&found).unwrap_or_else(|| panic!("{recipe} {broken:?}: no '{word}' in {found:?}"));
        assert_eq!(one["severity"], "unwise", "{one}");
        let change = one["changes"].as_array().expect("a list").iter().find(|change| change["key"] == *key);
        let change = change.unwrap_or_else(|| panic!("{recipe} {broken:?}: no {key} in {one}"));
        let value = change["value"].as_str().expect("text");
        let set = match *key {
            "data.image_size" => vec!["--image-size".to_owned(), value.to_owned()],
            key => vec!["--set".to_owned(), format!("{key}={value}")],
        };
        let set: Vec<_> = set.iter().map(String::as_str).collect();
        let after = advice(recipe, &[broken, &set[..]].concat());
        assert!(has(&after).is_none(), "{recipe} {broken:?} {set:?}: {after:?}");
    }
}

#[test]
fn no_recipe_for_short_runs_is_refused_on_images_that_suit_it() {
    let recipes = json(&["recipes"]);
    let names = recipes.as_array().expect("a list").iter().filter_map(|recipe| recipe["name"].as_str());
    // A student of another network needs that network.
    let quick: Vec<_> =
        names.filter(|name| name.ends_with("-quick") && !name.starts_with("distill-features")).collect();
    assert!(quick.len() > 20, "{quick:?}");
    for name in quick {
        let advice = advice(name, &[]);
        assert!(advice.iter().all(|one| one["severity"] == "unwise"), "{name}: {advice:?}");
    }
    assert!(advice("simclr/cifar10-quick", &[]).is_empty());
    assert!(advice("demo", &[]).is_empty());
}

#[test]
fn checkpoints_that_do_not_fit_on_the_disk_are_refused() {
    let keep = ["--set", "checkpoint.keep=1000000000"];
    let [one] = &advice("simclr/cifar10-quick", &keep)[..] else { panic!("one piece of advice") };
    assert_eq!(
        (&one["severity"], &one["changes"][0]["key"]),
        (&"cannot_work".into(), &"checkpoint.keep".into())
    );
}

#[test]
fn batch_and_epochs_can_be_left_to_the_images_and_the_recipe_of_the_run_holds_numbers() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 10), dir.path().join("run"));
    let auto = [
        "pretrain",
        "--method",
        "simclr",
        "--width",
        "4",
        "--max-steps",
        "1",
        "--batch-size",
        "auto",
        "--epochs",
        "auto",
    ];
    let output = run(&[&auto[..], &["--data", text(&images), "--out", text(&out)]].concat());
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    for start in [
        "schedule.batch_size is 16: the largest power of two up to 512, which the recipe was made for, that the 20 images have",
        "schedule.epochs is 1000: the recipe was made for 200 epochs of 50000 images; 20 images are drawn as often in 500000.0",
    ] {
        assert!(said.lines().any(|line| line.starts_with(start)), "{start} in {said}");
    }
    let recipe = fs::read_to_string(out.join("recipe.toml")).expect("a recipe");
    assert!(recipe.contains("epochs = 1000\n") && recipe.contains("batch_size = 16\n"), "{recipe}");
    let resumed = run(&["pretrain", "--resume", "--out", text(&out), "--max-steps", "2"]);
    assert!(resumed.status.success(), "{}", stderr(&resumed));

    let file = dir.path().join("mine.toml");
    fs::write(&file, "base = 'simclr/cifar10-quick'\n[schedule]\nepochs = 'auto'\nbatch_size = 'auto'\n")
        .expect("writable");
    let plan =
        json(&["plan", "--no-steps", "--recipe", text(&file), "--data", "demo:train", "--image-size", "28"]);
    // 50,000 images drawn in 12.5 epochs of 4,000.
    assert_eq!((plan["batch_size"].as_u64(), plan["steps"].as_u64()), (Some(128), Some(13 * 31)), "{plan}");
    for wrong in [["--epochs", "0"], ["--epochs", "many"], ["--batch-size", "-1"]] {
        let output = run(&[&["plan", "--method", "simclr", "--data", "demo:train"][..], &wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", stderr(&output));
    }
}

#[test]
fn without_a_method_one_is_proposed_and_taken_only_if_told_so() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 10), dir.path().join("run"));
    let args = ["pretrain", "--data", text(&images), "--width", "4", "--max-steps", "1", "--out", text(&out)];
    let proposed = run(&args);
    assert_eq!(proposed.status.code(), Some(2), "{}", stderr(&proposed));
    let words = stdout(&proposed);
    let sentence = "proposed for 20 images of 2 classes, of 16 pixels, in batches of 16: supcon, since every image has a label";
    assert!(words.contains(sentence), "{words}");
    assert!(words.contains("add --yes, or:\n  burn-ssl pretrain --method supcon --data "), "{words}");
    assert!(!out.exists());
    let object: Value =
        serde_json::from_str(&stdout(&run(&[&args[..], &["--json"]].concat()))).expect("JSON");
    assert_eq!(
        (&object["proposed"]["method"], object["situation"]["images"].as_u64()),
        (&"supcon".into(), Some(20))
    );

    let taken = run(&[&args[..], &["--yes"]].concat());
    assert!(taken.status.success() && stderr(&taken).contains(sentence), "{}", stderr(&taken));
    assert!(fs::read_to_string(out.join("recipe.toml")).expect("a recipe").contains("method = \"supcon\""));
    let plan = json(&["plan", "--no-steps", "--data", "demo:train", "--model", "vit-tiny", "--limit", "19"]);
    assert_eq!(plan["method"], "moco-v3", "a plan starts nothing, so it goes on: {plan}");
}
