//! Why a command fails.

use std::io;
use std::path::PathBuf;

use ssl_core::{ConfigError, DeviceError};
use ssl_data::{DataError, ViewError};
use ssl_encoders::EncoderError;
use ssl_encoders::weights::WeightsError;
use ssl_eval::EvalError;
use ssl_files::{escaped, shown};
use ssl_onnx::OnnxError;
use ssl_train::TrainError;

use crate::advice::Advice;
use crate::export::ExportFormat;
use crate::memory::{Bytes, Part};
use crate::recipe::{RecipeError, changeable};

/// Why a command fails, in one sentence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The recipe that a run wrote.
    #[error("{}: {reason}", shown(path))]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: RecipeError,
    },
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The views of the images.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A value is out of range.
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
    /// A file that must not be overwritten.
    #[error("{} already exists: expected a new file, or overwrite to be set", .0.display())]
    Exists(PathBuf),
    /// A file in the way of a new one belongs to the run itself, or holds the weights that are read.
    #[error("{} is a file of the run itself, or the weights that are read: expected another place for the new one", .0.display())]
    OwnFile(PathBuf),
    /// The extension of a file is not one that can be written.
    #[error("{} has an unknown extension: expected {expected}", path.display())]
    Ending {
        /// The file.
        path: PathBuf,
        /// The extensions that can be written.
        expected: &'static str,
    },
    /// The page about a run cannot be made.
    #[error("the report cannot be written: {0}")]
    Page(String),
    /// A run has not written its encoder yet.
    #[error("{} holds no finished run: expected encoder.safetensors in it, which is written when the run ends", .0.display())]
    NotFinished(PathBuf),
    /// The masks of the recipe are of another kind than those of its method.
    #[error("mask.kind is '{found}', expected {expected} for {method}")]
    MaskKind {
        /// The kind in the recipe.
        found: &'static str,
        /// The method.
        method: String,
        /// The kind for it, in quotes.
        expected: &'static str,
    },
    /// The recipe has masks, but its method hides no patches.
    #[error("the recipe has a section [mask], but {0} hides no patches: expected no such section")]
    UnusedMask(String),
    /// An encoder that comes from no run, where a run is needed.
    #[error(
        "found {0}, expected a run: weights of a custom encoder can only be read from the run that trained it"
    )]
    NoRun(String),
    /// A file of weights does not say which network it is for.
    #[error("{} does not say which model it is for: expected the model to be named", .0.display())]
    UnknownModel(PathBuf),
    /// The image size of an encoder is not known.
    #[error(
        "the image size of the encoder is not known, and the images are not square or not all of one size: expected an image size (224 for most weights of torchvision and timm)"
    )]
    NoImageSize,
    /// A format of exports has no such model.
    #[error("{model} cannot be exported as {format}: expected the format {expected}")]
    NoSuchForm {
        /// The model.
        model: String,
        /// The format that was asked for.
        format: ExportFormat,
        /// The formats that have the model.
        expected: String,
    },
    /// The input of a graph was chosen for a format without one.
    #[error("the format {0} has no graph whose input could be chosen: expected the format onnx")]
    NoGraph(ExportFormat),
    /// A model cannot be written as ONNX.
    #[error("the model cannot be written as ONNX: {0}")]
    Onnx(#[from] OnnxError),
    /// The run needs much more memory than there is.
    #[error(
        "the run needs about {needed} of memory{}, of it {part}, and this machine has {machine}: expected {}",
        in_processes(*processes), part.keys
    )]
    Memory {
        /// What it needs, in all processes on this machine.
        needed: Bytes,
        /// What the machine has.
        machine: Bytes,
        /// The largest part.
        part: Part,
        /// Processes of the run on this machine.
        processes: usize,
    },
    /// The run would fail or learn nothing.
    #[error("{}, expected {}", .0.found, .0.expected)]
    CannotWork(Box<Advice>),
    /// The recipe names no teacher, and its method learns from one.
    #[error("the recipe names no teacher: expected a run or a file of weights in method_options.teacher")]
    NoTeacher,
    /// The teacher does not say which network it is.
    #[error(
        "{} does not say which network it holds: expected a run, or weights of a ResNet or ViT of a usual size",
        shown(.0)
    )]
    UnknownTeacher(PathBuf),
    /// The teacher is another than the recipe says.
    #[error(
        "the teacher {} has the hash {found}, and method_options.teacher_hash is {expected}: expected the teacher that the recipe was made with, or no such key",
        shown(path)
    )]
    OtherTeacher {
        /// The run or file.
        path: PathBuf,
        /// The hash of its tensors.
        found: String,
        /// The hash in the recipe.
        expected: String,
    },
    /// The patches of the teacher do not fill the views.
    #[error(
        "the views are {size} pixels wide, and the patches of the teacher {patch}: expected a multiple of that in views[0].size, or another teacher"
    )]
    TeacherPatches {
        /// Height and width of a patch.
        patch: usize,
        /// Height and width of the views.
        size: usize,
    },
    /// The recipe names no images.
    #[error("the recipe names no images: expected a path in data.path")]
    NoData,
    /// The recipe is not the one that the run started with.
    #[error("a resumed run keeps its recipe (all but {}), and in {} {key} is {there} and not {here}: expected that value, or a new run", changeable(), run.display())]
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
    /// The record of a run was changed after it began.
    #[error(
        "{} was changed after the run began: {key} is {here} in it and {there} in {}; expected the record as the run wrote it, or a new run",
        record.display(), checkpoint.display()
    )]
    EditedRecord {
        /// The record.
        record: PathBuf,
        /// The checkpoint.
        checkpoint: PathBuf,
        /// The first key that differs.
        key: String,
        /// Its value in the checkpoint.
        there: String,
        /// Its value in the record.
        here: String,
    },
    /// The global views differ in size, or a view after them is larger.
    #[error(
        "the views are {sizes:?} pixels wide, in the order of the [[views]] blocks: expected {views} of one size first, and none larger after them"
    )]
    ViewSizes {
        /// How many global views the method takes.
        views: usize,
        /// The sizes of all views.
        sizes: Vec<usize>,
    },
    /// The patches of the network do not fill a view.
    #[error(
        "view {view} is {size} pixels wide, and the patches of the network {patch}: expected a multiple of that"
    )]
    ViewPatches {
        /// The view, from 0 through all blocks.
        view: usize,
        /// Its height and width.
        size: usize,
        /// Height and width of a patch.
        patch: usize,
    },
    /// There are no images to evaluate on.
    #[error("there is no {0} set to evaluate on: expected the path of one")]
    NoSet(&'static str),
    /// A class has no training images.
    #[error(
        "the training images have none of class {}: expected at least one of each of the {classes} classes",
        escaped(class)
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
    /// A label that is no class number.
    #[error("label {0} is no class: expected whole numbers from 0")]
    NoClass(i64),
    /// Layers of a projector were asked for, but there is none.
    #[error("there is no projector in {0}: expected a run of a method that has one, or from_head_layer = 0")]
    NoProjector(String),
    /// More layers of a projector were asked for than it has.
    #[error(
        "from_head_layer is {layers}, expected at most {most}, the number of layers in the projector of the run"
    )]
    HeadLayers {
        /// Layers asked for.
        layers: usize,
        /// Layers of the projector.
        most: usize,
    },
    /// The output would overwrite what training starts from.
    #[error("{} is what training starts from: expected another directory for the output", .0.display())]
    SameDirectory(PathBuf),
    /// A directory has no classifier yet.
    #[error("{} holds no finished classifier: expected classifier.safetensors in it, which is written when training ends", .0.display())]
    ClassifierNotFinished(PathBuf),
    /// The options are not those that training started with.
    #[error("a resumed run keeps its options, but in {} {key} is {there} and not {here}: expected the same options, or a new directory", run.display())]
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
    /// The options cannot be written as TOML.
    #[error("the options cannot be written as TOML: {0}")]
    NoRecord(String),
    /// The extension of a feature file is unknown.
    #[error("{} has an unknown extension: expected .csv, .npy, .safetensors or .parquet", .0.display())]
    UnknownEnding(PathBuf),
    /// A name that is neither an image file nor an image of the data set, or an image that cannot be decoded.
    #[error(
        "{} is no image to search with: {reason}; expected an image file, or the name of an image in {}",
        shown(query),
        shown(data)
    )]
    Query {
        /// What was given.
        query: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// The data set.
        data: PathBuf,
    },
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

fn in_processes(processes: usize) -> String {
    match processes {
        0 | 1 => String::new(),
        processes => format!(" in its {processes} processes here"),
    }
}
