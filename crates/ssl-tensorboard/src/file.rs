//! A file of events.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::message::{Event, Image, Kind, SessionLog, Summary, Value, What};
use crate::record::record;

/// What the names of all event files begin with.
const PREFIX: &str = "events.out.tfevents.";
/// What the names of ours end with.
const SUFFIX: &str = ".burn-ssl";

/// Width and height of a PNG are at this place.
const SIZE_OF_PNG: std::ops::Range<usize> = 16..24;

/// A file of events, which are appended and on their way to the disk at once.
#[derive(Debug)]
pub struct EventFile {
    file: File,
}

impl EventFile {
    /// A new file in a folder, which is created if necessary. TensorBoard reads it after the files that are there.
    ///
    /// # Errors
    /// If the folder or the file cannot be created.
    pub fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let name = |seconds: u64| {
            let host = hostname::get().unwrap_or_default().to_string_lossy().into_owned();
            format!("{PREFIX}{seconds:010}.{host}.{}{SUFFIX}", std::process::id())
        };
        let path = folder.join(name(seconds_after(folder)?));
        let mut created = Self { file: OpenOptions::new().append(true).create_new(true).open(path)? };
        created.write(0, What::FileVersion("brain.Event:2".to_owned()))?;
        Ok(created)
    }

    /// Says that a run goes on before `step`: what earlier files say of this step and later ones no longer counts.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn restarts(&mut self, step: u64) -> io::Result<()> {
        self.write(step, What::SessionLog(SessionLog { status: 1 }))
    }

    /// Writes values, in single precision, under their names. A slash in a name puts it into a group.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn scalars<N: Into<String>>(
        &mut self,
        step: u64,
        values: impl IntoIterator<Item = (N, f64)>,
    ) -> io::Result<()> {
        let value =
            |(name, value): (N, f64)| Value { tag: name.into(), kind: Some(Kind::Scalar(value as f32)) };
        self.write(step, What::Summary(Summary { value: values.into_iter().map(value).collect() }))
    }

    /// Writes a picture, the bytes of a PNG.
    ///
    /// # Errors
    /// If these are no PNG, or the file cannot be written.
    pub fn png(&mut self, step: u64, name: &str, png: Vec<u8>) -> io::Result<()> {
        let [width, height] = size(&png).ok_or_else(|| io::Error::other("the picture is no PNG"))?;
        let image = Image { height, width, colorspace: 3, encoded: png };
        let value = Value { tag: name.to_owned(), kind: Some(Kind::Image(image)) };
        self.write(step, What::Summary(Summary { value: vec![value] }))
    }

    fn write(&mut self, step: u64, what: What) -> io::Result<()> {
        let wall_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let event = Event { wall_time, step: step as i64, what: Some(what) };
        self.file.write_all(&record(&event.encode_to_vec()))
    }
}

/// Whether a file of this name is one of ours.
pub fn is_event_file(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// The time, or later than that of all files there: they are read in the order of their names.
fn seconds_after(folder: &Path) -> io::Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let of_file = |entry: io::Result<fs::DirEntry>| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        name.strip_prefix(PREFIX)?.split('.').next()?.parse::<u64>().ok()
    };
    let newest = fs::read_dir(folder)?.filter_map(of_file).max();
    Ok(newest.map_or(now, |newest| now.max(newest.saturating_add(1))))
}

/// Width and height of a PNG.
fn size(png: &[u8]) -> Option<[i32; 2]> {
    let numbers = png.get(SIZE_OF_PNG).filter(|_| png.starts_with(b"\x89PNG\r\n\x1a\n"))?;
    let number = |bytes: &[u8]| Some(i32::from_be_bytes(bytes.try_into().ok()?));
    Some([number(&numbers[..4])?, number(&numbers[4..])?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    /// The events of a file, whose checksums are not looked at.
    fn events(path: &Path) -> Vec<Event> {
        let bytes = fs::read(path).expect("readable");
        let mut rest = &bytes[..];
        let mut found = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().expect("eight bytes")) as usize;
            found.push(Event::decode(&rest[12..12 + length]).expect("an event"));
            rest = &rest[16 + length..];
        }
        found
    }

    #[test]
    fn files_that_follow_each_other_at_once_keep_their_order() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for count in 1..4 {
            let before = names(folder.path());
            EventFile::create(folder.path()).expect("writable");
            let after = names(folder.path());
            assert_eq!((after.len(), &after[..count - 1]), (count, &before[..]), "the newest is the last");
            assert!(after.iter().all(|name| is_event_file(name)), "{after:?}");
        }
    }

    #[test]
    fn events_say_what_was_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut file = EventFile::create(folder.path()).expect("writable");
        file.restarts(3).expect("writable");
        file.scalars(4, [("a", 0.5), ("b/c", -2.0)]).expect("writable");
        drop(file);
        let found = events(&folder.path().join(&names(folder.path())[0]));
        assert_eq!(found[0].what, Some(What::FileVersion("brain.Event:2".into())));
        assert_eq!((found[1].step, &found[1].what), (3, &Some(What::SessionLog(SessionLog { status: 1 }))));
        let Some(What::Summary(Summary { value })) = &found[2].what else { panic!("{found:?}") };
        assert_eq!((found[2].step, value.len(), value[1].kind.clone()), (4, 2, Some(Kind::Scalar(-2.0))));
    }

    #[test]
    fn what_is_no_png_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut file = EventFile::create(folder.path()).expect("writable");
        assert!(file.png(0, "views", b"GIF89a and so on, for some time".to_vec()).is_err());
    }
}
