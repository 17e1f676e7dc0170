//! Why a command has no result.

use std::io;
use std::path::PathBuf;

use ssl_core::{ConfigError, DeviceError};
use ssl_data::{DataError, ViewError};
use ssl_encoders::weights::WeightsError;
use ssl_encoders::{EncoderError, NameScheme};
use ssl_eval::EvalError;
use ssl_train::TrainError;

use crate::recipe::RecipeError;

/// Why a command has no result, in one sentence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Views of the images.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A value that no command could use.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The run.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The evaluation.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// The network.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// A file of weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// There is something where a new file should go.
    #[error("{} exists already: expected a new file, or the option --overwrite", .0.display())]
    Exists(PathBuf),
    /// A run has no encoder.
    #[error("{} holds no finished run: expected encoder.safetensors in it, which `pretrain --resume` writes at the end", .0.display())]
    NotFinished(PathBuf),
    /// A method that hides no patches is told which to hide.
    #[error("the recipe has a section [mask], and {0} hides no patches: expected no such section")]
    UnusedMask(String),
    /// Something else where a run is needed.
    #[error("found {0}, expected a run: only a run knows the encoder of your own that it trained")]
    NoRun(String),
    /// A file of weights does not say which network it is for.
    #[error("{} does not say which model it is for: expected the option --model NAME", .0.display())]
    UnknownModel(PathBuf),
    /// Nothing says which size the images of an encoder have.
    #[error(
        "nothing says how large the encoder's images are, and those given are not square and of one size: expected the option --image-size N (of torchvision's and timm's weights mostly 224)"
    )]
    NoImageSize,
    /// A model has no form in another library.
    #[error("{model} has no form that {format} loads: expected --format {expected}")]
    NoSuchForm {
        /// The model.
        model: String,
        /// The names that were asked for.
        format: NameScheme,
        /// The names that the model has.
        expected: String,
    },
    /// The recipe names no images.
    #[error("the recipe names no images: expected the option --data PATH, or data.path in the recipe")]
    NoData,
    /// The recipe is not the one that the run started with.
    #[error("--resume goes on with the recipe of {}, where {key} is {there} and not {here}: leave that option out, or start a new run", run.display())]
    OtherRecipe {
        /// The run.
        run: PathBuf,
        /// The first key that differs.
        key: String,
        /// Its value in the run.
        there: String,
        /// The value given.
        here: String,
    },
    /// The views that a method compares have different sizes, or smaller ones come before them.
    #[error(
        "the views are {sizes:?} pixels wide, in the order of the [[views]] blocks: expected {views} of one size first, and none larger after them"
    )]
    ViewSizes {
        /// How many global views the method takes.
        views: usize,
        /// The sizes of all views.
        sizes: Vec<usize>,
    },
    /// Evaluation was asked for without a place to evaluate on.
    #[error("there is no {0} set to evaluate on: expected the option --{0} PATH")]
    NoSet(&'static str),
    /// A class has no image to learn it from.
    #[error(
        "the training images have none of class {class}: expected at least one of each of the {classes} classes"
    )]
    MissingClass {
        /// Its name, or its number where classes have no names.
        class: String,
        /// Number of classes.
        classes: usize,
    },
    /// A label of the test set is not one of the training set.
    #[error(
        "label {label} of the test images is not among the {classes} classes of the training images, 0 to {}: expected sets of the same classes",
        classes - 1
    )]
    UnknownLabel {
        /// The label.
        label: i64,
        /// Number of classes.
        classes: usize,
    },
    /// A label that stands for no class.
    #[error("label {0} is no class: expected whole numbers from 0")]
    NoClass(i64),
    /// Layers of a projector were asked for where there is none.
    #[error(
        "there is no projector in {0}: expected --run with a run of a method that has one, or --from-head-layer 0"
    )]
    NoProjector(String),
    /// More layers of a projector were asked for than it has.
    #[error("--from-head-layer is {layers}, expected at most {most}, the layers of the run's projector")]
    HeadLayers {
        /// Layers asked for.
        layers: usize,
        /// Layers of the projector.
        most: usize,
    },
    /// The directory of a classifier is to be written over what it is made from.
    #[error("{} is what the training starts from: expected another directory after --out", .0.display())]
    SameDirectory(PathBuf),
    /// A directory has no classifier yet.
    #[error("{} holds no finished classifier: expected classifier.safetensors in it, which the end of the training writes", .0.display())]
    ClassifierNotFinished(PathBuf),
    /// The options are not those that the training started with.
    #[error("--resume goes on with the training in {}, where {key} is {there} and not {here}: expected the same options, or a new directory", run.display())]
    OtherOptions {
        /// The directory.
        run: PathBuf,
        /// The first key that differs.
        key: String,
        /// Its value in the directory.
        there: String,
        /// The value given.
        here: String,
    },
    /// What decides a training has no text form.
    #[error("the options have no text form: {0}")]
    NoRecord(String),
    /// A file of features has an ending that says nothing.
    #[error("{} has no ending that says what to write: expected .csv, .npy or .safetensors", .0.display())]
    UnknownEnding(PathBuf),
    /// A file cannot be written or read.
    #[error("cannot write or read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The answer of the operating system.
        source: io::Error,
    },
    /// An image cannot be encoded.
    #[error("cannot write the image {}: {reason}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        reason: String,
    },
}
