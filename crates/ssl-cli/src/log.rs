//! Log lines on standard error, beside a progress bar.

use std::fmt;
use std::io::{self, Write};

use burn_ssl::escaped;
use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
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
    let filter = filter(rank, EnvFilter::try_from_default_env().ok());
    let bars = bars.clone();
    let lines =
        tracing_subscriber::fmt().event_format(Plain { rank }).with_writer(move || AboveBars(bars.clone()));
    lines.with_env_filter(filter).init();
}

/// What a process logs, where `RUST_LOG` may have asked for something. Of the others in a job, it can only make less: what it adds
/// would be said as often as there are processes.
fn filter(rank: usize, asked: Option<EnvFilter>) -> EnvFilter {
    let is_quiet =
        |asked: &EnvFilter| asked.max_level_hint().is_some_and(|level| level <= LevelFilter::ERROR);
    match asked {
        Some(asked) if rank == 0 || is_quiet(&asked) => asked,
        _ if rank == 0 => EnvFilter::new(FILTER),
        _ => EnvFilter::new(FILTER_OF_OTHERS),
    }
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
        // Names of files and directories may hold anything, line breaks included.
        writeln!(writer, "{}", wrap::for_terminal(io::stderr(), &escaped(&line)))
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_asked_for_is_said_by_the_first_process_alone() {
        let most = |rank, asked: Option<&str>| {
            let asked = asked.map(|asked| EnvFilter::try_new(asked).expect("a filter"));
            filter(rank, asked).max_level_hint()
        };
        assert_eq!(most(0, None), Some(LevelFilter::INFO));
        assert_eq!(most(0, Some("trace")), Some(LevelFilter::TRACE));
        assert_eq!(most(0, Some("off")), Some(LevelFilter::OFF));
        assert_eq!(most(1, None), Some(LevelFilter::WARN), "images that only it cannot read");
        assert_eq!(most(1, Some("trace")), Some(LevelFilter::WARN));
        assert_eq!(most(1, Some("error")), Some(LevelFilter::ERROR));
        assert_eq!(most(1, Some("off")), Some(LevelFilter::OFF));
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_a_name() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(Plain { rank: 2 })
            .with_writer(move || writer.clone())
            .finish();
        let name = "runs/a\nerror: b\u{1b}[31m\u{202e}c";
        tracing::subscriber::with_default(subscriber, || tracing::warn!("{name} is damaged"));
        let bytes = lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let said = String::from_utf8(bytes).expect("text");
        let line = said.strip_suffix('\n').expect("a line");
        assert!(line.starts_with("warning: rank 2: runs/a\\nerror: b"), "{line:?}");
        assert!(line.ends_with(" is damaged") && line.contains("\\u{202e}c"), "{line:?}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}
