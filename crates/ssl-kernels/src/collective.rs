//! The processes that train one network together.

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;

use burn::tensor::Tensor;

/// stub: merged from branch kernels
pub trait Collective: Debug + Send + Sync + 'static {
    /// rank
    fn rank(&self) -> usize;
    /// size
    fn size(&self) -> usize;
    /// sum
    fn all_reduce_sum(&self, values: Tensor<1>) -> Tensor<1>;
    /// gather
    fn all_gather(&self, rows: Tensor<2>) -> Tensor<2>;
    /// broadcast
    fn broadcast(&self, bytes: Vec<u8>, root: usize) -> Vec<u8>;
    /// barrier
    fn barrier(&self);
    /// abort
    fn abort(&self);
}

/// solo
#[derive(Clone, Copy, Debug, Default)]
pub struct Solo;

impl Collective for Solo {
    fn rank(&self) -> usize {
        0
    }
    fn size(&self) -> usize {
        1
    }
    fn all_reduce_sum(&self, values: Tensor<1>) -> Tensor<1> {
        values
    }
    fn all_gather(&self, rows: Tensor<2>) -> Tensor<2> {
        rows
    }
    fn broadcast(&self, bytes: Vec<u8>, _root: usize) -> Vec<u8> {
        bytes
    }
    fn barrier(&self) {}
    fn abort(&self) {}
}

/// group
#[derive(Clone, Debug)]
pub struct Group(Arc<dyn Collective>);

impl Group {
    /// new
    pub fn new(collective: impl Collective) -> Self {
        Self(Arc::new(collective))
    }
    /// solo
    pub fn is_solo(&self) -> bool {
        self.0.size() == 1
    }
}

impl Default for Group {
    fn default() -> Self {
        Self::new(Solo)
    }
}

impl Deref for Group {
    type Target = dyn Collective;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}
