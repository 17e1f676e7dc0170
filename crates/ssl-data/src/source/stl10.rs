use std::path::{Path, PathBuf};

use super::{
    Recognised,
    records::{self, Layout, Part, Records},
};
use crate::DataError;

const SIDE: usize = 96;

/// The training images of a folder of the binary release, else its unlabelled or test images, `None` if it
/// holds none of them. <https://cs.stanford.edu/~acoates/stl10/>
pub(super) fn open_folder(folder: &Path) -> Result<Option<Recognised>, DataError> {
    let files = ["train_X.bin", "unlabeled_X.bin", "test_X.bin"].map(|name| folder.join(name));
    files.iter().find(|file| file.is_file()).map(|file| open_file(file)).transpose()
}

/// Images `[3, 96, 96]` with columns before rows, and the labels in `*_y.bin` beside them, if it is there.
pub(super) fn open_file(file: &Path) -> Result<Recognised, DataError> {
    let part = Part::open(file, 0, 3 * SIDE * SIDE)?;
    let labels_file = labels_file(file);
    let labels = labels_file.is_file().then(|| read_labels(&labels_file, part.count)).transpose()?;
    let names_file = file.with_file_name("class_names.txt");
    Ok(Recognised {
        kind: "STL-10 binary",
        source: Box::new(Records {
            layout: Layout::TransposedPlanes,
            width: SIDE,
            height: SIDE,
            parts: vec![part],
        }),
        class_names: labels.as_ref().and_then(|labels| records::class_names(&names_file, labels)),
        labels,
    })
}

fn labels_file(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let split = name.len() - "_x.bin".len();
    file.with_file_name(format!("{}_y.bin", &name[..split]))
}

/// Labels are stored from 1.
fn read_labels(path: &Path, images: usize) -> Result<Vec<i64>, DataError> {
    let bytes = ssl_files::read(path).map_err(|error| DataError::io(path, error))?;
    if bytes.len() != images {
        let reason = format!("{} labels, expected one for each of the {images} images", bytes.len());
        return Err(DataError::malformed(path, reason));
    }
    match bytes.iter().find(|label| !(1..=10).contains(*label)) {
        Some(label) => Err(DataError::malformed(path, format!("label {label}, expected 1 to 10"))),
        None => Ok(bytes.into_iter().map(|label| i64::from(label) - 1).collect()),
    }
}
