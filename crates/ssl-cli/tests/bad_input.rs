//! Bad input gives one sentence and a non-zero exit, and overwrites nothing.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{class_folders, run, sentence, stderr, text, tiny};

/// Runs a pretraining that has to fail before it makes its directory.
fn refused(data: &Path, more: &[&str]) -> String {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("run");
    let sentence = sentence(&[&tiny(text(data), text(&out))[..], more].concat());
    assert!(!out.exists(), "a directory was left behind: {sentence}");
    sentence
}

#[test]
fn images_that_are_not_there_are_named() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let missing = refused(&dir.path().join("nowhere"), &[]);
    assert!(
        missing.starts_with("there is no file or folder at ") && missing.contains("nowhere"),
        "{missing}"
    );

    let empty = dir.path().join("empty");
    fs::create_dir(&empty).expect("writable");
    let found = refused(&empty, &[]);
    assert!(found.starts_with("there are no images in ") && found.ends_with("found nothing"), "{found}");

    let texts = dir.path().join("texts");
    fs::create_dir(&texts).expect("writable");
    fs::write(texts.join("a.txt"), "words").expect("writable");
    fs::write(texts.join("b.md"), "words").expect("writable");
    let found = refused(&texts, &[]);
    assert!(found.contains("looked for") && found.contains("2 other files, such as "), "{found}");
}

#[test]
fn batches_that_no_run_could_use_are_named() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 4);
    let large = refused(&images, &["--batch-size", "9"]);
    assert_eq!(large, "a batch of 9 images is larger than the data set of 8 images");
    let one = refused(&images, &["--batch-size", "1"]);
    assert!(one.starts_with("schedule.batch_size is 1, expected at least 2"), "{one}");
    let uneven = refused(&images, &["--set", "train.accumulate=3"]);
    assert!(uneven.contains("multiple of train.accumulate"), "{uneven}");
}

#[test]
fn unknown_names_are_answered_with_the_known_ones() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 4);
    let out = dir.path().join("run");
    let method =
        sentence(&["pretrain", "--method", "simsalabim", "--data", text(&images), "--out", text(&out)]);
    assert!(method.starts_with("unknown method 'simsalabim': expected one of simclr, "), "{method}");
    let model = refused(&images, &["--model", "resnet19"]);
    assert!(model.contains("'resnet19', expected one of resnet18, "), "{model}");
    let stem = refused(&images, &["--stem", "large"]);
    assert!(stem.contains("unknown variant 'large'") && stem.contains("'cifar'"), "{stem}");
    let device = refused(&images, &["--device", "gpu"]);
    assert!(device.starts_with("unknown device 'gpu': expected flex, "), "{device}");
    let recipe = refused(&images, &["--recipe", "simclr/mars"]);
    assert!(
        recipe.starts_with("there is no recipe 'simclr/mars': expected one of simclr/cifar10, "),
        "{recipe}"
    );
    let key = refused(&images, &["--set", "optimizer.learning_rate=1"]);
    assert!(key.starts_with("unknown key 'optimizer.learning_rate': expected one of name, lr, "), "{key}");
    assert!(sentence(&["recipes", "nothing"]).contains("there is no recipe 'nothing'"));
    for (args, meant) in [
        (&["--set", "lr=1"][..], "optimizer.lr"),
        (&["--set", "temperature=1"], "method_options.temperature or eval.temperature"),
        (&["--set", "optimzer.lr=1"], "optimizer"),
        (&["--method", "SimCLR"], "simclr"),
        (&["--method", "moco"], "moco-v1, moco-v2 or moco-v3"),
        (&["--model", "vit_small"], "vit-small"),
    ] {
        let found = refused(&images, args);
        assert!(found.ends_with(&format!("; did you mean {meant}?")), "{args:?}: {found}");
    }
    let other = refused(&images, &["--method", "byol", "--recipe", "simclr/cifar10"]);
    let expected = "is for simclr, and --method is byol: expected a recipe for byol, or no --method";
    assert!(other.ends_with(expected), "{other}");
    let absent = refused(&images, &["--recipe", "mine.toml"]);
    assert!(absent.starts_with("cannot read the recipe mine.toml: "), "{absent}");
}

