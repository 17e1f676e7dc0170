//! The encoder of a run for other programs.

mod card;
mod exported;
mod format;
mod onnx;
mod recipe;
mod snippet;
mod snippet_graph;
mod timm;
mod timm_dir;

use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use serde::Serialize;
use ssl_core::{DeviceSpec, Encoder, Init, named};
use ssl_encoders::{ClassifierHead, EncoderConfig, StemChoice, weights};
use tracing::info;

use card::Card;
use exported::Exported;
pub use format::{ExportFormat, GraphInput};
use snippet::Snippet;

use crate::{EncoderSummary, Error, Methods, files};

/// Options of [`export`].
#[derive(Clone, Debug, PartialEq)]
pub struct ExportOptions {
    /// Directory of a run, or of a classifier. Of a run that is not finished, the newest intact checkpoint is taken.
    pub run: PathBuf,
    /// The file; for [`ExportFormat::TimmDir`] the folder.
    pub out: PathBuf,
    /// What the encoder is exported as. Default torchvision.
    pub format: ExportFormat,
    /// What goes into the graph of an ONNX file. Default [`GraphInput::Normalized`].
    pub input: Option<GraphInput>,
    /// The licence that the model card states, such as `apache-2.0`. Default: not stated.
    pub license: Option<String>,
    /// Whether existing files may be overwritten. Default `false`.
    pub overwrite: bool,
}

/// The result of [`export`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExportReport {
    /// The file or folder.
    pub out: PathBuf,
    /// The model card beside it.
    pub card: PathBuf,
    /// What the encoder was exported as.
    pub format: ExportFormat,
    /// The model.
    pub model: String,
    /// Number of tensors.
    pub tensors: usize,
    /// Number of classes of the classifier that was exported too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    /// A Python program that loads what was written and defines `features(image)`, for an image of PIL; none if no library has the
    /// network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// The encoder.
    pub encoder: EncoderSummary,
}

impl ExportOptions {
    /// The encoder of `run` to the new file `out`, with torchvision's names.
    pub fn new(run: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        let format = ExportFormat::default();
        Self { run: run.into(), out: out.into(), format, input: None, license: None, overwrite: false }
    }

    /// Sets what the encoder is exported as.
    pub fn with_format(self, format: ExportFormat) -> Self {
        Self { format, ..self }
    }

    /// Checks what can be known before anything is read.
    fn check(&self) -> Result<(), Error> {
        let Self { run, out, format, input, overwrite, .. } = self;
        if input.is_some() && *format != ExportFormat::Onnx {
            return Err(Error::NoGraph(*format));
        }
        if *format == ExportFormat::TimmDir {
            return check_folder(out, *overwrite);
        }
        files::check_ending(out, if *format == ExportFormat::Onnx { ".onnx" } else { ".safetensors" })?;
        files::check_not_own(out, run)?;
        files::check_free(out, *overwrite)
    }
}

/// Writes the encoder of a run for other programs, with a model card beside it. The formats of names are files of the encoder alone,
/// which a library loads with `strict=True` into its model of the same name, without the classifier; an ONNX file and a folder of timm
/// have the classifier if there is one.
///
/// The card is called `README.md`, or `<file>.README.md` if there is another `README.md` in the folder.
///
/// # Errors
/// If the run has no intact checkpoint, the format has no such model, or the file exists, has another extension than the format, or
/// belongs to the run.
pub fn export(methods: &impl Methods, options: &ExportOptions) -> Result<ExportReport, Error> {
    options.check()?;
    write_with_card(&Exported::read(&options.run, methods, &DeviceSpec::Flex.open()?)?, options)
}

/// [`export`] of a finished run of [`pretrain_encoder`](crate::pretrain_encoder). No library has its network, so the format has to be
/// [`ExportFormat::Safetensors`].
///
/// `encoder` makes the network as it did for the run; its weights are then read from `encoder.safetensors`.
///
/// # Errors
/// Those of [`export`], and if the run is not finished, is one of a classifier, or the network does not have the tensors of the file.
pub fn export_with<E: Encoder>(
    encoder: impl FnOnce(&mut Init) -> E,
    options: &ExportOptions,
) -> Result<ExportReport, Error> {
    options.check()?;
    write_with_card(&Exported::of_outside(&options.run, encoder, &DeviceSpec::Flex.open()?)?, options)
}

fn write_with_card<E: Encoder>(
    exported: &Exported<E>,
    options: &ExportOptions,
) -> Result<ExportReport, Error> {
    check_form(&exported.artifact.encoder, options.format)?;
    info!("encoder: {}", exported.summary);
    let head = head(exported, options.format);
    let python = |file: &Path| python(exported, options, file, head.is_some());
    // The card goes with the file, wherever that is.
    let beside = options.out.file_name().and_then(|name| python(name.as_ref()));
    let tensors = named::collect(exported.encoder());
    let card = Card {
        exported,
        head,
        format: options.format,
        license: options.license.as_deref(),
        python: beside.as_deref(),
        values: tensors.values().map(TensorData::num_elements).sum(),
    };
    let card = write(exported, options, &card)?;
    let (out, format, model) = (options.out.clone(), options.format, exported.artifact.encoder.name.clone());
    let (tensors, classes) = (tensors.len(), head.map(|head| head.classes));
    let (python, encoder) = (python(&options.out), exported.summary.clone());
    Ok(ExportReport { out, card, format, model, tensors, classes, python, encoder })
}

/// The classifier that is exported with the encoder.
fn head<E: Encoder>(exported: &Exported<E>, format: ExportFormat) -> Option<&ClassifierHead> {
    match format {
        ExportFormat::Onnx => exported.head(),
        ExportFormat::TimmDir => timm_dir::head(exported),
        _ => None,
    }
}

