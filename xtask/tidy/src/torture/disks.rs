//! Disks that are full: memory disks of every size up to what a command needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rand::RngExt;

use super::scene::{Scene, files, strings, text};
use super::verdict::{Blame, Expected, Fault, words};
use super::{Attack, Chance};

/// Sizes on the list of each command.
const SIZES: usize = 12;
/// Enough for everything, in KiB.
const PLENTY: u64 = 64 << 10;

/// What writes to the disk.
#[derive(Clone, Copy, Debug)]
enum Writer {
    Pretrain,
    Finetune,
    Embed,
    Export,
}

const WRITERS: [Writer; 4] = [Writer::Pretrain, Writer::Finetune, Writer::Embed, Writer::Export];

pub(super) struct Disks<'a> {
    scene: &'a Scene,
    /// A finished run.
    run: PathBuf,
    /// The files that each writer leaves where there is room.
    wholes: Vec<Vec<(PathBuf, Vec<u8>)>>,
}

impl<'a> Disks<'a> {
    /// `None` where a tmpfs cannot be mounted.
    pub(super) fn new(scene: &'a Scene) -> Result<Option<Self>> {
        let Ok(disk) = Disk::mount(scene.here().join("probe"), PLENTY) else { return Ok(None) };
        drop(disk);
        let run = scene.kept("disks");
        if !run.exists() {
            scene.must(&scene.pretraining("simclr/cifar10", &run))?;
        }
        let mut disks = Self { scene, run, wholes: Vec::new() };
        for writer in WRITERS {
            scene.clear()?;
            let disk = disks.disk(PLENTY)?;
            scene.must(&disks.command(writer, &disk.folder))?;
            let read = |path: PathBuf| anyhow::Ok((path.clone(), fs::read(disk.folder.join(path))?));
            disks.wholes.push(files(&disk.folder)?.into_iter().map(read).collect::<Result<_>>()?);
        }
        Ok(Some(disks))
    }

    fn disk(&self, kib: u64) -> Result<Disk> {
        Disk::mount(self.scene.here().join("disk"), kib)
    }

    fn command(&self, writer: Writer, disk: &Path) -> Vec<String> {
        let (run, images) = (text(&self.run), text(&self.scene.images()));
        let to = |name: &str| text(&disk.join(name));
        let train =
            ["--train", &images, "--test", &images, "--epochs", "3", "--batch-size", "8", "--workers", "1"];
        match writer {
            Writer::Pretrain => self.scene.pretraining("simclr/cifar10", &disk.join("run")),
            Writer::Finetune => {
                let command = ["finetune", "--run", &run, "--out", &to("tuned")];
                strings(&[&command[..], &train].concat()).collect()
            }
            Writer::Embed => {
                let command = ["embed", "--run", &run, "--data", &images, "--out", &to("features.npy")];
                strings(&command).collect()
            }
            Writer::Export => {
                strings(&["export", "--run", &run, "--out", &to("encoder.safetensors")]).collect()
            }
        }
    }

    /// The command that goes on when there is room.
    fn again(&self, writer: Writer, disk: &Path) -> Vec<String> {
        let mut command = self.command(writer, disk);
        let folder = match writer {
            Writer::Pretrain => disk.join("run"),
            Writer::Finetune => disk.join("tuned"),
            Writer::Embed | Writer::Export => {
                command.push("--overwrite".to_owned());
                return command;
            }
        };
        let has = |name: &str| folder.join("checkpoints").join(name).join("meta.json").exists();
        if !has("last") && !has("last.old") {
            command.push("--overwrite".to_owned());
        } else if matches!(writer, Writer::Pretrain) {
            return strings(&["pretrain", "--resume", "--out"]).chain([text(&folder)]).collect();
        } else {
            command.push("--resume".to_owned());
        }
        command
    }
}

impl Attack for Disks<'_> {
    fn cases(&self) -> usize {
        WRITERS.len() * SIZES
    }

    fn attempt(&mut self, number: usize, chance: &mut Chance) -> Result<Vec<Blame>> {
        let (writer, whole) = (WRITERS[number % WRITERS.len()], &self.wholes[number % WRITERS.len()]);
        let needed = whole.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>() / 1024 + 64;
        let share = match number / WRITERS.len() {
            listed @ 0..SIZES => listed as f64 / SIZES as f64,
            _ => chance.random_range(0.0..1.1),
        };
        let kib = 8 + (needed as f64 * share) as u64;
        let disk = self.disk(kib)?;
        let case = format!("{writer:?} on a disk of {kib} KiB");
        let ended = self.scene.run(&self.command(writer, &disk.folder))?;
        let place = text(&disk.folder);
        let mut blames: Vec<Blame> =
            ended.judge(&case, &Expected::Either(words([&place, "space"]))).into_iter().collect();
        // Files of training without rests: the log and the record grow by themselves.
        let result = |path: &Path| {
            path.extension().is_some_and(|end| end == "safetensors" || end == "npy" || end == "csv")
        };
        let finals = || {
            whole.iter().filter(|(path, _)| result(path) && !path.iter().any(|part| part == "checkpoints"))
        };
        for (path, bytes) in finals() {
            let there = fs::read(disk.folder.join(path));
            if there.is_ok_and(|there| there != *bytes) {
                blames.push(ended.blame(Fault::Silent, format!("{case}: {} is not whole", path.display())));
            }
        }
        disk.resize(PLENTY)?;
        let again = self.scene.run(&self.again(writer, &disk.folder))?;
        let case = format!("{case}, again with room");
        blames.extend(again.judge(&case, &Expected::Success));
        if again.succeeded() {
            for (path, bytes) in finals() {
                if !fs::read(disk.folder.join(path)).is_ok_and(|there| there == *bytes) {
                    let what = format!("{case}: {} is not that of a run with room", path.display());
                    blames.push(again.blame(Fault::Silent, what));
                }
            }
        }
        Ok(blames)
    }
}

/// A memory disk, which is unmounted in the end.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    fn mount(folder: PathBuf, kib: u64) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        command(&["mount", "-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs", &text(&folder)])?;
        Ok(Self { folder })
    }

    fn resize(&self, kib: u64) -> Result<()> {
        command(&["mount", "-o", &format!("remount,size={kib}k"), &text(&self.folder)])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The folder cannot be removed then, which says so.
        let _ = command(&["umount", &text(&self.folder)]);
    }
}

fn command(words: &[&str]) -> Result<()> {
    let mut command = Command::new(words[0]);
    let status = command.args(&words[1..]).stderr(Stdio::null()).status();
    let status = status.with_context(|| format!("{} cannot be started", words[0]))?;
    ensure!(status.success(), "`{}` failed", words.join(" "));
    Ok(())
}
