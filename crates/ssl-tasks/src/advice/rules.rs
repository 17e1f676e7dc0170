//! The rules that hold for every method.

use std::collections::BTreeSet;
use std::path::Path;

use ssl_core::{Advice as Found, Change, MethodRules, Plan};
use ssl_data::Dataset;
use ssl_encoders::Family;
use ssl_files::free_space;

use super::Advice;
use crate::auto;
use crate::memory::{Bytes, Estimate, Machine};
use crate::recipe::MadeFor;
use crate::{Recipe, images};

/// Fewer images than this in a group of batch norm: its error rises from here on (Wu and He 2018, figure 1).
const SMALL_GROUP: usize = 8;
/// A run that draws less than this share of the images that its recipe was made for (our choice).
const FAR_FEWER: f64 = 0.1;
/// Steps in which weights hardly move (our choice: the recipes for short runs have 390).
const FEW_STEPS: u64 = 100;
/// By how much views may be larger than images (our choice: 32 pixels for the 28 of MNIST).
const ENLARGED: f64 = 1.25;

/// A run that is about to start.
pub(crate) struct Situation<'a> {
    /// Resolved.
    pub(crate) recipe: &'a Recipe,
    pub(crate) images: &'a Dataset,
    pub(crate) processes: usize,
    pub(crate) steps_per_epoch: u64,
    /// Where checkpoints go, and the bytes of one, if known.
    pub(crate) disk: Option<(&'a Path, f64)>,
}

/// What is known of a run from its recipe, its images and its method.
pub(crate) fn of_run(situation: &Situation<'_>, method: &impl MethodRules) -> Vec<Advice> {
    let Situation { recipe, steps_per_epoch, .. } = *situation;
    let plan = situation.plan();
    let mut found = method.advice(&plan);
    found.extend(situation.groups());
    found.extend(situation.enlarged());
    // Weights that were trained before need less.
    if recipe.encoder.init.is_none() {
        found.extend(situation.shorter(&plan).or_else(|| few_steps(&plan)));
    }
    found.extend(situation.disk());
    let mut advice: Vec<_> =
        found.into_iter().map(|found| Advice::on(recipe, steps_per_epoch, found)).collect();
    advice.sort_by_key(|advice| advice.severity as u8);
    advice
}

/// What is to be said of memory that is not free, where so many processes share a machine.
pub(crate) fn of_memory(
    memory: Option<&Estimate>,
    machine: Option<&Machine>,
    processes: usize,
) -> Option<Advice> {
    let (memory, machine) = memory.zip(machine)?;
    let keys = memory.short_of(machine, processes)?;
    let each = match processes {
        0 | 1 => String::new(),
        processes => format!(", in each of its {processes} processes here"),
    };
    let found = format!("the run needs about {memory}{each}, and {} are free", Bytes(machine.available));
    Some(Advice { severity: super::Severity::Unwise, found, expected: keys.to_owned(), changes: Vec::new() })
}

