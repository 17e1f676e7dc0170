//! Run directories with one damaged file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rand::RngExt;

use super::kills::{Training, classifiers};
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
    /// `finetune --resume`
    Finetune,
    /// `distill --resume`
    Distill,
}

/// What is done with a pretraining run.
const USES: [Use; 4] = [Use::Resume, Use::Knn, Use::Embed, Use::Export];

/// A run directory, its files, those of another run, and what is done with it.
struct Directory {
    folder: PathBuf,
    files: Vec<PathBuf>,
    other: PathBuf,
    state: &'static str,
    /// How a command that only reads says that it takes another encoder than the newest.
    fallback: &'static str,
    uses: &'static [Use],
    /// What each use gives if nothing is damaged.
    wholes: Vec<Vec<u8>>,
}

pub(super) struct Checkpoints<'a> {
    scene: &'a Scene,
    /// Fine-tuning and distillation.
    trainings: [Training; 2],
    directories: Vec<Directory>,
}

impl<'a> Checkpoints<'a> {
    pub(super) fn new(scene: &'a Scene) -> Result<Self> {
        let trainings = classifiers(scene)?;
        let mut directories = Vec::from(pretrained(scene)?);
        for (training, uses) in trainings.iter().zip([&[Use::Finetune], &[Use::Distill]]) {
            let (folder, other) = (interrupted(scene, training, 0)?, interrupted(scene, training, 1)?);
            directories.push(Directory::new(folder, other, "cut off", "checkpoints/last: ", uses)?);
        }
        let mut checkpoints = Self { scene, trainings, directories };
        for index in 0..checkpoints.directories.len() {
            let wholes = checkpoints.wholes(&checkpoints.directories[index])?;
            checkpoints.directories[index].wholes = wholes;
        }
        Ok(checkpoints)
    }

    /// What each use of a directory gives if nothing is damaged.
    fn wholes(&self, directory: &Directory) -> Result<Vec<Vec<u8>>> {
        let whole = |&used: &Use| {
            self.scene.clear()?;
            copy(&directory.folder, &self.scene.here().join("run"))?;
            let ended = self.scene.must(&self.command(used))?;
            self.result(used, &ended).context("it worked and left nothing")
        };
        directory.uses.iter().map(whole).collect()
    }

    fn command(&self, used: Use) -> Vec<String> {
        let images = text(&self.scene.images());
        let resumed =
            |training: &Training| [training.at(Path::new("run")), vec!["--resume".to_owned()]].concat();
        let command = match used {
            Use::Resume => vec!["pretrain", "--resume", "--out", "run"],
            Use::Knn => vec!["knn", "--run", "run", "--train", &images, "--test", &images, "--json"],
            Use::Embed => vec!["embed", "--run", "run", "--data", &images, "--out", "features.csv"],
            Use::Export => vec!["export", "--run", "run", "--out", "exported.safetensors"],
            Use::Finetune => return resumed(&self.trainings[0]),
            Use::Distill => return resumed(&self.trainings[1]),
        };
        strings(&command).collect()
    }

    /// What a use gave.
    fn result(&self, used: Use, ended: &Ended) -> Option<Vec<u8>> {
        let file = match used {
            Use::Knn => return Some(ended.stdout.clone().into_bytes()),
            Use::Resume => "run/encoder.safetensors",
            Use::Embed => "features.csv",
            Use::Export => "exported.safetensors",
            Use::Finetune | Use::Distill => "run/classifier.safetensors",
        };
        fs::read(self.scene.here().join(file)).ok()
    }

