//! Targets of `ssl-encoders`.

use std::fs;
use std::path::Path;

use ssl_encoders::{Artifact, weights};

use crate::plant;
use crate::runs::with_folder;

/// Reads the description in a safetensors file and what its names and shapes tell, up to where a network would be built.
/// Returns whether it holds a known network.
pub fn safetensors(bytes: &[u8]) -> bool {
    with_folder(|folder| describe(&folder.join("a.safetensors"), bytes))
}

/// The same for a PyTorch file.
pub fn pth(bytes: &[u8]) -> bool {
    with_folder(|folder| describe(&folder.join("a.pth"), bytes))
}

fn describe(path: &Path, bytes: &[u8]) -> bool {
    fs::write(path, bytes).expect("a folder of our own");
    let size = Artifact::read(path).ok().flatten().map_or(32, |artifact| artifact.preprocessing.size);
    let Ok(Some(config)) = weights::describe(path) else { return false };
    plant(config.registers == Some(7));
    // Whatever fits is small enough to be built.
    let _ = config.check_file(path, size);
    true
}
