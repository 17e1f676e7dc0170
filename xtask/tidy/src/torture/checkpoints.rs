//! Run directories with one damaged file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rand::RngExt;

use super::pairs::cut_off;
use super::program::Ended;
use super::scene::{Scene, copy, files, strings, text};
use super::verdict::{Blame, Expected, Fault, words};
use super::{Attack, Chance};

/// What becomes of a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Truncated,
    Flipped,
    Emptied,
    Removed,
    Directory,
    /// The file of the same name from another run.
    Foreign,
}

const DAMAGES: [Damage; 6] = [
    Damage::Truncated,
    Damage::Flipped,
    Damage::Emptied,
    Damage::Removed,
    Damage::Directory,
    Damage::Foreign,
];

/// What is done with the directory.
#[derive(Clone, Copy, Debug)]
enum Use {
    Resume,
    Knn,
    Embed,
    Export,
}

const USES: [Use; 4] = [Use::Resume, Use::Knn, Use::Embed, Use::Export];

/// A run directory, its files, and those of another run.
struct Directory {
    folder: PathBuf,
    files: Vec<PathBuf>,
    other: PathBuf,
}

pub(super) struct Checkpoints<'a> {
    scene: &'a Scene,
    finished: Directory,
    cut: Directory,
    /// What each use gives if nothing is damaged: of the cut run and of the finished one.
    wholes: [Vec<Vec<u8>>; 2],
}

impl<'a> Checkpoints<'a> {
    pub(super) fn new(scene: &'a Scene) -> Result<Self> {
        let [finished, other] = [0, 1].map(|seed| scene.kept(&format!("seed-{seed}")));
        for (seed, out) in [&finished, &other].into_iter().enumerate() {
            if !out.exists() {
                let seed = ["--seed".to_owned(), seed.to_string()];
                scene.must(&[scene.pretraining("moco-v2/cifar10", out), seed.to_vec()].concat())?;
            }
        }
        let [cut, other_cut] = [&finished, &other].map(|run| run.with_extension("cut"));
        cut_off(&finished, &cut)?;
        cut_off(&other, &other_cut)?;
        let directory =
            |folder: PathBuf, other| anyhow::Ok(Directory { files: files(&folder)?, folder, other });
        let (finished, cut) = (directory(finished, other)?, directory(cut, other_cut)?);
        let mut checkpoints = Self { scene, finished, cut, wholes: [Vec::new(), Vec::new()] };
        for index in 0..2 {
            for used in USES {
                scene.clear()?;
                let run = scene.here().join("run");
                copy(&checkpoints.directory(index).folder, &run)?;
                let ended = scene.must(&checkpoints.command(used))?;
                let result = checkpoints.result(used, &ended).context("it worked and left nothing")?;
                checkpoints.wholes[index].push(result);
            }
        }
        Ok(checkpoints)
    }

    fn directory(&self, index: usize) -> &Directory {
        if index == 0 { &self.cut } else { &self.finished }
    }

    fn command(&self, used: Use) -> Vec<String> {
        let images = text(&self.scene.images());
        let command = match used {
            Use::Resume => vec!["pretrain", "--resume", "--out", "run"],
            Use::Knn => vec!["knn", "--run", "run", "--train", &images, "--test", &images, "--json"],
            Use::Embed => vec!["embed", "--run", "run", "--data", &images, "--out", "features.csv"],
            Use::Export => vec!["export", "--run", "run", "--out", "exported.safetensors"],
        };
        strings(&command).collect()
    }

    /// What a use gave.
    fn result(&self, used: Use, ended: &Ended) -> Option<Vec<u8>> {
        let here = self.scene.here();
        match used {
            Use::Resume => fs::read(here.join("run/encoder.safetensors")).ok(),
            Use::Knn => Some(ended.stdout.clone().into_bytes()),
            Use::Embed => fs::read(here.join("features.csv")).ok(),
            Use::Export => fs::read(here.join("exported.safetensors")).ok(),
        }
    }
}

impl Attack for Checkpoints<'_> {
    fn cases(&self) -> usize {
        (self.cut.files.len() + self.finished.files.len()) * DAMAGES.len() * USES.len()
    }

    fn attempt(&mut self, number: usize, chance: &mut Chance) -> Result<Vec<Blame>> {
        let number = number % self.cases();
        let (place, number) = (number % USES.len(), number / USES.len());
        let used = USES[place];
        let (damage, number) = (DAMAGES[number % DAMAGES.len()], number / DAMAGES.len());
        let (index, number) = match number.checked_sub(self.cut.files.len()) {
            None => (0, number),
            Some(rest) => (1, rest),
        };
        let (directory, run) = (self.directory(index), self.scene.here().join("run"));
        let file = &directory.files[number];
        copy(&directory.folder, &run)?;
        damage.apply(&run.join(file), &directory.other.join(file), chance)?;
        let state = if index == 0 { "cut off" } else { "finished" };
        let case = format!("{used:?} of a run that is {state}, with {} {damage:?}", file.display());
        let ended = self.scene.run(&self.command(used))?;
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let named = format!("{name}|{}", if name == "run.lock" { "run" } else { "checkpoint" });
        let mut blames: Vec<Blame> =
            ended.judge(&case, &Expected::Either(words([&named]))).into_iter().collect();
        // A whole file of another run says of itself whose it is, and is what was asked for.
        let is_other = matches!(damage, Damage::Foreign) && name == "encoder.safetensors";
        // A command that takes the newest checkpoint may take an older one, if it says so.
        let taken = ["checkpoints/last: ", "encoder.safetensors is missing"][index];
        let fell_back = !matches!(used, Use::Resume) && ended.stderr.contains(taken);
        let whole = &self.wholes[index][place];
        if ended.succeeded() && !is_other && !fell_back && self.result(used, &ended).as_ref() != Some(whole) {
            let what = format!("{case}: success, and another result than without the damage");
            blames.push(ended.blame(Fault::Silent, what));
        }
        Ok(blames)
    }
}

impl Damage {
    fn apply(self, file: &Path, other: &Path, chance: &mut Chance) -> Result<()> {
        let mut bytes = fs::read(file)?;
        let place = chance.random_range(0..bytes.len().max(1));
        match self {
            Self::Removed | Self::Directory => fs::remove_file(file)?,
            Self::Truncated => fs::write(file, &bytes[..place.min(bytes.len())])?,
            Self::Emptied => fs::write(file, [])?,
            Self::Flipped => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << chance.random_range(0..8);
                }
                fs::write(file, bytes)?;
            }
            Self::Foreign => {
                fs::copy(other, file)?;
            }
        }
        if matches!(self, Self::Directory) {
            fs::create_dir(file)?;
        }
        Ok(())
    }
}
