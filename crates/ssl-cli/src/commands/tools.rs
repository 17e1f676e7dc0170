//! The commands that look at encoders and runs.

use anyhow::Result;
use burn_ssl::{
    ClassifyOptions, CompareOptions, DedupOptions, HtmlReportOptions, RunReport, RunsOptions, SimilarOptions,
    classify, compare, dedup, html_report, runs, similar,
};

use crate::args::{ClassifyArgs, CompareArgs, DedupArgs, ReportArgs, RunsArgs, SimilarArgs};
use crate::here::Here;

pub(super) fn run_similar(args: SimilarArgs, here: &Here) -> Result<RunReport> {
    let SimilarArgs { encoded: args, query, top, out } = args;
    let encoder = args.encoder.source(args.seed as u64)?;
    let options = SimilarOptions {
        limit: args.limit.map(|limit| limit as usize),
        max_image_bytes: args.images.max_image_bytes,
        top: top as usize,
        preprocessing: args.preprocessing.options(),
        out,
        overwrite: args.overwrite,
        workers: args.machine.workers.unwrap_or(0) as usize,
        device: here.device(&args.machine.device)?,
        ..SimilarOptions::new(encoder, args.data, query)
    };
    Ok(similar(&options)?.into())
}

pub(super) fn run_classify(args: ClassifyArgs, here: &Here) -> Result<RunReport> {
    let options = ClassifyOptions {
        limit: args.limit.map(|limit| limit as usize),
        max_image_bytes: args.images.max_image_bytes,
        top: args.top as usize,
        out: args.out,
        overwrite: args.overwrite,
        workers: args.machine.workers.unwrap_or(0) as usize,
        device: here.device(&args.machine.device)?,
        ..ClassifyOptions::new(args.run, args.data)
    };
    // A table has the rows.
    Ok(classify(&options)?.summary().into())
}

pub(super) fn run_compare(args: CompareArgs) -> Result<RunReport> {
    let CompareArgs { runs, plot, overwrite } = args;
    Ok(compare(&CompareOptions { runs, plot, overwrite })?.into())
}

pub(super) fn run_report(args: ReportArgs) -> Result<RunReport> {
    let options = HtmlReportOptions {
        out: args.out,
        images: args.images.map(|images| images as usize),
        overwrite: args.overwrite,
        workers: args.machine.workers.unwrap_or(0) as usize,
        device: args.machine.device.parse()?,
        ..HtmlReportOptions::new(args.run)
    };
    Ok(html_report(&options)?.into())
}

pub(super) fn run_runs(args: RunsArgs) -> Result<RunReport> {
    let RunsArgs { folder, sort } = args;
    Ok(runs(&RunsOptions { folder, sort })?.into())
}

pub(super) fn run_dedup(args: DedupArgs) -> Result<RunReport> {
    let DedupArgs { encoded: args, out, cosine, distance } = args;
    let encoder = args.encoder.source(args.seed as u64)?;
    let options = DedupOptions {
        limit: args.limit.map(|limit| limit as usize),
        max_image_bytes: args.images.max_image_bytes,
        cosine,
        distance,
        preprocessing: args.preprocessing.options(),
        overwrite: args.overwrite,
        workers: args.machine.workers.unwrap_or(0) as usize,
        device: args.machine.device.parse()?,
        ..DedupOptions::new(encoder, args.data, out)
    };
    Ok(dedup(&options)?.into())
}
