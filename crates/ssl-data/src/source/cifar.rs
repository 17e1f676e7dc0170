use std::path::{Path, PathBuf};

use super::{
    Recognised,
    records::{self, Layout, Part, Records},
};
use crate::DataError;

const SIDE: usize = 32;
const PIXELS: usize = 3 * SIDE * SIDE;

/// The two binary releases, <https://www.cs.toronto.edu/~kriz/cifar.html>: label bytes, then three planes.
struct Release {
    kind: &'static str,
    label_bytes: usize,
    /// Which of the label bytes counts: CIFAR-100 has the coarse label first, then the fine one.
    label_place: u64,
    classes: u8,
    names_file: &'static str,
}

const CIFAR_10: Release = Release {
    kind: "CIFAR-10 binary",
    label_bytes: 1,
    label_place: 0,
    classes: 10,
    names_file: "batches.meta.txt",
};

const CIFAR_100: Release = Release {
    kind: "CIFAR-100 binary",
    label_bytes: 2,
    label_place: 1,
    classes: 100,
    names_file: "fine_label_names.txt",
};

/// The training images of a folder that holds them, its test images otherwise, `None` if it holds neither.
pub(super) fn open_folder(folder: &Path) -> Result<Option<Recognised>, DataError> {
    let batches: Vec<_> = (1..=5).map(|batch| folder.join(format!("data_batch_{batch}.bin"))).collect();
    let existing = |paths: Vec<PathBuf>| paths.into_iter().filter(|path| path.is_file()).collect::<Vec<_>>();
    for (release, files) in [
        (CIFAR_10, batches),
        (CIFAR_10, vec![folder.join("test_batch.bin")]),
        (CIFAR_100, vec![folder.join("train.bin")]),
        (CIFAR_100, vec![folder.join("test.bin")]),
    ] {
        let files = existing(files);
        if !files.is_empty() {
            return open(&release, &files).map(Some);
        }
    }
    Ok(None)
}

/// One file: CIFAR-100 if it is called `train.bin` or `test.bin`, CIFAR-10 otherwise.
pub(super) fn open_file(file: &Path) -> Result<Recognised, DataError> {
    let fine = file.file_name().is_some_and(|name| name == "train.bin" || name == "test.bin");
    open(if fine { &CIFAR_100 } else { &CIFAR_10 }, &[file.to_path_buf()])
}

fn open(release: &Release, files: &[PathBuf]) -> Result<Recognised, DataError> {
    let mut labels = Vec::new();
    let mut parts = Vec::new();
    for path in files {
        let part = Part::open(path, release.label_bytes, PIXELS)?;
        labels.extend(read_labels(release, &part)?);
        parts.push(part);
    }
    let names_file = files[0].with_file_name(release.names_file);
    Ok(Recognised {
        kind: release.kind,
        source: Box::new(Records { layout: Layout::Planes, width: SIDE, height: SIDE, parts }),
        class_names: records::class_names(&names_file, &labels),
        labels: Some(labels),
    })
}

fn read_labels(release: &Release, part: &Part) -> Result<Vec<i64>, DataError> {
    let labels = part.prefixes(release.label_place, PIXELS)?;
    match labels.iter().position(|&label| label >= release.classes) {
        None => Ok(labels.into_iter().map(i64::from).collect()),
        Some(record) => {
            let (found, most) = (labels[record], release.classes - 1);
            let reason = format!("label {found} in record {record}, expected 0 to {most} ({})", release.kind);
            Err(DataError::malformed(&part.path, reason))
        }
    }
}
