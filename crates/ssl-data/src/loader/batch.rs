use crate::MaskBatch;

/// One view of every image of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewBatch {
    /// Height and width in pixels.
    pub size: usize,
    /// `[batch, 3, size, size]` in row-major order, normalised.
    pub data: Vec<f32>,
}

/// Images of one step, ready to become tensors. The loaders make no tensors: they know no device.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Epoch, from 0; 0 in evaluation.
    pub epoch: u64,
    /// Place of the batch in its epoch, from 0.
    pub index: usize,
    /// The views in the order of their declaration, all of the same images; one in evaluation.
    pub views: Vec<ViewBatch>,
    /// `[batch]`: the classes, if the data set has labels.
    pub labels: Option<Vec<i64>>,
    /// `[batch]`: which images of the data set these are.
    pub indices: Vec<u64>,
    /// The masks of the views, if the loader [draws them](crate::TrainLoader::with_masks).
    pub masks: Option<MaskBatch>,
}

impl Batch {
    /// Number of images.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.indices.len()
    }
}
