//! What the fuzz targets in `fuzz/` need besides the public interface. No part of it.

use std::{io::Cursor, ops::Range, path::Path};

use crate::source::{Others, tar};

/// The members of an archive and where their bytes lie; none if it is no archive.
pub fn read_tar(bytes: &[u8]) -> Vec<(Box<str>, Range<usize>)> {
    let (file, len) = (Cursor::new(bytes), bytes.len() as u64);
    let index = tar::index(Path::new("fuzz.tar"), file, len, &mut Others::default());
    let Ok((names, places)) = index else { return Vec::new() };
    let place = |(offset, len): (u64, usize)| {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        start..start.saturating_add(len)
    };
    names.into_iter().zip(places.into_iter().map(place)).collect()
}
