//! The page of results, made from their files.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use super::labels::by_labels;
use super::places;
use super::quick::Quick;
use super::record::{Figures, Record};
use super::sides::Side;
use super::statistics::{Difference, SEEDS, Sample, Verdict, over_pixels, over_untrained, verdict};

/// The page, with placeholders for the parts made here.
const PAGE: &str = include_str!("../../../accuracy/page.md");

/// Writes the page.
pub(super) fn write() -> Result<()> {
    let path = places::root().join(places::RESULTS).join("README.md");
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    let records = Record::all()?;
    fs::write(&path, page(&records, &recipes(&records)?, &Replaced::read()?))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Runs that no longer count.
#[derive(Default)]
struct Replaced {
    /// Those whose recipes were chosen again after them.
    first_choice: Vec<Record>,
    /// PyTorch's from its own initial weights, where others are from ours.
    own_weights: Vec<Record>,
}

impl Replaced {
    fn read() -> Result<Self> {
        Ok(Self { first_choice: Record::of_first_choice()?, own_weights: Record::of_own_weights()? })
    }
}

/// Every method and the hash of its recipe; those that learn from a frozen network once they have a run.
fn recipes(records: &[Record]) -> Result<Vec<(&'static str, String)>> {
    let has_teacher = records.iter().any(|record| super::learns_from_network(&record.method));
    super::comparable(has_teacher)
        .into_iter()
        .map(|method| Ok((method, Quick::of(method)?.run_hash()?)))
        .collect()
}

/// The page for the given runs. Only runs of today's recipes count; those that were `replaced` have tables of their own.
fn page(records: &[Record], recipes: &[(&str, String)], replaced: &Replaced) -> String {
    let is_current = |record: &&Record| {
        recipes.iter().any(|(method, hash)| *method == record.method && *hash == record.recipe)
    };
    let current: Vec<_> = records.iter().filter(is_current).collect();
    let rows: Vec<_> = recipes.iter().map(|(method, _)| Row::of(method, &current).text()).collect();
    let [linear, finetuned] = [Measure::Linear, Measure::Finetuned].map(|measure| {
        let methods = recipes.iter().filter(|(method, _)| by_labels(method));
        methods.map(|(method, _)| measure.row(method, &current)).collect::<Vec<_>>().join("\n")
    });
    let former: Vec<_> = replaced.first_choice.iter().collect();
    let tested_before =
        recipes.iter().filter(|(method, _)| former.iter().any(|record| record.method == *method));
    let first: Vec<_> = tested_before.map(|(method, _)| Row::of(method, &former).text()).collect();
    let own: Vec<_> = replaced.own_weights.iter().filter(is_current).collect();
    PAGE.replace("{rows}", &rows.join("\n"))
        .replace("{first}", &first.join("\n"))
        .replace("{own}", &own_weights(&own, &current, recipes))
        .replace("{linear}", &linear)
        .replace("{finetuned}", &finetuned)
        .replace("{missing}", &missing(&current, records.len() - current.len(), recipes))
        .replace("{setups}", &setups(&current))
}

/// The runs of one side of a method.
#[derive(Default)]
struct Group {
    seeds: Vec<u64>,
    /// Whether all of them started from the weights of our side.
    shared_start: bool,
    trained: Vec<f64>,
    untrained: Vec<f64>,
    pixels: Vec<f64>,
}

impl Group {
    /// The records that have `accuracies`, with and without training.
    fn of<'a>(
        records: impl Iterator<Item = &'a Record>,
        accuracies: impl Fn(&Figures) -> Option<(f64, f64)>,
    ) -> Self {
        let mut group = Self { shared_start: true, ..Self::default() };
        for record in records {
            let Some((trained, untrained)) = accuracies(&record.figures) else { continue };
            group.seeds.push(record.seed);
            group.shared_start &= record.shared_start;
            group.trained.push(trained);
            group.untrained.push(untrained);
            group.pixels.push(record.figures.knn_top1_pixels);
        }
        group
    }

    /// Ours minus PyTorch's: of the seeds that both sides have, where these start from the same initial weights.
    fn minus(&self, theirs: &Self) -> Option<Difference> {
        if theirs.shared_start {
            let of_seed = |seed| theirs.seeds.iter().zip(&theirs.trained).find(|(other, _)| *other == seed);
            let ours = self.seeds.iter().zip(&self.trained);
            let pairs = ours.filter_map(|(seed, ours)| Some(ours - of_seed(seed)?.1));
            return Sample::of(&pairs.collect::<Vec<f64>>()).map(Difference::from);
        }
        Some(Sample::of(&self.trained)?.minus(&Sample::of(&theirs.trained)?))
    }

    fn gain(&self) -> Option<Difference> {
        Some(Sample::of(&self.trained)?.minus(&Sample::of(&self.untrained)?))
    }

    fn trained_and_pixels(&self) -> Option<[Sample; 2]> {
        Some([Sample::of(&self.trained)?, Sample::of(&self.pixels)?])
    }
}

