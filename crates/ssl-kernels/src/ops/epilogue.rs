//! The operation fused after a batch normalisation.

use burn::tensor::Tensor;

/// The operation fused after a batch normalisation.
#[allow(clippy::large_enum_variant)] // a tensor is a handle, and an epilogue lives for one call
pub(super) enum Epilogue<const D: usize> {
    /// Nothing.
    None,
    /// ReLU.
    Relu,
    /// The sum with a shortcut, then ReLU.
    AddRelu(Tensor<D>),
}

impl<const D: usize> Epilogue<D> {
    /// The shortcut, if there is one.
    #[cfg(any(feature = "flex", feature = "tch"))]
    pub(super) fn shortcut(&self) -> Option<&Tensor<D>> {
        if let Self::AddRelu(shortcut) = self { Some(shortcut) } else { None }
    }

    /// The shortcut, if there is one, and whether ReLU follows.
    #[cfg(any(feature = "flex", feature = "tch"))]
    pub(super) fn parts(self) -> (Option<Tensor<D>>, bool) {
        match self {
            Self::None => (None, false),
            Self::Relu => (None, true),
            Self::AddRelu(shortcut) => (Some(shortcut), true),
        }
    }

    /// The same as separate operations.
    pub(super) fn apply(self, output: Tensor<D>, relu: fn(Tensor<D>) -> Tensor<D>) -> Tensor<D> {
        match self {
            Self::None => output,
            Self::Relu => relu(output),
            Self::AddRelu(shortcut) => relu(output + shortcut),
        }
    }
}