/// The program that loads what is written.
fn python<E>(
    exported: &Exported<E>,
    options: &ExportOptions,
    file: &Path,
    has_scores: bool,
) -> Option<String> {
    let artifact = &exported.artifact;
    let preprocessing = &artifact.preprocessing;
    match options.format.scheme() {
        Some(format) => Snippet { file, format, encoder: &artifact.encoder, preprocessing }.python(),
        None if options.format == ExportFormat::TimmDir => Some(snippet_graph::timm_dir(file, has_scores)),
        None => Some(snippet_graph::onnx(file, options.input.unwrap_or_default(), preprocessing, has_scores)),
    }
}

/// Writes the card and then what it is of, so that no export is without one. Gives the path of the card.
fn write<E: Encoder>(
    exported: &Exported<E>,
    options: &ExportOptions,
    card: &Card<'_, E>,
) -> Result<PathBuf, Error> {
    let out = &options.out;
    if let Some(scheme) = options.format.scheme() {
        let card = card.write(out)?;
        weights::save_as(exported.encoder(), out, &exported.artifact, scheme)?;
        return Ok(card);
    }
    if options.format == ExportFormat::TimmDir {
        return timm_dir::write(exported, card, out);
    }
    let bytes = onnx::encode(exported, options.input.unwrap_or_default())?;
    let card = card.write(out)?;
    files::write(out, &bytes, options.overwrite)?;
    Ok(card)
}

/// Fails if a folder has files that must not be overwritten.
fn check_folder(out: &Path, overwrite: bool) -> Result<(), Error> {
    if files::is_new_folder(out) || (overwrite && out.is_dir()) {
        Ok(())
    } else {
        Err(Error::Exists(out.into()))
    }
}

/// Fails if an encoder cannot be exported as a format.
fn check_form(config: &EncoderConfig, format: ExportFormat) -> Result<(), Error> {
    if format.has(config) {
        return Ok(());
    }
    let others = ExportFormat::ALL.into_iter().filter(|other| other.has(config));
    let others: Vec<String> = others.map(|format| format.to_string()).collect();
    let expected = match &others[..] {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        few => few.concat(),
    };
    Err(Error::NoSuchForm { model: in_words(config), format, expected })
}

/// A model with what other libraries may not have.
fn in_words(config: &EncoderConfig) -> String {
    let width =
        (config.width != EncoderConfig::default().width).then(|| format!(" of width {}", config.width));
    let parts = [
        width.as_deref(),
        config.selective_kernel.then_some(" with selective kernels"),
        (config.stem == StemChoice::Cifar).then_some(" with the first layers for small images"),
    ];
    parts.into_iter().flatten().fold(config.name.clone(), |words, part| words + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_a_format_does_not_have_is_refused_with_those_that_have_it() {
        let check =
            |config: EncoderConfig, format| check_form(&config, format).map_err(|error| error.to_string());
        let selective = || EncoderConfig { selective_kernel: true, ..EncoderConfig::named("resnet50") };
        let vit = || EncoderConfig::named("vit-tiny");
        let small = EncoderConfig { stem: StemChoice::Cifar, width: 8, ..EncoderConfig::default() };
        for (config, format, sentence) in [
            (
                selective(),
                ExportFormat::Torchvision,
                "resnet50 with selective kernels cannot be exported as torchvision: expected the format safetensors",
            ),
            (
                selective(),
                ExportFormat::Onnx,
                "resnet50 with selective kernels cannot be exported as onnx: expected the format safetensors",
            ),
            (
                vit(),
                ExportFormat::Torchvision,
                "vit-tiny cannot be exported as torchvision: expected the format timm, safetensors, onnx or timm-dir",
            ),
            (
                small,
                ExportFormat::TimmDir,
                "resnet18 of width 8 with the first layers for small images cannot be exported as timm-dir: expected the format \
                 torchvision, timm, safetensors or onnx",
            ),
        ] {
            assert_eq!(check(config, format), Err(sentence.to_owned()));
        }
        assert_eq!(check(selective(), ExportFormat::Safetensors), Ok(()));
        assert_eq!(check(EncoderConfig::default(), ExportFormat::Torchvision), Ok(()));
    }

    #[test]
    fn a_format_has_its_extension_and_graphs_alone_have_an_input() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let check = |file: &str, format, input| {
            let options = ExportOptions::new(dir.path().join("run"), dir.path().join(file));
            ExportOptions { input, ..options.with_format(format) }.check().map_err(|error| error.to_string())
        };
        let ends = |said: Result<(), String>, end: &str| {
            assert!(said.as_ref().is_err_and(|said| said.ends_with(end)), "{said:?}");
        };
        ends(check("e.safetensors", ExportFormat::Onnx, None), "unknown extension: expected .onnx");
        ends(check("e.onnx", ExportFormat::Timm, None), "unknown extension: expected .safetensors");
        assert_eq!(check("e.onnx", ExportFormat::Onnx, Some(GraphInput::Bytes)), Ok(()));
        ends(check("e.safetensors", ExportFormat::Timm, Some(GraphInput::Bytes)), "expected the format onnx");
    }

    #[test]
    fn a_folder_with_files_is_written_to_on_request_alone() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let check = |overwrite| {
            let options = ExportOptions::new(dir.path().join("run"), dir.path().join("out"));
            ExportOptions { overwrite, ..options.with_format(ExportFormat::TimmDir) }.check()
        };
        assert!(check(false).is_ok(), "it is new");
        std::fs::create_dir(dir.path().join("out")).expect("writable");
        assert!(check(false).is_ok(), "it is empty");
        std::fs::write(dir.path().join("out/mine"), "mine").expect("writable");
        assert!(matches!(check(false), Err(Error::Exists(_))));
        assert!(check(true).is_ok());
    }
}
