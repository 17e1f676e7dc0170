//! What the fuzz targets in `fuzz/` call, and `tests/fuzzing.rs` with the same files. No part of the public interface.

use std::{io::Cursor, path::Path};

use crate::{
    decode_within,
    source::{Others, tar},
};

/// Bytes of an image at most: small, so that a hostile header cannot slow the search down.
const MAX_BYTES: usize = 1 << 22;

/// Decodes `bytes` as an image; returns whether they are one.
///
/// # Panics
/// If the image is not whole, or takes more than was allowed: a bug.
pub fn decode_image(bytes: &[u8]) -> bool {
    let Ok(image) = decode_within(bytes, MAX_BYTES) else { return false };
    assert_eq!(image.pixels().len(), 3 * image.width() * image.height());
    assert!(image.pixels().len() <= MAX_BYTES);
    true
}

/// Reads the index of `bytes` as a tar archive and decodes its images; returns how many members it names.
///
/// # Panics
/// If a member does not lie inside of the archive, or its name is hidden: a bug.
pub fn read_tar(bytes: &[u8]) -> usize {
    let index =
        tar::index(Path::new("fuzz.tar"), Cursor::new(bytes), bytes.len() as u64, &mut Others::default());
    let Ok((names, places)) = index else { return 0 };
    for (name, &(offset, len)) in names.iter().zip(&places) {
        assert!(!name.split('/').any(|part| part.starts_with('.')), "{name:?}");
        let start = usize::try_from(offset).expect("an offset inside of the archive");
        decode_image(&bytes[start..start + len]);
    }
    names.len()
}
