//! Runs from the first step to the exported encoder.

mod common;

use std::fs;
use std::path::Path;
use std::process::Child;

use common::{class_folders, json, run, stderr, stdout, text, tiny};

fn encoder(run: &Path) -> Vec<u8> {
    fs::read(run.join("encoder.safetensors")).expect("a finished run")
}

/// Starts a run that is not over soon, and waits for its first checkpoint.
fn started(data: &Path, out: &Path) -> Child {
    common::started(data, out, "15")
}

/// The encoder of the run that [`started`] starts, had it not been disturbed.
fn undisturbed(data: &Path, out: &Path) -> Vec<u8> {
    let output = run(&[&tiny(text(data), text(out))[..], &["--epochs", "15"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    encoder(out)
}

#[test]
fn a_run_writes_all_its_files_and_can_be_evaluated_and_exported() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 10), dir.path().join("run"));
    let (images, out_text) = (text(&images), text(&out));
    let result = json(&[&tiny(images, out_text)[..], &["--eval-test", images, "--eval-every", "1"]].concat());
    let of_run = ["steps", "epochs", "seconds", "train_loss", "images_per_s"];
    let [knn, linear] =
        ["knn", "linear"].map(|name| ["", "_untrained", "_pixels"].map(|of| format!("{name}_top1{of}")));
    for key in of_run.map(str::to_owned).iter().chain(&knn).chain(&linear) {
        assert!(result[key].as_f64().is_some_and(f64::is_finite), "{key} in {result}");
    }
    assert_eq!((result["method"].as_str(), result["device"].as_str()), (Some("simclr"), Some("flex")));
    assert_eq!((result["steps"].as_u64(), result["out"].as_str()), (Some(4), Some(out_text)));

    let recipe = fs::read_to_string(out.join("recipe.toml")).expect("a recipe");
    assert!(recipe.contains("width = 4") && recipe.contains("stem = \"cifar\""), "{recipe}");
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    assert_eq!(
        metrics.matches("knn_top1\"").count(),
        3,
        "before, after the first epoch, at the end:\n{metrics}"
    );
    assert!(metrics.contains("train_loss") && metrics.contains("z_std"), "{metrics}");
    assert!(out.join("checkpoints/last/student.safetensors").exists());

    let found = json(&["knn", "--run", out_text, "--train", images, "--test", images]);
    assert_eq!(found["knn_top1"], result["knn_top1"], "the command agrees with the online evaluation");
    assert_eq!((found["k"].as_u64(), found["images"].as_u64()), (Some(20), Some(20)));
    let as_the_run =
        ["--image-size", "32", "--mean", "0.4914,0.4822,0.4465", "--std", "0.2470,0.2435,0.2616"];
    let untrained = ["knn", "--untrained", "--width", "4", "--train", images, "--test", images];
    let untrained = json(&[&untrained[..], &as_the_run].concat());
    assert_eq!(untrained["knn_top1"], result["knn_top1_untrained"]);

    let file = dir.path().join("exported.safetensors");
    let exported = json(&["export", "--run", out_text, "--out", text(&file), "--format", "torchvision"]);
    assert_eq!(exported["format"], "torchvision");
    let weights = json(&["knn", "--weights", text(&file), "--train", images, "--test", images]);
    assert_eq!(weights["knn_top1"], result["knn_top1"], "the exported file is the encoder");
}

