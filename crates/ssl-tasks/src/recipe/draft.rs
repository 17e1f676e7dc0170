//! Drafts: recipes whose keys can still be set.

use std::path::Path;

use serde::de::DeserializeOwned;
use ssl_encoders::EncoderConfig;
use ssl_train::{OptimizerName, ScheduleConfig};
use toml::Table;
pub use toml::Value;

use super::keys::{example, leaves_of, paths, without};
use super::upgrade::{MOVED_TO_TRAIN, upgrade};
use super::{DidYouMean, Recipe, RecipeError};

/// What stands for a value that images and device are to decide.
const AUTO: &str = "auto";
/// The keys that may be left to images and device.
const OF_AUTO: [&str; 2] = ["schedule.batch_size", "schedule.epochs"];

/// A recipe that has not been checked yet: TOML whose keys can still be set.
///
/// ```
/// use ssl_tasks::recipe::Draft;
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../burn-ssl/recipes/simclr/cifar10.toml");
/// let mut draft = Draft::read(path.as_ref())?;
/// draft.set("schedule.epochs", 10)?;
/// draft.assign("optimizer.lr=0.03")?;
/// let recipe = draft.finish()?;
/// assert_eq!((recipe.schedule.epochs, recipe.optimizer.lr), (10, 0.03));
/// # Ok::<(), ssl_tasks::recipe::RecipeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// A table.
    root: Value,
    /// The keys that were set, as opposed to those of the text.
    given: Vec<String>,
}

impl Draft {
    /// A file.
    ///
    /// # Errors
    /// If it cannot be read or is not valid TOML.
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        let unreadable =
            |error: std::io::Error| RecipeError::File { path: path.into(), reason: error.to_string() };
        let text = ssl_files::read_text(path).map_err(unreadable)?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// The recipe of a run, including runs of earlier versions.
    ///
    /// # Errors
    /// If the directory holds no run, or its record is no whole recipe.
    pub fn of_run(path: &Path) -> Result<Self, crate::Error> {
        Ok(Self::recorded(path)?.0)
    }

    /// The whole recipe of a run.
    pub(crate) fn record(path: &Path) -> Result<Recipe, crate::Error> {
        Ok(Self::recorded(path)?.1)
    }

    fn recorded(path: &Path) -> Result<(Self, Recipe), crate::Error> {
        let path = ssl_train::RunDir::open(path)?.recipe();
        let mut draft = Self::read(&path)?;
        if let Value::Table(recipe) = &mut draft.root {
            upgrade(recipe);
        }
        let recipe = draft.clone().finish().map_err(|reason| crate::Error::Record { path, reason })?;
        Ok((draft, recipe))
    }

    /// The recipe that a checkpoint keeps, including those of earlier versions; `origin` says where it is from.
    pub(crate) fn of_checkpoint(origin: &Path, text: &str) -> Result<Self, RecipeError> {
        let mut draft = Self::parse(&origin.display().to_string(), text)?;
        if let Value::Table(recipe) = &mut draft.root {
            upgrade(recipe);
        }
        Ok(draft)
    }

    /// Parses a text; `origin` says where it comes from.
    ///
    /// # Errors
    /// If it is not valid TOML.
    pub fn parse(origin: &str, text: &str) -> Result<Self, RecipeError> {
        let invalid = |error: toml::de::Error| {
            let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
            RecipeError::Syntax {
                origin: origin.to_owned(),
                reason: format!("line {line}, {}", error.message()),
            }
        };
        Ok(Self { root: Value::Table(text.parse().map_err(invalid)?), given: Vec::new() })
    }

    /// Sets a key, written as a path: `optimizer.lr`, `views.0.ops.1.p` or `views[0].ops[1].p`.
    ///
    /// Changing `optimizer.name` drops the keys that only the old optimizer has, unless they were set with this function.
    ///
    /// # Errors
    /// If the path goes below a plain value or past the end of a list. Whether a recipe has such a key
    /// is checked by [`finish`](Self::finish).
    pub fn set(&mut self, key: &str, value: impl Into<Value>) -> Result<(), RecipeError> {
        let path = key.replace('[', ".").replace(']', "");
        let mut place = &mut self.root;
        for part in path.split('.') {
            place = child(place, part).ok_or_else(|| RecipeError::NoPlace { key: key.to_owned() })?;
        }
        *place = value.into();
        self.given.push(path.clone());
        if path == "optimizer.name" {
            self.drop_keys_of_other_optimizers();
        }
        Ok(())
    }

