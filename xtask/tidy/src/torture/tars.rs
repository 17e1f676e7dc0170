//! Damaged archives.

use std::fs;
use std::io::Write;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use rand::RngExt;

use super::images::damaged;
use super::png;
use super::scene::Scene;
use super::verdict::{Blame, Expected, Fault, words};
use super::{Attack, Chance};

/// Length of a header, and what members are padded to.
const BLOCK: usize = 512;
/// Members of the archive that is damaged.
const MEMBERS: u32 = 6;
/// Where the fields of a header are.
const MODE: usize = 100;
const LENGTH: usize = 124;
const CHECKSUM: usize = 148;
const KIND: usize = 156;
const MAGIC: usize = 257;

/// An archive that is made on purpose, and what is expected of it.
type Made = (&'static str, fn(&Good) -> Result<Archive>);

struct Archive {
    name: &'static str,
    bytes: Vec<u8>,
    expected: Expected,
}

/// An archive that nothing is wrong with.
struct Good {
    bytes: Vec<u8>,
    /// Where the second member begins, and how long its data is.
    second: usize,
    length: usize,
}

const MADE: [Made; 33] = [
    ("nothing wrong", |good| ok(good.bytes.clone())),
    ("cut in the first header", |good| bad(good.bytes[..200].to_vec())),
    ("cut after the first header", |good| bad(good.bytes[..BLOCK].to_vec())),
    ("cut in the first data", |good| bad(good.bytes[..BLOCK + 20].to_vec())),
    ("cut in padding", |good| either(good.bytes[..good.second + BLOCK + good.length + 1].to_vec())),
    ("cut between members", |good| either(good.bytes[..good.second].to_vec())),
    ("cut in a later header", |good| either(good.bytes[..good.second + 100].to_vec())),
    ("cut in later data", |good| either(good.bytes[..good.second + BLOCK + 10].to_vec())),
    ("without the blocks at its end", |good| either(good.bytes[..good.bytes.len() - 2 * BLOCK].to_vec())),
    ("empty", |_| bad(Vec::new())),
    ("zeros alone", |_| bad(vec![0; 4 * BLOCK])),
    ("text", |_| bad(b"no archive, just a few words\n".repeat(100))),
    ("a wrong checksum", |good| {
        let mut bytes = good.bytes.clone();
        bytes[good.second + CHECKSUM] ^= 1;
        either(bytes)
    }),
    ("a length of 8 GiB", |good| either(good.patched(LENGTH, b"77777777777\0"))),
    ("a length of 2^63", |good| either(good.patched(LENGTH, b"\x80\0\0\0\x80\0\0\0\0\0\0\0"))),
    ("a length of 2^64 - 1", |good| {
        either(good.patched(LENGTH, b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"))
    }),
    ("a negative length", |good| either(good.patched(LENGTH, &[0xff; 12]))),
    ("a length that is no number", |good| either(good.patched(LENGTH, b"hello world\0"))),
    ("a length of no bytes", |good| either(good.patched(LENGTH, b"00000000000\0"))),
    ("a mode that is no number", |good| either(good.patched(MODE, b"zzzzzzz\0"))),
    ("another magic", |good| either(good.patched(MAGIC, b"nonsense"))),
    ("a path out of the folder", |good| either(good.patched(0, b"../../escaped.png\0"))),
    ("an absolute path", |good| either(good.patched(0, b"/tmp/torture-escaped.png\0"))),
    ("a name with escapes", |good| either(good.patched(0, b"a\x1b[31m\nerror: b.png\0"))),
    ("a name that is not Unicode", |good| either(good.patched(0, b"\xff\xfe\x80.png\0"))),
    ("a symbolic link", |good| either(good.patched(KIND, b"2"))),
    ("a hard link", |good| either(good.patched(KIND, b"1"))),
    ("a device", |good| either(good.patched(KIND, b"3"))),
    ("a pipe", |good| either(good.patched(KIND, b"6"))),
    ("a sparse file", |good| either(good.patched(KIND, b"S"))),
    ("a long name that is not one", |good| either(good.patched(KIND, b"L"))),
    ("an extended header that is not one", |good| either(good.patched(KIND, b"x"))),
    ("an extended header with a length of its own", |good| {
        let fields = b"22 size=9999999999999\n30 path=../../../../escaped.png\n99999999999999999999 a=b\n";
        let mut builder = tar::Builder::new(Vec::new());
        add(&mut builder, b'x', "pax", fields)?;
        add(&mut builder, b'0', "two/a.png", &png::stripes(16, 3)?)?;
        either([builder.into_inner()?, good.bytes.clone()].concat())
    }),
];

/// Archives under the names of packed ones.
const PACKED: [(&str, &[u8]); 4] = [
    ("set.tar.gz", b"\x1f\x8b\x08"),
    ("set.tar.bz2", b"BZh9"),
    ("set.tar.xz", b"\xfd7zXZ\0"),
    ("set.tar.zst", b"\x28\xb5\x2f\xfd"),
];

pub(super) struct Tars<'a> {
    scene: &'a Scene,
    good: Good,
}

impl<'a> Tars<'a> {
    pub(super) fn new(scene: &'a Scene) -> Result<Self> {
        let mut builder = tar::Builder::new(Vec::new());
        for index in 0..MEMBERS {
            let class = if index % 2 == 0 { "one" } else { "two" };
            add(&mut builder, b'0', &format!("{class}/{index}.png"), &png::stripes(16, index)?)?;
        }
        let bytes = builder.into_inner()?;
        let second = BLOCK + png::stripes(16, 0)?.len().next_multiple_of(BLOCK);
        Ok(Self { scene, good: Good { bytes, second, length: png::stripes(16, 1)?.len() } })
    }

    fn made(&self, number: usize, chance: &mut Chance) -> Result<(&'static str, Archive)> {
        if let Some((case, make)) = MADE.get(number) {
            return Ok((case, make(&self.good)?));
        }
        let listed = PACKED.get(number - MADE.len());
        let (name, start) = listed.copied().unwrap_or(PACKED[chance.random_range(0..PACKED.len())]);
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&self.good.bytes)?;
        let packed = packed.finish()?;
        let expected = Expected::Either(words([name]));
        let archive = |case, name, bytes, expected| Ok((case, Archive { name, bytes, expected }));
        match (listed, chance.random_range(0..8)) {
            (Some(_), _) if name.ends_with("gz") => archive("packed", name, packed, expected),
            (Some(_), _) => {
                let expected = Expected::Refusal(words([name]));
                archive("packed and cut", name, [start, &[7; 400]].concat(), expected)
            }
            (None, 0) => {
                let expected = Expected::Either(words(["set.tar.gz"]));
                archive("packed, with random damage", "set.tar.gz", damaged(&packed, chance), expected)
            }
            (None, 1..3) => {
                let cut = self.good.bytes[..chance.random_range(0..self.good.bytes.len())].to_vec();
                archive("cut", "set.tar", cut, Expected::Either(words(["set.tar"])))
            }
            (None, _) => {
                let bytes = self.headers_damaged(chance);
                archive("with random damage", "set.tar", bytes, Expected::Either(words(["set.tar"])))
            }
        }
    }

    /// Damage to a header, with the checksum made right again more often than not.
    fn headers_damaged(&self, chance: &mut Chance) -> Vec<u8> {
        let start = if chance.random_bool(0.5) { 0 } else { self.good.second };
        let mut header = damaged(&self.good.bytes[start..start + BLOCK], chance);
        header.resize(BLOCK, 0);
        if chance.random_bool(0.7) {
            sign(&mut header);
        }
        let mut bytes = self.good.bytes.clone();
        bytes.splice(start..start + BLOCK, header);
        bytes
    }
}

impl Attack for Tars<'_> {
    fn cases(&self) -> usize {
        MADE.len() + PACKED.len()
    }

    fn attempt(&mut self, number: usize, chance: &mut Chance) -> Result<Vec<Blame>> {
        let (case, Archive { name, bytes, expected }) = self.made(number, chance)?;
        let here = self.scene.here();
        fs::write(here.join(name), bytes)?;
        let ended = self.scene.run(&self.scene.embedding(&here.join(name)))?;
        let mut blames: Vec<Blame> =
            ended.judge(&format!("an archive, {case}"), &expected).into_iter().collect();
        let beside = |path: &str| here.join(path).exists();
        if beside("../../escaped.png") || beside("/tmp/torture-escaped.png") || beside("one") || beside("two")
        {
            blames.push(ended.blame(Fault::Silent, format!("an archive, {case}: a member was unpacked")));
        }
        Ok(blames)
    }
}

impl Good {
    /// The archive with other bytes in the header of its second member, whose checksum is right.
    fn patched(&self, place: usize, with: &[u8]) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let header = &mut bytes[self.second..self.second + BLOCK];
        header[place..place + with.len()].copy_from_slice(with);
        sign(header);
        bytes
    }
}

fn ok(bytes: Vec<u8>) -> Result<Archive> {
    Ok(Archive { name: "set.tar", bytes, expected: Expected::Success })
}

fn bad(bytes: Vec<u8>) -> Result<Archive> {
    Ok(Archive { name: "set.tar", bytes, expected: Expected::Refusal(words(["set.tar"])) })
}

fn either(bytes: Vec<u8>) -> Result<Archive> {
    Ok(Archive { name: "set.tar", bytes, expected: Expected::Either(words(["set.tar"])) })
}

fn add(builder: &mut tar::Builder<Vec<u8>>, kind: u8, path: &str, data: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path)?;
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_cksum();
    builder.append(&header, data).context("memory takes everything")
}

/// Writes the checksum of a header into it.
fn sign(header: &mut [u8]) {
    header[CHECKSUM..CHECKSUM + 8].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[CHECKSUM..CHECKSUM + 8].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
