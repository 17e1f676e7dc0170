//! What labels say of networks whose features are not made for neighbours: a linear classifier, and fine-tuning.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use burn_ssl::recipe::hash;
use serde::Deserialize;
use toml::Table;

use super::places;

/// Methods that are chosen and judged by a linear classifier, and fine-tuned: masked ones, which put what they know into patches, and
/// LeJEPA, whose authors evaluate linear probes.
pub(super) const BY_LABELS: [&str; 4] = ["mae", "simmim", "ijepa", "lejepa"];

/// How both sides fine-tune: xtask/accuracy/finetune.toml.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Finetuning {
    fraction: f64,
    epochs: u64,
    warmup_epochs: f64,
    batch_size: usize,
    lr: f64,
    weight_decay: f64,
    layer_decay: f64,
}

impl Finetuning {
    /// The file.
    pub(super) fn path() -> PathBuf {
        places::root().join(places::CHOICE).join("finetune.toml")
    }

    pub(super) fn read() -> Result<Self> {
        Ok(Self::table()?.try_into()?)
    }

    /// A hash of the numbers.
    pub(super) fn hash() -> Result<String> {
        Ok(hash(&Self::table()?))
    }

    fn table() -> Result<Table> {
        let path = Self::path();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        text.parse().with_context(|| format!("{} is not TOML", path.display()))
    }

    /// The options of `burn-ssl finetune`.
    pub(super) fn options(&self, pretrained: bool, is_vit: bool) -> Vec<String> {
        let Self { fraction, epochs, warmup_epochs, batch_size, weight_decay, layer_decay, .. } = self;
        // The program scales rates from a batch of 256.
        let lr = self.lr * 256.0 / *batch_size as f64;
        let mut options = vec![
            format!("--fraction={fraction}"),
            format!("--epochs={epochs}"),
            format!("--warmup-epochs={warmup_epochs}"),
            format!("--batch-size={batch_size}"),
            "--optimizer=adamw".to_owned(),
            format!("--lr={lr}"),
            format!("--weight-decay={weight_decay}"),
            "--no-decay=bias-norm-and-tokens".to_owned(),
            "--from-head-layer=0".to_owned(),
        ];
        if pretrained && is_vit {
            options.push(format!("--layer-decay={layer_decay}"));
        }
        options
    }
}

/// Whether a method is judged by labels.
pub(super) fn by_labels(method: &str) -> bool {
    BY_LABELS.contains(&method)
}

#[cfg(test)]
mod tests {
    use burn_ssl::registry::METHODS;

    use super::*;

    #[test]
    fn the_numbers_of_this_checkout_become_options() {
        let finetuning = Finetuning::read().expect("the file of this checkout");
        assert!(Finetuning::hash().is_ok_and(|hash| hash.len() == 16));
        let options = finetuning.options(true, true).join(" ");
        assert!(options.starts_with("--fraction=0.1 --epochs=30 "), "{options}");
        assert!(options.contains(" --lr=0.002 "), "0.001 for a batch of 128: {options}");
        assert!(options.ends_with(" --layer-decay=0.75"), "{options}");
        for (pretrained, is_vit) in [(true, false), (false, true)] {
            assert!(!finetuning.options(pretrained, is_vit).join(" ").contains("layer-decay"));
        }
    }

    #[test]
    fn every_method_by_labels_exists() {
        assert!(BY_LABELS.iter().all(|name| METHODS.iter().any(|method| method.name == *name)));
        assert!(by_labels("mae") && !by_labels("ibot"));
    }
}