impl Situation<'_> {
    /// The run as its method sees it.
    pub(crate) fn plan(&self) -> Plan {
        let config = self.recipe.train_config();
        let images = self.images;
        Plan {
            images: images.len(),
            classes: images.labels().map(|labels| labels.iter().collect::<BTreeSet<_>>().len()),
            batch: config.micro_batch(),
            views: self.recipe.views().map_or(2, |views| views.len()),
            accumulate: config.batch.accumulate,
            steps: self.recipe.schedule.total_steps(self.steps_per_epoch),
            steps_per_epoch: self.steps_per_epoch,
        }
    }

    /// Groups of batch norm with few images.
    fn groups(&self) -> Option<Found> {
        let (recipe, config) = (self.recipe, self.recipe.train_config());
        let processes = if config.batch.sync_bn { 1 } else { self.processes.max(1) };
        let splits = recipe.encoder.bn_splits.max(1);
        let group = config.pass() / processes / splits;
        if recipe.encoder.family() != Some(Family::ResNet) || group >= SMALL_GROUP {
            return None;
        }
        let mut changes = Vec::new();
        let per_group = |images: usize| images * processes * splits * config.batch.accumulate;
        if splits > 1 && config.pass() / processes >= SMALL_GROUP {
            changes.push(Change::key("encoder.bn_splits", 1));
        }
        if processes > 1 {
            changes.push(Change::key("train.sync_bn", true));
        }
        match config.batch.embed_chunk {
            Some(_) => changes.push(Change::key("train.embed_chunk", per_group(SMALL_GROUP))),
            None if per_group(SMALL_GROUP) <= self.images.len() => {
                changes.push(Change::key("schedule.batch_size", per_group(SMALL_GROUP)));
            }
            None => {}
        }
        let found = match group {
            0 | 1 => "batch norm sees one image at a time".to_owned(),
            images => format!("batch norm sees {images} images at a time"),
        };
        let expected = format!("at least {SMALL_GROUP}, or its statistics are mostly noise");
        Some(match group {
            0 | 1 => Found::cannot_work(found, expected, changes),
            _ => Found::unwise(found, expected, changes),
        })
    }

    /// Views that are larger than the images.
    fn enlarged(&self) -> Option<Found> {
        let side = images::usual_side(self.images)?;
        let view = self.recipe.views.iter().map(|view| view.size).max()?;
        if view as f64 <= ENLARGED * side as f64 {
            return None;
        }
        let patch = self.recipe.encoder.patch_pixels().unwrap_or(1).max(1);
        let fitting = (side / patch * patch).max(patch);
        let found = format!("views of {view} pixels are made of images of {side}");
        let expected =
            "views that are hardly larger than the images: enlarged ones cost more and show no more";
        Some(Found::unwise(found, expected, vec![Change::key("data.image_size", fitting)]))
    }

    /// A run that is far shorter than its recipe was made for.
    fn shorter(&self, plan: &Plan) -> Option<Found> {
        let made_for = self.recipe.made_for?;
        let drawn = plan.steps as f64 * (plan.batch * plan.accumulate) as f64;
        if drawn >= FAR_FEWER * made_for.drawn() {
            return None;
        }
        let MadeFor { images, epochs, .. } = made_for;
        let found = format!(
            "the run draws {drawn:.0} images, and the recipe was made for {:.0}: {images} images, {epochs} epochs",
            made_for.drawn()
        );
        let expected = "a tenth of that at least, or a recipe for shorter runs";
        let longer = auto::epochs(&made_for, plan.images);
        let steps = longer.saturating_mul(self.steps_per_epoch);
        let changes = if steps > plan.steps { vec![Change::Steps(steps)] } else { Vec::new() };
        Some(Found::unwise(found, expected, changes))
    }

    /// Checkpoints that do not fit on the disk.
    fn disk(&self) -> Option<Found> {
        let (path, bytes) = self.disk?;
        let (keep, free) = (self.recipe.checkpoint.keep, free_space(path)? as f64);
        let needed = disk_of(bytes, keep);
        if needed <= free {
            return None;
        }
        let place = path.display();
        let found = format!("checkpoints take {}, and {} are free for {place}", Bytes(needed), Bytes(free));
        let changes = if keep > 0 { vec![Change::key("checkpoint.keep", 0)] } else { Vec::new() };
        Some(Found::cannot_work(found, "more space, or a smaller network", changes))
    }
}

/// The most that checkpoints take: the last one, the one that takes its place, and those that are kept. The one from before what looks
/// like a collapse is not among them: a run goes on without it where there is no room.
pub(crate) fn disk_of(bytes: f64, keep: usize) -> f64 {
    bytes * (2 + keep) as f64
}

/// A run of few steps.
fn few_steps(plan: &Plan) -> Option<Found> {
    if plan.steps >= FEW_STEPS {
        return None;
    }
    let found = format!("the run has {} steps of {} images", plan.steps, plan.batch * plan.accumulate);
    let expected = format!("at least {FEW_STEPS} steps, since weights hardly move in fewer");
    let factor = FEW_STEPS as f64 / plan.steps.max(1) as f64;
    Some(Found::unwise(found, expected, vec![plan.with_length(factor)]))
}
