/// The masks of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskBatch {
    /// One for each view, in the order of the views; `None` for a view without a mask.
    pub views: Vec<Option<Mask>>,
}

impl MaskBatch {
    /// The masks of the images `start..start + count` of the batch.
    ///
    /// # Panics
    /// If the batch has fewer images.
    pub fn narrow(&self, start: usize, count: usize) -> Self {
        let narrow = |mask: &Option<Mask>| mask.as_ref().map(|mask| mask.narrow(start, count));
        Self { views: self.views.iter().map(narrow).collect() }
    }
}

/// What an encoder sees of one view, for every image of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mask {
    /// A mask token takes the place of the hidden patches, whose number may differ from image to image; an image may
    /// have none (BEiT, iBOT, DINOv2).
    Replace(PatchMask),
    /// The encoder gets these patches alone, `[batch, 1, patch]` (MAE, MSN).
    Keep(PatchIndices),
    /// The encoder gets the context, and the targets are predicted from it (I-JEPA).
    Predict {
        /// `[batch, 1, patch]`.
        context: PatchIndices,
        /// `[batch, block, patch]`; blocks may share patches with each other.
        targets: PatchIndices,
    },
}

impl Mask {
    /// Number of images.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        match self {
            Self::Replace(mask) => mask.len(),
            Self::Keep(seen) | Self::Predict { context: seen, .. } => seen.len(),
        }
    }

    /// Rows and columns of the patches of the view.
    pub fn grid(&self) -> [usize; 2] {
        match self {
            Self::Replace(mask) => mask.grid,
            Self::Keep(seen) | Self::Predict { context: seen, .. } => seen.grid,
        }
    }

    /// The mask of the images `start..start + count` of the batch.
    ///
    /// # Panics
    /// If the batch has fewer images.
    pub fn narrow(&self, start: usize, count: usize) -> Self {
        match self {
            Self::Replace(mask) => Self::Replace(mask.narrow(start, count)),
            Self::Keep(kept) => Self::Keep(kept.narrow(start, count)),
            Self::Predict { context, targets } => {
                Self::Predict { context: context.narrow(start, count), targets: targets.narrow(start, count) }
            }
        }
    }

    /// Which patches the encoder does not see; a method with mask tokens can use any kind of mask this way (SimMIM).
    pub fn hidden(&self) -> PatchMask {
        match self {
            Self::Replace(mask) => mask.clone(),
            Self::Keep(seen) | Self::Predict { context: seen, .. } => seen.complement(),
        }
    }
}

/// A patch is hidden or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchMask {
    /// Rows and columns of the patches.
    pub grid: [usize; 2],
    /// `[batch, patch]`, patches row by row; true where a patch is hidden.
    pub hidden: Vec<bool>,
}

impl PatchMask {
    /// Number of images.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.hidden.len() / self.patches()
    }

    /// Patches of an image.
    pub fn patches(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    /// The patches of image `image` of the batch, row by row.
    ///
    /// # Panics
    /// If the batch has fewer images.
    pub fn image(&self, image: usize) -> &[bool] {
        &self.hidden[image * self.patches()..][..self.patches()]
    }

    /// The mask of the images `start..start + count` of the batch.
    ///
    /// # Panics
    /// If the batch has fewer images.
    pub fn narrow(&self, start: usize, count: usize) -> Self {
        let patches = self.patches();
        Self { grid: self.grid, hidden: self.hidden[start * patches..(start + count) * patches].to_vec() }
    }
}

/// Lists of patches, all of one length. A list rises and names no patch twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchIndices {
    /// Rows and columns of the patches of the view.
    pub grid: [usize; 2],
    /// Lists of an image, at least 1.
    pub blocks: usize,
    /// Patches in a list, at least 1.
    pub patches: usize,
    /// `[batch, block, patch]`: places of patches, row by row from 0; a class token does not count.
    pub indices: Vec<i64>,
}