/// What methods are measured by.
#[derive(Clone, Copy)]
enum Measure {
    Neighbours,
    Linear,
    Finetuned,
}

impl Measure {
    /// The accuracies with and without training.
    fn of(self, figures: &Figures) -> Option<(f64, f64)> {
        match self {
            Self::Neighbours => Some((figures.knn_top1, figures.knn_top1_untrained)),
            Self::Linear => figures.linear_top1.zip(figures.linear_top1_untrained),
            Self::Finetuned => figures.finetune_top1.zip(figures.finetune_top1_untrained),
        }
    }

    /// The runs of both sides.
    fn sides(self, method: &str, records: &[&Record]) -> [Group; 2] {
        [Side::Ours, Side::Torch].map(|side| {
            let of_side = records.iter().filter(|record| record.method == method && record.side == side);
            Group::of(of_side.copied(), |figures| self.of(figures))
        })
    }

    /// A row of its table.
    fn row(self, method: &str, records: &[&Record]) -> String {
        let [ours, theirs] = self.sides(method, records);
        format!("| {} |", cells(method, &ours, &theirs).join(" | "))
    }
}

/// A row of the table.
struct Row<'a> {
    method: &'a str,
    ours: Group,
    theirs: Group,
}

impl<'a> Row<'a> {
    fn of(method: &'a str, records: &[&Record]) -> Self {
        let [ours, theirs] = Measure::Neighbours.sides(method, records);
        Self { method, ours, theirs }
    }

    fn text(&self) -> String {
        let Self { method, ours, theirs } = self;
        let mut cells = cells(method, ours, theirs);
        cells.push(pixels([ours, theirs]));
        cells.push(over_pixels(ours.trained_and_pixels(), theirs.trained_and_pixels()).to_string());
        format!("| {} |", cells.join(" | "))
    }
}

/// The cells that every table has.
fn cells(method: &str, ours: &Group, theirs: &Group) -> Vec<String> {
    let difference = ours.minus(theirs);
    vec![
        format!("`{method}`"),
        mean(&ours.trained),
        mean(&theirs.trained),
        difference.map_or_else(|| "missing".to_owned(), signed),
        verdict(difference).to_string(),
        mean(&ours.untrained),
        mean(&theirs.untrained),
        over_untrained(ours.gain()).to_string(),
        over_untrained(theirs.gain()).to_string(),
    ]
}

/// PyTorch from its own weights beside both sides from ours, for each method that was run both ways.
fn own_weights(own: &[&Record], current: &[&Record], recipes: &[(&str, String)]) -> String {
    let row = |method: &str| {
        let (before, now) = (Row::of(method, own), Row::of(method, current));
        let has_both =
            [&before, &now].iter().all(|row| !row.theirs.seeds.is_empty()) && now.theirs.shared_start;
        let [before, theirs, ours] =
            [&before.theirs, &now.theirs, &now.ours].map(|group| mean(&group.trained));
        has_both.then(|| format!("| `{method}` | {before} | {theirs} | {ours} |"))
    };
    recipes.iter().filter_map(|(method, _)| row(method)).collect::<Vec<_>>().join("\n")
}

