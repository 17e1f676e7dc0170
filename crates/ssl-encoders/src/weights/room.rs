//! Whether a file can hold a network, asked before the network takes any memory.

use std::path::Path;

use super::{WeightsError, read};

/// Values of a network that is built without asking, so that the tensor that does not fit can be named (our choice: 256 MiB,
/// more than every ResNet of the usual width).
const ALWAYS_BUILT: f64 = 67_108_864.0;
/// Bytes of a value at least, in a file of half precision.
const LEAST_BYTES: u64 = 2;
/// What a network may have beyond its file: a ViT of timm lacks one position and the mask token.
const SLACK: f64 = 1.1;

/// Checks that a file has tensors for the `needed` parameters and running statistics of a network that is about to be built.
/// What a file says of its network may be anything; what it takes to build that network, this bounds by what the file
/// holds. Networks of up to 67 million values pass without a look.
///
/// # Errors
/// If the file holds fewer values, or cannot be read.
pub fn check_room(path: &Path, needed: f64) -> Result<(), WeightsError> {
    if needed <= ALWAYS_BUILT {
        return Ok(());
    }
    let (shapes, bytes) = read::shapes_and_len(path)?;
    let values = shapes.iter().map(|(_, shape)| shape.iter().map(|&dim| dim as f64).product::<f64>()).sum();
    // The shapes of a PyTorch file are what it says; several tensors may share their bytes.
    let held = f64::min(values, (bytes / LEAST_BYTES) as f64);
    if needed > SLACK * held {
        return Err(WeightsError::TooFew { path: path.to_owned(), held: held as u64, needed: needed as u64 });
    }
    Ok(())
}
