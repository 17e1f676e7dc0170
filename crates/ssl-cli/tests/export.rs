//! Encoders that leave for ONNX and timm.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{class_folders, json, run, sentence, stderr, stdout, text};
use serde_json::Value;

/// Largest difference of features and scores, relative to the largest of an image.
const TOLERANCE: f64 = 1e-4;
/// A ViT that trains in a second.
const VIT: [&str; 6] =
    ["--model", "vit-tiny", "--set", "encoder.patch_size=8", "--set", "encoder.embed_dim=32"];
const TWO_BLOCKS: [&str; 4] = ["--set", "encoder.depth=2", "--set", "encoder.heads=2"];
/// A narrow ConvNeXt.
const CONVNEXT: [&str; 8] = [
    "--model",
    "convnext-tiny",
    "--set",
    "encoder.dims=[8,16,24,32]",
    "--set",
    "encoder.depths=[1,1,2,1]",
    "--set",
    "encoder.layer_scale=0.5",
];

/// The same images with four pixels in the place of each.
fn enlarged(folder: &Path, images: &Path) -> PathBuf {
    let larger = folder.join("larger");
    for class in fs::read_dir(images).expect("a folder").map(|class| class.expect("readable").path()) {
        let copies = larger.join(class.file_name().expect("a name"));
        fs::create_dir_all(&copies).expect("writable");
        for file in fs::read_dir(class).expect("a folder").map(|file| file.expect("readable").path()) {
            let image = image::open(&file).expect("a PNG");
            let (width, height) = (2 * image.width(), 2 * image.height());
            let image = image.resize_exact(width, height, image::imageops::FilterType::Nearest);
            image.save(copies.join(file.file_name().expect("a name"))).expect("writable");
        }
    }
    larger
}

