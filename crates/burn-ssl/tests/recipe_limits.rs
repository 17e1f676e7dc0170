//! Every number of every built-in recipe has an upper bound, which is checked before a run touches the disk.

use std::error::Error;

use burn_ssl::Recipe;
use burn_ssl::core::SslMethod;
use burn_ssl::encoders::AnyEncoder;
use burn_ssl::recipe::{Draft, NamedRecipe, RecipeName};
use burn_ssl::registry::{WithMethod, with_method};
use burn_ssl::train::TrainError;
use toml::{Table, Value};

/// The seed may be any integer, and the mean of a colour any finite number.
const WITHOUT_END: [&str; 2] = ["seed", "mean"];

#[test]
fn no_number_of_a_recipe_is_without_an_upper_bound() {
    let mut wrong = Vec::new();
    for name in RecipeName::all() {
        let recipe =
            Recipe::named(name.as_str()).and_then(Recipe::resolved).expect("a recipe of the library");
        let text = recipe.to_toml().expect("TOML");
        let draft = Draft::parse("a recipe", &text).expect("TOML");
        checked(draft.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let table: Table = text.parse().expect("TOML");
        for place in places(&table.into()) {
            let key = key(&place);
            if WITHOUT_END.contains(&key) {
                continue;
            }
            for number in [Value::Integer(1 << 40), Value::Integer(i64::MAX), Value::Float(1e308)] {
                let case = format!("{name} with {place} = {number}");
                let mut changed = draft.clone();
                changed.set(&place, number).expect("a place in the recipe");
                match checked(changed).map_err(|error| error.to_string()) {
                    Err(said) if is_about(&said, key) => {}
                    said => wrong.push(format!("{case}: {said:?}")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Fails if no run can use a recipe.
fn checked(draft: Draft) -> Result<(), Box<dyn Error>> {
    let recipe = draft.finish()?.resolved()?;
    with_method(&recipe.method, &recipe.method_options, Check(&recipe))??;
    recipe.views()?;
    recipe.masks()?;
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

/// Whether a message names a key, the batch that follows from it, or its type.
fn is_about(said: &str, key: &str) -> bool {
    let mut words = said.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    said.contains("expected a whole number") || words.any(|word| word == key || word == "batch")
}

/// Where the numbers are: keys and indices, joined by dots.
fn places(value: &Value) -> Vec<String> {
    let below = |(part, value): (String, &Value)| {
        let places = places(value).into_iter();
        places.map(move |place| if place.is_empty() { part.clone() } else { format!("{part}.{place}") })
    };
    match value {
        Value::Integer(_) | Value::Float(_) => vec![String::new()],
        Value::Table(table) => {
            table.iter().map(|(key, value)| (key.clone(), value)).flat_map(below).collect()
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .flat_map(below)
            .collect(),
        _ => Vec::new(),
    }
}

/// The name of a value in its section.
fn key(place: &str) -> &str {
    place.rsplit('.').find(|part| part.parse::<usize>().is_err()).unwrap_or_default()
}
