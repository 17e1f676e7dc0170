//! Which tensors of a file are the encoder, and what they are called in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::EncoderConfig;

/// Whose names the tensors of a weight file have, whether it is read or written.
///
/// Our own names are torchvision's for ResNets and timm's for ViTs, so these schemes differ in which networks they have, and in
/// what is beside an encoder in a file, not in the names of its tensors. [`load`](super::load) reads files of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NameScheme {
    /// torchvision's: ResNets.
    Torchvision,
    /// timm's: ViTs and ResNets.
    Timm,
    /// Ours, for every encoder.
    Safetensors,
}

impl NameScheme {
    /// All schemes.
    pub const ALL: [Self; 3] = [Self::Torchvision, Self::Timm, Self::Safetensors];

    /// Whether the library has a network with the tensors of this encoder.
    pub fn has(self, config: &EncoderConfig) -> bool {
        match self {
            Self::Torchvision => !config.is_vit() && !config.selective_kernel,
            Self::Timm => !config.selective_kernel,
            Self::Safetensors => true,
        }
    }

    /// What the classifiers on the library's networks are called: files have them beside an encoder, and an encoder alone fits
    /// a network without them.
    pub fn classifiers(self) -> &'static [&'static str] {
        match self {
            Self::Torchvision => &["fc"],
            Self::Timm => &["fc", "head", "head_dist"],
            Self::Safetensors => &["head"],
        }
    }
}

impl fmt::Display for NameScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Torchvision => "torchvision",
            Self::Timm => "timm",
            Self::Safetensors => "safetensors",
        })
    }
}

/// A name that is no [`NameScheme`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown names '{0}': expected torchvision, timm or safetensors")]
pub struct UnknownScheme(String);

impl FromStr for NameScheme {
    type Err = UnknownScheme;

    fn from_str(text: &str) -> Result<Self, UnknownScheme> {
        let found = Self::ALL.into_iter().find(|scheme| scheme.to_string() == text);
        found.ok_or_else(|| UnknownScheme(text.to_owned()))
    }
}

/// What frameworks and training scripts put in front of an encoder's names, one component each, in any order. An
/// encoder's own names start with none of them.
const WRAPPERS: [&str; 19] = [
    "_feature_blocks",   // VISSL
    "backbone",          // DINO, Barlow Twins, lightly, solo-learn, OpenMMLab
    "base_encoder",      // MoCo v3
    "base_model",        // VISSL
    "classy_state_dict", // VISSL
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
    "teacher",
    "trunk", // VISSL
    "vit",
    "wrapped_model", // lightly-train
];

/// First components of what training code has behind an encoder under the same prefix, besides
/// [classifiers](NameScheme::classifiers).
const HEADS: [&str; 3] = ["projection_head", "projector", "prototypes"];

/// The tensors of a file that belong to an encoder with the paths `wanted`: the name in the file by the name without
/// what training code put in front. None if no name of the file is among `wanted`.
///
/// A file may hold several networks (teacher and student, an encoder and its projector). Names are grouped by what is
/// in front of them, and the group with most of the wanted names is the encoder; of equals the last by the alphabet,
/// which prefers DINO's teacher, the network it evaluates, to its student.
pub(super) fn select(
    names: impl IntoIterator<Item = String>,
    wanted: &BTreeSet<String>,
) -> Option<BTreeMap<String, String>> {
    let mut groups: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for name in names {
        let (prefix, own) = split(&name);
        groups.entry(prefix.to_owned()).or_default().insert(own.to_owned(), name);
    }
    let matches = |group: &BTreeMap<String, String>| group.keys().filter(|own| wanted.contains(*own)).count();
    let mut encoder = groups.into_values().max_by_key(matches).filter(|group| matches(group) > 0)?;
    encoder.retain(|own, _| wanted.contains(own) || !is_ignored(own));
    Some(encoder)
}

/// A name, cut behind its wrappers.
fn split(name: &str) -> (&str, &str) {
    let mut own = name;
    while let Some((first, rest)) = own.split_once('.') {
        if !WRAPPERS.contains(&first) {
            break;
        }
        own = rest;
    }
    name.split_at(name.len() - own.len())
}

fn is_ignored(own: &str) -> bool {
    let first = own.split('.').next().unwrap_or_default();
    let is_classifier = NameScheme::ALL.iter().any(|scheme| scheme.classifiers().contains(&first));
    is_classifier || HEADS.contains(&first) || own.ends_with("num_batches_tracked")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(names: &[&str]) -> Option<Vec<(String, String)>> {
        let wanted = ["bn1.bias", "conv1.weight"].map(str::to_owned).into();
        select(names.iter().map(|name| (*name).to_owned()), &wanted).map(|map| map.into_iter().collect())
    }

    fn encoder_under(prefix: &str) -> Option<Vec<(String, String)>> {
        let entry = |own: &str| (own.to_owned(), format!("{prefix}{own}"));
        Some(vec![entry("bn1.bias"), entry("conv1.weight")])
    }

    #[test]
    fn every_scheme_survives_a_round_trip_through_its_text() {
        for scheme in NameScheme::ALL {
            assert_eq!(scheme.to_string().parse(), Ok(scheme));
            assert_eq!(serde_json::to_value(scheme).expect("JSON"), scheme.to_string());
        }
        let error = "onnx".parse::<NameScheme>().expect_err("unknown").to_string();
        assert_eq!(error, "unknown names 'onnx': expected torchvision, timm or safetensors");
    }

    #[test]
    fn a_scheme_has_the_networks_of_its_library() {
        let vit = EncoderConfig::named("vit-tiny");
        let selective = EncoderConfig { selective_kernel: true, ..EncoderConfig::named("resnet50") };
        let has = |config: &EncoderConfig| NameScheme::ALL.map(|scheme| scheme.has(config));
        assert_eq!(has(&EncoderConfig::named("resnet50")), [true, true, true]);
        assert_eq!(has(&vit), [false, true, true]);
        assert_eq!(has(&selective), [false, false, true]);
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
    fn unknown_tensors_of_the_encoder_stay_so_that_loading_names_them() {
        let own = selected(&["conv1.weight", "bn1.bias", "conv2.weight"]).expect("an encoder");
        assert!(own.iter().any(|(own, _)| own == "conv2.weight"));
    }

    #[test]
    fn a_file_without_any_wanted_name_holds_no_encoder() {
        assert_eq!(selected(&["fc.weight", "module.queue"]), None);
    }
}
