//! The encoder of a run as a file for other libraries.

use std::path::PathBuf;

use serde::Serialize;
use ssl_core::{DeviceSpec, named, names};
use ssl_encoders::weights::{self, Metadata};
use ssl_encoders::{AnyEncoder, EncoderConfig, StemChoice};

use crate::{EncoderSource, Error, Recipe, files};

/// Whose names the tensors of a file get. The file is safetensors in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Format {
    /// torchvision's, for ResNets.
    #[default]
    Torchvision,
    /// timm's: for ViTs, and for ResNets, where they are torchvision's.
    Timm,
    /// Ours: timm's for ViTs and torchvision's for ResNets.
    Safetensors,
}

names!(Format: "format" { Torchvision = "torchvision", Timm = "timm", Safetensors = "safetensors" });

/// What is exported, and where to.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportOptions {
    /// Directory of a finished run, or of a classifier.
    pub run: PathBuf,
    /// The file.
    pub out: PathBuf,
    /// Whose names the tensors get.
    pub format: Format,
    /// Whether an existing file may be overwritten.
    pub overwrite: bool,
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExportReport {
    /// The file.
    pub out: PathBuf,
    /// Whose names the tensors have.
    pub format: Format,
    /// The model.
    pub model: String,
    /// Number of tensors.
    pub tensors: usize,
    /// What the other library's model has to be changed into before it fits; empty if nothing.
    pub adapt: Vec<&'static str>,
}

/// Writes the encoder of a run as a file for other libraries, which load it with `strict=True` into their model of that
/// name without its classifier.
///
/// # Errors
/// If the run is not finished, the model has no form in that library, or the file exists.
pub fn export(options: &ExportOptions) -> Result<ExportReport, Error> {
    files::check_free(&options.out, options.overwrite)?;
    let source = EncoderSource::Run(options.run.clone());
    let (recipe, metadata) = described(&source, options)?;
    let encoder = source.open(&recipe, &DeviceSpec::Flex.open()?)?;
    check_form(&metadata.encoder, &encoder, options.format)?;
    files::make_folder_of(&options.out)?;
    weights::save(&encoder, &options.out, &metadata)?;
    Ok(ExportReport {
        out: options.out.clone(),
        format: options.format,
        adapt: adapt(&metadata.encoder, &encoder),
        model: metadata.encoder.name,
        tensors: named::collect(&encoder).len(),
    })
}

/// What is known of the encoder of a run or of a classifier.
fn described(source: &EncoderSource, options: &ExportOptions) -> Result<(Recipe, Metadata), Error> {
    if let Some(recipe) = source.run_recipe()? {
        // Complete as it stands; resolving it again would ask for its method, which this build need not have.
        let metadata = metadata(&recipe);
        return Ok((recipe, metadata));
    }
    let metadata = source.metadata()?.ok_or_else(|| Error::UnknownModel(options.run.clone()))?;
    Ok((source.usual_recipe(None)?, metadata))
}

/// Fails if the library of a format has no model that the encoder could be loaded into.
fn check_form(config: &EncoderConfig, encoder: &AnyEncoder, format: Format) -> Result<(), Error> {
    let name = &config.name;
    let (model, expected) = match (encoder, format) {
        (AnyEncoder::Vit(_), Format::Torchvision) => (name.clone(), "--format timm or safetensors"),
        (AnyEncoder::ResNet(_), Format::Torchvision | Format::Timm) if config.selective_kernel => {
            (format!("{name} with selective kernels"), "--format safetensors")
        }
        _ => return Ok(()),
    };
    Err(Error::NoSuchForm { model, format, expected })
}

/// What a file of weights says about the encoder of a recipe.
pub(crate) fn metadata(recipe: &Recipe) -> Metadata {
    let normalization = recipe.data.normalization();
    Metadata::new(&recipe.encoder, recipe.data.image_size)
        .with_normalization(normalization.mean, normalization.std)
        .with_about("method", &recipe.method)
        .with_about("seed", recipe.seed)
}

fn adapt(config: &EncoderConfig, encoder: &AnyEncoder) -> Vec<&'static str> {
    let AnyEncoder::ResNet(_) = encoder else { return Vec::new() };
    let narrow = (config.width != 64).then_some("every layer is of another width than theirs");
    let cifar = (config.stem == StemChoice::Cifar)
        .then_some("conv1 is 3 x 3 with stride 1 and padding 1, and maxpool is the identity");
    narrow.into_iter().chain(cifar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::Init;

    #[test]
    fn every_format_survives_a_round_trip_through_its_text() {
        for format in [Format::Torchvision, Format::Timm, Format::Safetensors] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let error = "onnx".parse::<Format>().expect_err("unknown").to_string();
        assert_eq!(error, "unknown format 'onnx': expected torchvision, timm or safetensors");
    }

    #[test]
    fn a_model_that_a_library_does_not_have_is_refused_with_a_format_that_has_it() {
        let device = DeviceSpec::Flex.open().expect("flex is compiled in");
        let check = |config: EncoderConfig, format| {
            let encoder = config.init(32, &mut Init::new(0, &device)).expect("a valid configuration");
            check_form(&config, &encoder, format).map_err(|error| error.to_string())
        };
        let selective =
            || EncoderConfig { selective_kernel: true, width: 2, ..EncoderConfig::named("resnet50") };
        let vit = || EncoderConfig::named("vit-tiny");
        for (config, format, sentence) in [
            (
                selective(),
                Format::Torchvision,
                "resnet50 with selective kernels has no form that torchvision loads: expected --format safetensors",
            ),
            (
                selective(),
                Format::Timm,
                "resnet50 with selective kernels has no form that timm loads: expected --format safetensors",
            ),
            (
                vit(),
                Format::Torchvision,
                "vit-tiny has no form that torchvision loads: expected --format timm or safetensors",
            ),
        ] {
            assert_eq!(check(config, format), Err(sentence.to_owned()));
        }
        assert_eq!(check(selective(), Format::Safetensors), Ok(()));
        assert_eq!(
            check(EncoderConfig { width: 2, ..EncoderConfig::default() }, Format::Torchvision),
            Ok(())
        );
    }
}
