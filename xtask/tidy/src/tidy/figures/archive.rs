//! The numbers that may be quoted from an archived file.

use serde_json::Value;
use xtask::median;

use super::super::repository::TextFile;
use super::number::{Number, numbers};

const MIB: f64 = 1024.0 * 1024.0;

/// The numbers of an archived file, in parts about one piece of work each.
///
/// The JSON of `cargo xtask bench` has a part for each piece of work, and every part includes cores and command. A Markdown
/// file has a part for each row of its tables, and every part includes the text. Any other file is one part.
pub(super) struct Archive(Vec<Part>);

enum Part {
    /// The values of a benchmark, and those of them in seconds.
    Values { numbers: Vec<f64>, seconds: Vec<f64> },
    /// The numbers of a text, which its author rounded.
    Text(Vec<f64>),
}

impl Archive {
    pub(super) fn read(file: &TextFile) -> Self {
        let json = serde_json::from_str::<Value>(&file.text).unwrap_or_default();
        Self(match json["figures"].as_array() {
            Some(works) => works.iter().map(|work| Part::of_work(work, &json["setup"])).collect(),
            None if file.path.ends_with(".md") => Part::of_rows(&file.text),
            None => vec![Part::of_text(&file.text)],
        })
    }

    /// For each part, the numbers missing in it.
    pub(super) fn missing(&self, quoted: &[Number]) -> Vec<Vec<Number>> {
        let absent = |part: &Part| quoted.iter().filter(|number| !part.has(number)).copied().collect();
        self.0.iter().map(absent).collect()
    }
}

impl Part {
    fn has(&self, number: &Number) -> bool {
        let (values, is_text) = match self {
            Self::Values { seconds, .. } if number.is_seconds => (seconds, false),
            Self::Values { numbers, .. } => (numbers, false),
            Self::Text(numbers) => (numbers, true),
        };
        let is_exact = is_text && !number.has_decimals();
        values.iter().any(|value| if is_exact { *value == number.value } else { number.rounds(*value) })
    }

    fn of_text(text: &str) -> Self {
        Self::Text(values(text))
    }

    /// Each row, with all text outside rows.
    fn of_rows(text: &str) -> Vec<Self> {
        let (rows, prose): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('|'));
        let prose = prose.join("\n");
        let with_prose = |row: &&str| Self::of_text(&format!("{row}\n{prose}"));
        if rows.is_empty() { vec![Self::of_text(&prose)] } else { rows.iter().map(with_prose).collect() }
    }

    /// The values of one piece of work, and those derived from them.
    fn of_work(work: &Value, setup: &Value) -> Self {
        let sides = |key: &str| work[key].as_array().cloned().unwrap_or_default();
        let (ours, theirs) = (sides("ours"), sides("theirs"));
        let all = || ours.iter().chain(&theirs);
        let mut numbers: Vec<f64> = setup["cores"].as_f64().into_iter().collect();
        let texts = [&setup["command"], &work["work"]].into_iter().filter_map(Value::as_str);
        numbers.extend(texts.flat_map(values));
        numbers.extend(all().flat_map(costs).map(|(_, cost)| cost));
        for (key, cost) in ours.iter().flat_map(costs) {
            let theirs = theirs.iter().flat_map(costs).filter(|(other, _)| *other == key);
            numbers.extend(ratio(cost, theirs.map(|(_, cost)| cost), f64::min));
        }
        if !work["unit"].as_str().is_some_and(|unit| unit.ends_with("/s")) {
            numbers.extend(all().flat_map(spread));
            return Self::Values { numbers, seconds: Vec::new() };
        }
        numbers.extend(all().flat_map(median_and_range));
        let to_best = |side| ratio(middle(side), theirs.iter().map(middle), f64::max);
        numbers.extend(ours.iter().filter_map(to_best));
        let of_run = |side| Some(work["per_run"].as_f64()? / middle(side));
        Self::Values { numbers, seconds: all().filter_map(of_run).collect() }
    }
}

fn values(text: &str) -> Vec<f64> {
    numbers(text).iter().map(|number| number.value).collect()
}