#[cfg(not(feature = "tch"))]
#[test]
fn a_device_that_is_not_in_this_build_names_the_feature() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let device = refused(&class_folders(dir.path(), 4), &["--device", "tch"]);
    assert!(device.contains("--features tch"), "{device}");
}

#[test]
fn a_recipe_with_a_wrong_type_or_without_a_key_is_explained() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 4);
    let with = |change: fn(String) -> String| {
        let recipe = dir.path().join("my.toml");
        let base = common::stdout(&run(&["recipes", "simclr/cifar10"]));
        fs::write(&recipe, change(base)).expect("writable");
        refused(&images, &["--recipe", text(&recipe)])
    };
    let kind = with(|recipe| recipe.replace("momentum = 0.9", "momentum = \"high\""));
    assert_eq!(kind, "optimizer.momentum: found string \"high\", expected a number");
    let missing = with(|recipe| recipe.replace("image_size = 32", ""));
    assert_eq!(missing, "the recipe has no 'data.image_size', which every recipe needs");
    let broken = with(|_| "method = = 1".to_owned());
    assert!(broken.contains("my.toml is not valid TOML: line 1"), "{broken}");
}

#[cfg(unix)]
#[test]
fn a_recipe_that_is_a_pipe_or_a_device_is_never_opened() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 4);
    let pipe = dir.path().join("pipe.toml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    for path in [text(&pipe), "/dev/zero"] {
        let found = refused(&images, &["--recipe", path]);
        assert!(
            found.ends_with(&format!("{path}: it is a pipe, socket or device, expected a file")),
            "{found}"
        );
    }
}

#[test]
fn an_existing_directory_is_left_alone() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 4), dir.path().join("run"));
    fs::create_dir(&out).expect("writable");
    fs::write(out.join("recipe.toml"), "mine").expect("writable");
    fs::write(out.join("encoder.safetensors"), "mine").expect("writable");

    let taken = sentence(&tiny(text(&images), text(&out)));
    assert!(taken.contains("already exists") && taken.contains("--overwrite"), "{taken}");
    for file in ["recipe.toml", "encoder.safetensors"] {
        assert_eq!(fs::read(out.join(file)).expect("still there"), b"mine");
    }
    assert_eq!(fs::read_dir(&out).expect("readable").count(), 2, "nothing was added");

    let sheet = dir.path().join("sheet.png");
    fs::write(&sheet, "mine").expect("writable");
    let preview = ["preview", "--method", "simclr", "--data", text(&images), "--out", text(&sheet)];
    assert!(sentence(&preview).contains("already exists"));
    assert_eq!(fs::read(&sheet).expect("still there"), b"mine");
}

#[test]
fn a_folder_without_a_run_cannot_be_resumed_evaluated_or_exported() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (folder, out) = (text(dir.path()), dir.path().join("encoder.safetensors"));
    for args in [
        &["pretrain", "--resume", "--out", folder][..],
        &["knn", "--run", folder, "--train", folder, "--test", folder],
        &["export", "--run", folder, "--out", text(&out)],
    ] {
        let sentence = sentence(args);
        assert!(sentence.starts_with("there is no run"), "{sentence}");
    }
    assert!(!out.exists());
}

#[test]
fn evaluation_on_images_without_labels_is_refused_before_training() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 4);
    let bare = refused(&images, &["--eval-test", text(&images.join("dark"))]);
    assert!(bare.starts_with("the test images have no labels"), "{bare}");
}

#[test]
fn a_method_that_learns_from_labels_is_refused_on_images_without_any() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 8), dir.path().join("run"));
    let bare = images.join("dark");
    let run = ["--method", "supcon", "--data", text(&bare), "--out", text(&out)];
    let small = ["--width", "4", "--batch-size", "8", "--epochs", "2"];
    for command in ["pretrain", "plan"] {
        let said = sentence(&[&[command][..], &run, &small].concat());
        let expected = "this method needs labels, and the data set has none: expected a folder or archive with one folder \
                        per class, or a list with labels";
        assert_eq!(said, expected, "{command}");
        assert!(!out.exists(), "{command} left a directory behind");
    }
}

