//! Weights that runs start from, and that leave for Python.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{class_folders, json, run, sentence, stderr, stdout, text, tiny};

/// Reads safetensors where Python has no package for it, as on Debian.
const READER: &str = r#"
import json, struct, sys, types
try:
    import safetensors.torch
except ImportError:
    import torch
    def load_file(path):
        data = open(path, "rb").read()
        length = struct.unpack("<Q", data[:8])[0]
        tensors = {}
        for name, about in json.loads(data[8 : 8 + length]).items():
            if name != "__metadata__":
                start, end = about["data_offsets"]
                values = torch.frombuffer(bytearray(data[8 + length + start : 8 + length + end]), dtype=torch.float32)
                tensors[name] = values.reshape(about["shape"])
        return tensors
    sys.modules["safetensors"] = types.ModuleType("safetensors")
    sys.modules["safetensors.torch"] = types.ModuleType("safetensors.torch")
    sys.modules["safetensors.torch"].load_file = load_file
"#;

/// A finished run of images of 16 pixels.
fn finished(folder: &Path, images: &Path) -> PathBuf {
    let out = folder.join("run");
    let output = run(&[&tiny(text(images), text(&out))[..], &["--image-size", "16"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    out
}

#[test]
fn a_run_starts_from_the_directory_of_another_with_its_network() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 4);
    let (first, second) = (finished(dir.path(), &images), dir.path().join("second"));
    let args = ["pretrain", "--method", "simclr", "--data", text(&images), "--init", text(&first)];
    let more = ["--batch-size", "8", "--max-steps", "1", "--out", text(&second)];
    let output = run(&[&args[..], &more].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("have resnet18 of width 64 alone"), "{}", stderr(&output));
    let recipe = fs::read_to_string(second.join("recipe.toml")).expect("a recipe");
    assert!(recipe.contains("width = 4") && recipe.contains("run/encoder.safetensors"), "{recipe}");
    let said = |output: &std::process::Output, what: &str, file: &Path| {
        let stderr = stderr(output);
        let line = stderr.lines().find(|line| line.starts_with(what)).unwrap_or_else(|| panic!("{stderr}"));
        let from = format!("tensors of the encoder from {} (safetensors), nothing left out", file.display());
        assert!(line.starts_with(&format!("{what}: all ")) && line.ends_with(&from), "{line}");
    };
    let file = first.join("encoder.safetensors");
    said(&output, "weights to start from", &file);
    let sets = ["--train", text(&images), "--test", text(&images)];
    said(&run(&[&["knn", "--weights", text(&file)][..], &sets].concat()), "weights", &file);

    let knn =
        |source| json(&["knn", source, text(&first), "--train", text(&images), "--test", text(&images)]);
    assert_eq!(knn("--weights")["knn_top1"], knn("--run")["knn_top1"], "a directory is a run");
}

#[test]
fn a_vit_of_another_size_starts_a_run_with_its_network() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 4);
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let pretrain = |out: &Path, more: &[&str]| {
        let args = ["pretrain", "--method", "simclr", "--data", text(&images), "--image-size", "16"];
        let length = ["--batch-size", "8", "--max-steps", "1", "--out", text(out)];
        let output = run(&[&args[..], &length, more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        fs::read_to_string(out.join("recipe.toml")).expect("a recipe")
    };
    let sizes = ["embed_dim=32", "depth=2", "heads=2", "patch_size=8", "mlp_ratio=2"];
    let sets = sizes.map(|size| format!("encoder.{size}"));
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    pretrain(&first, &[&["--model", "vit-tiny"][..], &sets].concat());
    let recipe = pretrain(&second, &["--init", text(&first)]);
    for size in sizes {
        let line = size.replace('=', " = ");
        assert!(recipe.lines().any(|found| found == line), "no {line} in\n{recipe}");
    }
}

/// A file that another package has written: `ssl-encoders/tests/golden/make_others.py`.
fn of_others(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ssl-encoders/tests/golden/others").join(name)
}

/// The line of a command that says what it took from a file of PyTorch.
#[track_caller]
fn check_taken(said: &str, what: &str, file: &Path, origin: &str) {
    let line = said.lines().find(|line| line.starts_with(what)).unwrap_or_else(|| panic!("{said}"));
    let from = format!("tensors of the encoder from {} (PyTorch, {origin}), left out: ", file.display());
    assert!(line.starts_with(&format!("{what}: all ")) && line.contains(&from), "{line}");
}

#[test]
fn a_run_starts_from_checkpoints_of_pytorch_and_says_where_the_encoder_was_in_them() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 4), dir.path().join("run"));
    let network = ["encoder.patch_size=8", "encoder.embed_dim=16", "encoder.depth=1", "encoder.heads=2"];
    let network: Vec<&str> = network.iter().flat_map(|set| ["--set", set]).collect();
    for (name, origin) in [
        ("lightly_vit.ckpt", "of lightly, under 'state_dict.backbone.vit.'"),
        ("official_moco_v3.pth", "of MoCo v3, under 'state_dict.module.base_encoder.'"),
        // In the format of before PyTorch 1.6.
        ("official_dino.pth", "of DINO, under 'teacher.backbone.'"),
    ] {
        let file = of_others(name);
        let args = ["pretrain", "--method", "simclr", "--data", text(&images), "--image-size", "32"];
        let more = ["--init", text(&file), "--model", "vit-tiny", "--batch-size", "8", "--max-steps", "1"];
        let written = ["--out", text(&out), "--overwrite", "--no-report"];
        let output = run(&[&args[..], &more, &network, &written].concat());
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        check_taken(&stderr(&output), "weights to start from", &file, origin);
    }
}