    /// Drops the keys of the text that belong to optimizers other than the current one.
    fn drop_keys_of_other_optimizers(&mut self) {
        let Some(optimizer) = self.root.get_mut("optimizer").and_then(Value::as_table_mut) else { return };
        let named = optimizer.get("name").and_then(Value::as_str).and_then(|name| name.parse().ok());
        let Some(name): Option<OptimizerName> = named else { return };
        let given = |key: &str| self.given.contains(&format!("optimizer.{key}"));
        optimizer.retain(|key, _| !name.lacks(key) || given(key));
    }

    /// The text under a key of the top level, if there is one.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.root.get(key)?.as_str()
    }

    /// The keys whose value is `auto`, of `schedule.batch_size` and `schedule.epochs`: see [`choose_auto`](crate::choose_auto).
    pub fn autos(&self) -> Vec<&'static str> {
        let value = |key: &str| key.split('.').try_fold(&self.root, |value, part| value.get(part));
        OF_AUTO.into_iter().filter(|key| value(key).and_then(Value::as_str) == Some(AUTO)).collect()
    }

    /// The recipe with what it was made for in place of `auto`.
    ///
    /// # Errors
    /// Those of [`finish`](Self::finish).
    pub(crate) fn settled(&self) -> Result<Recipe, RecipeError> {
        let mut draft = self.clone();
        let usual = ScheduleConfig::default();
        for key in self.autos() {
            let name = key.rsplit('.').next().unwrap_or(key);
            let made_for = self.root.get("made_for").and_then(|made_for| made_for.get(name)).cloned();
            let usual = if name == "epochs" { usual.epochs as i64 } else { usual.batch_size as i64 };
            draft.set(key, made_for.unwrap_or(Value::Integer(usual)))?;
        }
        draft.finish()
    }

    /// Removes the key `base`, which names the recipe that this one changes.
    ///
    /// # Errors
    /// If its value is no text.
    pub fn take_base(&mut self) -> Result<Option<String>, RecipeError> {
        match self.root.as_table_mut().and_then(|table| table.remove("base")) {
            None => Ok(None),
            Some(Value::String(base)) => Ok(Some(base)),
            Some(other) => {
                let reason = format!("found {other}, expected the name or the path of a recipe in quotes");
                Err(RecipeError::Value { key: "base".to_owned(), reason })
            }
        }
    }

    /// Sets all keys of another draft. Lists, such as the views, are replaced as a whole, and a network of another kind
    /// replaces the whole section `[encoder]`.
    ///
    /// # Errors
    /// Those of [`set`](Self::set) and [`set_model`](Self::set_model).
    pub fn overlay(&mut self, changes: &Self) -> Result<(), RecipeError> {
        if let Some(model) = changes.root.get("encoder").and_then(|encoder| encoder.get("name")?.as_str()) {
            self.set_model(model)?;
        }
        let mut leaves = Vec::new();
        leaves_of("", &changes.root, &mut leaves);
        leaves.into_iter().try_for_each(|(key, value)| self.set(&key, value))
    }

    /// Sets a key from `key=value`; the value is TOML, or a string without quotes.
    ///
    /// # Errors
    /// If there is no `=`, or those of [`set`](Self::set).
    pub fn assign(&mut self, text: &str) -> Result<(), RecipeError> {
        let (key, value) =
            text.split_once('=').ok_or_else(|| RecipeError::Assignment { text: text.to_owned() })?;
        let parsed = format!("value = {value}").parse::<Table>().ok();
        let value = parsed.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
        self.set(key.trim(), value.unwrap_or_else(|| Value::String(text[key.len() + 1..].to_owned())))
    }

    /// Sets the size of evaluated images and views. Views of the old size get the new one; smaller crops are scaled in
    /// proportion, in whole patches if they have some.
    ///
    /// # Errors
    /// If the recipe declares no sizes.
    pub fn set_image_size(&mut self, size: usize) -> Result<(), RecipeError> {
        let recipe = self.settled()?;
        let old = recipe.data.image_size.max(1);
        let patch = recipe.encoder.patch_pixels().unwrap_or(1).max(1);
        for (index, view) in recipe.views.iter().enumerate() {
            let scaled = ((view.size * size) as f64 / old as f64).round().max(1.0) as usize;
            // A crop of whole patches stays one; where the image itself is none, the network says so.
            let is_whole = view.size < recipe.data.image_size && view.size.is_multiple_of(patch);
            let scaled = if is_whole { (scaled - scaled % patch).max(patch) } else { scaled };
            self.set(&format!("views.{index}.size"), scaled as i64)?;
        }
        self.set("data.image_size", size as i64)
    }

    /// Sets the network. If it is of another family than the recipe's, such as a ViT in place of a ResNet, the section
    /// `[encoder]` is reset, since families have different keys.
    ///
    /// # Errors
    /// If the recipe declares no network.
    pub fn set_model(&mut self, name: &str) -> Result<(), RecipeError> {
        let recipe = self.settled()?;
        let family = EncoderConfig::named(name).family();
        if family.is_some() && recipe.encoder.family() != family {
            self.set("encoder", Table::new())?;
        }
        self.set("encoder.name", name)
    }

    /// The recipe.
    ///
    /// # Errors
    /// The first key that is unknown or missing, or whose value has the wrong type or is `auto`.
    pub fn finish(self) -> Result<Recipe, RecipeError> {
        for key in MOVED_TO_TRAIN {
            if self.root.get("optimizer").is_some_and(|optimizer| optimizer.get(key).is_some()) {
                return Err(RecipeError::Moved {
                    from: format!("optimizer.{key}"),
                    to: format!("train.{key}"),
                });
            }
        }
        if let Some(key) = self.autos().first() {
            return Err(RecipeError::Auto(key));
        }
        typed("", self.root.clone()).map_err(|error| self.with_similar_keys(error))
    }

    /// An unknown key may be one of another section.
    fn with_similar_keys(&self, error: RecipeError) -> RecipeError {
        if let RecipeError::Missing(key) = error {
            return RecipeError::Missing(self.all_missing(key).join("', '"));
        }
        let RecipeError::Key { key, expected, similar } = error else { return error };
        let mut known = Vec::new();
        paths("", &without(&self.root, &key), &mut known);
        let similar = if similar == DidYouMean::default() {
            DidYouMean::of(&key, known.iter().map(String::as_str))
        } else {
            similar
        };
        RecipeError::Key { key, expected, similar }
    }

    /// All keys that a recipe needs and this one lacks; `first` is one of them.
    fn all_missing(&self, first: String) -> Vec<String> {
        let (mut filled, mut missing) = (self.clone(), vec![first]);
        while let Some((key, value)) = missing.last().and_then(|key| Some((key, example(key)?))) {
            if filled.set(key, value).is_err() {
                break;
            }
            match typed::<Recipe>("", filled.root.clone()) {
                Err(RecipeError::Missing(next)) if !missing.contains(&next) => missing.push(next),
                _ => break,
            }
        }
        missing
    }
}

