//! The encoder of a run as a file for other libraries.

mod snippet;

use std::path::{Path, PathBuf};

use serde::Serialize;
use ssl_core::{DeviceSpec, named};
use ssl_encoders::{EncoderConfig, NameScheme, weights};
use tracing::info;

use snippet::Snippet;

use crate::{EncoderSource, EncoderSummary, Error, Methods, files};

/// Options of [`export`].
#[derive(Clone, Debug, PartialEq)]
pub struct ExportOptions {
    /// Directory of a run, or of a classifier. Of a run that is not finished, the newest intact checkpoint is taken.
    pub run: PathBuf,
    /// The file.
    pub out: PathBuf,
    /// The library whose tensor names are used.
    pub format: NameScheme,
    /// Whether an existing file may be overwritten.
    pub overwrite: bool,
}

/// The result of [`export`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExportReport {
    /// The file.
    pub out: PathBuf,
    /// The library whose tensor names are used.
    pub format: NameScheme,
    /// The model.
    pub model: String,
    /// Number of tensors.
    pub tensors: usize,
    /// A Python program that loads the file and defines `features(image)`, for an image of PIL; none if no library has the
    /// network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// The encoder.
    pub encoder: EncoderSummary,
}

/// Writes the encoder of a run as a file for other libraries, which load it with `strict=True` into their model of the same
/// name, without the classifier.
///
/// # Errors
/// If the run has no intact checkpoint, the library has no such model, or the file exists, is not called `.safetensors`, or
/// belongs to the run.
pub fn export(methods: &impl Methods, options: &ExportOptions) -> Result<ExportReport, Error> {
    files::check_ending(&options.out, ".safetensors")?;
    check_apart(&options.out, &options.run)?;
    files::check_free(&options.out, options.overwrite)?;
    let source = EncoderSource::Run(options.run.clone());
    let found = source.find(methods)?;
    let artifact = found.artifact.clone().ok_or_else(|| Error::UnknownModel(options.run.clone()))?;
    let encoder = found.open(artifact.preprocessing.size, &DeviceSpec::Flex.open()?)?;
    check_form(&artifact.encoder, options.format)?;
    info!("encoder: {}", found.summary);
    weights::save_as(&encoder, &options.out, &artifact, options.format)?;
    let (encoder_config, preprocessing) = (&artifact.encoder, &artifact.preprocessing);
    let snippet =
        Snippet { file: &options.out, format: options.format, encoder: encoder_config, preprocessing };
    Ok(ExportReport {
        out: options.out.clone(),
        format: options.format,
        python: snippet.python(),
        model: artifact.encoder.name,
        tensors: named::collect(&encoder).len(),
        encoder: found.summary,
    })
}

/// Fails if a file is one that the run itself wrote: nothing could bring it back.
fn check_apart(out: &Path, run: &Path) -> Result<(), Error> {
    let (Ok(file), Ok(run)) = (out.canonicalize(), run.canonicalize()) else { return Ok(()) };
    let own = ["encoder.safetensors", "classifier.safetensors"].map(|name| run.join(name));
    let is_own = own.contains(&file) || file.starts_with(run.join("checkpoints"));
    if is_own { Err(Error::OwnFile(out.into())) } else { Ok(()) }
}

/// Fails if the library of a format has no model that could load the encoder.
fn check_form(config: &EncoderConfig, format: NameScheme) -> Result<(), Error> {
    if format.has(config) {
        return Ok(());
    }
    let kernels = if config.selective_kernel { " with selective kernels" } else { "" };
    let others =
        NameScheme::ALL.into_iter().filter(|scheme| scheme.has(config)).map(|scheme| scheme.to_string());
    let expected = others.collect::<Vec<_>>().join(" or ");
    Err(Error::NoSuchForm { model: format!("{}{kernels}", config.name), format, expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_of_the_run_itself_is_replaced() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (run, other) = (dir.path().join("run"), dir.path().join("exported.safetensors"));
        let kept = run.join("checkpoints/last/student.safetensors");
        std::fs::create_dir_all(run.join("checkpoints/last")).expect("writable");
        let own = run.join("encoder.safetensors");
        for file in [&other, &own, &kept] {
            std::fs::write(file, "tensors").expect("writable");
        }
        for file in [&own, &kept, &run.join("checkpoints/../encoder.safetensors")] {
            assert!(matches!(check_apart(file, &run), Err(Error::OwnFile(_))), "{}", file.display());
        }
        assert!(check_apart(&other, &run).is_ok());
        assert!(check_apart(&run.join("new.safetensors"), &run).is_ok(), "a new file may lie in the folder");
    }

    #[test]
    fn a_model_that_a_library_does_not_have_is_refused_with_a_format_that_has_it() {
        let check =
            |config: EncoderConfig, format| check_form(&config, format).map_err(|error| error.to_string());
        let selective = || EncoderConfig { selective_kernel: true, ..EncoderConfig::named("resnet50") };
        let vit = || EncoderConfig::named("vit-tiny");
        for (config, format, sentence) in [
            (
                selective(),
                NameScheme::Torchvision,
                "torchvision has no model that loads resnet50 with selective kernels: expected the format safetensors",
            ),
            (
                selective(),
                NameScheme::Timm,
                "timm has no model that loads resnet50 with selective kernels: expected the format safetensors",
            ),
            (
                vit(),
                NameScheme::Torchvision,
                "torchvision has no model that loads vit-tiny: expected the format timm or safetensors",
            ),
        ] {
            assert_eq!(check(config, format), Err(sentence.to_owned()));
        }
        assert_eq!(check(selective(), NameScheme::Safetensors), Ok(()));
        assert_eq!(check(EncoderConfig::default(), NameScheme::Torchvision), Ok(()));
    }
}
