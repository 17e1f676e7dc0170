//! Where the images of a data set come from: one file per kind of path.

mod cifar;
mod files;
mod folder;
mod labels;
mod list;
mod memory;
mod mnist;
mod positioned;
mod records;
mod stl10;
pub(crate) mod tar;

use std::{
    fs,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

pub use self::files::read_image;
pub(crate) use self::memory::Memory;
use ssl_files::{escaped, open_regular};

use crate::{DataError, Image, ReadError};

/// Endings of file names that count as images, in lower case; letter case is ignored.
pub const IMAGE_EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "ppm", "pgm"];

/// Images by number: what a [`Dataset`](crate::Dataset) reads from.
///
/// Implement it to train on images that lie somewhere else, and pass it to
/// [`Dataset::from_source`](crate::Dataset::from_source). Worker threads call it at the same time.
pub trait ImageSource: Send + Sync {
    /// Number of images.
    fn count(&self) -> usize;

    /// Reads and decodes image `index`, below [`count`](Self::count); the same each time.
    ///
    /// # Errors
    /// If the image cannot be read or decoded. The loaders skip it, up to a limit.
    fn image(&self, index: usize) -> Result<Arc<Image>, ReadError>;

    /// What to call image `index` in a message: its path, or its place in its file.
    fn name(&self, index: usize) -> String;

    /// The length of its file in bytes, where that differs from image to image and is cheap to find out. Default none.
    fn file_len(&self, index: usize) -> Option<u64> {
        let _ = index;
        None
    }
}

/// What a path was recognised as.
pub(crate) struct Recognised {
    pub(crate) kind: &'static str,
    pub(crate) source: Box<dyn ImageSource>,
    pub(crate) labels: Option<Vec<i64>>,
    pub(crate) class_names: Option<Vec<String>>,
}

/// Opens whatever lies at `path`, see [`Dataset::open`](crate::Dataset::open).
pub(crate) fn open(path: &Path, max_image_bytes: usize) -> Result<Recognised, DataError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => open_folder(path, max_image_bytes),
        Ok(metadata) if metadata.is_file() => open_file(path, max_image_bytes),
        Ok(_) => unrecognised(path, "a pipe, a socket or a device"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(DataError::NotFound { path: path.into() })
        }
        Err(error) => Err(DataError::io(path, error)),
    }
}

fn open_folder(path: &Path, max_image_bytes: usize) -> Result<Recognised, DataError> {
    let binary = match cifar::open_folder(path)? {
        None => stl10::open_folder(path)?,
        found => found,
    };
    match binary {
        None => mnist::open_folder(path)?.map_or_else(|| folder::open(path, max_image_bytes), Ok),
        Some(found) => Ok(found),
    }
}

/// First bytes of compressed files, how they were made, and what unpacks them. They are not read: workers read the images
/// of an archive in any order, and a compressed one has to be unpacked from its beginning to reach an image.
const COMPRESSED: [(&[u8], &str, &str); 5] = [
    (&[0x1F, 0x8B], "gzip", "gunzip"),
    (b"BZh", "bzip2", "bunzip2"),
    (&[0xFD, b'7', b'z', b'X', b'Z', 0], "xz", "unxz"),
    (&[0x28, 0xB5, 0x2F, 0xFD], "zstd", "unzstd"),
    (b"PK\x03\x04", "zip", "unzip"),
];

fn open_file(path: &Path, max_image_bytes: usize) -> Result<Recognised, DataError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let start = first_bytes(path)?;
    if let Some((_, kind, command)) = COMPRESSED.iter().find(|(magic, ..)| start.starts_with(magic)) {
        return unrecognised(path, &format!("compressed with {kind} (unpack it first with `{command}`)"));
    }
    if name.ends_with(".tar") || start.get(257..262) == Some(b"ustar") {
        tar::open(path, max_image_bytes)
    } else if name.ends_with("_x.bin") {
        stl10::open_file(path)
    } else if name.ends_with(".bin") {
        cifar::open_file(path)
    } else if start.starts_with(&mnist::IMAGES_MAGIC) {
        mnist::open_file(path)
    } else if list::EXTENSIONS.iter().any(|extension| name.ends_with(extension)) {
        list::open(path, max_image_bytes)
    } else if is_image_name(&name) {
        unrecognised(path, "a single image")
    } else {
        unrecognised(path, "a file of another kind")
    }
}

fn first_bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    let mut start = Vec::new();
    open_regular(path)
        .and_then(|(file, _)| file.take(512).read_to_end(&mut start))
        .map_err(|error| DataError::io(path, error))?;
    Ok(start)
}

fn unrecognised(path: &Path, found: &str) -> Result<Recognised, DataError> {
    Err(DataError::Unrecognised { path: path.into(), found: found.into() })
}

/// Whether the name of a file, or a path with `/` between its parts, ends like an image.
fn is_image_name(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    extension.is_some_and(|found| IMAGE_EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(found)))
}

/// The other files of a place without images, for the error about it.
#[derive(Default)]
pub(crate) struct Others {
    count: usize,
    first: Option<String>,
}

impl Others {
    fn add(&mut self, name: &str) {
        self.count += 1;
        self.first.get_or_insert_with(|| escaped(name));
    }

    fn into_error(self, path: &Path, place: &str) -> DataError {
        let found = match self.first {
            None => "nothing".to_string(),
            Some(first) if self.count == 1 => format!("one other file, {first}"),
            Some(first) => format!("{} other files, such as {first}", self.count),
        };
        let looked_for = format!("{place} whose names end in .{}", IMAGE_EXTENSIONS.join(", ."));
        DataError::Empty { path: path.into(), looked_for, found }
    }
}

/// The file and its length in bytes.
fn open_read(path: &Path) -> Result<(fs::File, u64), DataError> {
    open_regular(path).map_err(|error| DataError::io(path, error))
}
