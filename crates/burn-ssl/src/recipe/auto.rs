//! The recipe of a run that names none.

use ssl_core::DeviceSpec;
use ssl_train::ScheduleConfig;

use super::{Draft, RecipeError, RecipeName, Value};

/// Above this many pixels, images are photographs to us: those up to it get the CIFAR recipes.
const SMALL: usize = 64;
/// The size of CIFAR's images.
const CIFAR: usize = 32;

/// What photographs get on a CPU, on top of the recipe for short runs (our choice: on two cores, a few minutes for hundreds
/// of photographs). At 96 pixels, the ImageNet stem leaves the last stage 3 x 3 positions.
const ON_A_CPU: [(&str, i64); 2] = [("schedule.batch_size", 64), ("data.image_size", 96)];
/// The width of a ResNet then, and the patches of a ViT: 8 x 8 of an image.
const WIDTH_ON_A_CPU: i64 = 32;
const PATCH_ON_A_CPU: i64 = 12;
/// How many images such a run sees, each as often as there are epochs.
const SEEN_ON_A_CPU: usize = 12_000;

/// Mean and standard deviation of ImageNet, as in torchvision.
const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const STD: [f64; 3] = [0.229, 0.224, 0.225];

/// What is known of a run that names no recipe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted<'a> {
    /// The method.
    pub method: &'a str,
    /// The model, if one is asked for.
    pub model: Option<&'a str>,
    /// Width and height of views in pixels, if asked for.
    pub image_size: Option<usize>,
    /// The longer side of the images in pixels, if known.
    pub pixels: Option<usize>,
    /// Whether the batch may be changed.
    pub batch: Batch,
    /// Number of images.
    pub images: usize,
    /// The device.
    pub device: DeviceSpec,
}

/// Who decides how many images a batch has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Batch {
    /// The recipe, and the number of images if that is smaller.
    #[default]
    Fitting,
    /// The user.
    Asked,
}

/// A recipe, and why it was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// The name or file of the recipe that it starts from; none if it is that of a run.
    pub name: Option<String>,
    /// The recipe, with what was changed in it.
    pub draft: Draft,
    /// Which it is, why, and what was changed, a sentence each.
    pub notes: Vec<String>,
}

impl Chosen {
    /// Chooses by images, device and model.
    ///
    /// Images of up to 64 pixels get `<method>/cifar10`, larger ones `<method>/imagenet`; models of another kind get a
    /// variant, if there is one. Photographs on a CPU get the recipe for short runs at 96 pixels, unless a model or a size
    /// is asked for. A batch larger than the set of images is made smaller, unless its size is asked for.
    ///
    /// # Errors
    /// If this build has no such method.
    pub fn by(wanted: Wanted<'_>) -> Result<Self, RecipeError> {
        let mut chosen = if wanted.is_for_a_cpu() { wanted.on_a_cpu()? } else { wanted.usual()? };
        if wanted.batch == Batch::Fitting {
            chosen.notes.extend(fit_batch(&mut chosen.draft, wanted.images)?);
        }
        Ok(chosen)
    }
}

