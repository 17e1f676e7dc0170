//! Raw figures, medians and ratios.

use std::borrow::Cow;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xtask::median;

use super::environment::Cap;

/// The figures for one piece of work, ours and those of the rivals.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// The work, in words.
    pub(super) work: String,
    /// The unit; more is better.
    pub(super) unit: Cow<'static, str>,
    /// How many units one run processes, which turns a rate into seconds. `None` where a run has no natural
    /// end.
    pub(super) per_run: Option<f64>,
    /// Multiplications and additions of a run, as PyTorch counts them; `None` where nothing counted.
    pub(super) operations: Option<f64>,
    /// Our sides.
    pub(super) ours: Vec<Side>,
    /// The other side's; empty if there is no baseline for this work.
    pub(super) theirs: Vec<Side>,
}

/// The figures of one side, one per round.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Side {
    pub(super) name: String,
    /// The vector instructions in use, as reported by the program.
    vectors: Option<String>,
    pub(super) figures: Vec<f64>,
    /// CPU time of all threads and processes per unit; empty where it was not measured.
    cpu_us: Vec<f64>,
    /// Peak of the process in bytes, likewise.
    peak_memory: Vec<f64>,
    /// Peak above the memory of libraries and data in bytes, likewise.
    peak_memory_above: Vec<f64>,
}

impl Side {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            vectors: None,
            figures: Vec::new(),
            cpu_us: Vec::new(),
            peak_memory: Vec::new(),
            peak_memory_above: Vec::new(),
        }
    }

    /// Adds the result of one round: the figure, and whatever else the program reports.
    ///
    /// # Errors
    /// If the program uses wider vectors than `cap` allows.
    pub(super) fn take(&mut self, figure: f64, measured: &Value, cap: Option<Cap>) -> Result<()> {
        self.figures.push(figure);
        self.cpu_us.extend(measured["cpu_us_per_image"].as_f64());
        self.peak_memory.extend(measured["peak_memory_bytes"].as_f64());
        self.peak_memory_above.extend(measured["peak_memory_above_bytes"].as_f64());
        self.vectors = measured["vectors"].as_str().map(str::to_owned);
        let (name, vectors) = (&self.name, self.vectors.as_deref().unwrap_or_default());
        let word = cap.map_or("", Cap::word);
        ensure!(cap.is_none() || !vectors.contains("512"), "{name} uses {vectors}, expected at most {word}");
        Ok(())
    }
}

/// Which direction of a figure is better.
#[derive(Clone, Copy)]
enum Better {
    More,
    Less,
}

/// Markdown tables of medians, and ratios of each of our medians to the best of theirs: speed, then memory if it was
/// measured.
pub(crate) fn tables(figures: &[Figures]) -> String {
    let has_memory = figures.iter().any(|work| work.ours.iter().any(|side| !side.peak_memory.is_empty()));
    let mut tables = vec![speed(figures)];
    tables.extend(has_memory.then(|| memory(figures)));
    tables.join("\n\n")
}

fn speed(figures: &[Figures]) -> String {
    let mut rows = vec![
        "| work | side | vectors | rounds | median | min to max | unit | seconds | GFLOP/s | ours / best of theirs | CPU us | ours / least of theirs |"
            .to_owned(),
        "|---|---|---|---|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    for (work, side) in sides(figures) {
        let (low, high) = (least(&side.figures), most(&side.figures));
        let middle = median(&side.figures);
        let seconds = work.per_run.map(|items| items / middle);
        let rate = work.operations.zip(seconds).map(|(operations, seconds)| operations / seconds / 1e9);
        rows.push(row(&[
            &work.work,
            &side.name,
            side.vectors.as_deref().unwrap_or_default(),
            &side.figures.len().to_string(),
            &format!("{middle:.1}"),
            &format!("{low:.1} to {high:.1}"),
            &work.unit,
            &seconds.map_or_else(String::new, |seconds| format!("{seconds:.4}")),
            &rate.map_or_else(String::new, |rate| format!("{rate:.1}")),
            &work.ratio(side, |side| &side.figures, Better::More),
            &number(&side.cpu_us, 1.0),
            &work.ratio(side, |side| &side.cpu_us, Better::Less),
        ]));
    }
    rows.join("\n")
}

