//! A folder that timm loads.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use ssl_core::{Encoder, named};
use ssl_encoders::{Artifact, ClassifierHead, NameScheme, Preprocessing, weights};
use tracing::warn;

use super::card::Card;
use super::exported::{Exported, Network};
use super::timm::TimmModel;
use crate::{Error, files};

/// The file of tensors, which timm looks for first.
const WEIGHTS: &str = "model.safetensors";
/// The file of the description.
const CONFIG: &str = "config.json";

/// Writes `model.safetensors`, its card and `config.json`, all at once into a new folder. Gives the path of the card.
pub(super) fn write<E: Encoder>(
    exported: &Exported<E>,
    card: &Card<'_, E>,
    out: &Path,
) -> Result<PathBuf, Error> {
    if !files::is_new_folder(out) {
        return fill(exported, card, out);
    }
    let (mut written, mut failed) = (PathBuf::new(), None);
    let filled = ssl_files::write_folder(out, |folder| match fill(exported, card, folder) {
        Ok(card) => {
            written = card;
            Ok(())
        }
        Err(error) => {
            failed = Some(error);
            Err(io::Error::other("the folder cannot be filled"))
        }
    });
    match filled {
        Ok(()) => Ok(out.join(written.file_name().unwrap_or_default())),
        Err(source) => Err(failed.unwrap_or_else(|| Error::Io { path: out.to_owned(), source })),
    }
}

fn fill<E: Encoder>(exported: &Exported<E>, card: &Card<'_, E>, folder: &Path) -> Result<PathBuf, Error> {
    let mut artifact = exported.artifact.clone();
    let Some(model) = TimmModel::of(&artifact.encoder, artifact.preprocessing.size) else {
        return Err(Error::UnknownModel(folder.to_owned()));
    };
    let mut tensors = weights::tensors_as(exported.encoder(), NameScheme::Timm);
    if let (Some(_), Network::Classifier(network, _)) = (card.head, &exported.network) {
        let named = named::collect(&network.head).into_iter();
        tensors.extend(named.map(|(name, data)| (format!("{}.{name}", model.classifier), data)));
    }
    artifact.encoder.mask_token = None;
    let config = config(&artifact, exported.feature_dim(), card.head, &model, card.license);
    let config = serde_json::to_string_pretty(&config).unwrap_or_default() + "\n";
    let written = card.write(&folder.join(WEIGHTS))?;
    files::write(&folder.join(CONFIG), config.as_bytes(), true)?;
    files::write(&folder.join(WEIGHTS), &artifact.encode(&tensors), true)?;
    Ok(written)
}

/// The classifier, if timm has one like it: it has no layers between encoder and classifier.
pub(super) fn head<E: Encoder>(exported: &Exported<E>) -> Option<&ClassifierHead> {
    let head = exported.head()?;
    if !head.neck.is_empty() {
        warn!(
            "timm has no network with {} layers between encoder and classifier: the encoder is exported alone",
            head.neck.len()
        );
        return None;
    }
    Some(head)
}

/// What timm has to know.
///
/// # Source
/// timm `models/_hub.py`, `_parse_model_cfg`, and `models/_pretrained.py`, `PretrainedCfg`.
fn config(
    artifact: &Artifact,
    feature_dim: usize,
    head: Option<&ClassifierHead>,
    model: &TimmModel,
    license: Option<&str>,
) -> Value {
    let Preprocessing { size, mean, std, .. } = artifact.preprocessing;
    let classes = head.map_or(0, |head| head.classes);
    let model_args: Map<String, Value> =
        model.args.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let mut config = json!({
        "architecture": model.name,
        "num_classes": classes,
        "num_features": feature_dim,
        "model_args": model_args,
        "pretrained_cfg": {
            "custom_load": false,
            "input_size": [3, size, size],
            "fixed_input_size": model.args.iter().any(|(name, _)| *name == "img_size"),
            "interpolation": "bilinear",
            "crop_pct": crop_share(&artifact.preprocessing),
            "crop_mode": "center",
            "mean": mean.map(decimal),
            "std": std.map(decimal),
            "num_classes": classes,
            "first_conv": model.first_conv,
            "classifier": model.classifier,
            "license": license.unwrap_or("unknown"),
        },
    });
    if let Some(names) = head.and_then(|head| head.class_names.as_ref()) {
        config["label_names"] = json!(names);
    }
    config
}

/// The share of the resized side that is kept. timm resizes to `floor(size / share)`.
fn crop_share(preprocessing: &Preprocessing) -> f64 {
    let (size, resize) = (preprocessing.size as f64, preprocessing.resize.max(preprocessing.size) as f64);
    let share = size / resize;
    if (size / share).floor() == resize { share } else { size / (resize + 0.5) }
}

/// A float32 with the digits that it is written with, not those of the nearest float64.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_encoders::EncoderConfig;

    #[test]
    fn timm_resizes_to_what_the_run_did() {
        for size in 8..=512 {
            let preprocessing = Preprocessing::new(size);
            let resized = (size as f64 / crop_share(&preprocessing)).floor();
            assert_eq!(resized as usize, preprocessing.resize, "{size}");
        }
        assert_eq!(crop_share(&Preprocessing::new(224)), 0.875);
    }

    #[test]
    fn the_description_has_what_timm_reads() {
        let encoder = EncoderConfig { patch_size: Some(8), ..EncoderConfig::named("vit-tiny") };
        let artifact = Artifact::new(&encoder, Preprocessing::new(32));
        let model = TimmModel::of(&encoder, 32).expect("timm's");
        let head = ClassifierHead {
            neck: Vec::new(),
            classes: 2,
            class_names: Some(vec!["cat".into(), "dog".into()]),
        };
        let config = config(&artifact, 192, Some(&head), &model, Some("mit"));
        assert_eq!(config["architecture"], "vit_tiny_patch16_224");
        assert_eq!(config["model_args"], json!({"img_size": 32, "patch_size": 8}));
        assert_eq!(config["label_names"], json!(["cat", "dog"]));
        let pretrained = &config["pretrained_cfg"];
        assert_eq!(pretrained["mean"], json!([0.485, 0.456, 0.406]));
        assert_eq!((&pretrained["input_size"], &pretrained["num_classes"]), (&json!([3, 32, 32]), &json!(2)));
        assert_eq!(pretrained["license"], "mit");
    }
}