/// Deserialises the part `section` of a recipe; errors name full keys.
pub(crate) fn typed<T: DeserializeOwned>(section: &str, value: impl Into<Value>) -> Result<T, RecipeError> {
    serde_path_to_error::deserialize(value.into()).map_err(|error| {
        let path = error.path().to_string();
        let key = match (section, path.as_str()) {
            ("", path) => path.to_owned(),
            (section, ".") => section.to_owned(),
            (section, path) => format!("{section}.{path}"),
        };
        RecipeError::from_serde(key, error.into_inner().message())
    })
}

/// The value of a key or at an index. A missing key is inserted, since sections may be left out.
fn child<'a>(parent: &'a mut Value, part: &str) -> Option<&'a mut Value> {
    match parent {
        Value::Table(table) => Some(table.entry(part).or_insert_with(|| Value::Table(Table::new()))),
        Value::Array(array) => array.get_mut(part.parse::<usize>().ok()?),
        _ => None,
    }
}

/// The first key in which two values differ, with both values; `key` is the path of the values themselves.
pub(crate) fn difference(key: &str, one: &Value, other: &Value) -> Option<(String, String, String)> {
    match (one, other) {
        (Value::Table(one), Value::Table(two)) => {
            let absent = Value::String("absent".into());
            let keys = one.keys().chain(two.keys().filter(|name| !one.contains_key(*name)));
            keys.into_iter().find_map(|name| {
                let path = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                difference(&path, one.get(name).unwrap_or(&absent), two.get(name).unwrap_or(&absent))
            })
        }
        (one, two) if one == two => None,
        (one, two) => Some((key.to_owned(), one.to_string(), two.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use ssl_encoders::StemChoice;

    use super::*;

    fn draft() -> Draft {
        crate::methods::testing::draft("simclr/cifar10")
    }

    fn assigned(text: &str) -> Result<Recipe, String> {
        let mut draft = draft();
        draft.assign(text).and_then(|()| draft.finish()).map_err(|error| error.to_string())
    }

    #[test]
    fn any_key_can_be_set_also_one_that_the_file_leaves_out() {
        assert_eq!(assigned("optimizer.name=lars").expect("usable").optimizer.name(), OptimizerName::Lars);
        assert_eq!(assigned("optimizer.lr_1d = 0.0048").expect("usable").optimizer.lr_1d, Some(0.0048));
        assert_eq!(assigned("checkpoint.every_steps=7").expect("usable").checkpoint.every_steps, Some(7));
        assert_eq!(assigned("data.path=a=b").expect("usable").data.path.to_str(), Some("a=b"));
        assert_eq!(assigned("views[0].size=24").expect("usable").views[0].size, 24);
        assert_eq!(assigned("data.mean=[0, 0.5, 1]").expect("usable").data.mean, [0.0, 0.5, 1.0]);
    }

    #[test]
    fn a_number_that_is_left_to_the_images_is_known_and_no_recipe_holds_it() {
        let mut draft = draft();
        assert!(draft.autos().is_empty());
        draft
            .assign("schedule.batch_size=auto")
            .and_then(|()| draft.set("schedule.epochs", "auto"))
            .expect("keys");
        assert_eq!(draft.autos(), ["schedule.batch_size", "schedule.epochs"]);
        let schedule = draft.settled().expect("what it was made for").schedule;
        assert_eq!((schedule.batch_size, schedule.epochs), (512, 200));
        draft.set_image_size(48).and_then(|()| draft.set_model("vit-tiny")).expect("neither needs to know");
        let error = draft.finish().expect_err("no number").to_string();
        assert!(error.starts_with("schedule.batch_size is 'auto', which is a choice"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_named_with_the_known_ones() {
        let error = assigned("optimizer.learning_rate=1").expect_err("unknown");
        assert!(
            error.starts_with("unknown key 'optimizer.learning_rate': expected one of name, lr, "),
            "{error}"
        );
        let section = assigned("optimiser.lr=1").expect_err("unknown");
        assert!(section.starts_with("unknown key 'optimiser': expected one of method, seed, "), "{section}");
        let place = assigned("views.3.size=1").expect_err("there is one block");
        assert!(place.starts_with("the recipe has no place for 'views.3.size'"), "{place}");
        assert!(
            assigned("seed.x=1").expect_err("a number has no keys").starts_with("the recipe has no place")
        );
    }

    #[test]
    fn a_value_of_a_wrong_type_is_named_with_what_is_expected() {
        assert_eq!(
            assigned("optimizer.lr=fast"),
            Err("optimizer.lr: found string \"fast\", expected a number".into())
        );
        let whole = assigned("schedule.epochs=1.5").expect_err("not whole");
        assert_eq!(
            whole,
            "schedule.epochs: found floating point '1.5', expected a whole number of at least 0"
        );
        let negative = assigned("schedule.batch_size=-1").expect_err("negative");
        assert!(
            negative.starts_with("schedule.batch_size: found integer '-1', expected a whole number"),
            "{negative}"
        );
        let variant = assigned("optimizer.name=adam").expect_err("no such optimizer");
        assert!(
            variant.starts_with("optimizer.name: unknown variant 'adam', expected one of 'sgd'"),
            "{variant}"
        );
    }

    #[test]
    fn another_optimizer_leaves_the_keys_of_the_old_one_behind_but_not_those_that_were_set() {
        let adamw = assigned("optimizer.name=adamw").expect("its own keys").optimizer;
        assert_eq!(adamw.algorithm, ssl_train::AdamWConfig::default().into());
        assert_eq!((adamw.lr, adamw.weight_decay), (0.06, 5e-4), "keys of all optimizers stay");

        let mut draft = draft();
        draft
            .set("optimizer.nesterov", true)
            .and_then(|()| draft.set("optimizer.name", "lars"))
            .expect("places");
        let error = draft.finish().expect_err("a key of SGD").to_string();
        let expected = "optimizer: lars has no key 'nesterov', which belongs to sgd: expected momentum, ";
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn a_key_that_has_moved_says_where_it_is_now() {
        for key in MOVED_TO_TRAIN {
            let error = assigned(&format!("optimizer.{key}=2")).expect_err("an old key");
            let expected = format!("the key 'optimizer.{key}' has moved: write it as train.{key}");
            assert_eq!(error, expected);
            assert!(assigned(&format!("train.{key}=2")).is_ok());
        }
    }

    #[test]
    fn a_missing_key_a_missing_value_and_bad_toml_are_named() {
        let draft = Draft::parse("my.toml", "method = 'simclr'").expect("TOML");
        assert_eq!(
            draft.finish().expect_err("needed").to_string(),
            "the recipe has no 'encoder', 'data', 'views', 'optimizer', 'schedule', which every recipe needs"
        );
        assert!(assigned("optimizer.lr").expect_err("no value").contains("expected key=value"));
        let error = Draft::parse("my.toml", "seed = 1\nlr = = 2\n").expect_err("bad").to_string();
        assert!(error.starts_with("my.toml is not valid TOML: line 2"), "{error}");
    }

    #[test]
    fn changes_are_laid_over_a_base_and_lists_are_replaced() {
        let text = "base = 'simclr/cifar10'\nseed = 7\n[optimizer]\nname = 'adamw'\nlr = 0.001\n[data]\nmean = [0, 0, 0]";
        let (mut base, mut changes) = (draft(), Draft::parse("my.toml", text).expect("TOML"));
        assert_eq!(changes.take_base(), Ok(Some("simclr/cifar10".to_owned())));
        base.overlay(&changes).expect("keys of a recipe");
        let recipe = base.finish().expect("usable");
        assert_eq!((recipe.seed, recipe.optimizer.lr, recipe.data.mean), (7, 0.001, [0.0; 3]));
        assert_eq!(recipe.optimizer.name(), OptimizerName::AdamW);
        assert_eq!(recipe.method, "simclr");
        let mut wrong = Draft::parse("my.toml", "base = 1").expect("TOML");
        assert!(wrong.take_base().expect_err("no text").to_string().starts_with("base: found 1, expected"));
    }

    #[test]
    fn a_key_of_another_section_is_answered_with_its_path() {
        for (assignment, end) in [
            ("lr=1", "; did you mean optimizer.lr?"),
            ("temperature=1", "; did you mean method_options.temperature or eval.temperature?"),
            ("optimzer.lr=1", "; did you mean optimizer?"),
            ("optimizer.momentun=1", "; did you mean momentum?"),
        ] {
            let error = assigned(assignment).expect_err("unknown");
            assert!(error.starts_with("unknown key ") && error.ends_with(end), "{error}");
        }
    }

    #[test]
    fn the_image_size_takes_the_views_along() {
        let mut draft = draft();
        draft.set_image_size(48).expect("usable");
        let recipe = draft.finish().expect("usable");
        assert_eq!((recipe.data.image_size, recipe.views[0].size), (48, 48));
    }

    #[test]
    fn smaller_crops_of_a_vit_stay_whole_patches() {
        let sizes = |size: usize| -> Vec<usize> {
            let mut draft = crate::methods::testing::draft("dino/imagenet");
            draft.set_image_size(size).expect("usable");
            draft.finish().expect("usable").views.iter().map(|view| view.size).collect()
        };
        // 6 of 14 patches of 16 pixels; in proportion, 55 and 7 pixels.
        assert_eq!(sizes(224).last(), Some(&96));
        assert_eq!(sizes(128), [128, 128, 48]);
        assert_eq!(sizes(16).last(), Some(&16));
    }

    #[test]
    fn a_model_of_another_kind_takes_no_keys_of_the_old_one_along() {
        let with = |model| {
            let mut draft = draft();
            draft.set_model(model).and_then(|()| draft.finish()).expect("usable").encoder
        };
        assert_eq!(with("vit-tiny"), EncoderConfig::named("vit-tiny"));
        assert_eq!((with("resnet50").name.as_str(), with("resnet50").stem), ("resnet50", StemChoice::Cifar));
    }
}
