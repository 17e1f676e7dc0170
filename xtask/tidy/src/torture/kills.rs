//! Runs of all methods, fine-tuning and distillation that are ended at random moments and then resumed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::RngExt;

use super::recipes::narrowed;
use super::scene::{SIZE, Scene, strings, text};
use super::verdict::{Blame, Expected, Fault};
use super::{Attack, Chance};

/// How a run is ended.
#[derive(Clone, Copy, Debug)]
enum End {
    /// `kill -9`, once and again after the first resume.
    Kill,
    /// Ctrl-C.
    Interrupt,
    /// What a machine sends that shuts down.
    Terminate,
    /// Ctrl-C, and again before the run has stopped.
    InterruptTwice,
}

const ENDS: [End; 4] = [End::Kill, End::Interrupt, End::Terminate, End::InterruptTwice];
/// The code that a shell gives a program ended by Ctrl-C, and that of a run to be started again.
const STOPPED: [i32; 2] = [130, 75];

/// A training, and what it gives if nobody disturbs it.
pub(super) struct Training {
    pub(super) name: String,
    /// Without the directory.
    arguments: Vec<String>,
    /// `--resume` repeats all arguments.
    repeats: bool,
    pub(super) result: &'static str,
}

/// The result of an undisturbed run, and the time it took.
struct Whole {
    bytes: Vec<u8>,
    time: Duration,
}

pub(super) struct Kills<'a> {
    scene: &'a Scene,
    trainings: Vec<Training>,
    wholes: BTreeMap<usize, Whole>,
}

impl<'a> Kills<'a> {
    pub(super) fn new(scene: &'a Scene) -> Result<Self> {
        let mut trainings = methods(scene, &scene.kept("teacher"))?;
        trainings.extend(classifiers(scene)?);
        Ok(Self { scene, trainings, wholes: BTreeMap::new() })
    }

    /// The result of an undisturbed run; of the first call, the run.
    fn whole(&mut self, index: usize) -> Result<&Whole> {
        if !self.wholes.contains_key(&index) {
            let (training, out) = (&self.trainings[index], self.scene.here().join("whole"));
            let time = self.scene.must(&training.at(&out))?.time;
            let bytes = fs::read(out.join(training.result))?;
            self.wholes.insert(index, Whole { bytes, time });
        }
        self.wholes.get(&index).context("it was inserted")
    }
}

impl Attack for Kills<'_> {
    fn cases(&self) -> usize {
        self.trainings.len() * ENDS.len()
    }

    fn attempt(&mut self, number: usize, chance: &mut Chance) -> Result<Vec<Blame>> {
        let index = number % self.trainings.len();
        let end = ENDS[number / self.trainings.len() % ENDS.len()];
        let Whole { bytes, time } = self.whole(index)?;
        let (bytes, time) = (bytes.clone(), *time);
        let out = self.scene.here().join("run");
        let victim = Victim { scene: self.scene, training: &self.trainings[index], out: &out, time };
        let mut blames = Vec::from_iter(victim.end(end, chance)?);
        if matches!(end, End::Kill) {
            blames.extend(victim.end(end, chance)?);
        }
        blames.extend(victim.finish(&bytes)?);
        Ok(blames)
    }
}

/// A training that is not left alone.
struct Victim<'a> {
    scene: &'a Scene,
    training: &'a Training,
    out: &'a Path,
    time: Duration,
}

