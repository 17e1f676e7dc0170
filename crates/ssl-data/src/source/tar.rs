use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use ssl_files::{escaped, shown};
use tar::{Archive, Entry};

use super::{
    ImageSource, Others, Recognised, files::check_len, is_image_name, labels, open_read,
    positioned::read_exact_at,
};
use crate::{DataError, Image, ReadError, decode_within};

/// The images of an uncompressed tar archive, read where they lie.
struct TarArchive {
    path: PathBuf,
    file: File,
    names: Vec<Box<str>>,
    /// Offset and length of each member's bytes.
    places: Vec<(u64, usize)>,
    max_image_bytes: usize,
}

impl ImageSource for TarArchive {
    fn count(&self) -> usize {
        self.places.len()
    }

    fn image(&self, index: usize) -> Result<Arc<Image>, ReadError> {
        let (offset, len) = self.places[index];
        check_len(len as u64, self.max_image_bytes)?;
        let mut bytes = vec![0; len];
        read_exact_at(&self.file, &mut bytes, offset)?;
        Ok(Arc::new(decode_within(&bytes, self.max_image_bytes)?))
    }

    fn name(&self, index: usize) -> String {
        format!("{} in {}", self.names[index], self.path.display())
    }

    fn file_len(&self, index: usize) -> Option<u64> {
        let (_, len) = self.places[index];
        Some(len as u64)
    }
}

/// Every image of the archive, in the archive's order.
pub(super) fn open(path: &Path, max_image_bytes: usize) -> Result<Recognised, DataError> {
    let (file, len) = open_read(path)?;
    let mut others = Others::default();
    let (names, places) = index(path, &file, len, &mut others)?;
    if names.is_empty() {
        return Err(others.into_error(path, "members"));
    }
    let (labels, class_names) = labels::from_folders(&names).unzip();
    let source = TarArchive { path: path.into(), file, names, places, max_image_bytes };
    Ok(Recognised { kind: "tar archive", source: Box::new(source), labels, class_names })
}

const BLOCK: u64 = 512;

pub(crate) type Index = (Vec<Box<str>>, Vec<(u64, usize)>);

/// Reads the headers and leaps over the bodies.
pub(crate) fn index(
    path: &Path,
    file: impl Read + Seek,
    len: u64,
    others: &mut Others,
) -> Result<Index, DataError> {
    let broken = |error| DataError::malformed(path, format!("it is no whole tar archive ({error})"));
    let mut archive = Archive::new(file);
    let mut end = 0;
    let (mut names, mut places) = (Vec::new(), Vec::new());
    for entry in archive.entries_with_seek().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        end = end.max(end_of(&entry));
        let Some(name) = visible_file(&entry) else { continue };
        if !is_image_name(&name) {
            others.add(&name);
            continue;
        }
        let (offset, size) = (entry.raw_file_position(), entry.size());
        if offset.saturating_add(size) > len {
            return Err(DataError::malformed(path, format!("the archive breaks off in {}", escaped(&name))));
        }
        names.push(name);
        places.push((offset, size as usize));
    }
    if !is_ended(archive.into_inner(), end) {
        tracing::warn!(
            "{} has no end mark after {} images: it may be cut off, and some may be missing",
            shown(path),
            names.len()
        );
    }
    Ok((names, places))
}

/// Where the next header lies: members fill blocks of 512 bytes.
fn end_of<R: Read>(entry: &Entry<'_, R>) -> u64 {
    let sparse = entry.header().entry_type().is_gnu_sparse();
    let stored = if sparse { entry.header().entry_size().unwrap_or(0) } else { entry.size() };
    entry.raw_file_position().saturating_add(stored.div_ceil(BLOCK).saturating_mul(BLOCK))
}

/// Whether a block of zeros follows the last member. Two mark the end; without the second one nothing is lost.
fn is_ended(mut file: impl Read + Seek, end: u64) -> bool {
    let mut block = [1; BLOCK as usize];
    let read = file.seek(SeekFrom::Start(end)).and_then(|_| file.read_exact(&mut block));
    read.is_ok() && block == [0; BLOCK as usize]
}

/// The name of a regular member without hidden parts, `None` for all other members.
fn visible_file<R: Read>(entry: &Entry<'_, R>) -> Option<Box<str>> {
    if !entry.header().entry_type().is_file() {
        return None;
    }
    let bytes = entry.path_bytes();
    let name = String::from_utf8_lossy(&bytes);
    let parts = || name.split('/').filter(|part| !matches!(*part, "" | "."));
    let hidden = parts().any(|part| part.starts_with('.'));
    (!hidden).then(|| parts().collect::<Vec<_>>().join("/").into())
}
