//! Self-supervised learning of image representations in Rust, on Burn
