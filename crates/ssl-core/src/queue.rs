//! A fixed-size memory of embeddings, first in, first out.

use burn::module::{
    Content, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param, ParamId,
};
use burn::tensor::{Device, Int, Tensor};

/// The most recent embeddings, oldest overwritten first.
///
/// Rows and the place of the next write belong to the record, so a resumed run continues with the same memory.
#[derive(Module, Debug)]
pub struct Queue {
    rows: Param<Tensor<2>>,
    next: Position,
}

impl Queue {
    /// A queue that starts with `rows` and writes the first new row at index 0.
    ///
    /// # Shapes
    /// - `rows`: `[len, dim]`
    pub fn new(rows: Tensor<2>) -> Self {
        let next = Position { id: ParamId::new(), value: 0, device: rows.device() };
        Self { rows: Param::initialized(ParamId::new(), rows.set_require_grad(false)), next }
    }

    /// All rows, `[len, dim]`.
    pub fn rows(&self) -> Tensor<2> {
        self.rows.val()
    }

    /// Index of the row that is written next.
    pub fn position(&self) -> usize {
        self.next.value
    }

    /// Writes new rows over the oldest ones, round the end if need be.
    ///
    /// # Shapes
    /// - `keys`: `[batch, dim]`
    ///
    /// # Panics
    /// If there are more keys than rows, or their length differs.
    pub fn push(mut self, keys: Tensor<2>) -> Self {
        let [len, dim] = self.rows.dims();
        let [batch, key_dim] = keys.dims();
        assert!(batch <= len, "queue: {batch} keys do not fit into {len} rows");
        assert_eq!(dim, key_dim, "queue: keys and rows differ in length");
        let start = self.next.value;
        let before_end = batch.min(len - start);
        let write = |rows: Tensor<2>, at: usize, from: usize, count: usize| match count {
            0 => rows,
            _ => rows.slice_assign([at..at + count, 0..dim], keys.clone().narrow(0, from, count)),
        };
        self.rows = self.rows.map(|rows| {
            let rows = write(rows, start, 0, before_end);
            write(rows, 0, before_end, batch - before_end)
        });
        self.next.value = (start + batch) % len;
        self
    }
}

/// A number on the host that is saved with the record as an integer tensor.
#[derive(Clone, Debug)]
struct Position {
    id: ParamId,
    value: usize,
    device: Device,
}

impl Position {
    fn param(&self) -> Param<Tensor<1, Int>> {
        Param::initialized(self.id, Tensor::from_data([self.value as i64], &self.device))
    }
}

impl Module for Position {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        visitor.visit_int(&self.param());
    }

    fn map<M: ModuleMapper>(mut self, mapper: &mut M) -> Self {
        let value = mapper.map_int(self.param()).val().into_scalar::<i64>();
        self.value = usize::try_from(value).expect("a queue's position is not negative");
        self
    }

    fn to_device(mut self, device: &Device) -> Self {
        self.device = device.clone();
        self
    }

    fn fork(self, device: &Device) -> Self {
        self.to_device(device)
    }

    fn collect_devices(&self, mut devices: Vec<Device>) -> Vec<Device> {
        if !devices.contains(&self.device) {
            devices.push(self.device.clone());
        }
        devices
    }

    fn materialize(self) -> Self {
        self
    }

    fn valid(&self) -> Self {
        Self { device: self.device.clone().inner(), ..self.clone() }
    }

    fn train(self) -> Self {
        self
    }
}

impl core::fmt::Display for Position {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Position({})", self.value)
    }
}

impl ModuleDisplayDefault for Position {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&self.value).optional()
    }
}

impl ModuleDisplay for Position {}

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
