//! Why a model cannot be written.

/// Why a model cannot be written as ONNX, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The network has no such tensor.
    #[error("tensor '{0}' is missing: expected the tensors of the network that is described")]
    Missing(String),
    /// A tensor has a shape that the network cannot have.
    #[error("tensor '{tensor}' has shape {found:?}, expected {expected}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// What the network needs.
        expected: String,
    },
    /// A tensor that the network does not use, such as those of selective kernels.
    #[error(
        "tensor '{0}' has no place in the graph: expected a ResNet without selective kernels, a ViT or a ConvNeXt"
    )]
    LeftOver(String),
    /// Files of protobuf have at most 2 GiB.
    #[error(
        "the file would have {0} bytes, expected fewer than 2147483648, protobuf's limit: a smaller encoder"
    )]
    TooLarge(usize),
}
