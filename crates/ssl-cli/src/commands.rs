//! The commands: from arguments to the options of the library, and from its reports to text.

mod classifier;
mod lists;
mod manual;
mod pretraining;
mod tools;
mod training;

use std::path::{Path, PathBuf};

use anyhow::Result;
use burn_ssl::demo::{DemoOptions, demo};
use burn_ssl::export::{ExportOptions, export};
use burn_ssl::{PreviewOptions, RunReport, preview};

use crate::Ended;
use crate::args::{Args, Asked, Command, DemoArgs, ExportArgs, PreviewArgs};
use crate::here::Here;
use crate::interrupt::Stop;
use crate::output::{print, say};
use crate::progress::Bar;

/// Runs a command.
pub(crate) fn run(args: Args, here: &Here) -> Result<Ended> {
    let (json, shared) = (args.json, is_shared(&args.command));
    let mut stop = Stop::default();
    if !here.group().is_solo() && can_stop(&args.command) {
        stop = here.stop()?; // from the start: a scheduler may send its signal at any time, and to all
    }
    if !here.speaks() && !shared {
        return Ok(Ended::Done);
    }
    let mut next = None;
    let report = match args.command {
        Command::Demo(args) => run_demo(args, here, &mut stop)?,
        Command::Pretrain(args) => match pretraining::run_pretrain(args, json, here, &mut stop)? {
            Some(report) => report,
            None => return Ok(Ended::NoRun(pretraining::UNDECIDED)),
        },
        Command::Plan(args) => return pretraining::run_plan(args, json, here),
        Command::Knn(args) => classifier::run_knn(args, here)?,
        Command::Segment(args) => classifier::run_segment(args, here)?,
        Command::Linear(args) => classifier::run_linear(args, here)?,
        Command::Finetune(args) => training::run_finetune(args, here, &mut stop)?,
        Command::Distill(args) => training::run_distill(args, here, &mut stop)?,
        Command::Embed(args) => training::run_embed(args, here)?,
        Command::Classify(args) => tools::run_classify(args, here)?,
        Command::Similar(args) => tools::run_similar(args, here)?,
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
        Command::Completions { shell } => return manual::completions(shell).map(|()| Ended::Done),
        Command::Man { out, overwrite } => {
            return manual::pages(out.as_deref(), overwrite, json).map(|()| Ended::Done);
        }
    };
    if !here.speaks() {
        return Ok(ended(&report, here, shared, &stop));
    }
    print(json, &report, &report)?;
    if matches!(report, RunReport::Demo(_)) {
        next =
            Some("your own images:\n  burn-ssl pretrain --method simclr --data FOLDER --out run".to_owned());
    }
    if let Some(next) = next.filter(|_| !json) {
        say(next)?;
    }
    Ok(ended(&report, here, shared, &stop))
}

/// Whether the processes of a job work on a command together; on others, the first one works alone.
fn is_shared(command: &Command) -> bool {
    use Command::{Distill, Embed, Finetune, Knn, Linear, Plan, Pretrain};
    matches!(command, Plan(_) | Pretrain(_) | Knn(_) | Linear(_) | Finetune(_) | Distill(_) | Embed(_))
}

/// Whether a command ends at a signal with a checkpoint; of any other, a signal ends the process.
fn can_stop(command: &Command) -> bool {
    use Command::{Demo, Distill, Finetune, Pretrain};
    matches!(command, Demo(_) | Pretrain(_) | Finetune(_) | Distill(_))
}

/// Says how to resume a training that was stopped.
fn ended(report: &RunReport, here: &Here, shared: bool, stop: &Stop) -> Ended {
    let Some(step) = report.stopped_after() else { return Ended::Done };
    let resume = match report {
        RunReport::Finetune(_) => "with the same options:\n  burn-ssl finetune ... --resume".to_owned(),
        RunReport::Distill(_) => "with the same options:\n  burn-ssl distill ... --resume".to_owned(),
        RunReport::Demo(report) => resume_pretraining(&report.run.out),
        RunReport::Pretrain(report) => resume_pretraining(&report.out),
        _ => return Ended::Done,
    };
    if here.speaks() {
        eprintln!("stopped and saved after step {step}; resume {resume}");
    }
    if !shared {
        return Ended::Stopped(stop.code());
    }
    // The signal may have reached only one of the processes.
    let codes = here.job.group().gather_bytes(vec![stop.code()]);
    Ended::Stopped(codes.concat().into_iter().max().unwrap_or_default())
}

fn resume_pretraining(out: &Path) -> String {
    format!("with:\n  burn-ssl pretrain --resume --out {}", out.display())
}

fn run_demo(args: DemoArgs, here: &Here, stop: &mut Stop) -> Result<RunReport> {
    let mut options = DemoOptions::new(args.out.unwrap_or_else(free_folder));
    options.run.device = here.device(&args.machine.device)?;
    options.run.overwrite = args.overwrite;
    options.seed = args.seed as u64;
    options.workers = args.machine.workers.unwrap_or(0) as usize;
    here.listen(stop)?;
    Ok(demo(&options, &mut Bar::new(&here.bars, stop.clone()))?.into())
}

/// `burn-ssl-demo`, or the first unused one of `burn-ssl-demo-2`, `-3` ….
fn free_folder() -> PathBuf {
    let names =
        std::iter::once("burn-ssl-demo".to_owned()).chain((2_u64..).map(|n| format!("burn-ssl-demo-{n}")));
    let mut folders = names.map(PathBuf::from).filter(|folder| !folder.exists());
    folders.next().unwrap_or_default()
}

fn run_export(args: ExportArgs) -> Result<RunReport> {
    let ExportArgs { run, out, format, input, license, overwrite } = args;
    Ok(export(&ExportOptions { run, out, format, input, license, overwrite })?.into())
}

fn run_preview(args: &PreviewArgs) -> Result<RunReport> {
    let mut options = PreviewOptions::new(&args.out);
    (options.images, options.overwrite) = (args.images as usize, args.overwrite);
    let asked = Asked { model: args.model.name(), ..Asked::default() };
    let draft = args.recipe.base(&asked)?.draft;
    let recipe = args.recipe.applied_to(draft, |draft| args.model.apply(draft, None))?.finish()?;
    Ok(preview(&recipe, &options)?.into())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn commands_without_checkpoints_leave_signals_alone() {
        let stops = |line: &str| {
            let args = Args::try_parse_from(line.split(' ')).expect("a command");
            can_stop(&args.command)
        };
        for line in [
            "burn-ssl demo",
            "burn-ssl pretrain --data a --out b",
            "burn-ssl finetune --run a --out b",
            "burn-ssl distill --teacher a --data b --out c",
        ] {
            assert!(stops(line), "{line}");
        }
        for line in [
            "burn-ssl plan --data a",
            "burn-ssl knn --run a",
            "burn-ssl linear --run a",
            "burn-ssl embed --run a --data b --out c",
            "burn-ssl models",
        ] {
            assert!(!stops(line), "{line}");
        }
    }
}
