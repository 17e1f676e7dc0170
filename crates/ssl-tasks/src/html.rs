//! A page about runs: what they learned, and what is in their data.

mod accuracy;
mod curves;
mod facts;
mod looks;
mod sample;
mod several;
mod told;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Serialize;
use ssl_core::{ConfigError, DeviceSpec, Encoder, Init, LossScale};
use ssl_report::{Page, room};
use ssl_tensorboard::EventFile;
use ssl_train::{RunDir, Summary};
use tracing::{info, warn};

use crate::images::RunData;
use crate::{EncoderSource, Error, Methods, PretrainOptions, Recipe, files, load_encoder, overlap};
use told::Told;

/// Images of the sample if these are small (our choice: a second or two on a CPU).
const IMAGES: usize = 512;
/// Images of the sample if they are larger than [`SMALL`] pixels a side.
const LARGE_IMAGES: usize = 192;
/// See [`LARGE_IMAGES`].
const SMALL: usize = 64;

/// Options of [`html_report`].
#[derive(Clone, Debug, PartialEq)]
pub struct HtmlReportOptions {
    /// The run directories: of one run, what its features say about its images is shown; several are compared.
    pub runs: Vec<PathBuf>,
    /// The file to write. Default: `report.html` in the directory of a single run, which may be there; else in the current one.
    pub out: Option<PathBuf>,
    /// Images of the sample, at most 2,000. Default: 512, or 192 if they are larger than 64 pixels.
    pub images: Option<usize>,
    /// Whether an existing file may be overwritten. Default: no.
    pub overwrite: bool,
    /// Threads that decode; 0, the default, means one per core.
    pub workers: usize,
    /// The device. Default `flex`.
    pub device: DeviceSpec,
}

impl HtmlReportOptions {
    /// A page about some runs.
    pub fn new(runs: Vec<PathBuf>) -> Self {
        Self { runs, out: None, images: None, overwrite: false, workers: 0, device: DeviceSpec::Flex }
    }

    fn check(&self) -> Result<(), Error> {
        ConfigError::check(!self.runs.is_empty(), "runs", 0, "at least 1")?;
        let images = self.images.unwrap_or(1);
        ConfigError::check((1..=room::IMAGES).contains(&images), "images", images, "1 to 2000")?;
        match (&self.out, &self.runs[..]) {
            // A page in the directory of its run is the run's own.
            (None, [_]) => Ok(()),
            _ => files::check_free(&self.file(), self.overwrite),
        }
    }

    /// The file to write.
    fn file(&self) -> PathBuf {
        match (&self.out, &self.runs[..]) {
            (Some(out), _) => out.clone(),
            (None, [run]) => run.join("report.html"),
            (None, _) => "report.html".into(),
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HtmlReport {
    /// The runs.
    pub runs: Vec<PathBuf>,
    /// The file.
    pub out: PathBuf,
    /// Its size.
    pub bytes: usize,
}

/// Writes a page about runs, one HTML file that needs no network: verdict, curves, accuracies, views, a map of the features,
/// neighbours, clusters, odd images, what the network looks at, and where it all comes from. Several runs are compared.
///
/// What cannot be read any more, such as images that are gone, is left out, and the page says so. Of a run with an encoder from
/// outside, that is everything that needs the network: [`html_report_with`] is given it.
///
/// # Errors
/// If there is no run, the file must not be overwritten, or the device cannot be used.
pub fn html_report(methods: &impl Methods, options: &HtmlReportOptions) -> Result<HtmlReport, Error> {
    options.check()?;
    let page = match &options.runs[..] {
        [run] => {
            let (device, told) = (options.device.open()?, Told::read(methods, run)?);
            let found = EncoderSource::Run(run.into()).find(methods);
            let encoder = found.and_then(|found| found.open(told.recipe.data.image_size, &device));
            of_run(&told, encoder, &device, options)?
        }
        runs => several::page(runs)?,
    };
    write(&page, options)
}

/// [`html_report`] about one finished run of [`pretrain_encoder`](crate::pretrain_encoder).
///
/// `encoder` makes the network as it did for the run; its weights are then read from `encoder.safetensors`.
///
/// # Errors
/// Those of [`html_report`], and if there are several runs, the run is not finished, or the network does not have the tensors of the
/// file.
pub fn html_report_with<E: Encoder>(
    methods: &impl Methods,
    encoder: impl FnOnce(&mut Init) -> E,
    options: &HtmlReportOptions,
) -> Result<HtmlReport, Error> {
    let expected = "1, the run whose network is given: html_report compares several";
    ConfigError::check(options.runs.len() == 1, "runs", options.runs.len(), expected)?;
    options.check()?;
    let run = &options.runs[0];
    let (device, told) = (options.device.open()?, Told::read(methods, run)?);
    let encoder = load_encoder(&RunDir::open(run)?, encoder, &device)?;
    write(&of_run(&told, Ok(encoder), &device, options)?, options)
}

/// Writes a page where the options say.
fn write(page: &Page, options: &HtmlReportOptions) -> Result<HtmlReport, Error> {
    let (out, html) = (options.file(), render(page)?);
    files::write(&out, html.as_bytes(), true)?;
    Ok(HtmlReport { runs: options.runs.clone(), out, bytes: html.len() })
}

/// The page about a run, whose encoder is on `device` if it could be read.
fn of_run<E: Encoder>(
    told: &Told,
    encoder: Result<E, Error>,
    device: &Device,
    options: &HtmlReportOptions,
) -> Result<Page, Error> {
    let mut page = told.page(None)?;
    match RunData::open(&told.recipe).and_then(|data| Ok((data, encoder?))) {
        Ok((data, encoder)) => {
            let (encoder, data) = (&encoder, &data);
            let (images, workers, read) = (options.images, options.workers, overlap::READ);
            Seen { encoder, data, device, images, workers, read }.add_to(&mut page, told);
        }
        Err(error) => {
            let reason = format!("The images of the run are not shown: {error}.");
            warn!("{reason}");
            page.data.push(reason);
        }
    }
    Ok(page)
}

/// A run that has just ended.
pub(crate) struct Ended<'a, E> {
    pub(crate) run: &'a RunDir,
    pub(crate) recipe: &'a Recipe,
    pub(crate) data: &'a RunData,
    /// On `device`, which is without gradients.
    pub(crate) encoder: &'a E,
    pub(crate) device: &'a Device,
    pub(crate) summary: &'a Summary,
    pub(crate) scale: LossScale,
    pub(crate) options: &'a PretrainOptions,
}

impl<E: Encoder> Ended<'_, E> {
    /// Writes the page of the run, if it is to have one; the run is as good without it.
    pub(crate) fn write_report(&self) {
        if !self.options.report {
            return;
        }
        // An encoder from outside may panic where no training and no evaluation has called it.
        match catch_unwind(AssertUnwindSafe(|| self.try_to_write())) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!("no report: {error}"),
            Err(_) => warn!("no report: the encoder cannot be looked at"),
        }
    }

