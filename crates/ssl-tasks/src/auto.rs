//! Batch size and epochs of recipes that leave them to images and device.

use ssl_core::{DeviceSpec, MethodRules, Severity, SslMethod};
use ssl_data::Dataset;
use ssl_encoders::AnyEncoder;

use crate::advice::Situation;
use crate::images::open_within;
use crate::memory::{self, Bytes, Machine};
use crate::methods::{Methods, WithMethod};
use crate::preparation::EVAL_BATCH;
use crate::recipe::{Draft, MadeFor, RecipeError};
use crate::{Error, Recipe};

/// The share of the free memory that a batch may take: the estimate is within 20 % of what a run takes.
const OF_FREE: f64 = 0.8;
/// How many times the epochs of a recipe are chosen at most (our choice: its authors stop where more bring little, and 1,000
/// epochs on CIFAR-10 are 5 times the 200 of our recipes).
const MOST_TIMES: u64 = 5;
/// Epochs that may be chosen in any case, for recipes of few (our choice).
const ALWAYS: u64 = 200;
/// Epochs that are never exceeded: the longest published runs, of MAE, have as many.
const MOST: u64 = 1600;
/// The share of a recipe's epochs that is chosen at least, however many images there are (our choice).
const LEAST_SHARE: f64 = 0.1;

/// The machine that a run is chosen for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AutoOptions {
    /// The device. Default `flex`.
    pub device: DeviceSpec,
    /// Processes that train together. Default 1.
    pub processes: usize,
    /// Those of them on this machine, which share its memory. Default 1.
    pub on_machine: usize,
}

impl Default for AutoOptions {
    fn default() -> Self {
        Self { device: DeviceSpec::Flex, processes: 1, on_machine: 1 }
    }
}

/// Chooses `schedule.batch_size` and `schedule.epochs` where a draft leaves them to images and device, and says why, a sentence
/// for each. A draft without `auto` stays as it is.
///
/// The batch is the largest power of two up to what the recipe was [made for](MadeFor) that the set of images has, that fits into
/// 80 % of the free memory, and that the method can work with. The epochs are those that draw as many images as the recipe was
/// made for, within bounds; see `docs/plan.md`.
///
/// # Errors
/// If the draft is no recipe, its images cannot be opened, nothing fits, or epochs are to be chosen and the recipe does not say
/// what it was made for.
pub fn choose_auto(
    methods: &impl Methods,
    draft: &mut Draft,
    options: AutoOptions,
) -> Result<Vec<String>, Error> {
    if draft.autos().is_empty() {
        return Ok(Vec::new());
    }
    let recipe = draft.settled()?.resolved_by(methods)?;
    let (name, method_options) = (recipe.method.clone(), recipe.method_options.clone());
    methods.with::<AnyEncoder, _>(&name, &method_options, Choosing { draft, recipe, options })?
}

/// [`choose_auto`] for a method from outside.
///
/// # Errors
/// Those of [`choose_auto`].
pub fn choose_auto_for(
    method: &impl MethodRules,
    draft: &mut Draft,
    options: AutoOptions,
) -> Result<Vec<String>, Error> {
    if draft.autos().is_empty() {
        return Ok(Vec::new());
    }
    let recipe = draft.settled()?;
    Choosing { draft, recipe, options }.choose(method)
}

struct Choosing<'a> {
    draft: &'a mut Draft,
    /// With what it was made for in place of what is to be chosen.
    recipe: Recipe,
    options: AutoOptions,
}

impl WithMethod<AnyEncoder> for Choosing<'_> {
    type Output = Result<Vec<String>, Error>;

    fn run<M: SslMethod<AnyEncoder>>(self, method: M) -> Self::Output {
        self.choose(&method)
    }
}

