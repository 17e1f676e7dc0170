//! Whether tensors are fit to be saved.

use std::collections::BTreeMap;

use burn::tensor::{DType, TensorData};

/// The path of the first tensor with a value that is not finite.
pub(crate) fn first_not_finite(tensors: &BTreeMap<String, TensorData>) -> Option<&str> {
    let bad = |data: &TensorData| match (data.dtype(), data.as_slice::<f32>()) {
        // A sum would overflow long before a value does.
        (DType::F32, Ok(values)) => !values.iter().all(|value| value.is_finite()),
        _ => false,
    };
    tensors.iter().find(|(_, data)| bad(data)).map(|(path, _)| path.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tensor_with_a_value_that_is_not_finite_is_named() {
        let tensors = |values: [f32; 2]| {
            BTreeMap::from([
                ("a".to_owned(), TensorData::from([f32::MAX, f32::MAX])),
                ("b".to_owned(), TensorData::from(values)),
                ("c".to_owned(), TensorData::from([7_i64])),
            ])
        };
        assert_eq!(first_not_finite(&tensors([0.0, f32::MIN])), None);
        assert_eq!(first_not_finite(&tensors([0.0, f32::NAN])), Some("b"));
        assert_eq!(first_not_finite(&tensors([f32::NEG_INFINITY, 0.0])), Some("b"));
    }
}
