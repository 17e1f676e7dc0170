//! Metrics over the course of training.

use serde::Serialize;

/// Points that all lines of a page have together at most (our choice: about a megabyte of text).
const POINTS: usize = 40_000;

/// Points of a line that are always kept.
const FEWEST: usize = 100;

/// Points of a line that a screen can show.
const MOST: usize = 2000;

/// Metrics of some runs over the course of training.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Curves {
    /// What the horizontal axis counts: `epoch` or `step`.
    pub unit: String,
    /// The names of the runs.
    pub runs: Vec<String>,
    /// A panel for each metric, the most important first.
    pub panels: Vec<Panel>,
}

/// One metric of some runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Panel {
    /// The metric in words, with its unit.
    pub title: String,
    /// Whether it is shown at once, or only on request.
    pub main: bool,
    /// A line for each run that has the metric.
    pub lines: Vec<Line>,
}

/// One metric of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// The place of the run in [`Curves::runs`].
    pub run: usize,
    /// Epochs or steps, ascending.
    pub x: Vec<f64>,
    /// Values at these.
    pub y: Vec<f64>,
}

impl Line {
    /// The line of some points `(x, y)`.
    pub fn new(run: usize, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let (x, y) = points.into_iter().unzip();
        Self { run, x, y }
    }

    /// Means of neighbouring points, so that there are at most `count`. The first and the last point stay.
    fn thinned(&mut self, count: usize) {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let points = self.x.len();
        if points > count {
            let inner = points - 2;
            let size = inner.div_ceil(count - 2);
            let thin = |values: &[f64]| {
                let middle = values[1..=inner].chunks(size).map(mean);
                std::iter::once(values[0]).chain(middle).chain([values[points - 1]]).collect::<Vec<_>>()
            };
            (self.x, self.y) = (thin(&self.x), thin(&self.y));
        }
        self.x.iter_mut().chain(&mut self.y).for_each(|value| *value = rounded(*value));
    }
}

impl Curves {
    /// Few enough points for a page, with five digits.
    pub(crate) fn bounded(mut self) -> Self {
        let lines = self.panels.iter().map(|panel| panel.lines.len()).sum::<usize>().max(1);
        let count = (POINTS / lines).clamp(FEWEST, MOST);
        self.panels.iter_mut().flat_map(|panel| &mut panel.lines).for_each(|line| line.thinned(count));
        self
    }
}

/// A value to five digits.
pub(crate) fn rounded(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_thinned_and_keep_their_ends_and_their_mean() {
        let line = Line::new(0, (0..100_000).map(|step| (f64::from(step), f64::from(step % 2))));
        let panel = Panel { title: "loss".into(), main: true, lines: vec![line] };
        let curves = Curves { unit: "step".into(), runs: vec!["a".into()], panels: vec![panel] }.bounded();
        let line = &curves.panels[0].lines[0];
        assert!((1000..=MOST).contains(&line.x.len()), "{}", line.x.len());
        assert_eq!((line.x[0], line.x.last()), (0.0, Some(&99_999.0)));
        assert!(line.x.is_sorted() && line.y[1..line.y.len() - 1].iter().all(|y| (y - 0.5).abs() < 0.02));
    }

    #[test]
    fn values_keep_five_digits() {
        assert_eq!([0.123_456_789, 1234.5678, -3.0e-12].map(rounded), [0.12346, 1234.6, -3.0e-12]);
    }
}
