//! The records that files of TensorFlow consist of.

/// A record: its length, a checksum of that, the bytes, a checksum of these.
///
/// # Source
/// TensorFlow's `tensorflow/core/lib/io/record_writer.h`.
pub(crate) fn record(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let sums = [masked(&length), masked(bytes)].map(u32::to_le_bytes);
    [&length[..], &sums[0], bytes, &sums[1]].concat()
}

/// CRC-32C, turned and shifted, so that a checksum of bytes with checksums in them stays one.
///
/// # Source
/// TensorFlow's `tensorflow/core/lib/hash/crc32c.h`, `Mask`.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_record_has_the_checksums_of_tensorflow() {
        // What TensorFlow's TFRecordWriter writes for b"".
        let expected = [0, 0, 0, 0, 0, 0, 0, 0, 0x29, 0x03, 0x98, 0x07, 0xd8, 0xea, 0x82, 0xa2];
        assert_eq!(record(b""), expected);
    }
}
