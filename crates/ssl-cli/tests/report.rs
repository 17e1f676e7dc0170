//! The page about a run, event files, lists of runs, near-duplicates, and features for data frames.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{class_folders, finished, json, run, sentence, stderr, stdout, text, tiny};

/// The ids of the sections of a page, in order.
fn sections(html: &str) -> Vec<&str> {
    html.split("<section id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

fn page(path: &Path) -> String {
    fs::read_to_string(path).expect("a page")
}

/// What the facts of a page say under a name.
fn facts<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("<dt>{name}</dt><dd>");
    html.split(start.as_str()).skip(1).filter_map(|rest| rest.split("</dd>").next()).collect()
}

/// The sections of a page about a run whose images can be read.
const WHOLE: [&str; 10] =
    ["verdict", "curves", "accuracy", "views", "map", "neighbours", "clusters", "data", "looks", "facts"];

#[test]
fn a_run_ends_with_a_page_and_event_files_and_neither_changes_the_encoder() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = finished(dir.path(), &["--eval-test", text(&dir.path().join("images-10"))]);
    let html = page(&out.join("report.html"));
    assert_eq!(sections(&html), WHOLE);
    for expected in
        ["of width 4", "raw pixels", "<th scope=\"col\">similarity</th>", "All 20 training images"]
    {
        assert!(html.contains(expected), "{expected}");
    }
    assert!(
        html.contains("20 of 20 test images are also training images"),
        "the test images are the training images"
    );
    assert!(html.len() < 6_000_000);
    let events = fs::read_dir(out.join("tensorboard")).expect("a folder").count();
    assert_eq!(events, 2, "one file for the views, one for the metrics");

    let without = dir.path().join("without");
    let args = [&tiny(text(&images), text(&without))[..], &["--no-report"], &["--eval-test", text(&images)]]
        .concat();
    let output = run(&args);
    assert!(output.status.success() && !without.join("report.html").exists(), "{}", stderr(&output));
    assert!(!stdout(&output).contains("report:"));
    let weights = |run: &Path| fs::read(run.join("encoder.safetensors")).expect("there");
    assert!(weights(&out) == weights(&without), "looking at a run must not change it");
}

#[test]
fn the_facts_of_a_page_are_the_versions_the_machine_and_hashes_that_tell_runs_apart() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = finished(dir.path(), &[]);
    let first = page(&out.join("report.html"));
    let trained_on = facts(&first, "trained on");
    assert!(trained_on[0].ends_with("images-10, 20 images of 2 classes"), "{trained_on:?}");
    assert_eq!(trained_on[1..], ["flex"]);
    assert_eq!(facts(&first, "burn-ssl"), [env!("CARGO_PKG_VERSION")]);
    assert!(facts(&first, "Burn")[0].starts_with(|digit: char| digit.is_ascii_digit()));
    let machine = facts(&first, "report made on");
    assert!(machine[0].contains(" threads, ") && machine[0].contains(" of memory"), "{machine:?}");

    // The encoder names its recipe; a run of another seed has other weights and another recipe.
    let hashes =
        |html: &str| ["hash of the recipe", "hash of the weights"].map(|name| facts(html, name).concat());
    let [recipe, weights] = hashes(&first);
    let encoder = fs::read(out.join("encoder.safetensors")).expect("an encoder");
    assert!(String::from_utf8_lossy(&encoder).contains(&format!("recipe_hash\\\":\\\"{recipe}\\\"")));
    json(&["report", "--run", text(&out)]);
    assert_eq!(hashes(&page(&out.join("report.html"))), [recipe.clone(), weights.clone()]);
    let other = dir.path().join("other");
    let output = run(&[&tiny(text(&images), text(&other))[..], &["--seed", "1"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let [other_recipe, other_weights] = hashes(&page(&other.join("report.html")));
    assert!(recipe != other_recipe && weights != other_weights && weights.len() == 16, "{weights}");
}

/// A run on these images, in one folder and without labels.
fn unlabelled(dir: &Path, images: impl IntoIterator<Item = PathBuf>) -> PathBuf {
    let (folder, out) = (dir.join("photos"), dir.join("unlabelled"));
    fs::create_dir(&folder).expect("writable");
    for (place, image) in images.into_iter().enumerate() {
        fs::copy(image, folder.join(format!("{place:02}.png"))).expect("writable");
    }
    let output = run(&tiny(text(&folder), text(&out)));
    assert!(output.status.success(), "{}", stderr(&output));
    out
}

#[test]
fn a_page_without_labels_shows_groups_and_speaks_of_no_classes() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = &class_folders(dir.path(), 8);
    let images = ["bright", "dark"]
        .into_iter()
        .flat_map(|class| (0..8).map(move |place| folder.join(format!("{class}/{place:02}.png"))));
    let out = unlabelled(dir.path(), images);
    let html = page(&out.join("report.html"));
    assert_eq!(sections(&html), WHOLE);
    assert!(facts(&html, "trained on")[0].ends_with("16 images without labels"));
    assert!(html.contains("there are no accuracies") && html.contains("\"classes\":null"));
    assert!(html.contains("Cluster 1") && !html.contains("Frames of another colour"));
}

#[test]
fn the_page_of_a_run_that_went_wrong_begins_with_what_the_doctor_found() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let image = class_folders(dir.path(), 1).join("dark/00.png");
    let out = unlabelled(dir.path(), vec![image; 8]);
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    assert!(metrics.contains("\"finding\":\"images-alike\""), "{metrics}");
    let html = page(&out.join("report.html"));
    assert_eq!(sections(&html)[..3], ["verdict", "findings", "curves"]);
    for part in ["<h3>images-alike, since step 0</h3>", "the same features for all images", "RankMe 1.0"] {
        assert!(html.contains(part), "no {part} on the page");
    }
}

