//! Made images and folders for the tests.
#![allow(dead_code, clippy::unwrap_used)] // Each test file uses a part.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ssl_data::Image;

/// A file of `../shared/data` beside the checkout, if it is there. Not from `ssl-testing`, which builds Burn.
pub(crate) fn shared_data(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    path.exists().then_some(path)
}

/// A 2 x 2 PPM file whose first byte is `mark`.
pub(crate) fn ppm(mark: u8) -> Vec<u8> {
    [&b"P6 2 2 255\n"[..], &[mark; 12]].concat()
}

/// Writes files and the folders that they need.
pub(crate) fn write(root: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// `count` images of `size` x `size` pixels without structure, each different.
pub(crate) fn images(count: usize, size: usize) -> Vec<Image> {
    (0..count)
        .map(|image| {
            let mut state = image as u32 + 1;
            let pixels = (0..3 * size * size).map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            });
            Image::new(size, size, pixels.collect())
        })
        .collect()
}
