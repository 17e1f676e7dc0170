//! Runs the cases of losses.

use std::fmt;

use burn::tensor::{Gradients, Tensor};

use crate::case::unlike;
use crate::tensors::{array, leaf, loss_value};
use crate::{Array, Case, CaseError, Outputs};

/// The inputs of a loss in a case, and the outputs of a loss on them.
///
/// Every input tracks its gradient, to detect a loss that forgets to detach one: a case with gradients has `grad.<name>` only
/// for the inputs that a gradient must reach. A few cases have no gradients, and check only values.
///
/// ```
/// use ssl_testing::{Case, LossInputs};
///
/// # fn nt_xent(z1: burn::tensor::Tensor<2>, z2: burn::tensor::Tensor<2>, _: f64) -> burn::tensor::Tensor<1> {
/// #     (z1 * z2).sum() * 0.0
/// # }
/// let case = Case::of("loss", "nt_xent").into_iter().find(|case| case.name.ends_with("batch1")).unwrap();
/// let mut inputs = LossInputs::of(&case);
/// let [z1, z2] = inputs.take(["z1", "z2"]).unwrap();
/// let loss = nt_xent(z1, z2, case.param("temperature").unwrap());
/// case.assert_passes(&inputs.outputs(loss).unwrap());
/// ```
pub struct LossInputs<'a> {
    case: &'a Case,
    taken: Vec<(String, ReadGradient)>,
}

/// Reads the gradient of one tensor with any number of axes.
type ReadGradient = Box<dyn Fn(&Gradients) -> Option<Array>>;

impl<'a> LossInputs<'a> {
    /// The inputs of a case.
    pub fn of(case: &'a Case) -> Self {
        Self { case, taken: Vec::new() }
    }

    /// The input `in.<name>`.
    ///
    /// # Errors
    /// If there is none with that name, or it has another number of axes.
    pub fn take_one<const D: usize>(&mut self, name: &str) -> Result<Tensor<D>, CaseError> {
        let input = leaf::<D>(self.case, &format!("in.{name}"))?;
        let tensor = input.clone();
        let read = move |gradients: &Gradients| tensor.grad(gradients).map(|grad| array(&grad.into_data()));
        self.taken.push((name.to_owned(), Box::new(read)));
        Ok(input)
    }

    /// The inputs `in.<name>` for several names, each with two axes.
    ///
    /// # Errors
    /// If one is missing, or has another number of axes.
    pub fn take<const N: usize>(&mut self, names: [&str; N]) -> Result<[Tensor<2>; N], CaseError> {
        let inputs = names.iter().map(|name| self.take_one(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(inputs.try_into().expect("one input per name"))
    }

    /// The inputs `in.<name>.0`, `in.<name>.1`, and so on, each with two axes.
    ///
    /// # Errors
    /// If one has another number of axes.
    pub fn take_list(&mut self, name: &str) -> Result<Vec<Tensor<2>>, CaseError> {
        let count = self.case.under(&format!("in.{name}")).count();
        (0..count).map(|index| self.take_one(&format!("{name}.{index}"))).collect()
    }

    /// The value of a loss, `out.loss`, and its gradient for each input, `grad.<name>`.
    ///
    /// # Errors
    /// If an input has a gradient that the case does not expect.
    pub fn outputs(self, loss: Tensor<1>) -> Result<Outputs, CaseError> {
        Ok(self.backward(loss)?.0)
    }

    /// [`outputs`](Self::outputs), and the recorded gradients of everything else.
    ///
    /// # Errors
    /// If an input has a gradient that the case does not expect.
    pub fn backward(self, loss: Tensor<1>) -> Result<(Outputs, Gradients), CaseError> {
        let is_expected = |name: &str| self.case.tensors().contains_key(&format!("grad.{name}"));
        let has_gradients = self.taken.iter().any(|(name, _)| is_expected(name));
        let mut outputs = Outputs::from([("out.loss".to_owned(), loss_value(&loss))]);
        let gradients = loss.backward();
        for (name, read) in &self.taken {
            let Some(gradient) = read(&gradients) else { continue };
            let expected = is_expected(name);
            let name = format!("grad.{name}");
            if has_gradients && !expected {
                return Err(unlike(&name, "computed".into(), "none: the input must be detached".into()));
            }
            outputs.insert(name, gradient);
        }
        Ok((outputs, gradients))
    }
}

impl fmt::Debug for LossInputs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.taken.iter().map(|(name, _)| name).collect();
        f.debug_struct("LossInputs").field("case", &self.case.name).field("taken", &names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A case whose loss has a gradient for `p1` and none for `z1`.
    fn byol() -> Case {
        Case::of("loss", "byol").remove(0)
    }

    #[test]
    fn an_input_that_is_to_be_detached_and_is_not_is_named() {
        let case = byol();
        let mut inputs = LossInputs::of(&case);
        let [p1, z1] = inputs.take(["p1", "z1"]).expect("inputs of the case");
        let error = inputs.outputs((p1 * z1).sum()).expect_err("a gradient for z1").to_string();
        assert_eq!(error, "tensor 'grad.z1' is computed, expected none: the input must be detached");
    }

    #[test]
    fn a_gradient_that_is_missing_is_not_an_output() {
        let case = byol();
        let mut inputs = LossInputs::of(&case);
        let [p1, p2, z1] = inputs.take(["p1", "p2", "z1"]).expect("inputs of the case");
        let outputs = inputs.outputs((p1 * p2.detach() * z1.detach()).sum()).expect("no gradient for z1");
        assert_eq!(outputs.keys().collect::<Vec<_>>(), ["grad.p1", "out.loss"]);
        assert!(case.compare(&outputs).expect_err("p2 has no gradient").to_string().contains("grad.p2"));
    }

    #[test]
    fn a_case_without_gradients_of_inputs_says_nothing_of_them() {
        let cases = Case::of("loss", "barlow_twins");
        let without = |case: &&Case| case.under("grad").count() == 0;
        let case = cases.iter().find(without).expect("the case of two images has no gradients");
        let mut inputs = LossInputs::of(case);
        let [z1, z2] = inputs.take(["z1", "z2"]).expect("inputs of the case");
        assert!(inputs.outputs((z1 * z2).sum()).is_ok());
    }

    #[test]
    fn an_input_of_another_number_of_axes_is_named() {
        let error = LossInputs::of(&byol()).take_one::<3>("p1").expect_err("two axes").to_string();
        assert!(error.starts_with("tensor 'in.p1' is of shape [") && error.ends_with("expected 3 axes"));
    }
}
