//! Two processes that write to one directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rand::RngExt;

use super::program::Ended;
use super::scene::{Scene, copy, strings, text};
use super::verdict::{Blame, Expected, Fault, words};
use super::{Attack, Chance};

/// What the two do.
#[derive(Clone, Copy, Debug)]
enum Pair {
    /// Two new runs.
    New,
    /// Two that go on with a run.
    Resume,
    /// A new run, and one that overwrites.
    Overwrite,
}

const PAIRS: [Pair; 3] = [Pair::New, Pair::Resume, Pair::Overwrite];
/// Distances in time on the list, as shares of a run.
const DISTANCES: [f64; 5] = [0.0, 0.02, 0.1, 0.4, 0.8];
const RESULT: &str = "encoder.safetensors";

pub(super) struct Pairs<'a> {
    scene: &'a Scene,
    /// A run that was cut off.
    cut: PathBuf,
    /// The encoders of the two, which differ in their seeds.
    wholes: [Vec<u8>; 2],
    time: Duration,
}

impl<'a> Pairs<'a> {
    pub(super) fn new(scene: &'a Scene) -> Result<Self> {
        let (cut, here) = (scene.kept("pairs-cut"), scene.here());
        let mut wholes = [Vec::new(), Vec::new()];
        let mut time = Duration::ZERO;
        for (seed, whole) in wholes.iter_mut().enumerate() {
            let out = here.join(seed.to_string());
            time = scene.must(&command(scene, seed, &out))?.time;
            *whole = fs::read(out.join(RESULT))?;
        }
        cut_off(&here.join("0"), &cut)?;
        Ok(Self { scene, cut, wholes, time })
    }

    /// Which of the two runs left the directory as it is.
    fn owner(&self, out: &Path) -> Option<usize> {
        let (result, recipe) =
            (fs::read(out.join(RESULT)).ok()?, fs::read_to_string(out.join("recipe.toml")).ok()?);
        let owns =
            |seed: &usize| recipe.contains(&format!("seed = {seed}\n")) && self.wholes[*seed] == result;
        (0..2).find(owns)
    }
}

impl Attack for Pairs<'_> {
    fn cases(&self) -> usize {
        PAIRS.len() * DISTANCES.len()
    }

    fn attempt(&mut self, number: usize, chance: &mut Chance) -> Result<Vec<Blame>> {
        let pair = PAIRS[number % PAIRS.len()];
        let listed = DISTANCES.get(number / PAIRS.len()).copied();
        let distance = self.time.mul_f64(listed.unwrap_or_else(|| chance.random_range(0.0..1.2)));
        let out = self.scene.here().join("run");
        let [first, second] = match pair {
            Pair::New => [0, 1].map(|seed| command(self.scene, seed, &out)),
            Pair::Overwrite => {
                [0, 1].map(|seed| [command(self.scene, seed, &out), vec!["--overwrite".to_owned()]].concat())
            }
            Pair::Resume => {
                copy(&self.cut, &out)?;
                [(); 2].map(|()| strings(&["pretrain", "--resume", "--out"]).chain([text(&out)]).collect())
            }
        };
        let mut one = self.scene.start(&first)?;
        one.leave(distance)?;
        let two = self.scene.start(&second)?;
        let ended = [one.wait()?, two.wait()?];
        Ok(self.judge(pair, &out, &ended))
    }
}

impl Pairs<'_> {
    fn judge(&self, pair: Pair, out: &Path, ended: &[Ended; 2]) -> Vec<Blame> {
        let case = format!("{pair:?} twice");
        let place = text(out);
        // A run that comes after the end of the other finds its result.
        let holder =
            if matches!(pair, Pair::New) { "in use by process|already exists" } else { "in use by process" };
        let expected = Expected::Either(words([&place, holder]));
        let mut blames: Vec<Blame> = ended.iter().filter_map(|ended| ended.judge(&case, &expected)).collect();
        let won: Vec<bool> = ended.iter().map(Ended::succeeded).collect();
        let owner = self.owner(out);
        let right = match (pair, &won[..]) {
            (Pair::New, [true, false]) => owner == Some(0),
            (Pair::New | Pair::Overwrite, [false, true]) => owner == Some(1),
            (Pair::Overwrite, [true, false]) => owner == Some(0),
            // One after the other.
            (Pair::Overwrite, [true, true]) => owner.is_some(),
            (Pair::Resume, [a, b]) => (*a || *b) && owner == Some(0),
            _ => false,
        };
        if !right {
            let what = format!("{case}: successes {won:?}, and the directory is that of {owner:?}");
            blames.push(ended[1].blame(Fault::Silent, format!("{what}; the other: {}", ended[0].line)));
        }
        blames
    }
}

fn command(scene: &Scene, seed: usize, out: &Path) -> Vec<String> {
    [scene.pretraining("simclr/cifar10", out), vec!["--seed".to_owned(), seed.to_string()]].concat()
}

/// Copies a finished run of twelve steps as one that was cut off after the tenth.
pub(super) fn cut_off(finished: &Path, cut: &Path) -> Result<()> {
    if cut.exists() {
        fs::remove_dir_all(cut)?;
    }
    copy(finished, cut)?;
    fs::remove_file(cut.join(RESULT))?;
    let checkpoints = cut.join("checkpoints");
    fs::remove_dir_all(checkpoints.join("last"))?;
    fs::remove_dir_all(checkpoints.join("step-12"))?;
    Ok(fs::rename(checkpoints.join("step-10"), checkpoints.join("last"))?)
}
