//! The curves of runs.

use std::collections::BTreeSet;

use ssl_report::{Curves, Line, Panel};

use crate::baselines::{KNN_TOP1, KNN_TOP1_PIXELS, LINEAR_TOP1, LINEAR_TOP1_PIXELS, LINEAR_TOP5};
use crate::compare::History;
use crate::self_check::{RANKME_TRAIN, VIEW_RETRIEVAL, VIEW_RETRIEVAL_CHANCE, VIEW_RETRIEVAL_IMAGES};

/// Metrics in the order of their panels, with their titles; those marked are shown at once.
const KNOWN: [(&str, &str, bool); 11] = [
    ("train_loss", "loss", true),
    (VIEW_RETRIEVAL, "views found, %", true),
    (KNN_TOP1, "k-NN accuracy, %", true),
    (LINEAR_TOP1, "linear accuracy, %", true),
    (RANKME_TRAIN, "RankMe of training images", true),
    ("knn_top5", "k-NN top-5 accuracy, %", false),
    (LINEAR_TOP5, "linear top-5 accuracy, %", false),
    ("rankme", "RankMe of test images", false),
    ("lr", "learning rate", false),
    ("grad_norm", "norm of the gradient", false),
    ("images_per_s", "images/s", false),
];

/// Numbers of a row that are no curve: they say where it stands, or never change.
const NO_CURVES: [&str; 10] = [
    KNN_TOP1_PIXELS,
    LINEAR_TOP1_PIXELS,
    "step",
    "epoch",
    VIEW_RETRIEVAL_CHANCE,
    VIEW_RETRIEVAL_IMAGES,
    "total_steps",
    "total_steps_before",
    "total_epochs",
    "total_epochs_before",
];

/// The curves of runs by name, over epochs if all of them say how many steps these have; none without any rows.
pub(super) fn of(runs: &[(String, &History)]) -> Option<Curves> {
    let of_epochs = runs.iter().all(|(_, history)| history.steps_per_epoch.is_some());
    let names: BTreeSet<&str> = runs.iter().flat_map(|(_, history)| history.names()).collect();
    let known = KNOWN.iter().filter(|(name, ..)| names.contains(name));
    let other =
        names.iter().filter(|name| !NO_CURVES.contains(name) && KNOWN.iter().all(|known| known.0 != **name));
    let other = other.map(|name| (*name, name.replace('_', " "), false));
    let panels = known.map(|&(name, title, main)| (name, title.to_owned(), main)).chain(other);
    let line = |(run, (_, history)): (usize, &(String, &History)), name: &str| {
        let unit = history.steps_per_epoch.filter(|_| of_epochs).unwrap_or(1) as f64;
        // The step of an evaluation may have two rows in a run that was resumed there.
        let mut points: Vec<(f64, f64)> =
            history.values(name).map(|(step, value)| (step as f64 / unit, value)).collect();
        points.dedup_by_key(|point| point.0);
        (!points.is_empty()).then(|| Line::new(run, points))
    };
    let panels: Vec<_> = panels
        .map(|(name, title, main)| {
            let lines = runs.iter().enumerate().filter_map(|run| line(run, name)).collect();
            Panel { title, main, lines }
        })
        .collect();
    let unit = if of_epochs { "epoch" } else { "step" }.to_owned();
    let runs = runs.iter().map(|(name, _)| name.clone()).collect();
    (!panels.is_empty()).then_some(Curves { unit, runs, panels })
}
