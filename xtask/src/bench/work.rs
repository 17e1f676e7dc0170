//! One piece of work: a resolved recipe, from which both sides build the encoder or the whole method.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn_ssl::Recipe;
use burn_ssl::encoders::{EncoderConfig, Family};
use burn_ssl::recipe::{Draft, NamedDraft, NamedRecipe};
use serde_json::{Value, json};
use ssl_data::{Mask, MaskKey, PatchIndices};

/// A step or an encoder to time.
#[derive(Debug)]
pub(super) struct Work {
    /// The name of its files.
    name: String,
    recipe: Recipe,
}

/// What is changed in a recipe.
#[derive(Clone, Copy)]
pub(super) struct Changes<'a> {
    pub(super) model: &'a str,
    /// Width and height of images in pixels; smaller crops are scaled with them.
    pub(super) image_size: usize,
    pub(super) batch: usize,
    /// Keys and values, such as `encoder.width=16`.
    pub(super) set: &'a [String],
}

/// The files of a piece of work.
pub(super) struct Files {
    /// The recipe for our side, TOML.
    pub(super) ours: String,
    /// The same for PyTorch's, JSON.
    pub(super) theirs: String,
    /// The masks that our side draws, JSON.
    pub(super) masks: Option<String>,
}

impl Work {
    /// The built-in recipe `base` with changes.
    pub(super) fn of(name: &str, base: &str, changes: Changes<'_>) -> Result<Self> {
        let recipe = resolved(base, changes).with_context(|| format!("{name}, made from {base}"))?;
        Ok(Self { name: name.to_owned(), recipe })
    }

    /// Whether the encoder is a ViT.
    pub(super) fn is_transformer(&self) -> bool {
        self.recipe.encoder.family() == Some(Family::Vit)
    }

    /// Images of a batch.
    pub(super) fn batch(&self) -> usize {
        self.recipe.schedule.batch_size
    }

    /// What its step is, in words.
    pub(super) fn words(&self) -> String {
        let recipe = &self.recipe;
        let sizes = in_words(&recipe.views.iter().map(|view| (view.count, view.size)).collect::<Vec<_>>());
        let hidden = recipe.mask.as_ref().map_or_else(String::new, |mask| match mask.seen() {
            seen if seen < 1.0 => format!(", {:.0} % of patches hidden", 100.0 * (1.0 - seen)),
            _ => format!(", {} masks", mask.kind()),
        });
        format!("{}, {}, {sizes} px{hidden}, batch {}", recipe.method, self.encoder(), self.batch())
    }

    /// What embedding a batch is, in words.
    pub(super) fn words_of_embedding(&self) -> String {
        format!("{}, {} px, batch {}", self.encoder(), self.recipe.data.image_size, self.batch())
    }

    /// Name and shape of the encoder.
    fn encoder(&self) -> String {
        let encoder = &self.recipe.encoder;
        let shape = match (encoder.family(), encoder.dims) {
            (Some(Family::Vit), _) => {
                format!(" patches of {}", encoder.patch_pixels().unwrap_or_default())
            }
            (Some(Family::ConvNext), Some([width, ..])) => format!(" width {width}"),
            (Some(Family::ResNet), _) => format!(" width {}", encoder.width),
            _ => String::new(),
        };
        format!("{}{shape}", encoder.name)
    }

    /// The variants of PyTorch that can do it. Methods with masks take tokens from the encoder by functions of their own, which
    /// `amp` of our script does not reach.
    pub(super) fn variants<'a>(&self, asked: &[&'a str]) -> Vec<&'a str> {
        let has_masks = self.recipe.mask.is_some();
        let works = |variant: &&&str| {
            let works = !(has_masks && variant.split('+').any(|word| word == "amp"));
            if !works {
                eprintln!(
                    "torch {variant} is left out of {}: it does not reach methods with masks",
                    self.name
                );
            }
            works
        };
        asked.iter().filter(works).copied().collect()
    }

    /// Writes its files.
    pub(super) fn save(&self, folder: &Path) -> Result<Files> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let write = |ending: &str, text: String| -> Result<String> {
            let path: PathBuf = folder.join(format!("{}{ending}", self.name));
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(path.display().to_string())
        };
        let masks = self.masks()?.map(|masks| write("-masks.json", masks.to_string())).transpose()?;
        Ok(Files {
            ours: write(".toml", self.recipe.to_toml()?)?,
            theirs: write(".json", serde_json::to_string_pretty(&self.recipe)? + "\n")?,
            masks,
        })
    }

    /// The masks of the first batch, as the example `step_time` draws them, in the layout of the conformance suite: those of several
    /// views stand one after another.
    fn masks(&self) -> Result<Option<Value>> {
        let Some(masks) = self.recipe.masks()? else { return Ok(None) };
        let samples: Vec<u64> = (0..self.batch() as u64).collect();
        let drawn = masks.draw(MaskKey { seed: self.recipe.seed, step: 0 }, &samples);
        Ok(Some(in_suite(drawn.views.into_iter().flatten())))
    }
}

fn resolved(base: &str, changes: Changes<'_>) -> Result<Recipe> {
    let mut draft = Draft::named(base)?;
    draft.set_model(changes.model)?;
    if EncoderConfig::named(changes.model).family() != Some(Family::Vit) {
        draft.set("encoder.stem", "auto")?;
    }
    for assignment in changes.set {
        draft.assign(assignment)?;
    }
    // Small crops become whole patches, whose size is known by now.
    draft.set_image_size(changes.image_size)?;
    draft.set("schedule.batch_size", changes.batch as i64)?;
    let mut recipe = draft.finish()?;
    // The twins have none, and the work would differ.
    recipe.encoder.drop_path = recipe.encoder.drop_path.map(|_| 0.0);
    Ok(recipe.resolved()?)
}