impl Wanted<'_> {
    fn has_photos(&self) -> bool {
        self.pixels.is_none_or(|pixels| pixels > SMALL)
    }

    fn is_on_cpu(&self) -> bool {
        matches!(self.device, DeviceSpec::Flex | DeviceSpec::Tch)
    }

    /// Whether the usual recipe is too slow here, and nothing was asked for that another one could not give.
    fn is_for_a_cpu(&self) -> bool {
        self.has_photos() && self.is_on_cpu() && self.model.is_none() && self.image_size.is_none()
    }

    fn on_a_cpu(&self) -> Result<Chosen, RecipeError> {
        let method = crate::registry::method(self.method)?.name;
        let name = RecipeName::find(&format!("{method}/cifar10-quick"))?;
        let mut draft = Draft::parse(name.as_str(), name.text())?;
        let epochs = (SEEN_ON_A_CPU / self.images.max(1)).clamp(1, 200) as i64;
        let is_vit = draft.clone().finish()?.encoder.is_vit();
        let network = match is_vit {
            true => ("encoder.patch_size", PATCH_ON_A_CPU),
            false => ("encoder.width", WIDTH_ON_A_CPU),
        };
        let mut changes = Vec::new();
        for (key, value) in [network].into_iter().chain(ON_A_CPU).chain([("schedule.epochs", epochs)]) {
            match key {
                "data.image_size" => draft.set_image_size(value as usize)?,
                _ => draft.set(key, value)?,
            }
            changes.push(format!("{key} = {value}"));
        }
        if !is_vit {
            draft.set("encoder.stem", "imagenet")?;
            changes.push("encoder.stem = imagenet".to_owned());
        }
        normalize(&mut draft)?;
        let (changes, full) = (changes.join(", "), format!("{method}/imagenet"));
        let notes = vec![
            format!(
                "recipe: {name}, for photographs on a CPU, with {changes} and the mean and std of ImageNet"
            ),
            format!("the recipe of the paper, {full}, is for a GPU, and far slower on a CPU"),
        ];
        Ok(Chosen { name: Some(name.to_string()), draft, notes })
    }

    fn usual(&self) -> Result<Chosen, RecipeError> {
        let pixels = self.image_size.or(self.pixels).unwrap_or(usize::MAX);
        let name = match self.model {
            Some(model) => RecipeName::of_model(self.method, model, pixels)?,
            None => RecipeName::of_method(self.method, pixels)?,
        };
        let mut draft = Draft::parse(name.as_str(), name.text())?;
        let side = if pixels <= SMALL { "up to" } else { "more than" };
        let mut notes = vec![format!("recipe: {name}, for images of {side} {SMALL} pixels")];
        if pixels <= SMALL && self.has_photos() {
            normalize(&mut draft)?;
            notes.push("mean and std are those of ImageNet, since these are photographs".to_owned());
        } else if pixels <= SMALL && self.pixels != Some(CIFAR) {
            notes.push("mean and std are those of CIFAR-10: data.mean and data.std change them".to_owned());
        }
        if pixels > SMALL && self.is_on_cpu() {
            let quicker = "without a model and an image size, a quicker one is chosen";
            notes.push(format!("this recipe is for a GPU, and far slower on a CPU: {quicker}"));
        }
        Ok(Chosen { name: Some(name.to_string()), draft, notes })
    }
}

fn normalize(draft: &mut Draft) -> Result<(), RecipeError> {
    for (key, values) in [("data.mean", MEAN), ("data.std", STD)] {
        draft.set(key, values.map(Value::from).to_vec())?;
    }
    Ok(())
}

/// Makes a batch fit a set of `images` images: the largest power of two that is not above it. Returns what to say of it, if
/// anything had to change.
///
/// # Errors
/// If the draft is no recipe.
pub fn fit_batch(draft: &mut Draft, images: usize) -> Result<Option<String>, RecipeError> {
    let batch = draft.clone().finish()?.schedule.batch_size;
    if batch <= images || images < 2 {
        return Ok(None);
    }
    let fitting = 1_i64 << images.ilog2();
    draft.set("schedule.batch_size", fitting)?;
    Ok(Some(format!("schedule.batch_size is {fitting} instead of {batch}, since there are {images} images")))
}

