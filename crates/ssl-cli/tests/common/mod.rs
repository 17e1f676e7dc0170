//! What the tests of the tool share: made images and calls of the binary.
#![allow(dead_code)] // every test program compiles this file and uses its own part of it

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Pixels a side of the made images.
const SIZE: u32 = 16;

/// Options of a run that takes a second or two.
const TINY: [&str; 10] = [
    "--method",
    "simclr",
    "--width",
    "4",
    "--batch-size",
    "8",
    "--epochs",
    "2",
    "--set",
    "method_options.output_dim=8",
];

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_burn-ssl"));
    command.args(args).env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
    command
}

pub(crate) fn run(args: &[&str]) -> Output {
    command(args).output().expect("the binary starts")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The last line of standard output of a command that has to work.
pub(crate) fn json(args: &[&str]) -> Value {
    let output = run(&[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    let text = stdout(&output);
    serde_json::from_str(text.lines().last().expect("a line")).expect("one line of JSON")
}

/// Runs a command that has to fail with one sentence, and gives that sentence. It may have said before which encoder it uses.
pub(crate) fn sentence(args: &[&str]) -> String {
    let output = run(args);
    let stderr = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?} printed a result");
    let lines: Vec<&str> = stderr.lines().collect();
    let said = match &lines[..] {
        [said] => said,
        [encoder, said] if encoder.starts_with("encoder: ") => said,
        _ => panic!("{args:?}: {stderr}"),
    };
    let sentence = said.trim().strip_prefix("error: ").unwrap_or_else(|| panic!("{args:?}: {stderr}"));
    assert!(!sentence.contains("panicked") && sentence.len() > 20, "{args:?}: {sentence}");
    sentence.to_owned()
}

/// Images and a finished run of four steps on them, with the checkpoints `last`, `step-3` and `step-4`.
pub(crate) fn finished(dir: &Path, more: &[&str]) -> (PathBuf, PathBuf) {
    let every_step = ["--set", "checkpoint.every_steps=1", "--set", "checkpoint.keep=2"];
    let (images, out) = (class_folders(dir, 10), dir.join("run"));
    let output = run(&[&tiny(text(&images), text(&out))[..], &every_step, more].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    (images, out)
}

/// Starts a run with a checkpoint after every step, and waits for the first one.
pub(crate) fn started(images: &Path, out: &Path, epochs: &str) -> Child {
    let more = ["--set", "checkpoint.every_steps=1", "--epochs", epochs];
    let mut child = command(&[&tiny(text(images), text(out))[..], &more].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    while !out.join("checkpoints/last/meta.json").exists() {
        assert!(child.try_wait().expect("a child").is_none(), "the run ended before its first checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// Arguments of a tiny run on `data` in `out`.
pub(crate) fn tiny<'a>(data: &'a str, out: &'a str) -> Vec<&'a str> {
    [&["pretrain", "--data", data, "--out", out][..], &TINY].concat()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have names in Unicode")
}

/// A folder of two class folders, with `count` images each: bright ones and dark ones.
pub(crate) fn class_folders(parent: &Path, count: u32) -> PathBuf {
    let folder = parent.join(format!("images-{count}"));
    for (class, shade) in [("bright", 190), ("dark", 60)] {
        fs::create_dir_all(folder.join(class)).expect("writable");
        for index in 0..count {
            made(shade, index).save(folder.join(class).join(format!("{index:02}.png"))).expect("writable");
        }
    }
    folder
}

/// An image of coloured stripes, another one for each index.
fn made(shade: u32, index: u32) -> image::RgbImage {
    image::RgbImage::from_fn(SIZE, SIZE, |x, y| {
        let wave = ((x * (index % 5 + 1) + y * (index % 3 + 1)) * 37) % 50;
        image::Rgb([0, 1, 2].map(|channel| (shade + wave * (channel + index) % 60) as u8))
    })
}
