//! Options that change a recipe.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use burn_ssl::core::DeviceSpec;
use burn_ssl::encoders::weights::describe;
use burn_ssl::encoders::{EncoderConfig, Family};
use burn_ssl::images;
use burn_ssl::recipe::{Batch, Chosen, Draft, NamedDraft, RecipeName, Value, Wanted, fit_batch};
use burn_ssl::train::OnCollapse;
use clap::Args;

/// The name that leaves the choice of a recipe to images and device.
const AUTO: &str = "auto";

/// Options about the method and its images.
#[derive(Args)]
pub(crate) struct RecipeArgs {
    /// Method; `burn-ssl methods` lists them.
    #[arg(long, value_name = "NAME")]
    method: Option<String>,
    /// Images: a folder, a .tar, CIFAR, STL-10, MNIST, a list file, or demo:train.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Recipe (`burn-ssl recipes` lists them), file, or auto: <method>/cifar10 for images up to 64 pixels, otherwise
    /// <method>/imagenet, on a CPU a short one; a variant for the model if there is one [default: auto].
    #[arg(long, value_name = "NAME|FILE")]
    recipe: Option<String>,
    /// Width and height of views and images in pixels; smaller crops are scaled in proportion.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    image_size: Option<u32>,
    /// Use only N images, taken from the classes in turn.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Seed of the weights, the order of the images and their views.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    seed: Option<i64>,
    /// Set any key of the recipe, such as optimizer.momentum=0.95 or views[0].ops[1].p=0; can be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// Options about the network.
#[derive(Args)]
pub(crate) struct ModelArgs {
    /// Network; `burn-ssl models` lists them.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Base width of a ResNet; usually 64.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    width: Option<u32>,
    /// First layers of a ResNet or ConvNeXt: auto, cifar or imagenet.
    #[arg(long, value_name = "STEM")]
    stem: Option<String>,
}

/// Options about training and its evaluation.
#[derive(Args)]
pub(crate) struct TrainingArgs {
    /// Number of passes over the images.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    /// Stop after N steps at the latest.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_steps: Option<u32>,
    /// Images per step.
    #[arg(long, value_name = "N")]
    batch_size: Option<u32>,
    /// Learning rate, for the batch size that the recipe scales it from.
    #[arg(long, value_name = "X")]
    lr: Option<f64>,
    /// Format that convolutions and linear layers compute in: f32, or bf16 if the device supports it.
    #[arg(long, value_name = "FORMAT")]
    precision: Option<String>,
    /// Weights to start from, of burn-ssl, torchvision, timm, MoCo, DINO and others (docs/other-programs.md), or the directory of a
    /// run; the network is that of the file, unless --model, --width or --stem name it.
    #[arg(long, value_name = "FILE|DIR")]
    init: Option<PathBuf>,
    /// Labelled images for k-NN and a linear classifier before, during and after training.
    #[arg(long, value_name = "PATH")]
    eval_test: Option<PathBuf>,
    /// Labelled images to search for neighbours, and to fit the classifier to [default: the training images].
    #[arg(long, value_name = "PATH")]
    eval_train: Option<PathBuf>,
    /// Use the first N images of the test set.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    eval_limit: Option<u32>,
    /// Epochs between evaluations; 0 for only the first and the last.
    #[arg(long, value_name = "N")]
    eval_every: Option<u32>,
    /// What to do when the run collapses: warn, or stop with exit code 3, where earlier checkpoints stay (docs/doctor.md) [default:
    /// warn].
    #[arg(long, value_name = "WHAT")]
    on_collapse: Option<String>,
}

/// What other options say that decides which recipe a run starts from.
pub(crate) struct Asked<'a> {
    pub(crate) model: Option<&'a str>,
    pub(crate) batch: Batch,
    pub(crate) device: DeviceSpec,
}

impl Default for Asked<'_> {
    fn default() -> Self {
        Self { model: None, batch: Batch::Fitting, device: DeviceSpec::Flex }
    }
}

