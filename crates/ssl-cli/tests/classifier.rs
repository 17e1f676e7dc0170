//! What an encoder is worth, and what can be made of it: linear probe, fine-tuning, distillation, features in files.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{class_folders, json, run, sentence, stderr, text, tiny};

/// A folder of images and a finished run on them.
fn pretrained(dir: &Path) -> (PathBuf, PathBuf) {
    let (images, out) = (class_folders(dir, 10), dir.join("run"));
    let output = run(&tiny(text(&images), text(&out)));
    assert!(output.status.success(), "{}", stderr(&output));
    (images, out)
}

fn read(path: PathBuf) -> Vec<u8> {
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Arguments of a fine-tuning of a second or two.
fn finetune<'a>(run: &'a str, images: &'a str, out: &'a str) -> Vec<&'a str> {
    let args = ["finetune", "--run", run, "--train", images, "--test", images, "--out", out];
    [&args[..], &["--epochs", "2", "--batch-size", "4"]].concat()
}

#[test]
fn a_linear_probe_tells_bright_from_dark_and_leaves_the_run_alone() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, run) = pretrained(dir.path());
    let before = read(run.join("encoder.safetensors"));
    let sets = ["linear", "--train", text(&images), "--test", text(&images), "--epochs", "20", "--lr", "3"];
    let cached = json(&[&sets[..], &["--run", text(&run), "--cached"]].concat());
    assert!(cached["linear_top1"].as_f64().is_some_and(|top1| top1 > 90.0), "{cached}");
    assert_eq!((cached["linear_top5"].as_f64(), cached["classes"].as_u64()), (Some(100.0), Some(2)));
    assert_eq!((cached["images"].as_u64(), cached["batch_size"].as_u64()), (Some(20), Some(20)));
    let augmented = json(&[&sets[..], &["--run", text(&run), "--batch-size", "10"]].concat());
    assert!(augmented["linear_top1"].as_f64().is_some_and(|top1| top1 > 75.0), "{augmented}");
    assert_eq!(augmented["steps"].as_u64(), Some(40));
    assert_eq!(read(run.join("encoder.safetensors")), before);
    let untrained =
        json(&[&sets[..], &["--untrained", "--width", "4", "--image-size", "16", "--cached"]].concat());
    assert!(untrained["linear_top1"].as_f64().is_some(), "{untrained}");
    let of_run = json(&[&sets[..], &["--run", text(&run), "--untrained", "--cached"]].concat());
    assert!(of_run["linear_top1"].as_f64().is_some(), "{of_run}");
    assert_eq!(of_run["encoder"], untrained["encoder"], "{of_run}");
}

/// An untrained ViT of two blocks on 16 pixels.
const VIT: [&str; 8] =
    ["--untrained", "--model", "vit-tiny", "--image-size", "16", "--seed", "1", "--epochs"];

#[test]
fn a_vit_is_probed_and_fine_tuned_as_papers_do() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 10);
    let sets = ["--train", text(&images), "--test", text(&images)];
    let probe = |more: &[&str]| json(&[&["linear", "--cached"], &sets[..], &VIT, &["2"], more].concat());
    for (protocol, dim) in
        [("simclr", 192), ("mae", 192), ("dino", 4 * 192), ("dinov2", 5 * 192), ("attentive", 192)]
    {
        let report = probe(&["--protocol", protocol]);
        assert_eq!(report["dim"].as_u64(), Some(dim), "{protocol}: {report}");
    }
    assert_eq!(probe(&["--blocks", "2", "--patch-mean"])["dim"].as_u64(), Some(3 * 192));

    let tuned = |protocol: &str| {
        let out = dir.path().join(protocol);
        let more = ["2", "--protocol", protocol, "--batch-size", "10", "--out", text(&out)];
        json(&[&["finetune"], &sets[..], &VIT, &more].concat());
        String::from_utf8(read(out.join("classifier.toml"))).expect("text")
    };
    let (plain, mae) = (tuned("simclr"), tuned("mae"));
    for line in [
        "mixup = 0.8",
        "cutmix = 1.0",
        "label_smoothing = 0.1",
        "drop_path = 0.1",
        "layer_decay = 0.65",
        "warmup_epochs = 0.1",
    ] {
        assert!(mae.contains(line) && !plain.contains(line), "{line}: {mae}");
    }
}

