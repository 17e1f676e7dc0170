//! PyTorch's archives, in the form in which the crate `zip` finds the list of their files.
//!
//! PyTorch writes the ends of both kinds of archives, for small ones and for those above 4 GiB. `zip` 9.8 takes the first kind for
//! the whole end, so that it looks for the list 76 bytes too late. It looks again if there is no entry, but there is one if the first
//! has 76 bytes, which it has in files that were saved under a name of 21 letters.

use std::io::{self, Write};
use std::path::Path;

use burn::store::pytorch_reader::PytorchReader;
use tempfile::NamedTempFile;

/// The end of small archives, and its length without a comment; PyTorch writes none.
const END: (&[u8], usize) = (b"PK\x05\x06", 22);
/// What is before it where there is the other end as well.
const LOCATOR: (&[u8], usize) = (b"PK\x06\x07", 20);
/// What an entry of the list of files begins with.
const ENTRY: &[u8] = b"PK\x01\x02";
/// Where the end has the length of the list, and where it has the place.
const LIST: [usize; 2] = [12, 16];

/// A PyTorch file that is open.
pub(super) struct Archive {
    pub(super) reader: PytorchReader,
    /// What is read in its place, if anything; it is removed after the reader.
    _copy: Option<NamedTempFile>,
}

/// Opens a file that has these bytes.
pub(super) fn open(path: &Path, mut bytes: Vec<u8>) -> Result<Archive, String> {
    let Some(place) = misleading(&bytes) else {
        drop(bytes);
        return Ok(Archive { reader: reader(path)?, _copy: None });
    };
    // This says that the other end counts.
    bytes[place..place + 4].fill(0xff);
    let copy = copy(&bytes).map_err(|error| format!("no copy of it can be written: {error}"))?;
    drop(bytes);
    Ok(Archive { reader: reader(copy.path())?, _copy: Some(copy) })
}

fn reader(path: &Path) -> Result<PytorchReader, String> {
    PytorchReader::new(path).map_err(|error| error.to_string())
}

fn copy(bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut copy = NamedTempFile::new()?;
    copy.write_all(bytes)?;
    copy.flush()?;
    Ok(copy)
}

/// Where the end says where the list is, if an entry is found 76 bytes too late.
fn misleading(bytes: &[u8]) -> Option<usize> {
    let end = bytes.len().checked_sub(END.1)?;
    let locator = end.checked_sub(LOCATOR.1)?;
    let has_both_ends = bytes[end..].starts_with(END.0) && bytes[locator..].starts_with(LOCATOR.0);
    let [len, start] = LIST.map(|field| number(&bytes[end + field..]));
    let late = end.checked_sub(len)?;
    let is_entry = |place: usize| bytes.get(place..).is_some_and(|rest| rest.starts_with(ENTRY));
    (has_both_ends && late != start && is_entry(late) && is_entry(start)).then_some(end + LIST[1])
}

/// The first four bytes as a number.
fn number(bytes: &[u8]) -> usize {
    bytes[..4].iter().rev().fold(0, |number, &byte| (number << 8) | usize::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_archives_whose_name_has_21_letters_are_misleading() {
        let files: [(&[u8], bool); 3] = [
            (include_bytes!("../../tests/golden/others/official_barlow_twins.pth"), true),
            (include_bytes!("../../tests/golden/others/official_vicreg.pth"), false),
            // In the format of before there were archives.
            (include_bytes!("../../tests/golden/others/official_dino.pth"), false),
        ];
        for (bytes, expected) in files {
            assert_eq!(misleading(bytes).is_some(), expected);
        }
        assert_eq!([misleading(b""), misleading(b"PK\x05\x06")], [None, None]);
    }
}
