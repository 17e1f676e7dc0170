//! The defaults of the library, shown by `--help`. The paths and encoders here are placeholders.

use std::path::PathBuf;

use burn_ssl::{
    DedupOptions, DistillOptions, EncoderSource, FinetuneOptions, SegmentOptions, SimilarOptions,
};

pub(super) fn finetune() -> FinetuneOptions {
    FinetuneOptions::new(any_encoder(), "")
}

pub(super) fn distill() -> DistillOptions {
    DistillOptions::new("", "", "")
}

pub(super) fn segment() -> SegmentOptions {
    SegmentOptions::new(any_encoder())
}

pub(super) fn similar() -> SimilarOptions {
    SimilarOptions::new(any_encoder(), "", Vec::new())
}

pub(super) fn dedup() -> DedupOptions {
    DedupOptions::new(any_encoder(), "", "")
}

fn any_encoder() -> EncoderSource {
    EncoderSource::Run(PathBuf::new())
}
