//! Tensors under arbitrary paths as a module: what an optimizer or an average sees of a network.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use burn::module::{
    Content, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param, ParamId,
};
use burn::tensor::{Device, Int, Tensor};
use ssl_testing::tensors::data;
use ssl_testing::{Array, Values};

/// Tensors by path. The components of a path are visited as nested modules, as those of a network are.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    leaves: BTreeMap<String, Leaf>,
}

#[derive(Clone, Debug)]
enum Leaf {
    One(Param<Tensor<1>>),
    Two(Param<Tensor<2>>),
    Three(Param<Tensor<3>>),
    Four(Param<Tensor<4>>),
    Counter(Param<Tensor<1, Int>>),
}

/// The same expression for the parameter of every kind of leaf.
macro_rules! with_param {
    ($leaf:expr, $param:ident => $result:expr) => {
        match $leaf {
            Leaf::One($param) => $result,
            Leaf::Two($param) => $result,
            Leaf::Three($param) => $result,
            Leaf::Four($param) => $result,
            Leaf::Counter($param) => $result,
        }
    };
}

/// The leaf with its parameter replaced by an expression of it.
macro_rules! map_param {
    ($leaf:expr, $param:ident => $result:expr) => {
        match $leaf {
            Leaf::One($param) => Leaf::One($result),
            Leaf::Two($param) => Leaf::Two($result),
            Leaf::Three($param) => Leaf::Three($result),
            Leaf::Four($param) => Leaf::Four($result),
            Leaf::Counter($param) => Leaf::Counter($result),
        }
    };
}

impl Tree {
    /// A module of the given tensors, on a device.
    pub(super) fn new<'a>(
        tensors: impl Iterator<Item = (&'a str, &'a Array)>,
        device: &Device,
    ) -> Result<Self> {
        let leaf = |(path, array): (&str, &Array)| Ok((path.to_owned(), Leaf::new(path, array, device)?));
        Ok(Self { leaves: tensors.map(leaf).collect::<Result<_>>()? })
    }

    fn map_leaves(self, change: impl Fn(Leaf) -> Leaf) -> Self {
        Self { leaves: self.leaves.into_iter().map(|(path, leaf)| (path, change(leaf))).collect() }
    }
}

impl Leaf {
    fn new(path: &str, array: &Array, device: &Device) -> Result<Self> {
        let data = data(array);
        Ok(match (&array.values, array.shape.len()) {
            (Values::F32(_), 1) => Self::One(Param::from_tensor(Tensor::from_data(data, device))),
            (Values::F32(_), 2) => Self::Two(Param::from_tensor(Tensor::from_data(data, device))),
            (Values::F32(_), 3) => Self::Three(Param::from_tensor(Tensor::from_data(data, device))),
            (Values::F32(_), 4) => Self::Four(Param::from_tensor(Tensor::from_data(data, device))),
            (Values::I64(_), 1) => {
                Self::Counter(Param::initialized(ParamId::new(), Tensor::from_data(data, device)))
            }
            (values, axes) => {
                bail!(
                    "parameter '{path}' is {} with {axes} axes, expected F32 with 1 to 4 or I64 with 1",
                    values.dtype()
                )
            }
        })
    }
}

impl Module for Tree {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        for (path, leaf) in &self.leaves {
            path.split('.').for_each(|part| visitor.enter_module(part, "Tree"));
            with_param!(leaf, param => param.visit(visitor));
            path.rsplit('.').for_each(|part| visitor.exit_module(part, "Tree"));
        }
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let mut leaves = BTreeMap::new();
        for (path, leaf) in self.leaves {
            path.split('.').for_each(|part| mapper.enter_module(part, "Tree"));
            let leaf = map_param!(leaf, param => Module::map(param, mapper));
            path.rsplit('.').for_each(|part| mapper.exit_module(part, "Tree"));
            leaves.insert(path, leaf);
        }
        Self { leaves }
    }

    fn to_device(self, device: &Device) -> Self {
        self.map_leaves(|leaf| map_param!(leaf, param => param.to_device(device)))
    }

    fn fork(self, device: &Device) -> Self {
        self.map_leaves(|leaf| map_param!(leaf, param => param.fork(device)))
    }

    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        let collect = |devices, leaf: &Leaf| with_param!(leaf, param => param.collect_devices(devices));
        self.leaves.values().fold(devices, collect)
    }

    fn materialize(self) -> Self {
        self.map_leaves(|leaf| map_param!(leaf, param => param.materialize()))
    }

    fn valid(&self) -> Self {
        self.clone().map_leaves(|leaf| map_param!(leaf, param => param.valid()))
    }

    fn train(self) -> Self {
        self.map_leaves(|leaf| map_param!(leaf, param => param.train()))
    }
}

impl std::fmt::Display for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tree({})", self.leaves.len())
    }
}

impl ModuleDisplayDefault for Tree {
    fn content(&self, content: Content) -> Option<Content> {
        content.add("leaves", &self.leaves.len()).optional()
    }
}

impl ModuleDisplay for Tree {}