/// Mean and standard deviation, and the number of runs unless it is three.
fn mean(values: &[f64]) -> String {
    match Sample::of(values) {
        None => "missing".to_owned(),
        Some(Sample { count: 1, mean, .. }) => format!("{mean:.2} (1 run)"),
        Some(Sample { count: SEEDS, mean, deviation }) => format!("{mean:.2} ± {deviation:.2}"),
        Some(Sample { count, mean, deviation }) => format!("{mean:.2} ± {deviation:.2} ({count} runs)"),
    }
}

fn signed(difference: Difference) -> String {
    let Difference { mean, error, .. } = difference;
    if error.is_finite() { format!("{mean:+.2} ± {error:.2}") } else { format!("{mean:+.2}") }
}

/// The accuracies of raw pixels over all runs, of our side first.
fn pixels(sides: [&Group; 2]) -> String {
    let mut found: Vec<String> = Vec::new();
    for value in sides.iter().flat_map(|side| &side.pixels).map(|value| format!("{value:.2}")) {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    if found.is_empty() { "missing".to_owned() } else { found.join(", ") }
}

/// The missing runs, one line for each method and side.
fn missing(current: &[&Record], stale: usize, recipes: &[(&str, String)]) -> String {
    let mut lines = Vec::new();
    for (method, _) in recipes {
        let Row { ours, theirs, .. } = Row::of(method, current);
        let wanted = wanted_seeds(method, current);
        for (side, group) in [(Side::Ours, ours), (Side::Torch, theirs)] {
            let missing = (0..wanted).filter(|seed| !group.seeds.contains(seed));
            let seeds: Vec<_> = missing.map(|seed| seed.to_string()).collect();
            if !seeds.is_empty() {
                lines.push(format!("- `{method}`, {}: seeds {}", side.name(), seeds.join(", ")));
            }
        }
    }
    if stale > 0 {
        lines.push(format!("- runs of recipes that have changed since, which do not count: {stale}"));
    }
    if lines.is_empty() { "Nothing.".to_owned() } else { lines.join("\n") }
}

/// The number of seeds of a method: three, and three more, once, if these cannot tell or ours is lower.
fn wanted_seeds(method: &str, current: &[&Record]) -> u64 {
    let measure = if by_labels(method) { Measure::Linear } else { Measure::Neighbours };
    let sides = measure.sides(method, current);
    let has_more = sides.iter().flat_map(|side| &side.seeds).any(|&seed| seed >= SEEDS as u64);
    let needs_more = matches!(verdict(sides[0].minus(&sides[1])), Verdict::MoreSeeds | Verdict::Lower);
    let sets = if has_more || needs_more { 2 } else { 1 };
    sets * SEEDS as u64
}

/// The processors, commits and versions of the runs.
fn setups(records: &[&Record]) -> String {
    let mut lines = BTreeSet::new();
    for record in records {
        let of = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (setup, side) = (&record.setup, record.side);
        let versions = match side {
            Side::Ours => format!("Burn {}", of(&setup["burn"])),
            Side::Torch => {
                let versions = ["torch", "torchvision", "lightly"];
                versions.map(|name| format!("{name} {}", of(&record.report[name]))).join(", ")
            }
        };
        let (cpu, cores) = (of(&setup["cpu"]), of(&setup["cores"]));
        lines.insert(format!(
            "- {}: {cpu}, {cores} cores; commit {}; {versions}",
            side.name(),
            record.commit
        ));
    }
    if lines.is_empty() {
        "No runs yet.".to_owned()
    } else {
        lines.into_iter().collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(method: &str, side: Side, seed: u64, knn_top1: f64) -> Record {
        let figures = Figures {
            knn_top1,
            knn_top1_untrained: 27.0 + seed as f64 / 10.0,
            knn_top1_pixels: 36.45,
            linear_top1: Some(knn_top1 + 10.0),
            linear_top1_untrained: Some(35.0),
            finetune_top1: None,
            finetune_top1_untrained: None,
            train_loss: 1.0,
            seconds: 300.0,
        };
        Record {
            method: method.into(),
            side,
            seed,
            figures,
            recipe: "a".into(),
            shared_start: false,
            command: String::new(),
            commit: "abc".into(),
            setup: json!({ "cpu": "EPYC", "cores": 2, "burn": "0.22.1" }),
            report: json!({ "torch": "2.9.0", "torchvision": "0.24.0", "lightly": "1.6.0" }),
        }
    }

    fn runs(method: &str, side: Side, accuracies: [f64; 3]) -> Vec<Record> {
        let seeds = accuracies.into_iter().enumerate();
        seeds.map(|(seed, accuracy)| record(method, side, seed as u64, accuracy)).collect()
    }

    fn recipes() -> Vec<(&'static str, String)> {
        vec![("simclr", "a".into()), ("byol", "a".into())]
    }

    fn row(page: &str, method: &str) -> Vec<String> {
        let start = format!("| `{method}` |");
        let row = page.lines().find(|line| line.starts_with(&start)).expect("a row");
        row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    }

    #[test]
    fn a_row_has_both_sides_and_their_judgement() {
        let mut records = runs("simclr", Side::Ours, [37.5, 38.0, 38.5]);
        records.extend(runs("simclr", Side::Torch, [38.0, 38.5, 39.0]));
        let page = page(&records, &recipes(), &Replaced::default());
        let expected = [
            "`simclr`",
            "38.00 ± 0.50",
            "38.50 ± 0.50",
            "-0.50 ± 0.41",
            "right",
            "27.10 ± 0.10",
            "27.10 ± 0.10",
            "yes",
            "yes",
            "36.45",
            "yes",
        ];
        assert_eq!(row(&page, "simclr"), expected);
        assert!(row(&page, "byol")[1..].iter().all(|cell| cell == "missing"), "{page}");
        assert!(page.contains("- `byol`, torch: seeds 0, 1, 2"), "{page}");
        assert!(!page.contains("- `simclr`, "), "{page}");
        assert!(!page.contains('{'), "a place that nothing was put into");
        assert!(page.contains("- ours: EPYC, 2 cores; commit abc; Burn 0.22.1\n"), "{page}");
        assert!(page.contains("; torch 2.9.0, torchvision 0.24.0, lightly 1.6.0\n"), "{page}");
    }

    #[test]
    fn a_method_that_is_worse_than_pytorch_and_pixels_is_told_so() {
        let mut records = runs("byol", Side::Ours, [26.5, 27.0, 27.5]);
        records.extend(runs("byol", Side::Torch, [38.0, 38.5, 39.0]));
        let row = row(&page(&records, &recipes(), &Replaced::default()), "byol");
        assert_eq!([&row[4], &row[7], &row[8], &row[10]], ["**lower**", "**no**", "yes", "**no**"]);
    }

    #[test]
    fn methods_that_are_judged_by_labels_have_rows_of_their_own() {
        let recipes = [("mae", "a".to_owned()), ("byol", "a".to_owned())];
        let page = page(&runs("mae", Side::Ours, [27.5, 28.0, 28.5]), &recipes, &Replaced::default());
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `mae` |")).collect();
        assert_eq!(rows.len(), 3, "k-NN, a linear classifier, fine-tuning: {rows:?}");
        assert!(
            rows[1].starts_with("| `mae` | 38.00 ± 0.50 | missing | missing | missing | 35.00 ± 0.00 |"),
            "{rows:?}"
        );
        assert!(rows[2].starts_with("| `mae` | missing | "), "{rows:?}");
        assert_eq!(page.lines().filter(|line| line.starts_with("| `byol` |")).count(), 1);
    }

    #[test]
    fn runs_from_the_same_weights_are_compared_in_pairs() {
        let mut records = runs("simclr", Side::Ours, [30.0, 34.0, 38.0]);
        let mut theirs = runs("simclr", Side::Torch, [30.5, 34.0, 38.5]);
        theirs.iter_mut().for_each(|record| record.shared_start = true);
        records.extend(theirs.clone());
        assert_eq!(
            row(&page(&records, &recipes(), &Replaced::default()), "simclr")[3..5],
            ["-0.33 ± 0.17", "right"]
        );
        // One run from other weights, and the sides are compared by their means.
        records[5].shared_start = false;
        assert_eq!(
            row(&page(&records, &recipes(), &Replaced::default()), "simclr")[3..5],
            ["-0.33 ± 3.27", "**more seeds**"]
        );
        // A seed without its pair does not count.
        records[5].shared_start = true;
        records.push(record("simclr", Side::Ours, 3, 90.0));
        assert_eq!(row(&page(&records, &recipes(), &Replaced::default()), "simclr")[3], "-0.33 ± 0.17");
        records.remove(0);
        assert_eq!(row(&page(&records, &recipes(), &Replaced::default()), "simclr")[4], "missing");
    }

    #[test]
    fn more_seeds_are_missing_where_three_cannot_tell_or_ours_is_lower() {
        let said = |ours: [f64; 3], theirs: [f64; 3]| {
            let sides = [runs("simclr", Side::Ours, ours), runs("simclr", Side::Torch, theirs)];
            let page = page(&sides.concat(), &recipes(), &Replaced::default());
            page.contains("- `simclr`, ours: seeds 3, 4, 5\n- `simclr`, torch: seeds 3, 4, 5\n")
        };
        assert!(!said([37.5, 38.0, 38.5], [37.5, 38.0, 38.5]));
        assert!(said([30.0, 34.0, 38.0], [30.0, 34.0, 38.0]) && said([37.5, 38.0, 38.5], [39.5, 40.0, 40.5]));
    }

    #[test]
    fn pytorch_from_its_own_weights_stands_beside_the_pairs() {
        let mut theirs = runs("simclr", Side::Torch, [30.5, 34.0, 38.5]);
        let own_weights = runs("simclr", Side::Torch, [31.5, 35.0, 39.5]);
        theirs.iter_mut().for_each(|record| record.shared_start = true);
        let records = [runs("simclr", Side::Ours, [30.0, 34.0, 38.0]), theirs].concat();
        let page = page(&records, &recipes(), &Replaced { own_weights, ..Replaced::default() });
        assert!(page.contains("| `simclr` | 35.33 ± 4.01 | 34.33 ± 4.01 | 34.00 ± 4.00 |"), "{page}");
    }

    #[test]
    fn a_run_of_another_recipe_does_not_count() {
        let mut records = runs("simclr", Side::Ours, [37.5, 38.0, 38.5]);
        records[1].recipe = "b".into();
        let page = page(&records, &recipes(), &Replaced::default());
        assert_eq!(row(&page, "simclr")[1], "38.00 ± 0.71 (2 runs)");
        assert!(page.contains("- `simclr`, ours: seeds 1\n"), "{page}");
        assert!(page.contains("- runs of recipes that have changed since, which do not count: 1"), "{page}");
    }

    #[test]
    fn runs_before_a_second_choice_have_a_row_of_their_own() {
        let records = runs("simclr", Side::Ours, [37.5, 38.0, 38.5]);
        let mut former = runs("simclr", Side::Ours, [30.0, 34.0, 38.0]);
        former[0].recipe = "b".into();
        let replaced = Replaced { first_choice: former, ..Replaced::default() };
        let page = page(&records, &recipes(), &replaced);
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `simclr` |")).collect();
        assert_eq!(rows.len(), 2, "{page}");
        assert!(rows[0].starts_with("| `simclr` | 38.00 ± 0.50 |"), "{rows:?}");
        assert!(rows[1].starts_with("| `simclr` | 34.00 ± 4.00 |"), "{rows:?}");
    }

    #[test]
    fn the_page_of_this_checkout_is_that_of_its_runs() {
        let path = places::root().join(places::RESULTS).join("README.md");
        let found = fs::read_to_string(path).expect("the page");
        let records = Record::all().expect("whole files");
        let replaced = Replaced::read().expect("whole files");
        let expected = page(&records, &super::recipes(&records).expect("recipes"), &replaced);
        assert!(found == expected, "the page differs: run `cargo xtask bench accuracy table`");
    }
}
