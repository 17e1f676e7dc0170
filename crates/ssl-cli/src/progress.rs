//! The progress bar of a run.

mod line;
mod pace;

use std::io;
use std::time::Duration;

use burn_ssl::Observer;
use burn_ssl::core::Progress;
use burn_ssl::train::{Finding, StepReport};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing::warn;

use crate::interrupt::Stop;
use line::Line;
use pace::Pace;

/// What is shown until the first step is done, which may take long.
const FIRST: &str = "{spinner} first of {len} steps  {elapsed}";
/// Between two frames of the spinner.
const FRAME: Duration = Duration::from_millis(120);
/// The bar takes the columns that the line leaves, so that it never wraps.
const STYLE: &str = "{wide_bar} {msg}";
/// Columns beside the line, at least.
const MARGIN: usize = 2;
/// Columns of a terminal that does not tell.
const COLUMNS: u16 = 80;

/// Shows a run on standard error, if that is a terminal, and passes Ctrl-C on to it.
pub(crate) struct Bar {
    bars: MultiProgress,
    bar: ProgressBar,
    stop: Stop,
    pace: Pace,
    line: Line,
}

impl Bar {
    pub(crate) fn new(bars: &MultiProgress, stop: Stop) -> Self {
        let (bar, line) = (ProgressBar::hidden(), Line::default());
        Self { bars: bars.clone(), bar, stop, pace: Pace::default(), line }
    }

    /// For commands without checkpoints: Ctrl-C ends the process.
    pub(crate) fn deaf(bars: &MultiProgress) -> Self {
        Self::new(bars, Stop::default())
    }

    /// The bar takes the place of the spinner.
    fn show_steps(&self) {
        let style = ProgressStyle::with_template(STYLE).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar.disable_steady_tick();
        self.bar.set_style(style);
    }
}

impl Observer for Bar {
    fn on_start(&mut self, at: Progress) {
        let style = ProgressStyle::with_template(FIRST).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(at.total_steps).with_style(style).with_position(at.step);
        (self.bar, self.pace) = (self.bars.add(bar), Pace::default());
        self.line = Line::default();
        self.bar.enable_steady_tick(FRAME);
    }

    fn on_step(&mut self, report: &StepReport) {
        if self.pace.is_new() {
            self.show_steps();
        }
        self.pace.note(report.at.step, self.bar.elapsed());
        (self.line.at, self.line.left) = (Some(report.at), self.pace.left(report.at.total_steps));
        if let Some(loss) = report.loss {
            self.line.loss = Some(loss);
            self.line.images_per_s = Some(report.images_per_s);
            self.line.data_share = report.data_share;
        }
        if !self.bar.is_hidden() {
            let columns = terminal_size::terminal_size_of(io::stderr()).map_or(COLUMNS, |(width, _)| width.0);
            self.bar.set_message(self.line.text(usize::from(columns).saturating_sub(MARGIN)));
        }
        self.bar.set_position(report.at.step);
    }

    fn on_evaluation(&mut self, _at: Progress, metrics: &[(&'static str, f64)]) {
        let value = |wanted: &str| metrics.iter().find(|(name, _)| *name == wanted).map(|&(_, value)| value);
        self.line.knn = value("knn_top1");
        self.line.linear = value("linear_top1");
        self.line.rank = value("rankme_train").or_else(|| value("rankme"));
    }

    fn on_finding(&mut self, at: Progress, finding: &Finding) {
        let Finding { rule, cause, evidence, remedy, reference, .. } = finding;
        warn!("step {}: {cause} ({rule}: {evidence}); try --set {remedy}; see {reference}", at.step);
    }

    fn stop(&self) -> bool {
        self.stop.is_asked()
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
