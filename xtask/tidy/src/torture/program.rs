//! The tool as a child process, under a limit on memory and time.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Address space of a child in KiB. A whole tiny run needs a quarter of it.
const MEMORY_KIB: u64 = 4 << 20;
/// After this long a child counts as hanging. A whole tiny run takes a few seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at a child.
const GLANCE: Duration = Duration::from_millis(4);
/// Sets the limit and becomes the program, so that signals reach it.
const LIMITED: &str = r#"ulimit -v "$1" && shift && exec "$@""#;

/// The tool under attack.
pub(super) struct Program {
    path: PathBuf,
}

impl Program {
    pub(super) fn new(path: &Path) -> Result<Self> {
        let found = path.canonicalize();
        Ok(Self { path: found.with_context(|| format!("{} is no program", path.display()))? })
    }

    /// Starts it in a folder.
    pub(super) fn start<A: AsRef<OsStr>>(&self, folder: &Path, args: &[A]) -> Result<Running> {
        let output = || tempfile::tempfile().context("a temporary file cannot be made");
        let (stdout, stderr) = (output()?, output()?);
        let mut command = Command::new("sh");
        command.args(["-c", LIMITED, "sh", &MEMORY_KIB.to_string()]).arg(&self.path).args(args);
        command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE").env("RAYON_NUM_THREADS", "2");
        command.current_dir(folder).stdin(Stdio::null());
        command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        let child = command.spawn().context("sh cannot be started")?;
        let line = line(args.iter().map(|arg| arg.as_ref().to_owned()));
        Ok(Running { child, stdout, stderr, line, started: Instant::now() })
    }
}

/// A process that has been started.
pub(super) struct Running {
    child: Child,
    stdout: File,
    stderr: File,
    line: String,
    started: Instant,
}

impl Running {
    pub(super) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Sends a signal, such as `KILL`, if the process still runs.
    pub(super) fn signal(&mut self, name: &str) -> Result<()> {
        if !self.has_ended()? {
            let (signal, process) = (format!("-{name}"), self.child.id().to_string());
            let mut kill = Command::new("kill");
            kill.args([signal, process]).stderr(Stdio::null()).status().context("kill cannot be started")?;
        }
        Ok(())
    }

    /// Waits for a time, or for the end of the process if that comes earlier.
    pub(super) fn leave(&mut self, time: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < time && !self.has_ended()? {
            thread::sleep(GLANCE.min(time));
        }
        Ok(())
    }

    /// Waits until something holds, or for the end of the process or of patience, if that comes earlier.
    pub(super) fn leave_until(&mut self, holds: impl Fn() -> bool) -> Result<()> {
        while !holds() && self.started.elapsed() < PATIENCE && !self.has_ended()? {
            thread::sleep(GLANCE);
        }
        Ok(())
    }

    pub(super) fn wait(mut self) -> Result<Ended> {
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break Some(status);
            }
            if self.started.elapsed() > PATIENCE {
                self.child.kill()?;
                self.child.wait()?;
                break None;
            }
            thread::sleep(GLANCE);
        };
        let (stdout, stderr) = (text(self.stdout)?, text(self.stderr)?);
        Ok(Ended { status, stdout, stderr, line: self.line, time: self.started.elapsed() })
    }
}

/// What became of a process.
pub(super) struct Ended {
    /// `None` if it was still running at the end of patience.
    pub(super) status: Option<ExitStatus>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    /// The command line, for a shell.
    pub(super) line: String,
    pub(super) time: Duration,
}

impl Ended {
    pub(super) fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    pub(super) fn signal(&self) -> Option<i32> {
        self.status?.signal()
    }

    pub(super) fn code(&self) -> Option<i32> {
        self.status?.code()
    }

    /// The last line of standard error.
    pub(super) fn said(&self) -> &str {
        self.stderr.lines().last().unwrap_or_default()
    }
}

fn text(mut file: File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn line(args: impl Iterator<Item = OsString>) -> String {
    let mut line = String::from("burn-ssl");
    for arg in args {
        let text = arg.to_string_lossy();
        let is_plain =
            !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-_./:=,+".contains(c));
        line += &if is_plain { format!(" {text}") } else { format!(" '{}'", text.escape_debug()) };
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Ended {
        let sh = Program::new(Path::new("/bin/sh")).expect("on every Unix");
        let running = sh.start(Path::new("/"), &["-c", script]).expect("it starts");
        running.wait().expect("it ends")
    }

    #[test]
    fn output_and_the_way_it_ended_are_known() {
        let ended = shell("echo out; echo err >&2; exit 3");
        assert_eq!((ended.code(), ended.signal()), (Some(3), None));
        assert_eq!((ended.stdout.as_str(), ended.said()), ("out\n", "err"));
        assert_eq!(shell("kill -9 $$").signal(), Some(9));
        assert_eq!(ended.line, "burn-ssl -c 'echo out; echo err >&2; exit 3'");
    }

    #[test]
    fn memory_is_limited() {
        assert_eq!(shell("ulimit -v").stdout.trim(), MEMORY_KIB.to_string());
    }

    #[test]
    fn a_signal_reaches_the_program() {
        let sh = Program::new(Path::new("/bin/sh")).expect("on every Unix");
        let mut running = sh.start(Path::new("/"), &["-c", "exec sleep 60"]).expect("it starts");
        running.signal("TERM").expect("it runs");
        assert_eq!(running.wait().expect("it ends").signal(), Some(15));
    }
}