    fn try_to_write(&self) -> Result<(), Error> {
        let told = Told::of(self)?;
        let mut page = told.page(Some(self.options.device))?;
        let (images, workers) = (None, self.recipe.data.workers);
        let (encoder, data, device) = (self.encoder, self.data, self.device);
        Seen { encoder, data, device, images, workers, read: 0 }.add_to(&mut page, &told);
        self.run.check_there()?;
        files::write(&self.run.report(), render(&page)?.as_bytes(), true)
    }
}

/// Writes the page of a run that ended early, if it is to have one, with all that needs neither the network nor images. What keeps it
/// from being written is a warning: why the run ended matters more.
pub(crate) fn write_unfinished(run: &RunDir, options: &PretrainOptions) {
    if !options.report {
        return;
    }
    let written = Told::of_unfinished(run.path()).and_then(|told| {
        let page = told.page(Some(options.device))?;
        run.check_there()?;
        files::write(&run.report(), render(&page)?.as_bytes(), true)
    });
    if let Err(error) = written {
        warn!("no report: {error}");
    }
}

/// Shows the sheet of views in TensorBoard; without it, a run is as good.
pub(crate) fn show_views(run: &RunDir, sheet: &Path) {
    let shown = std::fs::read(sheet).and_then(|png| EventFile::create(&run.events())?.png(0, "views", png));
    if let Err(error) = shown {
        warn!("the views are not shown in TensorBoard: {error}");
    }
}

fn render(page: &Page) -> Result<String, Error> {
    page.render().map_err(|error| Error::Page(error.to_string()))
}

/// A network and images to look at with it.
struct Seen<'a, E> {
    encoder: &'a E,
    data: &'a RunData,
    device: &'a Device,
    /// Images of the sample, if that was asked for.
    images: Option<usize>,
    /// 0 means one per core.
    workers: usize,
    /// Images that are read only to find out whether test images are among the training images.
    read: usize,
}

impl<E: Encoder> Seen<'_, E> {
    /// Adds what the network and the images say. What cannot be shown is named on the page.
    fn add_to(&self, page: &mut Page, told: &Told) {
        let recipe = &told.recipe;
        let or_note = |what: &str, done: Result<(), Error>, page: &mut Page| {
            if let Err(error) = done {
                info!("the report lacks {what}: {error}");
                page.data.push(format!("{what} could not be shown: {error}."));
            }
        };
        let measured = accuracy::Measured::of(recipe, self.data, self.device, &told.baselines());
        page.accuracy = Some(accuracy::table(told, &measured));
        let done = self.add_gallery(page, recipe);
        or_note("The sample of images", done, page);
        let done = self.add_looks(page, recipe);
        or_note("What the network looks at", done, page);
        let done = self.add_shared(page, recipe);
        or_note("Test images among the training images", done, page);
        page.facts.insert(1, facts::of_data(recipe, self.data));
        page.facts[0].values.extend(facts::of_encoder(self.encoder));
    }
}
