//! The users, and how far they go.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::step::Step;
use crate::{documents, images};

/// The photographs of an engineer.
const PHOTOS: usize = 200;
/// The images of a researcher: as many as `demo` renders.
const IMAGES: usize = 5000;

/// What a short way adds to the commands, so that it takes seconds in a build for tests.
const SHORT: [(&str, &str); 3] =
    [("pretrain", " --max-steps 2"), ("finetune", " --epochs 1"), ("linear", " --epochs 1")];

/// How far a journey goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// As the documents print it.
    Whole,
    /// With a tenth of the images and few steps.
    Short,
}

/// What the journeys share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `burn-ssl` to call.
    pub program: PathBuf,
    /// The folder of the repository.
    pub repository: PathBuf,
    /// An empty folder for what the steps write.
    pub folder: PathBuf,
    /// Columns of the terminal.
    pub columns: u16,
    /// How far it goes.
    pub length: Length,
    /// Photographs for the engineer; made ones if there are none.
    pub photos: Option<PathBuf>,
    /// A Python with onnxruntime and Pillow, for who follows the guide.
    pub python: Option<PathBuf>,
}

/// An engineer with some hundred photographs without labels, who wants to search them.
///
/// # Errors
/// If images or README cannot be read or written.
pub fn engineer(settings: &Settings) -> Result<Vec<Step>> {
    settings.take_photos(PHOTOS)?;
    settings.walk("README.md", "engineer")
}

/// A researcher with small images in a folder for each class.
///
/// # Errors
/// If images or README cannot be read or written.
pub fn researcher(settings: &Settings) -> Result<Vec<Step>> {
    images::class_folders(&settings.folder, settings.count(IMAGES))?;
    settings.walk("README.md", "researcher")
}

impl Settings {
    /// Puts photographs into `photos`, and the first one beside it as `cat.jpg`, with which the documents search.
    pub(crate) fn take_photos(&self, count: usize) -> Result<()> {
        let photos = self.folder.join("photos");
        match &self.photos {
            Some(real) => symlink(fs::canonicalize(real)?, &photos)?,
            None => images::photos(&photos, self.count(count))?,
        }
        let mut files = fs::read_dir(&photos)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        files.sort();
        let first = files.first().with_context(|| format!("{} is empty", photos.display()))?;
        fs::copy(first, self.folder.join("cat.jpg"))?;
        Ok(())
    }

    pub(crate) fn count(&self, images: usize) -> usize {
        match self.length {
            Length::Whole => images,
            Length::Short => (images / 10).min(100),
        }
    }

    /// Takes the steps that a document marks with the name of a user.
    pub(crate) fn walk(&self, document: &str, user: &str) -> Result<Vec<Step>> {
        let commands = documents::commands(&self.read(document)?, user);
        ensure!(commands.len() > 2, "{document} has {} commands of the {user}", commands.len());
        let step = |command: String| {
            let line = match self.length {
                Length::Whole => command,
                Length::Short => shortened(command),
            };
            Step::of_tool(&self.program, &self.folder, self.columns, &line)
        };
        Ok(commands.into_iter().map(step).collect())
    }

    pub(crate) fn read(&self, document: impl AsRef<Path>) -> Result<String> {
        let path = self.repository.join(document);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

fn shortened(command: String) -> String {
    let name = command.split(' ').nth(1).unwrap_or_default();
    let more = SHORT.iter().find(|(long, _)| *long == name && !command.contains("--resume"));
    command.clone() + more.map_or("", |(_, more)| more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_way_is_short_where_it_would_be_long() {
        assert_eq!(
            shortened("burn-ssl pretrain --out run".into()),
            "burn-ssl pretrain --out run --max-steps 2"
        );
        for kept in ["burn-ssl pretrain --resume --out run", "burn-ssl knn --run run"] {
            assert_eq!(shortened(kept.into()), kept);
        }
    }
}