#[test]
fn a_file_of_torchvision_says_which_network_it_is_of() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, file) = (class_folders(dir.path(), 4), of_others("torchvision_convnext.pth"));
    let features = dir.path().join("features.csv");
    let embed = ["embed", "--weights", text(&file), "--data", text(&images), "--image-size", "32"];
    let output = run(&[&embed[..], &["--out", text(&features)]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    check_taken(&stderr(&output), "weights", &file, "of torchvision");
    assert!(stderr(&output).contains("convnext-tiny"), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(features).expect("features").lines().count(), 9, "a header and 8 images");
}

/// Whoever unpickles such a file runs its command: `REDUCE` calls `posix.system`.
#[test]
fn nothing_in_a_pickle_is_executed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, escaped) = (class_folders(dir.path(), 4), dir.path().join("escaped"));
    let call = format!("touch {}", text(&escaped));
    let length = u32::try_from(call.len()).expect("short").to_le_bytes();
    let pickle = [b"\x80\x02cposix\nsystem\nX", &length[..], call.as_bytes(), b"q\0\x85R."].concat();
    let (file, out) = (dir.path().join("w.pth"), dir.path().join("features.csv"));
    fs::write(&file, pickle).expect("writable");
    let embed = ["embed", "--weights", text(&file), "--data", text(&images), "--out", text(&out)];
    let network = ["--model", "resnet18", "--width", "4", "--image-size", "16"];
    for args in [&embed[..], &[&embed[..], &network].concat()] {
        let refused = sentence(args);
        assert!(refused.contains("w.pth"), "{refused}");
        assert!(!escaped.exists() && !out.exists(), "{args:?}");
    }
}

#[test]
fn an_export_never_replaces_the_encoder_of_its_run_and_has_the_right_extension() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let run_dir = finished(dir.path(), &class_folders(dir.path(), 4));
    let own = run_dir.join("encoder.safetensors");
    let before = fs::read(&own).expect("a finished run");
    let export = |out: &str| sentence(&["export", "--run", text(&run_dir), "--overwrite", "--out", out]);
    let embed = |source: [&str; 2]| {
        let data = text(&dir.path().join("nowhere")).to_owned();
        sentence(&["embed", source[0], source[1], "--data", &data, "--overwrite", "--out", text(&own)])
    };
    for said in [export(text(&own)), embed(["--run", text(&run_dir)]), embed(["--weights", text(&own)])] {
        assert!(
            said.contains("is a file of the run itself, or the weights that are read: expected"),
            "{said}"
        );
    }
    assert_eq!(fs::read(&own).expect("still there"), before);
    assert_eq!(export("e.pth"), "e.pth has an unknown extension: expected .safetensors");
}

/// Run by CI, with Debian's torchvision.
#[test]
#[ignore = "needs a Python with torch and torchvision, named by BURN_SSL_PYTHON"]
fn the_program_that_an_export_prints_computes_the_features_of_embed() {
    let python = std::env::var("BURN_SSL_PYTHON").expect("BURN_SSL_PYTHON names a Python with torchvision");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 4);
    let run_dir = finished(dir.path(), &images);
    let file = dir.path().join("exported.safetensors");
    let printed = stdout(&run(&["export", "--run", text(&run_dir), "--out", text(&file)]));
    let (_, program) = printed.split_once("in Python:\n\n").expect("a program");

    let image = images.join("dark/00.png");
    let show = format!("from PIL import Image\nprint(features(Image.open({:?})).tolist())", text(&image));
    let output = Command::new(python).args(["-c", &format!("{READER}\n{program}\n{show}")]).output();
    let output = output.expect("Python starts");
    assert!(output.status.success(), "{}", stderr(&output));
    let theirs: Vec<f64> = serde_json::from_str(stdout(&output).trim()).expect("a list");

    let csv = dir.path().join("features.csv");
    json(&["embed", "--run", text(&run_dir), "--data", text(&images), "--out", text(&csv)]);
    let csv = fs::read_to_string(&csv).expect("features");
    let row = csv.lines().find(|row| row.contains("dark/00.png")).expect("the image");
    let ours: Vec<f64> = row.split(',').skip(3).map(|value| value.parse().expect("a number")).collect();
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!((ours - theirs).abs() < 1e-4, "{ours} in burn-ssl, {theirs} in Python");
    }
}
