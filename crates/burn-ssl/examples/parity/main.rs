//! Layers, losses, optimizers and one training step of every method on devices, compared with float64.
//!
//! ```sh
//! cargo run -p burn-ssl --features tch --example parity -- tch
//! ```
//!
//! compares `flex` and the named devices, `tch` also with libtorch's own kernels, and fails if one of them cannot be opened
//! or a result is further off than [`difference`] allows. Without names it takes one device of every kind that the build has,
//! says which could not be opened, and fails if none could. `--only TEXT` leaves the cases whose name has the text, such as
//! `--only layer`, and `--part I/N` every Nth case from the Ith on, so that several processes can share the cases.

mod difference;
mod exact;
mod inputs;
mod layers;
mod losses;
mod optimizers;
mod record;
mod steps;

use std::fmt::{self, Display, Formatter};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

use anyhow::{Context, Error, Result, bail, ensure};
use burn::tensor::Device;
use burn_ssl::core::with_backend_kernels;
use burn_ssl::prelude::*;

use difference::{Difference, Expected};
use inputs::Inputs;
use record::Record;

/// One computation.
pub(crate) struct Case {
    /// Its name, such as `step simclr`.
    name: String,
    run: Box<dyn Fn(&Inputs) -> Record>,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, run: impl Fn(&Inputs) -> Record + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// What is compared with float64.
struct Subject {
    name: String,
    device: Device,
    /// Whether the loops of `ssl-kernels` are left out.
    backend_kernels: bool,
}

impl Subject {
    fn run(&self, case: &Case) -> Record {
        let inputs = Inputs::plain(&self.device);
        if self.backend_kernels { with_backend_kernels(|| (case.run)(&inputs)) } else { (case.run)(&inputs) }
    }
}

fn main() -> Result<()> {
    burn_ssl::tune_process();
    let arguments = Arguments::parse()?;
    let groups = [layers::cases(), losses::cases(), optimizers::cases(), steps::cases()];
    let cases = groups.into_iter().flatten().filter(|case| case.name.contains(&arguments.only));
    let cases: Vec<Case> = arguments.part.of(cases);
    let Arguments { only, part, .. } = &arguments;
    ensure!(
        !cases.is_empty(),
        "no case of part {part} is named '{only}', expected a part of a name such as 'step simclr'"
    );
    match &arguments.float64 {
        Some(folder) => exact::compute(&cases, folder),
        None => compare(&cases, &arguments),
    }
}

#[allow(clippy::print_stdout)] // the report of the program
fn compare(cases: &[Case], arguments: &Arguments) -> Result<()> {
    let subjects = subjects(&arguments.devices)?;
    let exact = exact::in_another_process(&arguments.only, arguments.part)?;
    let (mut failed, mut by_rounding) = (0, 0);
    for case in cases {
        let rounded = Inputs::nudged(&subjects[0].device);
        let rounded = rounded.map(|inputs| with_backend_kernels(|| (case.run)(&inputs)));
        let expected = Expected::new(exact.read(case)?, rounded);
        for subject in &subjects {
            let difference = report(subject, case, &expected);
            failed += usize::from(!difference.as_ref().is_some_and(Difference::is_allowed));
            by_rounding += difference.map_or(0, |difference| difference.by_rounding());
        }
    }
    let results = cases.len() * subjects.len();
    ensure!(failed == 0, "{failed} of {results} results are further from float64 than allowed");
    println!(
        "{results} results are as near to float64 as they have to be; {by_rounding} tensors are judged by their rounding"
    );
    Ok(())
}

/// Runs a case and prints how far its results are off; nothing is returned if it panics.
#[allow(clippy::print_stdout)] // the report of the program
fn report(subject: &Subject, case: &Case, expected: &Expected) -> Option<Difference> {
    let start = Instant::now();
    let difference = catch_unwind(AssertUnwindSafe(|| expected.compare(&subject.run(case)))).ok();
    let verdict = if difference.as_ref().is_some_and(Difference::is_allowed) { "ok" } else { "FAILED" };
    let text = difference.as_ref().map_or("stopped, see the message above".to_owned(), Difference::to_string);
    let seconds = start.elapsed().as_secs_f64();
    println!("{verdict:6} {:12} {:38} {text}, {seconds:.1} s", subject.name, case.name);
    difference
}

/// What the program was started with.
struct Arguments {
    devices: Vec<String>,
    /// What names of cases have to contain.
    only: String,
    part: Part,
    /// Where to write the results in float64: the program calls itself with it.
    float64: Option<PathBuf>,
}

impl Arguments {
    fn parse() -> Result<Self> {
        let mut parsed = Self { devices: Vec::new(), only: String::new(), part: Part::ALL, float64: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().with_context(|| format!("{argument} is last, expected a value after it"));
            match argument.as_str() {
                "--only" => parsed.only = value()?,
                "--part" => parsed.part = value()?.parse()?,
                exact::OPTION => parsed.float64 = Some(value()?.into()),
                _ => parsed.devices.push(argument),
            }
        }
        Ok(parsed)
    }
}

/// Every `of`th case from the `index`th on, counted from 1.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    index: usize,
    of: usize,
}

impl Part {
    const ALL: Self = Self { index: 1, of: 1 };

    fn of<T>(self, cases: impl Iterator<Item = T>) -> Vec<T> {
        cases.skip(self.index - 1).step_by(self.of).collect()
    }
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers =
            text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Self { index, of }),
            _ => bail!("found the part '{text}', expected one such as 1/2"),
        }
    }
}

impl Display for Part {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// `flex`, and the named devices or one of every kind of this build; on `tch` with both kinds of kernels.
#[allow(clippy::print_stdout)] // the report of the program
fn subjects(names: &[String]) -> Result<Vec<Subject>> {
    let open = |spec: DeviceSpec| -> Result<Vec<Subject>> {
        let device = spec.open()?;
        let subject = |name, backend_kernels| Subject { name, device: device.clone(), backend_kernels };
        let mut subjects = vec![subject(spec.to_string(), false)];
        if spec == DeviceSpec::Tch {
            subjects.push(subject("tch libtorch".to_owned(), true));
        }
        Ok(subjects)
    };
    let mut subjects = open(DeviceSpec::Flex)?;
    for name in names {
        subjects.extend(open(name.parse()?)?);
    }
    if !names.is_empty() {
        return Ok(subjects);
    }
    let kinds = DeviceSpec::kinds().into_iter().filter(|kind| kind.compiled && kind.spec != DeviceSpec::Flex);
    for kind in kinds {
        match open(kind.spec) {
            Ok(more) => subjects.extend(more),
            Err(error) => println!("not compared: {error}"),
        }
    }
    if subjects.len() == 1 {
        bail!("found no usable device besides flex, expected one; build with --features tch or wgpu");
    }
    Ok(subjects)
}
