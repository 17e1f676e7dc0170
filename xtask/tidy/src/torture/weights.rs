//! Damaged files of weights.

use std::fs;

use anyhow::{Context, Result};
use rand::RngExt;
use serde_json::{Value, json};

use super::images::{damaged, pipe};
use super::pickle::{self, Made, PICKLES};
use super::scene::{Scene, strings, text};
use super::verdict::{Blame, Expected, Fault, words};
use super::{Attack, Chance};

/// A change to the header of a good file.
type Lie = (&'static str, fn(&mut Header));

/// The header of a safetensors file and its description by the tool.
struct Header {
    header: Value,
    description: Value,
}

/// Changes to the description, which does not count where the command names the network.
const LIES: [Lie; 17] = [
    ("an encoder of width 2^20", |header| header.describe("/encoder/width", json!(1 << 20))),
    ("an encoder of width 2^40", |header| header.describe("/encoder/width", json!(1_u64 << 40))),
    ("an encoder of width 2^63", |header| header.describe("/encoder/width", json!(1_u64 << 63))),
    ("an encoder of width 0", |header| header.describe("/encoder/width", json!(0))),
    ("an encoder of width 4", |header| header.describe("/encoder/width", json!(4))),
    ("an encoder of width -1", |header| header.describe("/encoder/width", json!(-1))),
    ("another model", |header| header.describe("/encoder/name", json!("resnet50"))),
    ("an unknown model", |header| header.describe("/encoder/name", json!("resnet-of-my-own\u{1b}[31m"))),
    ("a ViT", |header| header.describe("/encoder/name", json!("vit-small"))),
    ("images of 0 pixels", |header| header.describe("/preprocessing/size", json!(0))),
    ("images of 2^31 pixels", |header| header.describe("/preprocessing/size", json!(1_u64 << 31))),
    ("deviations of 0", |header| header.describe("/preprocessing/std", json!([0.0, 0.0, 0.0]))),
    ("a future version", |header| header.describe("/schema", json!(99))),
    ("another kind", |header| header.describe("/kind", json!("classifier"))),
    ("an unknown kind", |header| header.describe("/kind", json!("spaceship"))),
    ("a list for a description", |header| header.description = json!([1, 2, 3])),
    ("a description of a thousand levels", |header| {
        header.description = (0..1000).fold(json!(1), |inner, _| json!([inner]));
    }),
];

/// Changes to the list of tensors.
const TENSORS: [Lie; 7] = [
    ("a tensor less", |header| {
        if let Some(tensors) = header.header.as_object_mut() {
            tensors.retain(|name, _| name != FIRST);
        }
    }),
    ("a tensor of another name", |header| header.rename("conv1.extra")),
    ("a tensor of another shape", |header| header.tensor("shape", json!([3, 2, 3, 3]))),
    ("a shape of 2^64 and more", |header| header.tensor("shape", json!([1_u64 << 32, 1_u64 << 32, 1, 1]))),
    ("another type", |header| header.tensor("dtype", json!("F64"))),
    ("places out of the file", |header| header.tensor("data_offsets", json!([0, 1_u64 << 62]))),
    ("places in reverse", |header| header.tensor("data_offsets", json!([216, 0]))),
];

/// A tensor that every ResNet has.
const FIRST: &str = "conv1.weight";

/// Files that are made without a good one.
const MADE: [Made; 9] = [
    ("empty", Vec::new),
    ("seven bytes", || vec![1; 7]),
    ("a header of no bytes", || 0_u64.to_le_bytes().to_vec()),
    ("a header of 2^64 - 1 bytes", || [u64::MAX.to_le_bytes().to_vec(), b"{}".to_vec()].concat()),
    ("a header of 2^63 bytes", || [(1_u64 << 63).to_le_bytes().to_vec(), b"{}".to_vec()].concat()),
    ("a header of a terabyte", || [(1_u64 << 40).to_le_bytes().to_vec(), b"{}".to_vec()].concat()),
    ("a header that is no JSON", || [4_u64.to_le_bytes().to_vec(), b"abcd".to_vec()].concat()),
    ("a header of a hundred thousand levels", || {
        [100_000_u64.to_le_bytes().to_vec(), vec![b'['; 100_000]].concat()
    }),
    ("no tensors", || [2_u64.to_le_bytes().to_vec(), b"{}".to_vec()].concat()),
];

/// Paths that are no file.
const PATHS: [&str; 5] = ["/dev/zero", "pipe", "folder", "nowhere", "/proc/self/mem"];

pub(super) struct Weights<'a> {
    scene: &'a Scene,
    /// The encoder of a run.
    good: Vec<u8>,
}

