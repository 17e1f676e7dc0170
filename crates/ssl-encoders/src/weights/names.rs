//! Finds the tensors of an encoder in a file, under whatever prefix.

use std::collections::{BTreeMap, BTreeSet};

use super::layouts;
use super::scheme::NameScheme;
use super::timm::own_name;

/// Components that frameworks and training scripts put before an encoder's names, in any order. An encoder's own names
/// start with none of them.
const WRAPPERS: [&str; 27] = [
    "_feature_blocks",   // VISSL
    "_features",         // lightly-train
    "_model",            // lightly-train
    "backbone",          // DINO, Barlow Twins, lightly, solo-learn, OpenMMLab
    "base_encoder",      // MoCo v3
    "base_model",        // VISSL
    "classy_state_dict", // VISSL
    "embedding_model",   // lightly-train
    "encoder",           // SimSiam, SupCon, burn-ssl
    "encoder_q",         // MoCo v1, v2
    "model",
    "model_state_dict",
    "module", // DistributedDataParallel
    "net",
    "network",
    "resnet",
    "state_dict",
    "student",
    "student_backbone",        // lightly
    "student_embedding_model", // lightly-train
    "target_encoder",          // I-JEPA, MSN
    "teacher",
    "teacher_backbone",        // lightly
    "teacher_embedding_model", // lightly-train
    "trunk",                   // VISSL
    "vit",
    "wrapped_model", // lightly-train
];

/// What an encoder's own names start with although it looks like a wrapper: a ViT of torchvision.
const OWN: [&str; 3] = ["encoder.layers.encoder_layer_", "encoder.ln.", "encoder.pos_embedding"];

/// First components of the heads and decoders that training code stores next to an encoder under the same prefix, besides
/// [classifiers](NameScheme::classifiers).
const HEADS: [&str; 10] = [
    "classifier",
    "decoder_blocks", // MAE, as the rest of its decoder
    "decoder_embed",
    "decoder_norm",
    "decoder_pos_embed",
    "decoder_pred",
    "linear", // lightly's ResNet
    "projection_head",
    "projector",
    "prototypes",
];

/// The tensors of a file under one prefix.
pub(super) struct Group<T> {
    pub(super) prefix: String,
    /// Whose names they had, where those were not ours.
    pub(super) layout: Option<&'static str>,
    /// By our name, without the prefix.
    pub(super) tensors: BTreeMap<String, T>,
}

/// The tensors of a file that belong to an encoder with the paths `wanted`: their names in the file by our name, without prefixes.
/// `None` if no name in the file is among `wanted`.
///
/// A file may hold several networks (teacher and student, an encoder and its projector). Names are grouped by prefix,
/// and the group with the most wanted names is the encoder. In a tie the alphabetically last group wins, which prefers
/// DINO's teacher, the network it evaluates, over its student.
pub(super) fn select(
    names: impl IntoIterator<Item = String>,
    wanted: &BTreeSet<String>,
) -> Option<Group<String>> {
    let named = names.into_iter().map(|name| (name.clone(), name));
    let counts = |own: &&String| wanted.contains(*own) && !is_ignored(own);
    let matches = |group: &Group<String>| group.tensors.keys().filter(counts).count();
    let mut encoder = groups(named).max_by_key(matches).filter(|group| matches(group) > 0)?;
    encoder.tensors.retain(|own, _| wanted.contains(own) || !is_ignored(own));
    Some(encoder)
}

/// The tensors of a file under our names, one group for each prefix, the networks that are evaluated last.
pub(super) fn groups<T>(tensors: impl IntoIterator<Item = (String, T)>) -> impl Iterator<Item = Group<T>> {
    let mut groups: BTreeMap<String, BTreeMap<String, T>> = BTreeMap::new();
    for (name, value) in tensors {
        let (prefix, own) = split(&name);
        groups.entry(prefix.to_owned()).or_default().insert(own_name(own).to_owned(), value);
    }
    groups.into_iter().map(|(prefix, tensors)| {
        let (tensors, layout) = layouts::translated(tensors);
        Group { prefix, layout, tensors }
    })
}