#[test]
fn positions_of_rendered_images_are_segmented() {
    let report = json(&["segment", "--untrained", "--width", "4", "--bank", "10", "--test", "5"]);
    assert_eq!(report["grid"].as_array().map(Vec::len), Some(2), "{report}");
    assert!(report["pixel_accuracy"].as_f64() < report["pixel_accuracy_bound"].as_f64(), "{report}");
    let none = sentence(&["segment", "--untrained", "--width", "4", "--bank", "0"]);
    assert!(none.contains("bank is 0, expected 1 to 10000 images"), "{none}");
}

#[test]
fn what_a_probe_cannot_see_is_named() {
    let error = |args: &[&str]| {
        let sets =
            ["linear", "--train", "demo:train", "--test", "demo:test", "--limit", "20", "--eval-limit", "10"];
        sentence(&[&sets[..], &["--untrained", "--width", "4"], args].concat())
    };
    assert!(error(&["--protocol", "dino"]).contains("blocks is 4"));
    assert!(error(&["--protocol", "moco"]).contains("unknown protocol 'moco': expected simclr"));
    assert!(error(&["--protocol", "attentive", "--blocks", "2"]).contains("neither --blocks nor"));
}

#[test]
fn a_classifier_gives_images_the_classes_that_it_was_tested_with() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, pretraining) = pretrained(dir.path());
    let (tuned, table) = (dir.path().join("tuned"), dir.path().join("classes.csv"));
    let tested = json(&finetune(text(&pretraining), text(&images), text(&tuned)));
    let classify = ["classify", "--run", text(&tuned), "--data", text(&images)];
    let report = json(&[&classify[..], &["--top", "2", "--out", text(&table)]].concat());
    assert_eq!(report["accuracy"], tested["finetune_top1"], "the same images, prepared alike");
    assert_eq!((report["images"].as_u64(), report.get("classified")), (Some(20), None));
    let table = String::from_utf8(read(table)).expect("text");
    let mut rows = table.lines();
    assert_eq!(rows.next(), Some("file,class,score,class_2,score_2"));
    assert_eq!(rows.clone().count(), 20);
    assert!(rows.all(|row| row.contains("bright") && row.contains("dark")), "{table}");

    let printed = json(&[&classify[..], &["--limit", "3"]].concat());
    assert_eq!(printed["classified"].as_array().map(Vec::len), Some(3), "{printed}");
    let words = sentence(&["classify", "--run", text(&pretraining), "--data", text(&images)]);
    assert!(words.contains("classifier"), "{words}");
}

#[test]
fn fine_tuning_moves_the_encoder_and_what_it_writes_can_be_used() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, pretraining) = pretrained(dir.path());
    let (images, tuned) = (text(&images), dir.path().join("tuned"));
    let result = json(&finetune(text(&pretraining), images, text(&tuned)));
    assert!(result["finetune_top1"].as_f64().is_some_and(|top1| (0.0..=100.0).contains(&top1)), "{result}");
    assert_eq!((result["train_images"].as_u64(), result["steps"].as_u64()), (Some(20), Some(10)));
    assert_eq!(result["head_layers"].as_u64(), Some(0), "SimCLR v1 throws its projector away");
    let encoder = read(tuned.join("encoder.safetensors"));
    assert_ne!(encoder, read(pretraining.join("encoder.safetensors")));
    let metrics = String::from_utf8(read(tuned.join("metrics.jsonl"))).expect("text");
    assert!(metrics.contains("train_loss") && metrics.contains("finetune_top1"), "{metrics}");

    let again = dir.path().join("again");
    json(&[&finetune(text(&pretraining), images, text(&again))[..], &["--workers", "1"]].concat());
    for file in ["encoder.safetensors", "classifier.safetensors"] {
        assert_eq!(read(tuned.join(file)), read(again.join(file)), "{file}: the same seed, the same bytes");
    }

    for command in [&["knn"][..], &["linear", "--cached", "--epochs", "2"]] {
        json(&[command, &["--run", text(&tuned), "--train", images, "--test", images]].concat());
    }
    let file = dir.path().join("tuned.safetensors");
    let exported = json(&["export", "--run", text(&tuned), "--out", text(&file)]);
    assert_eq!(exported["model"], "resnet18");
    assert_eq!(read(file), encoder, "what is exported is the encoder of the classifier");
}