impl<'a> Weights<'a> {
    pub(super) fn new(scene: &'a Scene) -> Result<Self> {
        let run = scene.kept("weights");
        if !run.exists() {
            scene.must(&scene.pretraining("simclr/cifar10", &run))?;
        }
        let good = fs::read(run.join("encoder.safetensors"))?;
        Ok(Self { scene, good })
    }

    /// The case, the file, its name, and what is expected.
    fn made(&self, number: usize, chance: &mut Chance) -> Result<(String, String, Vec<u8>, Expected)> {
        let refusal = |name: &str| Expected::Refusal(words([name]));
        let safetensors = "w.safetensors".to_owned();
        if let Some((case, change)) = LIES.get(number) {
            let expected = Expected::Either(words([&format!("{safetensors}|encoder.name")]));
            return Ok(((*case).to_owned(), safetensors, self.changed(change)?, expected));
        }
        let number = number - LIES.len();
        if let Some((case, change)) = TENSORS.get(number) {
            let expected = refusal(&safetensors);
            return Ok(((*case).to_owned(), safetensors, self.changed(change)?, expected));
        }
        let number = number - TENSORS.len();
        if let Some((case, make)) = MADE.get(number) {
            let expected = refusal(&safetensors);
            return Ok(((*case).to_owned(), safetensors, make(), expected));
        }
        let number = number - MADE.len();
        if let Some((case, make)) = PICKLES.get(number / 2) {
            let bytes = if number.is_multiple_of(2) { make() } else { pickle::archive(&make()) };
            return Ok((format!("a pickle that {case}"), "w.pth".to_owned(), bytes, refusal("w.pth")));
        }
        let (bytes, expected) = random(&self.good, chance)?;
        Ok(("random damage".to_owned(), safetensors, bytes, expected))
    }

    fn changed(&self, change: &fn(&mut Header)) -> Result<Vec<u8>> {
        let length = header_length(&self.good)?;
        let mut header: Value = serde_json::from_slice(&self.good[8..8 + length])?;
        let place = "/__metadata__/burn-ssl";
        let description = header.pointer(place).and_then(Value::as_str).context("a description")?;
        let mut header = Header { description: serde_json::from_str(description)?, header: header.take() };
        // Without the checksum, which would be wrong, whatever else is.
        header.description.as_object_mut().and_then(|description| description.remove("checksum"));
        change(&mut header);
        *header.header.pointer_mut(place).context("a description")? = json!(header.description.to_string());
        let text = header.header.to_string();
        let length_of_text = (text.len() as u64).to_le_bytes();
        Ok([&length_of_text[..], text.as_bytes(), &self.good[8 + length..]].concat())
    }

    /// A command that reads weights. Each reads them in its own way.
    fn command(&self, file: &str, chance: &mut Chance) -> Vec<String> {
        let images = text(&self.scene.images());
        let network = ["--model", "resnet18", "--width", "2", "--stem", "cifar", "--image-size", "16"];
        let sets = ["--train", &images, "--test", &images, "--workers", "1"];
        let embed =
            ["embed", "--weights", file, "--data", &images, "--out", "features.csv", "--workers", "1"];
        let command = match chance.random_range(0..4) {
            0 => embed.to_vec(),
            1 => [&embed[..], &network].concat(),
            2 => [&["knn", "--weights", file][..], &sets].concat(),
            _ => {
                let train = ["--epochs", "1", "--batch-size", "8", "--out", "tuned"];
                [&["finetune", "--weights", file][..], &network, &sets, &train].concat()
            }
        };
        strings(&command).collect()
    }

