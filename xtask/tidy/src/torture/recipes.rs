//! Recipes with impossible values, and files that are no recipes.

use std::fs::{self, File};
use std::io::Write;

use anyhow::{Context, Result};
use rand::RngExt;
use toml::{Table, Value};

use super::images::{damaged, pipe};
use super::scene::{Scene, text};
use super::verdict::{Blame, Expected, words};
use super::{Attack, Chance};

/// What every number is set to.
const NUMBERS: [Number; 8] = [
    Number::Float("0", 0.0),
    Number::Float("-1", -1.0),
    Number::Float("1e308", 1e308),
    Number::Float("NaN", f64::NAN),
    Number::Float("infinity", f64::INFINITY),
    Number::Integer("-1", -1),
    Number::Integer("2^40", 1 << 40),
    Number::Integer("2^63 - 1", i64::MAX),
];

#[derive(Clone, Copy)]
enum Number {
    Float(&'static str, f64),
    Integer(&'static str, i64),
}

/// Keys that recipes leave out, with a usual value.
const MORE: [(&str, &str, f64); 11] = [
    ("", "seed", 0.0),
    ("encoder", "bn_splits", 1.0),
    ("data", "workers", 1.0),
    ("data", "max_image_bytes", 2_147_483_648.0),
    ("train", "accumulate", 1.0),
    ("schedule", "lr_start", 0.0),
    ("eval", "every_epochs", 1.0),
    ("eval", "limit", 4.0),
    ("checkpoint", "every_steps", 1.0),
    ("checkpoint", "every_epochs", 1.0),
    ("checkpoint", "keep", 1.0),
];

/// Keys of which any integer above 0 makes sense.
const WITHOUT_END: [&str; 1] = ["seed"];
/// Keys of which any finite number makes sense.
const OF_ANY_SIGN: [&str; 1] = ["mean"];
/// What a message about a number may speak of instead of its key.
const INSTEAD: &str = "memory|finite|batch|views";

/// Options of commands without a recipe.
const OPTIONS: [(&str, &str); 12] = [
    ("finetune", "--lr"),
    ("finetune", "--momentum"),
    ("finetune", "--weight-decay"),
    ("finetune", "--warmup-epochs"),
    ("finetune", "--fraction"),
    ("finetune", "--epochs"),
    ("finetune", "--workers"),
    ("finetune", "--batch-size"),
    ("finetune", "--image-size"),
    ("knn", "--temperature"),
    ("knn", "-k"),
    ("knn", "--image-size"),
];
const TEXTS: [&str; 8] =
    ["0", "-1", "1e308", "nan", "inf", "1099511627776", "4294967295", "9223372036854775807"];

/// A file that is no recipe, and what its message has to contain.
type Made = (&'static str, &'static str, fn(&mut Table) -> Option<Vec<u8>>);

const MADE: [Made; 17] = [
    ("an empty file", "recipe.toml", |_| Some(Vec::new())),
    ("bytes that are no text", "recipe.toml", |_| Some(vec![0xff; 100])),
    ("zeros", "recipe.toml", |_| Some(vec![0; 1000])),
    ("another language", "recipe.toml", |_| Some(b"{\"method\": \"simclr\"}".to_vec())),
    ("a hundred thousand lists in each other", "recipe.toml", |_| {
        Some([b"seed = ".to_vec(), vec![b'['; 100_000]].concat())
    }),
    ("a hundred thousand tables in each other", "recipe.toml", |_| {
        Some([b"seed = ".to_vec(), b"{a=".repeat(100_000)].concat())
    }),
    ("a key of a hundred thousand parts", "recipe.toml", |_| {
        Some([b"a.".repeat(100_000), b"b = 1".to_vec()].concat())
    }),
    ("a value twice", "seed", |_| Some(b"seed = 1\nseed = 2\n".to_vec())),
    ("itself as its base", "base", |_| Some(b"base = \"recipe.toml\"\n".to_vec())),
    ("a base that is not there", "nowhere.toml", |_| Some(b"base = \"nowhere.toml\"\n".to_vec())),
    ("escapes in a name", "method", |table| put(table, "", "method", "\u{1b}[31m\nerror: x")),
    ("a name of a million letters", "method", |table| put(table, "", "method", "a".repeat(1_000_000))),
    ("a path of a million letters", "data", |table| put(table, "data", "path", "a".repeat(1_000_000))),
    ("no views", "views", |table| put(table, "", "views", Vec::<Value>::new())),
    ("a hundred thousand views", "views", |table| {
        let view = table.get("views")?.get(0)?.clone();
        put(table, "", "views", vec![view; 100_000])
    }),
    ("a hundred thousand operations", "views", |table| {
        let view = table.get_mut("views")?.get_mut(0)?.as_table_mut()?;
        let operation = view.get("ops")?.get(0)?.clone();
        view.insert("ops".to_owned(), Value::Array(vec![operation; 100_000]));
        None
    }),
    ("no section at all", "section", |table| {
        table.retain(|_, value| !value.is_table());
        None
    }),
];

/// Paths that are no file.
const PATHS: [&str; 5] = ["/dev/zero", "pipe", "folder", "nowhere.toml", "/proc/self/mem"];
/// The size of the largest file, in bytes.
const HUGE: usize = 100 << 20;

/// A place in a recipe: keys and indices.
type Place = Vec<String>;

pub(super) struct Recipes<'a> {
    scene: &'a Scene,
    /// A small form of every recipe, with its numbers.
    recipes: Vec<(String, Table, Vec<Place>)>,
    numbers: usize,
}

impl<'a> Recipes<'a> {
    pub(super) fn new(scene: &'a Scene) -> Result<Self> {
        let mut recipes = Vec::new();
        for name in scene.must(&["recipes"])?.stdout.lines() {
            let full: Table = scene.must(&["recipes", name])?.stdout.parse()?;
            let small = small(full, &text(&scene.images()));
            let (mut places, table) = (Vec::new(), Value::Table(small.clone()));
            numbers(&table, &mut Vec::new(), &mut places);
            recipes.push((name.to_owned(), small, places));
        }
        let numbers = recipes.iter().map(|(.., places)| places.len() * NUMBERS.len()).sum();
        Ok(Self { scene, recipes, numbers })
    }