impl Choosing<'_> {
    fn choose(mut self, method: &impl MethodRules) -> Result<Vec<String>, Error> {
        let data = &self.recipe.data;
        if data.path.as_os_str().is_empty() {
            return Err(Error::NoData);
        }
        let images = open_within(&data.path, data.limit, data.max_image_bytes)?;
        let mut notes = Vec::new();
        for key in self.draft.autos() {
            let (value, note) = match key {
                "schedule.epochs" => self.epochs(&images)?,
                _ => self.batch_size(method, &images)?,
            };
            self.draft.set(key, value)?;
            notes.push(format!("{key} is {value}: {note}"));
        }
        notes.extend(self.warmup()?);
        Ok(notes)
    }

    /// The batch size, and why.
    fn batch_size(&mut self, method: &impl MethodRules, images: &Dataset) -> Result<(i64, String), Error> {
        let (most, count) = (self.recipe.schedule.batch_size, images.len());
        let on_cpu = matches!(self.options.device, DeviceSpec::Flex | DeviceSpec::Tch);
        let machine = Machine::this().filter(|_| on_cpu);
        let mut refused = Vec::new();
        for power in (1..=most.min(count).max(1).ilog2()).rev() {
            let size = 1_usize << power;
            self.recipe.schedule.batch_size = size;
            let Some(why) = self.hindrance(method, images, machine.as_ref())? else {
                let made_for =
                    if self.recipe.made_for.is_some() { ", which the recipe was made for," } else { "" };
                let memory = match &machine {
                    Some(machine) => format!("fits into the {} of free memory", Bytes(machine.available)),
                    None => "the device is not asked for its memory".to_owned(),
                };
                let twice = refused
                    .last()
                    .map(|why| format!("; twice as many do not work: {why}"))
                    .unwrap_or_default();
                let reason = format!(
                    "the largest power of two up to {most}{made_for} that the {count} images have; {memory}{twice}"
                );
                return Ok((size as i64, reason));
            };
            refused.push(why);
        }
        let reason = refused.into_iter().next().unwrap_or_else(|| format!("there are {count} images"));
        let reason =
            format!("found 'auto', and no power of two up to {most} works: {reason}; expected a number");
        Err(RecipeError::Value { key: "schedule.batch_size".to_owned(), reason }.into())
    }

    /// Why the batch of the recipe does not work.
    fn hindrance(
        &self,
        method: &impl MethodRules,
        images: &Dataset,
        machine: Option<&Machine>,
    ) -> Result<Option<String>, Error> {
        let (recipe, processes) = (&self.recipe, self.options.processes.max(1));
        let config = recipe.train_config();
        let cut = recipe.check_batch().and_then(|()| Ok(config.check_share(processes)?));
        let cut = cut.and_then(|()| recipe.check_splits_of_share(processes));
        if let Err(error) = cut {
            return Ok(Some(error.to_string()));
        }
        let steps_per_epoch = (images.len() / recipe.schedule.batch_size).max(1) as u64;
        let situation = Situation { recipe, images, processes, steps_per_epoch, disk: None };
        let severe = |advice: &ssl_core::Advice| advice.severity == Severity::CannotWork;
        if let Some(advice) = method.advice(&situation.plan()).into_iter().find(severe) {
            return Ok(Some(advice.to_string()));
        }
        let mut share = recipe.clone();
        share.schedule.batch_size = recipe.schedule.batch_size.div_ceil(processes);
        let evaluated = if recipe.eval.test.is_some() { images.len().min(EVAL_BATCH) } else { 0 };
        let run = memory::Run { recipe: &share, method, images, evaluated, teacher: None };
        let Some((needed, machine)) = memory::of_run(&run)?.zip(machine) else { return Ok(None) };
        let most = OF_FREE * machine.available / self.options.on_machine.max(1) as f64;
        Ok((needed.bytes() > most)
            .then(|| format!("they would take {needed}, more than {} of free memory", Bytes(most))))
    }

    /// The epochs, and why.
    fn epochs(&self, images: &Dataset) -> Result<(i64, String), Error> {
        let Some(made_for) = self.recipe.made_for else {
            let reason = "found 'auto', and the recipe does not say what it was made for: expected a section [made_for] with \
                          images, epochs and batch_size, or a number";
            return Err(
                RecipeError::Value { key: "schedule.epochs".to_owned(), reason: reason.to_owned() }.into()
            );
        };
        let (chosen, images) = (epochs(&made_for, images.len()), images.len());
        let MadeFor { images: usual_images, epochs: usual, .. } = made_for;
        let wanted = made_for.drawn() / images as f64;
        let bound = match chosen as f64 {
            chosen if chosen < wanted.round() => "and more are not chosen",
            chosen if chosen > wanted.round().max(1.0) => "and fewer are not chosen",
            _ => "as many",
        };
        let reason = format!(
            "the recipe was made for {usual} epochs of {usual_images} images; {images} images are drawn as often in {wanted:.1} epochs, {bound}"
        );
        Ok((chosen as i64, reason))
    }

    /// Shortens a warm-up that is longer than the chosen epochs, in proportion.
    fn warmup(&mut self) -> Result<Option<String>, Error> {
        let schedule = self.draft.clone().finish()?.schedule;
        let (warmup, epochs) = (schedule.warmup_epochs, schedule.epochs);
        let Some(usual) = self.recipe.made_for.map(|made_for| made_for.epochs as f64) else {
            return Ok(None);
        };
        if warmup <= epochs as f64 || warmup > usual {
            return Ok(None);
        }
        let fitting = (warmup * epochs as f64 / usual * 1e4).round() / 1e4;
        self.draft.set("schedule.warmup_epochs", fitting)?;
        Ok(Some(format!(
            "schedule.warmup_epochs is {fitting} instead of {warmup}, in proportion to {epochs} epochs"
        )))
    }
}

