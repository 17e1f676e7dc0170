//! Which encoder a command uses, runs that are not finished, similar images, and runs side by side.

mod common;

use std::fs;
use std::path::Path;

use common::{class_folders, command, finished, json, run, sentence, stderr, stdout, text, tiny};

/// What a run leaves that was stopped after its third step.
fn stopped_after_three(out: &Path) {
    fs::remove_file(out.join("encoder.safetensors")).expect("there");
    for newer in ["last", "step-4"] {
        fs::remove_dir_all(out.join("checkpoints").join(newer)).expect("there");
    }
}

#[test]
fn an_encoder_is_always_named() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 3);
    let images = text(&images);
    let out = dir.path().join("out.csv");
    let sets = ["--train", images, "--test", images];
    for args in [
        &["embed", "--data", images, "--out", text(&out)][..],
        &[&["knn"][..], &sets].concat(),
        &[&["linear", "--cached", "--width", "4"][..], &sets].concat(),
        &[&["finetune", "--model", "resnet18", "--out", text(&out)][..], &sets].concat(),
        &["similar", "--data", images, "--query", "bright/00.png"],
    ] {
        let refused = sentence(args);
        assert!(
            refused.starts_with("no encoder is named: expected --run DIR, --weights FILE, or --untrained"),
            "{refused}"
        );
        assert!(!out.exists(), "{args:?} wrote something");
    }
    let both = run(&["embed", "--run", "r", "--weights", "w", "--data", images, "--out", text(&out)]);
    assert_eq!(both.status.code(), Some(2), "{}", stderr(&both));
    let seed = run(&[&["knn", "--run", "r", "--seed", "3"][..], &sets].concat());
    assert!(stderr(&seed).contains("--untrained"), "{}", stderr(&seed));
    let untrained = ["knn", "--untrained", "--width", "4", "--seed", "3"];
    let untrained = run(&[&untrained[..], &sets].concat());
    assert!(
        stderr(&untrained).contains("encoder: resnet18 of width 4, untrained, seed 3"),
        "{}",
        stderr(&untrained)
    );
}

#[test]
fn the_commands_say_which_encoder_they_use_and_take_a_stopped_run() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = finished(dir.path(), &[]);
    let (images, run_dir) = (text(&images), text(&out));
    let export = |name: &str| {
        let file = dir.path().join(name);
        let output = run(&["export", "--run", run_dir, "--out", text(&file)]);
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    let whole = export("whole.safetensors");
    assert!(whole.contains("encoder: simclr, resnet18 of width 4, 2 epochs, 4 steps"), "{whole}");

    stopped_after_three(&out);
    let stopped = export("stopped.safetensors");
    assert!(stopped.contains("step 3 of 4 of an unfinished run"), "{stopped}");
    let read = |name: &str| fs::read(dir.path().join(name)).expect("a file");
    assert_ne!(read("whole.safetensors"), read("stopped.safetensors"));

    let (features, tuned) = (dir.path().join("features.npy"), dir.path().join("tuned"));
    let sets = ["--run", run_dir, "--train", images, "--test", images];
    for args in [
        &["embed", "--run", run_dir, "--data", images, "--out", text(&features)][..],
        &[&["knn"][..], &sets].concat(),
        &[&["linear", "--cached", "--epochs", "2"][..], &sets].concat(),
        &[&["finetune", "--epochs", "1", "--out", text(&tuned)][..], &sets].concat(),
        &["similar", "--run", run_dir, "--data", images, "--query", "bright/00.png"],
    ] {
        let encoder = json(args)["encoder"].clone();
        assert_eq!(
            (&encoder["method"], &encoder["model"]),
            (&"simclr".into(), &"resnet18".into()),
            "{args:?}"
        );
        assert_eq!(
            (encoder["steps"].as_u64(), encoder["total_steps"].as_u64()),
            (Some(3), Some(4)),
            "{args:?}"
        );
    }
    let record = fs::read_to_string(tuned.join("classifier.toml")).expect("a record");
    assert!(record.contains("step 3 of 4"), "{record}");
}