impl RecipeArgs {
    /// A draft with these options and more changes in it; `--set` comes last.
    pub(crate) fn applied_to(
        &self,
        mut draft: Draft,
        more: impl FnOnce(&mut Draft) -> Result<()>,
    ) -> Result<Draft> {
        if let Some(size) = self.image_size {
            draft.set_image_size(size as usize)?;
        }
        set(&mut draft, "method", self.method.clone())?;
        set(&mut draft, "data.path", self.data.as_deref().map(text).transpose()?)?;
        set(&mut draft, "data.limit", self.limit)?;
        set(&mut draft, "seed", self.seed)?;
        more(&mut draft)?;
        for assignment in &self.set {
            draft.assign(assignment)?;
        }
        Ok(draft)
    }

    /// Whether `--set` names a key.
    pub(crate) fn sets(&self, key: &str) -> bool {
        let names = |text: &String| text.split_once('=').is_some_and(|(name, _)| name.trim() == key);
        self.set.iter().any(names)
    }

    /// The command that pretrains with these options.
    pub(crate) fn pretraining(&self, model: &ModelArgs) -> String {
        let path = |path: &PathBuf| quoted(&path.display().to_string());
        let number = |number: &u32| number.to_string();
        let named = [
            ("--method", self.method.as_deref().map(quoted)),
            ("--recipe", self.recipe.as_deref().map(quoted)),
            ("--data", self.data.as_ref().map(path)),
            ("--image-size", self.image_size.as_ref().map(number)),
            ("--limit", self.limit.as_ref().map(number)),
            ("--seed", self.seed.map(|seed| seed.to_string())),
            ("--model", model.model.as_deref().map(quoted)),
            ("--width", model.width.as_ref().map(number)),
            ("--stem", model.stem.as_deref().map(quoted)),
        ];
        let given = named.into_iter().filter_map(|(flag, value)| Some((flag, value?)));
        let given = given.chain(self.set.iter().map(|text| ("--set", quoted(text))));
        let options: String = given.map(|(flag, value)| format!("{flag} {value} ")).collect();
        format!("burn-ssl pretrain {options}--out run")
    }

    /// The recipe to start from, for a model if that is given, with a batch that fits the images.
    pub(crate) fn base(&self, asked: &Asked<'_>) -> Result<Chosen> {
        let batch = if self.sets("schedule.batch_size") { Batch::Asked } else { asked.batch };
        let named = self.recipe.as_deref().filter(|name| *name != AUTO);
        if let Some(name) = named {
            let (mut draft, mut notes) = (Draft::open(name)?, vec![format!("recipe: {name}")]);
            self.check_method(name, &draft)?;
            if batch == Batch::Fitting
                && let (Ok(_), Some((images, _))) = (RecipeName::find(name), self.found()?)
            {
                notes.extend(fit_batch(&mut draft, images)?);
            }
            return Ok(Chosen { name: Some(name.to_owned()), draft, notes });
        }
        let Some(method) = &self.method else {
            bail!("there is no method: expected --method NAME or --recipe NAME")
        };
        let Some((images, pixels)) = self.found()? else {
            bail!("there are no images: expected --data PATH")
        };
        let image_size = self.image_size.map(|size| size as usize);
        let Asked { model, device, .. } = *asked;
        Ok(Chosen::by(Wanted { method, model, image_size, pixels, batch, images, device })?)
    }

    /// A recipe has options of its own method, which no other takes.
    fn check_method(&self, recipe: &str, draft: &Draft) -> Result<()> {
        let Some((asked, found)) = self.method.as_deref().zip(draft.text("method")) else { return Ok(()) };
        if asked != found {
            let ways_out = format!("a recipe for {asked}, or no --method");
            bail!("the recipe {recipe} is for {found}, and --method is {asked}: expected {ways_out}");
        }
        Ok(())
    }

    /// How many images there are, and the longer side of the first, if a path is given.
    fn found(&self) -> Result<Option<(usize, Option<usize>)>> {
        let Some(path) = &self.data else { return Ok(None) };
        let found = images::open(path, self.limit.map(|limit| limit as usize))?;
        Ok(Some((found.len(), images::pixels(&found))))
    }
}

