//! Values that a backward pass reads: kept, or computed again.

use std::sync::Arc;

use burn::backend::DispatchTensor;
use burn::backend::tensor::FloatTensor;
use burn::tensor::Tensor;

use super::{Column, Finish, Layout};
use crate::ops::cpu::{Bridge, Host, tracked};

/// What normalised pixels were computed from, which their own backward pass keeps anyway.
#[derive(Clone, Debug)]
pub(in crate::ops) struct Origin {
    /// The input, without gradient.
    x: Tensor<5>,
    layout: Layout,
    columns: Arc<[Column]>,
}

impl Origin {
    pub(super) fn new<B: Host>(x: &FloatTensor<B>, layout: Layout, columns: &Arc<[Column]>) -> Self
    where
        DispatchTensor: Bridge<B>,
    {
        Self { x: Tensor::from_primitive::<B>(x.clone()), layout, columns: columns.clone() }
    }
}

/// Values that a backward pass reads.
#[derive(Clone, Debug)]
pub(in crate::ops::cpu) enum Kept<B: Host> {
    Values(FloatTensor<B>),
    Again(Again<B>),
}

/// ReLU of a normalisation, which one pass over memory computes.
#[derive(Clone, Debug)]
pub(in crate::ops::cpu) struct Again<B: Host> {
    /// The input of the normalisation, which it keeps.
    x: FloatTensor<B>,
    layout: Layout,
    columns: Arc<[Column]>,
}

impl<B: Host> Kept<B>
where
    DispatchTensor: Bridge<B>,
{
    /// Values that come from there, if they do.
    pub(in crate::ops::cpu) fn new(values: FloatTensor<B>, origin: Option<Origin>) -> Self {
        match origin {
            Some(Origin { x, layout, columns }) => {
                Self::Again(Again { x: tracked::<B>(x).primitive().clone(), layout, columns })
            }
            None => Self::Values(values),
        }
    }
}

impl<B: Host> Kept<B> {
    /// The values, by the same operations as in the forward pass, so with the same bits.
    pub(in crate::ops::cpu) fn values(self) -> FloatTensor<B> {
        match self {
            Self::Values(values) => values,
            Self::Again(Again { x, layout, columns }) => {
                layout.forward::<B>(&x, Finish { columns: &columns, shortcut: None, relu: true })
            }
        }
    }
}
