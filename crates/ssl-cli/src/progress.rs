//! The progress bar of a run.

mod pace;

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use burn_ssl::Observer;
use burn_ssl::core::Progress;
use burn_ssl::train::StepReport;
use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::interrupt::Stop;
use pace::Pace;

/// What is shown until the first step is done, which may take long.
const FIRST: &str = "{spinner} first of {len} steps  {elapsed}";
/// Between two frames of the spinner.
const FRAME: Duration = Duration::from_millis(120);
/// The bar takes the columns that the rest leaves, so that the line never wraps.
const STYLE: &str = "{wide_bar} {pos}/{len} steps  {msg}  {eta} left";

/// Shows a run on standard error, if that is a terminal, and passes Ctrl-C on to it.
pub(crate) struct Bar {
    bars: MultiProgress,
    bar: ProgressBar,
    stop: Stop,
    pace: Pace,
    /// What the bar says of it.
    left: Arc<Mutex<Option<Duration>>>,
}

impl Bar {
    pub(crate) fn new(bars: &MultiProgress, stop: Stop) -> Self {
        let bar = ProgressBar::hidden();
        Self { bars: bars.clone(), bar, stop, pace: Pace::default(), left: Arc::default() }
    }

    /// For commands without checkpoints: Ctrl-C ends the process.
    pub(crate) fn deaf(bars: &MultiProgress) -> Self {
        Self::new(bars, Stop::default())
    }

    /// The bar takes the place of the spinner.
    fn show_steps(&self) {
        let left = Arc::clone(&self.left);
        let style = ProgressStyle::with_template(STYLE).unwrap_or_else(|_| ProgressStyle::default_bar());
        // The bar's own estimate follows the last seconds, and a step may take minutes.
        let style = style.with_key("eta", move |_: &ProgressState, text: &mut dyn Write| {
            let left = *left.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = match left {
                Some(left) => write!(text, "{:#}", HumanDuration(left)),
                None => text.write_str("?"),
            };
        });
        self.bar.disable_steady_tick();
        self.bar.set_style(style);
    }
}

impl Observer for Bar {
    fn on_start(&mut self, at: Progress) {
        let style = ProgressStyle::with_template(FIRST).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(at.total_steps).with_style(style).with_position(at.step);
        (self.bar, self.pace) = (self.bars.add(bar), Pace::default());
        self.bar.enable_steady_tick(FRAME);
    }

    fn on_step(&mut self, report: &StepReport) {
        if self.pace.is_new() {
            self.show_steps();
        }
        self.pace.note(report.at.step, self.bar.elapsed());
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = self.pace.left(report.at.total_steps);
        self.bar.set_position(report.at.step);
        if let Some(loss) = report.loss {
            self.bar.set_message(format!("loss {loss:.4}  {:.0} images/s", report.images_per_s));
        }
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
