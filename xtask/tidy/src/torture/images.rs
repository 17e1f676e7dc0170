//! Damaged images, and paths that are no images.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rand::RngExt;

use super::png;
use super::scene::{Scene, copy, text};
use super::verdict::{Blame, Expected, Words, words};
use super::{Attack, Chance};

/// Small images of every format, and of kinds that decoders treat differently.
const SAMPLES: [(&str, &[u8]); 17] = [
    ("alpha.png", include_bytes!("../../samples/alpha.png")),
    ("animated.gif", include_bytes!("../../samples/animated.gif")),
    ("animated.png", include_bytes!("../../samples/animated.png")),
    ("animated.webp", include_bytes!("../../samples/animated.webp")),
    ("baseline.jpg", include_bytes!("../../samples/baseline.jpg")),
    ("cmyk.jpg", include_bytes!("../../samples/cmyk.jpg")),
    ("deep.png", include_bytes!("../../samples/deep.png")),
    ("deflate.tiff", include_bytes!("../../samples/deflate.tiff")),
    ("gray.jpg", include_bytes!("../../samples/gray.jpg")),
    ("lossless.webp", include_bytes!("../../samples/lossless.webp")),
    ("lossy.webp", include_bytes!("../../samples/lossy.webp")),
    ("palette.png", include_bytes!("../../samples/palette.png")),
    ("plain.bmp", include_bytes!("../../samples/plain.bmp")),
    ("plain.png", include_bytes!("../../samples/plain.png")),
    ("plain.ppm", include_bytes!("../../samples/plain.ppm")),
    ("plain.tiff", include_bytes!("../../samples/plain.tiff")),
    ("progressive.jpg", include_bytes!("../../samples/progressive.jpg")),
];

/// What is done to a sample, on the list.
#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    Emptied,
    HeaderAlone,
    Halved,
    LastByteLost,
    OtherExtension,
}

const CHANGES: [Change; 6] = [
    Change::Nothing,
    Change::Emptied,
    Change::HeaderAlone,
    Change::Halved,
    Change::LastByteLost,
    Change::OtherExtension,
];

/// A folder of images that is made on purpose.
type Made = (&'static str, fn(&Path) -> Result<Expected>);

const MADE: [Made; 19] = [
    ("20,000 x 20,000 pixels of one colour", |folder| bomb(folder, 20_000, 20_000, 60_001 * 20_000)),
    ("1 x 100,000 pixels", |folder| bomb(folder, 1, 100_000, 400_000)),
    ("100,000 x 1 pixels", |folder| bomb(folder, 100_000, 1, 300_001)),
    ("0 x 5 pixels", |folder| bomb(folder, 0, 5, 5)),
    ("5 x 0 pixels", |folder| bomb(folder, 5, 0, 0)),
    ("2^31 - 1 pixels a side", |folder| bomb(folder, 0x7fff_ffff, 0x7fff_ffff, 100)),
    ("2^32 - 1 pixels a side", |folder| bomb(folder, u32::MAX, u32::MAX, 100)),
    ("a colour profile that unpacks to 2 GB", |folder| profile(folder, 2 << 30)),
    ("a JPEG that says 65,535 x 65,535", |folder| {
        // Height and width follow the length and the precision in the frame header.
        let mut bytes = SAMPLES[4].1.to_vec();
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).context("a frame header")?;
        bytes[frame + 5..frame + 9].fill(0xff);
        write(folder, "huge.jpg", &bytes)?;
        Ok(Expected::Either(words(["huge.jpg"])))
    }),
    ("a pipe", |folder| {
        pipe(&folder.join("pipe.png"))?;
        Ok(Expected::Refusal(words(["picture"])))
    }),
    ("a pipe beside an image", |folder| {
        pipe(&folder.join("pipe.png"))?;
        write(folder, "plain.png", SAMPLES[13].1)?;
        Ok(Expected::Either(words(["pipe.png"])))
    }),
    ("a link to itself", |folder| {
        symlink("loop.png", folder.join("loop.png"))?;
        write(folder, "plain.png", SAMPLES[13].1)?;
        Ok(Expected::Either(words(["loop.png"])))
    }),
    ("a loop of folders", |folder| {
        fs::create_dir(folder.join("inner"))?;
        symlink("..", folder.join("inner/outer"))?;
        write(folder, "inner/plain.png", SAMPLES[13].1)?;
        Ok(Expected::Either(words(["picture"])))
    }),
    ("a link to /dev/zero", |folder| {
        symlink("/dev/zero", folder.join("zero.png"))?;
        Ok(Expected::Refusal(words(["picture"])))
    }),
    ("a link to nothing", |folder| {
        symlink("nothing", folder.join("gone.png"))?;
        write(folder, "plain.png", SAMPLES[13].1)?;
        Ok(Expected::Either(words(["gone.png"])))
    }),
    ("a folder named like an image", |folder| {
        fs::create_dir(folder.join("folder.png"))?;
        Ok(Expected::Refusal(words(["picture"])))
    }),
    ("names with line breaks and escapes", |folder| {
        for name in ["a\nerror: b.png", "a\x1b[31mb.png", "a\u{7f}\u{85}b.png", "a\rb\t.png"] {
            write(folder, name, b"no image")?;
        }
        Ok(Expected::Refusal(words(["picture|.png"])))
    }),
    ("an empty folder", |_| Ok(Expected::Refusal(words(["picture"])))),
    ("text named like an image", |folder| {
        write(folder, "text.jpg", b"no image at all, just a few words\n")?;
        Ok(Expected::Refusal(words(["text.jpg"])))
    }),
];