    fn judge(&self, case: &str, recipe: &str, expected: &Expected) -> Result<Vec<Blame>> {
        let command = ["pretrain", "--recipe", recipe, "--out", "run"];
        Ok(self.scene.run(&command)?.judge(case, expected).into_iter().collect())
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        Ok(fs::write(self.scene.here().join("recipe.toml"), bytes)?)
    }

    /// A recipe with one other value.
    fn with(&self, recipe: usize, place: &Place, value: Value) -> Result<String> {
        let (name, table, _) = &self.recipes[recipe];
        let mut table = Value::Table(table.clone());
        *at(&mut table, place).context("a place in the recipe")? = value;
        self.write(toml::to_string(&table)?.as_bytes())?;
        Ok(format!("{name} with {}", place.join(".")))
    }

    fn number(&self, mut number: usize) -> Result<Vec<Blame>> {
        let mut recipe = 0;
        while number >= self.recipes[recipe].2.len() * NUMBERS.len() {
            number -= self.recipes[recipe].2.len() * NUMBERS.len();
            recipe += 1;
        }
        let place = &self.recipes[recipe].2[number / NUMBERS.len()];
        let number = NUMBERS[number % NUMBERS.len()];
        let mut table = Value::Table(self.recipes[recipe].1.clone());
        let is_integer = at(&mut table, place).is_some_and(|value| value.is_integer());
        let (shown, value) = match number {
            Number::Float(shown, value) => (shown, Value::Float(value)),
            Number::Integer(shown, value) => (shown, Value::Integer(value)),
        };
        let case = format!("{} = {shown}", self.with(recipe, place, value)?);
        self.judge(&case, "recipe.toml", &number.expected(place, is_integer))
    }

