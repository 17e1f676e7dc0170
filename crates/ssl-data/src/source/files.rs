//! Files of unknown origin: never a pipe, a socket or a device, and never more bytes than allowed.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

/// Opens a regular file. Opening a pipe would wait for its other end, and a device may never end.
pub(super) fn open_regular(path: &Path) -> io::Result<(File, u64)> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        let found = if metadata.is_dir() { "a folder" } else { "a pipe, socket or device" };
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {found}, expected a file")));
    }
    Ok((File::open(path)?, metadata.len()))
}

/// All bytes of a regular file of at most `most` bytes.
pub(super) fn read_at_most(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let (file, len) = open_regular(path)?;
    let mut bytes = Vec::with_capacity((len as usize).min(most));
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    check_len(bytes.len().max(len as usize), most)?;
    Ok(bytes)
}

/// An error if a file or member of `len` bytes is larger than `most`.
pub(super) fn check_len(len: usize, most: usize) -> io::Result<()> {
    if len <= most {
        return Ok(());
    }
    let reason = format!("it has {len} bytes, more than the {most} that an image may take (max_image_bytes)");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, reason))
}