impl PatchIndices {
    /// Joins `lists`, `[batch, block]`, after cutting each to the length of the shortest.
    ///
    /// The last ones of a list go, as in the official code of I-JEPA.
    pub(super) fn cut(grid: [usize; 2], blocks: usize, lists: &[Vec<usize>]) -> Self {
        let patches = lists.iter().map(Vec::len).min().unwrap_or(0);
        let indices = lists.iter().flat_map(|list| &list[..patches]).map(|&patch| patch as i64).collect();
        Self { grid, blocks, patches, indices }
    }

    /// Number of images.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.indices.len() / (self.blocks * self.patches)
    }

    /// List `block` of image `image` of the batch.
    ///
    /// # Panics
    /// If there is no such list.
    pub fn list(&self, image: usize, block: usize) -> &[i64] {
        assert!(block < self.blocks, "list {block} of {}", self.blocks);
        &self.indices[(image * self.blocks + block) * self.patches..][..self.patches]
    }

    /// The lists of the images `start..start + count` of the batch.
    ///
    /// # Panics
    /// If the batch has fewer images.
    pub fn narrow(&self, start: usize, count: usize) -> Self {
        let image = self.blocks * self.patches;
        Self { indices: self.indices[start * image..(start + count) * image].to_vec(), ..*self }
    }

    /// True for the patches that are in none of an image's lists.
    fn complement(&self) -> PatchMask {
        let patches = self.grid[0] * self.grid[1];
        let mut hidden = vec![true; self.len() * patches];
        let lists = self.indices.chunks_exact(self.blocks * self.patches);
        for (list, hidden) in lists.zip(hidden.chunks_exact_mut(patches)) {
            list.iter().for_each(|&patch| hidden[patch as usize] = false);
        }
        PatchMask { grid: self.grid, hidden }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mask, MaskBatch, PatchIndices, PatchMask};

    fn indices(blocks: usize, lists: &[&[usize]]) -> PatchIndices {
        let lists: Vec<_> = lists.iter().map(|list| list.to_vec()).collect();
        PatchIndices::cut([2, 2], blocks, &lists)
    }

    #[test]
    fn lists_are_cut_to_the_shortest() {
        let cut = indices(2, &[&[0, 2, 3], &[1, 3], &[0, 1, 2, 3], &[2, 3]]);
        assert_eq!((cut.blocks, cut.patches, cut.len()), (2, 2, 2));
        assert_eq!(cut.indices, [0, 2, 1, 3, 0, 1, 2, 3]);
        assert_eq!(cut.list(1, 0), [0, 1]);
    }

    #[test]
    fn narrowing_takes_images() {
        let replace =
            PatchMask { grid: [1, 2], hidden: [[true, false], [false, false], [true, true]].concat() };
        let context = indices(1, &[&[0, 1], &[1, 2], &[2, 3]]);
        let targets = indices(2, &[&[2], &[3], &[0], &[3], &[0], &[1]]);
        let views = vec![Some(Mask::Replace(replace)), None, Some(Mask::Predict { context, targets })];
        let narrow = MaskBatch { views }.narrow(1, 2);

        let Some(Mask::Replace(replace)) = &narrow.views[0] else { panic!("the kind stays") };
        assert_eq!(replace.hidden, [false, false, true, true]);
        assert_eq!(replace.image(1), [true, true]);
        assert_eq!(narrow.views[1], None);
        let Some(Mask::Predict { context, targets }) = &narrow.views[2] else { panic!("the kind stays") };
        assert_eq!(context.indices, [1, 2, 2, 3]);
        assert_eq!(targets.indices, [0, 3, 0, 1]);
        assert!(narrow.views.iter().flatten().all(|mask| mask.len() == 2));
    }

    #[test]
    fn what_is_not_seen_is_hidden() {
        let seen = indices(1, &[&[0, 3], &[1, 2]]);
        let hidden = [[false, true, true, false], [true, false, false, true]].concat();
        let mask = Mask::Predict { context: seen.clone(), targets: indices(1, &[&[1], &[0]]) };
        assert_eq!(mask.grid(), [2, 2]);
        assert_eq!(mask.hidden().hidden, hidden);
        assert_eq!(Mask::Keep(seen).hidden().hidden, hidden);
    }
}
