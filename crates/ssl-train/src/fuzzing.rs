//! What the fuzz targets in `fuzz/` need besides the public interface. No part of it.

/// The rows of `metrics.jsonl` that a run keeps which goes on from `step`, and the steps of those about an evaluation.
pub fn metrics(bytes: &[u8], step: u64) -> (Vec<u8>, Vec<u64>) {
    crate::metrics::kept_rows(bytes, step)
}
