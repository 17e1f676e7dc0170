//! libtorch's c10d with Gloo, as torchrun expects it.
#![allow(unsafe_code)] // calls of C++

use std::ffi::{CStr, CString, c_char};
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::JobError;
use crate::launch::Meeting;
use crate::wire::{Lost, Wire};

/// Seconds that a process waits for the others to come to the meeting, and then for all to be connected (our choice; torch waits as
/// long for a store).
const PATIENCE: i64 = 300;

#[repr(C)]
pub(crate) struct Connection {
    _opaque: [u8; 0],
}

// Keeps the flags with which torch-sys links libtorch, whose functions the bridge calls.
use torch_sys as _;

unsafe extern "C" {
    fn ssl_c10d_connect(
        out: *mut *mut Connection,
        host: *const c_char,
        port: u16,
        rank: i32,
        size: i32,
        serves: bool,
        name: *const c_char,
        seconds: i64,
    ) -> *const c_char;
    fn ssl_c10d_close(connection: *mut Connection);
    fn ssl_c10d_all_gather(
        connection: *mut Connection,
        own: *const u8,
        count: i64,
        all: *mut u8,
    ) -> *const c_char;
    fn ssl_c10d_all_to_all(
        connection: *mut Connection,
        parts: *const u8,
        count: i64,
        received: *mut u8,
    ) -> *const c_char;
    fn ssl_c10d_broadcast(
        connection: *mut Connection,
        values: *mut u8,
        count: i64,
        root: i32,
    ) -> *const c_char;
}

/// The processes of a job of torchrun.
pub(crate) struct Gloo {
    connection: Arc<Connected>,
    rank: usize,
    size: usize,
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connected(NonNull<Connection>);

// SAFETY: c10d's process groups may be called from any thread, and a group makes one call at a time.
unsafe impl Send for Connected {}
// SAFETY: as above.
unsafe impl Sync for Connected {}

impl Connected {
    pub(crate) fn as_ptr(&self) -> *mut Connection {
        self.0.as_ptr()
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        // SAFETY: it is open, and nothing uses it any more.
        unsafe { ssl_c10d_close(self.0.as_ptr()) }
    }
}

impl Gloo {
    #[cfg(feature = "nccl")]
    pub(crate) fn connection(&self) -> &Arc<Connected> {
        &self.connection
    }
}

/// Meets the other processes.
pub(crate) fn connect(meeting: &Meeting) -> Result<Gloo, JobError> {
    connect_within(PATIENCE, meeting)
}

/// Meets the other processes, and waits for them for so many seconds.
fn connect_within(patience: i64, meeting: &Meeting) -> Result<Gloo, JobError> {
    let failed = |reason: String| JobError::Engine { engine: "c10d", reason };
    let text = |text: &str| CString::new(text).map_err(|error| failed(error.to_string()));
    // torchrun starts a failed job again at the same port.
    let attempt = std::env::var("TORCHELASTIC_RESTART_COUNT").unwrap_or_default();
    let (host, name) = (text(&meeting.address)?, text(&format!("burn-ssl-{attempt}"))?);
    let mut connection = std::ptr::null_mut();
    // SAFETY: the texts live through the call, and `connection` is a place for a pointer.
    let error = unsafe {
        ssl_c10d_connect(
            &raw mut connection,
            host.as_ptr(),
            meeting.port,
            meeting.rank as i32,
            meeting.size as i32,
            meeting.serves,
            name.as_ptr(),
            patience,
        )
    };
    answer(error).map_err(|Lost(reason)| failed(reason))?;
    let connection = NonNull::new(connection).ok_or_else(|| failed("no connection".to_owned()))?;
    let connection = Arc::new(Connected(connection));
    Ok(Gloo { connection, rank: meeting.rank, size: meeting.size })
}

/// An answer of the bridge: null, or the first line of a text.
pub(crate) fn answer(error: *const c_char) -> Result<(), Lost> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the bridge returns a text that ends with a zero and lives until its next call on this thread.
    let text = unsafe { CStr::from_ptr(error) }.to_string_lossy();
    Err(Lost(text.lines().next().unwrap_or_default().to_owned()))
}

impl fmt::Debug for Gloo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gloo({} of {})", self.rank, self.size)
    }
}

impl Wire for Gloo {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_gather(&self, own: &[u8], all: &mut [u8]) -> Result<(), Lost> {
        assert_eq!(all.len(), own.len() * self.size, "bytes of all ranks");
        let count = own.len() as i64;
        // SAFETY: the connection is open, and the slices are as long as the bridge is told.
        answer(unsafe {
            ssl_c10d_all_gather(self.connection.as_ptr(), own.as_ptr(), count, all.as_mut_ptr())
        })
    }

    fn all_to_all(&self, parts: &[u8], received: &mut [u8]) -> Result<(), Lost> {
        assert_eq!(received.len(), parts.len(), "bytes sent and received");
        let count = parts.len() as i64;
        // SAFETY: as above.
        answer(unsafe {
            ssl_c10d_all_to_all(self.connection.as_ptr(), parts.as_ptr(), count, received.as_mut_ptr())
        })
    }

    fn broadcast(&self, bytes: &mut [u8], root: usize) -> Result<(), Lost> {
        let count = bytes.len() as i64;
        // SAFETY: as above.
        answer(unsafe {
            ssl_c10d_broadcast(self.connection.as_ptr(), bytes.as_mut_ptr(), count, root as i32)
        })
    }

    /// The others notice that the connection breaks.
    fn abort(&self) {
        std::process::exit(1)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_process_that_does_not_come_is_named_when_the_patience_ends() {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let address = "127.0.0.1".to_owned();
        let start = Instant::now();
        let alone = connect_within(2, &Meeting { rank: 0, size: 3, address, port, serves: true });
        let error = alone.expect_err("nobody else is there").to_string();
        assert!(error.starts_with("c10d does not start: found no rank 1, 2 after 2 s"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    }
}