/// A set of two classes with an image each, which takes more memory than the least bound, and one of the two.
fn large_images(parent: &Path) -> (PathBuf, PathBuf) {
    let folder = parent.join("large");
    let image = folder.join("bright/1.ppm");
    let mut file = b"P6 640 640 255\n".to_vec();
    file.resize(file.len() + 3 * 640 * 640, 7);
    for class in ["bright", "dark"] {
        fs::create_dir_all(folder.join(class)).expect("writable");
        fs::write(folder.join(class).join("1.ppm"), &file).expect("writable");
    }
    (folder, image)
}

/// Runs a command that has to fail since an image is too large for it.
fn too_large(args: &[&str]) {
    let output = run(args);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
    let sentence = said.lines().last().unwrap_or_default();
    assert!(sentence.starts_with("error: ") && sentence.contains("1.ppm"), "{args:?}: {said}");
    let way_out = "more than the 1048576 allowed: expected a smaller image, or a larger max_image_bytes";
    assert!(sentence.contains(way_out), "{args:?}: {said}");
}

#[test]
fn every_command_that_opens_images_bounds_the_memory_of_one() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (small, (large, image)) = (class_folders(dir.path(), 3), large_images(dir.path()));
    let (small, large, image) = (text(&small), text(&large), text(&image));
    let files = ["tuned", "other", "student", "a.csv"].map(|name| dir.path().join(name));
    let [tuned, other, student, table] = [0, 1, 2, 3].map(|file| text(&files[file]));
    let network = ["--untrained", "--width", "2", "--image-size", "16"];
    let short = ["--epochs", "1", "--batch-size", "2"];
    let sets = ["--train", large, "--test", large];
    let tuning = ["finetune", "--train", small, "--test", small, "--out", tuned];
    common::json(&[&tuning[..], &network, &short].concat());

    for args in [
        [&["embed", "--data", large, "--out", table][..], &network].concat(),
        [&["dedup", "--data", large, "--out", table][..], &network].concat(),
        [&["similar", "--data", large, "--query", "bright/1.ppm"][..], &network].concat(),
        [&["similar", "--data", small, "--query", image][..], &network].concat(),
        [&["knn"][..], &network, &sets].concat(),
        [&["linear", "--cached"][..], &network, &sets, &short].concat(),
        [&["finetune", "--out", other][..], &network, &sets, &short].concat(),
        vec!["classify", "--run", tuned, "--data", large],
        [&["distill", "--teacher", tuned, "--data", large, "--out", student][..], &short].concat(),
        [&["distill", "--teacher", tuned, "--data", small, "--test", large, "--out", student][..], &short]
            .concat(),
    ] {
        too_large(&[&args[..], &["--max-image-bytes", "1048576"]].concat());
        let tiny = sentence(&[&args[..], &["--max-image-bytes", "5"]].concat());
        assert!(tiny.starts_with("max_image_bytes is 5, expected at least 1048576"), "{args:?}: {tiny}");
    }
    common::json(&[&["embed", "--data", large, "--out", table][..], &network].concat());
}

#[test]
fn the_bound_on_the_memory_of_an_image_is_that_of_the_run_unless_told_otherwise() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (large, _) = large_images(dir.path());
    let (_, out) = common::finished(dir.path(), &["--set", "data.max_image_bytes=1048576"]);
    let table = dir.path().join("a.csv");
    let embed = ["embed", "--run", text(&out), "--data", text(&large), "--out", text(&table)];
    too_large(&embed);
    too_large(&["knn", "--run", text(&out), "--train", text(&large), "--test", text(&large)]);
    let report = common::json(&[&embed[..], &["--max-image-bytes", "3000000000"]].concat());
    assert_eq!(report["images"].as_u64(), Some(2), "{report}");
}

#[test]
fn a_command_line_that_makes_no_sense_exits_with_2() {
    for args in
        [&["pretrain", "--epochs", "many"][..], &["train"], &["pretrain", "--out", "x", "--speed", "9"]]
    {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).starts_with("error: "), "{args:?}");
    }
    assert!(sentence(&["pretrain", "--out", "x"]).contains("expected --method NAME"));
    assert!(sentence(&["pretrain", "--method", "simclr", "--out", "x"]).contains("expected --data PATH"));
}