    fn option(&self, number: usize) -> Result<Vec<Blame>> {
        let ((command, option), value) = (OPTIONS[number / TEXTS.len()], TEXTS[number % TEXTS.len()]);
        let images = text(&self.scene.images());
        let network = ["--untrained", "--width", "2", "--image-size", "16", "--workers", "1"];
        let sets = ["--train", &images, "--test", &images];
        let more = ["--epochs", "1", "--batch-size", "8", "--out", "tuned"];
        let more = if command == "finetune" { &more[..] } else { &[] };
        let value = format!("{option}={value}").replace("-k=", "-k");
        let arguments = [&[command][..], &network, &sets, more, &[&value]].concat();
        let ended = self.scene.run(&arguments)?;
        // The parser of the command line has a form of its own.
        let is_usage = ended.code() == Some(2) && ended.stderr.contains(option);
        let name = option.trim_start_matches('-').replace('-', "_");
        let expected = Expected::Either(words([&format!("{name}|{}|{INSTEAD}", name.replace('_', " "))]));
        let case = format!("{command} with {value}");
        Ok(if is_usage { Vec::new() } else { ended.judge(&case, &expected).into_iter().collect() })
    }

    fn path(&self, path: &str) -> Result<Vec<Blame>> {
        let here = self.scene.here();
        pipe(&here.join("pipe"))?;
        fs::create_dir(here.join("folder"))?;
        self.judge("a recipe that is no file", path, &Expected::Refusal(words([path])))
    }

    fn made(&self, number: usize, chance: &mut Chance) -> Result<Vec<Blame>> {
        let (case, word, make) = &MADE[number];
        let recipe = chance.random_range(0..self.recipes.len());
        let mut table = self.recipes[recipe].1.clone();
        let bytes = match make(&mut table) {
            Some(bytes) => bytes,
            None => toml::to_string(&table)?.into_bytes(),
        };
        self.write(&bytes)?;
        self.judge(&format!("a recipe of {case}"), "recipe.toml", &Expected::Refusal(words([word])))
    }

    fn huge(&self) -> Result<Vec<Blame>> {
        let mut file = File::create(self.scene.here().join("recipe.toml"))?;
        let line = b"# a comment that says nothing at all, again and again\n".repeat(1 << 10);
        for _ in 0..HUGE / line.len() {
            file.write_all(&line)?;
        }
        self.judge("a recipe of 100 MB", "recipe.toml", &Expected::Refusal(words(["recipe.toml"])))
    }

    /// A value of another type, an unknown key, a key that is missing, or damage to the text.
    fn random(&self, chance: &mut Chance) -> Result<Vec<Blame>> {
        let recipe = chance.random_range(0..self.recipes.len());
        let (name, table, places) = &self.recipes[recipe];
        let place = &places[chance.random_range(0..places.len())];
        let key = key(place);
        match chance.random_range(0..4) {
            0 => {
                let value: Value = match chance.random_range(0..5) {
                    0 => "text".into(),
                    1 => true.into(),
                    2 => Vec::<Value>::new().into(),
                    3 => Table::new().into(),
                    _ => Value::Datetime("2026-11-28".parse()?),
                };
                let case = format!("{} = {value}", self.with(recipe, place, value.clone())?);
                self.judge(&case, "recipe.toml", &Expected::Refusal(words([key])))
            }
            1 => {
                let mut table = Value::Table(table.clone());
                let folder = at(&mut table, &place[..place.len() - 1]).and_then(Value::as_table_mut);
                let Some(folder) = folder else { return Ok(Vec::new()) };
                folder.insert("unheard_of".to_owned(), 1.into());
                self.write(toml::to_string(&table)?.as_bytes())?;
                let case = format!("{name} with an unknown key beside {key}");
                self.judge(&case, "recipe.toml", &Expected::Refusal(words(["unheard_of"])))
            }
            2 => {
                let mut table = Value::Table(table.clone());
                let folder = at(&mut table, &place[..place.len() - 1]).and_then(Value::as_table_mut);
                folder.and_then(|folder| folder.remove(key));
                self.write(toml::to_string(&table)?.as_bytes())?;
                let expected = Expected::Either(words([&format!("{key}|{INSTEAD}")]));
                self.judge(&format!("{name} without {key}"), "recipe.toml", &expected)
            }
            _ => {
                self.write(&damaged(toml::to_string(table)?.as_bytes(), chance))?;
                self.judge(
                    &format!("{name} with random damage"),
                    "recipe.toml",
                    &Expected::Either(Vec::new()),
                )
            }
        }
    }
}

impl Attack for Recipes<'_> {
    fn cases(&self) -> usize {
        self.numbers + OPTIONS.len() * TEXTS.len() + PATHS.len() + MADE.len() + 1
    }

