//! Masks: which patches of a view an encoder sees.

use burn::tensor::{Bool, Device, IndexingUpdateOp, Int, Tensor, TensorData};

use crate::Masking;

/// What a token encoder sees of one view. Patches are numbered row by row.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // tensors are handles, and there is one mask per view
pub enum Mask {
    /// Patches where `[batch, patch]` is true are replaced by the mask token; an image may have none
    /// (arXiv:2111.07832).
    Replace(Tensor<2, Bool>),
    /// Only the patches at these indices, `[batch, kept]`, are seen (arXiv:2111.06377).
    Keep(Tensor<2, Int>),
    /// The patches of a context, and the target patches to be predicted from it (arXiv:2301.08243).
    Predict {
        /// `[batch, kept]`
        context: Tensor<2, Int>,
        /// `[batch, block, patch]`
        targets: Tensor<3, Int>,
    },
}

/// The kinds of masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskKind {
    /// [`Mask::Replace`].
    Replace,
    /// [`Mask::Keep`].
    Keep,
    /// [`Mask::Predict`].
    Predict,
}

/// Lists of patches that no encoder could keep.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MaskError {
    /// The lists are not of one length, or empty.
    #[error("image {image} keeps {found} patches, expected {expected}")]
    Length {
        /// Index of the image in its batch.
        image: usize,
        /// Patches in its list.
        found: usize,
        /// What would be usable.
        expected: String,
    },
    /// A list has a patch that the images do not have, or has one twice.
    #[error("image {image} keeps patch {patch}, expected each of the {patches} patches at most once, from 0")]
    Patch {
        /// Index of the image in its batch.
        image: usize,
        /// The patch.
        patch: usize,
        /// Patches of an image.
        patches: usize,
    },
}

impl Mask {
    /// A mask that keeps some of the `patches` patches of each image.
    ///
    /// # Errors
    /// If there are no images, or their lists are empty, of different lengths, or have a patch twice or one that there is not.
    pub fn keep(lists: &[Vec<usize>], patches: usize, device: &Device) -> Result<Self, MaskError> {
        let kept = lists.first().map_or(0, Vec::len);
        for (image, list) in lists.iter().enumerate() {
            check_list(image, list, kept, patches)?;
        }
        if kept == 0 {
            return Err(MaskError::Length { image: 0, found: 0, expected: "at least 1".to_owned() });
        }
        let indices: Vec<i64> = lists.iter().flatten().map(|&patch| patch as i64).collect();
        Ok(Self::Keep(Tensor::from_data(TensorData::new(indices, [lists.len(), kept]), device)))
    }

    /// Its kind.
    pub fn kind(&self) -> MaskKind {
        match self {
            Self::Replace(_) => MaskKind::Replace,
            Self::Keep(_) => MaskKind::Keep,
            Self::Predict { .. } => MaskKind::Predict,
        }
    }

    /// What the encoder is told about this mask.
    pub fn masking(&self) -> Masking {
        match self {
            Self::Replace(hidden) => Masking::Replace(hidden.clone()),
            Self::Keep(kept) | Self::Predict { context: kept, .. } => Masking::Keep(kept.clone()),
        }
    }

    /// 1 for each of the `patches` patches of an image that the encoder does not see, and 0 for the others: `[batch, patch]`.
    pub fn hidden(&self, patches: usize) -> Tensor<2> {
        match self {
            Self::Replace(hidden) => hidden.clone().float(),
            Self::Keep(kept) | Self::Predict { context: kept, .. } => {
                let ([batch, _], device) = (kept.dims(), kept.device());
                let taken = Tensor::ones(kept.dims(), &device).neg();
                let all = Tensor::ones([batch, patches], &device);
                all.scatter(1, kept.clone(), taken, IndexingUpdateOp::Add)
            }
        }
    }

    /// The mask of a range of consecutive images.
    pub(crate) fn narrow(&self, start: usize, count: usize) -> Self {
        match self {
            Self::Replace(hidden) => Self::Replace(hidden.clone().narrow(0, start, count)),
            Self::Keep(kept) => Self::Keep(kept.clone().narrow(0, start, count)),
            Self::Predict { context, targets } => Self::Predict {
                context: context.clone().narrow(0, start, count),
                targets: targets.clone().narrow(0, start, count),
            },
        }
    }
}

fn check_list(image: usize, list: &[usize], kept: usize, patches: usize) -> Result<(), MaskError> {
    if list.len() != kept {
        let expected = format!("{kept}, as image 0 does");
        return Err(MaskError::Length { image, found: list.len(), expected });
    }
    let mut seen = vec![false; patches];
    for &patch in list {
        let is_new = seen.get_mut(patch).is_some_and(|seen| !std::mem::replace(seen, true));
        if !is_new {
            return Err(MaskError::Patch { image, patch, patches });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    #[test]
    fn what_is_not_kept_is_hidden() {
        let mask = Mask::keep(&[vec![2, 0], vec![3, 1]], 4, &device()).expect("usable");
        assert_eq!(mask.kind(), MaskKind::Keep);
        let hidden: Vec<f32> = mask.hidden(4).into_data().iter().collect();
        assert_eq!(hidden, [0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn a_mask_that_replaces_hides_what_it_replaces() {
        let mask = Mask::Replace(Tensor::from_data([[true, false, false]], &device()));
        assert_eq!(mask.hidden(3).into_data().iter::<f32>().collect::<Vec<_>>(), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn lists_that_no_encoder_could_keep_are_refused_in_a_sentence() {
        let error = |lists: &[Vec<usize>]| Mask::keep(lists, 4, &device()).expect_err("unusable").to_string();
        assert_eq!(error(&[]), "image 0 keeps 0 patches, expected at least 1");
        assert_eq!(error(&[vec![]]), "image 0 keeps 0 patches, expected at least 1");
        assert_eq!(error(&[vec![0, 1], vec![2]]), "image 1 keeps 1 patches, expected 2, as image 0 does");
        let patches = "expected each of the 4 patches at most once, from 0";
        assert_eq!(error(&[vec![0], vec![4]]), format!("image 1 keeps patch 4, {patches}"));
        assert_eq!(error(&[vec![1, 1]]), format!("image 0 keeps patch 1, {patches}"));
    }
}
