//! Test images that are training images too.

mod common;

use std::fs;

use common::{class_folders, run, stderr, text};

/// The warning of a command that has to work, if there is one.
fn warning(args: &[&str]) -> Option<String> {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    stderr(&output).lines().find(|line| line.contains("are also training images")).map(str::to_owned)
}

#[test]
fn every_evaluation_warns_if_test_images_are_training_images() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 4), dir.path().join("tuned"));
    let sets = ["--train", text(&images), "--test", text(&images)];
    let encoder = ["--untrained", "--width", "2", "--image-size", "16"];
    for command in [
        &["knn"][..],
        &["linear", "--cached", "--epochs", "1"],
        // Batches of 3 leave two images out.
        &["linear", "--epochs", "1", "--batch-size", "3"],
        &["finetune", "--epochs", "1", "--batch-size", "3", "--out", text(&out)],
        &["finetune", "--epochs", "1", "--batch-size", "3", "--out", text(&out), "--resume"],
    ] {
        let said = warning(&[command, &sets, &encoder].concat());
        let start = "warning: 8 of 8 test images are also training images";
        assert!(said.as_ref().is_some_and(|said| said.starts_with(start)), "{command:?}: {said:?}");
    }
}

#[test]
fn sets_of_other_pixels_are_not_warned_about_and_copies_under_other_names_are() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 4);
    let test = dir.path().join("test");
    for class in ["bright", "dark"] {
        fs::create_dir_all(test.join(class)).expect("writable");
        let file = |name: &str| test.join(class).join(name);
        let other = image::RgbImage::from_pixel(16, 16, image::Rgb([class.len() as u8; 3]));
        other.save(file("other.png")).expect("writable");
    }
    let encoder = ["knn", "--untrained", "--width", "2", "--image-size", "16"];
    let args = [&encoder[..], &["--train", text(&images), "--test", text(&test)]].concat();
    assert_eq!(warning(&args), None);
    fs::copy(images.join("dark/02.png"), test.join("dark/new name.png")).expect("writable");
    let said = warning(&args).expect("a copy");
    assert!(said.starts_with("warning: 1 of 3 test images are also training images"), "{said}");
}
