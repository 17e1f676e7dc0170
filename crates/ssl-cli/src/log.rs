//! Log lines on standard error, beside a progress bar.

use std::fmt;
use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::wrap;

/// What is logged unless `RUST_LOG` says otherwise: information from our crates, errors from all others.
const FILTER: &str = "error,burn_ssl=info,ssl_tasks=info,ssl_data=info,ssl_train=info,ssl_eval=info";

/// What the other processes of a job log: what only they know of, images that cannot be read.
const FILTER_OF_OTHERS: &str = "error,ssl_data::dataset::unreadable=warn";

/// Logs to standard error, above the bars; lines of other ranks than 0 say so.
pub(crate) fn init(bars: &MultiProgress, rank: usize) {
    let filter = if rank == 0 { FILTER } else { FILTER_OF_OTHERS };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(filter));
    let bars = bars.clone();
    let lines =
        tracing_subscriber::fmt().event_format(Plain { rank }).with_writer(move || AboveBars(bars.clone()));
    lines.with_env_filter(filter).init();
}

/// One line per event, without time and place.
struct Plain {
    rank: usize,
}

impl<S, N> FormatEvent<S, N> for Plain
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        if *event.metadata().level() <= tracing::Level::WARN {
            line += "warning: ";
        }
        if self.rank > 0 {
            line += &format!("rank {}: ", self.rank);
        }
        context.field_format().format_fields(Writer::new(&mut line), event)?;
        writeln!(writer, "{}", wrap::for_terminal(io::stderr(), &line))
    }
}

struct AboveBars(MultiProgress);

impl Write for AboveBars {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
