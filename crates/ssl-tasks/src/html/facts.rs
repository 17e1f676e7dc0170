//! Where a run comes from.

use burn::module::Module;
use ssl_core::{DeviceSpec, Encoder};
use ssl_data::Dataset;
use ssl_encoders::weights;
use ssl_report::Facts;
use sysinfo::{CpuRefreshKind, RefreshKind, System};

use super::told::{Told, length, time};
use crate::images::RunData;
use crate::memory::{Bytes, Machine};
use crate::{Error, Recipe};

/// The version of Burn, which the workspace pins.
const BURN: &str = "0.22.1";

/// Run, versions and machine, recipe.
pub(super) fn of_run(told: &Told, device: Option<DeviceSpec>) -> Result<Vec<Facts>, Error> {
    let (run, recipe) = (&told.run, &told.recipe);
    let steps = format!("{}, {} steps of {} images", length(run), run.steps, recipe.schedule.batch_size);
    let run = values([
        ("method", Some(run.method.clone())),
        ("length", Some(steps)),
        ("time", run.seconds.map(time)),
        ("seed", Some(run.seed.to_string())),
        ("hash of the recipe", Some(recipe.hash())),
        ("network", Some(network(recipe))),
    ]);
    let machine = values([
        ("burn-ssl", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("Burn", Some(BURN.to_owned())),
        ("trained on", device.map(|device| device.to_string())),
        ("report made on", Some(machine())),
    ]);
    let facts = |title: &str, values| Facts { title: title.into(), values, text: String::new() };
    let recipe = Facts { title: "Recipe".into(), values: Vec::new(), text: recipe.to_toml()? };
    Ok(vec![facts("Run", run), facts("Versions and machine", machine), recipe])
}

/// The images of a run.
pub(super) fn of_data(recipe: &Recipe, data: &RunData) -> Facts {
    let set = |set: &Dataset| {
        let labels = set.labels().map_or(" without labels".to_owned(), |labels| {
            let classes: std::collections::BTreeSet<_> = labels.iter().collect();
            format!(" of {} classes", classes.len())
        });
        let unreadable = match set.unreadable() {
            0 => String::new(),
            count => format!(", {count} of them unreadable"),
        };
        format!("{}{labels}{unreadable}", counted(set.len()))
    };
    let sets = data.evaluation.as_ref();
    let size = recipe.data.image_size;
    Facts {
        title: "Images".into(),
        values: values([
            ("trained on", Some(format!("{}, {}", recipe.data.path.display(), set(&data.train)))),
            (
                "tested on",
                sets.zip(recipe.eval.test.as_ref())
                    .map(|(sets, path)| format!("{}, {}", path.display(), set(&sets.test))),
            ),
            ("evaluated at", Some(format!("{size} x {size} pixels"))),
        ]),
        text: String::new(),
    }
}

/// The trained network.
pub(super) fn of_encoder(encoder: &impl Encoder) -> Vec<(String, String)> {
    values([
        ("parameters", Some(grouped(Module::num_params(encoder)))),
        ("features", Some(encoder.feature_dim().to_string())),
        ("hash of the weights", Some(weights::fingerprint(encoder))),
    ])
}

fn network(recipe: &Recipe) -> String {
    let config = &recipe.encoder;
    match config.family() {
        Some(ssl_encoders::Family::ResNet) => format!("{} of width {}", config.name, config.width),
        _ => config.name.clone(),
    }
}

/// This machine: processor, cores, memory, system.
fn machine() -> String {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    let processor =
        system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).filter(|brand| !brand.is_empty());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = Machine::this().map(|machine| format!("{} of memory", Bytes(machine.total)));
    let os = System::long_os_version();
    let parts = [processor, Some(format!("{cores} threads")), memory, os];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn values<const N: usize>(values: [(&str, Option<String>); N]) -> Vec<(String, String)> {
    values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn counted(images: usize) -> String {
    format!("{} image{}", grouped(images), if images == 1 { "" } else { "s" })
}

/// A number with commas.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let mut parts: Vec<&str> = if head.is_empty() { Vec::new() } else { vec![head] };
    parts.extend((0..tail.len() / 3).map(|part| &tail[3 * part..3 * part + 3]));
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        assert_eq!([0, 999, 1000, 11_168_832].map(grouped), ["0", "999", "1,000", "11,168,832"]);
    }

    #[test]
    fn the_version_of_burn_is_that_of_the_workspace() {
        let manifest = include_str!("../../../../Cargo.toml");
        assert!(manifest.contains(&format!("burn = {{ version = \"={BURN}\"")), "{BURN}");
    }
}