impl Victim<'_> {
    /// Starts or resumes it, and ends it at a random moment.
    fn end(&self, end: End, chance: &mut Chance) -> Result<Option<Blame>> {
        let mut running = self.scene.start(&self.next())?;
        running.leave(self.time.mul_f64(chance.random_range(0.0..1.1)))?;
        let (signal, number) = match end {
            End::Kill => ("KILL", 9),
            End::Terminate => ("TERM", 15),
            End::Interrupt | End::InterruptTwice => ("INT", 2),
        };
        running.signal(signal)?;
        if matches!(end, End::InterruptTwice) {
            running.leave(self.time.mul_f64(chance.random_range(0.0..0.1)))?;
            running.signal(signal)?;
        }
        let ended = running.wait()?;
        // A process that has not yet begun to listen for signals is ended by them.
        let as_asked =
            ended.signal() == Some(number) || ended.code().is_some_and(|code| STOPPED.contains(&code));
        let case = format!("{} and {end:?}", self.training.name);
        Ok(if as_asked { None } else { ended.judge(&case, &Expected::Success) })
    }

    /// Lets it come to its end, and compares the result.
    fn finish(&self, whole: &[u8]) -> Result<Option<Blame>> {
        let case = format!("{} that is resumed", self.training.name);
        let ended = self.scene.run(&self.next())?;
        if let Some(blame) = ended.judge(&case, &Expected::Success) {
            return Ok(Some(blame));
        }
        let result = fs::read(self.out.join(self.training.result)).unwrap_or_default();
        let what = format!("{case}: {} differs from that of an undisturbed run", self.training.result);
        Ok((result != whole).then(|| ended.blame(Fault::Silent, what)))
    }

    /// The command that goes on: a resume if there is a checkpoint, a new start otherwise.
    fn next(&self) -> Vec<String> {
        let checkpoints = self.out.join("checkpoints");
        let has = |name: &str| checkpoints.join(name).join("meta.json").exists();
        if !has("last") && !has("last.old") {
            return [self.training.at(self.out), vec!["--overwrite".to_owned()]].concat();
        }
        let alone = strings(&["pretrain", "--out"]).chain([text(self.out)]).collect();
        let arguments = if self.training.repeats { self.training.at(self.out) } else { alone };
        [arguments, vec!["--resume".to_owned()]].concat()
    }
}

impl Training {
    /// The command in a directory.
    pub(super) fn at(&self, out: &Path) -> Vec<String> {
        [self.arguments.clone(), vec!["--out".to_owned(), text(out)]].concat()
    }
}

/// A small ViT, for methods of tokens.
const VIT: [&str; 6] =
    ["--set", "encoder.embed_dim=12", "--set", "encoder.depth=1", "--set", "encoder.heads=2"];

/// A pretraining by every method, as its recipe for small images says. Methods that learn from a frozen network learn from
/// `teacher`.
fn methods(scene: &Scene, teacher: &Path) -> Result<Vec<Training>> {
    let listed = scene.must(&["recipes"])?.stdout;
    let recipes = listed.lines().filter(|name| name.ends_with("/cifar10"));
    let training = |recipe: &str| {
        let (file, taught) = (narrowed(scene, recipe)?, format!("method_options.teacher={}", text(teacher)));
        let is_vit = scene.must(&["recipes", recipe])?.stdout.contains("name = \"vit-");
        let mut arguments = match is_vit {
            true => scene.pretraining_of(&VIT, &file, Path::new("")),
            false => scene.pretraining(&file, Path::new("")),
        };
        arguments.truncate(arguments.len() - 2);
        if recipe.starts_with("distill-features/") {
            arguments.extend(["--set".to_owned(), taught]);
        }
        anyhow::Ok(Training {
            name: recipe.to_owned(),
            arguments,
            repeats: false,
            result: "encoder.safetensors",
        })
    };
    recipes.map(training).collect()
}

/// Fine-tuning and distillation, of which the latter has a teacher in a folder that is kept.
pub(super) fn classifiers(scene: &Scene) -> Result<[Training; 2]> {
    let (teacher, tuning) = (scene.kept("teacher"), finetuning(scene));
    if !teacher.exists() {
        scene.must(&tuning.at(&teacher))?;
    }
    let distilling = distillation(scene, &teacher);
    Ok([tuning, distilling])
}

fn finetuning(scene: &Scene) -> Training {
    let network = ["finetune", "--untrained", "--model", "resnet18", "--width", "2", "--stem", "cifar"];
    let more = ["--image-size", SIZE, "--epochs", "6", "--batch-size", "8", "--workers", "1"];
    let images = text(&scene.images());
    let sets = ["--train", &images, "--test", &images];
    let arguments = strings(&[&network[..], &more, &sets].concat()).collect();
    Training { name: "finetune".to_owned(), arguments, repeats: true, result: "classifier.safetensors" }
}

fn distillation(scene: &Scene, teacher: &Path) -> Training {
    let (teacher, images) = (text(teacher), text(&scene.images()));
    let sets = ["distill", "--teacher", &teacher, "--data", &images];
    let more = ["--epochs", "6", "--batch-size", "8", "--workers", "1"];
    let arguments = strings(&[&sets[..], &more].concat()).collect();
    Training { name: "distill".to_owned(), arguments, repeats: true, result: "classifier.safetensors" }
}
