//! What the recipes say of their sources, as far as a program can hold them to it.

use burn_ssl::Recipe;
use burn_ssl::recipe::NamedRecipe;
use burn_ssl::recipe::RecipeName;

/// The recipes with a data set's name: the published ones. Short runs and the demo are tuned, and have no source to keep to.
fn published() -> impl Iterator<Item = (RecipeName, Recipe)> {
    let named =
        RecipeName::all().filter(|name| name.method().is_some() && !name.as_str().ends_with("-quick"));
    named.map(|name| (name, Recipe::named(name.as_str()).expect("a recipe of the library")))
}

/// The batch and the rate at its peak of each source; where our loss is a multiple of the source's, the rate is the source's
/// divided by it.
const RATES: &[(&str, usize, f64)] = &[
    ("simclr/cifar10", 512, 0.24),
    ("simclr/imagenet", 4096, 4.8),
    ("simclr-v2/cifar10", 512, 0.24),
    ("simclr-v2/imagenet", 4096, 6.4),
    ("dcl/cifar10", 512, 0.24),
    ("dcl/imagenet", 256, 1.2),
    ("dclw/cifar10", 512, 0.24),
    ("dclw/imagenet", 256, 1.2),
    ("moco-v1/cifar10", 512, 0.06),
    ("moco-v1/imagenet", 256, 0.03),
    ("moco-v2/cifar10", 512, 0.24 / 2.0),
    ("moco-v2/imagenet", 256, 0.03),
    ("moco-v3/cifar10", 256, 0.3),
    ("moco-v3/cifar10-vit", 4096, 2.4e-3),
    ("moco-v3/imagenet", 4096, 9.6),
    ("moco-v3/imagenet-vit", 4096, 2.4e-3),
    ("nnclr/cifar10", 256, 0.4),
    ("nnclr/imagenet", 4096, 4.8),
    ("byol/cifar10", 512, 0.24 / 4.0),
    ("byol/imagenet", 4096, 3.2),
    ("simsiam/cifar10", 512, 0.06),
    ("simsiam/imagenet", 512, 0.1),
    ("swav/cifar10", 512, 4e-3),
    ("swav/imagenet", 256, 0.6),
    ("dino/cifar10", 128, 0.06),
    ("dino/imagenet", 512, 1e-3),
    ("dino/imagenet-resnet50", 512, 0.06),
    ("barlow-twins/cifar10", 256, 0.3),
    ("barlow-twins/imagenet", 2048, 1.6),
    ("vicreg/cifar10", 256, 0.3),
    ("vicreg/imagenet", 2048, 1.6),
    ("tico/cifar10", 256, 0.3),
    ("tico/imagenet", 256, 0.2),
    ("lejepa/cifar10", 256, 2e-3),
    ("lejepa/imagenet", 256, 2e-3),
    ("mae/cifar10", 256, 1.5e-3),
    ("mae/imagenet", 4096, 2.4e-3),
    ("simmim/cifar10", 256, 1e-3),
    ("simmim/imagenet", 512, 1e-4),
    ("ijepa/cifar10", 256, 1e-3),
    ("ijepa/imagenet", 2048, 1e-3),
    ("msn/cifar10", 256, 1e-3),
    ("msn/imagenet", 1024, 1e-3),
    ("distill-features/cifar10", 128, 0.06),
    ("distill-features/imagenet", 1024, 1e-3),
    ("ibot/cifar10", 256, 5e-4),
    ("ibot/imagenet", 1024, 2e-3),
    ("dinov2/cifar10", 1024, 4e-3),
    ("dinov2/imagenet", 1024, 4e-3),
    ("supcon/cifar10", 1024, 0.5),
    ("supcon/imagenet", 1024, 0.5),
];

