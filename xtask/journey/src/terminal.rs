//! A program in a pseudo-terminal, and what its screen shows.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::pty::{OpenptyResult, Winsize, openpty};

/// So many that nothing scrolls away.
const ROWS: u16 = 400;
/// Between two looks at the program.
const LOOK: Duration = Duration::from_millis(5);

/// A program that runs in a terminal.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<vt100::Parser>>,
    columns: u16,
    reader: Option<JoinHandle<()>>,
    start: Instant,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// The rows of the screen down to the last that is not empty; a line that is wider than the terminal is several.
    pub rows: Vec<String>,
    /// The rows that the terminal broke, because the line went on.
    pub broken: Vec<String>,
    /// How long it ran.
    pub time: Duration,
    /// The largest resident set of the process in bytes, on Linux.
    pub peak: Option<u64>,
}

impl Terminal {
    /// Starts a program in a terminal of that many columns.
    ///
    /// # Panics
    /// If there is no pseudo-terminal, or the program cannot be started.
    pub fn start(columns: u16, mut command: Command) -> Self {
        let size = Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(Some(&size), None).expect("a pseudo-terminal");
        let end = || slave.try_clone().expect("a file descriptor");
        command.env("TERM", "xterm-256color").stdin(end()).stdout(end()).stderr(end());
        let start = Instant::now();
        let child = command.spawn().expect("the program starts");
        // Once the program ends, nothing holds the other end, and the reader below comes to its end too.
        drop((command, slave));
        let keyboard = File::from(master);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(not_zero(ROWS), not_zero(columns), 0)));
        let reader = Some(reader(keyboard.try_clone().expect("a file descriptor"), Arc::clone(&screen)));
        Self { child, keyboard, screen, columns, reader, start }
    }

    /// Waits until a row of the screen is as wanted, and gives all rows.
    ///
    /// # Panics
    /// If the program ends before.
    pub fn rows_where(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        loop {
            let ended = self.child.try_wait().expect("a child").is_some();
            let rows = self.rows();
            if rows.iter().any(|row| wanted(row)) {
                return rows;
            }
            assert!(!ended, "the program ended before it showed such a row:\n{}", rows.join("\n"));
            std::thread::sleep(LOOK);
        }
    }

    /// Presses Ctrl-C: the terminal echoes it, and the program gets a signal.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn interrupt(&mut self) {
        self.keyboard.write_all(b"\x03").expect("a terminal");
        let kill = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(kill.expect("kill is on every Unix").success());
    }

    /// Waits for the end, and gives what is on the screen then.
    ///
    /// # Panics
    /// If the reader of the screen did.
    pub fn end(mut self) -> Ended {
        let mut peak = None;
        let status = loop {
            // After its end, a process has no memory that could be asked for.
            peak = peak.max(resident_peak(self.child.id()));
            match self.child.try_wait().expect("a child") {
                Some(status) => break status,
                None => std::thread::sleep(LOOK),
            }
        };
        let time = self.start.elapsed();
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader ends");
        }
        Ended { status, rows: self.rows(), broken: self.broken(), time, peak }
    }

    /// The rows of the screen down to the last that is not empty.
    fn rows(&self) -> Vec<String> {
        let screen = self.screen.lock().expect("the reader did not panic");
        let mut rows: Vec<_> =
            screen.screen().rows(0, self.columns).map(|row| row.trim_end().to_owned()).collect();
        rows.truncate(rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1));
        rows
    }

    fn broken(&self) -> Vec<String> {
        let rows = self.rows();
        let screen = self.screen.lock().expect("the reader did not panic");
        let is_broken = |(row, _): &(u16, String)| screen.screen().row_wrapped(*row);
        (0..).zip(rows).filter(is_broken).map(|(_, row)| row).collect()
    }
}

/// The largest resident set that a running process has had, in bytes.
fn resident_peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Shows on the screen whatever the program writes, until it has ended.
fn reader(mut output: File, screen: Arc<Mutex<vt100::Parser>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        // Linux reports the end as an error, other systems as no bytes.
        while let Ok(count @ 1..) = output.read(&mut bytes) {
            screen.lock().expect("no panic").process(&bytes[..count]);
        }
    })
}

fn not_zero(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).expect("a terminal has rows and columns")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_line_that_is_wider_than_the_terminal_is_told_from_one_that_fills_it() {
        let full = Terminal::start(10, shell("echo 0123456789; echo next")).end();
        assert_eq!((full.rows, full.broken), (vec!["0123456789".to_owned(), "next".to_owned()], vec![]));
        let wide = Terminal::start(10, shell("echo 0123456789x")).end();
        assert_eq!(wide.broken, ["0123456789"]);
        assert!(wide.status.success());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_memory_of_a_program_is_known_once_it_has_ended() {
        let ended = Terminal::start(80, shell("sleep 0.1; exit 3")).end();
        assert_eq!(ended.status.code(), Some(3));
        assert!(ended.peak.is_some_and(|bytes| bytes > 100 << 10), "{ended:?}");
        assert!(ended.time >= Duration::from_millis(100));
    }
}
