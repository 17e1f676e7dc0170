//! Files of PyTorch: pickles that want to run something, or to use up the memory.

use flate2::Crc;

/// What a file is, and what makes its bytes.
pub(super) type Made = (&'static str, fn() -> Vec<u8>);

/// Pickles.
pub(super) const PICKLES: [Made; 10] = [
    ("calls os.system", || b"\x80\x02cos\nsystem\nX\x0d\0\0\0touch escapedq\0\x85R.".to_vec()),
    ("calls os.system by opcodes of protocol 0", || b"cos\nsystem\n(S'touch escaped'\ntR.".to_vec()),
    ("calls builtins.eval", || b"\x80\x02cbuiltins\neval\nX\x04\0\0\x001+1 \x85R.".to_vec()),
    ("calls by STACK_GLOBAL", || b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0dtouch escaped\x85R.".to_vec()),
    ("opens a hundred thousand lists", || {
        [b"\x80\x02".to_vec(), vec![b']'; 100_000], b".".to_vec()].concat()
    }),
    ("marks a million times", || [b"\x80\x02".to_vec(), vec![b'('; 1_000_000], b".".to_vec()].concat()),
    ("doubles a tuple sixty times", || {
        let doubled = b"2\x86".repeat(60);
        [b"\x80\x02]".to_vec(), doubled, b".".to_vec()].concat()
    }),
    ("has a text of 2^63 bytes", || b"\x80\x04\x8d\0\0\0\0\0\0\0\x80abc.".to_vec()),
    ("has a number of 2^31 - 1 bytes", || b"\x80\x02\x8b\xff\xff\xff\x7fabc.".to_vec()),
    ("gets what was never put", || b"\x80\x02j\xff\xff\xff\xffh\x07.".to_vec()),
];

/// An archive of PyTorch with this pickle in it.
pub(super) fn archive(pickle: &[u8]) -> Vec<u8> {
    zip(&[("archive/data.pkl", pickle), ("archive/version", b"3\n"), ("archive/data/0", &[0; 64])])
}

/// A zip archive of files that are not packed.
fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in files {
        let mut crc = Crc::new();
        crc.update(data);
        let length = (data.len() as u32).to_le_bytes();
        // Version, flags, method, time, date, checksum, both lengths, length of the name, no extra field.
        let entry = [
            &[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0][..],
            &crc.sum().to_le_bytes(),
            &length,
            &length,
            &(name.len() as u16).to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        let place = (bytes.len() as u32).to_le_bytes();
        bytes.extend([b"PK\x03\x04", &entry[..], name.as_bytes(), data].concat());
        // No comment, disk 0, no attributes.
        directory.extend([b"PK\x01\x02\x14\0", &entry[..], &[0; 10], &place, name.as_bytes()].concat());
    }
    let count = (files.len() as u16).to_le_bytes();
    let (length, place) = ((directory.len() as u32).to_le_bytes(), (bytes.len() as u32).to_le_bytes());
    let end = [b"PK\x05\x06\0\0\0\0", &count[..], &count, &length, &place, &[0, 0]].concat();
    [bytes, directory, end].concat()
}
