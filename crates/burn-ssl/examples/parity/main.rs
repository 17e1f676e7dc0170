//! Layers, losses, optimizers and one training step of every method on other devices, compared with `flex`.
//!
//! ```sh
//! cargo run -p burn-ssl --features tch --example parity -- tch
//! ```
//!
//! compares on the named devices, and fails if one of them cannot be opened or a result is off by more than 1e-4 of its
//! size. Without names it takes one device of every kind that the build has, says which could not be opened, and fails
//! if none could. `--only TEXT` leaves the cases whose name has the text, such as `--only layer`.

mod layers;
mod losses;
mod optimizers;
mod record;
mod steps;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
use burn_ssl::prelude::*;

use record::{Difference, Record};

/// Largest difference allowed, relative to the size of a tensor.
const TOLERANCE: f64 = 1e-4;

/// Something to compute on a device.
pub(crate) struct Case {
    /// What it is, such as `step simclr`.
    name: String,
    run: Box<dyn Fn(&Device) -> Record>,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, run: impl Fn(&Device) -> Record + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

#[allow(clippy::print_stdout)] // the report of the program
fn main() -> Result<()> {
    let reference = DeviceSpec::Flex.open()?;
    let (names, only) = arguments()?;
    let devices = devices(&names)?;
    let groups = [layers::cases(), losses::cases(), optimizers::cases(), steps::cases()];
    let cases = groups.into_iter().flatten().filter(|case| case.name.contains(&only));
    let cases: Vec<Case> = cases.collect();
    ensure!(!cases.is_empty(), "no case is named '{only}', expected a part of a name such as 'step simclr'");
    let mut failed = 0;
    for case in &cases {
        let want = (case.run)(&reference);
        for (spec, device) in &devices {
            let start = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| Difference::largest(&want, &(case.run)(device))));
            let (passes, text) = match outcome {
                Ok(difference) => (difference.relative <= TOLERANCE, difference.to_string()),
                Err(_) => (false, "stopped, see the message above".to_owned()),
            };
            failed += usize::from(!passes);
            let verdict = if passes { "ok" } else { "FAILED" };
            let (device, seconds) = (spec.to_string(), start.elapsed().as_secs_f64());
            println!("{verdict:6} {device:12} {:28} {text}, {seconds:.1} s", case.name);
        }
    }
    if failed > 0 {
        bail!(
            "{failed} of {} results differ from flex by more than {TOLERANCE}",
            cases.len() * devices.len()
        );
    }
    println!("{} cases on {} devices are within {TOLERANCE} of flex", cases.len(), devices.len());
    Ok(())
}

/// Names of devices, and what names of cases have to contain.
fn arguments() -> Result<(Vec<String>, String)> {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    let Some(place) = names.iter().position(|name| name == "--only") else {
        return Ok((names, String::new()));
    };
    ensure!(place + 1 < names.len(), "--only is the last argument, expected a text after it");
    let only = names.remove(place + 1);
    names.remove(place);
    Ok((names, only))
}

/// The named devices, or one of every kind of this build but `flex`.
#[allow(clippy::print_stdout)] // the report of the program
fn devices(names: &[String]) -> Result<Vec<(DeviceSpec, Device)>> {
    let open = |name: &str| -> Result<(DeviceSpec, Device)> {
        let spec = name.parse::<DeviceSpec>()?;
        Ok((spec, spec.open()?))
    };
    if !names.is_empty() {
        return names.iter().map(|name| open(name)).collect();
    }
    let kinds = DeviceSpec::kinds().into_iter().filter(|kind| kind.compiled && kind.name != "flex");
    let mut devices = Vec::new();
    for kind in kinds {
        match open(kind.name) {
            Ok(device) => devices.push(device),
            Err(error) => println!("not compared: {error}"),
        }
    }
    devices
        .first()
        .context("found no usable device besides flex, expected one; build with --features tch or wgpu")?;
    Ok(devices)
}
