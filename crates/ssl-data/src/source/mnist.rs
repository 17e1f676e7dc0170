use std::path::{Path, PathBuf};

use super::{
    Recognised, open_read,
    positioned::read_exact_at,
    records::{Layout, Part, Records},
};
use crate::DataError;

/// First bytes of an IDX file of bytes in three dimensions. <http://yann.lecun.com/exdb/mnist/>
pub(super) const IMAGES_MAGIC: [u8; 4] = [0, 0, 8, 3];
const LABELS_MAGIC: [u8; 4] = [0, 0, 8, 1];
const IMAGES_HEADER: usize = 16;
const LABELS_HEADER: usize = 8;

/// The training images of a folder that holds them, its test images otherwise, `None` if it holds neither.
pub(super) fn open_folder(folder: &Path) -> Result<Option<Recognised>, DataError> {
    ["train-images-idx3-ubyte", "train-images.idx3-ubyte", "t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"]
        .iter()
        .map(|name| folder.join(name))
        .find(|file| file.is_file())
        .map(|file| open_file(&file))
        .transpose()
}

/// Grey images `[count, rows, columns]`, and the labels in the file beside them whose name has `labels` for
/// `images` and `idx1` for `idx3`, if it is there.
pub(super) fn open_file(file: &Path) -> Result<Recognised, DataError> {
    let (part, width, height) = open_images(file)?;
    let labels = match labels_file(file) {
        Some(path) if path.is_file() => Some(read_labels(&path, part.count)?),
        _ => None,
    };
    Ok(Recognised {
        kind: "MNIST IDX",
        source: Box::new(Records { layout: Layout::Grey, width, height, parts: vec![part] }),
        labels,
        class_names: None,
    })
}

fn open_images(path: &Path) -> Result<(Part, usize, usize), DataError> {
    let (file, len) = open_read(path)?;
    let mut header = [0; IMAGES_HEADER];
    read_exact_at(&file, &mut header, 0).map_err(|error| DataError::io(path, error))?;
    let [count, height, width] = [4, 8, 12].map(|at| big_endian(&header, at));
    let expected = (count as u64).saturating_mul(height as u64).saturating_mul(width as u64);
    if expected == 0 || len - IMAGES_HEADER as u64 != expected {
        let pixels = len - IMAGES_HEADER as u64;
        let reason = format!("{pixels} bytes of pixels, its header says {count} x {height} x {width}");
        return Err(DataError::malformed(path, reason));
    }
    Ok((Part { path: path.into(), file, header: IMAGES_HEADER as u64, prefix: 0, count }, width, height))
}

fn labels_file(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.to_str()?;
    let labels = name.replace("images", "labels").replace("idx3", "idx1");
    (labels != name).then(|| file.with_file_name(labels))
}

fn read_labels(path: &Path, images: usize) -> Result<Vec<i64>, DataError> {
    let bytes = ssl_files::read(path).map_err(|error| DataError::io(path, error))?;
    if !bytes.starts_with(&LABELS_MAGIC) || bytes.len() != LABELS_HEADER + images {
        let reason = format!("it is not an IDX file with one label for each of the {images} images");
        return Err(DataError::malformed(path, reason));
    }
    Ok(bytes[LABELS_HEADER..].iter().map(|&label| i64::from(label)).collect())
}

fn big_endian(bytes: &[u8; IMAGES_HEADER], at: usize) -> usize {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}