#[test]
fn a_run_that_is_to_stop_when_it_collapses_ends_with_exit_code_3() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (dir.path().join("images"), dir.path().join("run"));
    fs::create_dir(&images).expect("writable");
    for index in 0..16 {
        let grey = image::RgbImage::from_pixel(16, 16, image::Rgb([90, 120, 100]));
        grey.save(images.join(format!("{index}.png"))).expect("writable");
    }
    let args = tiny(text(&images), text(&out));
    let stopped = run(&[&args[..], &["--on-collapse", "stop"]].concat());
    let said = stderr(&stopped);
    assert_eq!(stopped.status.code(), Some(3), "{said}");
    let [warning, error] = ["warning: step 0: ", "error: "].map(|start| {
        said.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start}in {said}"))
    });
    assert!(
        warning.contains("(images-alike: RankMe 1.00 before training); try --set data.path="),
        "{warning}"
    );
    assert!(
        error.contains("so the run was stopped after step 0") && error.contains("; try --set "),
        "{error}"
    );
    assert!(error.contains("(there is no checkpoint from before step 0)"), "{error}");
    let page = fs::read_to_string(out.join("report.html")).expect("a page of a run that was stopped, too");
    for part in ["<section id=\"findings\">", "images-alike, since step 0", "Not finished: 0 steps are done"]
    {
        assert!(page.contains(part), "the page lacks {part}");
    }

    let warned = run(&[&args[..], &["--overwrite"]].concat());
    assert!(warned.status.success() && stderr(&warned).contains("images-alike"), "{}", stderr(&warned));
    let other = common::sentence(&[&args[..], &["--overwrite", "--on-collapse", "wait"]].concat());
    assert_eq!(other, "unknown on_collapse 'wait': expected warn or stop");
}

#[test]
fn the_number_of_workers_does_not_change_a_byte() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 10);
    let of_workers = |workers: &str| {
        let out = dir.path().join(workers);
        let output = run(&[&tiny(text(&images), text(&out))[..], &["--workers", workers]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        encoder(&out)
    };
    assert_eq!(of_workers("1"), of_workers("2"));
}

#[test]
fn a_killed_run_goes_on_to_the_bytes_of_an_undisturbed_one() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 12), dir.path().join("killed"));
    let mut child = started(&images, &out);
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    assert!(!out.join("encoder.safetensors").exists(), "the run was over before it was killed");

    let output = run(&["pretrain", "--resume", "--out", text(&out)]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).lines().any(|line| line.starts_with("images: ")), "{}", stderr(&output));
    assert_eq!(encoder(&out), undisturbed(&images, &dir.path().join("undisturbed")));
    assert!(stderr(&output).contains("the run goes on after step "), "{}", stderr(&output));
    let again = run(&["pretrain", "--resume", "--out", text(&out)]);
    assert!(again.status.success(), "a finished run has nothing left to do: {}", stderr(&again));
    assert!(stderr(&again).contains("the run is finished: all 45 steps are done"), "{}", stderr(&again));

    let other = run(&["pretrain", "--resume", "--out", text(&out), "--lr", "0.5"]);
    let sentence = stderr(&other);
    assert!(!other.status.success() && sentence.contains("optimizer.lr is 0.06 and not 0.5"), "{sentence}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_is_saved_and_says_how_to_go_on() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 12), dir.path().join("interrupted"));
    let child = started(&images, &out);
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill is on every Unix").success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("burn-ssl pretrain --resume --out"), "{}", stderr(&output));
    let page = fs::read_to_string(out.join("report.html")).expect("a page of what is done");
    assert!(page.contains("Not finished: "), "the page says that the run is finished");

    let resumed = run(&["pretrain", "--resume", "--out", text(&out)]);
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    assert_eq!(encoder(&out), undisturbed(&images, &dir.path().join("undisturbed")));
}

#[test]
fn a_truncated_image_is_named_and_skipped() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 10), dir.path().join("run"));
    let whole = dir.path().join("whole.jpg");
    image::open(images.join("dark/00.png")).and_then(|image| image.save(&whole)).expect("writable");
    let bytes = fs::read(&whole).expect("readable");
    fs::write(images.join("dark/truncated.jpg"), &bytes[..bytes.len() / 2]).expect("writable");

    let output = run(&tiny(text(&images), text(&out)));
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stderr(&output);
    let warnings = said.lines().filter(|line| line.starts_with("warning: "));
    // That so short a run is unwise is told too.
    let warnings: Vec<_> = warnings.filter(|line| !line.starts_with("warning: unwise: ")).collect();
    assert!(matches!(&warnings[..], [one] if one.contains("truncated.jpg")), "{warnings:?}");
}

