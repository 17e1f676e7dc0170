//! What follows a batch normalisation in the same pass.

use burn::tensor::Tensor;

/// What follows a batch normalisation in the same pass.
#[allow(clippy::large_enum_variant)] // a tensor is a handle, and one of these lives for one call
pub(super) enum Epilogue<const D: usize> {
    /// Nothing.
    None,
    /// A rectifier.
    Relu,
    /// The sum with a shortcut, and a rectifier.
    AddRelu(Tensor<D>),
}

impl<const D: usize> Epilogue<D> {
    /// What is added, if anything is.
    #[cfg(any(feature = "flex", feature = "tch"))]
    pub(super) fn shortcut(&self) -> Option<&Tensor<D>> {
        if let Self::AddRelu(shortcut) = self { Some(shortcut) } else { None }
    }

    /// The same as operations of their own.
    pub(super) fn apply(self, output: Tensor<D>, relu: fn(Tensor<D>) -> Tensor<D>) -> Tensor<D> {
        match self {
            Self::None => output,
            Self::Relu => relu(output),
            Self::AddRelu(shortcut) => relu(output + shortcut),
        }
    }
}
