//! The tool in a pseudo-terminal, and what its screen shows.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::pty::{OpenptyResult, Winsize, openpty};

/// So many that nothing scrolls away.
const ROWS: u16 = 200;

/// A run of the tool in a terminal.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<vt100::Parser>>,
    columns: u16,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts the tool in a terminal of that many columns.
    pub(crate) fn start(columns: u16, args: &[&str]) -> Self {
        let size = Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(Some(&size), None).expect("a pseudo-terminal");
        let end = || slave.try_clone().expect("a file descriptor");
        let mut command = super::command(args);
        command.env("TERM", "xterm-256color").stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().expect("the binary starts");
        // Once the tool ends, nothing holds the other end, and the reader below comes to its end too.
        drop((command, slave));
        let keyboard = File::from(master);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(not_zero(ROWS), not_zero(columns), 0)));
        let reader = Some(reader(keyboard.try_clone().expect("a file descriptor"), Arc::clone(&screen)));
        Self { child, keyboard, screen, columns, reader }
    }

    /// Waits until a row of the screen is as wanted, and gives all rows.
    pub(crate) fn rows_where(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        loop {
            let ended = self.child.try_wait().expect("a child").is_some();
            let rows = self.rows();
            if rows.iter().any(|row| wanted(row)) {
                return rows;
            }
            assert!(!ended, "the tool ended before it showed such a row:\n{}", rows.join("\n"));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Presses Ctrl-C: the terminal echoes it, and the tool gets a signal.
    pub(crate) fn interrupt(&mut self) {
        self.keyboard.write_all(b"\x03").expect("a terminal");
        let kill = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(kill.expect("kill is on every Unix").success());
    }

    /// Waits for the end, and gives what is on the screen then.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<String>) {
        let status = self.child.wait().expect("it ends");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader ends");
        }
        (status, self.rows())
    }

    /// The rows of the screen down to the last that is not empty; one that wraps is two.
    fn rows(&self) -> Vec<String> {
        let screen = self.screen.lock().expect("the reader did not panic");
        let mut rows: Vec<_> =
            screen.screen().rows(0, self.columns).map(|row| row.trim_end().to_owned()).collect();
        rows.truncate(rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1));
        rows
    }
}

/// Shows on the screen whatever the tool writes, until it has ended.
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
