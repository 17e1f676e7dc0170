//! Training loop, optimizers, checkpoints and metrics for self-supervised methods
