//! The tensors of modules in the form of cases.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::Tensor;
use ssl_core::named;
use ssl_testing::tensors::{data, shaped_array};
use ssl_testing::{Array, Case};
use ssl_train::Gradients;

/// The module with the initial values that a case gives, `init.<name>` for the tensor at each path.
pub(super) fn load<M: Module>(module: M, case: &Case, name: impl Fn(&str) -> String) -> Result<M> {
    let mut tensors = BTreeMap::new();
    for path in named::collect(&module).into_keys() {
        let array = case.tensor(&format!("init.{}", name(&path)))?;
        tensors.insert(path, data(array));
    }
    Ok(named::load(module, tensors)?)
}

/// The gradients of a module's parameters in their shapes, by path.
pub(super) fn gradient_arrays<M: Module>(
    gradients: &Gradients,
    module: &M,
) -> Result<BTreeMap<String, Array>> {
    let parameters = named::collect(module);
    let in_shape = |(path, gradient): (&str, &Tensor<1>)| {
        let parameter =
            parameters.get(path).with_context(|| format!("a gradient for '{path}', which is not there"))?;
        Ok((path.to_owned(), shaped_array(parameter.shape().to_vec(), gradient)))
    };
    gradients.iter().map(in_shape).collect()
}
