//! Which method suits which images, and what the methods cost.

use serde::Serialize;

use super::{METHODS, MethodInfo};

/// The table that [`COSTS`] is from.
pub const COSTS_SOURCE: &str = "docs/benchmarks/2026-11-24-epyc-2core/README.md";
/// What [`COSTS`] are of.
pub const COSTS_OF: &str =
    "5,000 images of 32 pixels, ResNet-18 of width 16, batch 128, flex on 2 shared cores";

/// Below this many images in a batch, there are too few others to compare an image with (our choice: the smallest batch in
/// SimCLR's figure 9 is 256).
const FEW_NEGATIVES: usize = 128;
/// Images that the queue of the CIFAR recipes of MoCo holds: a smaller set would fill it with the same images again and again.
const QUEUE: usize = 4096;

/// What a method costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// The method.
    pub method: &'static str,
    /// Seconds of an epoch.
    pub epoch_seconds: u32,
    /// Peak memory of the process in MB.
    pub peak_mb: u32,
}

const fn cost(method: &'static str, epoch_seconds: u32, peak_mb: u32) -> Cost {
    Cost { method, epoch_seconds, peak_mb }
}

/// Seconds and memory as measured on a small task: enough to compare methods, not to predict a run. Newer methods are missing
/// until all are measured again.
pub const COSTS: [Cost; 11] = [
    cost("simclr", 30, 673),
    cost("simclr-v2", 34, 671),
    cost("moco-v1", 40, 714),
    cost("moco-v2", 42, 713),
    cost("moco-v3", 27, 732),
    cost("byol", 40, 734),
    cost("simsiam", 53, 760),
    cost("swav", 33, 679),
    cost("dino", 39, 771),
    cost("barlow-twins", 49, 780),
    cost("supcon", 32, 677),
];

impl MethodInfo {
    /// What the method costs, if it was measured.
    pub fn cost(&self) -> Option<Cost> {
        COSTS.into_iter().find(|cost| cost.method == self.name)
    }
}

/// What is known of a training before it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Situation {
    /// Whether every image has a label.
    pub labels: bool,
    /// Images in a batch.
    pub batch_size: usize,
    /// Number of images.
    pub images: usize,
}

/// A method to start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// The method.
    pub method: &'static str,
    /// Why, in one clause.
    pub why: &'static str,
}

/// The method to start with, of those in this build; none if it has none of those that could be recommended.
///
/// The reasons are those of `docs/methods.md`, section "Choosing".
pub fn recommend(situation: Situation) -> Option<Advice> {
    let Situation { labels, batch_size, images } = situation;
    let few_negatives = batch_size < FEW_NEGATIVES;
    let candidates = [
        (labels, "supcon", "every image has a label, and it is the method that learns from labels"),
        (
            few_negatives && images > QUEUE,
            "moco-v2",
            "its queue supplies the images to compare with that a small batch lacks",
        ),
        (
            few_negatives,
            "byol",
            "it compares an image with no others, of which a small batch of few images has too few",
        ),
        (
            true,
            "simclr",
            "the batch has enough images to compare with; it has the fewest parts and does not collapse",
        ),
    ];
    let known = |name: &str| METHODS.iter().any(|method| method.name == name);
    let found = candidates.into_iter().find(|&(suits, method, _)| suits && known(method));
    found.map(|(_, method, why)| Advice { method, why })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn method(labels: bool, batch_size: usize, images: usize) -> &'static str {
        recommend(Situation { labels, batch_size, images }).expect("a method").method
    }

    #[test]
    fn labels_batch_and_number_of_images_decide() {
        assert_eq!(method(true, 16, 100), "supcon");
        assert_eq!(method(false, 256, 100), "simclr");
        assert_eq!(method(false, 32, 50_000), "moco-v2");
        assert_eq!(method(false, 32, 200), "byol");
        assert_eq!(method(false, 128, 200), "simclr");
    }

    #[test]
    fn the_costs_of_methods_are_those_of_the_archived_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(COSTS_SOURCE);
        let table = fs::read_to_string(path).expect("the archived table");
        for (place, cost) in COSTS.iter().enumerate() {
            let name = cost.method;
            assert!(COSTS[..place].iter().all(|other| other.method != name), "{name} stands there twice");
            let row = table
                .lines()
                .find(|line| line.starts_with(&format!("| `{name}` |")) && line.matches('|').count() == 9);
            let row = row.unwrap_or_else(|| panic!("{name} has no row"));
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let archived = [cells[7], cells[8]].map(|cell| cell.parse::<u32>().expect("a number"));
            assert_eq!([cost.epoch_seconds, cost.peak_mb], archived, "{name}");
        }
    }

    #[test]
    fn a_method_that_was_not_measured_has_no_costs() {
        for method in METHODS {
            let is_measured = COSTS.iter().any(|cost| cost.method == method.name);
            assert_eq!(method.cost().is_some(), is_measured, "{}", method.name);
        }
        let known = |cost: &Cost| METHODS.iter().any(|method| method.name == cost.method);
        assert!(COSTS.iter().filter(|cost| known(cost)).count() > 0, "no cost is of a method of this build");
    }
}
