//! What is checked before a run has a directory.

use std::sync::Arc;

use ssl_core::{Encoder, Init, MethodRules, Needs, SslMethod, TokenEncoder};
use ssl_data::{DataError, LoaderConfig, TrainLoader};
use ssl_train::{TrainError, needs_of_views};

use super::resume::{self, Resumed};
use super::teacher::RunTeacher;
use super::{Pretraining, masks};
use crate::advice::{self, Advice, Situation};
use crate::memory::{self, Estimate, Machine};
use crate::preparation::EVAL_BATCH;
use crate::recipe::RecipeError;
use crate::{Error, Recipe};

/// A run that has passed all checks.
pub(super) struct Ready<'a, E> {
    pub(super) this: Pretraining<'a, ()>,
    /// The run that goes on, if one does.
    pub(super) resumed: Option<Resumed>,
    pub(super) estimate: Option<Estimate>,
    pub(super) encoder: E,
    pub(super) loader: TrainLoader,
    /// What its user should know; nothing of a run that goes on.
    pub(super) advice: Vec<Advice>,
}

impl<'a, F> Pretraining<'a, F> {
    /// Checks what can be checked before a directory is made.
    pub(super) fn ready<E, M>(mut self, method: &mut M) -> Result<Ready<'a, E>, Error>
    where
        E: Encoder,
        M: SslMethod<E>,
        F: FnOnce(&Recipe, &mut Init) -> Result<E, Error>,
    {
        let resumed = self.resumed()?;
        self.check(method)?;
        if let Some(teacher) = &self.teacher {
            method.learn_from(teacher.network());
        }
        let sharing = memory::sharing(&self.options.group);
        let estimate = self.memory(method, sharing)?;
        let mut init = Init::new(self.recipe.seed, &self.device.clone().autodiff());
        init = init.with_precision(self.recipe.precision);
        let (this, encoder) = self.with_encoder(&mut init, resumed.as_ref())?;
        let loader = this.loader(&encoder, &method.needs())?;
        let fits = method.check(&encoder, this.recipe.train_config().micro_batch());
        fits.map_err(RecipeError::MethodOption)?;
        let advice = match &resumed {
            None => this.advice(method, &loader, estimate.as_ref(), sharing)?,
            Some(_) => Vec::new(),
        };
        Ok(Ready { this, resumed, estimate, encoder, loader, advice })
    }

