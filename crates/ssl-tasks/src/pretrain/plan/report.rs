//! The result of a plan.

use serde::Serialize;
use ssl_train::Rehearsal;

use crate::advice::{Advice, Severity, disk_of};
use crate::evaluation::Taken;
use crate::memory;
use crate::pretrain::PretrainOptions;

/// A run to plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanOptions {
    /// The options of the run. An empty directory stands for one that is not known yet.
    pub run: PretrainOptions,
    /// Whether a few steps are taken to measure them. Default: yes.
    pub steps: bool,
}

impl PlanOptions {
    /// A run that a few steps are taken of.
    pub fn new(run: PretrainOptions) -> Self {
        Self { run, steps: true }
    }
}

/// What a run will be and take, and what its user should know before it starts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanReport {
    /// Name of the method.
    pub method: String,
    /// The recipe that the run would start from, by name or file, if the options say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// Name of the network.
    pub model: String,
    /// Number of training images.
    pub images: usize,
    /// Number of their classes, if they have labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    /// Width and height of each view.
    pub views: Vec<usize>,
    /// Images of a step.
    pub batch_size: usize,
    /// Steps of the whole run.
    pub steps: u64,
    /// Steps that are done already, of a run that is resumed.
    pub steps_done: u64,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// Parameters of the encoder.
    pub parameters: usize,
    /// The device.
    pub device: String,
    /// The memory that the run is expected to take, in bytes, from its shapes: see [`Estimate`](crate::memory::Estimate).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_mem: Option<u64>,
    /// Bytes that are free on the disk of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_disk: Option<u64>,
    /// Checkpoints that the run writes.
    pub checkpoints: u64,
    /// Evaluations of the run.
    pub evaluations: u64,
    /// What the first steps took, if any were taken.
    #[serde(flatten)]
    pub measured: Option<Planned>,
    /// What its user should know, the most serious first.
    pub advice: Vec<Advice>,
    /// How the run was described: images, recipe, network, length, device.
    #[serde(skip)]
    pub lines: Vec<String>,
}

/// What a run will take, from its first steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Planned {
    /// Steps that were measured, after some to warm up.
    pub measured_steps: u64,
    /// Parameters that are trained, those of heads included.
    pub trained_parameters: usize,
    /// The most memory that the process will hold, in bytes, where the operating system tells; of several, the one with most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_mem: Option<u64>,
    /// Images per second; an image counts once, however many views it has.
    pub images_per_s: f64,
    /// The share of a step that is spent waiting for images, from 0 to 1.
    pub data_share: f64,
    /// Seconds of an epoch, without evaluation.
    pub seconds_per_epoch: f64,
    /// Seconds of an evaluation.
    pub seconds_per_evaluation: f64,
    /// Seconds of all steps that are left.
    pub step_seconds: f64,
    /// Seconds of all evaluations that are left.
    pub evaluation_seconds: f64,
    /// Seconds of the whole run, or of what is left of it.
    pub seconds: f64,
    /// Bytes of a checkpoint.
    pub checkpoint_bytes: u64,
    /// The most that checkpoints take on the disk, in bytes.
    pub disk: u64,
}

impl PlanReport {
    /// Whether the run would be refused.
    pub fn cannot_work(&self) -> bool {
        self.advice.iter().any(|advice| advice.severity == Severity::CannotWork)
    }
}

/// What a run takes whose first steps and evaluations took this.
pub(super) fn planned(
    found: &Rehearsal,
    evaluation: &Taken,
    peak_mem: Option<u64>,
    keep: usize,
    report: &PlanReport,
) -> Planned {
    let steps = report.steps.saturating_sub(report.steps_done) as f64;
    let left = if report.steps > 0 { steps / report.steps as f64 } else { 0.0 };
    let step_seconds = steps * found.step_seconds;
    // The page at the end looks at about as many images as an evaluation does.
    let evaluation_seconds = (report.evaluations as f64 * left + 1.0) * evaluation.seconds
        + if report.steps_done == 0 { evaluation.pixel_seconds } else { 0.0 };
    let checkpoint_seconds = report.checkpoints as f64 * left * found.checkpoint_seconds;
    Planned {
        measured_steps: found.steps,
        trained_parameters: found.parameters,
        peak_mem,
        images_per_s: report.batch_size as f64 / found.step_seconds,
        data_share: found.data_seconds / found.step_seconds,
        seconds_per_epoch: report.steps_per_epoch as f64 * found.step_seconds,
        seconds_per_evaluation: evaluation.seconds,
        step_seconds,
        evaluation_seconds,
        seconds: step_seconds + evaluation_seconds + checkpoint_seconds,
        checkpoint_bytes: found.checkpoint_bytes,
        disk: disk_of(found.checkpoint_bytes as f64, keep) as u64,
    }
}

