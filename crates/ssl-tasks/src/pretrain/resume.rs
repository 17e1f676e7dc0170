//! The directory of a run, and what a resumed run starts from.

use ssl_encoders::EncoderConfig;
use ssl_train::{IntactCheckpoint, RunDir, newest_intact_checkpoint};

use super::{Pretraining, existing};
use crate::recipe::Draft;
use crate::{Error, Recipe};

/// A run to be resumed.
pub(super) struct Resumed {
    run: RunDir,
    /// `None` if the run was stopped before its first checkpoint.
    checkpoint: Option<IntactCheckpoint>,
}

/// The recipe to build the encoder from. Where a checkpoint replaces the initial weights, it does not name their file, which
/// may be gone.
pub(super) fn started_from(recipe: &Recipe, resumed: Option<&Resumed>) -> Recipe {
    let mut recipe = recipe.clone();
    if resumed.is_some_and(|resumed| resumed.checkpoint.is_some()) {
        recipe.encoder = EncoderConfig { init: None, ..recipe.encoder };
    }
    recipe
}

impl<O, F> Pretraining<'_, O, F> {
    /// The run to resume, locked, if there is one.
    pub(super) fn resumed(&self) -> Result<Option<Resumed>, Error> {
        if !self.options.resume {
            return Ok(None);
        }
        let run = RunDir::open(&self.options.out)?.locked()?;
        let checkpoint = newest_intact_checkpoint(&run)?;
        Ok(Some(Resumed { run, checkpoint }))
    }

    /// Creates the directory or takes it over, and writes the recipe, whose TOML is `text`.
    pub(super) fn run_dir(&self, resumed: Option<Resumed>, text: &str) -> Result<RunDir, Error> {
        let run = match resumed {
            Some(resumed) => {
                self.check_recipe(&resumed)?;
                resumed.run
            }
            None => RunDir::create(&self.options.out, existing(self.options.overwrite))?,
        };
        let text = format!("# The recipe of this run with every key written out.\n\n{text}");
        run.write_atomic("recipe.toml", text.as_bytes())?;
        Ok(run)
    }

    /// Checks the recipe against those in the run's directory and checkpoint.
    fn check_recipe(&self, Resumed { run, checkpoint }: &Resumed) -> Result<(), Error> {
        if let Some((key, there, here)) = self.difference(Draft::of_run(run.path())?)? {
            return Err(Error::OtherRecipe { run: self.options.out.clone(), key, there, here });
        }
        let Some((checkpoint, text)) = checkpoint.as_ref().and_then(|found| Some((found, found.recipe()?)))
        else {
            return Ok(());
        };
        let checkpoint = checkpoint.folder();
        match self.difference(Draft::of_checkpoint(checkpoint, text)?)? {
            Some((key, there, here)) => {
                let checkpoint = checkpoint.to_owned();
                Err(Error::EditedRecord { record: run.recipe(), checkpoint, key, there, here })
            }
            None => Ok(()),
        }
    }

    /// The first key in which the recipe of the run, `first`, differs from the one given.
    fn difference(&self, first: Draft) -> Result<Option<(String, String, String)>, Error> {
        let mut first = first.finish()?;
        // Options added since the run have their defaults there.
        for (key, value) in &self.defaults {
            first.method_options.entry(key).or_insert_with(|| value.clone());
        }
        Ok(Draft::first_difference(&first, &self.recipe))
    }
}
