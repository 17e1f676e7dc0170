//! Who wrote a file, from the names in it.

/// A kind of files, and how it is told from others.
struct Source {
    name: &'static str,
    /// Parts of the encoder's prefix; one of them is there. Empty for any prefix.
    prefix: &'static [&'static str],
    /// Parts of names anywhere in the file; each of them is there.
    names: &'static [&'static str],
}

/// All kinds, the more special ones first.
const SOURCES: [Source; 20] = [
    Source { name: "MoCo", prefix: &["encoder_q."], names: &[] },
    Source { name: "MoCo v3", prefix: &["base_encoder."], names: &[] },
    Source { name: "VISSL", prefix: &["_feature_blocks.", "trunk."], names: &[] },
    Source { name: "lightly-train", prefix: &["wrapped_model."], names: &[] },
    Source { name: "I-JEPA", prefix: &["target_encoder."], names: &["predictor_blocks."] },
    Source { name: "MSN", prefix: &["target_encoder."], names: &[] },
    Source { name: "DINOv2", prefix: &["teacher.backbone.", "student.backbone."], names: &["dino_head."] },
    Source { name: "iBOT", prefix: &["teacher.", "student."], names: &["masked_embed"] },
    Source { name: "DINO", prefix: &["teacher.", "student."], names: &["head.last_layer."] },
    Source { name: "DINO", prefix: &["teacher.backbone.", "student.module.backbone."], names: &[] },
    Source {
        name: "solo-learn",
        prefix: &["state_dict.backbone.", "state_dict.encoder."],
        names: &["state_dict.classifier."],
    },
    Source { name: "lightly", prefix: &["teacher_backbone.", "student_backbone."], names: &[] },
    Source { name: "lightly", prefix: &["backbone."], names: &["projection_head."] },
    Source { name: "SimSiam", prefix: &["module.encoder."], names: &["module.predictor."] },
    Source {
        name: "Barlow Twins",
        prefix: &["module.backbone."],
        names: &["module.projector.", "module.bn.running_mean"],
    },
    Source { name: "VICReg", prefix: &["module.backbone."], names: &["module.projector."] },
    Source { name: "SwAV", prefix: &[], names: &["projection_head.", "prototypes."] },
    Source { name: "MAE", prefix: &[], names: &["decoder_blocks."] },
    Source { name: "DINOv2", prefix: &[], names: &["register_tokens"] },
    Source { name: "timm", prefix: &[], names: &["reg_token"] },
];

/// Who wrote a file with an encoder under `prefix`; `None` if its names do not tell.
pub(super) fn of<'a>(prefix: &str, names: impl Iterator<Item = &'a str> + Clone) -> Option<&'static str> {
    let is_of = |source: &&Source| {
        let in_prefix = |part: &&str| prefix.contains(part);
        let in_names = |part: &&str| names.clone().any(|name| name.contains(part));
        (source.prefix.is_empty() || source.prefix.iter().any(in_prefix)) && source.names.iter().all(in_names)
    };
    SOURCES.iter().find(is_of).map(|source| source.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expected: Option<&str>, prefix: &str, others: &[&str]) {
        let encoder = format!("{prefix}blocks.0.norm1.weight");
        assert_eq!(
            of(prefix, std::iter::once(&*encoder).chain(others.iter().copied())),
            expected,
            "{prefix}"
        );
    }

    #[test]
    fn official_files_are_recognised_by_their_names() {
        check(Some("MoCo"), "state_dict.module.encoder_q.", &["state_dict.module.queue"]);
        check(Some("MoCo v3"), "state_dict.module.base_encoder.", &["state_dict.module.predictor.0.weight"]);
        check(Some("SimSiam"), "state_dict.module.encoder.", &["state_dict.module.predictor.0.weight"]);
        check(Some("SwAV"), "module.", &["module.projection_head.0.weight", "module.prototypes.weight"]);
        check(Some("DINO"), "teacher.backbone.", &["teacher.head.mlp.0.weight", "student.module.backbone.x"]);
        check(Some("DINO"), "student.module.backbone.", &["student.module.head.last_layer.weight_g"]);
        check(Some("iBOT"), "teacher.backbone.", &["student.module.backbone.masked_embed"]);
        check(Some("DINOv2"), "teacher.backbone.", &["teacher.dino_head.mlp.0.weight"]);
        let barlow = ["model.module.projector.0.weight", "model.module.bn.running_mean"];
        check(Some("Barlow Twins"), "model.module.backbone.", &barlow);
        check(Some("VICReg"), "model.module.backbone.", &barlow[..1]);
        let vissl = "classy_state_dict.base_model.model.trunk._feature_blocks.";
        check(Some("VISSL"), vissl, &["classy_state_dict.base_model.model.heads.0.clf.0.weight"]);
        check(Some("MAE"), "model.", &["model.decoder_blocks.0.norm1.weight"]);
        check(
            Some("I-JEPA"),
            "target_encoder.module.",
            &["predictor.module.predictor_blocks.0.norm1.weight"],
        );
        check(Some("MSN"), "target_encoder.module.", &["encoder.module.norm.weight"]);
    }

    #[test]
    fn files_of_libraries_are_recognised_and_plain_ones_are_anybodys() {
        check(Some("solo-learn"), "state_dict.backbone.", &["state_dict.classifier.weight"]);
        check(Some("lightly"), "state_dict.backbone.", &["state_dict.projection_head.layers.0.weight"]);
        check(Some("lightly"), "state_dict.teacher_backbone.", &[]);
        check(Some("lightly-train"), "state_dict.embedding_model.wrapped_model._model.", &[]);
        check(Some("timm"), "", &["reg_token"]);
        check(Some("DINOv2"), "", &["register_tokens"]);
        check(None, "", &["fc.weight"]);
        check(None, "module.", &[]);
    }
}
