//! Tensors whose rank the compiler does not know.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, DispatchKindConversion, DispatchTensor};
use burn::tensor::{Device, Tensor};

/// A tensor of any rank.
///
/// A function that is generic over the rank is compiled in every crate that calls it, at the level of optimization of that
/// crate. With this type instead, loops are compiled here, once.
#[derive(Clone, Debug)]
pub(super) struct AnyRank(Tensor<1>);

impl<const D: usize> From<Tensor<D>> for AnyRank {
    fn from(tensor: Tensor<D>) -> Self {
        // Burn does not compare the rank in a type with that of the values before it needs one.
        Self(Tensor::from_dispatch(tensor.into_dispatch()))
    }
}

impl AnyRank {
    /// A tensor of a backend.
    pub(super) fn of<B: Backend>(primitive: FloatTensor<B>) -> Self
    where
        DispatchTensor: DispatchKindConversion<B>,
    {
        Self(Tensor::from_primitive::<B>(primitive))
    }

    /// The tensor of a backend.
    ///
    /// # Panics
    /// If it is of another one.
    pub(super) fn primitive<B: Backend>(self) -> FloatTensor<B>
    where
        DispatchTensor: DispatchKindConversion<B>,
    {
        self.0.try_into_primitive::<B>().expect("the device was checked")
    }

    /// With autodiff; a tensor without it becomes a constant.
    pub(super) fn tracked(self) -> Self {
        if self.0.is_autodiff() { self } else { Self(Tensor::from_inner(self.0)) }
    }

    /// The tensor, of the rank that it has.
    pub(super) fn ranked<const D: usize>(self) -> Tensor<D> {
        Tensor::from_dispatch(self.0.into_dispatch())
    }

    pub(super) fn device(&self) -> Device {
        self.0.device()
    }

    pub(super) fn without_autodiff(self) -> Self {
        Self(self.0.without_autodiff())
    }
}