#[test]
fn a_page_is_written_again_and_says_what_is_gone() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = finished(dir.path(), &[]);
    let report = json(&["report", "--run", text(&out), "--images", "7"]);
    assert_eq!(report["out"], text(&out.join("report.html")));
    let html = page(&out.join("report.html"));
    assert!(html.contains("7 of the 20 training images") && html.contains("no accuracies"));
    assert_eq!(sections(&html), WHOLE);

    let other = dir.path().join("page.html");
    fs::write(&other, "mine").expect("writable");
    let refused = sentence(&["report", "--run", text(&out), "--out", text(&other)]);
    assert!(refused.contains("already exists") && refused.ends_with("try --overwrite"), "{refused}");
    assert_eq!(page(&other), "mine");

    fs::remove_dir_all(&images).expect("removable");
    let output = run(&["report", "--run", text(&out), "--out", text(&other), "--overwrite"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let html = page(&other);
    assert_eq!(sections(&html), ["verdict", "curves", "accuracy", "views", "data", "facts"]);
    assert!(html.contains("The images of the run are not shown: "));
}

#[test]
fn the_page_of_a_vit_shows_what_its_heads_attend_to() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 8);
    let out = dir.path().join("run");
    let set = ["encoder.patch_size=4", "encoder.embed_dim=12", "encoder.depth=2", "encoder.heads=3"];
    let set: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
    let tiny = tiny(text(&images), text(&out));
    let mut args: Vec<&str> = tiny.to_vec();
    let width = args.iter().position(|arg| *arg == "--width").expect("tiny networks");
    args.splice(width..width + 2, ["--model", "vit-tiny"]);
    let output = run(&[&args[..], &set].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let html = page(&out.join("report.html"));
    for column in ["head 1", "head 3", "components"] {
        assert!(html.contains(&format!("<th scope=\"col\">{column}</th>")), "{column}");
    }
    assert!(!html.contains("head 4") && html.contains("class token"));
}

#[test]
fn several_runs_are_compared_on_a_page() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 10);
    let [first, second] = ["0", "1"].map(|seed| {
        let out = dir.path().join(["first", "second"][usize::from(seed == "1")]);
        let more = ["--seed", seed, "--eval-test", text(&images), "--no-report"];
        let output = run(&[&tiny(text(&images), text(&out))[..], &more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        out
    });
    let out = dir.path().join("both.html");
    json(&["report", "--run", text(&first), "--run", text(&second), "--out", text(&out)]);
    let html = page(&out);
    assert_eq!(sections(&html), ["compared", "curves", "differences", "facts"]);
    assert!(html.contains("Keys of the recipes that differ") && html.contains("<th scope=\"row\">seed</th>"));
    assert!(html.contains("Recipe of second"));
    let (_, seeds) =
        html.split_once("<h3>Runs that differ in the seed alone</h3>").expect("a table of seeds");
    let row = seeds.split("</tr>").nth(1).expect("a row");
    assert!(row.contains("<th scope=\"row\">first, second</th>"), "{row}");
    // Loss, views found, RankMe, k-NN, linear, time.
    assert_eq!(row.matches(" ± ").count(), 6, "{row}");
}

#[test]
fn a_resumed_run_goes_on_in_an_event_file_of_its_own_and_ends_well_without_a_page() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (_, out) = finished(dir.path(), &["--no-report"]);
    let count = || fs::read_dir(out.join("tensorboard")).expect("a folder").count();
    let before = count();
    // What no page can be written over.
    fs::create_dir(out.join("report.html")).expect("writable");
    let output = run(&["pretrain", "--resume", "--epochs", "3", "--out", text(&out)]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("no report: ") && !stdout(&output).contains("report:"),
        "{}",
        stderr(&output)
    );
    assert_eq!(count(), before + 1);
}

#[test]
fn runs_of_a_folder_are_listed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (images, out) = finished(dir.path(), &["--no-report"]);
    let folder = text(dir.path());
    let list = json(&["runs", folder, "--sort", "knn"]);
    let [listed] = &list["runs"].as_array().expect("a list")[..] else { panic!("{list}") };
    assert_eq!(
        (&listed["run"], &listed["state"], &listed["epochs"]),
        (&text(&out).into(), &"finished".into(), &2.into())
    );
    let table = stdout(&run(&["runs", folder]));
    assert!(table.starts_with("run") && table.contains("simclr  resnet18  finished"), "{table}");
    assert_eq!(stdout(&run(&["runs", text(&images)])).trim(), "no runs");
    let unknown = run(&["runs", folder, "--sort", "size"]);
    assert!(stderr(&unknown).contains("sort is 'size', expected path, method"), "{}", stderr(&unknown));
}

#[test]
fn near_duplicates_and_features_are_written_as_tables() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let images = class_folders(dir.path(), 4);
    fs::copy(images.join("bright/00.png"), images.join("bright/copy.png")).expect("writable");
    let (table, features) = (dir.path().join("table.csv"), dir.path().join("features.parquet"));
    let encoder = ["--untrained", "--width", "4", "--data", text(&images)];
    let report = json(&[&["dedup"][..], &encoder, &["--out", text(&table)]].concat());
    assert_eq!(report["images"], 9);
    let rows = fs::read_to_string(&table).expect("a table");
    let copy = rows.lines().find(|row| row.starts_with("bright/copy.png")).expect("a row");
    assert!(copy.starts_with("bright/copy.png,no,") && copy.contains(",bright/00.png,"), "{rows}");

    json(&[&["embed"][..], &encoder, &["--out", text(&features)]].concat());
    let bytes = fs::read(&features).expect("a file");
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    assert!(!features.with_extension("json").exists(), "the description is in the file");
}
