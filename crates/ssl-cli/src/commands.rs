//! The commands: from arguments to the options of the library, and from its reports to text.

mod classifier;
mod lists;
mod tools;
mod training;

use std::path::{Path, PathBuf};

use anyhow::Result;
use burn_ssl::core::DeviceSpec;
use burn_ssl::demo::{DemoOptions, demo};
use burn_ssl::export::{ExportOptions, export};
use burn_ssl::recipe::{Chosen, Draft, fit_warmup};
use burn_ssl::{PretrainOptions, PreviewOptions, RunReport, pretrain, preview};
use indicatif::MultiProgress;

use crate::args::{Args, Asked, Command, DemoArgs, ExportArgs, PretrainArgs, PreviewArgs, set};
use crate::output::{print, say};
use crate::progress::Bar;
use crate::{Ended, interrupt};

/// Runs a command.
pub(crate) fn run(args: Args, bars: &MultiProgress) -> Result<Ended> {
    let json = args.json;
    let mut next = None;
    let report = match args.command {
        Command::Demo(args) => run_demo(args, bars)?,
        Command::Pretrain(args) => run_pretrain(args, bars)?,
        Command::Knn(args) => classifier::run_knn(args)?,
        Command::Segment(args) => classifier::run_segment(args)?,
        Command::Linear(args) => classifier::run_linear(args, bars)?,
        Command::Finetune(args) => training::run_finetune(args, bars)?,
        Command::Distill(args) => training::run_distill(args, bars)?,
        Command::Embed(args) => training::run_embed(args)?,
        Command::Similar(args) => tools::run_similar(args)?,
        Command::Compare(args) => tools::run_compare(args)?,
        Command::Report(args) => tools::run_report(args)?,
        Command::Runs(args) => tools::run_runs(args)?,
        Command::Dedup(args) => tools::run_dedup(args)?,
        Command::Export(args) => run_export(args)?,
        Command::Preview(args) => {
            next = Some(format!("pretrain on them:\n  {}", args.recipe.pretraining(&args.model)));
            run_preview(&args)?
        }
        Command::Methods(args) => return lists::methods(&args, json).map(|()| Ended::Done),
        Command::Models => return lists::models(json).map(|()| Ended::Done),
        Command::Recipes { name } => return lists::recipes(name.as_deref(), json).map(|()| Ended::Done),
        Command::Devices => return lists::devices(json).map(|()| Ended::Done),
    };
    print(json, &report, &report)?;
    if matches!(report, RunReport::Demo(_)) {
        next =
            Some("your own images:\n  burn-ssl pretrain --method simclr --data FOLDER --out run".to_owned());
    }
    if let Some(next) = next.filter(|_| !json) {
        say(next);
    }
    Ok(ended(&report))
}

/// Says how to resume a training that was stopped.
fn ended(report: &RunReport) -> Ended {
    let Some(step) = report.stopped_after() else { return Ended::Done };
    let resume = match report {
        RunReport::Finetune(_) => "with the same options:\n  burn-ssl finetune ... --resume".to_owned(),
        RunReport::Distill(_) => "with the same options:\n  burn-ssl distill ... --resume".to_owned(),
        RunReport::Demo(report) => resume_pretraining(&report.run.out),
        RunReport::Pretrain(report) => resume_pretraining(&report.out),
        _ => return Ended::Done,
    };
    eprintln!("stopped and saved after step {step}; resume {resume}");
    Ended::Interrupted
}

fn resume_pretraining(out: &Path) -> String {
    format!("with:\n  burn-ssl pretrain --resume --out {}", out.display())
}

fn run_demo(args: DemoArgs, bars: &MultiProgress) -> Result<RunReport> {
    let mut options = DemoOptions::new(args.out.unwrap_or_else(free_folder));
    options.run.device = args.machine.device.parse::<DeviceSpec>()?;
    options.run.overwrite = args.overwrite;
    options.seed = args.seed as u64;
    options.workers = args.machine.workers.unwrap_or(0) as usize;
    Ok(demo(&options, &mut Bar::new(bars, interrupt::on_signal(bars)?))?.into())
}

/// `burn-ssl-demo`, or the first unused one of `burn-ssl-demo-2`, `-3` ….
fn free_folder() -> PathBuf {
    let names =
        std::iter::once("burn-ssl-demo".to_owned()).chain((2_u64..).map(|n| format!("burn-ssl-demo-{n}")));
    let mut folders = names.map(PathBuf::from).filter(|folder| !folder.exists());
    folders.next().unwrap_or_default()
}

fn run_pretrain(args: PretrainArgs, bars: &MultiProgress) -> Result<RunReport> {
    let device = args.machine.device.parse::<DeviceSpec>()?;
    let Chosen { name, draft, mut notes } = if args.resume {
        Chosen { name: None, draft: Draft::of_run(&args.out)?, notes: Vec::new() }
    } else {
        args.recipe.base(&Asked { model: args.model.name(), batch: args.training.batch(), device })?
    };
    // A checkpoint has the weights of a resumed run, and their file may be gone.
    let weights = if args.resume { None } else { args.training.weights()? };
    // A file may leave to the options what every recipe needs.
    let usual = draft.clone().finish().ok().map(|recipe| recipe.schedule);
    let mut draft = args.recipe.applied_to(draft, |draft| {
        args.model.apply(draft, weights.as_deref())?;
        args.training.apply(draft)?;
        set(draft, "data.workers", args.machine.workers)
    })?;
    if let Some(usual) = usual.filter(|_| !args.resume && !args.recipe.sets("schedule.warmup_epochs")) {
        notes.extend(fit_warmup(&mut draft, &usual)?);
    }
    let recipe = draft.finish()?;
    let options = PretrainOptions {
        recipe_name: name,
        out: args.out,
        device,
        overwrite: args.overwrite,
        resume: args.resume,
        accept_changed_data: args.accept_changed_data,
        report: !args.no_report,
        notes,
    };
    Ok(pretrain(&recipe, &options, &mut Bar::new(bars, interrupt::on_signal(bars)?))?.into())
}

fn run_export(args: ExportArgs) -> Result<RunReport> {
    let ExportArgs { run, out, format, overwrite } = args;
    Ok(export(&ExportOptions { run, out, format, overwrite })?.into())
}

fn run_preview(args: &PreviewArgs) -> Result<RunReport> {
    let mut options = PreviewOptions::new(&args.out);
    (options.images, options.overwrite) = (args.images as usize, args.overwrite);
    let asked = Asked { model: args.model.name(), ..Asked::default() };
    let draft = args.recipe.base(&asked)?.draft;
    let recipe = args.recipe.applied_to(draft, |draft| args.model.apply(draft, None))?.finish()?;
    Ok(preview(&recipe, &options)?.into())
}