impl PlanReport {
    /// What only the steps could tell.
    pub(super) fn add_shortage(&mut self, free_disk: Option<u64>) {
        let Some(measured) = self.measured else { return };
        let known = |word: &str| self.advice.iter().any(|advice| advice.found.contains(word));
        let unwise = |found: String, expected: &str| Advice {
            severity: Severity::Unwise,
            found,
            expected: expected.to_owned(),
            changes: Vec::new(),
        };
        let mut more = Vec::new();
        if let Some((disk, free)) = Some(measured.disk).zip(free_disk).filter(|(disk, free)| disk > free)
            && !known("checkpoints take")
        {
            let found = format!("checkpoints take {}, and {} are free", bytes(disk), bytes(free));
            more.push(Advice {
                severity: Severity::CannotWork,
                ..unwise(found, "more space, or a smaller network")
            });
        }
        if measured.data_share > MUCH_WAITING {
            let found = format!(
                "{:.0} % of the time of a step is spent waiting for images",
                100.0 * measured.data_share
            );
            let expected = "less than a third: more data.workers if there are idle cores, smaller images on the disk, or a \
                            device that is not so quick";
            more.push(unwise(found, expected));
        }
        if self.evaluations > 2 && measured.evaluation_seconds > measured.step_seconds {
            let found = "evaluations take longer than all steps".to_owned();
            more.push(unwise(found, "rarer ones: a larger eval.every_epochs, or a smaller eval.limit"));
        }
        self.advice.extend(more);
        self.advice.sort_by_key(|advice| advice.severity as u8);
    }
}

/// The share of a step that is much to wait for images (our choice).
const MUCH_WAITING: f64 = 1.0 / 3.0;

pub(super) fn bytes(count: u64) -> memory::Bytes {
    memory::Bytes(count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(steps: u64, steps_done: u64) -> PlanReport {
        PlanReport {
            method: "simclr".into(),
            recipe: None,
            model: "resnet18".into(),
            images: 5000,
            classes: None,
            views: vec![32; 2],
            batch_size: 128,
            steps,
            steps_done,
            steps_per_epoch: 39,
            parameters: 1,
            device: "flex".into(),
            expected_mem: None,
            free_disk: Some(1_000_000),
            checkpoints: 10,
            evaluations: 2,
            measured: None,
            advice: Vec::new(),
            lines: vec!["images: 5000".into()],
        }
    }

    fn rehearsal() -> Rehearsal {
        Rehearsal {
            steps: 5,
            warm_up: 1,
            step_seconds: 0.5,
            data_seconds: 0.2,
            parameters: 100,
            checkpoint_bytes: 400_000,
            checkpoint_seconds: 0.1,
        }
    }

    #[test]
    fn a_run_takes_its_steps_its_evaluations_and_its_checkpoints() {
        let evaluation = Taken { seconds: 3.0, pixel_seconds: 2.0, ..Taken::default() };
        let planned = planned(&rehearsal(), &evaluation, None, 1, &report(390, 0));
        assert_eq!((planned.step_seconds, planned.evaluation_seconds, planned.seconds), (195.0, 11.0, 207.0));
        assert_eq!((planned.images_per_s, planned.seconds_per_epoch, planned.data_share), (256.0, 19.5, 0.4));
        assert_eq!(planned.disk, 1_200_000, "the last one, its successor and a kept one");
        let resumed = super::planned(&rehearsal(), &evaluation, None, 1, &report(390, 195));
        assert_eq!((resumed.step_seconds, resumed.evaluation_seconds), (97.5, 6.0), "what is left");
        assert_eq!(
            super::planned(&rehearsal(), &evaluation, None, 0, &report(390, 390)).step_seconds,
            0.0,
            "a finished run"
        );
    }

    #[test]
    fn what_only_the_steps_could_tell_is_added() {
        let mut report = report(390, 0);
        let evaluation = Taken { seconds: 3.0, ..Taken::default() };
        report.measured = Some(planned(&rehearsal(), &evaluation, None, 1, &report));
        report.add_shortage(Some(1_000_000));
        let [disk, waiting] = &report.advice[..] else { panic!("{:?}", report.advice) };
        assert!(disk.found.starts_with("checkpoints take 1 MB, and 1 MB are free") && report.cannot_work());
        assert!(waiting.found.starts_with("40 % of the time of a step is spent waiting for images"));
    }
}
