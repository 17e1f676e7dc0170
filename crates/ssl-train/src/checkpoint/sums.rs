//! Checksums of the files of a checkpoint.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The file of the checksums of the other files of a checkpoint.
pub(super) const SUMS: &str = "checksums.json";

/// Bytes read at a time (our choice: a fraction of a model).
const BLOCK: usize = 1 << 20;

/// Length and checksum of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sum {
    bytes: u64,
    /// 64-bit XXH3, in hexadecimal.
    xxh3: String,
}

/// A folder whose files get checksums as they are written.
pub(super) struct SummedFolder<'a> {
    folder: &'a Path,
    sums: BTreeMap<String, Sum>,
}

impl<'a> SummedFolder<'a> {
    pub(super) fn new(folder: &'a Path) -> Self {
        Self { folder, sums: BTreeMap::new() }
    }

    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        ssl_files::write(&self.folder.join(name), bytes)?;
        let sum = Sum { bytes: bytes.len() as u64, xxh3: hex(xxh3_64(bytes)) };
        self.sums.insert(name.to_owned(), sum);
        Ok(())
    }

    /// Writes the checksums.
    pub(super) fn finish(self) -> io::Result<()> {
        let json = serde_json::to_vec_pretty(&self.sums).expect("numbers and names are valid JSON");
        ssl_files::write(&self.folder.join(SUMS), &json)
    }
}

/// Compares the files of a checkpoint with their checksums.
///
/// # Errors
/// What is wrong with the first file that has changed, or which file has no checksum: a list of some files says nothing of
/// the others.
pub(super) fn check(folder: &Path) -> Result<(), String> {
    let bytes = ssl_files::read(&folder.join(SUMS)).map_err(|error| unreadable(SUMS, &error))?;
    let sums: BTreeMap<String, Sum> = serde_json::from_slice(&bytes)
        .map_err(|error| format!("{SUMS} is not a list of checksums: {error}"))?;
    for (name, sum) in &sums {
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(format!(
                "{SUMS} names '{}', which lies outside of the checkpoint",
                ssl_files::escaped(name)
            ));
        }
        let found = sum_of(&folder.join(name)).map_err(|error| unreadable(name, &error))?;
        if found.bytes != sum.bytes {
            return Err(format!("{name} has {} bytes, expected {}", found.bytes, sum.bytes));
        }
        if found != *sum {
            return Err(format!("{name} is not as it was written: its checksum differs"));
        }
    }
    match super::file_names().find(|name| name != SUMS && !sums.contains_key(name)) {
        Some(name) => Err(format!("{SUMS} does not list {name}, expected every file of the checkpoint")),
        None => Ok(()),
    }
}

/// Says why a file cannot be read.
pub(super) fn unreadable(name: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("{name} is missing"),
        _ => format!("{name} cannot be read: {error}"),
    }
}

fn sum_of(path: &Path) -> io::Result<Sum> {
    let (mut file, _) = ssl_files::open_regular(path)?;
    let (mut hash, mut bytes) = (Xxh3::new(), 0);
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(Sum { bytes, xxh3: hex(hash.digest()) }),
            read => {
                hash.update(&block[..read]);
                bytes += read as u64;
            }
        }
    }
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_out_of_the_checkpoint_is_never_opened() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for name in ["/dev/zero", "../a", "a/b", ".."] {
            let sums = serde_json::json!({ name: { "bytes": 0, "xxh3": "00" } }).to_string();
            std::fs::write(dir.path().join(SUMS), sums).expect("writable");
            let error = check(dir.path()).expect_err("outside");
            assert_eq!(error, format!("{SUMS} names '{name}', which lies outside of the checkpoint"));
        }
    }
}
