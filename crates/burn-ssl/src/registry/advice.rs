//! Which method suits which images, and what the methods cost.

use std::collections::BTreeSet;

use serde::Serialize;
use ssl_core::DeviceSpec;
use ssl_data::Dataset;
use ssl_encoders::EncoderConfig;
use ssl_tasks::images;

use super::{METHODS, MethodInfo};
use crate::recipe::{Batch, Chosen, Wanted};

/// The table that [`COSTS`] is from.
pub const COSTS_SOURCE: &str = "docs/benchmarks/2026-11-24-epyc-2core/README.md";
/// What [`COSTS`] are of.
pub const COSTS_OF: &str = "5,000 images of 32 pixels, ResNet-18 of width 16, batch 128, flex on 2 shared cores; measured with older \
                            kernels and recipes, so compare methods only";

/// Below this many images in a batch, there are too few others to compare an image with (our choice: the smallest batch in
/// SimCLR's figure 9 is 256).
const FEW_NEGATIVES: usize = 128;
/// On a CPU, runs are short, and there a smaller batch does (the recipe for photographs on a CPU has 64).
const FEW_NEGATIVES_ON_A_CPU: usize = 64;
/// Images of more pixels are photographs to us, as in the choice of recipes.
const SMALL: usize = 64;
/// Half of the queue of MoCo's ImageNet recipes: with fewer images, its keys would be those of more than two epochs.
const HALF_OF_LARGE_QUEUE: usize = 32_768;
/// The batch of a recipe where none is known.
const USUAL_BATCH: usize = 256;
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
    /// Number of classes, if every image has a label.
    pub classes: Option<usize>,
    /// Images in a batch.
    pub batch_size: usize,
    /// Number of images.
    pub images: usize,
    /// Their longer side in pixels, if known.
    pub pixels: Option<usize>,
    /// Whether the network is a ViT.
    pub vit: bool,
    /// Whether the device is a CPU.
    pub cpu: bool,
}

impl Situation {
    /// The situation of a set of images; batch and network are those of the recipe that would be chosen, unless asked for.
    pub fn of(images: &Dataset, model: Option<&str>, batch_size: Option<usize>, device: DeviceSpec) -> Self {
        let pixels = images::pixels(images);
        let classes = images.labels().map(|labels| labels.iter().collect::<BTreeSet<_>>().len());
        let (count, batch) = (images.len(), Batch::Fitting);
        let usual =
            Wanted { method: "simclr", model, image_size: None, pixels, batch, images: count, device };
        let usual = Chosen::by(usual).and_then(|chosen| chosen.draft.finish());
        let usual = usual.map_or(USUAL_BATCH, |recipe| recipe.schedule.batch_size);
        Self {
            classes,
            batch_size: batch_size.unwrap_or(usual).min(count),
            images: count,
            pixels,
            vit: model.is_some_and(|name| EncoderConfig::named(name).is_vit()),
            cpu: matches!(device, DeviceSpec::Flex | DeviceSpec::Tch),
        }
    }
}

/// A method to start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Recommended {
    /// The method.
    pub method: &'static str,
    /// Why, in one clause.
    pub why: &'static str,
}