    /// Uses a directory whose file was damaged; `place` is that of the use.
    fn judge(&self, directory: &Directory, place: usize, file: &Path, damage: Damage) -> Result<Vec<Blame>> {
        let (used, state) = (directory.uses[place], directory.state);
        let case = format!("{used:?} of a run that is {state}, with {} {damage:?}", file.display());
        let ended = self.scene.run(&self.command(used))?;
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let instead = match name.as_str() {
            "run.lock" => "run",
            // A record that says something else, or nothing, is not that of the options given.
            "classifier.toml" => "keeps its options",
            _ => "checkpoint",
        };
        let expected = Expected::Either(words([&format!("{name}|{instead}")]));
        let mut blames: Vec<Blame> = ended.judge(&case, &expected).into_iter().collect();
        // A whole file of another run says of itself whose it is, and is what was asked for.
        let is_other = matches!(damage, Damage::Foreign) && name == "encoder.safetensors";
        // A command that takes the newest checkpoint may take an older one, if it says so.
        let only_reads = matches!(used, Use::Knn | Use::Embed | Use::Export);
        let fell_back = only_reads && ended.stderr.contains(directory.fallback);
        let is_whole = self.result(used, &ended).as_ref() == Some(&directory.wholes[place]);
        if ended.succeeded() && !is_other && !fell_back && !is_whole {
            let what = format!("{case}: success, and another result than without the damage");
            blames.push(ended.blame(Fault::Silent, what));
        }
        Ok(blames)
    }
}

impl Attack for Checkpoints<'_> {
    fn cases(&self) -> usize {
        self.directories.iter().map(Directory::cases).sum()
    }

    fn attempt(&mut self, number: usize, chance: &mut Chance) -> Result<Vec<Blame>> {
        let (mut number, mut index) = (number % self.cases(), 0);
        while number >= self.directories[index].cases() {
            number -= self.directories[index].cases();
            index += 1;
        }
        let (directory, run) = (&self.directories[index], self.scene.here().join("run"));
        let (place, number) = (number % directory.uses.len(), number / directory.uses.len());
        let (damage, file) = (DAMAGES[number % DAMAGES.len()], &directory.files[number / DAMAGES.len()]);
        copy(&directory.folder, &run)?;
        damage.apply(&run.join(file), &directory.other.join(file), chance)?;
        self.judge(directory, place, file, damage)
    }
}

impl Directory {
    fn new(
        folder: PathBuf,
        other: PathBuf,
        state: &'static str,
        fallback: &'static str,
        uses: &'static [Use],
    ) -> Result<Self> {
        Ok(Self { files: files(&folder)?, folder, other, state, fallback, uses, wholes: Vec::new() })
    }

    fn cases(&self) -> usize {
        self.files.len() * DAMAGES.len() * self.uses.len()
    }
}

/// A pretraining run that was cut off, and the same run finished.
fn pretrained(scene: &Scene) -> Result<[Directory; 2]> {
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
    Ok([
        Directory::new(cut, other_cut, "cut off", "checkpoints/last: ", &USES)?,
        Directory::new(finished, other, "finished", "encoder.safetensors is missing", &USES)?,
    ])
}

/// The directory of a training that was interrupted after its first checkpoint. One that was too quick for that is left as if it
/// had been: without what it writes at its end.
fn interrupted(scene: &Scene, training: &Training, seed: usize) -> Result<PathBuf> {
    let out = scene.kept(&format!("{}-{seed}", training.name));
    if out.exists() {
        return Ok(out);
    }
    let seed = vec!["--seed".to_owned(), seed.to_string()];
    let mut running = scene.start(&[training.at(&out), seed].concat())?;
    let checkpoint = out.join("checkpoints/last/meta.json");
    running.leave_until(|| checkpoint.exists())?;
    running.signal("INT")?;
    let ended = running.wait()?;
    ensure!(checkpoint.exists(), "`{}` leaves no checkpoint: {}", ended.line, ended.stderr);
    for result in [training.result, "encoder.safetensors"] {
        if out.join(result).exists() {
            fs::remove_file(out.join(result))?;
        }
    }
    Ok(out)
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
                fs::copy(counterpart(other)?, file)?;
            }
        }
        if matches!(self, Self::Directory) {
            fs::create_dir(file)?;
        }
        Ok(())
    }
}

/// The file of another run. Where names differ from run to run, as those of event files do, it is the first one in its folder.
fn counterpart(other: &Path) -> Result<PathBuf> {
    if other.is_file() {
        return Ok(other.to_owned());
    }
    let folder = other.parent().context("a file is in a folder")?;
    let first = files(folder)?.into_iter().next();
    Ok(folder.join(first.context("the folder of the other run is empty")?))
}