/// DINO keeps its teacher, which is not what the optimizer trains.
#[test]
fn the_encoder_of_a_checkpoint_is_the_one_that_the_run_would_keep() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let small = [
        "--method",
        "dino",
        "--set",
        "method_options.output_dim=16",
        "--set",
        "method_options.hidden_dim=16",
        "--set",
        "schedule.warmup_epochs=0",
    ];
    let (images, out) = finished(dir.path(), &small);
    let embed = |name: &str| {
        let file = dir.path().join(name);
        json(&["embed", "--run", text(&out), "--data", text(&images), "--out", text(&file)]);
        fs::read(file).expect("features")
    };
    let of_file = embed("file.npy");
    fs::remove_file(out.join("encoder.safetensors")).expect("there");
    assert_eq!(embed("checkpoint.npy"), of_file);
}

#[test]
fn a_damaged_checkpoint_is_told_and_a_run_without_one_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = finished(dir.path(), &[]);
    fs::remove_file(out.join("encoder.safetensors")).expect("there");
    fs::write(out.join("checkpoints/last/student.safetensors"), "damage").expect("writable");
    let file = dir.path().join("features.csv");
    let args = ["embed", "--run", text(&out), "--data", text(&images), "--out", text(&file)];
    let output = run(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("warning: ") && said.contains("checkpoints/last: student.safetensors"), "{said}");
    assert!(said.contains("step 4 of 4"), "{said}");

    for written in [file.clone(), file.with_extension("json")] {
        fs::remove_file(written).expect("there");
    }
    fs::remove_dir_all(out.join("checkpoints")).expect("there");
    let refused = sentence(&args);
    assert!(refused.contains("holds no finished run"), "{refused}");
    assert!(!file.exists());
}

#[test]
fn similar_images_are_listed_and_drawn() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 6);
    let sheet = dir.path().join("sheet.png");
    let query = images.join("bright/00.png");
    let args = ["similar", "--untrained", "--width", "4", "--data", text(&images), "--query", text(&query)];
    let more = ["--query", "dark/01.png", "--top", "3", "--out", text(&sheet)];
    let found = json(&[&args[..], &more].concat());
    assert_eq!((found["images"].as_u64(), found["queries"].as_array().map(Vec::len)), (Some(12), Some(2)));
    for query in found["queries"].as_array().expect("queries") {
        let neighbours = query["neighbours"].as_array().expect("neighbours");
        let name = query["query"].as_str().expect("a name");
        assert_eq!(neighbours.len(), 3);
        for neighbour in neighbours {
            assert!(!neighbour["file"].as_str().expect("a file").ends_with(name), "{query}");
            assert!(neighbour["similarity"].as_f64().is_some_and(|cosine| cosine <= 1.001), "{query}");
        }
    }
    assert!(image::open(&sheet).is_ok_and(|sheet| sheet.width() > sheet.height()));

    let again = sentence(&[&args[..], &["--out", text(&sheet)]].concat());
    assert!(again.contains("already exists") && again.contains("--overwrite"), "{again}");
    let words = run(&args);
    let lines = stdout(&words);
    assert!(words.status.success() && lines.lines().count() == 9, "a query and eight images: {lines}");
    let absent = sentence(&["similar", "--untrained", "--data", text(&images), "--query", "cat.jpg"]);
    assert!(absent.starts_with("cat.jpg is no image to search with"), "{absent}");
}