/// The method to start with, of those in this build; none if it has none of those that could be recommended.
///
/// The rules and their sources are in `docs/plan.md`.
pub fn recommend(situation: Situation) -> Option<Recommended> {
    let Situation { classes, batch_size, images, pixels, vit, cpu } = situation;
    let few_negatives = batch_size < FEW_NEGATIVES;
    let photos = pixels.is_some_and(|pixels| pixels > SMALL);
    let labels = classes.is_some_and(|classes| classes > 1 && 2 * classes <= batch_size);
    let candidates = [
        (labels, "supcon", "every image has a label, and it is the method that learns from labels"),
        (vit && photos, "dino", "the network is a ViT and the images are photographs, for which it was made"),
        (vit, "moco-v3", "the network is a ViT and the images are small, for which it has a recipe"),
        (
            cpu && batch_size >= FEW_NEGATIVES_ON_A_CPU,
            "simclr",
            "it learns most in short runs, and runs on a CPU are short",
        ),
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
            photos && images >= HALF_OF_LARGE_QUEUE && batch_size <= USUAL_BATCH,
            "moco-v2",
            "these are many photographs, and its queue supplies more images to compare with than a batch that fits a GPU",
        ),
        (
            true,
            "simclr",
            "the batch has enough images to compare with; it has the fewest parts and does not collapse",
        ),
    ];
    let known = |name: &str| METHODS.iter().any(|method| method.name == name);
    let found = candidates.into_iter().find(|&(suits, method, _)| suits && known(method));
    found.map(|(_, method, why)| Recommended { method, why })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn situation(batch_size: usize, images: usize) -> Situation {
        Situation { classes: None, batch_size, images, pixels: None, vit: false, cpu: false }
    }

    fn method(situation: Situation) -> &'static str {
        recommend(situation).expect("a method").method
    }

    #[test]
    fn labels_batch_and_number_of_images_decide() {
        let of = |batch_size, images| method(situation(batch_size, images));
        assert_eq!(
            (of(256, 100), of(32, 50_000), of(32, 200), of(128, 200)),
            ("simclr", "moco-v2", "byol", "simclr")
        );
        let labelled = |classes| method(Situation { classes: Some(classes), ..situation(16, 100) });
        assert_eq!((labelled(8), labelled(9), labelled(1)), ("supcon", "byol", "byol"));
    }

    #[test]
    fn device_network_and_size_of_the_images_decide() {
        let on_cpu = Situation { cpu: true, ..situation(64, 5000) };
        assert_eq!((method(on_cpu), method(situation(64, 5000))), ("simclr", "moco-v2"));
        let photos = |images| Situation { pixels: Some(500), ..situation(256, images) };
        assert_eq!((method(photos(100_000)), method(photos(10_000))), ("moco-v2", "simclr"));
        let large_batch = Situation { batch_size: 1024, ..photos(100_000) };
        assert_eq!(method(large_batch), "simclr");
        let vit = |pixels| method(Situation { vit: true, pixels: Some(pixels), ..on_cpu });
        assert_eq!((vit(224), vit(32)), ("dino", "moco-v3"));
    }

    /// What was never trained here is not proposed, whatever its paper says.
    #[test]
    fn only_methods_that_were_measured_are_recommended() {
        let sizes =
            [16, 64, 256, 1024].into_iter().flat_map(|batch| [100, 5000, 100_000].map(|n| (batch, n)));
        for (batch_size, images) in sizes {
            for (pixels, vit) in [(None, false), (Some(32), true), (Some(500), false), (Some(500), true)] {
                for (cpu, classes) in [(false, None), (true, None), (false, Some(2))] {
                    let method = method(Situation { classes, batch_size, images, pixels, vit, cpu });
                    assert!(COSTS.iter().any(|cost| cost.method == method), "{method}");
                }
            }
        }
    }

    #[test]
    fn a_situation_is_read_off_the_images_the_device_and_the_recipe_they_get() {
        let grey = |side: usize| ssl_data::Image::new(side, side, vec![0; 3 * side * side]);
        let of = |side, count: i64, batch, device| {
            let labels = (0..count).map(|index| index % 2).collect();
            let images = Dataset::from_images((0..count).map(|_| grey(side)).collect(), Some(labels));
            Situation::of(&images, Some("vit-tiny"), batch, device)
        };
        let small = of(32, 200, None, DeviceSpec::Flex);
        let expected = Situation {
            classes: Some(2),
            batch_size: 128,
            images: 200,
            pixels: Some(32),
            vit: true,
            cpu: true,
        };
        assert_eq!(small, expected);
        assert_eq!(of(32, 10, Some(64), DeviceSpec::Wgpu(None)).batch_size, 10);
        assert!(!of(32, 10, None, DeviceSpec::Wgpu(None)).cpu);
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
