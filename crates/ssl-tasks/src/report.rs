//! The results of the commands as text.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use ssl_files::shown;

use crate::baselines::Baselines;
use crate::demo::DemoReport;
use crate::export::ExportReport;
use crate::memory::Bytes;
use crate::pretrain::{Verdict, is_above, standard_error};
use crate::{
    ClassifyReport, CompareReport, DedupReport, DistillReport, EmbedReport, FinetuneReport, HtmlReport,
    KnnReport, LinearReport, PlanReport, PreviewReport, Report, RunsReport, SegmentReport, SimilarReport,
};

/// The result of a command: text through [`Display`](fmt::Display), and JSON through [`Serialize`], with the fields of the
/// command's own report.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum RunReport {
    /// The result of [`demo`](crate::demo::demo).
    Demo(DemoReport),
    /// The result of [`plan`](crate::plan()).
    Plan(PlanReport),
    /// The result of [`pretrain`](crate::pretrain()).
    Pretrain(Report),
    /// The result of [`evaluate_knn`](crate::evaluate_knn).
    Knn(KnnReport),
    /// The result of [`segment`](crate::segment()).
    Segment(SegmentReport),
    /// The result of [`linear_probe`](crate::linear_probe).
    Linear(LinearReport),
    /// The result of [`finetune`](crate::finetune()).
    Finetune(FinetuneReport),
    /// The result of [`distill`](crate::distill()).
    Distill(DistillReport),
    /// The result of [`embed_images`](crate::embed_images).
    Embed(EmbedReport),
    /// The result of [`classify`](crate::classify()).
    Classify(ClassifyReport),
    /// The result of [`export`](crate::export::export).
    Export(ExportReport),
    /// The result of [`preview`](crate::preview).
    Preview(PreviewReport),
    /// The result of [`similar`](crate::similar()).
    Similar(SimilarReport),
    /// The result of [`compare`](crate::compare()).
    Compare(CompareReport),
    /// The result of [`html_report`](crate::html_report).
    Html(HtmlReport),
    /// The result of [`runs`](crate::runs()).
    Runs(RunsReport),
    /// The result of [`dedup`](crate::dedup()).
    Dedup(DedupReport),
}

impl RunReport {
    /// The step after which training was stopped and saved; `None` if it finished, or if the command trains nothing.
    pub fn stopped_after(&self) -> Option<u64> {
        let (finished, steps) = match self {
            Self::Demo(DemoReport { run, .. }) | Self::Pretrain(run) => (run.finished, run.steps),
            Self::Finetune(report) => (report.finished, report.steps),
            Self::Distill(report) => (report.finished, report.steps),
            _ => return None,
        };
        (!finished).then_some(steps)
    }
}

impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demo(report) => report.fmt(f),
            Self::Plan(report) => report.fmt(f),
            Self::Pretrain(report) => report.fmt(f),
            Self::Knn(report) => report.fmt(f),
            Self::Segment(report) => report.fmt(f),
            Self::Linear(report) => report.fmt(f),
            Self::Finetune(report) => report.fmt(f),
            Self::Distill(report) => report.fmt(f),
            Self::Embed(report) => report.fmt(f),
            Self::Classify(report) => report.fmt(f),
            Self::Export(report) => report.fmt(f),
            Self::Preview(report) => report.fmt(f),
            Self::Similar(report) => report.fmt(f),
            Self::Compare(report) => report.fmt(f),
            Self::Html(report) => report.fmt(f),
            Self::Runs(report) => report.fmt(f),
            Self::Dedup(report) => report.fmt(f),
        }
    }
}

macro_rules! run_report_from {
    ($($variant:ident($report:ty),)*) => {$(
        impl From<$report> for RunReport {
            fn from(report: $report) -> Self {
                Self::$variant(report)
            }
        }
    )*};
}

run_report_from! {
    Demo(DemoReport),
    Plan(PlanReport),
    Pretrain(Report),
    Knn(KnnReport),
    Segment(SegmentReport),
    Linear(LinearReport),
    Finetune(FinetuneReport),
    Distill(DistillReport),
    Embed(EmbedReport),
    Classify(ClassifyReport),
    Export(ExportReport),
    Preview(PreviewReport),
    Similar(SimilarReport),
    Compare(CompareReport),
    Html(HtmlReport),
    Runs(RunsReport),
    Dedup(DedupReport),
}

impl fmt::Display for HtmlReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "report: {} ({:.1} MB)", shown(&self.out), self.bytes as f64 / 1e6)
    }
}