/// One number per round or seed.
fn rounds(values: &Value) -> Vec<f64> {
    values.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

fn figures(side: &Value) -> Vec<f64> {
    rounds(&side["figures"])
}

fn middle(side: &Value) -> f64 {
    median(&figures(side))
}

/// The ways to quote a rate.
fn median_and_range(side: &Value) -> Vec<f64> {
    let rates = figures(side);
    let range = [rates.iter().copied().reduce(f64::min), rates.iter().copied().reduce(f64::max)];
    range.into_iter().flatten().chain([median(&rates)]).collect()
}

/// The ways to quote an accuracy: by seed, and as mean and standard deviation.
fn spread(side: &Value) -> Vec<f64> {
    let mut out = figures(side);
    let count = out.len() as f64;
    let mean = out.iter().sum::<f64>() / count;
    let squares = out.iter().map(|figure| (figure - mean).powi(2)).sum::<f64>();
    out.extend([mean, (squares / (count - 1.0)).sqrt()]);
    out
}

/// The other costs of a side as the median of its rounds: memory in MiB, and the rest as it is.
fn costs(side: &Value) -> Vec<(&str, f64)> {
    let fields = side.as_object().into_iter().flatten().filter(|(key, _)| key.as_str() != "figures");
    let measured = fields.filter_map(|(key, value)| {
        let cost = value.as_f64().unwrap_or_else(|| median(&rounds(value)));
        let unit = if key.contains("memory") { MIB } else { 1.0 };
        cost.is_finite().then_some((key.as_str(), cost / unit))
    });
    measured.collect()
}

/// One of our figures divided by the best of theirs, if there is one.
fn ratio(ours: f64, theirs: impl Iterator<Item = f64>, best: fn(f64, f64) -> f64) -> Option<f64> {
    theirs.reduce(best).map(|best| ours / best)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: &str = r#"{"setup": {"cores": 2, "load_average": "91.5 1.5", "command": "bench --rounds 3"}, "figures": [
        {"work": "width 16, batch 64", "unit": "images/s", "per_run": 64.0,
         "ours": [{"name": "flex", "figures": [320.0, 300.0, 361.0], "peak_memory": 104857600.0, "cpu_us": [20.5, 9.0, 30.0]}],
         "theirs": [{"name": "eager", "figures": [150.0], "peak_memory": 524288000.0},
                    {"name": "compile", "figures": [200.0], "peak_memory": [629145600.0], "cpu_us": [40.0, 41.0, 60.0]}]},
        {"work": "k-NN", "unit": "%", "per_run": null, "ours": [{"name": "flex", "figures": [37.0, 38.0, 39.6]}], "theirs": []}
    ]}"#;

    fn parts(text: &str, quoted: &str) -> Vec<bool> {
        parts_of("step.json", text, quoted)
    }

    /// For each part of a file whether it has all these numbers.
    fn parts_of(path: &str, text: &str, quoted: &str) -> Vec<bool> {
        let file = TextFile { path: path.to_owned(), text: text.to_owned() };
        Archive::read(&file).missing(&numbers(quoted)).iter().map(Vec::is_empty).collect()
    }

    #[test]
    fn a_rate_is_quoted_by_median_range_seconds_costs_and_ratios_to_the_best_rival() {
        for quoted in
            ["320", "300 to 361", "0.2 s", "1.60", "16 and 64", "100 and 500 MiB, 0.20", "20.5 to 41, 0.50"]
        {
            assert_eq!(parts(STEP, quoted), [true, false], "{quoted}");
        }
        assert_eq!(parts(STEP, "2 cores, 3 rounds"), [true, true], "the setup is that of all");
    }

    #[test]
    fn the_mean_of_rates_a_worse_rival_and_the_load_are_not_quoted() {
        for quoted in ["327", "2.13", "0.17", "91.5", "320 s"] {
            assert_eq!(parts(STEP, quoted), [false, false], "{quoted}");
        }
    }

    #[test]
    fn accuracies_are_quoted_by_seed_and_as_mean_and_deviation() {
        for quoted in ["37.0", "38.2 ± 1.31", "39.6"] {
            assert_eq!(parts(STEP, quoted), [false, true], "{quoted}");
        }
    }

    #[test]
    fn rows_of_markdown_are_quoted_with_its_text_and_any_other_file_as_a_whole() {
        let page = "10 epochs.\n\n| `queue_len=1024` | 37.93 |\n| `dim=2` | 38.1 |\n\nUntrained: 29.35.";
        assert_eq!(parts_of("a.md", page, "37.9 with 1,024 after 10 epochs, untrained 29.35"), [true, false]);
        assert_eq!(parts_of("a.md", page, "38.1 and 1,024"), [false, false]);
        assert_eq!(parts_of("a.md", "10 epochs, 29.7", "10"), [true]);
        assert_eq!(parts_of("a.md", "10 epochs, 29.7", "30"), [false], "whole numbers are those of the text");
        assert_eq!(parts_of("a.toml", page, "38.1 and 1,024"), [true]);
        assert_eq!(parts_of("a.toml", page, "38.2"), [false]);
    }
}