/// Paths that are no set of images.
const PATHS: [&str; 6] = ["/dev/zero", "/dev/null", "/proc/self/mem", "pipe", "nowhere", "link"];

pub(super) struct Images<'a> {
    scene: &'a Scene,
}

impl<'a> Images<'a> {
    pub(super) fn new(scene: &'a Scene) -> Result<Self> {
        scene.must(&scene.embedding(&scene.images()))?;
        Ok(Self { scene })
    }
}

impl Attack for Images<'_> {
    fn cases(&self) -> usize {
        MADE.len() + PATHS.len() + SAMPLES.len() * CHANGES.len()
    }

    fn attempt(&mut self, number: usize, chance: &mut Chance) -> Result<Vec<Blame>> {
        let folder = self.scene.here().join("pictures");
        fs::create_dir_all(&folder)?;
        if let Some((case, make)) = MADE.get(number) {
            let expected = make(&folder)?;
            return self.judge(case, &folder, &expected);
        }
        let number = number - MADE.len();
        if let Some(path) = PATHS.get(number) {
            let path = self.scene.here().join(path);
            pipe(&self.scene.here().join("pipe"))?;
            symlink("link", self.scene.here().join("link"))?;
            return self.judge("a path", &path, &Expected::Refusal(words([&text(&path)])));
        }
        let number = number - PATHS.len();
        let (name, bytes) = SAMPLES[number % SAMPLES.len()];
        match CHANGES.get(number / SAMPLES.len()) {
            Some(change) => {
                let (name, expected) = change.apply(&folder, name, bytes)?;
                self.judge(&format!("{name} with {change:?}"), &folder, &expected)
            }
            None => self.random(&folder, chance),
        }
    }
}

impl Images<'_> {
    fn judge(&self, case: &str, path: &Path, expected: &Expected) -> Result<Vec<Blame>> {
        let ended = self.scene.run(&self.scene.embedding(path))?;
        Ok(ended.judge(case, expected).into_iter().collect())
    }

    /// A sample with random damage, alone or among images that nothing is wrong with.
    fn random(&self, folder: &Path, chance: &mut Chance) -> Result<Vec<Blame>> {
        let (name, bytes) = SAMPLES[chance.random_range(0..SAMPLES.len())];
        write(folder, name, &damaged(bytes, chance))?;
        let expected = if chance.random_bool(0.3) {
            copy(&self.scene.images(), &folder.join("good"))?;
            Expected::Success
        } else {
            Expected::Either(found(name))
        };
        self.judge(&format!("{name} with random damage"), folder, &expected)
    }
}

