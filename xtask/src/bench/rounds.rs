//! Both sides in turn on the same work, round by round.

use anyhow::Result;
use serde_json::Value;
use xtask::median;

use super::figures::{Side, most};
use super::program::{Baseline, Example, numbers, variants};
use super::{Common, Figures};

/// A piece of work that both sides do.
pub(super) trait Contest {
    /// What it is, in words.
    fn words(&self) -> String;

    /// The unit of the figures.
    fn unit(&self) -> &'static str {
        "images/s"
    }

    /// How many images, or what the unit counts, one run processes.
    fn per_run(&self) -> usize;

    /// The variants of the other side that can do it.
    fn rivals<'a>(&self, asked: &[&'a str]) -> Vec<&'a str> {
        asked.to_vec()
    }

    /// The arguments of our program on a device.
    fn of_ours(&self, device: &str) -> Vec<String>;

    /// The script of a variant, and its arguments.
    fn of_theirs(&self, variant: &str) -> (&'static str, Vec<String>);

    /// The seconds of every run.
    fn seconds(&self, measured: &Value) -> Vec<f64> {
        numbers(&measured["seconds"])
    }

    /// Fails if a side did other work.
    fn check(&self, side: &str, measured: &Value) -> Result<()> {
        let _ = (side, measured);
        Ok(())
    }
}

/// The programs of both sides.
pub(super) struct Rounds<'a> {
    common: &'a Common,
    program: Example,
    devices: &'a [String],
    pub(super) baseline: Option<Baseline>,
    /// The variants of the other side that can run here.
    pub(super) variants: Vec<&'a str>,
}

impl<'a> Rounds<'a> {
    /// Builds an example of `burn-ssl` for our devices.
    pub(super) fn new(
        common: &'a Common,
        example: &'static str,
        devices: &'a [String],
        asked: &'a [String],
    ) -> Result<Self> {
        let program = Example::new(common, "burn-ssl", example, devices)?;
        let baseline = Baseline::new(common)?;
        Ok(Self { common, program, devices, baseline, variants: variants(common, asked) })
    }

    /// The names of the sides of a contest, ours first.
    pub(super) fn sides(&self, contest: &impl Contest) -> Vec<String> {
        let theirs = contest.rivals(&self.variants).into_iter().map(name);
        self.devices.iter().cloned().chain(theirs).collect()
    }

    /// The figures of all rounds.
    ///
    /// From the third round on, rivals whose best round is below the [`bar`] are left out.
    pub(super) fn compare(&self, contest: &impl Contest) -> Result<Figures> {
        let rivals = contest.rivals(&self.variants);
        let mut ours: Vec<Side> = self.devices.iter().map(Side::new).collect();
        let mut theirs: Vec<Side> = rivals.iter().map(|variant| Side::new(name(variant))).collect();
        let mut operations = None;
        for round in 0..self.common.rounds {
            for (side, device) in ours.iter_mut().zip(self.devices) {
                let measured = self.program.measure(device, &contest.of_ours(device))?;
                self.take(side, contest, &measured)?;
            }
            let bar = if round < 2 { 0.0 } else { bar(&theirs) };
            let left = theirs.iter_mut().zip(&rivals).filter(|(side, _)| most(&side.figures) >= bar);
            for (side, variant) in left {
                if let Some(baseline) = &self.baseline {
                    let (script, arguments) = contest.of_theirs(variant);
                    let measured = baseline.measure(script, variant, &arguments)?;
                    self.take(side, contest, &measured)?;
                    operations = operations.or(measured["operations"].as_f64());
                }
            }
        }
        let (work, per_run) = (contest.words(), Some(contest.per_run() as f64));
        Ok(Figures { work, unit: contest.unit().into(), per_run, operations, ours, theirs })
    }

    fn take(&self, side: &mut Side, contest: &impl Contest, measured: &Value) -> Result<()> {
        contest.check(&side.name, measured)?;
        let seconds = median(&contest.seconds(measured));
        side.take(contest.per_run() as f64 / seconds, measured, self.common.cap)
    }
}

/// A tenth less than the best round of all rivals: whoever never reached it is unlikely to have the best median.
fn bar(rivals: &[Side]) -> f64 {
    0.9 * rivals.iter().map(|side| most(&side.figures)).fold(0.0, f64::max)
}

/// What a variant of the other side is called in tables.
fn name(variant: &str) -> String {
    if is_onnx(variant) { variant.to_owned() } else { format!("torch {variant}") }
}

/// Whether a variant is one of ONNX Runtime and not of PyTorch.
pub(super) fn is_onnx(variant: &str) -> bool {
    variant.split('+').any(|word| word == "onnxruntime")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Side, bar, most, name};

    #[test]
    fn rivals_are_below_the_bar_if_their_best_round_is_far_behind() {
        let side = |figures: &[f64]| {
            let mut side = Side::new("torch eager");
            figures.iter().for_each(|&figure| side.take(figure, &Value::Null, None).expect("no cap"));
            side
        };
        let rivals = [side(&[100.0, 60.0]), side(&[50.0, 91.0]), side(&[89.0, 89.0]), side(&[])];
        let is_below = rivals.each_ref().map(|side| most(&side.figures) < bar(&rivals));
        assert_eq!(is_below, [false, false, true, true]);
        assert_eq!(bar(&[]), 0.0);
    }

    #[test]
    fn variants_are_those_of_pytorch_unless_they_name_onnx_runtime() {
        assert_eq!(name("compile+malloc"), "torch compile+malloc");
        assert_eq!(name("onnxruntime+malloc"), "onnxruntime+malloc");
    }
}