/// `32` where all views have one size, else `2 x 224 + 8 x 96`.
fn in_words(views: &[(usize, usize)]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &(count, size) in views {
        match runs.last_mut() {
            Some((sum, last)) if *last == size => *sum += count,
            _ => runs.push((count, size)),
        }
    }
    match runs.as_slice() {
        [(_, size)] => size.to_string(),
        runs => {
            let runs: Vec<String> = runs.iter().map(|(count, size)| format!("{count} x {size}")).collect();
            runs.join(" + ")
        }
    }
}

fn in_suite(masks: impl Iterator<Item = Mask>) -> Value {
    let (mut keep, mut hidden): (Vec<Vec<i64>>, Vec<Vec<i64>>) = (Vec::new(), Vec::new());
    for mask in masks {
        match mask {
            Mask::Keep(kept) => keep.extend(of_block(&kept, 0)),
            Mask::Replace(mask) => {
                let numbers = |image: usize| -> Vec<i64> {
                    mask.image(image).iter().map(|&is_hidden| i64::from(is_hidden)).collect()
                };
                hidden.extend((0..mask.len()).map(numbers));
            }
            Mask::Predict { context, targets } => {
                let blocks: Vec<_> = (0..targets.blocks).map(|block| of_block(&targets, block)).collect();
                return json!({ "context": [of_block(&context, 0)], "target": blocks });
            }
        }
    }
    if hidden.is_empty() { json!({ "keep": keep }) } else { json!({ "mask": hidden }) }
}

/// One list of every image, `[batch, patch]`.
fn of_block(lists: &PatchIndices, block: usize) -> Vec<Vec<i64>> {
    (0..lists.len()).map(|image| lists.list(image, block).to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(base: &str, model: &str, set: &[&str]) -> Work {
        let set: Vec<String> = set.iter().map(|text| (*text).to_owned()).collect();
        let changes = Changes { model, image_size: 32, batch: 4, set: &set };
        Work::of("work", base, changes).expect("a usable recipe")
    }

    #[test]
    fn the_words_say_what_is_measured() {
        let words = |base, model, set: &[&str]| work(base, model, set).words();
        assert_eq!(
            words("simclr/cifar10", "resnet18", &["encoder.width=16"]),
            "simclr, resnet18 width 16, 32 px, batch 4"
        );
        assert_eq!(
            words("mae/cifar10", "vit-tiny", &[]),
            "mae, vit-tiny patches of 4, 32 px, 75 % of patches hidden, batch 4"
        );
        let vit = work("mae/cifar10", "vit-tiny", &[]).words_of_embedding();
        assert_eq!(vit, "vit-tiny patches of 4, 32 px, batch 4");
        assert_eq!(words("simclr/cifar10", "convnext-tiny", &[]), "simclr, convnext-tiny, 32 px, batch 4");
        assert_eq!(in_words(&[(1, 224), (1, 224), (8, 96)]), "2 x 224 + 8 x 96");
    }

    #[test]
    fn both_sides_get_one_recipe_and_the_same_masks() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mae = work("mae/cifar10", "vit-tiny", &[]);
        let files = mae.save(folder.path()).expect("writable");
        let ours = Draft::open(&files.ours).and_then(Draft::finish).and_then(Recipe::resolved);
        assert_eq!(ours.as_ref(), Ok(&mae.recipe), "resolving it again changes nothing");
        let read = |path: &str| -> Value {
            serde_json::from_str(&fs::read_to_string(path).expect("written")).expect("JSON")
        };
        assert_eq!(read(&files.theirs)["schedule"]["batch_size"], 4);
        let kept = read(&files.masks.expect("MAE hides patches"))["keep"].clone();
        let lists = kept.as_array().expect("a list for every image");
        assert_eq!(lists.len(), 4);
        assert!(lists.iter().all(|list| list.as_array().is_some_and(|list| list.len() == 16)));
        let simclr = work("simclr/cifar10", "resnet18", &[]).save(folder.path()).expect("writable");
        assert!(simclr.masks.is_none());
    }

    #[test]
    fn masks_have_the_layout_of_the_suite() {
        let masks = |base: &str| work(base, "vit-tiny", &[]).masks().expect("usable").expect("masks");
        let lengths = |value: &Value| -> Vec<usize> {
            let mut lengths = Vec::new();
            let mut value = value;
            while let Some(list) = value.as_array() {
                lengths.push(list.len());
                let Some(first) = list.first() else { break };
                value = first;
            }
            lengths
        };
        let of_ibot = masks("ibot/cifar10");
        assert_eq!(lengths(&of_ibot["mask"]), [8, 64], "two views of four images, 64 patches");
        let of_ijepa = masks("ijepa/cifar10");
        assert_eq!(lengths(&of_ijepa["context"])[..2], [1, 4]);
        assert_eq!(lengths(&of_ijepa["target"])[1], 4);
    }

    #[test]
    fn variants_that_do_not_reach_tokens_are_left_out() {
        let asked = ["eager", "channels_last+malloc", "compile+malloc", "amp"];
        assert_eq!(work("mae/cifar10", "vit-tiny", &[]).variants(&asked), asked[..3]);
        assert_eq!(work("simclr/cifar10", "vit-tiny", &[]).variants(&asked), asked);
    }
}
