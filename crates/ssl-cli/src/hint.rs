//! Flags for the errors of the library, which knows none.

use burn_ssl::Error;
use burn_ssl::core::ConfigError;
use burn_ssl::encoders::{EncoderError, MODELS};
use burn_ssl::recipe::{DidYouMean, RecipeError};
use burn_ssl::train::TrainError;

/// The error as one sentence, with the flag that helps where there is one.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let known = error.downcast_ref::<Error>();
    match known.and_then(flag) {
        Some(flag) => format!("{error}; try {flag}"),
        None => format!("{error}{}", known.and_then(model).unwrap_or_default()),
    }
}

/// The models that may have been meant by an unknown one.
fn model(error: &Error) -> Option<DidYouMean> {
    let config = match error {
        Error::Config(config) | Error::Recipe(RecipeError::Config(config)) => config,
        Error::Encoder(EncoderError::Config(config)) => config,
        _ => return None,
    };
    let ConfigError { field: "encoder.name", found, .. } = config else { return None };
    Some(DidYouMean::of(found.trim_matches('\''), MODELS.iter().map(|model| model.name)))
}

/// What to type against an error.
fn flag(error: &Error) -> Option<String> {
    Some(match error {
        Error::Exists(_) => "--overwrite".to_owned(),
        Error::Train(TrainError::Exists(_)) => {
            "--resume to continue or --overwrite to start again".to_owned()
        }
        Error::Train(TrainError::Collapsed { finding, .. }) => format!("--set {}", finding.remedy),
        Error::Train(TrainError::NotARun(_)) => "another --out".to_owned(),
        Error::Train(TrainError::ChangedData(_)) => "--accept-changed-data".to_owned(),
        Error::NotFinished(_) => "the command that started it with --resume".to_owned(),
        Error::UnknownModel(_) => "--model NAME".to_owned(),
        Error::NoImageSize => "--image-size N".to_owned(),
        Error::NoSuchForm { expected, .. } => format!("--format {expected}"),
        Error::NoGraph(_) => "--format onnx".to_owned(),
        Error::NoData => "--data PATH".to_owned(),
        Error::NoTeacher => "--set method_options.teacher=PATH".to_owned(),
        Error::OtherRecipe { .. } => "--resume with --out alone".to_owned(),
        Error::NoSet(name) => format!("--{name} PATH"),
        Error::NoProjector(_) => "another --run, or --from-head-layer 0".to_owned(),
        Error::HeadLayers { most, .. } => format!("--from-head-layer {most}"),
        Error::SameDirectory(_) => "another --out".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn_ssl::export::ExportFormat;
    use burn_ssl::train::{Finding, FindingKind};

    fn collapse() -> Finding {
        Finding {
            rule: "a-rule".into(),
            kind: FindingKind::Collapse,
            since: 3,
            cause: "all is equal".into(),
            evidence: "z_std 0".into(),
            remedy: "optimizer.lr=0.1".into(),
            reference: "a paper".into(),
        }
    }

    #[test]
    fn an_error_that_a_flag_helps_with_names_it_at_the_end() {
        for (error, end) in [
            (
                Error::Exists("a.csv".into()),
                "a.csv already exists: expected a new file, or overwrite to be set; try --overwrite",
            ),
            (
                TrainError::Exists("run".into()).into(),
                "; try --resume to continue or --overwrite to start again",
            ),
            (TrainError::ChangedData("other images".into()).into(), "; try --accept-changed-data"),
            (TrainError::NotARun("photos".into()).into(), "; try another --out"),
            (
                TrainError::Collapsed { step: 9, finding: Box::new(collapse()), last_good: None }.into(),
                "such as one with optimizer.lr=0.1; try --set optimizer.lr=0.1",
            ),
            (Error::NoGraph(ExportFormat::Timm), "expected the format onnx; try --format onnx"),
            (Error::NoData, "; try --data PATH"),
            (Error::NoTeacher, "; try --set method_options.teacher=PATH"),
            (Error::NoSet("test"), "; try --test PATH"),
            (Error::HeadLayers { layers: 4, most: 3 }, "; try --from-head-layer 3"),
            (Error::NotFinished("run".into()), "; try the command that started it with --resume"),
        ] {
            let sentence = sentence(&error.into());
            assert!(sentence.ends_with(end), "{sentence}");
        }
    }

    #[test]
    fn other_errors_are_printed_as_they_are() {
        assert_eq!(sentence(&Error::NoClass(-1).into()), Error::NoClass(-1).to_string());
        assert_eq!(sentence(&anyhow::anyhow!("no such file")), "no such file");
    }
}
