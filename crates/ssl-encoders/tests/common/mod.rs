//! What several tests with golden files need.

#![allow(dead_code, reason = "no test needs all of it")]

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use ssl_core::named;

/// Tensors by name.
pub(crate) type Tensors = BTreeMap<String, TensorData>;

/// The tensors of `tests/golden/<name>.safetensors`.
pub(crate) fn golden(name: &str) -> Tensors {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.safetensors"));
    named::decode(&std::fs::read(path).expect("a golden file")).expect("a safetensors file").0
}

/// The tensors whose names start with `prefix`, by the rest of their names.
pub(crate) fn under(golden: &Tensors, prefix: &str) -> Tensors {
    let own =
        |(name, data): (&String, &TensorData)| Some((name.strip_prefix(prefix)?.to_owned(), data.clone()));
    golden.iter().filter_map(own).collect()
}

/// The gradients of a network's parameters by their paths.
pub(crate) fn gradients_by_path(network: &impl Module, gradients: GradientsParams) -> Tensors {
    let mut reader = Reader { gradients, path: named::Path::default(), found: Tensors::new() };
    network.visit(&mut reader);
    reader.found
}

struct Reader {
    gradients: GradientsParams,
    path: named::Path,
    found: Tensors,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.found.insert(self.path.join(), gradient.into_data());
        }
    }
}