    fn attempt(&mut self, number: usize, chance: &mut Chance) -> Result<Vec<Blame>> {
        let Some(number) = number.checked_sub(MADE.len()) else { return self.made(number, chance) };
        if let Some(path) = PATHS.get(number) {
            return self.path(path);
        }
        let Some(number) = number.checked_sub(PATHS.len() + 1) else { return self.huge() };
        let Some(number) = number.checked_sub(OPTIONS.len() * TEXTS.len()) else {
            return self.option(number);
        };
        if number < self.numbers { self.number(number) } else { self.random(chance) }
    }
}

impl Number {
    /// What is expected of a recipe with this number in a place.
    fn expected(self, place: &Place, is_integer: bool) -> Expected {
        let key = key(place);
        let says = words([&format!("{key}|{INSTEAD}")]);
        let is_refused = match self {
            Self::Float(_, value) if is_integer => value.fract() != 0.0 || !value.is_finite(),
            Self::Float(_, value) => {
                !value.is_finite() || value > 1e300 || (value < 0.0 && !OF_ANY_SIGN.contains(&key))
            }
            Self::Integer(_, -1) => !OF_ANY_SIGN.contains(&key),
            Self::Integer(..) => !WITHOUT_END.contains(&key) && !OF_ANY_SIGN.contains(&key),
        };
        if is_refused { Expected::Refusal(says) } else { Expected::Either(says) }
    }
}

/// The name of a value in its section.
fn key(place: &Place) -> &str {
    let is_name = |part: &&String| part.parse::<usize>().is_err();
    place.iter().rev().find(is_name).map_or("", String::as_str)
}

fn put(table: &mut Table, section: &str, key: &str, value: impl Into<Value>) -> Option<Vec<u8>> {
    let section = if section.is_empty() { table } else { table.get_mut(section)?.as_table_mut()? };
    section.insert(key.to_owned(), value.into());
    None
}

/// The same recipe for one step of a small network on small images, with more keys written out.
fn small(mut table: Table, images: &str) -> Table {
    for (section, key, value) in MORE {
        let section = if section.is_empty() {
            &mut table
        } else {
            let entry = table.entry(section).or_insert_with(|| Table::new().into());
            let Some(section) = entry.as_table_mut() else { continue };
            section
        };
        section
            .entry(key)
            .or_insert_with(|| if key == "lr_start" { value.into() } else { (value as i64).into() });
    }
    let is_vit = table.get("encoder").and_then(|encoder| encoder.get("patch_size")).is_some();
    put(&mut table, "encoder", "name", if is_vit { "vit-tiny" } else { "resnet18" });
    if !is_vit {
        put(&mut table, "encoder", "width", 2);
    }
    for (section, key, value) in [
        ("data", "image_size", 32),
        // Three steps an epoch, of which 2^63 - 1 epochs are more than 64 bits hold.
        ("data", "limit", 24),
        ("schedule", "epochs", 1),
        ("schedule", "max_steps", 1),
        ("schedule", "batch_size", 8),
        ("schedule", "warmup_epochs", 0),
    ] {
        put(&mut table, section, key, value);
    }
    put(&mut table, "data", "path", images);
    put(&mut table, "eval", "test", images);
    for view in table.get_mut("views").and_then(Value::as_array_mut).into_iter().flatten() {
        let size = view.get("size").and_then(Value::as_integer).unwrap_or(32);
        if let Some(view) = view.as_table_mut() {
            view.insert("size".to_owned(), if size == 96 { 16 } else { size.min(32) }.into());
        }
    }
    narrow(&mut table);
    table
}

