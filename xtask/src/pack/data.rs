//! The images of a pack.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::compress;
use crate::tars::copy_files;

/// Writes the first images of some tars to `data.tar.xz`; each tar has a path, a number of images and a name in the pack.
pub(super) fn add(sets: &[(&Path, usize, &str)], archives: &Path) -> Result<()> {
    let folder = archives.join("data");
    fs::create_dir_all(&folder)?;
    for (path, images, name) in sets {
        copy_files(path, 0..*images, &folder.join(name))?;
    }
    compress(archives, &["data"])
}