impl Change {
    /// Writes the sample; gives its name and what is expected of a set of it alone.
    fn apply(self, folder: &Path, name: &str, bytes: &[u8]) -> Result<(String, Expected)> {
        // The one format here that is not read.
        let is_read = !name.ends_with("gif");
        let (name, length) = match self {
            Self::Nothing => (name.to_owned(), bytes.len()),
            Self::Emptied => (name.to_owned(), 0),
            Self::HeaderAlone => (name.to_owned(), 12),
            Self::Halved => (name.to_owned(), bytes.len() / 2),
            Self::LastByteLost => (name.to_owned(), bytes.len() - 1),
            Self::OtherExtension => (name.replace(['.'], "-") + ".png", bytes.len()),
        };
        write(folder, &name, &bytes[..length])?;
        let expected = match self {
            Self::Nothing if is_read => Expected::Success,
            Self::Emptied | Self::HeaderAlone => Expected::Refusal(found(&name)),
            Self::Nothing => Expected::Refusal(found(&name)),
            Self::Halved | Self::LastByteLost | Self::OtherExtension => Expected::Either(found(&name)),
        };
        Ok((name, expected))
    }
}

/// A message names the image, or the folder if it finds no image in it.
fn found(name: &str) -> Words {
    words([&format!("{name}|pictures")])
}

/// Bytes with flipped bits, a cut, a hole or a repeated piece.
pub(super) fn damaged(bytes: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..chance.random_range(1..=4) {
        if bytes.is_empty() {
            break;
        }
        let place = chance.random_range(0..bytes.len());
        let end = (place + chance.random_range(1..40)).min(bytes.len());
        match chance.random_range(0..6) {
            0..3 => bytes[place] ^= 1 << chance.random_range(0..8),
            3 => bytes[place..end].fill(if chance.random_bool(0.5) { 0xff } else { 0 }),
            4 => bytes.truncate(place),
            _ => {
                let piece = bytes[place..end].to_vec();
                bytes.splice(place..place, piece);
            }
        }
    }
    bytes
}

/// A PNG that says it has this size, with so many bytes of zeros for pixels.
fn bomb(folder: &Path, width: u32, height: u32, zeros: u64) -> Result<Expected> {
    let bytes = png::file(width, height, &[], &mut std::io::repeat(0).take(zeros))?;
    write(folder, "bomb.png", &bytes)?;
    Ok(match (width, height) {
        (1, _) | (_, 1) => Expected::Either(words(["bomb.png"])),
        _ => Expected::Refusal(words(["bomb.png"])),
    })
}

/// A PNG with a colour profile of so many zeros.
fn profile(folder: &Path, zeros: u64) -> Result<Expected> {
    let packed = png::deflated(&mut std::io::repeat(0).take(zeros))?;
    let chunk = [b"profile\0\0".to_vec(), packed].concat();
    let rows = vec![0; 8 * 25];
    write(folder, "profile.png", &png::file(8, 8, &[(b"iCCP", chunk)], &mut rows.as_slice())?)?;
    Ok(Expected::Either(words(["profile.png"])))
}

pub(super) fn pipe(path: &Path) -> Result<()> {
    let made = Command::new("mkfifo").arg(path).status().context("mkfifo cannot be started")?;
    ensure!(made.success(), "the pipe {} cannot be made", path.display());
    Ok(())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    fs::write(folder.join(name), bytes).with_context(|| format!("{name:?} cannot be written"))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn damage_is_the_same_for_the_same_seed() {
        let bytes: Vec<u8> = (0..=255).collect();
        let one = |seed| damaged(&bytes, &mut Chance::seed_from_u64(seed));
        assert_eq!(one(3), one(3));
        assert!((0..50).filter(|seed| one(*seed) != bytes).count() > 45);
    }
}
