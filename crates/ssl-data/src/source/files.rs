//! Files of one image each.

use std::{
    io::{self, Read},
    path::Path,
};

use ssl_files::open_regular;

use crate::decode::{WAY_OUT, decode_within};
use crate::{Image, ReadError};

/// Reads and decodes the image of a regular file, within at most `max_bytes` bytes of memory: see
/// [`decode_within`].
///
/// # Errors
/// If it is no regular file, cannot be read, takes more memory, or is no image.
pub fn read_image(path: &Path, max_bytes: usize) -> Result<Image, ReadError> {
    let bytes = read_at_most(path, max_bytes)?;
    Ok(decode_within(&bytes, max_bytes)?)
}

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
    let reason = format!("it has {len} bytes, more than the {most} allowed: {WAY_OUT}");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, reason))
}
