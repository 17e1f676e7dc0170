//! The start of a trajectory: a method's own student and state, with the initial values of a case.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use burn::tensor::TensorData;
use ssl_core::{Init, SslMethod, named};
use ssl_encoders::AnyEncoder;
use ssl_testing::Case;
use ssl_testing::tensors::{data, device};

use super::Params;
use crate::conformance::modules::load;

/// Prefixes of a teacher's tensors in a state, before their path in the student.
const TEACHER: &str = "teacher.network.";

type Tensors = BTreeMap<String, TensorData>;

/// Student and state as the method makes them, with the values of the case in place of the drawn ones.
///
/// What the method starts at 0, such as a centre or an empty queue, and the teacher's copy of the student are the method's
/// own; both are compared with the case.
pub(super) fn start<M: SslMethod<AnyEncoder>>(
    case: &Case,
    params: &Params,
    method: &M,
    check: impl Fn(&M::Student) -> Result<()>,
) -> Result<(M::Student, M::State)> {
    let mut init = Init::new(0, &device().autodiff());
    let encoder = params.encoder.init(&mut init);
    method.check(&encoder, params.batch)?;
    let (student, state) = method.init(encoder, &mut init);
    check(&student)?;
    let (of_student, mut of_state) = (named::collect(&student), named::collect(&state));
    expect_copies(&of_student, &of_state)?;
    expect_all_used(case, &of_student, &of_state)?;
    for (path, tensor) in &mut of_state {
        take_initial(case, path, tensor)?;
    }
    Ok((load(student, case, student_name)?, named::load(state, of_state)?))
}

/// A teacher starts as a copy of its student.
fn expect_copies(student: &Tensors, state: &Tensors) -> Result<()> {
    for (path, tensor) in state {
        let Some(path) = path.strip_prefix(TEACHER) else { continue };
        let original = student.get(path).with_context(|| format!("the teacher alone has '{path}'"))?;
        ensure!(tensor == original, "'{path}' of the teacher differs from that of the student at the start");
    }
    Ok(())
}

/// Fails if the method has no tensor for an initial value, which would be ignored.
fn expect_all_used(case: &Case, student: &Tensors, state: &Tensors) -> Result<()> {
    let names = student.keys().map(|path| student_name(path));
    let names: BTreeSet<_> = names.chain(state.keys().map(|path| state_name(path))).collect();
    // A frozen network is no part of either; the method that has one takes its values.
    let is_frozen = |name: &str| case.params.get("teacher").is_some() && name.starts_with("teacher.");
    for (name, _) in case.under("init").filter(|(name, _)| !is_frozen(name)) {
        ensure!(names.contains(name), "the case starts with '{name}', which the method does not have");
    }
    Ok(())
}

/// Replaces the value of a state with that of the case, if there is one.
fn take_initial(case: &Case, path: &str, tensor: &mut TensorData) -> Result<()> {
    let of_student = path.strip_prefix(TEACHER).map(student_name);
    let is_teacher = of_student.is_some();
    let name = format!("init.{}", of_student.unwrap_or_else(|| state_name(path)));
    let Ok(array) = case.tensor(&name) else {
        ensure!(!is_teacher, "the case has no '{name}' for the teacher");
        return Ok(());
    };
    let given = data(array);
    if !is_teacher && given.iter::<f64>().all(|value| value == 0.0) {
        ensure!(*tensor == given, "'{path}' is not 0 at the start, as '{name}' is");
    }
    *tensor = given;
    Ok(())
}

/// The name in a case of the tensor at a path of a student: the suite leaves out `layers` in heads.
pub(super) fn student_name(path: &str) -> String {
    if path.starts_with("encoder.") {
        return path.to_owned();
    }
    path.replacen(".mlp.layers.", ".", 1).replacen(".layers.", ".", 1)
}

/// The name in a case of the tensor at a path of a state: a teacher's network, a queue, a centre.
pub(super) fn state_name(path: &str) -> String {
    match path.strip_prefix(TEACHER) {
        Some(path) => format!("teacher.{}", student_name(path)),
        None => path
            .replace("queue.rows", "queue")
            .replace("queue.next", "queue_ptr")
            .replace("covariance", "cov"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_the_names_of_the_suite() {
        assert_eq!(student_name("projector.layers.0.linear.weight"), "projector.0.linear.weight");
        assert_eq!(student_name("head.mlp.layers.2.linear.bias"), "head.2.linear.bias");
        assert_eq!(student_name("encoder.layer1.0.conv1.weight"), "encoder.layer1.0.conv1.weight");
        assert_eq!(
            state_name("teacher.network.projector.layers.1.norm.bias"),
            "teacher.projector.1.norm.bias"
        );
        assert_eq!(state_name("queue.next"), "queue_ptr");
        assert_eq!((state_name("center"), state_name("covariance")), ("center".into(), "cov".into()));
    }

    #[test]
    fn a_teacher_that_is_no_copy_is_refused() {
        let tensors = |path: &str, value: f32| Tensors::from([(path.to_owned(), TensorData::from([value]))]);
        let student = tensors("encoder.w", 1.0);
        assert!(expect_copies(&student, &tensors("teacher.network.encoder.w", 1.0)).is_ok());
        assert!(expect_copies(&student, &tensors("teacher.network.encoder.w", 2.0)).is_err());
        assert!(expect_copies(&student, &tensors("teacher.network.encoder.v", 1.0)).is_err());
    }
}
