//! Raw figures, medians and ratios.

use serde::Serialize;

/// The figures of one piece of work: ours, and those of each rival.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// The work, in words.
    pub(super) work: String,
    /// The unit; more is better.
    pub(super) unit: &'static str,
    /// Ours first.
    pub(super) sides: Vec<Side>,
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

    pub(super) fn remember_peak(&mut self, bytes: Option<f64>) {
        self.peak_memory = [self.peak_memory, bytes].into_iter().flatten().reduce(f64::max);
    }
}

/// A Markdown table: medians, spread, and the ratio of our median to each rival's.
pub(crate) fn table(figures: &[Figures]) -> String {
    let mut rows = vec![
        "| work | side | median | min to max | unit | ours / theirs | peak MiB |".to_owned(),
        "|---|---|---|---|---|---|---|".to_owned(),
    ];
    for work in figures {
        let ours = work.sides.first().map_or(f64::NAN, |side| median(&side.figures));
        rows.extend(
            work.sides.iter().enumerate().map(|(index, side)| row(work, side, (index > 0).then_some(ours))),
        );
    }
    rows.join("\n")
}

fn row(work: &Figures, side: &Side, ours: Option<f64>) -> String {
    let middle = median(&side.figures);
    let low = side.figures.iter().copied().fold(f64::INFINITY, f64::min);
    let high = side.figures.iter().copied().fold(0.0, f64::max);
    let ratio = ours.map_or_else(String::new, |ours| format!("{:.2}", ours / middle));
    let peak = side.peak_memory.map_or_else(String::new, |bytes| format!("{:.0}", bytes / 1024.0 / 1024.0));
    let (what, unit, name) = (&work.work, work.unit, &side.name);
    format!("| {what} | {name} | {middle:.1} | {low:.1} to {high:.1} | {unit} | {ratio} | {peak} |")
}

/// The middle value; of an even number the mean of the two in the middle; NaN of none.
pub(super) fn median(values: &[f64]) -> f64 {
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

    #[test]
    fn the_median_ignores_outliers() {
        assert_eq!(median(&[1.0, 100.0, 3.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_ratio_is_ours_to_theirs() {
        let side = |name: &str, figures: &[f64]| Side { figures: figures.to_vec(), ..Side::new(name) };
        let figures = Figures {
            work: "step".into(),
            unit: "images/s",
            sides: vec![side("flex", &[30.0]), side("eager", &[20.0])],
        };
        let table = table(&[figures]);
        assert!(table.contains("| eager | 20.0 | 20.0 to 20.0 | images/s | 1.50 |"), "{table}");
    }
}