/// The epochs on `images` images that draw as many images as a recipe was made for: at most five times its epochs (or 200, where
/// these are fewer) and at most 1600, at least a tenth of its epochs and at least one.
pub(crate) fn epochs(made_for: &MadeFor, images: usize) -> u64 {
    let usual = made_for.epochs;
    let most = (MOST_TIMES.saturating_mul(usual)).max(ALWAYS).min(MOST.max(usual));
    let least = ((LEAST_SHARE * usual as f64).ceil() as u64).max(1);
    ((made_for.drawn() / images.max(1) as f64).round() as u64).clamp(least, most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::testing;

    const CIFAR: MadeFor = MadeFor { images: 50_000, epochs: 200, batch_size: 512 };

    /// A method that compares nothing.
    struct Plain;

    impl MethodRules for Plain {}

    /// A method that works with at most 64 images.
    struct Small;

    impl MethodRules for Small {
        fn advice(&self, plan: &ssl_core::Plan) -> Vec<ssl_core::Advice> {
            let many = || ssl_core::Advice::cannot_work("many images", "few", Vec::new());
            (plan.batch > 64).then(many).into_iter().collect()
        }
    }

    fn draft() -> Draft {
        let mut draft = testing::draft("simclr/cifar10");
        for (key, value) in
            [("data.path", "demo:train"), ("schedule.batch_size", "auto"), ("schedule.epochs", "auto")]
        {
            draft.set(key, value).expect("a key");
        }
        // Whatever else the machine does, 512 images of it have room in memory.
        draft.set("encoder.width", 8).expect("a key");
        draft
    }

    fn chosen(draft: &mut Draft, method: &impl MethodRules) -> (Recipe, Vec<String>) {
        let notes = choose_auto_for(method, draft, AutoOptions::default()).expect("4000 images");
        (draft.clone().finish().expect("numbers"), notes)
    }

    #[test]
    fn as_many_images_are_drawn_as_the_recipe_was_made_for_within_bounds() {
        let chosen = |images| epochs(&CIFAR, images);
        assert_eq!((chosen(50_000), chosen(25_000), chosen(100_000)), (200, 400, 100));
        assert_eq!(chosen(1000), 1000, "not the 10,000 that would draw as many");
        assert_eq!(chosen(50_000_000), 20, "a tenth of the epochs");
        let quick = MadeFor { images: 5000, epochs: 10, batch_size: 128 };
        assert_eq!((epochs(&quick, 5000), epochs(&quick, 500), epochs(&quick, 2)), (10, 100, 200));
        assert_eq!(epochs(&quick, 1 << 40), 1);
        let long = MadeFor { epochs: 1000, ..CIFAR };
        assert_eq!(epochs(&long, 100), 1600);
        assert_eq!(epochs(&MadeFor { epochs: 3000, ..CIFAR }, 100), 3000);
    }

    #[test]
    fn a_batch_is_what_the_recipe_was_made_for_unless_images_or_method_or_memory_forbid_it() {
        let (recipe, notes) = chosen(&mut draft(), &Plain);
        assert_eq!((recipe.schedule.batch_size, recipe.schedule.epochs), (512, 1000));
        assert!(
            notes[0].starts_with("schedule.batch_size is 512: the largest power of two up to 512"),
            "{notes:?}"
        );
        assert!(
            notes[1].contains("4000 images are drawn as often in 2500.0 epochs, and more are not chosen"),
            "{notes:?}"
        );

        let mut few = draft();
        few.set("data.limit", 100).expect("a key");
        assert_eq!(chosen(&mut few, &Plain).0.schedule.batch_size, 64);
        let (recipe, notes) = chosen(&mut draft(), &Small);
        assert_eq!(recipe.schedule.batch_size, 64);
        assert!(notes[0].ends_with("twice as many do not work: many images, expected few"), "{notes:?}");
        let mut wide = draft();
        wide.set("encoder.width", 2048).and_then(|()| wide.set_image_size(128)).expect("keys");
        let smaller = choose_auto_for(&Plain, &mut wide, AutoOptions::default());
        let batch = wide.clone().settled().map(|recipe| recipe.schedule.batch_size);
        assert!(smaller.is_err() || batch.is_ok_and(|batch| batch < 512), "{smaller:?}");
    }

    #[test]
    fn a_batch_divides_among_micro_batches_and_processes() {
        let mut odd = draft();
        odd.set("train.accumulate", 3).expect("a key");
        let error = choose_auto_for(&Plain, &mut odd, AutoOptions::default())
            .expect_err("no power of two")
            .to_string();
        assert!(
            error.starts_with("schedule.batch_size: found 'auto', and no power of two up to 512 works: "),
            "{error}"
        );
        let three = AutoOptions { processes: 3, ..AutoOptions::default() };
        assert!(choose_auto_for(&Plain, &mut draft(), three).is_err());
    }

    #[test]
    fn epochs_need_to_know_what_the_recipe_was_made_for() {
        let text = "[schedule]\nepochs = 'auto'";
        let mut made_for = draft().settled().expect("numbers");
        made_for.made_for = None;
        let mut bare = Draft::parse("its text", &made_for.to_toml().expect("TOML")).expect("TOML");
        bare.overlay(&Draft::parse("mine", text).expect("TOML")).expect("keys");
        let error =
            choose_auto_for(&Plain, &mut bare, AutoOptions::default()).expect_err("unknown").to_string();
        assert!(
            error.contains("does not say what it was made for: expected a section [made_for]"),
            "{error}"
        );
    }

    #[test]
    fn a_warm_up_longer_than_the_chosen_epochs_is_shortened_in_proportion() {
        let mut draft = draft();
        for (key, value) in
            [("made_for.images", 400), ("made_for.epochs", 40), ("schedule.warmup_epochs", 20)]
        {
            draft.set(key, value).expect("a key");
        }
        let (recipe, notes) = chosen(&mut draft, &Plain);
        assert_eq!((recipe.schedule.epochs, recipe.schedule.warmup_epochs), (4, 2.0));
        assert!(notes[2].starts_with("schedule.warmup_epochs is 2 instead of 20"), "{notes:?}");
        assert!(
            choose_auto_for(&Plain, &mut draft, AutoOptions::default()).expect("nothing to do").is_empty()
        );
    }
}