impl fmt::Display for DemoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { knn_top1, linear_top1, out, .. } = &self.run;
        let Baselines { knn, linear } = self.run.baselines();
        writeln!(f, "accuracy on 10 classes of rendered images, without labels in training of the encoder:")?;
        writeln!(f, "  {:17}  {:>7}  {:>7}", "", "k-NN", "linear")?;
        let rows = [
            ("raw pixels", knn.pixels, linear.pixels),
            ("untrained network", knn.untrained, linear.untrained),
            ("trained network", *knn_top1, *linear_top1),
        ];
        for (name, knn, linear) in rows {
            let [knn, linear] = [knn, linear]
                .map(|accuracy| accuracy.map_or("-".to_owned(), |value| format!("{value:.1} %")));
            writeln!(f, "  {name:17}  {knn:>7}  {linear:>7}")?;
        }
        write!(f, "encoder: {}", shown(&out.join("encoder.safetensors")))?;
        written(f, "views", self.run.sheet.clone())?;
        written(f, "report", self.run.report.clone())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, epochs, seconds, train_loss, images_per_s, max_mem, out, .. } = self;
        let (steps, length) = (counted(*steps, "step"), epochs_done(*epochs));
        write!(f, "{steps}, {length} in {seconds:.0} s, {images_per_s:.0} images/s; ")?;
        write!(f, "loss of the last epoch {train_loss:.4}")?;
        write_scale(f, self.verdict.as_ref())?;
        if let Some(bytes) = max_mem {
            write!(f, "; max mem {}", Bytes(*bytes as f64))?;
        }
        write_accuracies(f, self)?;
        if let Some(verdict) = &self.verdict {
            write!(f, "\n{verdict}")?;
        }
        written(f, "views", self.sheet.clone())?;
        written(f, "report", self.report.clone())?;
        written(f, "encoder", self.finished.then(|| out.join("encoder.safetensors")))
    }
}

/// What the loss is to be compared with.
fn write_scale(f: &mut fmt::Formatter<'_>, verdict: Option<&Verdict>) -> fmt::Result {
    let Some(Verdict { loss_of_guessing: Some(guess), loss_floor, .. }) = verdict else { return Ok(()) };
    write!(f, ", {guess:.4} for guessing")?;
    loss_floor.map_or(Ok(()), |floor| write!(f, ", {floor:.4} at best"))
}

/// The accuracies with their standard errors, as multiples of the baselines, and whether the gain is more than noise.
fn write_accuracies(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let Baselines { knn, linear } = report.baselines();
    for (name, baseline, trained) in [("k-NN", knn, report.knn_top1), ("linear", linear, report.linear_top1)]
    {
        let (Some(untrained), Some(trained), Some(images)) = (baseline.untrained, trained, report.knn_images)
        else {
            continue;
        };
        let [before, after] =
            [untrained, trained].map(|share| format!("{share:.2} ± {:.2} %", standard_error(share, images)));
        let noise =
            if is_above(trained, untrained, images) { "" } else { ", not above the untrained network" };
        let multiples = baseline.multiples(trained);
        write!(f, "\n{name} accuracy: {before} untrained, {after} trained{multiples}{noise}")?;
    }
    Ok(())
}

impl fmt::Display for KnnReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { knn_top1, knn_top5, images, .. } = self;
        write!(f, "k-NN accuracy on {images} images: {knn_top1:.2} %, top-5 {knn_top5:.2} %")
    }
}

impl fmt::Display for SegmentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mean_iou, pixel_accuracy, pixel_accuracy_bound, grid: [rows, columns], images, .. } = self;
        writeln!(f, "k-NN segmentation of {images} images: mean IoU {mean_iou:.2} %")?;
        write!(f, "{pixel_accuracy:.2} % of pixels right, of {pixel_accuracy_bound:.2} % that ")?;
        write!(f, "{rows} x {columns} positions could have")
    }
}

impl fmt::Display for LinearReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { linear_top1, linear_top5, images, epochs, train_images, seconds, train_loss, .. } = self;
        let head = if self.head == "attentive" { "attentive probe's" } else { "linear" };
        writeln!(f, "{head} accuracy on {images} images: {linear_top1:.2} %, top-5 {linear_top5:.2} %")?;
        let length = epochs_done(*epochs);
        write!(f, "{length} on {train_images} images in {seconds:.0} s, loss {train_loss:.4}")
    }
}

impl fmt::Display for FinetuneReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { train_images, classes, epochs, seconds, train_loss, images, .. } = self;
        let length = epochs_done(*epochs);
        write!(f, "{length} on {train_images} images of {classes} classes in {seconds:.0} s, ")?;
        write!(f, "loss of the last epoch {train_loss:.4}")?;
        if let (Some(top1), Some(top5)) = (self.finetune_top1, self.finetune_top5) {
            write!(f, "\naccuracy on {images} images: {top1:.2} %, top-5 {top5:.2} %")?;
        }
        written(f, "classifier", self.finished.then(|| self.out.join("classifier.safetensors")))
    }
}

