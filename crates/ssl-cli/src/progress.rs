//! The progress bar of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn_ssl::Observer;
use burn_ssl::core::Progress;
use burn_ssl::train::StepReport;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

const STYLE: &str = "{bar:32} {pos}/{len} steps  {msg}  {eta} left";

/// Shows a run on standard error, if that is a terminal, and passes Ctrl-C on to it.
pub(crate) struct Bar {
    bars: MultiProgress,
    bar: ProgressBar,
    stop: Arc<AtomicBool>,
}

impl Bar {
    pub(crate) fn new(bars: &MultiProgress, stop: Arc<AtomicBool>) -> Self {
        Self { bars: bars.clone(), bar: ProgressBar::hidden(), stop }
    }

    /// For commands without checkpoints: Ctrl-C ends the process.
    pub(crate) fn deaf(bars: &MultiProgress) -> Self {
        Self::new(bars, Arc::default())
    }
}

impl Observer for Bar {
    fn on_start(&mut self, at: Progress) {
        let style = ProgressStyle::with_template(STYLE).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(at.total_steps).with_style(style).with_position(at.step);
        self.bar = self.bars.add(bar);
        self.bar.reset_eta();
    }

    fn on_step(&mut self, report: &StepReport) {
        self.bar.set_position(report.at.step);
        if let Some(loss) = report.loss {
            self.bar.set_message(format!("loss {loss:.4}  {:.0} images/s", report.images_per_s));
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
