//! Every number of every built-in recipe has an upper bound, which is checked before a run touches the disk.

use std::error::Error;

use burn_ssl::Recipe;
use burn_ssl::core::SslMethod;
use burn_ssl::data::Masks;
use burn_ssl::encoders::AnyEncoder;
use burn_ssl::recipe::{Draft, NamedRecipe, RecipeName};
use burn_ssl::registry::{WithMethod, with_method};
use burn_ssl::train::TrainError;
use toml::{Table, Value};

/// Keys of which any integer makes sense, and those of which any finite number does.
const WITHOUT_END: [&str; 2] = ["seed", "mean"];

/// Keys and indices that lead to a value.
type Place = Vec<String>;

#[test]
fn no_number_of_a_recipe_is_without_an_upper_bound() {
    let mut wrong = Vec::new();
    for name in RecipeName::all() {
        let recipe =
            Recipe::named(name.as_str()).and_then(Recipe::resolved).expect("a recipe of the library");
        let text = recipe.to_toml().expect("TOML");
        assert_eq!(said_of(&text), None, "{name}");
        let table: Table = text.parse().expect("TOML");
        for place in places(&Value::Table(table.clone())) {
            let key = key(&place);
            if WITHOUT_END.contains(&key) {
                continue;
            }
            for number in [Value::Integer(1 << 40), Value::Integer(i64::MAX), Value::Float(1e308)] {
                let mut changed = Value::Table(table.clone());
                *at(&mut changed, &place) = number.clone();
                let text = toml::to_string(&changed).expect("TOML");
                let case = format!("{name} with {} = {number}", place.join("."));
                match said_of(&text) {
                    Some(said)
                        if [key, "batch", "expected a whole number"]
                            .iter()
                            .any(|word| said.contains(word)) => {}
                    said => wrong.push(format!("{case}: {}", said.unwrap_or("it is taken".into()))),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Why no run can use a recipe.
fn said_of(text: &str) -> Option<String> {
    checked(text).err().map(|error| error.to_string())
}

fn checked(text: &str) -> Result<(), Box<dyn Error>> {
    let recipe = Draft::parse("a recipe", text)?.finish()?.resolved()?;
    with_method(&recipe.method, &recipe.method_options, Check(&recipe))??;
    let views = recipe.views()?;
    if let (Some(mask), Some(patch)) = (&recipe.mask, recipe.encoder.patch_pixels()) {
        let grids: Vec<_> = (0..views.len()).map(|view| [views.size(view) / patch; 2]).collect();
        Masks::new(mask.clone(), &grids)?;
    }
    Ok(())
}

/// Checks a recipe against the rules of its method.
struct Check<'a>(&'a Recipe);

impl WithMethod<AnyEncoder> for Check<'_> {
    type Output = Result<(), TrainError>;

    fn run<M: SslMethod<AnyEncoder>>(self, method: M) -> Self::Output {
        self.0.train_config().check_method(&method)
    }
}

/// Where the numbers are.
fn places(value: &Value) -> Vec<Place> {
    let below = |part: String, value: &Value| {
        places(value).into_iter().map(move |place| [vec![part.clone()], place].concat()).collect::<Vec<_>>()
    };
    match value {
        Value::Integer(_) | Value::Float(_) => vec![Place::new()],
        Value::Table(table) => table.iter().flat_map(|(key, value)| below(key.clone(), value)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, value)| below(index.to_string(), value)).collect()
        }
        _ => Vec::new(),
    }
}

fn at<'a>(value: &'a mut Value, place: &[String]) -> &'a mut Value {
    place.iter().fold(value, |value, part| match value {
        Value::Array(items) => &mut items[part.parse::<usize>().expect("an index")],
        Value::Table(table) => &mut table[part.as_str()],
        _ => panic!("no {part} in a number"),
    })
}

/// The name of a value in its section.
fn key(place: &[String]) -> &str {
    let is_name = |part: &&String| part.parse::<usize>().is_err();
    place.iter().rev().find(is_name).map_or("", String::as_str)
}