#[test]
fn runs_are_compared() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 6);
    let trained = |seed: &str, lr: &str| {
        let out = dir.path().join(format!("run-{seed}-{lr}"));
        let more = ["--seed", seed, "--lr", lr, "--epochs", "1", "--eval-test", text(&images)];
        let result = json(&[&tiny(text(&images), text(&out))[..], &more].concat());
        assert_eq!(result["seed"].to_string(), seed, "{result}");
        assert_eq!(result["recipe"], "simclr/cifar10", "{result}");
        assert!(result["rankme"].as_f64().is_some_and(|rank| rank >= 1.0), "{result}");
        (out, result)
    };
    let runs = [trained("1", "0.01"), trained("2", "0.01"), trained("1", "0.1")];
    let paths: Vec<_> = runs.iter().map(|(out, _)| text(out)).collect();
    let plot = dir.path().join("curves.png");
    let report = json(&[&["compare"][..], &paths, &["--plot", text(&plot)]].concat());
    for (row, (_, result)) in report["runs"].as_array().expect("runs").iter().zip(&runs) {
        for key in ["seed", "steps", "epochs"] {
            assert_eq!(row[key], result[key], "{key} of {row}");
        }
        for key in ["train_loss", "knn_top1", "rankme", "knn_top1_untrained"] {
            let [found, expected] = [row, result].map(|values| values[key].as_f64().expect("a number"));
            assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0), "{key} of {row}");
        }
        assert!(row["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{row}");
    }
    let keys: Vec<_> =
        report["differences"].as_array().expect("keys").iter().map(|key| &key["key"]).collect();
    assert_eq!(keys, ["optimizer.lr", "seed"]);
    let seeds = report["seeds"].as_array().expect("groups");
    assert_eq!((seeds.len(), seeds[0]["runs"].as_array().map(Vec::len)), (1, Some(2)), "{report}");
    assert!(seeds[0]["knn_top1"]["deviation"].as_f64().is_some(), "{report}");
    assert!(image::open(&plot).is_ok());
    let words = stdout(&run(&[&["compare"][..], &paths].concat()));
    assert!(words.contains("optimizer.lr") && words.contains("differ in the seed alone"), "{words}");
}

#[test]
fn methods_have_costs_and_one_is_recommended() {
    let recommended = |args: &[&str]| {
        let methods = json(&[&["methods"][..], args].concat());
        let methods = methods.as_array().expect("methods").clone();
        // Methods that are younger than the archived table have no costs.
        let costs: Vec<_> = methods.iter().filter_map(|method| method["cost"]["peak_mb"].as_u64()).collect();
        assert!(costs.len() >= 11 && costs.iter().all(|&peak| peak > 100), "{methods:?}");
        let found: Vec<_> = methods.iter().filter(|method| method["recommended"] == true).collect();
        found.iter().map(|method| method["name"].to_string()).collect::<Vec<_>>()
    };
    assert!(recommended(&[]).is_empty(), "nothing is known of the images");
    assert_eq!(recommended(&["--images", "50000", "--labels"]), ["\"supcon\""]);
    assert_eq!(recommended(&["--images", "50000", "--batch-size", "32"]), ["\"moco-v2\""]);
    assert_eq!(recommended(&["--data", "demo:train"]), ["\"supcon\""]);
    let words = stdout(&run(&["methods", "--images", "50000"]));
    assert!(
        words.contains("recommended for 50000 images without labels in batches of 256: simclr"),
        "{words}"
    );
    assert!(words.contains("docs/benchmarks/2026-11-24-epyc-2core/README.md"), "{words}");
    let unknown = sentence(&["methods", "--labels"]);
    assert!(unknown.contains("--images N or --data PATH"), "{unknown}");
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let help = stdout(&run(&["--help"]));
    let listed = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let names = listed.take_while(|line| !line.is_empty()).filter_map(|line| {
        let name = line.strip_prefix("  ")?.split_whitespace().next()?;
        (!line.starts_with("   ") && name != "help").then_some(name)
    });
    let names: Vec<_> = names.collect();
    assert!(names.len() > 20 && names.contains(&"plan"), "{help}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&run(&["completions", shell]));
        assert!(names.iter().all(|name| script.contains(name)) && script.contains("batch-size"), "{shell}");
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("man1");
    let write = run(&["man", "--out", text(&folder)]);
    assert!(write.status.success(), "{}", stderr(&write));
    for name in &names {
        let page = fs::read_to_string(folder.join(format!("burn-ssl-{name}.1"))).expect("a page");
        assert!(page.contains(".SH SYNOPSIS") && page.contains("burn\\-ssl"), "{name}: {page}");
    }
    let main = fs::read_to_string(folder.join("burn-ssl.1")).expect("the main page");
    assert_eq!(main, stdout(&run(&["man"])));
    assert!(sentence(&["man", "--out", text(&folder)]).contains("already exists"));
    assert!(run(&["man", "--out", text(&folder), "--overwrite"]).status.success());
}

#[test]
fn a_reader_of_the_output_that_has_seen_enough_is_no_failure() {
    for args in
        [&["recipes", "simclr/cifar10"][..], &["recipes", "--json"], &["completions", "bash"], &["man"]]
    {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = command(args).stdout(writer).output().expect("burn-ssl starts");
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {}", stderr(&output));
    }
}
