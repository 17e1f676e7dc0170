//! Hidden patches as rows of all patches of a batch, for losses that only they take part in.

use burn::tensor::{Bool, Int, Tensor, TensorData};

use crate::Group;

/// The patches that masks hide, among the patches of all images, image after image.
#[derive(Clone, Debug)]
pub struct HiddenPatches {
    /// The row of each among all patches, `[hidden]`, in ascending order. Where nothing is hidden it is row 0 with a weight of 0,
    /// so that no tensor is empty.
    pub rows: Tensor<1, Int>,
    /// What each counts in a mean over images of the mean over the hidden patches of an image, `[hidden]`: `1 / (images · hidden
    /// patches of its image)`. An image without hidden patches counts as one whose mean is 0.
    pub weights: Tensor<1>,
    /// How many there are.
    pub count: usize,
}

impl HiddenPatches {
    /// Reads where a mask is true; this waits for the device.
    ///
    /// # Shapes
    /// - `mask`: `[image, patch]`
    pub fn of(mask: Tensor<2, Bool>) -> Self {
        let ([images, patches], device) = (mask.dims(), mask.device());
        let mask: Vec<bool> = mask.into_data().iter().collect();
        let (mut rows, mut weights) = (Vec::new(), Vec::new());
        for (image, mask) in mask.chunks_exact(patches).enumerate() {
            let hidden: Vec<_> = (0..patches).filter(|&patch| mask[patch]).collect();
            let weight = 1.0 / (images * hidden.len()) as f32;
            weights.extend(hidden.iter().map(|_| weight));
            rows.extend(hidden.into_iter().map(|patch| (image * patches + patch) as i64));
        }
        let count = rows.len();
        if rows.is_empty() {
            (rows, weights) = (vec![0], vec![0.0]);
        }
        let length = [rows.len()];
        Self {
            rows: Tensor::from_data(TensorData::new(rows, length), &device),
            weights: Tensor::from_data(TensorData::new(weights, length), &device),
            count,
        }
    }

    /// The tokens of the hidden patches.
    ///
    /// # Shapes
    /// - `tokens`: `[image, patch, dim]`
    /// - returns: `[hidden, dim]`
    pub fn take(&self, tokens: Tensor<3>) -> Tensor<2> {
        self.take_rows(tokens.flatten(0, 1))
    }

    /// What belongs to the hidden patches of something that is there for all.
    ///
    /// # Shapes
    /// - `rows`: `[image · patch, dim]`
    /// - returns: `[hidden, dim]`
    pub fn take_rows(&self, rows: Tensor<2>) -> Tensor<2> {
        rows.select(0, self.rows.clone())
    }

    /// The sum over rows, one for each of these patches, without the row that stands where nothing is hidden.
    ///
    /// # Shapes
    /// - `rows`: `[hidden, dim]`
    /// - returns: `[dim]`
    pub fn sum(&self, rows: Tensor<2>) -> Tensor<1> {
        let sum = rows.sum_dim(0).squeeze_dim::<1>(0);
        if self.count == 0 { sum.zeros_like() } else { sum }
    }

    /// How many there are in each process.
    pub fn counts(&self, group: &Group) -> Vec<usize> {
        if group.is_solo() {
            return vec![self.count];
        }
        // Far below 2²⁴, up to which float32 holds every whole number.
        let count = Tensor::<2>::from_data([[self.count as f32]], &self.weights.device());
        group.all_gather(count).into_data().iter::<f32>().map(|count| count as usize).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;
    use burn::tensor::Device;
    use ssl_testing::ranks;

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter().collect()
    }

    #[test]
    fn patches_count_so_that_every_image_does_the_same() {
        let mask = Tensor::from_data([[false, true, true], [false; 3], [true, false, false]], &device());
        let hidden = HiddenPatches::of(mask);
        assert_eq!(hidden.count, 3);
        assert_eq!(hidden.rows.clone().into_data().iter::<i64>().collect::<Vec<_>>(), [1, 2, 6]);
        assert_eq!(floats(hidden.weights.clone()), [1.0 / 6.0, 1.0 / 6.0, 1.0 / 3.0]);
        let tokens = Tensor::<1, Int>::arange(0..18, &device()).float().reshape([3, 3, 2]);
        assert_eq!(floats(hidden.take(tokens.clone())), [2.0, 3.0, 4.0, 5.0, 12.0, 13.0]);
        assert_eq!(floats(hidden.sum(hidden.take(tokens))), [18.0, 21.0]);
    }

    #[test]
    fn nothing_hidden_is_one_row_that_does_not_count() {
        let hidden = HiddenPatches::of(Tensor::from_data([[false; 3]; 2], &device()));
        assert_eq!((hidden.count, floats(hidden.weights.clone())), (0, vec![0.0]));
        let taken = hidden.take(Tensor::ones([2, 3, 4], &device()));
        assert_eq!(taken.dims(), [1, 4]);
        assert_eq!(floats(hidden.sum(taken)), [0.0; 4]);
    }

    #[test]
    fn processes_know_how_many_are_hidden_in_each() {
        let masks = [[true, false, true], [false; 3], [false, true, false]];
        let counts = ranks(3, |group| {
            let hidden = HiddenPatches::of(Tensor::from_data([masks[group.rank()]], &device()));
            hidden.counts(&group)
        });
        assert_eq!(counts, vec![vec![2, 0, 1]; 3]);
    }
}