/// Splits a name after its wrappers.
fn split(name: &str) -> (&str, &str) {
    let mut own = name;
    while let Some((first, rest)) = own.split_once('.') {
        if !WRAPPERS.contains(&first) || OWN.iter().any(|start| own.starts_with(start)) {
            break;
        }
        own = rest;
    }
    name.split_at(name.len() - own.len())
}

/// What an encoder can do without: heads, counters, and the mask token, which no feature depends on.
fn is_ignored(own: &str) -> bool {
    let first = own.split('.').next().unwrap_or_default();
    let is_classifier = NameScheme::ALL.iter().any(|scheme| scheme.classifiers().contains(&first));
    let is_head = is_classifier || HEADS.contains(&first);
    is_head || own == "mask_token" || own.ends_with("num_batches_tracked")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(names: &[&str]) -> Option<Vec<(String, String)>> {
        let wanted = ["bn1.bias", "conv1.weight"].map(str::to_owned).into();
        let found = select(names.iter().map(|name| (*name).to_owned()), &wanted);
        found.map(|group| group.tensors.into_iter().collect())
    }

    fn encoder_under(prefix: &str) -> Option<Vec<(String, String)>> {
        let entry = |own: &str| (own.to_owned(), format!("{prefix}{own}"));
        Some(vec![entry("bn1.bias"), entry("conv1.weight")])
    }

    #[test]
    fn the_classifier_of_every_scheme_is_left_out() {
        for classifier in NameScheme::ALL.iter().flat_map(|scheme| scheme.classifiers()) {
            let names = ["conv1.weight", "bn1.bias", &format!("{classifier}.weight")];
            assert_eq!(selected(&names), encoder_under(""), "{classifier}");
        }
    }

    #[test]
    fn prefixes_of_published_checkpoints_are_taken_off() {
        for prefix in [
            "",
            "module.",
            "backbone.",
            "encoder.",
            "module.encoder_q.",
            "state_dict.module.encoder_q.",
            "state_dict.module.base_encoder.",
            "state_dict.module.encoder.",
            "model.encoder.module.",
            "teacher.backbone.",
            "student.module.backbone.",
            "classy_state_dict.base_model.model.trunk._feature_blocks.",
        ] {
            let names = ["bn1.bias", "conv1.weight"].map(|own| format!("{prefix}{own}"));
            assert_eq!(selected(&names.each_ref().map(String::as_str)), encoder_under(prefix), "{prefix}");
        }
    }

    #[test]
    fn heads_counters_and_other_networks_are_left_out() {
        let names = [
            "module.encoder_q.conv1.weight",
            "module.encoder_q.bn1.bias",
            "module.encoder_q.bn1.num_batches_tracked",
            "module.encoder_q.fc.0.weight",
            "module.encoder_k.conv1.weight",
            "module.encoder_k.bn1.bias",
            "module.queue",
            "optimizer.state.0.momentum_buffer",
        ];
        assert_eq!(selected(&names), encoder_under("module.encoder_q."));
    }

    #[test]
    fn the_teacher_comes_before_the_student() {
        let names = [
            "teacher.backbone.conv1.weight",
            "teacher.backbone.bn1.bias",
            "student.module.backbone.conv1.weight",
            "student.module.backbone.bn1.bias",
        ];
        assert_eq!(selected(&names), encoder_under("teacher.backbone."));
    }

    #[test]
    fn the_teacher_of_ibot_comes_before_its_student_which_alone_has_a_mask_token() {
        let names = ["student.module.backbone.masked_embed", "student.module.backbone.norm.bias"];
        let names = names.into_iter().chain(["teacher.backbone.norm.bias"]).map(str::to_owned);
        let wanted = ["mask_token", "norm.bias"].map(str::to_owned).into();
        let chosen = select(names, &wanted).expect("an encoder");
        let expected = [("norm.bias".to_owned(), "teacher.backbone.norm.bias".to_owned())];
        assert_eq!((&*chosen.prefix, chosen.tensors), ("teacher.backbone.", expected.into()));
    }

    #[test]
    fn unknown_tensors_of_the_encoder_stay_so_that_loading_names_them() {
        let own = selected(&["conv1.weight", "bn1.bias", "conv2.weight"]).expect("an encoder");
        assert!(own.iter().any(|(own, _)| own == "conv2.weight"));
    }

    #[test]
    fn tokens_of_timm_and_ibot_have_our_names_and_a_mask_token_may_be_left_out() {
        let chosen = |names: &[&str], wanted: &[&str]| {
            let wanted = wanted.iter().map(|name| (*name).to_owned()).collect();
            select(names.iter().map(|name| (*name).to_owned()), &wanted).expect("an encoder").tensors
        };
        let ours = |own: &str, theirs: &str| (own.to_owned(), theirs.to_owned());
        let theirs = ["cls_token", "masked_embed", "reg_token"];
        let wanted = ["cls_token", "mask_token", "register_tokens"];
        let all = [
            ours("cls_token", "cls_token"),
            ours("mask_token", "masked_embed"),
            ours("register_tokens", "reg_token"),
        ];
        assert_eq!(chosen(&theirs, &wanted), all.into());
        assert_eq!(
            chosen(&["cls_token", "mask_token"], &["cls_token"]),
            [ours("cls_token", "cls_token")].into()
        );
    }

    #[test]
    fn an_official_convnext_has_timms_names_and_no_other_network_changes_its_own() {
        let official =
            ["model.downsample_layers.0.0.weight", "model.norm.bias", "model.head.bias", "other.norm.bias"];
        let wanted = ["stem.0.weight", "head.norm.bias"].map(str::to_owned).into();
        let chosen = select(official.map(str::to_owned), &wanted).expect("an encoder");
        let own = |own: &str, theirs: &str| (own.to_owned(), theirs.to_owned());
        let expected = [
            own("head.norm.bias", "model.norm.bias"),
            own("stem.0.weight", "model.downsample_layers.0.0.weight"),
        ];
        assert_eq!((chosen.tensors, chosen.layout), (expected.into(), Some("the official ConvNeXt")));
        let vit = select(["norm.bias".to_owned()], &["norm.bias".to_owned()].into()).expect("an encoder");
        assert_eq!((vit.tensors, vit.layout), ([own("norm.bias", "norm.bias")].into(), None));
    }

    #[test]
    fn a_vit_of_torchvision_is_one_network_although_it_has_an_encoder() {
        let theirs = ["class_token", "encoder.ln.bias", "encoder.pos_embedding", "conv_proj.weight"];
        let wanted = ["cls_token", "norm.bias", "pos_embed", "patch_embed.proj.weight"].map(str::to_owned);
        for prefix in ["", "state_dict.backbone.vit."] {
            let names = theirs.map(|name| format!("{prefix}{name}"));
            let chosen = select(names, &wanted.clone().into()).expect("an encoder");
            assert_eq!((chosen.prefix.as_str(), chosen.layout), (prefix, Some("torchvision")));
            assert!(wanted.iter().all(|name| chosen.tensors.contains_key(name)), "{:?}", chosen.tensors);
        }
    }

    #[test]
    fn a_decoder_is_no_part_of_the_encoder() {
        let names = ["model.conv1.weight", "model.bn1.bias", "model.decoder_blocks.0.norm1.bias"];
        assert_eq!(selected(&names), encoder_under("model."));
    }

    #[test]
    fn a_file_without_any_wanted_name_holds_no_encoder() {
        assert_eq!(selected(&["fc.weight", "module.queue"]), None);
    }
}
