//! The directory of a run, and what a resumed run starts from.

use std::fs;

use ssl_core::ConfigError;
use ssl_encoders::EncoderConfig;
use ssl_train::{IntactCheckpoint, RunDir, ScheduleConfig, TrainError, newest_intact_checkpoint};
use tracing::info;

use super::{Pretraining, existing};
use crate::recipe::Draft;
use crate::{Error, Recipe};

/// A run to be resumed.
pub(super) struct Resumed {
    run: RunDir,
    /// `None` if the run was stopped before its first checkpoint.
    checkpoint: Option<IntactCheckpoint>,
    /// The steps of the run before and now, if its length changes.
    lengths: Option<[u64; 2]>,
}

impl Resumed {
    pub(super) fn run(&self) -> &RunDir {
        &self.run
    }
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
    /// The run to resume, locked, if there is one, after checking that the recipe is still its own. The recipe gets the lengths
    /// that the run had before.
    pub(super) fn resumed(&mut self) -> Result<Option<Resumed>, Error> {
        if !self.options.resume {
            self.recipe.check_new()?;
            return Ok(None);
        }
        let mut run = RunDir::open(&self.options.out)?;
        if self.options.group.rank() == 0 {
            run = run.locked()?;
        }
        let checkpoint = newest_intact_checkpoint(&run)?;
        let before = self.whole(Draft::record(run.path())?);
        if self.recipe.schedule.earlier_lengths.is_empty() {
            self.recipe.schedule.earlier_lengths.clone_from(&before.schedule.earlier_lengths);
        }
        if let Some((key, there, here)) = before.kept_difference(&self.recipe) {
            return Err(Error::OtherRecipe { run: self.options.out.clone(), key, there, here });
        }
        let lengths = match &checkpoint {
            Some(checkpoint) => {
                self.check_record(&run, &before, checkpoint)?;
                self.set_length(&before.schedule, checkpoint)?
            }
            None => None,
        };
        Ok(Some(Resumed { run, checkpoint, lengths }))
    }

    /// Creates the directory or takes it over.
    pub(super) fn run_dir(&self, resumed: Option<&Resumed>) -> Result<RunDir, Error> {
        Ok(match resumed {
            Some(resumed) => resumed.run.clone(),
            None => RunDir::create(&self.options.out, existing(self.options.overwrite))?,
        })
    }

    /// Writes the recipe, whose TOML is `text`, once `check` has found that the run can go on.
    pub(super) fn write_recipe(
        &self,
        run: &RunDir,
        text: &str,
        resumed: Option<&Resumed>,
        check: impl FnOnce() -> Result<(), TrainError>,
    ) -> Result<(), Error> {
        let text = format!("# The recipe of this run with every key written out.\n\n{text}");
        if resumed.is_some() {
            if fs::read(run.recipe()).is_ok_and(|there| there == text.as_bytes()) {
                return Ok(());
            }
            check()?;
        }
        if let Some((checkpoint, [before, now])) =
            resumed.and_then(|resumed| resumed.checkpoint.as_ref().zip(resumed.lengths))
        {
            let step = checkpoint.step();
            info!(
                "from step {step} on, the run has {now} steps instead of {before}, and its schedules follow"
            );
            // First of all: an encoder beside the new recipe would count as the result of the longer run.
            if let Some(kept) = run.set_encoder_aside(before)? {
                info!("the encoder of the shorter run is now {}", kept.display());
            }
        }
        run.write_atomic("recipe.toml", text.as_bytes())?;
        Ok(())
    }

    /// A recipe of a run with all of its method's options. Those added since the run have their defaults there.
    fn whole(&self, mut recipe: Recipe) -> Recipe {
        for (key, value) in &self.defaults {
            recipe.method_options.entry(key).or_insert_with(|| value.clone());
        }
        recipe
    }

    /// Checks the recipe in the run's directory against the one in its checkpoint, if that has one.
    fn check_record(
        &self,
        run: &RunDir,
        record: &Recipe,
        checkpoint: &IntactCheckpoint,
    ) -> Result<(), Error> {
        let written = Recipe::of_checkpoint(checkpoint, record)?;
        match written.and_then(|written| self.whole(written).difference(record)) {
            Some((key, there, here)) => {
                let checkpoint = checkpoint.folder().to_owned();
                Err(Error::EditedRecord { record: run.recipe(), checkpoint, key, there, here })
            }
            None => Ok(()),
        }
    }

    /// Changes the length of a run whose schedule was `before`, and returns its steps before and now if they differ.
    fn set_length(
        &mut self,
        before: &ScheduleConfig,
        checkpoint: &IntactCheckpoint,
    ) -> Result<Option<[u64; 2]>, Error> {
        let (step, per_epoch) = (checkpoint.step(), checkpoint.steps_per_epoch());
        let now = self.recipe.schedule.clone().continuing(before, step, per_epoch);
        let steps @ [old, new] = [before, &now].map(|schedule| schedule.total_steps(per_epoch));
        if old == new {
            let (epochs, max_steps) = (now.epochs, now.max_steps.unwrap_or(u64::MAX));
            let found = format!("{epochs} with schedule.max_steps = {max_steps}");
            let expected = "schedule.max_steps to be changed too, since it ends the run";
            ConfigError::check(
                epochs == before.epochs || new != max_steps,
                "schedule.epochs",
                found,
                expected,
            )?;
        }
        if step > new {
            return Err(
                TrainError::PastTheEnd { path: checkpoint.folder().to_owned(), step, total: new }.into()
            );
        }
        self.recipe.schedule = now;
        if old == new {
            return Ok(None);
        }
        self.recipe.check_new()?;
        Ok(Some(steps))
    }
}