fn memory(figures: &[Figures]) -> String {
    const MIB: f64 = 1024.0 * 1024.0;
    let mut rows = vec![
        "| work | side | peak MiB | ours / least of theirs | MiB above libraries and data | ours / least of theirs |"
            .to_owned(),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    for (work, side) in sides(figures) {
        rows.push(row(&[
            &work.work,
            &side.name,
            &number(&side.peak_memory, MIB),
            &work.ratio(side, |side| &side.peak_memory, Better::Less),
            &number(&side.peak_memory_above, MIB),
            &work.ratio(side, |side| &side.peak_memory_above, Better::Less),
        ]));
    }
    rows.join("\n")
}

/// Every side of every work, ours first.
fn sides(figures: &[Figures]) -> impl Iterator<Item = (&Figures, &Side)> {
    figures.iter().flat_map(|work| work.ours.iter().chain(&work.theirs).map(move |side| (work, side)))
}

impl Figures {
    /// The names of all sides, ours first.
    pub(super) fn sides(&self) -> Vec<String> {
        self.ours.iter().chain(&self.theirs).map(|side| side.name.clone()).collect()
    }

    /// How often our sides were measured; some of theirs may have dropped out.
    pub(super) fn rounds(&self) -> usize {
        self.ours.iter().map(|side| side.figures.len()).min().unwrap_or_default()
    }

    /// The ratio of one of our medians to the best of theirs; empty for their sides and where nothing was measured.
    fn ratio(&self, side: &Side, figures: impl Fn(&Side) -> &Vec<f64>, better: Better) -> String {
        let is_ours = self.ours.iter().any(|ours| std::ptr::eq(ours, side));
        if !is_ours || figures(side).is_empty() {
            return String::new();
        }
        let theirs = self.theirs.iter().filter(|side| !figures(side).is_empty());
        let by_median = |a: &&Side, b: &&Side| median(figures(a)).total_cmp(&median(figures(b)));
        let best = match better {
            Better::More => theirs.max_by(by_median),
            Better::Less => theirs.min_by(by_median),
        };
        let best =
            best.map(|best| format!("{:.2} ({})", median(figures(side)) / median(figures(best)), best.name));
        best.unwrap_or_else(|| "no baseline".to_owned())
    }
}

fn row(cells: &[&str]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// The median in a unit, or an empty text without figures.
fn number(values: &[f64], unit: f64) -> String {
    if values.is_empty() { String::new() } else { format!("{:.0}", median(values) / unit) }
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The largest of values that are not negative; 0 without any.
pub(super) fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn side(name: &str, figures: &[f64]) -> Side {
        Side { figures: figures.to_vec(), ..Side::new(name) }
    }

    fn step(ours: Vec<Side>, theirs: Vec<Side>) -> Figures {
        let (work, unit) = ("step".into(), "images/s".into());
        Figures { work, unit, per_run: Some(60.0), operations: Some(5e9), ours, theirs }
    }

    #[test]
    fn the_ratio_is_ours_to_the_best_of_theirs() {
        let theirs = vec![side("eager", &[20.0]), side("channels_last", &[40.0])];
        let table = tables(&[step(vec![side("flex", &[30.0])], theirs)]);
        let row =
            "| flex |  | 1 | 30.0 | 30.0 to 30.0 | images/s | 2.0000 | 2.5 | 0.75 (channels_last) |  |  |";
        assert!(table.contains(row), "{table}");
        assert!(!table.contains("MiB"), "{table}");
    }

    #[test]
    fn memory_is_compared_with_the_least_of_theirs_twice() {
        let mib = |value: f64| value * 1024.0 * 1024.0;
        let with = |name: &str, peak: f64, above: f64| {
            let measured = json!({ "peak_memory_bytes": mib(peak), "peak_memory_above_bytes": mib(above) });
            let mut side = Side::new(name);
            side.take(1.0, &measured, None).expect("no cap");
            side
        };
        let theirs = vec![with("eager", 1000.0, 400.0), with("channels_last", 900.0, 500.0)];
        let table = tables(&[step(vec![with("flex", 225.0, 200.0)], theirs)]);
        assert!(table.contains("| flex | 225 | 0.25 (channels_last) | 200 | 0.50 (eager) |"), "{table}");
    }

    #[test]
    fn wider_vectors_than_the_cap_are_an_error() {
        let measured = json!({ "vectors": "AVX2, Burn's operations AVX-512" });
        let error = Side::new("flex").take(1.0, &measured, Some(Cap::Avx2)).expect_err("AVX-512").to_string();
        assert_eq!(error, "flex uses AVX2, Burn's operations AVX-512, expected at most avx2");
        assert!(Side::new("flex").take(1.0, &json!({ "vectors": "AVX2" }), Some(Cap::Avx2)).is_ok());
    }

    #[test]
    fn work_without_a_baseline_says_so() {
        let table = tables(&[step(vec![side("flex", &[30.0])], vec![])]);
        assert!(table.contains("| no baseline |"), "{table}");
    }
}
