//! The rows of the table of steps in the documentation: work of known shapes, by name.

use anyhow::Result;

use super::super::row::{self, Choice, Row};

/// Heads, losses and optimizers are those of the recipes: SGD for SimCLR and BYOL, AdamW and the published decoder and head for MAE
/// and DINO.
static ROWS: [Row; 9] = [
    Row::new("simclr-vit-tiny", "simclr/cifar10", "vit-tiny", 224, 8, &["encoder.patch_size=16"]),
    Row::new("simclr-vit-small", "simclr/cifar10", "vit-small", 32, 32, &["encoder.patch_size=4"]),
    Row::new(
        "mae-vit-tiny",
        "mae/imagenet",
        "vit-tiny",
        224,
        16,
        &["encoder.patch_size=16", "mask.ratio=0.75"],
    ),
    Row::new("dino-vit-tiny", "dino/imagenet", "vit-tiny", 224, 4, &["encoder.patch_size=16"]),
    Row::new("simclr-resnet18-16", "simclr/cifar10", "resnet18", 32, 64, &["encoder.width=16"]),
    Row::new("simclr-resnet18-64", "simclr/cifar10", "resnet18", 32, 32, &["encoder.width=64"]),
    Row::new("simclr-convnext-tiny", "simclr/cifar10", "convnext-tiny", 64, 8, &[]),
    Row::new("simclr-resnet50", "simclr/cifar10", "resnet50", 224, 4, &[]),
    Row::new("byol-resnet18-16", "byol/cifar10", "resnet18", 32, 64, &["encoder.width=16"]),
];

/// Names of several rows.
static GROUPS: [(&str, Choice); 3] =
    [("all", |_| true), ("transformers", Row::is_transformer), ("convolutions", |row| !row.is_transformer())];

/// The rows of these names or groups, in the order of the table, each once.
pub(super) fn named(names: &[String]) -> Result<Vec<&'static Row>> {
    row::named(&ROWS, &GROUPS, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let rows = named(&names).expect("known names");
        rows.into_iter().map(|row| row.work().expect("a usable recipe").words()).collect()
    }

    #[test]
    fn the_rows_are_the_work_that_the_documentation_names() {
        assert_eq!(
            words(&["all"]),
            [
                "simclr, vit-tiny patches of 16, 224 px, batch 8",
                "simclr, vit-small patches of 4, 32 px, batch 32",
                "mae, vit-tiny patches of 16, 224 px, 75 % of patches hidden, batch 16",
                "dino, vit-tiny patches of 16, 2 x 224 + 8 x 96 px, batch 4",
                "simclr, resnet18 width 16, 32 px, batch 64",
                "simclr, resnet18 width 64, 32 px, batch 32",
                "simclr, convnext-tiny, 64 px, batch 8",
                "simclr, resnet50 width 64, 224 px, batch 4",
                "byol, resnet18 width 16, 32 px, batch 64",
            ]
        );
    }

    #[test]
    fn rows_have_names_and_groups() {
        let count = |names: &[&str]| words(names).len();
        assert_eq!((count(&["transformers"]), count(&["convolutions"])), (4, 5));
        assert_eq!(count(&["mae-vit-tiny", "transformers"]), 4, "each once");
        let mut names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
        let error = named(&["mae".to_owned()]).err().expect("no such row").to_string();
        assert!(error.starts_with("there is no row mae, expected one of all, transformers, "), "{error}");
    }
}