    /// The initial encoder, on the device of `init`. The weights of a checkpoint replace those that the run started from,
    /// whose file may be gone.
    fn with_encoder<E>(
        self,
        init: &mut Init,
        resumed: Option<&Resumed>,
    ) -> Result<(Pretraining<'a, ()>, E), Error>
    where
        F: FnOnce(&Recipe, &mut Init) -> Result<E, Error>,
    {
        let Self { recipe, defaults, teacher, options, device, data, make, observer } = self;
        let encoder = make(&resume::started_from(&recipe, resumed), init)?;
        Ok((Pretraining { recipe, defaults, teacher, options, device, data, make: (), observer }, encoder))
    }

    /// Checks that recipe and images fit the method.
    fn check(&self, method: &impl MethodRules) -> Result<(), Error> {
        self.recipe.precision.check(&self.device)?;
        let (needs, views) = (method.needs(), self.recipe.views()?);
        let (found, expected) = (views.len(), needs.global_views);
        needs_of_views(&needs, found)?;
        masks::check(&self.recipe, &needs)?;
        let sizes: Vec<usize> = (0..found).map(|view| views.size(view)).collect();
        let (global, local) = sizes.split_at(expected);
        if global.iter().any(|size| *size != global[0]) || local.iter().any(|size| *size > global[0]) {
            return Err(Error::ViewSizes { views: expected, sizes });
        }
        let config = self.recipe.train_config();
        config.check_method(method)?;
        config.check_share(self.options.group.size())?;
        self.recipe.check_splits_of_share(self.options.group.size())?;
        if needs.labels && self.data.train.labels().is_none() {
            return Err(TrainError::Labels.into());
        }
        let (batch_size, images) = (self.recipe.schedule.batch_size, self.data.train.len());
        if batch_size > images {
            return Err(DataError::BatchTooLarge { batch_size, images }.into());
        }
        Ok(())
    }

    /// The loader, with masks if the recipe has any.
    fn loader(&self, encoder: &impl Encoder, needs: &Needs) -> Result<TrainLoader, Error> {
        let (batch_size, group) = (self.recipe.train_config().micro_batch(), &self.options.group);
        let config = LoaderConfig { batch_size, workers: self.recipe.data.worker_threads() };
        let (views, data) = (self.recipe.views()?, Arc::clone(&self.data.train));
        let tokens = encoder.tokens();
        if (needs.tokens || needs.masks.is_some()) && tokens.is_none() {
            return Err(TrainError::Tokens(self.recipe.encoder.name.clone()).into());
        }
        let sizes: Vec<usize> = (0..views.len()).map(|view| views.size(view)).collect();
        let patch = tokens.map_or(1, TokenEncoder::patch_size);
        if let Some(view) = sizes.iter().position(|size| !size.is_multiple_of(patch)) {
            return Err(Error::ViewPatches { view, size: sizes[view], patch });
        }
        let loader = TrainLoader::new(data, views, self.recipe.seed, config)?;
        let loader = loader.with_share(group.rank(), group.size())?;
        match (&self.recipe.mask, tokens) {
            (Some(mask), Some(tokens)) => {
                let grids: Vec<_> = sizes.into_iter().map(|size| tokens.patch_grid([size; 2])).collect();
                Ok(loader.with_masks(mask.clone(), &grids).map_err(RecipeError::from)?)
            }
            _ => Ok(loader),
        }
    }

    /// The expected memory of one process of a run on the CPU, if anything is known of its encoder. So many share this machine.
    fn memory(&self, method: &impl MethodRules, sharing: usize) -> Result<Option<Estimate>, Error> {
        if !memory::is_of_machine(&self.options.device) {
            return Ok(None);
        }
        let recipe = self.share();
        let found = memory::of_run(&self.memory_run(&recipe, method))?;
        if let (Some(found), Some(machine)) = (&found, Machine::this()) {
            found.check(&machine, sharing)?;
        }
        Ok(found)
    }

    /// The recipe with this process's share of a batch.
    fn share(&self) -> Recipe {
        let mut recipe = self.recipe.clone();
        recipe.schedule.batch_size = recipe.schedule.batch_size.div_ceil(self.options.group.size());
        recipe
    }

    /// The run whose memory is estimated.
    fn memory_run<'r, M>(&'r self, recipe: &'r Recipe, method: &'r M) -> memory::Run<'r, M> {
        let images = &self.data.train;
        let evaluated = self.data.evaluation.as_ref().map_or(0, |sets| sets.bank.len().min(EVAL_BATCH));
        let teacher = self.teacher.as_ref().and_then(RunTeacher::footprint);
        memory::Run { recipe, method, images, evaluated, teacher }
    }

    /// What the user of a new run should know before it starts.
    fn advice(
        &self,
        method: &impl MethodRules,
        loader: &TrainLoader,
        memory: Option<&Estimate>,
        sharing: usize,
    ) -> Result<Vec<Advice>, Error> {
        let (recipe, images) = (&self.recipe, &*self.data.train);
        let (out, bytes) = (&self.options.out, memory::of_checkpoint(&self.memory_run(recipe, method))?);
        // What is overwritten makes room.
        let disk = bytes.filter(|_| !self.options.overwrite).map(|bytes| (out.as_path(), bytes));
        let (processes, steps_per_epoch) = (self.options.group.size(), self.steps_per_epoch(loader));
        let situation = Situation { recipe, images, processes, steps_per_epoch, disk };
        let mut advice = advice::of_run(&situation, method);
        advice.extend(advice::of_memory(memory, Machine::this().as_ref(), sharing));
        Ok(advice)
    }
}