#[test]
fn a_fraction_of_the_labels_is_balanced_and_two_seeds_choose_differently() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, pretraining) = pretrained(dir.path());
    let tuned = |seed: &str| {
        let out = dir.path().join(seed);
        let more = ["--fraction", "0.2", "--seed", seed];
        let result = json(&[&finetune(text(&pretraining), text(&images), text(&out))[..], &more].concat());
        assert_eq!(result["train_images"].as_u64(), Some(4), "two of each class");
        read(out.join("encoder.safetensors"))
    };
    assert_ne!(tuned("1"), tuned("2"));
}

#[test]
fn simclr_v2_is_tuned_from_the_first_layer_of_its_projector() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, pretraining) = (class_folders(dir.path(), 8), dir.path().join("run"));
    let v2 = ["--method", "simclr-v2", "--epochs", "1"];
    let output = run(&[&tiny(text(&images), text(&pretraining))[..], &v2].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let tuned = |more: &[&str]| {
        let out = dir.path().join(format!("tuned{}", more.len()));
        let args = finetune(text(&pretraining), text(&images), text(&out));
        json(&[&args[..], more, &["--overwrite"]].concat())["head_layers"].as_u64()
    };
    assert_eq!(tuned(&[]), Some(1));
    assert_eq!(tuned(&["--from-head-layer", "0"]), Some(0));
    assert_eq!(tuned(&["--from-head-layer", "2"]), Some(2));
    let out = dir.path().join("deep");
    let deep = [&finetune(text(&pretraining), text(&images), text(&out))[..], &["--from-head-layer", "4"]];
    assert!(sentence(&deep.concat()).starts_with("from_head_layer is 4, expected at most 3"));
    assert!(!out.exists());
}

#[test]
fn a_smaller_student_is_distilled_on_images_without_labels() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, pretraining) = pretrained(dir.path());
    let (teacher, student) = (dir.path().join("teacher"), dir.path().join("student"));
    json(&finetune(text(&pretraining), text(&images), text(&teacher)));
    let bare = images.join("dark");
    let distill = |data: &Path, out: &Path, more: &[&str]| {
        let args = ["distill", "--teacher", text(&teacher), "--data", text(data), "--out", text(out)];
        let short = ["--width", "2", "--epochs", "2", "--batch-size", "5"];
        json(&[&args[..], &short, more].concat())
    };
    let result = distill(&bare, &student, &[]);
    for key in ["distill_top1", "distill_top5", "teacher_top1", "train_loss"] {
        assert!(result[key].as_f64().is_some_and(f64::is_finite), "{key} in {result}");
    }
    assert_eq!((result["train_images"].as_u64(), result["classes"].as_u64()), (Some(10), Some(2)));
    assert!(
        read(student.join("encoder.safetensors")).len() < read(teacher.join("encoder.safetensors")).len()
    );

    let labelled =
        distill(&images, &dir.path().join("labelled"), &["--alpha", "0.5", "--temperature", "0.5"]);
    assert_eq!((labelled["alpha"].as_f64(), labelled["temperature"].as_f64()), (Some(0.5), Some(0.5)));
    let next = dir.path().join("next");
    let chain = ["distill", "--teacher", text(&student), "--data", text(&bare), "--out", text(&next)];
    let self_distilled = json(&[&chain[..], &["--epochs", "1", "--batch-size", "5"]].concat());
    assert_eq!(self_distilled["teacher_top1"], result["distill_top1"], "a student can be a teacher");
}

#[test]
fn a_killed_fine_tuning_goes_on_to_the_bytes_of_an_undisturbed_one() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, pretraining) = pretrained(dir.path());
    let (killed, whole) = (dir.path().join("killed"), dir.path().join("whole"));
    let more = ["--epochs", "12"];
    let args = |out| [&finetune(text(&pretraining), text(&images), out)[..], &more].concat();
    let mut child = common::command(&args(text(&killed))).spawn().expect("the binary starts");
    while !killed.join("checkpoints/last/meta.json").exists() {
        assert!(child.try_wait().expect("a child").is_none(), "it ended before its first checkpoint");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    assert!(!killed.join("classifier.safetensors").exists(), "it was over before it was killed");
    json(&[&args(text(&killed))[..], &["--resume"]].concat());
    json(&args(text(&whole)));
    assert_eq!(read(killed.join("classifier.safetensors")), read(whole.join("classifier.safetensors")));

    let other = sentence(&[&args(text(&killed))[..], &["--resume", "--lr", "1"]].concat());
    assert!(other.contains("optimizer.lr is 0.05 and not 1"), "{other}");
}

