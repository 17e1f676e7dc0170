//! From arguments to the library and back to words.

mod classifier;
mod lists;
mod training;

use std::path::{Path, PathBuf};

use anyhow::Result;
use burn_ssl::core::DeviceSpec;
use burn_ssl::demo::{DemoOptions, DemoReport, demo};
use burn_ssl::export::{ExportOptions, ExportReport, Format, export};
use burn_ssl::recipe::Draft;
use burn_ssl::{PretrainOptions, PreviewOptions, Report, pretrain, preview};
use indicatif::MultiProgress;

use crate::args::{Args, Command, DemoArgs, ExportArgs, PretrainArgs, PreviewArgs, set};
use crate::output::print;
use crate::progress::Bar;
use crate::{Ended, interrupt};

/// Runs a command.
pub(crate) fn run(args: Args, bars: &MultiProgress) -> Result<Ended> {
    let json = args.json;
    match args.command {
        Command::Demo(args) => run_demo(args, json, bars),
        Command::Pretrain(args) => run_pretrain(args, json, bars),
        Command::Knn(args) => classifier::run_knn(args, json).map(|()| Ended::Done),
        Command::Linear(args) => classifier::run_linear(args, json, bars).map(|()| Ended::Done),
        Command::Finetune(args) => training::run_finetune(args, json, bars),
        Command::Distill(args) => training::run_distill(args, json, bars),
        Command::Embed(args) => training::run_embed(args, json).map(|()| Ended::Done),
        Command::Export(args) => run_export(args, json).map(|()| Ended::Done),
        Command::Preview(args) => run_preview(&args, json).map(|()| Ended::Done),
        Command::Methods => lists::methods(json).map(|()| Ended::Done),
        Command::Models => lists::models(json).map(|()| Ended::Done),
        Command::Recipes { name } => lists::recipes(name.as_deref(), json).map(|()| Ended::Done),
        Command::Devices => lists::devices(json).map(|()| Ended::Done),
    }
}

fn run_demo(args: DemoArgs, json: bool, bars: &MultiProgress) -> Result<Ended> {
    let mut options = DemoOptions::new(args.out.unwrap_or_else(free_folder));
    options.run.device = args.machine.device.parse::<DeviceSpec>()?;
    options.run.overwrite = args.overwrite;
    options.seed = args.seed as u64;
    options.workers = args.machine.workers.unwrap_or(0) as usize;
    let report = demo(&options, &mut Bar::new(bars, interrupt::on_signal()?))?;
    print(json, &report, demo_words(&report))?;
    Ok(ended(&report.run))
}

/// `burn-ssl-demo`, or the first of `burn-ssl-demo-2`, `-3` … that is not taken.
fn free_folder() -> PathBuf {
    let names =
        std::iter::once("burn-ssl-demo".to_owned()).chain((2_u64..).map(|n| format!("burn-ssl-demo-{n}")));
    let mut folders = names.map(PathBuf::from).filter(|folder| !folder.exists());
    folders.next().unwrap_or_default()
}

fn demo_words(report: &DemoReport) -> String {
    let out = report.run.out.display();
    let percent =
        |value: Option<f64>| value.map_or("not evaluated".to_owned(), |value| format!("{value:5.1} %"));
    format!(
        "k-NN accuracy on 10 classes of rendered images, without labels in training:
  raw pixels         {}
  untrained network  {}
  trained network    {}
encoder: {out}/encoder.safetensors
views:   {}
Your own images: burn-ssl pretrain --method simclr --data FOLDER --out run",
        percent(Some(report.knn_top1_pixels)),
        percent(report.run.knn_top1_untrained),
        percent(report.run.knn_top1),
        report.sheet.display(),
    )
}

fn run_pretrain(args: PretrainArgs, json: bool, bars: &MultiProgress) -> Result<Ended> {
    let device = args.machine.device.parse::<DeviceSpec>()?;
    let base = if args.resume { Draft::of_run(&args.out)? } else { args.recipe.base(args.model.name())? };
    let recipe = args.recipe.recipe_with(base, |draft| {
        args.model.apply(draft)?;
        args.training.apply(draft)?;
        set(draft, "data.workers", args.machine.workers)
    })?;
    let options = PretrainOptions { out: args.out, device, overwrite: args.overwrite, resume: args.resume };
    let report = pretrain(&recipe, &options, &mut Bar::new(bars, interrupt::on_signal()?))?;
    print(json, &report, words(&report))?;
    Ok(ended(&report))
}

fn words(report: &Report) -> String {
    let Report { steps, epochs, seconds, train_loss, images_per_s, out, .. } = report;
    let mut words = format!(
        "{steps} steps, {epochs} epochs in {seconds:.0} s, {images_per_s:.0} images/s; loss of the last epoch {train_loss:.4}"
    );
    if let (Some(untrained), Some(trained)) = (report.knn_top1_untrained, report.knn_top1) {
        words += &format!("\nk-NN accuracy: {untrained:.2} % untrained, {trained:.2} % trained");
    }
    if report.finished {
        words += &format!("\nencoder: {}", out.join("encoder.safetensors").display());
    }
    words
}

/// Tells how to go on with a run that was stopped.
fn ended(report: &Report) -> Ended {
    if report.finished {
        return Ended::Done;
    }
    let (steps, out) = (report.steps, report.out.display());
    eprintln!("stopped and saved after step {steps}; go on with: burn-ssl pretrain --resume --out {out}");
    Ended::Interrupted
}

fn run_export(args: ExportArgs, json: bool) -> Result<()> {
    let options =
        ExportOptions { run: args.run, out: args.out, format: args.format, overwrite: args.overwrite };
    let report = export(&options)?;
    print(json, &report, export_words(&report))
}

fn export_words(report: &ExportReport) -> String {
    let (tensors, out, model) = (report.tensors, report.out.display(), &report.model);
    let mut words = format!("{tensors} tensors in {out}");
    match report.format {
        Format::Torchvision => {
            words += &format!("\nmodel = torchvision.models.{model}(); model.fc = torch.nn.Identity()");
        }
        Format::Timm => words += "\nmodel = timm.create_model(NAME, num_classes=0)",
        Format::Safetensors => return words,
    }
    for change in &report.adapt {
        words += &format!("\n# change the model first: {change}");
    }
    words + &format!("\nmodel.load_state_dict(safetensors.torch.load_file('{out}'))")
}

fn run_preview(args: &PreviewArgs, json: bool) -> Result<()> {
    let mut options = PreviewOptions::new(&args.out);
    (options.images, options.overwrite) = (args.images as usize, args.overwrite);
    let images = preview(&args.recipe.recipe()?, &options)?;
    let result = serde_json::json!({ "images": images, "out": args.out });
    print(json, &result, sheet_words(images, &args.out))
}

fn sheet_words(images: usize, out: &Path) -> String {
    format!("{images} images and their views in {}", out.display())
}