#[test]
fn the_rate_at_the_sources_batch_is_the_sources() {
    for (name, recipe) in published() {
        let row = RATES.iter().find(|(known, ..)| *known == name.as_str());
        let (_, batch, want) = row.unwrap_or_else(|| panic!("{name} has no row in RATES"));
        let got = recipe.optimizer.peak_lr(*batch);
        assert!((got / want - 1.0).abs() < 1e-9, "{name}: {got} at batch {batch}, expected {want}");
    }
}

/// Where our loss is a multiple of the source's, weight decay is multiplied too, so that rate times weight decay is the source's.
#[test]
fn a_loss_of_another_size_keeps_the_product_of_rate_and_weight_decay() {
    let scaled = ["moco-v2/cifar10", "byol/cifar10"];
    for (name, recipe) in published().filter(|(name, _)| scaled.contains(&name.as_str())) {
        // lightly's: 0.06 for 128 images, and 5e-4.
        let product = recipe.optimizer.peak_lr(128) * recipe.optimizer.weight_decay;
        assert!((product - 0.06 * 5e-4).abs() < 1e-12, "{name}: {product}");
    }
}

/// The methods whose source for ImageNet starts residual branches at zero: SimCLR `resnet.py`, BYOL by Haiku's `BlockV1`, MoCo v3
/// `main_moco.py`, SimSiam `builder.py`, Barlow Twins `main.py`, VICReg `main_vicreg.py`. The code of MoCo v1 and v2, SwAV, DINO and
/// SupCon does not, nor does lightly's, which is the source of DCL, DCLW and TiCo.
const ZERO_INIT: &[&str] = &["simclr", "simclr-v2", "byol", "moco-v3", "simsiam", "barlow-twins", "vicreg"];

#[test]
fn residual_branches_start_at_zero_where_the_source_has_it() {
    let photographs = published().filter(|(name, _)| name.as_str().contains("/imagenet"));
    for (name, recipe) in photographs.filter(|(_, recipe)| !recipe.encoder.is_vit()) {
        let expected = ZERO_INIT.contains(&recipe.method.as_str());
        assert_eq!(recipe.encoder.zero_init_residual, expected, "{name}");
    }
}

#[test]
fn a_rate_that_falls_to_a_thousandth_does() {
    for (name, recipe) in published() {
        let line = name.text().lines().find(|line| line.starts_with("lr_end"));
        let says = line.is_some_and(|line| line.contains("a thousandth of the peak"));
        let peak = recipe.optimizer.peak_lr(recipe.schedule.batch_size);
        let does = (recipe.schedule.lr_end / peak - 1e-3).abs() < 1e-9;
        assert!(says == does, "{name}: {peak} to {}", recipe.schedule.lr_end);
    }
}

#[test]
fn every_head_names_source_and_measurement() {
    for (name, _) in published() {
        let head: Vec<_> = name.text().lines().take_while(|line| line.starts_with('#')).collect();
        let has = |start: &str| head.iter().any(|line| line.starts_with(start));
        assert!(has("# Source: ") && has("# Measured: "), "{name}");
        // An accuracy is quoted with the run that had it, or said to be missing.
        let text: String = head.iter().map(|line| line.trim_start_matches('#')).collect();
        assert!(text.contains(" % ") || text.contains("No accuracy has been published"), "{name}");
    }
}

#[test]
fn every_recipe_says_what_it_was_made_for_and_has_the_schedule_of_that() {
    for name in RecipeName::all() {
        let recipe = Recipe::named(name.as_str()).expect("a recipe of the library");
        let made_for = recipe.made_for.unwrap_or_else(|| panic!("{name} does not say"));
        let schedule = &recipe.schedule;
        assert_eq!((made_for.epochs, made_for.batch_size), (schedule.epochs, schedule.batch_size), "{name}");
        let images = match name.as_str() {
            short if short == "demo" || short.ends_with("-quick") => 4000..=20_000,
            photos if photos.contains("/imagenet") => 1_281_167..=1_281_167,
            _ => 50_000..=50_000,
        };
        assert!(images.contains(&made_for.images), "{name}: {}", made_for.images);
    }
}
