//! stub
use burn::tensor::Tensor;

use crate::Group;

/// stub
pub fn all_reduce_sum(x: Tensor<1>, group: &Group) -> Tensor<1> {
    if group.is_solo() { x } else { unimplemented!("stub") }
}
