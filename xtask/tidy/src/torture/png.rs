//! PNG files, good ones and impossible ones.

use std::io::{self, Write};

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Eight bits of red, green and blue; no filter and no interlacing.
const RGB: [u8; 5] = [8, 2, 0, 0, 0];

/// An image of coloured stripes, another one for each index.
pub(super) fn stripes(size: u32, index: u32) -> io::Result<Vec<u8>> {
    let mut rows = Vec::new();
    for y in 0..size {
        rows.push(0); // no filter
        for x in 0..size {
            let wave = (x * (index % 5 + 1) + y * (index % 3 + 1)) * 37 % 120 + index * 11 % 90;
            rows.extend([wave, wave * 2, wave * 3 + index].map(|value| (value % 256) as u8));
        }
    }
    file(size, size, &[], &mut rows.as_slice())
}

/// A file that says it has this size and holds these rows, with more chunks before them.
pub(super) fn file(
    width: u32,
    height: u32,
    more: &[(&[u8; 4], Vec<u8>)],
    rows: &mut dyn io::Read,
) -> io::Result<Vec<u8>> {
    let mut file = SIGNATURE.to_vec();
    chunk(&mut file, b"IHDR", &[&width.to_be_bytes()[..], &height.to_be_bytes(), &RGB].concat());
    for (kind, data) in more {
        chunk(&mut file, kind, data);
    }
    chunk(&mut file, b"IDAT", &deflated(rows)?);
    chunk(&mut file, b"IEND", &[]);
    Ok(file)
}

/// Compressed data as PNG has it.
pub(super) fn deflated(data: &mut dyn io::Read) -> io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    io::copy(data, &mut encoder)?;
    encoder.flush()?;
    encoder.finish()
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    file.extend((data.len() as u32).to_be_bytes());
    file.extend(kind);
    file.extend(data);
    file.extend(crc.sum().to_be_bytes());
}
