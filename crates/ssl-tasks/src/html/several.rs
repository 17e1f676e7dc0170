//! A page about several runs.

use std::path::PathBuf;

use ssl_report::{Facts, Page, Table};

use super::{curves, told};
use crate::compare::{self, Opened};
use crate::{CompareReport, Difference, Error, OfSeeds};

/// Runs side by side.
pub(super) fn page(runs: &[PathBuf]) -> Result<Page, Error> {
    let opened = runs.iter().map(|run| Opened::read(run)).collect::<Result<Vec<_>, _>>()?;
    let report = compare::report(&opened);
    let names = distinct(runs);
    let histories: Vec<_> = names.iter().cloned().zip(opened.iter().map(|run| &run.history)).collect();
    let recipes = opened.iter().zip(&names).map(|(run, name)| {
        let text = run.recipe.to_toml()?;
        Ok(Facts { title: format!("Recipe of {name}"), values: Vec::new(), text })
    });
    Ok(Page {
        title: format!("{} runs", runs.len()),
        subtitle: names.join(", "),
        compared: tables(&report, &names),
        differences: differences(&report.differences, &names),
        curves: curves::of(&histories),
        facts: recipes.collect::<Result<_, Error>>()?,
        ..Page::default()
    })
}

/// The names of directories, or their paths if two have the same name.
fn distinct(runs: &[PathBuf]) -> Vec<String> {
    let names: Vec<_> = runs.iter().map(|run| told::name(run)).collect();
    let unique: std::collections::BTreeSet<_> = names.iter().collect();
    if unique.len() == names.len() {
        names
    } else {
        runs.iter().map(|run| run.display().to_string()).collect()
    }
}

fn tables(report: &CompareReport, names: &[String]) -> Vec<Table> {
    let mut rows: Vec<_> = report.runs.iter().map(compare::row).collect();
    rows.iter_mut().zip(names).for_each(|(row, name)| row[0].clone_from(name));
    let notes = report.runs.iter().flat_map(|run| &run.notes);
    let runs = Table {
        title: String::new(),
        columns: compare::COLUMNS.map(str::to_owned).to_vec(),
        rows,
        notes: notes.map(|note| format!("Not everything could be read: {note}.")).collect(),
    };
    std::iter::once(runs).chain(of_seeds(&report.seeds, report, names)).collect()
}

fn of_seeds(groups: &[OfSeeds], report: &CompareReport, names: &[String]) -> Option<Table> {
    let name = |run: &PathBuf| {
        let place = report.runs.iter().position(|other| other.run == *run);
        place.map_or_else(|| run.display().to_string(), |place| names[place].clone())
    };
    let row = |group: &OfSeeds| {
        let cell = |spread: Option<crate::Spread>, digits: usize| {
            spread.map_or("–".to_owned(), |spread| {
                format!("{:.digits$} ± {:.digits$}", spread.mean, spread.deviation)
            })
        };
        vec![
            group.runs.iter().map(name).collect::<Vec<_>>().join(", "),
            cell(group.train_loss, 4),
            cell(group.view_retrieval, 1),
            cell(group.rankme, 1),
            cell(group.knn_top1, 2),
            cell(group.linear_top1, 2),
            cell(group.seconds, 0),
        ]
    };
    (!groups.is_empty()).then(|| Table {
        title: "Runs that differ in the seed alone".into(),
        columns: ["runs", "loss", "views found %", "RankMe", "k-NN %", "linear %", "time, s"]
            .map(str::to_owned)
            .to_vec(),
        rows: groups.iter().map(row).collect(),
        notes: vec!["Mean and standard deviation over the seeds.".into()],
    })
}

fn differences(differences: &[Difference], names: &[String]) -> Option<Table> {
    let row = |difference: &Difference| {
        let values = difference.values.iter().map(|value| value.clone().unwrap_or("–".into()));
        std::iter::once(difference.key.clone()).chain(values).collect()
    };
    (!differences.is_empty()).then(|| Table {
        title: "Keys of the recipes that differ".into(),
        columns: std::iter::once("key".to_owned()).chain(names.iter().cloned()).collect(),
        rows: differences.iter().map(row).collect(),
        notes: Vec::new(),
    })
}
