use std::fs::File;
use std::io;
use std::path::Path;

/// Waits until a file or folder that is open is on disk.
pub(crate) fn flush(open: &File) -> io::Result<()> {
    #[cfg(all(test, target_os = "linux"))]
    tests::note(open)?;
    open.sync_all()
}

/// Waits until the names in a folder are on disk.
pub(crate) fn flush_folder(path: &Path) -> io::Result<()> {
    // Other systems cannot open a folder as a file, and Windows writes renames through.
    if cfg!(unix) { flush(&File::open(path)?) } else { Ok(()) }
}

/// What is flushed, and when. Every flush is noted, and one test is refused one by the system.
#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::cell::RefCell;
    use std::fs;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;
    use crate::{copy, write, write_folder};

    thread_local! {
        /// What this thread has flushed, by the name that it had then.
        static FLUSHED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    }

    /// Notes a file or folder that is about to be flushed.
    pub(super) fn note(open: &File) -> io::Result<()> {
        let name = fs::read_link(format!("/proc/self/fd/{}", open.as_raw_fd()))?;
        FLUSHED.with_borrow_mut(|flushed| flushed.push(name));
        Ok(())
    }

    /// What `act` flushes in a new folder, by paths from there.
    fn flushed(act: impl FnOnce(&Path) -> io::Result<()>) -> Vec<String> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let root = dir.path().canonicalize().expect("it is there");
        FLUSHED.take();
        act(&root).expect("writable");
        let inside =
            |path: PathBuf| path.strip_prefix(&root).expect("below the folder").display().to_string();
        FLUSHED.take().into_iter().map(inside).collect()
    }

    #[test]
    fn a_file_is_flushed_before_it_gets_its_name_and_its_folder_is_too() {
        assert_eq!(flushed(|root| write(&root.join("a"), b"one")), ["a.tmp", ""]);
    }

    #[test]
    fn folders_that_are_made_for_a_file_are_flushed_into_those_above() {
        assert_eq!(flushed(|root| write(&root.join("a/b/c"), b"one")), ["a", "", "a/b/c.tmp", "a/b"]);
    }

    #[test]
    fn a_folder_is_flushed_with_its_files_before_it_gets_its_name_and_after() {
        let fill = |root: &Path| write_folder(&root.join("last"), |folder| write(&folder.join("a"), b"one"));
        assert_eq!(flushed(fill), ["", "last.tmp/a.tmp", "last.tmp", "last.tmp", ""]);
    }

    #[test]
    fn a_copy_is_flushed() {
        let copied = flushed(|root| {
            fs::write(root.join("from"), "bytes")?;
            copy(&root.join("from"), &root.join("to"))
        });
        assert_eq!(copied, ["to"]);
    }

    /// The system refuses to flush `/dev/null`, and takes everything that is written to it.
    #[test]
    fn the_system_is_asked_to_flush_and_its_refusal_is_an_error() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("from"), "bytes").expect("writable");
        for name in ["a.tmp", "to"] {
            symlink("/dev/null", path(name)).expect("writable");
        }
        fs::write(path("to"), "bytes").expect("without a flush it works");
        for refused in [write(&path("a"), b"one"), copy(&path("from"), &path("to"))] {
            assert_eq!(refused.expect_err("no disk").kind(), io::ErrorKind::InvalidInput);
        }
        assert!(!path("a").exists(), "what is not on disk gets no name");
    }
}
