use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Opens a regular file for reading, and tells its length in bytes. Opening a pipe would wait for its other end, and a
/// device may never end.
///
/// # Errors
/// If it is a folder, a pipe, a socket or a device, and the error of the operating system.
pub fn open_regular(path: &Path) -> io::Result<(File, u64)> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        let found = if metadata.is_dir() { "a folder" } else { "a pipe, socket or device" };
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {found}, expected a file")));
    }
    Ok((File::open(path)?, metadata.len()))
}

/// All bytes of a regular file; one that grows meanwhile is read up to the length that it had.
///
/// # Errors
/// Those of [`open_regular`], and of reading; if the system grants no memory for the file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let (file, len) = open_regular(path)?;
    let mut bytes = room_for(len)?;
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An empty buffer for a file, if the system grants one: an allocation that fails would abort the process.
fn room_for(len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match usize::try_from(len).map(|len| bytes.try_reserve_exact(len)) {
        Ok(Ok(())) => Ok(bytes),
        _ => {
            let error = format!("it has {len} bytes, more than fit into memory");
            Err(io::Error::new(io::ErrorKind::OutOfMemory, error))
        }
    }
}

/// The text of a regular file.
///
/// # Errors
/// Those of [`read`], and if it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let no_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8");
    String::from_utf8(read(path)?).map_err(no_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_bytes_or_text_and_a_folder_is_not() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("a");
        fs::write(&path, b"bytes").expect("writable");
        assert_eq!(read(&path).expect("readable"), b"bytes");
        assert_eq!(read_text(&path).expect("text"), "bytes");
        fs::write(&path, [0xff]).expect("writable");
        assert_eq!(read_text(&path).expect_err("no text").to_string(), "it is no text in UTF-8");
        let error = read(dir.path()).expect_err("a folder").to_string();
        assert_eq!(error, "it is a folder, expected a file");
    }

    #[test]
    fn a_file_that_is_larger_than_memory_is_not_read() {
        let error = room_for(u64::MAX).expect_err("no address space has that many").to_string();
        assert_eq!(error, "it has 18446744073709551615 bytes, more than fit into memory");
        assert!(room_for(1000).is_ok_and(|bytes| bytes.capacity() >= 1000));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_or_a_device_is_never_opened() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let [pipe, link] = ["pipe", "link"].map(|name| dir.path().join(name));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
        std::os::unix::fs::symlink("/dev/zero", &link).expect("writable");
        for path in [pipe, link] {
            let error = read(&path).expect_err("it has no end").to_string();
            assert_eq!(error, "it is a pipe, socket or device, expected a file");
        }
    }
}
