//! What a run says before its first step, and what it refuses for want of memory.

mod common;

use std::path::Path;

use common::{class_folders, json, run, sentence, stderr, text};

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
