//! The fuzz targets on their corpora and on seeded mutations of them: a fixed number, so that every machine tries the same.
#![allow(clippy::unwrap_used)] // Tests.

use std::{fs, path::Path};

use ssl_data::{Generator, SampleKey, fuzzing};

const MUTATIONS: u64 = 3000;

fn corpus(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// One of the files with one to four changes: a byte, a number of four bytes, a cut, or a piece of another file.
fn mutated(files: &[Vec<u8>], random: &mut Generator) -> Vec<u8> {
    let mut bytes = files[random.below(files.len())].clone();
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        match random.below(4) {
            0 => bytes[at] = random.next_u64() as u8,
            1 => {
                let number = [0u32, 1, 0x7FFF_FFFF, u32::MAX][random.below(4)].to_be_bytes();
                bytes[at..].iter_mut().zip(number).for_each(|(byte, new)| *byte = new);
            }
            2 => bytes.truncate(at),
            _ => {
                let other = &files[random.below(files.len())];
                let piece = &other[random.below(other.len())..];
                bytes[at..].iter_mut().zip(piece).for_each(|(byte, &new)| *byte = new);
            }
        }
    }
    bytes
}

fn mutate(files: &[Vec<u8>], mut target: impl FnMut(&[u8])) {
    for sample in 0..MUTATIONS {
        let mut random = SampleKey { seed: 13, epoch: 0, sample }.generator(0, 0);
        target(&mutated(files, &mut random));
    }
}

#[test]
fn no_change_to_an_image_makes_decoding_panic() {
    let files = corpus("tests/fixtures/images");
    let whole = files.iter().filter(|file| fuzzing::decode_image(file)).count();
    assert!(whole > 30, "{whole} files of the corpus are images");
    mutate(&files, |bytes| {
        fuzzing::decode_image(bytes);
    });
}

#[test]
fn no_change_to_an_archive_makes_its_index_panic() {
    let files = corpus("fuzz/corpus/tar");
    let members: Vec<_> = files.iter().map(|file| fuzzing::read_tar(file)).collect();
    assert_eq!(members, [2, 1, 1], "members of gnu.tar, long.tar, pax.tar");
    mutate(&files, |bytes| {
        fuzzing::read_tar(bytes);
    });
}
