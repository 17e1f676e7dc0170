//! Lists the recipes, so that a file in `recipes/` is a recipe of the library.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=recipes");
    let recipes = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("recipes");
    let mut names = Vec::new();
    for entry in fs::read_dir(&recipes)? {
        let path = entry?.path();
        if path.is_dir() {
            let files = fs::read_dir(&path)?.map(|file| file.map(|file| file.path()));
            names
                .extend(files.collect::<Result<Vec<_>, _>>()?.iter().filter_map(|file| name(file, &recipes)));
        } else {
            names.extend(name(&path, &recipes));
        }
    }
    // The usual recipe of a data set comes before its variants, which its name begins.
    names.sort();
    let mut list = String::from("[\n");
    for name in names {
        let path = format!("concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/recipes/{name}.toml\")");
        writeln!(list, "    (\"{name}\", include_str!({path})),")?;
    }
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("recipes.rs"), list + "]\n")?;
    Ok(())
}

/// `simclr/cifar10` for `recipes/simclr/cifar10.toml`, nothing for other files.
fn name(file: &Path, recipes: &Path) -> Option<String> {
    let name = file.strip_prefix(recipes).ok()?.to_str()?.strip_suffix(".toml")?;
    Some(name.replace('\\', "/"))
}
