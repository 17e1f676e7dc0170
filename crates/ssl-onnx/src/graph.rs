//! A graph while it is built: nodes, constants, and the tensors that are still to be used.

use crate::messages::{
    ATTRIBUTE_FLOAT, ATTRIBUTE_INT, ATTRIBUTE_INTS, AttributeProto, FLOAT, INT64, NodeProto, TensorProto,
};
use crate::{OnnxError, Tensor, Tensors};

/// A value of the graph, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value(pub(crate) String);

/// A named attribute of a node.
pub(crate) enum Attribute {
    Int(&'static str, i64),
    Ints(&'static str, Vec<i64>),
    Float(&'static str, f32),
}

/// A graph that is being built. Nodes are called after the layers that they are of, and constants after their tensors.
pub(crate) struct Graph {
    pub(crate) nodes: Vec<NodeProto>,
    pub(crate) constants: Vec<TensorProto>,
    /// Those that no layer has taken yet.
    tensors: Tensors,
    /// Before the names of all layers, with a dot.
    scope: &'static str,
}

impl Graph {
    pub(crate) fn new(tensors: Tensors) -> Self {
        Self { nodes: Vec::new(), constants: Vec::new(), tensors, scope: "" }
    }

    /// Sets what comes before the names of layers and tensors.
    pub(crate) fn enter(&mut self, scope: &'static str) {
        self.scope = scope;
    }

    /// Whether there is a tensor of that name that no layer has taken.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(&self.full(name))
    }

    /// The shape of a tensor.
    pub(crate) fn shape(&self, name: &str) -> Result<&[usize], OnnxError> {
        let name = self.full(name);
        match self.tensors.get(&name) {
            Some(tensor) => Ok(tensor.shape()),
            None => Err(OnnxError::Missing(name)),
        }
    }

    /// The lengths of a tensor's axes, as many as asked for.
    pub(crate) fn axes<const RANK: usize>(&self, name: &str) -> Result<[usize; RANK], OnnxError> {
        let found = self.shape(name)?;
        found.try_into().map_err(|_| OnnxError::Shape {
            tensor: self.full(name),
            found: found.to_vec(),
            expected: format!("{RANK} axes"),
        })
    }

    /// Takes a tensor out.
    pub(crate) fn take(&mut self, name: &str) -> Result<Tensor, OnnxError> {
        let name = self.full(name);
        self.tensors.remove(&name).ok_or(OnnxError::Missing(name))
    }

    /// Takes a tensor out and makes it a constant of its name.
    pub(crate) fn weight(&mut self, name: &str) -> Result<Value, OnnxError> {
        let tensor = self.take(name)?;
        Ok(self.floats(name, &tensor))
    }

    /// The first tensor that no layer has taken.
    pub(crate) fn left_over(&self) -> Option<&str> {
        self.tensors.keys().next().map(String::as_str)
    }

    /// Drops a tensor that the graph does not need, if there is one.
    pub(crate) fn ignore(&mut self, name: &str) {
        let name = self.full(name);
        self.tensors.remove(&name);
    }

    /// A constant of float32.
    pub(crate) fn floats(&mut self, name: &str, tensor: &Tensor) -> Value {
        let raw_data = tensor.values().iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, FLOAT, tensor.shape(), raw_data)
    }

    /// A constant of int64, a list.
    pub(crate) fn ints(&mut self, name: &str, values: &[i64]) -> Value {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, INT64, &[values.len()], raw_data)
    }

    fn constant(&mut self, name: &str, data_type: i32, shape: &[usize], raw_data: Vec<u8>) -> Value {
        let name = self.full(name);
        let dims = shape.iter().map(|&length| length as i64).collect();
        self.constants.push(TensorProto { dims, data_type, name: name.clone(), raw_data });
        Value(name)
    }

    /// Adds a node of one output, which has the name of the node.
    pub(crate) fn node(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&Value],
        attributes: impl IntoIterator<Item = Attribute>,
    ) -> Value {
        let output = self.full(name);
        self.push(operator, name, inputs, vec![output.clone()], attributes);
        Value(output)
    }

    /// Adds a node of several outputs: its name with `.0`, `.1` and so on.
    pub(crate) fn node_of<const OUTPUTS: usize>(
        &mut self,
        operator: &str,
        name: &str,
        input: &Value,
        attributes: impl IntoIterator<Item = Attribute>,
    ) -> [Value; OUTPUTS] {
        let outputs = std::array::from_fn(|index| Value(format!("{}.{index}", self.full(name))));
        let names = outputs.iter().map(|Value(name)| name.clone()).collect();
        self.push(operator, name, &[input], names, attributes);
        outputs
    }

    fn push(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&Value],
        output: Vec<String>,
        attributes: impl IntoIterator<Item = Attribute>,
    ) {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|Value(name)| name.clone()).collect(),
            output,
            name: self.full(name),
            op_type: operator.to_owned(),
            attribute: attributes.into_iter().map(AttributeProto::from).collect(),
        });
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.scope)
    }
}

impl From<Attribute> for AttributeProto {
    fn from(attribute: Attribute) -> Self {
        let named = |name: &str, r#type| Self { name: name.to_owned(), r#type, ..Self::default() };
        match attribute {
            Attribute::Int(name, value) => Self { i: Some(value), ..named(name, ATTRIBUTE_INT) },
            Attribute::Ints(name, ints) => Self { ints, ..named(name, ATTRIBUTE_INTS) },
            Attribute::Float(name, value) => Self { f: Some(value), ..named(name, ATTRIBUTE_FLOAT) },
        }
    }
}
