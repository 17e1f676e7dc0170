//! A comparison as text.

use std::fmt;

use ssl_files::{escaped, shown};

use super::{CompareReport, ComparedRun, OfSeeds, Spread};
use crate::columns;

pub(crate) const COLUMNS: [&str; 10] =
    ["run", "method", "seed", "epochs", "time", "loss", "views found %", "RankMe", "k-NN %", "linear %"];

impl fmt::Display for CompareReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![COLUMNS.map(str::to_owned).to_vec()];
        rows.extend(self.runs.iter().map(row));
        write!(f, "{}", columns(&rows))?;
        if !self.differences.is_empty() {
            write!(f, "\nkeys that differ, in the same order:\n")?;
            let row = |difference: &super::Difference| {
                let values = difference.values.iter().map(|value| value.clone().unwrap_or("-".into()));
                std::iter::once(format!("  {}", difference.key)).chain(values).collect::<Vec<String>>()
            };
            write!(f, "{}", columns(&self.differences.iter().map(row).collect::<Vec<_>>()))?;
        }
        for group in &self.seeds {
            write!(f, "\n{group}")?;
        }
        for note in self.runs.iter().flat_map(|run| &run.notes) {
            write!(f, "\nnot everything could be read: {}", escaped(note))?;
        }
        match &self.plot {
            Some(plot) => write!(f, "\ncurves: {}", shown(plot)),
            None => Ok(()),
        }
    }
}

pub(crate) fn row(run: &ComparedRun) -> Vec<String> {
    let ComparedRun { run: path, method, seed, finished, steps, epochs, seconds, .. } = run;
    let number = |value: Option<f64>, digits: usize| match value {
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    };
    let length = epochs.map_or(format!("{steps} steps"), |epochs| epochs.to_string());
    let state = if *finished { "" } else { ", unfinished" };
    let accuracy = |untrained: Option<f64>, trained: Option<f64>| match (untrained, trained) {
        (Some(untrained), Some(trained)) => format!("{untrained:.2} → {trained:.2}"),
        (_, trained) => number(trained, 2),
    };
    vec![
        shown(path),
        escaped(method),
        seed.to_string(),
        format!("{length}{state}"),
        seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.0} s")),
        number(run.train_loss, 4),
        number(run.view_retrieval, 1),
        number(run.rank(), 1),
        accuracy(run.knn_top1_untrained, run.knn_top1),
        accuracy(run.linear_top1_untrained, run.linear_top1),
    ]
}

impl fmt::Display for OfSeeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.runs.iter().map(|run| shown(run)).collect();
        write!(f, "{} differ in the seed alone:", names.join(", "))?;
        let values = [
            ("loss", self.train_loss, 4, ""),
            ("views found", self.view_retrieval, 1, " %"),
            ("RankMe", self.rankme, 1, ""),
            ("k-NN", self.knn_top1, 2, " %"),
            ("linear", self.linear_top1, 2, " %"),
            ("time", self.seconds, 0, " s"),
        ];
        let known = values.into_iter().filter_map(|(name, value, digits, unit)| {
            let Spread { mean, deviation } = value?;
            Some(format!(" {name} {mean:.digits$} ± {deviation:.digits$}{unit}"))
        });
        write!(f, "{} (mean and standard deviation)", known.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_other_seeds_are_summed_up_in_a_line() {
        let group = OfSeeds {
            runs: vec!["a".into(), "b".into()],
            train_loss: Some(Spread { mean: 4.25, deviation: 0.125 }),
            knn_top1: Some(Spread { mean: 55.0, deviation: 1.5 }),
            linear_top1: Some(Spread { mean: 65.0, deviation: 0.5 }),
            view_retrieval: None,
            rankme: None,
            seconds: Some(Spread { mean: 60.0, deviation: 2.0 }),
        };
        let expected = "a, b differ in the seed alone: loss 4.2500 ± 0.1250, k-NN 55.00 ± 1.50 %, linear 65.00 ± 0.50 %, time 60 ± 2 s (mean and standard deviation)";
        assert_eq!(group.to_string(), expected);
    }
}
