#![doc = include_str!("../README.md")]

mod dataset;
mod decode;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod image;
mod loader;
mod masks;
pub mod ops;
mod rng;
mod source;
mod synthetic;
mod views;

pub use self::image::Image;
pub use dataset::{Dataset, DatasetOptions};
pub use decode::{DecodeError, MAX_IMAGE_BYTES, MAX_PIXELS, decode, decode_within};
pub use error::{DataError, ReadError};
pub use loader::{
    Batch, Batches, EvalLoader, LoaderConfig, MAX_WORKERS, TrainLoader, ViewBatch, epoch_order,
};
pub use masks::{
    BlockMask, DrawnPer, FocalMask, Mask, MaskBatch, MaskConfig, MaskError, Masks, MultiBlockMask,
    PatchIndices, PatchMask, RandomMask, shade_patches,
};
pub use ops::Normalization;
pub use rng::{Generator, MaskKey, SampleKey};
pub use source::{IMAGE_EXTENSIONS, ImageSource, read_image};
pub use synthetic::{Mosaic, Synthetic};
pub use views::{
    EvalTransform, MAX_KERNEL_SIZE, MAX_VIEW_SIZE, MAX_VIEWS, OpConfig, Scratch, ViewConfig, ViewError, Views,
};
