use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{ImageSource, files::read_at_most, open_read, positioned::read_exact_at};
use crate::{DataError, Image, ReadError};

/// How the bytes of one image lie in its record.
#[derive(Clone, Copy)]
pub(super) enum Layout {
    /// `[channel, height, width]`.
    Planes,
    /// `[channel, width, height]`.
    TransposedPlanes,
    /// `[height, width]`, one grey channel.
    Grey,
}

/// Images of one size without compression, one after the other in one file or several.
pub(super) struct Records {
    pub(super) layout: Layout,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) parts: Vec<Part>,
}

/// One file of records: `header` bytes, then per image `prefix` bytes and the pixels.
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) header: u64,
    pub(super) prefix: usize,
    pub(super) count: usize,
}

impl ImageSource for Records {
    fn count(&self) -> usize {
        self.parts.iter().map(|part| part.count).sum()
    }

    fn image(&self, index: usize) -> Result<Arc<Image>, ReadError> {
        let (part, record) = self.find(index);
        let mut bytes = vec![0; self.layout.channels() * self.width * self.height];
        let start = part.start_of(record, bytes.len()) + part.prefix as u64;
        read_exact_at(&part.file, &mut bytes, start)?;
        let pixels = self.layout.interleave(&bytes, self.width, self.height);
        Ok(Arc::new(Image::new(self.width, self.height, pixels)))
    }

    fn name(&self, index: usize) -> String {
        let (part, record) = self.find(index);
        format!("record {record} of {}", part.path.display())
    }
}

impl Records {
    fn find(&self, index: usize) -> (&Part, usize) {
        let mut record = index;
        for part in &self.parts {
            if record < part.count {
                return (part, record);
            }
            record -= part.count;
        }
        panic!("image {index} of {}", self.count())
    }
}

impl Part {
    /// Opens a file that holds nothing but records of `prefix` bytes and `pixels` bytes each.
    pub(super) fn open(path: &Path, prefix: usize, pixels: usize) -> Result<Self, DataError> {
        let (file, len) = open_read(path)?;
        let record = (prefix + pixels) as u64;
        if len == 0 || !len.is_multiple_of(record) {
            let reason = format!("{len} bytes, expected a multiple of the {record} bytes of a record");
            return Err(DataError::malformed(path, reason));
        }
        Ok(Self { path: path.into(), file, header: 0, prefix, count: (len / record) as usize })
    }

    /// Byte `place` of the prefix of every record.
    pub(super) fn prefixes(&self, place: u64, pixels: usize) -> Result<Vec<u8>, DataError> {
        let mut bytes = vec![0; self.count];
        for (record, byte) in bytes.chunks_mut(1).enumerate() {
            read_exact_at(&self.file, byte, self.start_of(record, pixels) + place)
                .map_err(|error| DataError::io(&self.path, error))?;
        }
        Ok(bytes)
    }

    fn start_of(&self, record: usize, pixels: usize) -> u64 {
        self.header + record as u64 * (self.prefix + pixels) as u64
    }
}

impl Layout {
    fn channels(self) -> usize {
        match self {
            Self::Planes | Self::TransposedPlanes => 3,
            Self::Grey => 1,
        }
    }

    /// To `[height, width, 3]`.
    fn interleave(self, bytes: &[u8], width: usize, height: usize) -> Vec<u8> {
        let area = width * height;
        let mut pixels = Vec::with_capacity(3 * area);
        for y in 0..height {
            for x in 0..width {
                pixels.extend(match self {
                    Self::Planes => [0, 1, 2].map(|channel| bytes[channel * area + y * width + x]),
                    Self::TransposedPlanes => [0, 1, 2].map(|channel| bytes[channel * area + x * height + y]),
                    Self::Grey => [bytes[y * width + x]; 3],
                });
            }
        }
        pixels
    }
}

/// Bytes of a file of class names (our choice: 65,536 labels of 16 bytes).
const MAX_NAMES: usize = 1 << 20;

/// Lines of a text file beside the data that names the classes, if it is there and covers every label.
pub(super) fn class_names(path: &Path, labels: &[i64]) -> Option<Vec<String>> {
    let text = String::from_utf8(read_at_most(path, MAX_NAMES).ok()?).ok()?;
    let names: Vec<_> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect();
    labels.iter().all(|&label| (label as usize) < names.len()).then_some(names)
}