/// A run of one step on images of their own size.
fn trained(folder: &Path, images: &Path, more: &[&str]) -> PathBuf {
    let out = folder.join("run");
    let base = ["pretrain", "--method", "simclr", "--data", text(images), "--out", text(&out), "--overwrite"];
    let (side, _) = image::image_dimensions(images.join("bright/00.png")).expect("a PNG");
    let side = side.to_string();
    let length = ["--batch-size", "8", "--max-steps", "1", "--image-size", &side];
    let output = run(&[&base[..], &length, &["--set", "method_options.output_dim=8"], more].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    out
}

/// A classifier on top of a run.
fn tuned(folder: &Path, run_dir: &Path, images: &Path, more: &[&str]) -> PathBuf {
    let out = folder.join("finetuned");
    let base = ["finetune", "--run", text(run_dir), "--train", text(images), "--test", text(images)];
    let length = ["--epochs", "10", "--batch-size", "8", "--overwrite", "--out", text(&out)];
    let output = run(&[&base[..], &length, more].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    out
}

/// The features of `embed`, by image.
fn features(folder: &Path, run_dir: &Path, images: &Path) -> Vec<(String, Vec<f64>)> {
    let csv = folder.join("features.csv");
    json(&["embed", "--run", text(run_dir), "--data", text(images), "--out", text(&csv), "--overwrite"]);
    let csv = fs::read_to_string(&csv).expect("features");
    let row = |line: &str| {
        let mut cells = line.split(',');
        let image = cells.find(|cell| cell.ends_with(".png")).expect("the image").to_owned();
        let values = line.split(',').skip(3).map(|value| value.parse().expect("a number")).collect();
        (image, values)
    };
    csv.lines().skip(1).map(row).collect()
}

/// What Python computes with an export, image by image.
fn in_python(python: &str, kind: &str, written: &Path, program: &str, images: &[String]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/export.py");
    let mut command = Command::new(python);
    command.arg(script).args([kind, text(written), program]).args(images);
    let output = command.output().expect("Python starts");
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn assert_close(ours: &[f64], theirs: &Value, what: &str) {
    let theirs: Vec<f64> = serde_json::from_value(theirs.clone()).expect("numbers");
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = ours.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let difference = (ours - theirs).abs();
        assert!(difference <= TOLERANCE * largest, "{what}: {ours} in burn-ssl, {theirs} in Python");
    }
}

/// Exports a run, and compares what Python computes with what `embed` does.
fn check(python: &str, folder: &Path, run_dir: &Path, images: &Path, options: &[&str]) {
    let kind = if options.contains(&"timm-dir") { "timm" } else { "onnx" };
    let out = folder.join("exported.onnx");
    // A file and a folder may not take each other's place.
    let out = if kind == "timm" { out.with_extension("timm") } else { out };
    let export = ["export", "--run", text(run_dir), "--out", text(&out), "--overwrite"];
    let report = json(&[&export[..], options].concat());
    let program = report["python"].as_str().expect("a program");
    let card = fs::read_to_string(report["card"].as_str().expect("a path")).expect("a card");
    assert!(card.contains("def features(image") && card.contains("## Recipe"), "{card}");

    let ours = features(folder, run_dir, images);
    let names: Vec<String> = ours.iter().map(|(image, _)| image.clone()).collect();
    let theirs = in_python(python, kind, &out, program, &names);
    assert_eq!(ours.len(), theirs.len());
    let has_scores = run_dir.join("classifier.safetensors").exists();
    for ((image, features), theirs) in ours.iter().zip(&theirs) {
        // Alone, in a batch of two and in one of three.
        assert_eq!(outputs(theirs).count(), if kind == "onnx" { 3 } else { 1 }, "{theirs}");
        for found in outputs(theirs) {
            assert_close(features, &found["features"], &format!("{options:?} of {image}"));
            assert_eq!(found.get("scores").is_some(), has_scores, "{found}");
        }
    }
    if has_scores {
        check_scores(run_dir, images, &names, &theirs);
    }
}

/// What Python computes for an image alone, and in batches.
fn outputs(found: &Value) -> impl Iterator<Item = &Value> {
    std::iter::once(found).chain(found["batched"].as_array().into_iter().flatten())
}

/// Compares the softmax of scores with what `classify` gives each class.
fn check_scores(run_dir: &Path, images: &Path, names: &[String], theirs: &[Value]) {
    let classify = ["classify", "--run", text(run_dir), "--data", text(images), "--top", "2"];
    let report = json(&classify);
    let classified = report["classified"].as_array().expect("a list");
    for (image, theirs) in names.iter().zip(theirs) {
        let ours = classified.iter().find(|found| found["file"] == image.as_str()).expect("the image");
        let share = |class: &str| {
            let mut classes = ours["classes"].as_array().expect("a list").iter();
            classes.find(|found| found["class"] == class).and_then(|found| found["score"].as_f64())
        };
        // In the order of the scores.
        let ours = ["bright", "dark"].map(|class| share(class).expect("a share"));
        for found in outputs(theirs) {
            let shares = softmax(&found["scores"]);
            assert_eq!(shares.len(), ours.len(), "{found}");
            let is_close = shares.iter().zip(ours).all(|(theirs, ours)| (theirs - ours).abs() <= TOLERANCE);
            assert!(is_close, "{image}: {ours:?} in classify, {shares:?} in Python");
        }
    }
}

fn softmax(scores: &Value) -> Vec<f64> {
    let scores: Vec<f64> = serde_json::from_value(scores.clone()).expect("numbers");
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shares: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let sum: f64 = shares.iter().sum();
    shares.iter().map(|share| share / sum).collect()
}

/// Run by CI, with onnx and onnxruntime from PyPI.
#[test]
#[ignore = "needs a Python with onnx, onnxruntime and Pillow, named by BURN_SSL_PYTHON"]
fn onnxruntime_computes_the_features_of_embed() {
    let python = std::env::var("BURN_SSL_PYTHON").expect("BURN_SSL_PYTHON names a Python with onnxruntime");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, vit) = (class_folders(dir.path(), 4), [&VIT[..], &TWO_BLOCKS].concat());
    let resnet50 = ["--model", "resnet50", "--width", "4", "--set", "encoder.stem=imagenet"];
    let registers = ["encoder.registers=3", "encoder.layer_scale=0.5", "encoder.mask_token=true"];
    let registers = registers.map(|set| ["--set", set]).concat();
    for (model, input) in [
        (vec!["--width", "4"], "normalized"),
        (resnet50.to_vec(), "bytes"),
        ([&vit[..], &registers].concat(), "unit"),
        ([&vit[..], &["--set", "encoder.pool=mean"]].concat(), "normalized"),
        ([&vit[..], &["--set", "encoder.class_token=false"]].concat(), "bytes"),
        (CONVNEXT.to_vec(), "bytes"),
    ] {
        let run_dir = trained(dir.path(), &images, &model);
        check(&python, dir.path(), &run_dir, &images, &["--format", "onnx", "--input", input]);
    }
    let run_dir = trained(dir.path(), &images, &["--width", "4"]);
    for more in [&[][..], &["--from-head-layer", "1"]] {
        let classifier = tuned(dir.path(), &run_dir, &images, more);
        check(&python, dir.path(), &classifier, &images, &["--format", "onnx"]);
    }
}

/// Run by CI, with timm from PyPI.
#[test]
#[ignore = "needs a Python with timm and Pillow, named by BURN_SSL_PYTHON"]
fn timm_loads_a_folder_and_computes_the_features_of_embed() {
    let python = std::env::var("BURN_SSL_PYTHON").expect("BURN_SSL_PYTHON names a Python with timm");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, vit) = (class_folders(dir.path(), 4), [&VIT[..], &TWO_BLOCKS].concat());
    let registers = ["--set", "encoder.registers=3", "--set", "encoder.layer_scale=0.5"];
    let options = ["--format", "timm-dir", "--license", "mit"];
    let stem = ["--set", "encoder.stem=imagenet"];
    // Five times halved, 16 pixels leave nothing.
    let larger = enlarged(dir.path(), &images);
    for (model, images, has_classifier) in [
        (stem.to_vec(), &images, true),
        ([&vit[..], &["--set", "encoder.pool=mean"]].concat(), &images, false),
        ([&vit[..], &registers].concat(), &images, true),
        ([&CONVNEXT[..], &stem].concat(), &larger, true),
    ] {
        let run_dir = trained(dir.path(), images, &model);
        check(&python, dir.path(), &run_dir, images, &options);
        if has_classifier {
            let classifier = tuned(dir.path(), &run_dir, images, &[]);
            check(&python, dir.path(), &classifier, images, &options);
        }
    }
}

