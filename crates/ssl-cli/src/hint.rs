//! Flags for the errors of the library, which knows none.

use burn_ssl::core::ConfigError;
use burn_ssl::encoders::{EncoderError, MODELS};
use burn_ssl::recipe::{DidYouMean, RecipeError};
use burn_ssl::train::TrainError;
use burn_ssl::{Assignment, Error};

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

/// What to type to change a key of a recipe. `--image-size` takes the views along.
pub(crate) fn assignment(Assignment { key, value }: &Assignment) -> String {
    match key.as_str() {
        "data.image_size" => format!("--image-size {value}"),
        key => format!("--set {key}={value}"),
    }
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
        Error::CannotWork(advice) => advice.alternatives(assignment)?,
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
    fn a_run_that_cannot_work_is_answered_with_the_keys_to_set() {
        let changes = [("method_options.prototypes", "64"), ("data.image_size", "32")];
        let changes =
            changes.map(|(key, value)| Assignment { key: key.into(), value: value.into() }).to_vec();
        let (found, expected) = ("too many".to_owned(), "fewer".to_owned());
        let advice = burn_ssl::Advice { severity: burn_ssl::Severity::CannotWork, found, expected, changes };
        let sentence = sentence(&Error::CannotWork(advice.into()).into());
        let expected = "too many, expected fewer; try --set method_options.prototypes=64 or --image-size 32";
        assert_eq!(sentence, expected);
    }

    #[test]
    fn other_errors_are_printed_as_they_are() {
        assert_eq!(sentence(&Error::NoClass(-1).into()), Error::NoClass(-1).to_string());
        assert_eq!(sentence(&anyhow::anyhow!("no such file")), "no such file");
    }
}
