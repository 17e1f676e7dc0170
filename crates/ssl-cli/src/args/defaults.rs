//! The defaults of the library, so that `--help` shows what it does. Paths and encoders have none; any will do here.

use std::path::PathBuf;

use burn_ssl::{DistillOptions, EncoderSource, FinetuneOptions, LinearOptions};

pub(super) fn linear() -> LinearOptions {
    LinearOptions::new(any_encoder())
}

pub(super) fn finetune() -> FinetuneOptions {
    FinetuneOptions::new(any_encoder(), "")
}

pub(super) fn distill() -> DistillOptions {
    DistillOptions::new("", "", "")
}

fn any_encoder() -> EncoderSource {
    EncoderSource::Run(PathBuf::new())
}
