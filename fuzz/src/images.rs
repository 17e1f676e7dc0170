//! Targets of `ssl-data`.

use ssl_data::{decode_within, fuzzing};

use crate::plant;

/// Bytes of an image at most: small, so that a hostile header cannot slow the search down.
const MAX_BYTES: usize = 1 << 22;

/// Decodes `bytes` as an image; returns whether they are one.
///
/// # Panics
/// If the image is not whole, or takes more than was allowed: a bug.
pub fn image(bytes: &[u8]) -> bool {
    let Ok(image) = decode_within(bytes, MAX_BYTES) else { return false };
    assert_eq!(image.pixels().len(), 3 * image.width() * image.height(), "an image is whole");
    assert!(image.pixels().len() <= MAX_BYTES, "{} bytes of pixels", image.pixels().len());
    plant(image.width() == 3);
    true
}

/// Reads the index of `bytes` as a tar archive and decodes its images; returns whether there are any.
///
/// # Panics
/// If a member does not lie inside of the archive, or its name is hidden: a bug.
pub fn tar(bytes: &[u8]) -> bool {
    let members = fuzzing::read_tar(bytes);
    for (name, place) in &members {
        assert!(!name.split('/').any(|part| part.starts_with('.')), "{name:?} is hidden");
        plant(name.contains('#'));
        image(&bytes[place.clone()]);
    }
    !members.is_empty()
}
