//! Named results.

use std::collections::BTreeMap;

use burn::tensor::{DType, Tensor, TensorData};
use burn_ssl::core::read_values;

/// Results of a case by `group/path`, such as `loss/` or `gradient/encoder.conv1.weight`: float64, and int64 for counters.
#[derive(Clone, Default)]
pub(crate) struct Record(BTreeMap<String, TensorData>);

impl Record {
    /// Adds a tensor to a group.
    pub(crate) fn insert<const D: usize>(&mut self, group: &str, path: &str, tensor: Tensor<D>) {
        self.insert_data(group, path, read_values(tensor.without_autodiff()));
    }

    /// Adds what was read back already: what queries, keys and values have in one tensor as three, for the gradient of a
    /// bias of keys is 0 but for rounding.
    pub(crate) fn insert_data(&mut self, group: &str, path: &str, data: TensorData) {
        let dtype = if data.dtype().is_float() { DType::F64 } else { DType::I64 };
        let data = data.convert_dtype(dtype);
        if !path.contains(".qkv.") || dtype == DType::I64 {
            self.0.insert(format!("{group}/{path}"), data);
            return;
        }
        let values: Vec<f64> = data.iter::<f64>().collect();
        for (part, values) in ["query", "key", "value"].iter().zip(values.chunks(values.len() / 3)) {
            self.0.insert(format!("{group}/{path}[{part}]"), TensorData::from(values));
        }
    }

    /// Adds all tensors of a module.
    pub(crate) fn insert_all(&mut self, group: &str, tensors: BTreeMap<String, TensorData>) {
        tensors.into_iter().for_each(|(path, data)| self.insert_data(group, &path, data));
    }

    /// Adds by how much the tensors of a module changed. Small changes of large values are not lost beside these.
    pub(crate) fn insert_changes(
        &mut self,
        group: &str,
        before: &BTreeMap<String, TensorData>,
        after: BTreeMap<String, TensorData>,
    ) {
        for (path, after) in after {
            let after = if after.dtype().is_float() { change(&before[&path], &after) } else { after };
            self.insert_data(group, &path, after);
        }
    }

    /// Whether a tensor of one group is another one in the other group.
    pub(crate) fn differ(&self, group: &str, other: &str) -> bool {
        self.iter().any(|(path, data)| {
            let place = path.strip_prefix(group).and_then(|path| path.strip_prefix('/'));
            place.is_some_and(|place| self.get(&format!("{other}/{place}")) != Some(data))
        })
    }

    /// Paths and values, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &TensorData)> {
        self.0.iter()
    }

    /// The values of a path.
    pub(crate) fn get(&self, path: &str) -> Option<&TensorData> {
        self.0.get(path)
    }
}

impl FromIterator<(String, TensorData)> for Record {
    fn from_iter<I: IntoIterator<Item = (String, TensorData)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

fn change(before: &TensorData, after: &TensorData) -> TensorData {
    let values = after.iter::<f64>().zip(before.iter::<f64>()).map(|(after, before)| after - before);
    TensorData::new(values.collect::<Vec<f64>>(), after.shape().clone())
}