#[test]
fn features_go_to_a_file_of_each_kind() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 3);
    let embed = |name: &str| {
        let out = dir.path().join(name);
        let args =
            ["embed", "--untrained", "--width", "2", "--image-size", "16", "--data", text(&images), "--out"];
        let result = json(&[&args[..], &[text(&out)]].concat());
        assert_eq!((result["images"].as_u64(), result["dim"].as_u64()), (Some(6), Some(16)), "{result}");
        read(out)
    };
    let csv = String::from_utf8(embed("a.csv")).expect("text");
    let rows: Vec<&str> = csv.lines().collect();
    assert!(rows[0].starts_with("file,label,class,f0,f1,") && rows.len() == 7, "{csv}");
    assert!(rows[6].starts_with("dark/02.png,1,dark,") || rows[6].contains("02.png,1,dark,"), "{csv}");
    assert!(embed("b.npy").starts_with(b"\x93NUMPY"));
    let names = String::from_utf8(read(dir.path().join("b.csv"))).expect("text");
    assert!(names.starts_with("file,label,class\n") && names.lines().count() == 7, "{names}");
    assert!(!embed("c.safetensors").is_empty());
    for about in ["a.json", "b.json"] {
        let about: serde_json::Value = serde_json::from_slice(&read(dir.path().join(about))).expect("JSON");
        assert_eq!((&about["kind"], &about["preprocessing"]["size"]), (&"embeddings".into(), &16.into()));
    }
}

#[test]
fn images_are_prepared_as_the_file_of_the_encoder_says_unless_told_otherwise() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, pretraining) = pretrained(dir.path());
    let about = |name: &str, more: &[&str]| {
        let out = dir.path().join(name);
        json(&[&["embed", "--data", text(&images), "--out", text(&out)][..], more].concat());
        let about = serde_json::from_slice::<serde_json::Value>(&read(out.with_extension("json")));
        about.expect("JSON")["preprocessing"].clone()
    };
    let numbers =
        |about: &serde_json::Value| ["mean", "std"].map(|key| about[key][0].as_f64().expect("a number"));
    let of_run = about("run.csv", &["--run", text(&pretraining)]);
    assert_eq!((of_run["size"].as_u64(), numbers(&of_run)), (Some(32), [0.4914, 0.247]));
    let told =
        about("told.csv", &["--run", text(&pretraining), "--mean", "0.5,0.5,0.5", "--image-size", "16"]);
    assert_eq!((told["size"].as_u64(), numbers(&told)), (Some(16), [0.5, 0.247]));
    let untrained = about("untrained.csv", &["--untrained", "--width", "2"]);
    assert_eq!((untrained["size"].as_u64(), numbers(&untrained)), (Some(16), [0.485, 0.229]));
}

#[test]
fn files_of_another_kind_and_images_of_unknown_size_are_named() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, pretraining) = pretrained(dir.path());
    let features = dir.path().join("features.safetensors");
    json(&["embed", "--run", text(&pretraining), "--data", text(&images), "--out", text(&features)]);
    let sets = ["--train", text(&images), "--test", text(&images)];
    let no_encoder = sentence(&[&["knn", "--weights", text(&features)][..], &sets].concat());
    assert!(no_encoder.ends_with("holds embeddings, expected an encoder"), "{no_encoder}");

    let tuned = dir.path().join("tuned");
    json(&finetune(text(&pretraining), text(&images), text(&tuned)));
    fs::copy(pretraining.join("encoder.safetensors"), tuned.join("classifier.safetensors"))
        .expect("writable");
    let out = dir.path().join("student");
    let distill = ["distill", "--teacher", text(&tuned), "--data", text(&images), "--out", text(&out)];
    let no_classifier = sentence(&distill);
    assert!(no_classifier.ends_with("holds an encoder, expected a classifier"), "{no_classifier}");

    image::RgbImage::new(20, 16).save(images.join("dark/wide.png")).expect("writable");
    let unknown = sentence(&[&["knn", "--untrained", "--width", "2"][..], &sets].concat());
    assert!(
        unknown.starts_with("the image size of the encoder is not known")
            && unknown.contains("--image-size N"),
        "{unknown}"
    );
}

