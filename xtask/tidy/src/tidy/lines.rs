//! The lines and files that a method needs outside its crate.
//!
//! `docs/adding-a-method.md` lists them, and its steps are checked by these rules.

use super::Violation;
use super::registry::{Method, Methods};
use super::repository::{TextFile, find};

/// The folder of recipes, with a folder for each method.
const RECIPES: &str = "crates/burn-ssl/recipes/";
/// The recipes of every method: for small images, for large ones, and for `cargo xtask bench accuracy`.
const NAMES: [&str; 3] = ["cifar10", "imagenet", QUICK];
/// A recipe tuned to short runs, which has no source.
const QUICK: &str = "cifar10-quick";
/// Files of a method crate, besides those that `readmes` looks for.
const FILES: [&str; 5] =
    ["Cargo.toml", "src/config.rs", "src/loss.rs", "src/model.rs", "tests/conformance.rs"];
/// The code that computes the golden cases.
const CONFORMANCE: &str = "xtask/src/conformance/";
/// The candidates of `cargo xtask bench accuracy choose`.
const CANDIDATES: &str = "xtask/accuracy/candidates.toml";

/// The lines and files that methods of the registry lack, and recipes of other methods.
pub(super) fn check(methods: &Methods, files: &[TextFile]) -> Vec<Violation> {
    let of_crates = methods.of_crates().flat_map(|method| of_crate(method, files));
    let of_names = methods.all().iter().flat_map(|method| of_name(method, files));
    of_crates.chain(of_names).chain(strange_recipes(methods, files)).collect()
}

/// What a crate needs once, however many methods it has.
fn of_crate(method: &Method, files: &[TextFile]) -> Vec<Violation> {
    let Method { feature, library, .. } = method;
    let package = method.package();
    let module = library.trim_start_matches("ssl_");
    let mut found = FILES.map(|file| lacks_file(&format!("crates/{package}/{file}"), files)).to_vec();
    let manifest = format!("{package} = {{ path = \"crates/{package}\", ");
    let facade = "crates/burn-ssl/Cargo.toml";
    found.extend([
        lacks_line("Cargo.toml", &manifest, files),
        lacks_line(facade, &format!("{feature} = [\"dep:{package}\"]"), files),
        lacks_line(facade, &format!("{package} = {{ workspace = true, optional = true }}"), files),
        lacks_line(facade, &format!("\"{feature}\","), files),
        lacks_line("crates/burn-ssl/src/lib.rs", &format!("pub use {library} as {module};"), files),
        lacks_line("xtask/Cargo.toml", &format!("{package}.workspace = true"), files),
    ]);
    let computes =
        |file: &TextFile| file.path.starts_with(CONFORMANCE) && file.text.contains(library.as_str());
    found.push((!files.iter().any(computes)).then(|| {
        let sentence = format!("no file here calls `{library}`: expected one that computes its golden cases");
        Violation::new(CONFORMANCE, 1, sentence)
    }));
    found.into_iter().flatten().collect()
}

/// What every name needs.
fn of_name(method: &Method, files: &[TextFile]) -> Vec<Violation> {
    let name = &method.name;
    let mut found = NAMES.map(|recipe| lacks_file(&format!("{RECIPES}{name}/{recipe}.toml"), files)).to_vec();
    let sourced =
        files.iter().filter_map(|file| recipe(file)).filter(|(of, recipe)| of == name && *recipe != QUICK);
    found.extend(sourced.map(|(_, recipe)| {
        lacks_line("crates/burn-ssl/tests/recipes.rs", &format!("(\"{name}/{recipe}\", "), files)
    }));
    found.push(lacks_line(CANDIDATES, &format!("[[{name}]]"), files));
    found.push((!has_golden_case(name, files)).then(|| {
        let op = name.replace('-', "_");
        let sentence = format!("no `OPS` here has the method `{name}`: expected an entry `(\"{op}\", ...),`");
        Violation::new(CONFORMANCE, 1, sentence)
    }));
    found.into_iter().flatten().collect()
}

/// Whether something computes an operation named after the method, with or without underscores.
fn has_golden_case(name: &str, files: &[TextFile]) -> bool {
    let letters = |text: &str| text.replace(['-', '_'], "");
    let is_entry = |line: &str| {
        let op = line.trim().strip_prefix("(\"").and_then(|rest| rest.split_once("\", "));
        op.is_some_and(|(op, _)| letters(op) == letters(name))
    };
    let sources = files.iter().filter(|file| file.path.starts_with(CONFORMANCE));
    sources.flat_map(|file| file.text.lines()).any(is_entry)
}

