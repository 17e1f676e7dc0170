//! The commands that pretrain, and that say what it will take.

use std::path::PathBuf;

use anyhow::Result;
use burn_ssl::recipe::{Chosen, Draft, fit_warmup};
use burn_ssl::registry::advice::{Recommended, Situation};
use burn_ssl::{AutoOptions, PlanOptions, PretrainOptions, Recipe, RunReport, choose_auto, plan, pretrain};
use serde_json::json;

use crate::Ended;
use crate::args::{Asked, PlanArgs, PretrainArgs, RunArgs, set};
use crate::here::Here;
use crate::hint::assignment;
use crate::interrupt::Stop;
use crate::output::print;
use crate::progress::Bar;

/// The exit code of a run that waits for a decision; as that of wrong usage, since it is a matter of options.
pub(super) const UNDECIDED: u8 = 2;
/// The exit code of a plan of a run that cannot work.
const CANNOT_WORK: u8 = 1;

/// The report of a run, or none if a method was proposed instead.
pub(super) fn run_pretrain(
    args: PretrainArgs,
    json: bool,
    here: &Here,
    stop: &mut Stop,
) -> Result<Option<RunReport>> {
    let PretrainArgs { mut run, out } = args;
    let mut notes = Vec::new();
    if let Some((situation, recommended)) = proposal(&run, here)? {
        if !run.yes {
            let command = run.recipe.with_method(recommended.method).pretraining(&run.model);
            tell(&situation, &recommended, &command, json, here)?;
            return Ok(None);
        }
        notes.push(sentence(&situation, &recommended));
        run.recipe.set_method(recommended.method);
    }
    let (recipe, options) = run_of(run, Some(out), notes, here)?;
    here.listen(stop)?;
    Ok(Some(pretrain(&recipe, &options, &mut Bar::new(&here.bars, stop.clone()))?.into()))
}

pub(super) fn run_plan(args: PlanArgs, json: bool, here: &Here) -> Result<Ended> {
    let PlanArgs { mut run, out, no_steps } = args;
    let mut notes = Vec::new();
    if let Some((situation, recommended)) = proposal(&run, here)? {
        notes.push(sentence(&situation, &recommended));
        run.recipe.set_method(recommended.method);
    }
    let (recipe, options) = run_of(run, out, notes, here)?;
    let report = plan(&recipe, &PlanOptions { steps: !no_steps, ..PlanOptions::new(options) })?;
    let cannot_work = report.cannot_work();
    if here.speaks() {
        let words = report.words(assignment);
        print(json, &RunReport::from(report), words)?;
    }
    Ok(if cannot_work { Ended::NoRun(CANNOT_WORK) } else { Ended::Done })
}

/// The method to propose, if none is named.
fn proposal(run: &RunArgs, here: &Here) -> Result<Option<(Situation, Recommended)>> {
    if run.resume {
        return Ok(None);
    }
    run.recipe.proposal(run.model.name(), run.training.batch_size(), here.device(&run.machine.device)?)
}

/// The recipe and the options of a run.
fn run_of(
    args: RunArgs,
    out: Option<PathBuf>,
    mut notes: Vec<String>,
    here: &Here,
) -> Result<(Recipe, PretrainOptions)> {
    let (device, out) = (here.device(&args.machine.device)?, out.unwrap_or_default());
    let chosen = if args.resume {
        Chosen { name: None, draft: Draft::of_run(&out)?, notes: Vec::new() }
    } else {
        args.recipe.base(&Asked { model: args.model.name(), batch: args.training.batch(), device })?
    };
    let Chosen { name, draft, notes: of_recipe } = chosen;
    notes.extend(of_recipe);
    // A checkpoint has the weights of a resumed run, and their file may be gone.
    let weights = if args.resume { None } else { args.training.weights()? };
    // A file may leave to the options what every recipe needs.
    let usual = draft.clone().finish().ok().map(|recipe| recipe.schedule);
    let mut draft = args.recipe.applied_to(draft, |draft| {
        args.model.apply(draft, weights.as_deref())?;
        args.training.apply(draft)?;
        set(draft, "data.workers", args.machine.workers)
    })?;
    let on_machine = here.job.local().and_then(|local| local.size).unwrap_or(1);
    let job = AutoOptions { device, processes: here.group().size(), on_machine };
    notes.extend(choose_auto(&mut draft, job)?);
    if let Some(usual) = usual.filter(|_| !args.resume && !args.recipe.sets("schedule.warmup_epochs")) {
        notes.extend(fit_warmup(&mut draft, &usual)?);
    }
    let options = PretrainOptions {
        recipe_name: name,
        out,
        device,
        overwrite: args.overwrite,
        resume: args.resume,
        accept_changed_data: args.accept_changed_data,
        report: !args.no_report,
        group: here.group(),
        notes,
    };
    Ok((draft.finish()?, options))
}

/// Prints a proposal, and how to go on with it.
fn tell(
    situation: &Situation,
    recommended: &Recommended,
    command: &str,
    json: bool,
    here: &Here,
) -> Result<()> {
    if !here.speaks() {
        return Ok(());
    }
    let words = format!(
        "no method is named; {}\nto go on with it, add --yes, or:\n  {command}\nother methods: burn-ssl methods",
        sentence(situation, recommended)
    );
    print(json, &json!({ "proposed": recommended, "situation": situation }), words)
}

fn sentence(situation: &Situation, Recommended { method, why }: &Recommended) -> String {
    let Situation { images, classes, pixels, batch_size, .. } = situation;
    let labels = classes.map_or("without labels".to_owned(), |classes| format!("of {classes} classes"));
    let pixels = pixels.map(|pixels| format!(", of {pixels} pixels")).unwrap_or_default();
    format!(
        "proposed for {images} images {labels}{pixels}, in batches of {batch_size}: {method}, since {why}"
    )
}
