//! Files of one image each.

use std::{
    io::{self, Read},
    path::Path,
};

use ssl_files::open_regular;

/// All bytes of a regular file of at most `most` bytes.
pub(super) fn read_at_most(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let (file, len) = open_regular(path)?;
    check_len(len, most)?;
    let mut bytes = Vec::with_capacity(len as usize);
    // A file may grow meanwhile.
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    check_len(bytes.len() as u64, most)?;
    Ok(bytes)
}

/// An error if a file or member of `len` bytes is larger than `most`.
pub(super) fn check_len(len: u64, most: usize) -> io::Result<()> {
    if len <= most as u64 {
        return Ok(());
    }
    let reason = format!("it has {len} bytes, more than the {most} of data.max_image_bytes");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, reason))
}