/// Recipes of a method that the registry does not have.
fn strange_recipes(methods: &Methods, files: &[TextFile]) -> Vec<Violation> {
    let strange = files.iter().filter(|file| recipe(file).is_some_and(|(method, _)| !methods.has(method)));
    let sentence = "the registry has no method of this folder's name: expected a row in `methods!`";
    strange.map(|file| Violation::new(&file.path, 1, sentence)).collect()
}

/// Method and name of a recipe.
fn recipe(file: &TextFile) -> Option<(&str, &str)> {
    file.path.strip_prefix(RECIPES)?.strip_suffix(".toml")?.split_once('/')
}

fn lacks_file(path: &str, files: &[TextFile]) -> Option<Violation> {
    find(files, path)
        .is_none()
        .then(|| Violation::new(path, 1, "there is no such file: every method has one"))
}

/// The violation of a file that has no line with this beginning.
fn lacks_line(path: &str, start: &str, files: &[TextFile]) -> Option<Violation> {
    let Some(file) = find(files, path) else {
        return Some(Violation::new(
            path,
            1,
            format!("there is no such file: expected one with a line `{start}`"),
        ));
    };
    let has = file.text.lines().any(|line| line.trim_start().starts_with(start));
    (!has).then(|| Violation::new(path, 1, format!("expected a line `{start}`, as every method has one")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A method's files and lines, each on its own.
    const TREE: [(&str, &str); 17] = [
        ("crates/ssl-one/Cargo.toml", ""),
        ("crates/ssl-one/src/config.rs", ""),
        ("crates/ssl-one/src/loss.rs", ""),
        ("crates/ssl-one/src/model.rs", ""),
        ("crates/ssl-one/tests/conformance.rs", ""),
        ("Cargo.toml", "ssl-one = { path = \"crates/ssl-one\", version = \"0.1.0\" }"),
        ("crates/burn-ssl/Cargo.toml", "one = [\"dep:ssl-one\"]"),
        ("crates/burn-ssl/Cargo.toml", "ssl-one = { workspace = true, optional = true }"),
        ("crates/burn-ssl/Cargo.toml", "    \"one\","),
        ("crates/burn-ssl/src/lib.rs", "pub use ssl_one as one;"),
        ("xtask/Cargo.toml", "ssl-one.workspace = true"),
        ("xtask/src/conformance/method/mod.rs", "    (\"one_v1\", |case| ssl_one::one(case)),"),
        ("xtask/accuracy/candidates.toml", "[[one-v1]]  # the paper's"),
        ("crates/burn-ssl/recipes/one-v1/cifar10.toml", ""),
        ("crates/burn-ssl/recipes/one-v1/cifar10-quick.toml", ""),
        ("crates/burn-ssl/recipes/one-v1/imagenet.toml", ""),
        ("crates/burn-ssl/tests/recipes.rs", "(\"one-v1/cifar10\", 1, 0.1),\n(\"one-v1/imagenet\", 1, 0.1),"),
    ];

    fn sentences(tree: &[(&str, &str)]) -> Vec<String> {
        let methods = Methods::of(&[["one", "one-v1"]]);
        let mut files: Vec<TextFile> = Vec::new();
        for (path, line) in tree {
            match files.iter_mut().find(|file| file.path == *path) {
                Some(file) => file.text += line,
                None => files.push(TextFile { path: (*path).to_owned(), text: (*line).to_owned() }),
            }
            files.iter_mut().for_each(|file| file.text += "\n");
        }
        check(&methods, &files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_method_with_every_file_and_line_has_no_violation() {
        assert!(sentences(&TREE).is_empty(), "{:?}", sentences(&TREE));
    }

    #[test]
    fn each_missing_file_or_line_is_a_violation_that_names_it() {
        for missing in 0..TREE.len() {
            let mut tree = TREE.to_vec();
            let (path, line) = tree.remove(missing);
            let found = sentences(&tree);
            let place = if path.starts_with(CONFORMANCE) { CONFORMANCE } else { path };
            let is_there = found.iter().any(|sentence| sentence.starts_with(&format!("{place}:1: ")));
            assert!(is_there, "without {path} {line}: {found:?}");
        }
    }

    #[test]
    fn a_variant_of_a_recipe_needs_its_rate_too() {
        let mut tree = TREE.to_vec();
        tree.push(("crates/burn-ssl/recipes/one-v1/imagenet-vit.toml", ""));
        assert_eq!(
            sentences(&tree),
            [
                "crates/burn-ssl/tests/recipes.rs:1: expected a line `(\"one-v1/imagenet-vit\", `, as every method has one"
            ]
        );
    }

    #[test]
    fn recipes_of_an_unknown_method_are_a_violation() {
        let mut tree = TREE.to_vec();
        tree.push(("crates/burn-ssl/recipes/one-v2/cifar10.toml", ""));
        let found = sentences(&tree);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("one-v2/cifar10.toml:1: the registry has no method"), "{found:?}");
    }
}