#[test]
fn an_export_has_a_card_and_leaves_the_readme_of_others_alone() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 4);
    let run_dir = trained(dir.path(), &images, &["--width", "4"]);
    let out = dir.path().join("out");
    let export = |name: &str, more: &[&str]| {
        let file = out.join(name);
        json(&[&["export", "--run", text(&run_dir), "--out", text(&file), "--overwrite"], more].concat())
    };
    let first = export("a.safetensors", &["--license", "cc-by-4.0"]);
    assert_eq!(first["card"], text(&out.join("README.md")));
    let card = fs::read_to_string(out.join("README.md")).expect("a card");
    for part in ["license: cc-by-4.0", "8 images of 2 classes", "train_loss", "method = \"simclr\"", "0.2435"]
    {
        assert!(card.contains(part), "no {part} in\n{card}");
    }
    assert!(!card.contains(text(dir.path())), "a path of this machine in\n{card}");

    // The card of one file is not that of another, and a second export replaces the first.
    let other = export("b.onnx", &["--format", "onnx"]);
    assert_eq!(other["card"], text(&out.join("b.onnx.README.md")));
    assert_eq!(fs::read_to_string(out.join("README.md")).expect("the first card"), card);
    assert_eq!(export("a.safetensors", &[])["card"], text(&out.join("README.md")));
    let again = fs::read_to_string(out.join("README.md")).expect("a card");
    assert!(again.contains("license: unknown"), "{again}");
}

#[test]
fn what_cannot_be_exported_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 4);
    let run_dir = trained(dir.path(), &images, &["--width", "4"]);
    let out = dir.path().join("out");
    let refused =
        |more: &[&str]| sentence(&[&["export", "--run", text(&run_dir), "--out", text(&out)], more].concat());
    let small = refused(&["--format", "timm-dir"]);
    assert!(
        small.starts_with("resnet18 of width 4 with the first layers for small images cannot be"),
        "{small}"
    );
    assert!(refused(&["--format", "onnx"]).ends_with("has an unknown extension: expected .onnx"));
    assert!(refused(&["--input", "bytes"]).ends_with("expected the format onnx; try --format onnx"));
    let unknown = run(&["export", "--run", "run", "--out", "a", "--format", "tflite"]);
    assert!(stderr(&unknown).contains("timm-dir"), "{}", stderr(&unknown));
    assert!(!out.exists());
}