impl fmt::Display for DistillReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { student, train_images, epochs, seconds, train_loss, .. } = self;
        let length = epochs_done(*epochs);
        write!(f, "{student}: {length} on {train_images} images in {seconds:.0} s, ")?;
        write!(f, "loss of the last epoch {train_loss:.4}")?;
        if let (Some(teacher), Some(top1)) = (self.teacher_top1, self.distill_top1) {
            write!(f, "\naccuracy: teacher {teacher:.2} %, student {top1:.2} %")?;
        }
        written(f, "classifier", self.finished.then(|| self.out.join("classifier.safetensors")))
    }
}

impl fmt::Display for EmbedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} images, {} features each: {}", self.images, self.dim, shown(&self.out))?;
        written(f, "names and labels", self.names.clone())?;
        written(f, "their encoder", self.about.clone())
    }
}

impl fmt::Display for ExportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classes = self.classes.map(|classes| format!(" and a classifier of {classes} classes"));
        write!(f, "{} tensors{} in {}", self.tensors, classes.unwrap_or_default(), shown(&self.out))?;
        write!(f, "\nmodel card: {}", shown(&self.card))?;
        match &self.python {
            Some(python) => write!(f, "\nin Python:\n\n{python}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for PreviewReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} images and their views in {}", self.images, shown(&self.out))
    }
}

