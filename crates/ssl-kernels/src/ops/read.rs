//! Reading values back to the host.

use burn::tensor::{Tensor, TensorData, kind::Basic};

/// The current values of a tensor.
///
/// Burn's `into_data` guarantees less. On CubeCL's backends, the copy to the host is made when its bytes are first
/// read, and shows what the tensor's memory holds at that time. The memory changes if the tensor is shared and the next
/// operation on it works in place: an optimizer step on parameters, or gradient clipping.
pub fn read_values<const D: usize, K: Basic>(tensor: Tensor<D, K>) -> TensorData {
    let data = tensor.into_data();
    let _copied_now = data.as_bytes();
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;

    fn read_before_an_operation_in_place(spec: DeviceSpec) -> Vec<f32> {
        let device = spec.open().expect("a device of this kind");
        let x = Tensor::<1>::from_floats([1.0, 2.0, 3.0], &device).mul_scalar(2.0);
        let values = read_values(x.clone());
        assert_eq!(x.mul_scalar(10.0).into_data().iter::<f32>().sum::<f32>(), 120.0);
        values.iter().collect()
    }

    #[cfg(feature = "flex")]
    #[test]
    fn values_are_those_before_the_next_operation() {
        assert_eq!(read_before_an_operation_in_place(DeviceSpec::Flex), [2.0, 4.0, 6.0]);
    }

    #[cfg(feature = "tch")]
    #[test]
    fn values_of_libtorch_are_those_before_the_next_operation() {
        assert_eq!(read_before_an_operation_in_place(DeviceSpec::Tch), [2.0, 4.0, 6.0]);
    }

    #[cfg(feature = "wgpu-plain")]
    #[test]
    fn values_of_cubecl_are_those_before_the_next_operation() {
        assert_eq!(read_before_an_operation_in_place(DeviceSpec::Wgpu(None)), [2.0, 4.0, 6.0]);
    }
}