#[test]
fn a_run_may_be_overwritten_on_request() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 4), dir.path().join("run"));
    let args = [&tiny(text(&images), text(&out))[..], &["--max-steps", "1"]].concat();
    assert!(run(&args).status.success());
    fs::write(out.join("notes.txt"), "mine").expect("writable");
    let output = run(&[&args[..], &["--overwrite", "--seed", "1"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(fs::read_to_string(out.join("recipe.toml")).expect("a recipe").contains("seed = 1"));
    assert!(out.join("notes.txt").exists());
}

#[test]
fn a_sheet_shows_images_and_views() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, sheet) = (class_folders(dir.path(), 4), dir.path().join("views.png"));
    let args =
        ["preview", "--method", "simclr", "--data", text(&images), "--images", "3", "--out", text(&sheet)];
    assert_eq!(json(&args)["images"], 3);
    let again = [&args[..], &["--overwrite", "--model", "vit-tiny", "--set", "views[0].ops[1].p=0"]].concat();
    let words = stdout(&run(&again));
    let data = text(&images);
    let next = format!(
        "  burn-ssl pretrain --method simclr --data {data} --model vit-tiny --set 'views[0].ops[1].p=0' --out run"
    );
    assert_eq!(words.lines().last(), Some(next.as_str()));
    let jpeg = dir.path().join("views.jpg");
    let args_of = |out| ["preview", "--method", "simclr", "--data", data, "--images", "1", "--out", out];
    assert!(run(&args_of(text(&jpeg))).status.success());
    assert_eq!(fs::read(&jpeg).expect("a sheet")[..3], [0xff, 0xd8, 0xff], "the extension is obeyed");
    let gif = common::sentence(&args_of("views.gif"));
    assert!(gif.starts_with("views.gif has an unknown extension: expected .png, .jpg, "), "{gif}");
    let sheet = image::open(&sheet).expect("a PNG");
    assert_eq!((sheet.width(), sheet.height()), (4 + 3 * 100, 20 + 3 * 116));
}

#[test]
fn a_vit_gets_the_recipe_for_a_vit_and_no_keys_of_a_resnet() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = (class_folders(dir.path(), 2), dir.path().join("run"));
    let recipe_of = |method| {
        let output = run(&[
            &["pretrain", "--method", method, "--model", "vit-tiny", "--data", text(&images)][..],
            &["--out", text(&out), "--overwrite", "--batch-size", "2", "--max-steps", "1"],
        ]
        .concat());
        assert!(output.status.success(), "{method}: {}", stderr(&output));
        fs::read_to_string(out.join("recipe.toml")).expect("a recipe")
    };
    if burn_ssl::registry::method("moco-v3").is_ok() {
        let recipe = recipe_of("moco-v3");
        assert!(recipe.contains("heads = \"vit\"") && recipe.contains("patch_size = 4"), "{recipe}");
    }
    let recipe = recipe_of("simclr");
    assert!(recipe.contains("name = \"vit-tiny\"") && recipe.contains("stem = \"auto\""), "{recipe}");
}

#[test]
fn lists_have_names() {
    for (list, name) in [
        ("methods", "simclr-v2"),
        ("models", "resnet50"),
        ("recipes", "simclr/imagenet"),
        ("devices", "flex"),
    ] {
        let rows = json(&[list]);
        let rows = rows.as_array().unwrap_or_else(|| panic!("{list}: {rows}"));
        assert!(rows.iter().any(|row| row["name"] == name), "{list}");
        assert!(
            stdout(&run(&[list])).lines().any(|line| line.split_whitespace().next() == Some(name)),
            "{list}"
        );
    }
    assert!(stdout(&run(&["recipes", "simclr/cifar10"])).starts_with("# SimCLR on CIFAR-10"));
}
