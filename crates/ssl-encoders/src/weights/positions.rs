//! Position embeddings of a file, for a network on images of another size.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use ssl_core::nn::resize_pos_embed;

/// Their name in a ViT.
const NAME: &str = "pos_embed";

/// Resizes the position embedding among `tensors` to that of the network, whose tensors are `wanted`: from and to how many
/// patches on each side, or `None` if nothing has to change, or nothing can.
pub(super) fn fit(
    tensors: &mut BTreeMap<String, TensorData>,
    wanted: &BTreeMap<String, TensorData>,
    device: &Device,
) -> Option<[usize; 2]> {
    let (found, wanted) = (tensors.get(NAME)?, wanted.get(NAME)?);
    let ([1, tokens, dim], [1, wanted_tokens, wanted_dim]) = (dims(found)?, dims(wanted)?) else {
        return None;
    };
    if tokens == wanted_tokens || dim != wanted_dim {
        return None;
    }
    let ((class_tokens, from), (wanted_class_tokens, to)) = (square(tokens)?, square(wanted_tokens)?);
    if class_tokens != wanted_class_tokens {
        return None;
    }
    let positions = Tensor::<3>::from_data(found.clone(), device);
    tensors.insert(NAME.to_owned(), resize_pos_embed(positions, [to, to]).into_data());
    Some([from, to])
}

fn dims(data: &TensorData) -> Option<[usize; 3]> {
    data.shape().to_vec().try_into().ok()
}

/// The number of class tokens, 0 or 1, and the side of the square of patches.
fn square(tokens: usize) -> Option<(usize, usize)> {
    let squares = [(0, tokens.isqrt()), (1, tokens.saturating_sub(1).isqrt())];
    squares.into_iter().find(|(class_tokens, side)| *side > 0 && class_tokens + side * side == tokens)
}