/// A number of things.
fn counted(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Whole epochs.
fn epochs_done(number: u64) -> String {
    if number == 0 { "less than an epoch".to_owned() } else { counted(number, "epoch") }
}

/// A line that names a file, if it was written.
fn written(f: &mut fmt::Formatter<'_>, what: &str, file: Option<PathBuf>) -> fmt::Result {
    match file {
        Some(file) => write!(f, "\n{what}: {}", shown(&file)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Learned;
    use crate::export::ExportFormat;
    use crate::{EncoderOrigin, EncoderSummary};

    fn encoder() -> EncoderSummary {
        EncoderSummary {
            origin: EncoderOrigin::Run,
            method: Some("simclr".into()),
            model: "resnet18".into(),
            width: Some(64),
            steps: Some(40),
            total_steps: None,
            epochs: Some(2),
            seed: Some(0),
        }
    }

    fn pretraining(finished: bool) -> Report {
        Report {
            method: "simclr".into(),
            recipe: Some("simclr/cifar10".into()),
            recipe_hash: "0".into(),
            seed: 3,
            device: "flex".into(),
            steps: 40,
            epochs: 2,
            seconds: 3.4,
            train_loss: 1.25,
            images_per_s: 99.6,
            knn_top1: Some(50.0),
            knn_top1_untrained: Some(10.0),
            knn_top1_pixels: Some(25.0),
            linear_top1: None,
            linear_top1_untrained: None,
            linear_top1_pixels: None,
            knn_images: Some(100),
            verdict: None,
            rankme: Some(3.5),
            rankme_untrained: Some(1.5),
            max_mem: Some(1_240_000_000),
            expected_mem: None,
            sheet: Some("run/views.png".into()),
            report: None,
            out: "run".into(),
            finished,
        }
    }

    fn tuning(accuracy: Option<f64>) -> FinetuneReport {
        FinetuneReport {
            finetune_top1: accuracy,
            finetune_top5: accuracy,
            fraction: 1.0,
            head_layers: 0,
            train_loss: 0.5,
            epochs: 3,
            steps: 30,
            batch_size: 4,
            classes: 2,
            train_images: 40,
            images: 20,
            seconds: 7.0,
            encoder: encoder(),
            out: "tuned".into(),
            finished: accuracy.is_some(),
        }
    }

    #[test]
    fn a_pretraining_names_its_encoder_once_there_is_one() {
        let text = RunReport::from(pretraining(true)).to_string();
        let first = "40 steps, 2 epochs in 3 s, 100 images/s; loss of the last epoch 1.2500; max mem 1.2 GB";
        let second =
            "k-NN accuracy: 10.00 ± 3.00 % untrained, 50.00 ± 5.00 % trained (2.0x pixels, 5.0x untrained)";
        let views = "views: run/views.png";
        assert_eq!(text, format!("{first}\n{second}\n{views}\nencoder: run/encoder.safetensors"));
        assert_eq!(RunReport::from(pretraining(false)).to_string(), format!("{first}\n{second}\n{views}"));
    }

    #[test]
    fn one_step_and_one_epoch_are_singular_and_no_epoch_is_a_part_of_one() {
        let first = |steps, epochs| Report { steps, epochs, ..pretraining(true) }.to_string();
        assert!(first(1, 1).starts_with("1 step, 1 epoch in 3 s"), "{}", first(1, 1));
        assert!(first(3, 0).starts_with("3 steps, less than an epoch in 3 s"), "{}", first(3, 0));
    }

    #[test]
    fn a_gain_that_chance_explains_is_called_so() {
        let noise = Report { knn_top1: Some(12.0), sheet: None, ..pretraining(false) }.to_string();
        let end = "12.00 ± 3.25 % trained (0.5x pixels, 1.2x untrained), not above the untrained network";
        assert!(noise.ends_with(end), "{noise}");
    }

    #[test]
    fn a_linear_accuracy_has_a_line_and_a_column_of_its_own() {
        let run = Report {
            linear_top1: Some(80.0),
            linear_top1_untrained: Some(20.0),
            linear_top1_pixels: Some(40.0),
            ..pretraining(false)
        };
        let expected = "\nlinear accuracy: 20.00 ± 4.00 % untrained, 80.00 ± 4.00 % trained (2.0x pixels, 4.0x untrained)";
        assert!(run.to_string().contains(expected), "{run}");
        let text = DemoReport { run }.to_string();
        let rows: Vec<&str> = text.lines().skip(1).take(4).collect();
        let expected = [
            "                        k-NN   linear",
            "  raw pixels          25.0 %   40.0 %",
            "  untrained network   10.0 %   20.0 %",
            "  trained network     50.0 %   80.0 %",
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_verdict_stands_beside_the_loss_of_guessing() {
        let verdict = Verdict {
            learned: Learned::Yes,
            view_retrieval: 71.5,
            view_retrieval_untrained: 33.2,
            view_retrieval_chance: 0.1,
            view_retrieval_images: 512,
            rankme_train: 35.1,
            rankme_train_untrained: 12.4,
            loss_of_guessing: Some(4.0),
            loss_floor: Some(0.0),
        };
        let report = Report { verdict: Some(verdict), knn_images: None, sheet: None, ..pretraining(false) };
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].contains("loss of the last epoch 1.2500, 4.0000 for guessing, 0.0000 at best"),
            "{text}"
        );
        let rest = [
            "learned: yes, views that belong together find each other more often than before",
            "  views found  71.5 %, untrained 33.2 %, chance 0.1 % (512 images)",
            "  RankMe       35.1, untrained 12.4",
        ];
        assert_eq!(lines[1..], rest);
    }

    #[test]
    fn a_training_that_was_stopped_says_after_which_step() {
        assert_eq!(RunReport::from(pretraining(true)).stopped_after(), None);
        assert_eq!(RunReport::from(pretraining(false)).stopped_after(), Some(40));
        assert_eq!(RunReport::from(tuning(None)).stopped_after(), Some(30));
        let preview = PreviewReport { images: 3, out: "views.png".into() };
        assert_eq!(RunReport::from(preview).stopped_after(), None);
    }

    #[test]
    fn a_fine_tuning_has_an_accuracy_and_a_classifier_at_its_end() {
        let first = "3 epochs on 40 images of 2 classes in 7 s, loss of the last epoch 0.5000";
        assert_eq!(tuning(None).to_string(), first);
        let rest = "accuracy on 20 images: 75.00 %, top-5 75.00 %\nclassifier: tuned/classifier.safetensors";
        assert_eq!(tuning(Some(75.0)).to_string(), format!("{first}\n{rest}"));
    }

    #[test]
    fn an_export_says_how_python_loads_it() {
        let report = |python| ExportReport {
            out: "e.safetensors".into(),
            card: "README.md".into(),
            format: ExportFormat::Torchvision,
            model: "resnet18".into(),
            tensors: 100,
            classes: None,
            python,
            encoder: encoder(),
        };
        let text = report(Some("import torch".to_owned())).to_string();
        let written = "100 tensors in e.safetensors\nmodel card: README.md";
        assert_eq!(text, format!("{written}\nin Python:\n\nimport torch"));
        assert_eq!(report(None).to_string(), written);
        let classifier = ExportReport { classes: Some(2), ..report(None) };
        assert!(classifier.to_string().starts_with("100 tensors and a classifier of 2 classes in "));
    }

    #[test]
    fn json_has_the_fields_of_the_command_and_nothing_around_them() {
        let report = RunReport::from(PreviewReport { images: 3, out: "views.png".into() });
        assert_eq!(serde_json::to_string(&report).expect("JSON"), r#"{"images":3,"out":"views.png"}"#);
        let report = serde_json::to_value(RunReport::from(pretraining(true))).expect("JSON");
        assert_eq!((&report["method"], report.get("finished")), (&"simclr".into(), None));
        assert_eq!((&report["recipe"], &report["seed"]), (&"simclr/cifar10".into(), &3.into()));
    }
}
