//! Conversion between our form of a ViT's tensors, which is DINOv2's, and timm's.
//!
//! They differ for ViTs with registers. timm adds the class token's position to the class token, keeps only the
//! positions of patches, and calls the registers `reg_token`. The network computes the same in both forms. timm's ViTs
//! have no mask token.

use std::collections::BTreeMap;

use burn::tensor::TensorData;

type Tensors = BTreeMap<String, TensorData>;

/// Names in timm and iBOT, and ours.
const NAMES: [(&str, &str); 2] = [("reg_token", "register_tokens"), ("masked_embed", "mask_token")];

/// Our name for a tensor that others may name differently.
pub(super) fn own_name(name: &str) -> &str {
    NAMES.into_iter().find(|(theirs, _)| *theirs == name).map_or(name, |(_, own)| own)
}

/// Converts our tensors to timm's form.
pub(super) fn to_timm(mut tensors: Tensors) -> Tensors {
    tensors.remove("mask_token");
    if let Some(registers) = tensors.remove("register_tokens") {
        tensors.insert("reg_token".to_owned(), registers);
        fold_class_position(&mut tensors);
    }
    tensors
}

/// Adds the class token's position to the class token and removes it from the position embedding.
fn fold_class_position(tensors: &mut Tensors) {
    let (Some(class), Some(positions)) = (tensors.get("cls_token"), tensors.get("pos_embed")) else { return };
    let (shape, dim) = (class.shape().to_vec(), class.num_elements());
    let mut values: Vec<f32> = positions.iter().collect();
    let rest = values.split_off(dim);
    let class = class.iter::<f32>().zip(values).map(|(class, position)| class + position).collect();
    let patches = [1, rest.len() / dim, dim];
    tensors.insert("cls_token".to_owned(), TensorData::new::<f32, _>(class, shape));
    tensors.insert("pos_embed".to_owned(), TensorData::new(rest, patches));
}

/// Adds a zero position for a class token that already includes its position. Our form always has one, and since no two
/// square numbers are consecutive, the length shows whether it is missing.
pub(super) fn unfold_class_position(tensors: &mut Tensors) {
    let (Some(class), Some(positions)) = (tensors.get("cls_token"), tensors.get("pos_embed")) else { return };
    let dim = class.num_elements();
    let count = positions.num_elements() / dim.max(1);
    let is_whole = count > 0 && count * dim == positions.num_elements();
    if is_whole && count.isqrt().pow(2) == count {
        let values = std::iter::repeat_n(0.0, dim).chain(positions.iter::<f32>()).collect();
        let data = TensorData::new::<f32, _>(values, [1, 1 + count, dim]);
        tensors.insert("pos_embed".to_owned(), data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ViT with 2 values per token, a 2×2 grid and one register.
    fn own() -> Tensors {
        let values = |count: usize, first: f32| (0..count).map(|i| first + i as f32).collect::<Vec<_>>();
        let tensor = |name: &str, data| (name.to_owned(), data);
        Tensors::from([
            tensor("cls_token", TensorData::new(values(2, 1.0), [1, 1, 2])),
            tensor("pos_embed", TensorData::new(values(10, 10.0), [1, 5, 2])),
            tensor("register_tokens", TensorData::new(values(2, 30.0), [1, 1, 2])),
            tensor("mask_token", TensorData::new(values(2, 40.0), [1, 2])),
            tensor("norm.bias", TensorData::new(values(2, 50.0), [2])),
        ])
    }

    #[test]
    fn a_class_token_takes_its_position_to_timm() {
        let theirs = to_timm(own());
        assert_eq!(theirs.keys().collect::<Vec<_>>(), ["cls_token", "norm.bias", "pos_embed", "reg_token"]);
        assert_eq!(theirs["cls_token"], TensorData::new(vec![11.0_f32, 13.0], [1, 1, 2]));
        let patches = (2..10).map(|i| 10.0 + i as f32).collect::<Vec<_>>();
        assert_eq!(theirs["pos_embed"], TensorData::new(patches, [1, 4, 2]));
    }

    #[test]
    fn a_position_that_was_added_to_the_class_token_comes_back_as_zeros() {
        let mut tensors = to_timm(own());
        unfold_class_position(&mut tensors);
        let values = [0.0, 0.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0_f32];
        assert_eq!(tensors["pos_embed"], TensorData::new(values.to_vec(), [1, 5, 2]));
        let whole = tensors.clone();
        unfold_class_position(&mut tensors);
        assert_eq!(tensors, whole);
    }

    #[test]
    fn without_registers_timms_form_is_ours() {
        let mut tensors = own();
        tensors.remove("register_tokens");
        tensors.remove("mask_token");
        assert_eq!(to_timm(tensors.clone()), tensors);
    }

    #[test]
    fn positions_without_a_class_token_stay_as_they_are() {
        let mut tensors = own();
        tensors.remove("cls_token");
        let positions = TensorData::new(vec![0.5_f32; 8], [1, 4, 2]);
        tensors.insert("pos_embed".to_owned(), positions.clone());
        unfold_class_position(&mut tensors);
        assert_eq!(to_timm(tensors)["pos_embed"], positions);
    }
}
