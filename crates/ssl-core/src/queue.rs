//! A fixed-size queue of embeddings, first in, first out.

use burn::module::{Module, Param, ParamId};
use burn::tensor::Tensor;

use crate::{Counter, assert_shape};

/// The most recent embeddings, oldest overwritten first.
///
/// The rows and the write position are part of the record, so a resumed run continues with the same queue.
#[derive(Module, Debug)]
pub struct Queue {
    rows: Param<Tensor<2>>,
    next: Counter,
}

impl Queue {
    /// Creates a queue that starts with `rows`; the first new row is written at index 0.
    ///
    /// # Shapes
    /// - `rows`: `[len, dim]`
    pub fn new(rows: Tensor<2>) -> Self {
        let next = Counter::new(0, &rows.device());
        Self { rows: Param::initialized(ParamId::new(), rows.set_require_grad(false)), next }
    }

    /// All rows, `[len, dim]`.
    pub fn rows(&self) -> Tensor<2> {
        self.rows.val()
    }

    /// Index of the next row to be written.
    pub fn position(&self) -> usize {
        self.next.value()
    }

    /// Overwrites the oldest rows, wrapping around at the end.
    ///
    /// # Shapes
    /// - `keys`: `[batch, dim]`
    ///
    /// # Panics
    /// If there are more keys than rows, or their lengths differ.
    pub fn push(mut self, keys: Tensor<2>) -> Self {
        let [len, dim] = self.rows.dims();
        let [batch, _] = keys.dims();
        assert!(batch <= len, "queue: {batch} keys do not fit into {len} rows");
        assert_shape!(keys, [batch, dim]);
        let start = self.next.value();
        let before_end = batch.min(len - start);
        let write = |rows: Tensor<2>, at: usize, from: usize, count: usize| match count {
            0 => rows,
            _ => rows.slice_assign([at..at + count, 0..dim], keys.clone().narrow(0, from, count)),
        };
        self.rows = self.rows.map(|rows| {
            let rows = write(rows, start, 0, before_end);
            write(rows, 0, before_end, batch - before_end)
        });
        self.next.set((start + batch) % len);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceSpec, named};

    fn queue() -> Queue {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        Queue::new(Tensor::zeros([4, 1], &device))
    }

    fn keys(values: &[f32]) -> Tensor<2> {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        Tensor::<1>::from_floats(values, &device).reshape([values.len(), 1])
    }

    fn values(queue: &Queue) -> Vec<f32> {
        queue.rows().into_data().try_to_vec().expect("floats")
    }

    #[test]
    fn the_oldest_rows_are_overwritten_round_the_end() {
        let queue = queue().push(keys(&[1.0, 2.0, 3.0])).push(keys(&[4.0, 5.0]));
        assert_eq!(values(&queue), [5.0, 2.0, 3.0, 4.0]);
        assert_eq!(queue.position(), 1);
    }

    #[test]
    fn a_batch_as_long_as_the_queue_replaces_it() {
        let queue = queue().push(keys(&[1.0])).push(keys(&[2.0, 3.0, 4.0, 5.0]));
        assert_eq!(values(&queue), [5.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn rows_and_position_survive_a_record() {
        let saved = queue().push(keys(&[1.0, 2.0, 3.0]));
        let restored = named::load(queue(), named::collect(&saved)).expect("same queue");
        assert_eq!(restored.position(), 3);
        assert_eq!(values(&restored.push(keys(&[9.0]))), [1.0, 2.0, 3.0, 9.0]);
    }

    #[test]
    #[should_panic(expected = "do not fit")]
    fn more_keys_than_rows_are_refused() {
        queue().push(keys(&[0.0; 5]));
    }
}