impl ModelArgs {
    pub(crate) fn name(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Sets the network; if no option names one, that of the file of weights, where it can be told.
    pub(crate) fn apply(&self, draft: &mut Draft, weights: Option<&Path>) -> Result<()> {
        let is_named = self.model.is_some() || self.width.is_some() || self.stem.is_some();
        if let Some(file) = weights.filter(|_| !is_named)
            && let Some(found) = describe(file)?
        {
            draft.set_model(&found.name)?;
            set(draft, "encoder.patch_size", found.patch_size.map(|pixels| pixels as i64))?;
            set(draft, "encoder.registers", found.registers.map(|count| count as i64))?;
            set(draft, "encoder.class_token", found.class_token)?;
            set(draft, "encoder.layer_scale", found.layer_scale)?;
            set(draft, "encoder.embed_dim", found.embed_dim.map(|dim| dim as i64))?;
            set(draft, "encoder.depth", found.depth.map(|depth| depth as i64))?;
            set(draft, "encoder.heads", found.heads.map(|heads| heads as i64))?;
            set(draft, "encoder.mlp_ratio", found.mlp_ratio.map(|ratio| ratio as i64))?;
            let list = |numbers: [usize; 4]| numbers.map(|number| number as i64).to_vec();
            set(draft, "encoder.depths", found.depths.map(list))?;
            set(draft, "encoder.dims", found.dims.map(list))?;
            if found.family() == Some(Family::ResNet) {
                draft.set("encoder.width", found.width as i64)?;
                draft.set("encoder.selective_kernel", found.selective_kernel)?;
            }
            if !found.is_vit() {
                draft.set("encoder.stem", found.stem.to_string())?;
            }
            return Ok(());
        }
        if let Some(model) = &self.model {
            draft.set_model(model)?;
        }
        set(draft, "encoder.width", self.width)?;
        set(draft, "encoder.stem", self.stem.clone())
    }

    /// The network alone, if any of the options is given.
    pub(crate) fn config(&self) -> Result<Option<EncoderConfig>> {
        if self.model.is_none() && self.width.is_none() && self.stem.is_none() {
            return Ok(None);
        }
        let default = EncoderConfig::default();
        let stem = self.stem.as_deref().map(str::parse).transpose()?.unwrap_or(default.stem);
        let name = self.model.clone().unwrap_or(default.name.clone());
        let width = self.width.map_or(default.width, |width| width as usize);
        Ok(Some(EncoderConfig { name, width, stem, ..default }))
    }
}

impl TrainingArgs {
    /// The file to start from.
    pub(crate) fn weights(&self) -> Result<Option<PathBuf>> {
        self.init.as_deref().map(weights_file).transpose()
    }

    pub(crate) fn batch(&self) -> Batch {
        if self.batch_size.is_some() { Batch::Asked } else { Batch::Fitting }
    }

    pub(crate) fn apply(&self, draft: &mut Draft) -> Result<()> {
        set(draft, "schedule.epochs", self.epochs)?;
        set(draft, "schedule.max_steps", self.max_steps)?;
        set(draft, "schedule.batch_size", self.batch_size)?;
        set(draft, "optimizer.lr", self.lr)?;
        set(draft, "precision", self.precision.clone())?;
        set(draft, "encoder.init", self.weights()?.as_deref().map(text).transpose()?)?;
        set(draft, "eval.test", self.eval_test.as_deref().map(text).transpose()?)?;
        set(draft, "eval.train", self.eval_train.as_deref().map(text).transpose()?)?;
        set(draft, "eval.limit", self.eval_limit)?;
        set(draft, "eval.every_epochs", self.eval_every)?;
        let on_collapse = self.on_collapse.as_deref().map(str::parse::<OnCollapse>).transpose()?;
        set(draft, "train.on_collapse", on_collapse.map(|what| what.to_string()))
    }
}

/// Sets a key if there is a value for it.
pub(crate) fn set(draft: &mut Draft, key: &str, value: Option<impl Into<Value>>) -> Result<()> {
    if let Some(value) = value {
        draft.set(key, value)?;
    }
    Ok(())
}

/// A file of weights; of the directory of a run, its encoder.
pub(crate) fn weights_file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let file = path.join("encoder.safetensors");
    if !file.is_file() {
        bail!("{} holds no finished run: expected encoder.safetensors in it", path.display());
    }
    Ok(file)
}

/// A word of a command line, in quotes where a shell would cut or change it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=,@+%~".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn text(path: &Path) -> Result<String> {
    match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => bail!("the path {} is not Unicode: expected one that a recipe can hold", path.display()),
    }
}