    fn judge(&self, case: &str, command: &[String], expected: &Expected) -> Result<Vec<Blame>> {
        let ended = self.scene.run(command)?;
        let mut blames: Vec<Blame> = ended.judge(&format!("weights, {case}"), expected).into_iter().collect();
        if self.scene.here().join("escaped").exists() {
            blames.push(
                ended.blame(Fault::Silent, format!("weights, {case}: the command in the file was run")),
            );
        }
        Ok(blames)
    }
}

impl Attack for Weights<'_> {
    fn cases(&self) -> usize {
        PATHS.len() + LIES.len() + TENSORS.len() + MADE.len() + 2 * PICKLES.len()
    }

    fn attempt(&mut self, number: usize, chance: &mut Chance) -> Result<Vec<Blame>> {
        let here = self.scene.here();
        if let Some(path) = PATHS.get(number) {
            pipe(&here.join("pipe"))?;
            fs::create_dir(here.join("folder"))?;
            let command = self.command(path, chance);
            return self.judge("a path", &command, &Expected::Refusal(words([path])));
        }
        let (case, name, bytes, expected) = self.made(number - PATHS.len(), chance)?;
        fs::write(here.join(&name), bytes)?;
        self.judge(&case, &self.command(&name, chance), &expected)
    }
}

impl Header {
    fn describe(&mut self, place: &str, value: Value) {
        if let Some(old) = self.description.pointer_mut(place) {
            *old = value;
        }
    }

    fn tensor(&mut self, field: &str, value: Value) {
        if let Some(tensor) = self.header.get_mut(FIRST) {
            tensor[field] = value;
        }
    }

    fn rename(&mut self, name: &str) {
        if let Some(tensors) = self.header.as_object_mut()
            && let Some(tensor) = tensors.remove(FIRST)
        {
            tensors.insert(name.to_owned(), tensor);
        }
    }
}

/// Damage to the header or to the numbers of a file with a checksum.
///
/// The checksum is over the numbers, so that damage to them alone has to be refused. It stands in the header: damage there may take
/// it away, or change only what says nothing.
fn random(good: &[u8], chance: &mut Chance) -> Result<(Vec<u8>, Expected)> {
    let length = 8 + header_length(good)?;
    let of_numbers = chance.random_bool(0.3);
    let place = if of_numbers { length..good.len() } else { 0..length };
    let (before, after) = (&good[..place.start], &good[place.end..]);
    let part = damaged(&good[place.clone()], chance);
    let bytes = [before, &part, after].concat();
    let says = words(["w.safetensors"]);
    let expected = match of_numbers {
        _ if bytes == good => Expected::Success,
        true => Expected::Refusal(says),
        false => Expected::Either(says),
    };
    Ok((bytes, expected))
}

fn header_length(file: &[u8]) -> Result<usize> {
    let length = file.first_chunk().context("a file of weights has a header")?;
    Ok(u64::from_le_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn damage_to_the_numbers_of_a_file_has_to_be_refused() {
        let header = b"{\"a\":{\"dtype\":\"F32\",\"shape\":[9],\"data_offsets\":[0,36]}}";
        let length = (header.len() as u64).to_le_bytes();
        let good = [&length[..], header, &[7; 36]].concat();
        let (mut of_numbers, mut of_header) = (0, 0);
        for seed in 0..200 {
            let (bytes, expected) = random(&good, &mut Chance::seed_from_u64(seed)).expect("a header");
            let same_header = bytes.starts_with(&good[..8 + header.len()]);
            match expected {
                Expected::Refusal(_) => of_numbers += usize::from(same_header && bytes != good),
                Expected::Either(_) => of_header += usize::from(bytes != good),
                Expected::Success => assert_eq!(bytes, good),
            }
        }
        assert!(of_numbers > 30 && of_header > 100, "{of_numbers} and {of_header} of 200");
    }
}
