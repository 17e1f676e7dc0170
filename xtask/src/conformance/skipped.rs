//! Operations of the suite that this project does not have yet.

/// An operation that may be skipped.
pub(super) struct Skipped {
    pub(super) group: &'static str,
    pub(super) op: &'static str,
    /// Why there is no implementation.
    pub(super) reason: &'static str,
}

const fn no_method(op: &'static str) -> Skipped {
    Skipped { group: "method", op, reason: "a method that is not here yet" }
}

const fn loss_of(op: &'static str, reason: &'static str) -> Skipped {
    Skipped { group: "loss", op, reason }
}

const fn model(op: &'static str, reason: &'static str) -> Skipped {
    Skipped { group: "model", op, reason }
}

/// All of them. A case of any other operation without an implementation fails, and so does an implementation of one of
/// these: its line goes when its operation comes.
pub(super) const SKIPPED: &[Skipped] = &[
    loss_of("dcl", "the loss of DCL, which is not here yet"),
    loss_of("dclw", "the loss of DCLW, which is not here yet"),
    loss_of("dinov2_sinkhorn_center", "of DINOv2, which is not here yet"),
    loss_of("distill_features", "distillation here is of class scores alone"),
    loss_of("ibot", "the loss of iBOT, which is not here yet"),
    loss_of("ijepa", "the loss of I-JEPA, which is not here yet"),
    loss_of("koleo", "of DINOv2, which is not here yet"),
    loss_of("lejepa", "the loss of LeJEPA, which is not here yet"),
    loss_of("mae", "the loss of MAE, which is not here yet"),
    loss_of("msn", "the loss of MSN, which is not here yet"),
    loss_of("nnclr", "the loss of NNCLR, which is not here yet"),
    loss_of("sigreg", "of LeJEPA, which is not here yet"),
    loss_of("tico", "the loss of TiCo, which is not here yet"),
    loss_of(
        "vicreg",
        "the loss of VICReg, which is an example outside of the library: examples/custom-method",
    ),
    no_method("dcl"),
    no_method("dclw"),
    no_method("dinov2"),
    Skipped { group: "method", op: "distill", reason: "distillation here is of class scores alone" },
    no_method("ibot"),
    no_method("ijepa"),
    no_method("lejepa"),
    no_method("mae"),
    no_method("msn"),
    no_method("nnclr"),
    no_method("tico"),
    Skipped {
        group: "method",
        op: "vicreg",
        reason: "an example outside of the library: examples/custom-method",
    },
    model("ijepa_predictor", "of I-JEPA, which is not here yet"),
    model("mae", "the decoder of MAE, which is not here yet"),
    model("sincos_pos_embed", "MAE's, which has the column first; the one of MoCo v3 has the row first"),
    model("vit_tokens", "the ViT here gives its class token alone"),
];

/// Why an operation may be skipped, if it may.
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
