//! The fuzz targets on their corpora and on seeded mutations of them: a fixed number, so that every machine tries the same.
#![allow(clippy::unwrap_used)] // Tests.

use std::{fs, path::Path};

use ssl_data::{Generator, SampleKey};

/// Every file below a folder, in order.
fn corpus(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// One of the files with one to four changes: a byte, a digit, a number of four bytes, a cut, or a piece of another file.
fn mutated(files: &[Vec<u8>], random: &mut Generator) -> Vec<u8> {
    let mut bytes = files[random.below(files.len())].clone();
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        match random.below(5) {
            0 => bytes[at] = random.next_u64() as u8,
            1 => {
                let number = [0u32, 1, 0x7FFF_FFFF, u32::MAX][random.below(4)].to_be_bytes();
                bytes[at..].iter_mut().zip(number).for_each(|(byte, new)| *byte = new);
            }
            2 => bytes.truncate(at),
            3 => {
                let numbers =
                    ["-1", "0", "1e308", "nan", "9223372036854775807", "4294967296", "\"\"", "[]", "{}"];
                let number = numbers[random.below(numbers.len())].bytes();
                let end = at + bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                bytes.splice(at..end, number);
            }
            _ => {
                let other = &files[random.below(files.len())];
                let piece = &other[random.below(other.len().max(1)).min(other.len())..];
                bytes[at..].iter_mut().zip(piece).for_each(|(byte, &new)| *byte = new);
            }
        }
    }
    bytes
}

/// Runs a target on its corpus, of which it accepts `accepted` files, and on mutations of it.
fn replay(folder: &str, accepted: usize, mutations: u64, target: fn(&[u8]) -> bool) {
    let files = corpus(folder);
    assert_eq!(files.iter().filter(|file| target(file)).count(), accepted, "usable files in {folder}");
    for sample in 0..mutations {
        let mut random = SampleKey { seed: 13, epoch: 0, sample }.generator(0, 0);
        target(&mutated(&files, &mut random));
    }
}

#[test]
fn no_change_to_an_image_makes_decoding_panic() {
    replay("../crates/ssl-data/tests/fixtures/images", 31, 100_000, xtask_fuzz::image);
}

#[test]
fn no_change_to_an_archive_makes_its_index_panic() {
    replay("corpus/tar", 3, 100_000, xtask_fuzz::tar);
}

#[test]
fn no_change_to_a_safetensors_file_makes_its_description_panic() {
    replay("corpus/safetensors", 3, 10_000, xtask_fuzz::safetensors);
}

#[test]
fn no_change_to_a_pytorch_file_makes_its_description_panic() {
    replay("corpus/pth", 2, 10_000, xtask_fuzz::pth);
}

#[test]
fn no_change_to_a_recipe_makes_its_check_panic() {
    replay("corpus/recipe", 3, 20_000, xtask_fuzz::recipe);
}

#[test]
fn no_change_to_metrics_makes_reading_them_panic() {
    replay("corpus/metrics", 2, 100_000, xtask_fuzz::metrics);
}

#[test]
fn no_change_to_a_run_makes_looking_for_its_checkpoint_panic() {
    // The other file has a list of no checksums, which speaks for no file.
    replay("corpus/run", 1, 5_000, xtask_fuzz::run);
}