#[test]
fn what_no_classifier_could_use_is_named_and_nothing_is_written() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, pretraining) = pretrained(dir.path());
    let (bare, out) = (images.join("dark"), dir.path().join("out"));
    let other = dir.path().join("other");
    fs::create_dir_all(other.join("bright")).expect("writable");
    fs::create_dir_all(other.join("grey")).expect("writable");
    for class in ["bright", "grey"] {
        fs::copy(images.join("dark/00.png"), other.join(class).join("1.png")).expect("writable");
    }
    let refused = |command: &str, train: &Path, test: &Path, more: &[&str]| {
        let args = [command, "--run", text(&pretraining), "--train", text(train), "--test", text(test)];
        let sentence = sentence(&[&args[..], more].concat());
        assert!(!out.exists(), "a directory was left behind: {sentence}");
        sentence
    };
    for (command, place) in [("linear", &[][..]), ("finetune", &["--out", text(&out)])] {
        let refused =
            |train: &Path, test: &Path, more: &[&str]| refused(command, train, test, &[place, more].concat());
        assert!(refused(&bare, &images, &[]).starts_with("the training images have no labels"));
        assert!(refused(&images, &bare, &[]).starts_with("the test images have no labels"));
        assert!(refused(&images, &other, &[]).contains("the class grey is not among the 2 classes"));
        let missing = refused(&images, &images, &["--train-limit", "1"]);
        assert!(missing.starts_with("the training images have none of class dark"), "{missing}");
        let large = refused(&images, &images, &["--batch-size", "21"]);
        assert_eq!(large, "a batch of 21 images is larger than the data set of 20 images");
        assert!(refused(&images, &images, &["--lr", "nan"]).starts_with("optimizer.lr is NaN"));
    }
    let finetune =
        |more: &[&str]| refused("finetune", &images, &images, &[&["--out", text(&out)], more].concat());
    for fraction in ["0", "1.5", "-1"] {
        let range = finetune(&[&format!("--fraction={fraction}")]);
        assert_eq!(range, format!("fraction is {fraction}, expected a number above 0 and at most 1"));
    }
    assert!(finetune(&["--optimizer", "sgdm"]).starts_with("unknown optimizer 'sgdm'"));
    let momentum = finetune(&["--optimizer", "adamw", "--momentum", "0.5"]);
    assert_eq!(momentum, "--momentum needs sgd, lars or larc, and the optimizer is adamw");
    let layers = finetune(&["--layer-decay", "0.75"]);
    assert!(layers.starts_with("optimizer.layer_decay is 0.75, expected no such key"), "{layers}");
    assert!(finetune(&["--no-decay", "norms"]).starts_with("unknown no_decay 'norms': expected none, "));
    let same = sentence(&finetune_args(&pretraining, &images, &pretraining, &["--overwrite"]));
    assert!(same.contains("is what training starts from"), "{same}");
    assert!(pretraining.join("recipe.toml").exists());
}

fn finetune_args<'a>(run: &'a Path, images: &'a Path, out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    [&finetune(text(run), text(images), text(out))[..], more].concat()
}

#[test]
fn what_is_there_is_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, pretraining) = pretrained(dir.path());
    let taken = dir.path().join("taken");
    fs::create_dir(&taken).expect("writable");
    fs::write(taken.join("classifier.safetensors"), "mine").expect("writable");
    let refused = sentence(&finetune_args(&pretraining, &images, &taken, &[]));
    assert!(refused.contains("already exists") && refused.contains("--overwrite"), "{refused}");
    assert_eq!(read(taken.join("classifier.safetensors")), b"mine");

    let file = dir.path().join("features.npy");
    fs::write(file.with_extension("csv"), "mine").expect("writable");
    let embed = ["embed", "--run", text(&pretraining), "--data", text(&images), "--out", text(&file)];
    let refused = sentence(&embed);
    assert!(refused.contains("features.csv already exists"), "{refused}");
    assert!(!file.exists() && read(file.with_extension("csv")) == b"mine");

    let nothing = ["distill", "--teacher", text(&pretraining), "--data", text(&images), "--out", "x"];
    let refused = sentence(&nothing);
    assert!(refused.starts_with("there is no classifier in "), "{refused}");
    let projector =
        ["finetune", "--untrained", "--width", "2", "--train", text(&images), "--test", text(&images)];
    let refused = sentence(&[&projector[..], &["--out", "x", "--from-head-layer", "1"]].concat());
    assert!(refused.starts_with("there is no projector in an encoder that comes from no run"), "{refused}");
}
