//! The commands that list methods, models, recipes and devices.

use anyhow::{Result, bail};
use burn_ssl::columns;
use burn_ssl::core::{DeviceInfo, DeviceSpec};
use burn_ssl::encoders::MODELS;
use burn_ssl::images;
use burn_ssl::recipe::NamedDraft;
use burn_ssl::recipe::{Draft, RecipeName};
use burn_ssl::registry::advice::{COSTS_OF, COSTS_SOURCE, Cost, Recommended, Situation, recommend};
use burn_ssl::registry::{METHODS, MethodInfo};
use serde_json::json;

use crate::args::MethodsArgs;
use crate::output::print;

/// Classes of images of which no more is known than that they have labels.
const FEW_CLASSES: usize = 2;

pub(super) fn methods(args: &MethodsArgs, json: bool) -> Result<()> {
    let row = |method: &MethodInfo| {
        let cost = |value: fn(Cost) -> String| method.cost().map(value).unwrap_or_default();
        let [name, about, paper] = [method.name, method.about, method.paper].map(str::to_owned);
        let seconds = cost(|cost| format!("{} s/epoch", cost.epoch_seconds));
        [name, seconds, cost(|cost| format!("{} MB", cost.peak_mb)), about, paper]
    };
    let advice = situation(args)?.and_then(|situation| Some((situation, recommend(situation)?)));
    let mut words = columns(&METHODS.iter().map(row).collect::<Vec<_>>());
    words += &format!("\ncosts: {COSTS_OF} ({COSTS_SOURCE})");
    if let Some((Situation { classes, batch_size, images, .. }, Recommended { method, why })) = advice {
        let labels = if classes.is_some() { "with" } else { "without" };
        words += &format!(
            "\nrecommended for {images} images {labels} labels in batches of {batch_size}: {method}, since {why}"
        );
    }
    let object = |method: &MethodInfo| -> Result<serde_json::Value> {
        let mut object = serde_json::to_value(method)?;
        object["cost"] = serde_json::to_value(method.cost())?;
        object["recommended"] = advice.is_some_and(|(_, advice)| advice.method == method.name).into();
        Ok(object)
    };
    print(json, &METHODS.iter().map(object).collect::<Result<Vec<_>>>()?, words)
}

/// What a method is asked for, if anything is.
fn situation(args: &MethodsArgs) -> Result<Option<Situation>> {
    let batch_size = args.batch_size as usize;
    let known = match (&args.data, args.images) {
        (Some(path), _) => {
            Some(Situation::of(&images::open(path, None)?, None, Some(batch_size), DeviceSpec::Flex))
        }
        (None, Some(images)) => {
            let (images, classes) = (images as usize, args.labels.then_some(FEW_CLASSES));
            let batch_size = batch_size.min(images);
            Some(Situation { classes, batch_size, images, pixels: None, vit: false, cpu: true })
        }
        (None, None) if args.labels => {
            bail!("the number of images is not known: expected --images N or --data PATH")
        }
        (None, None) => None,
    };
    Ok(known)
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
