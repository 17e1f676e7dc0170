//! Ctrl-C and termination signals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use indicatif::MultiProgress;

/// Set by the first signal; the second ends the process at once. The answer is printed above the bars.
pub(crate) fn on_signal(bars: &MultiProgress) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let (set, bars) = (Arc::clone(&stop), bars.clone());
    let handler = move || {
        if set.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(crate::INTERRUPTED));
        }
        bars.suspend(|| eprintln!("stopping after this step (press Ctrl-C again to quit without saving)"));
    };
    ctrlc::set_handler(handler).context("cannot listen for Ctrl-C")?;
    Ok(stop)
}
