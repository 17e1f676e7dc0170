//! Operations of the suite that this project does not have yet.

/// An operation that may be skipped.
pub(super) struct Skipped {
    pub(super) group: &'static str,
    pub(super) op: &'static str,
    /// Why there is no implementation.
    pub(super) reason: &'static str,
}

const fn no_method(op: &'static str) -> Skipped {
    Skipped { group: "method", op, reason: "the method is not implemented yet" }
}

const fn loss_of(op: &'static str, reason: &'static str) -> Skipped {
    Skipped { group: "loss", op, reason }
}

/// All of them. A case of any other operation without an implementation fails, and so does an implementation of one of
/// these: implementing an operation means removing its line.
pub(super) const SKIPPED: &[Skipped] = &[
    loss_of("distill_features", "only distillation of class scores is implemented"),
    loss_of("msn", "MSN is not implemented yet"),
    Skipped { group: "method", op: "distill", reason: "only distillation of class scores is implemented" },
    no_method("msn"),
];

/// Why an operation is skipped, if it is.
pub(super) fn reason(group: &str, op: &str) -> Option<&'static str> {
    SKIPPED.iter().find(|skipped| (skipped.group, skipped.op) == (group, op)).map(|skipped| skipped.reason)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ssl_testing::{Case, cases_dir};

    use super::*;

    #[test]
    fn every_operation_of_the_list_has_a_case_and_stands_there_once() {
        let cases = Case::all(&cases_dir()).expect("the cases of the repository");
        let with_cases: BTreeSet<_> =
            cases.iter().map(|case| (case.group.as_str(), case.op.as_str())).collect();
        let mut seen = BTreeSet::new();
        for Skipped { group, op, reason } in SKIPPED {
            assert!(with_cases.contains(&(group, op)), "no case of {group}.{op}");
            assert!(seen.insert((group, op)), "{group}.{op} stands there twice");
            assert!(!reason.is_empty());
        }
    }
}
