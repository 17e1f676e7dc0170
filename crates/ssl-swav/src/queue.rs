//! A queue of embeddings from past batches.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Tensor};
use ssl_core::Counter;

/// The latest embeddings of both global crops, newest first.
///
/// They are assigned to prototypes together with the batch, for batches too small to be spread equally over all
/// prototypes. Until every row has been written, the queue holds zeros and is not used.
#[derive(Module, Debug)]
pub struct CropQueue {
    /// `[global crop, len, dim]`
    pub rows: Param<Tensor<3>>,
    /// Number of rows per crop that hold an embedding.
    pub filled: Counter,
}

impl CropQueue {
    /// Creates an empty queue of `len` embeddings of length `dim` for each of the two crops.
    pub fn new(len: usize, dim: usize, device: &Device) -> Self {
        let rows = Tensor::zeros([2, len, dim], device);
        Self { rows: Param::initialized(ParamId::new(), rows), filled: Counter::new(0, device) }
    }

    /// Whether every row holds an embedding.
    pub fn is_full(&self) -> bool {
        self.filled.value() == self.rows.dims()[1]
    }

    /// The embeddings of one crop, `[len, dim]`.
    pub fn of_crop(&self, crop: usize) -> Tensor<2> {
        let [_, len, dim] = self.rows.dims();
        self.rows.val().narrow(0, crop, 1).reshape([len, dim])
    }

    /// Inserts new embeddings at the front; the oldest ones are dropped at the end.
    ///
    /// # Shapes
    /// - `z`: for the two crops, each `[batch, dim]`
    ///
    /// # Panics
    /// If the batch has more embeddings than the queue has rows, or if shapes differ.
    pub fn push(mut self, z: [Tensor<2>; 2]) -> Self {
        let [_, len, _] = self.rows.dims();
        let [batch, _] = z[0].dims();
        assert!(batch <= len, "queue: {batch} embeddings do not fit into {len} rows");
        let new = Tensor::stack::<3>(z.to_vec(), 0);
        self.rows = self.rows.map(|rows| match len - batch {
            0 => new,
            kept => Tensor::cat(vec![new, rows.narrow(1, 0, kept)], 1),
        });
        self.filled.set((self.filled.value() + batch).min(len));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::{DeviceSpec, named};

    fn device() -> Device {
        DeviceSpec::Flex.open().expect("flex is compiled in")
    }

    fn queue() -> CropQueue {
        CropQueue::new(4, 1, &device())
    }

    /// Embeddings of the first crop, and their negatives for the second.
    fn pair(values: &[f32]) -> [Tensor<2>; 2] {
        let z = Tensor::<1>::from_floats(values, &device()).reshape([values.len(), 1]);
        [z.clone(), z.neg()]
    }

    fn values(queue: &CropQueue, crop: usize) -> Vec<f32> {
        queue.of_crop(crop).into_data().try_to_vec().expect("floats")
    }

    #[test]
    fn the_newest_embeddings_come_first_and_the_oldest_fall_out() {
        let queue = queue().push(pair(&[1.0, 2.0, 3.0])).push(pair(&[4.0, 5.0]));
        assert_eq!(values(&queue, 0), [4.0, 5.0, 1.0, 2.0]);
        assert_eq!(values(&queue, 1), [-4.0, -5.0, -1.0, -2.0]);
    }

    #[test]
    fn it_is_full_once_its_last_row_was_written() {
        let queue = queue().push(pair(&[1.0, 2.0, 3.0]));
        assert!(!queue.is_full());
        assert!(queue.push(pair(&[4.0])).is_full());
        assert!(self::queue().push(pair(&[1.0; 4])).is_full());
    }

    #[test]
    fn rows_and_their_number_survive_a_record() {
        let saved = queue().push(pair(&[1.0, 2.0, 3.0]));
        let restored = named::load(queue(), named::collect(&saved)).expect("same queue");
        assert_eq!(restored.filled.value(), 3);
        let restored = restored.push(pair(&[9.0]));
        assert!(restored.is_full());
        assert_eq!(values(&restored, 0), [9.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    #[should_panic(expected = "5 embeddings do not fit into 4 rows")]
    fn more_embeddings_than_rows_are_refused() {
        queue().push(pair(&[0.0; 5]));
    }
}