/// Shortens a warm-up that would be longer than the run, in proportion to the epochs of the recipe that the draft comes from,
/// whose schedule is `usual`. Returns what to say of it, if anything had to change.
///
/// # Errors
/// If the draft is no recipe.
pub fn fit_warmup(draft: &mut Draft, usual: &ScheduleConfig) -> Result<Option<String>, RecipeError> {
    let ScheduleConfig { epochs, warmup_epochs: warmup, .. } = draft.clone().finish()?.schedule;
    let (before, of) = (usual.warmup_epochs, usual.epochs);
    // A recipe whose own warm-up is too long has no proportion to keep.
    if warmup <= epochs as f64 || before > of as f64 || warmup != before {
        return Ok(None);
    }
    let fitting = (before * epochs as f64 / of as f64 * 1e4).round() / 1e4;
    draft.set("schedule.warmup_epochs", fitting)?;
    Ok(Some(format!(
        "schedule.warmup_epochs is {fitting} instead of {before}, in proportion to {epochs} epochs instead of {of}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{NamedDraft, NamedRecipe, Recipe};
    use crate::registry::METHODS;

    fn photos(images: usize) -> Wanted<'static> {
        let (model, image_size, batch, device) = (None, None, Batch::Fitting, DeviceSpec::Flex);
        Wanted { method: "simclr", model, image_size, pixels: Some(1024), batch, images, device }
    }

    fn chosen(wanted: Wanted<'_>) -> (Recipe, Vec<String>) {
        let Chosen { draft, notes, .. } = Chosen::by(wanted).expect("a method of this build");
        (draft.finish().and_then(Recipe::resolved).expect("usable"), notes)
    }

    #[test]
    fn photographs_on_a_cpu_get_a_recipe_that_a_cpu_can_run() {
        for method in METHODS {
            let (recipe, notes) = chosen(Wanted { method: method.name, ..photos(200) });
            let network = match recipe.encoder.is_vit() {
                true => recipe.encoder.patch_size == Some(12),
                false => recipe.encoder.width == 32,
            };
            assert!(network && recipe.data.image_size == 96, "{}", method.name);
            assert_eq!(
                (recipe.data.mean, recipe.schedule.batch_size, recipe.schedule.epochs),
                (MEAN, 64, 60)
            );
            assert!(recipe.views.iter().all(|view| view.size <= 96 && view.size > 32));
            let start = format!("recipe: {}/cifar10-quick, for photographs on a CPU, with ", method.name);
            assert!(notes[0].starts_with(&start) && notes[0].contains("schedule.epochs = 60"), "{notes:?}");
        }
    }

    #[test]
    fn a_gpu_a_model_or_a_size_gets_the_recipe_of_the_paper() {
        let gpu = chosen(Wanted { device: DeviceSpec::Cuda(0), ..photos(5000) });
        assert_eq!(gpu.0, Recipe::named("simclr/imagenet").and_then(Recipe::resolved).expect("usable"));
        assert_eq!(gpu.1, ["recipe: simclr/imagenet, for images of more than 64 pixels"]);
        let (recipe, notes) = chosen(Wanted { model: Some("resnet50"), ..photos(5000) });
        assert_eq!(recipe.data.image_size, 224);
        assert!(notes[1].starts_with("this recipe is for a GPU, and far slower on a CPU"), "{notes:?}");
    }

    #[test]
    fn small_images_get_the_recipe_they_always_had() {
        let cifar = chosen(Wanted { pixels: Some(32), ..photos(5000) });
        assert_eq!(cifar.0, Recipe::named("simclr/cifar10").and_then(Recipe::resolved).expect("usable"));
        assert_eq!(cifar.1, ["recipe: simclr/cifar10, for images of up to 64 pixels"]);
    }

    #[test]
    fn photographs_at_64_pixels_do_not_get_the_mean_of_cifar_and_small_images_are_told() {
        let (recipe, notes) = chosen(Wanted { image_size: Some(64), ..photos(5000) });
        assert_eq!((recipe.data.mean, recipe.data.std), (MEAN, STD));
        assert!(notes[1].starts_with("mean and std are those of ImageNet"), "{notes:?}");
        let (recipe, notes) = chosen(Wanted { pixels: Some(64), ..photos(5000) });
        assert_ne!(recipe.data.mean, MEAN);
        assert!(notes[1].starts_with("mean and std are those of CIFAR-10"), "{notes:?}");
    }

    #[test]
    fn a_small_set_gets_a_batch_that_fits() {
        let (recipe, notes) = chosen(Wanted { pixels: Some(32), ..photos(200) });
        assert_eq!(recipe.schedule.batch_size, 128);
        assert_eq!(notes[1], "schedule.batch_size is 128 instead of 512, since there are 200 images");
        let (_, notes) = chosen(Wanted { pixels: Some(32), batch: Batch::Asked, ..photos(200) });
        assert_eq!(notes.len(), 1, "{notes:?}");
        let mut draft = Draft::named("simclr/cifar10").expect("a recipe of the library");
        assert_eq!(fit_batch(&mut draft, 512), Ok(None));
        assert!(matches!(fit_batch(&mut draft, 511), Ok(Some(_))));
        assert_eq!(draft.finish().map(|recipe| recipe.schedule.batch_size), Ok(256));
    }

    #[test]
    fn a_shortened_run_gets_a_warm_up_in_proportion_and_one_that_fits_stays() {
        let (mut draft, mut usual) =
            (Draft::named("simclr/cifar10").expect("there"), ScheduleConfig::default());
        (usual.epochs, usual.warmup_epochs) = (200, 10.0);
        draft.set("schedule.warmup_epochs", 10.0).expect("a key");
        for (epochs, warmup) in [(10, 10.0), (5, 0.25), (1, 0.05)] {
            let mut draft = draft.clone();
            draft.set("schedule.epochs", epochs).expect("a key");
            let said = fit_warmup(&mut draft, &usual).expect("usable");
            assert_eq!(said.is_some(), warmup < 10.0, "{said:?}");
            assert_eq!(draft.finish().map(|recipe| recipe.schedule.warmup_epochs), Ok(warmup));
        }
        draft.set("schedule.epochs", 5).expect("a key");
        let said = fit_warmup(&mut draft.clone(), &usual).expect("usable").expect("it changes");
        assert_eq!(
            said,
            "schedule.warmup_epochs is 0.25 instead of 10, in proportion to 5 epochs instead of 200"
        );
        draft.set("schedule.warmup_epochs", 7.0).expect("a key");
        assert_eq!(fit_warmup(&mut draft, &usual), Ok(None), "it was asked for, and is refused");
    }
}