/// Writes a recipe with narrow heads, for runs that are over soon, and gives its path.
pub(super) fn narrowed(scene: &Scene, name: &str) -> Result<String> {
    let mut table: Table = scene.must(&["recipes", name])?.stdout.parse()?;
    narrow(&mut table);
    let path = scene.kept("recipes").join(name.replace('/', "-") + ".toml");
    fs::create_dir_all(scene.kept("recipes"))?;
    fs::write(&path, toml::to_string(&table)?)?;
    Ok(text(&path))
}

/// Makes the heads of a method narrow and its queue short.
fn narrow(table: &mut Table) {
    let options = table.get_mut("method_options").and_then(Value::as_table_mut);
    for (key, value) in options.into_iter().flatten() {
        let most = match key.as_str() {
            "hidden_dim" | "output_dim" | "bottleneck_dim" | "prototypes" => 32,
            "queue_len" => 64,
            _ => continue,
        };
        if let Some(number) = value.as_integer() {
            *value = number.min(most).into();
        }
    }
}

/// The places of all numbers.
fn numbers(value: &Value, place: &mut Place, found: &mut Vec<Place>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Integer(_) | Value::Float(_) => {
            found.push(place.clone());
            return;
        }
        Value::Table(table) => table.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(array) => {
            array.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        _ => return,
    };
    for (key, value) in children {
        place.push(key);
        numbers(value, place, found);
        place.pop();
    }
}

fn at<'a>(value: &'a mut Value, place: &[String]) -> Option<&'a mut Value> {
    place.iter().try_fold(value, |value, part| match value {
        Value::Array(array) => array.get_mut(part.parse::<usize>().ok()?),
        other => other.get_mut(part.as_str()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_found_and_can_be_replaced() {
        let table: Table = "a = 1\nb = [{ c = 2.5 }, { d = 'x' }]".parse().expect("TOML");
        let (mut value, mut places) = (Value::Table(table), Vec::new());
        numbers(&value, &mut Vec::new(), &mut places);
        assert_eq!(places.iter().map(|place| place.join(".")).collect::<Vec<_>>(), ["a", "b.0.c"]);
        *at(&mut value, &places[1]).expect("there") = 7.into();
        assert_eq!(value["b"][0]["c"].as_integer(), Some(7));
        assert_eq!((key(&places[1]), key(&vec!["scale".to_owned(), "0".to_owned()])), ("c", "scale"));
    }

    #[test]
    fn as_many_epochs_as_a_recipe_can_say_have_more_steps_than_64_bits_hold() {
        let small = small(Table::new(), "images");
        let number = |section: &str, key: &str| small[section][key].as_integer().expect("a number");
        let steps = number("data", "limit") / number("schedule", "batch_size");
        assert_eq!((i64::MAX as u64).checked_mul(steps as u64), None, "{steps} steps an epoch");
    }

    #[test]
    fn what_no_recipe_may_say_has_to_be_refused() {
        let place = vec!["optimizer".to_owned(), "lr".to_owned()];
        let refused =
            |number: Number, is_integer| matches!(number.expected(&place, is_integer), Expected::Refusal(_));
        assert!(
            refused(Number::Float("NaN", f64::NAN), false) && refused(Number::Float("1e308", 1e308), false)
        );
        assert!(refused(Number::Integer("2^40", 1 << 40), true) && !refused(Number::Float("0", 0.0), true));
    }
}
