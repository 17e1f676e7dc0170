//! Position embeddings of a file, for a network on images of another size.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use ssl_core::nn::{resize_pos_embed, square_of};

/// Their name in a ViT.
const NAME: &str = "pos_embed";

/// The shape of the position embedding among `tensors`, if there is one.
pub(super) fn shape(tensors: &BTreeMap<String, TensorData>) -> Option<[usize; 3]> {
    tensors.get(NAME)?.shape().to_vec().try_into().ok()
}

/// Resizes the position embedding among `tensors` to the shape that a network has: from and to how many patches on each side, or
/// `None` if nothing has to change, or nothing can.
pub(super) fn fit(
    tensors: &mut BTreeMap<String, TensorData>,
    wanted: [usize; 3],
    device: &Device,
) -> Option<[usize; 2]> {
    let ([1, tokens, dim], [1, wanted_tokens, wanted_dim]) = (shape(tensors)?, wanted) else { return None };
    let ((class_tokens, from), (wanted_class_tokens, to)) = (square_of(tokens)?, square_of(wanted_tokens)?);
    if from == to || (class_tokens, dim) != (wanted_class_tokens, wanted_dim) {
        return None;
    }
    let positions = Tensor::<3>::from_data(tensors.remove(NAME)?, device);
    tensors.insert(NAME.to_owned(), resize_pos_embed(positions, [to, to]).into_data());
    Some([from, to])
}
