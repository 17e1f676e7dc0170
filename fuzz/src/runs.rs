//! Targets of `ssl-train` and `ssl-tasks`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use ssl_tasks::recipe::Draft;
use ssl_train::{RunDir, fuzzing, newest_intact_checkpoint};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

use crate::plant;

/// Between the files of a run in one input.
const BETWEEN: &[u8] = b"\n%%\n";

/// Reads a recipe and checks it as far as no registry of methods is needed; returns whether it is usable.
///
/// # Panics
/// If a checked recipe cannot be written and read again: a bug.
pub fn recipe(bytes: &[u8]) -> bool {
    let Some(recipe) = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| Draft::parse("fuzz.toml", text).ok())
        .and_then(|draft| draft.finish().ok())
    else {
        return false;
    };
    plant(recipe.data.image_size == 33);
    let size = recipe.data.image_size;
    let usable = recipe.views().is_ok()
        && recipe.train_config().validate().is_ok()
        && recipe.encoder.validate(size).is_ok()
        && recipe.encoder.footprint(size, size).is_ok();
    if let Ok(text) = recipe.to_toml() {
        let again = Draft::parse("again.toml", &text).and_then(Draft::finish).expect("a recipe");
        // As texts, since NaN is not equal to itself; TOML writes the tables of a section last, whatever their place was.
        assert_eq!(again.to_toml().expect("a recipe"), text, "a recipe survives being written");
    }
    usable
}

/// Reads the rows of `metrics.jsonl` as a resumed run does; returns whether there are any.
///
/// # Panics
/// If what is kept is read differently the next time: a bug.
pub fn metrics(bytes: &[u8]) -> bool {
    let (kept, evaluated) = fuzzing::metrics(bytes, u64::MAX);
    assert_eq!(fuzzing::metrics(&kept, u64::MAX), (kept.clone(), evaluated.clone()), "rows stay rows");
    plant(evaluated.contains(&9));
    !kept.is_empty()
}

/// Looks for the checkpoint of a run whose files are `bytes`: recipe, metadata, checksums and student, with a line `%%` between
/// them. If the checksums are empty, they are those of the files. Returns whether the checkpoint is intact.
pub fn run(bytes: &[u8]) -> bool {
    with_folder(|folder| {
        write_run(folder, bytes);
        let Ok(run) = RunDir::open(folder) else { return false };
        let _ = Draft::of_run(folder).map(Draft::finish);
        let Ok(Some(checkpoint)) = newest_intact_checkpoint(&run) else { return false };
        plant(checkpoint.step() == 9);
        let _ = (checkpoint.recipe(), checkpoint.steps_per_epoch(), checkpoint.seconds());
        true
    })
}

fn write_run(folder: &Path, bytes: &[u8]) {
    let last = folder.join("checkpoints/last");
    let mut parts = split(bytes).into_iter();
    let mut next = || parts.next().unwrap_or_default();
    let (recipe, meta, sums, student) = (next(), next(), next(), next());
    // Checksums count only if they are those of all files.
    let files: [(&str, &[u8]); 5] = [
        ("meta.json", meta),
        ("student.safetensors", student),
        ("state.safetensors", &[]),
        ("optimizer.safetensors", &[]),
        ("images.bin", &[]),
    ];
    let own = sums_of(&files);
    let sums = if sums.is_empty() { own.as_bytes() } else { sums };
    let write = |path: PathBuf, bytes: &[u8]| fs::write(path, bytes).expect("a folder of our own");
    fs::create_dir_all(&last).expect("a folder of our own");
    write(folder.join("recipe.toml"), recipe);
    write(last.join("checksums.json"), sums);
    files.iter().for_each(|(name, bytes)| write(last.join(name), bytes));
}

/// The list of the checksums of files, as a run writes it.
fn sums_of(files: &[(&str, &[u8])]) -> String {
    let sum = |bytes: &[u8]| json!({ "bytes": bytes.len(), "xxh3": format!("{:016x}", xxh3_64(bytes)) });
    let sums: BTreeMap<_, _> = files.iter().map(|(name, bytes)| (*name, sum(bytes))).collect();
    json!(sums).to_string()
}

fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut parts, mut rest) = (Vec::new(), bytes);
    while let Some(at) = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        parts.push(&rest[..at]);
        rest = &rest[at + BETWEEN.len()..];
    }
    parts.push(rest);
    parts
}

/// Runs `act` in a folder of this thread, in memory where there is one.
pub(crate) fn with_folder<T>(act: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
    }
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| {
            let memory = Path::new("/dev/shm");
            let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
            made.expect("a temporary folder")
        });
        act(folder.path())
    })
}
