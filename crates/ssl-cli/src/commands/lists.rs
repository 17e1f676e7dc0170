//! The commands that list methods, models, recipes and devices.

use anyhow::Result;
use burn_ssl::core::{DeviceInfo, DeviceSpec};
use burn_ssl::encoders::MODELS;
use burn_ssl::recipe::NamedDraft;
use burn_ssl::recipe::{Draft, RecipeName};
use burn_ssl::registry::METHODS;
use serde_json::json;

use crate::output::{columns, print};

pub(super) fn methods(json: bool) -> Result<()> {
    let rows: Vec<_> =
        METHODS.iter().map(|method| [method.name, method.about, method.paper].map(str::to_owned)).collect();
    print(json, &METHODS, columns(&rows))
}

pub(super) fn models(json: bool) -> Result<()> {
    let row = |model: &burn_ssl::encoders::ModelInfo| {
        let parameters = format!("{:.1} M parameters", model.parameters as f64 / 1e6);
        [model.name.to_owned(), parameters, format!("{} features", model.feature_dim), model.about.to_owned()]
    };
    print(json, &MODELS, columns(&MODELS.iter().map(row).collect::<Vec<_>>()))
}

pub(super) fn recipes(name: Option<&str>, json: bool) -> Result<()> {
    match name {
        Some(name) => {
            let recipe = RecipeName::find(name)?;
            print(json, &Draft::named(name)?.finish()?, recipe.text().trim_end())
        }
        None => {
            let names: Vec<_> = RecipeName::all().map(|recipe| recipe.as_str()).collect();
            let objects: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
            print(json, &objects, names.join("\n"))
        }
    }
}

pub(super) fn devices(json: bool) -> Result<()> {
    let kinds = DeviceSpec::kinds().map(|kind| (kind, FoundDevices::of(kind.spec)));
    let objects = kinds.iter().map(|(kind, found)| {
        json!({
            "name": kind.name,
            "feature": kind.feature,
            "compiled": kind.compiled,
            "about": kind.about,
            "found": found.devices,
            "problem": found.problem,
        })
    });
    let row = |(kind, found): &(DeviceInfo, FoundDevices)| {
        [kind.name.to_owned(), kind.about.to_owned(), found.describe(kind)]
    };
    print(json, &objects.collect::<Vec<_>>(), columns(&kinds.iter().map(row).collect::<Vec<_>>()))
}

/// The devices of a kind on this machine.
struct FoundDevices {
    devices: Vec<String>,
    /// Why the backend could not list them.
    problem: Option<String>,
}

impl FoundDevices {
    fn of(spec: DeviceSpec) -> Self {
        match spec.found() {
            Ok(devices) => {
                let devices = devices.unwrap_or_default().iter().map(ToString::to_string).collect();
                Self { devices, problem: None }
            }
            Err(problem) => Self { devices: Vec::new(), problem: Some(problem) },
        }
    }

    fn describe(&self, kind: &DeviceInfo) -> String {
        match &self.problem {
            _ if !kind.compiled => format!("needs --features {}", kind.feature),
            Some(problem) => format!("unusable: {problem}"),
            None if self.devices.is_empty() => "in this build, none found".to_owned(),
            None => format!("usable: {}", self.devices.join(", ")),
        }
    }
}
