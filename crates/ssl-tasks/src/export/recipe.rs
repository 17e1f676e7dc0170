//! How a run was trained, for others to read.

use std::path::Path;

use ssl_train::RunDir;
use toml::{Table, Value};

use crate::{Error, classifier};

/// Keys whose values are paths of the machine that trained, by section; `""` is the document itself.
const PATHS: [(&str, &[&str]); 5] = [
    ("", &["from", "train", "test"]),
    ("data", &["path", "workers"]),
    ("eval", &["train", "test"]),
    ("encoder", &["init"]),
    ("method_options", &["teacher"]),
];

/// The recipe of a run, or the record of a classifier, without paths.
///
/// # Errors
/// If it cannot be read.
pub(super) fn of_run(run: &Path) -> Result<Table, Error> {
    let path = match classifier::is_classifier(run) {
        true => RunDir::open_classifier(run)?.classifier_record(),
        false => RunDir::open(run)?.recipe(),
    };
    let text = ssl_files::read_text(&path).map_err(|source| Error::Io { path, source })?;
    // It has been read before: a file that is damaged was refused there.
    Ok(without_paths(text.parse().unwrap_or_default()))
}

fn without_paths(mut recipe: Table) -> Table {
    for (section, keys) in PATHS {
        let section = match section {
            "" => Some(&mut recipe),
            section => recipe.get_mut(section).and_then(Value::as_table_mut),
        };
        section.into_iter().for_each(|table| table.retain(|key, _| !keys.contains(&key)));
    }
    recipe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_machine_stay_there() {
        let text = "method = 'simclr'\nfrom = '/a'\n[data]\npath = '/home/me/cats'\nimage_size = 32\n\
                    [encoder]\nname = 'resnet18'\ninit = '/b'\n[eval]\ntest = '/c'\nk = 20\n";
        let public = without_paths(text.parse().expect("TOML"));
        assert!(!public.to_string().contains('/'), "{public}");
        assert_eq!(public["data"]["image_size"], Value::Integer(32));
        assert_eq!(public["eval"]["k"], Value::Integer(20));
    }
}
