//! Reads descriptions of every version as the newest one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Artifact, ClassifierHead, Kind, Preprocessing, Provenance, SCHEMA};
use crate::EncoderConfig;

/// Parses a description of any version, or says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Artifact, String> {
    let unknown =
        |error: serde_json::Error| format!("its description is from another version of burn-ssl ({error})");
    let json: Value = serde_json::from_str(text).map_err(unknown)?;
    match json.get("schema").map(Value::as_u64) {
        None if json.get("files").is_some() => {
            Err("it holds embeddings, of before files said which encoder they are from".into())
        }
        None => serde_json::from_value(json).map(Unversioned::upgrade).map_err(unknown),
        Some(Some(schema)) if schema > u64::from(SCHEMA) => Err(format!(
            "a newer burn-ssl wrote it: its description has schema {schema}, expected at most {SCHEMA}"
        )),
        Some(_) => serde_json::from_value(json).map_err(unknown),
    }
}

/// The description of encoders and classifiers before `schema` was introduced.
#[derive(Deserialize)]
struct Unversioned {
    version: String,
    encoder: EncoderConfig,
    image_size: usize,
    mean: [f32; 3],
    std: [f32; 3],
    /// `method` or `made_by`, `seed`, and for classifiers `fraction`.
    about: BTreeMap<String, String>,
    /// Only for classifiers.
    #[serde(flatten)]
    head: Option<ClassifierHead>,
}

impl Unversioned {
    fn upgrade(self) -> Artifact {
        let about = |key| self.about.get(key).cloned();
        let provenance = Provenance {
            version: self.version,
            method: about("method").or_else(|| about("made_by")),
            seed: about("seed").and_then(|seed| seed.parse().ok()),
            ..Provenance::default()
        };
        let preprocessing = Preprocessing::new(self.image_size).with_normalization(self.mean, self.std);
        let kind = self.head.map_or(Kind::Encoder, Kind::Classifier);
        Artifact { encoder: self.encoder, ..Artifact::new(&EncoderConfig::default(), preprocessing) }
            .with_kind(kind)
            .with_provenance(provenance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DataSummary;
    use crate::StemChoice;

    /// The description that ca7da3d wrote into `encoder.safetensors`.
    const OLD_ENCODER: &str = r#"{"version":"0.1.0","encoder":{"name":"resnet18","width":4,"stem":"cifar","zero_init_residual":false,"bn_splits":1,"selective_kernel":false},"image_size":32,"mean":[0.4914,0.4822,0.4465],"std":[0.247,0.2435,0.2616],"about":{"method":"simclr","seed":"7"}}"#;

    /// The description that ca7da3d wrote into `classifier.safetensors`.
    const OLD_CLASSIFIER: &str = r#"{"version":"0.1.0","encoder":{"name":"resnet18","width":4,"stem":"cifar","zero_init_residual":false,"bn_splits":1,"selective_kernel":false},"image_size":32,"mean":[0.4914,0.4822,0.4465],"std":[0.247,0.2435,0.2616],"about":{"fraction":"1","made_by":"finetune","seed":"0"},"neck":[{"outputs":8,"bias":false,"norm":"affine","activation":"relu"}],"classes":2,"class_names":["stripes","zigzag"]}"#;

    fn encoder() -> EncoderConfig {
        EncoderConfig { width: 4, stem: StemChoice::Cifar, ..EncoderConfig::named("resnet18") }
    }

    fn preprocessing() -> Preprocessing {
        let (mean, std) = ([0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616]);
        Preprocessing { size: 32, resize: 36, mean, std }
    }

    #[test]
    fn an_old_encoder_has_its_network_its_images_and_its_method() {
        let artifact = parse(OLD_ENCODER).expect("an old file");
        assert_eq!((artifact.schema, &artifact.kind), (SCHEMA, &Kind::Encoder));
        assert_eq!((&artifact.encoder, artifact.preprocessing), (&encoder(), preprocessing()));
        assert_eq!(artifact.provenance.method.as_deref(), Some("simclr"));
        assert_eq!((artifact.provenance.seed, artifact.provenance.steps), (Some(7), None));
    }

    #[test]
    fn an_old_classifier_has_its_head() {
        let artifact = parse(OLD_CLASSIFIER).expect("an old file");
        let Kind::Classifier(head) = artifact.kind else { panic!("{:?}", artifact.kind) };
        assert_eq!((head.neck.len(), head.classes), (1, 2));
        assert_eq!(head.class_names, Some(vec!["stripes".to_owned(), "zigzag".to_owned()]));
        assert_eq!(artifact.provenance.method.as_deref(), Some("finetune"));
        assert_eq!((&artifact.encoder, artifact.preprocessing), (&encoder(), preprocessing()));
    }

    #[test]
    fn every_kind_survives_its_text() {
        let head = ClassifierHead { neck: Vec::new(), classes: 2, class_names: None };
        let rows = Kind::Embeddings { files: vec!["a.png".into()], classes: None };
        for kind in [Kind::Encoder, Kind::Classifier(head), rows] {
            let data = DataSummary { name: "photos".into(), images: 20, classes: Some(2) };
            let provenance = Provenance { data: Some(data), seed: Some(u64::MAX), ..Provenance::default() };
            let artifact = Artifact::new(&encoder(), preprocessing())
                .with_kind(kind)
                .with_provenance(provenance)
                .with_metrics([("knn_top1", 28.4), ("rankme", f64::NAN)]);
            let text = serde_json::to_string(&artifact).expect("JSON");
            assert!(text.contains(r#""metrics":{"knn_top1":28.4}"#), "{text}");
            assert_eq!(parse(&text), Ok(artifact), "{text}");
        }
    }

    #[test]
    fn the_json_has_the_keys_that_the_page_names() {
        let artifact = Artifact::new(&encoder(), preprocessing());
        let json = serde_json::to_value(&artifact).expect("JSON");
        let keys: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, ["schema", "kind", "encoder", "preprocessing", "provenance", "metrics"]);
        assert_eq!(json["kind"], "encoder");
        let keys: Vec<_> = json["preprocessing"].as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["size", "resize", "mean", "std"]);
    }

    #[test]
    fn a_newer_version_and_another_text_are_refused_in_a_sentence() {
        let newer = OLD_ENCODER.replacen('{', r#"{"schema":2,"#, 1);
        let sentence = parse(&newer).expect_err("newer");
        assert_eq!(sentence, "a newer burn-ssl wrote it: its description has schema 2, expected at most 1");
        let other = parse(r#"{"width":4}"#).expect_err("no description");
        assert!(other.starts_with("its description is from another version of burn-ssl ("), "{other}");
        let embeddings = parse(r#"{"files":["a.png"],"classes":null}"#).expect_err("no encoder");
        assert!(embeddings.starts_with("it holds embeddings"), "{embeddings}");
    }
}
