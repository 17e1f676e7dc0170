//! Raw figures, medians and ratios.

use serde::Serialize;

/// The figures of one piece of work: ours, and those of the rivals.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// The work, in words.
    pub(super) work: String,
    /// The unit; more is better.
    pub(super) unit: &'static str,
    /// How many of the unit's things one run makes: with it a rate becomes seconds. None where a run has no end of
    /// its own.
    pub(super) per_run: Option<f64>,
    /// Our sides.
    pub(super) ours: Vec<Side>,
    /// PyTorch's; empty if there is no baseline for this work.
    pub(super) theirs: Vec<Side>,
}

/// The figures of one side, one per round.
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    pub(super) name: String,
    pub(super) figures: Vec<f64>,
    /// Peak memory in bytes, where it was measured.
    pub(super) peak_memory: Option<f64>,
}

impl Side {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), figures: Vec::new(), peak_memory: None }
    }

    /// Takes what one round measured.
    pub(super) fn take(&mut self, figure: f64, peak_memory: Option<f64>) {
        self.figures.push(figure);
        self.peak_memory = [self.peak_memory, peak_memory].into_iter().flatten().reduce(f64::max);
    }

    fn median(&self) -> f64 {
        median(&self.figures)
    }
}

/// A Markdown table: medians, spread, and the ratio of each of our medians to that of the best rival.
pub(crate) fn table(figures: &[Figures]) -> String {
    let mut rows = vec![
        "| work | side | median | min to max | unit | seconds | ours / best of theirs | peak MiB |"
            .to_owned(),
        "|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    for work in figures {
        let best = work.theirs.iter().max_by(|a, b| a.median().total_cmp(&b.median()));
        let ratio = |side: &Side| match best {
            Some(best) => format!("{:.2} ({})", side.median() / best.median(), best.name),
            None => "no baseline".to_owned(),
        };
        rows.extend(work.ours.iter().map(|side| row(work, side, &ratio(side))));
        rows.extend(work.theirs.iter().map(|side| row(work, side, "")));
    }
    rows.join("\n")
}

fn row(work: &Figures, side: &Side, ratio: &str) -> String {
    let low = side.figures.iter().copied().fold(f64::INFINITY, f64::min);
    let high = side.figures.iter().copied().fold(0.0, f64::max);
    let seconds = work.per_run.map_or_else(String::new, |items| format!("{:.4}", items / side.median()));
    let peak = side.peak_memory.map_or_else(String::new, |bytes| format!("{:.0}", bytes / 1024.0 / 1024.0));
    let (what, unit, name, middle) = (&work.work, work.unit, &side.name, side.median());
    format!(
        "| {what} | {name} | {middle:.1} | {low:.1} to {high:.1} | {unit} | {seconds} | {ratio} | {peak} |"
    )
}

/// The middle value; of an even number the mean of the two in the middle; NaN of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(name: &str, figures: &[f64]) -> Side {
        Side { figures: figures.to_vec(), ..Side::new(name) }
    }

    fn step(ours: Vec<Side>, theirs: Vec<Side>) -> Figures {
        Figures { work: "step".into(), unit: "images/s", per_run: Some(60.0), ours, theirs }
    }

    #[test]
    fn the_median_ignores_outliers() {
        assert_eq!(median(&[1.0, 100.0, 3.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_ratio_is_ours_to_the_best_of_theirs() {
        let theirs = vec![side("eager", &[20.0]), side("channels_last", &[40.0])];
        let table = table(&[step(vec![side("flex", &[30.0])], theirs)]);
        let row = "| flex | 30.0 | 30.0 to 30.0 | images/s | 2.0000 | 0.75 (channels_last) |";
        assert!(table.contains(row), "{table}");
    }

    #[test]
    fn work_without_a_baseline_says_so() {
        let table = table(&[step(vec![side("flex", &[30.0])], vec![])]);
        assert!(table.contains("| no baseline |"), "{table}");
    }
}
