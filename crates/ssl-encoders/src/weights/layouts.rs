//! Networks of ours under the names of others.

use std::collections::{BTreeMap, BTreeSet};

use super::convnext;

/// How others name a network that we have too.
struct Layout {
    /// Whose names they are.
    name: &'static str,
    /// Whether a network has them, by all its names.
    is_of: fn(&Names) -> bool,
    /// Our name for one of theirs; `None` where it is the same.
    own: fn(&str, &Names) -> Option<String>,
}

type Names = BTreeSet<String>;

/// All layouts, in the order in which they are looked for. A network may have several.
const LAYOUTS: [Layout; 7] = [
    Layout {
        name: "the official ConvNeXt",
        is_of: |names| convnext::is_official(names.iter()),
        own: |name, _| Some(convnext::own_name(name)),
    },
    Layout {
        name: "torchvision",
        is_of: |names| names.contains("conv_proj.weight"),
        own: |name, _| torchvision_vit(name),
    },
    Layout {
        name: "torchvision",
        is_of: |names| names.contains("features.0.0.weight"),
        own: |name, _| torchvision_convnext(name),
    },
    Layout {
        name: "SimCLR v2, converted",
        is_of: |names| names.contains("1.blocks.0.net.0.weight"),
        own: simclr_v2,
    },
    Layout { name: "lightly", is_of: is_sequential, own: |name, _| sequential(name) },
    Layout {
        name: "lightly",
        is_of: |names| names.iter().any(|name| name.contains(".shortcut.0.weight")),
        own: |name, _| name.contains(".shortcut.").then(|| name.replace(".shortcut.", ".downsample.")),
    },
    Layout {
        name: "DINOv2",
        is_of: |names| names.iter().any(|name| chunked(name).is_some()),
        own: |name, _| chunked(name),
    },
];

/// The tensors of a network under our names, and whose names they had, if they were others.
pub(super) fn translated<T>(mut tensors: BTreeMap<String, T>) -> (BTreeMap<String, T>, Option<&'static str>) {
    let mut found = None;
    for layout in &LAYOUTS {
        let names: Names = tensors.keys().cloned().collect();
        if !(layout.is_of)(&names) {
            continue;
        }
        let renamed = tensors.into_iter().map(|(name, tensor)| match (layout.own)(&name, &names) {
            Some(own) => (own, tensor),
            None => (name, tensor),
        });
        tensors = renamed.collect();
        found = found.or(Some(layout.name));
    }
    (tensors, found)
}

/// # Source
/// torchvision `vision_transformer.py`.
fn torchvision_vit(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        ["class_token"] => Some("cls_token".to_owned()),
        ["conv_proj", end] => Some(format!("patch_embed.proj.{end}")),
        ["encoder", "pos_embedding"] => Some("pos_embed".to_owned()),
        ["encoder", "ln", end] => Some(format!("norm.{end}")),
        ["heads", ..] => Some(format!("head.{}", parts[1..].join("."))),
        ["encoder", "layers", layer, ..] => {
            let index = layer.strip_prefix("encoder_layer_")?;
            Some(format!("blocks.{index}.{}", of_torchvision_block(&parts[3..].join("."))?))
        }
        _ => None,
    }
}

fn of_torchvision_block(name: &str) -> Option<String> {
    let names = [
        ("ln_1.", "norm1."),
        ("ln_2.", "norm2."),
        ("self_attention.in_proj_", "attn.qkv."),
        ("self_attention.out_proj.", "attn.proj."),
        ("mlp.0.", "mlp.fc1."),
        ("mlp.3.", "mlp.fc2."),
        // Files of before torchvision 0.13.
        ("mlp.linear_1.", "mlp.fc1."),
        ("mlp.linear_2.", "mlp.fc2."),
    ];
    names.into_iter().find_map(|(theirs, own)| Some(format!("{own}{}", name.strip_prefix(theirs)?)))
}

/// # Source
/// torchvision `convnext.py`: stages have odd numbers, the layers before them even ones.
fn torchvision_convnext(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        ["features", "0", layer, end] => Some(format!("stem.{layer}.{end}")),
        ["features", number, layer, end] if end != "layer_scale" => {
            Some(format!("stages.{}.downsample.{layer}.{end}", number.parse::<usize>().ok()? / 2))
        }
        ["features", number, block, ..] => {
            let of_block = match parts[3..] {
                ["layer_scale"] => "gamma".to_owned(),
                ["block", "0", end] => format!("conv_dw.{end}"),
                ["block", "2", end] => format!("norm.{end}"),
                ["block", "3", end] => format!("mlp.fc1.{end}"),
                ["block", "5", end] => format!("mlp.fc2.{end}"),
                _ => return None,
            };
            Some(format!("stages.{}.blocks.{block}.{of_block}", number.parse::<usize>().ok()? / 2))
        }
        ["classifier", "0", end] => Some(format!("head.norm.{end}")),
        ["classifier", layer, end] => Some(format!("head.fc.{layer}.{end}")),
        _ => None,
    }
}

/// The names of Separius/SimCLRv2-Pytorch, which converts the official files of SimCLR v1 and v2, without its `net.` at the start:
/// `0` is the stem, `1` to `4` are the stages. A batch norm is the first part of another module.
///
/// # Source
/// Separius/SimCLRv2-Pytorch, `resnet.py`.
fn simclr_v2(name: &str, names: &Names) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        ["0", layer, ..] => {
            let is_deep = names.contains("0.4.weight");
            let own = match (layer, is_deep) {
                ("0", false) | ("4", true) => "conv1",
                ("1", false) | ("5", true) => "bn1",
                ("0", true) => "deep_stem.0.0",
                ("1", true) => "deep_stem.0.1",
                ("2", true) => "deep_stem.1.0",
                ("3", true) => "deep_stem.1.1",
                _ => return None,
            };
            Some(format!("{own}.{}", parts.last()?))
        }
        [stage, "blocks", block, ..] => {
            Some(format!("layer{stage}.{block}.{}.{}", of_simclr_block(&parts[3..], names)?, parts.last()?))
        }
        _ => None,
    }
}

fn of_simclr_block(parts: &[&str], names: &Names) -> Option<&'static str> {
    let is_selective = names.contains("1.blocks.0.net.2.main_conv.0.weight");
    Some(match parts {
        ["projection", "shortcut", ..] => "downsample.0",
        ["projection", "bn", ..] => "downsample.1",
        ["net", "0", ..] => "conv1",
        ["net", "1", ..] => "bn1",
        ["net", "2", "main_conv", "0", ..] => "conv2",
        ["net", "2", "main_conv", ..] => "bn2",
        ["net", "2", "mixing_conv", "0", ..] => "attn.fc_reduce",
        ["net", "2", "mixing_conv", "1", ..] => "attn.bn",
        ["net", "2", "mixing_conv", ..] => "attn.fc_select",
        ["net", "3", ..] if is_selective => "conv3",
        ["net", "4", ..] if is_selective => "bn3",
        ["net", "2", ..] => "conv2",
        ["net", "3", ..] => "bn2",
        ["net", "4", ..] => "conv3",
        ["net", "5", ..] => "bn3",
        _ => return None,
    })
}

/// Whether these are the names of a `torch.nn.Sequential` of the children of torchvision's ResNet, which lightly's examples make:
/// convolution, norm, ReLU, max-pool, stages. Those of lightly's own ResNet, where the stages begin at 2, lack the ReLU and are
/// another network.
fn is_sequential(names: &Names) -> bool {
    ["0.weight", "4.0.conv1.weight"].iter().all(|name| names.contains(*name))
        && !names.contains("2.0.conv1.weight")
}

fn sequential(name: &str) -> Option<String> {
    let (index, rest) = name.split_once('.')?;
    match index.parse::<usize>().ok()? {
        0 => Some(format!("conv1.{rest}")),
        1 => Some(format!("bn1.{rest}")),
        index @ 4..8 => Some(format!("layer{}.{rest}", index - 3)),
        _ => None,
    }
}

/// Training checkpoints of DINOv2 have the blocks in chunks, which do not change their numbers: `blocks.0.3.norm1.weight`.
fn chunked(name: &str) -> Option<String> {
    let (chunk, block) = name.strip_prefix("blocks.")?.split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(chunk) && is_number(block.split('.').next()?)).then(|| format!("blocks.{block}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translation(theirs: &[&str]) -> (Vec<String>, Option<&'static str>) {
        let named = theirs.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect();
        let (tensors, layout) = translated::<String>(named);
        let own = |theirs: &&str| {
            let found = tensors.iter().find(|(_, name)| name == theirs);
            found.unwrap_or_else(|| panic!("{theirs} is lost: {tensors:?}")).0.clone()
        };
        (theirs.iter().map(own).collect(), layout)
    }

    #[track_caller]
    fn check(name: &str, pairs: &[(&str, &str)]) {
        let theirs: Vec<&str> = pairs.iter().map(|(theirs, _)| *theirs).collect();
        let (own, layout) = translation(&theirs);
        assert_eq!(layout, Some(name));
        assert_eq!(own, pairs.iter().map(|(_, own)| (*own).to_owned()).collect::<Vec<_>>());
    }

    #[test]
    fn a_vit_of_torchvision_has_timms_names() {
        check(
            "torchvision",
            &[
                ("conv_proj.weight", "patch_embed.proj.weight"),
                ("class_token", "cls_token"),
                ("encoder.pos_embedding", "pos_embed"),
                ("encoder.layers.encoder_layer_11.ln_1.weight", "blocks.11.norm1.weight"),
                ("encoder.layers.encoder_layer_0.self_attention.in_proj_bias", "blocks.0.attn.qkv.bias"),
                (
                    "encoder.layers.encoder_layer_0.self_attention.out_proj.weight",
                    "blocks.0.attn.proj.weight",
                ),
                ("encoder.layers.encoder_layer_0.mlp.3.weight", "blocks.0.mlp.fc2.weight"),
                ("encoder.layers.encoder_layer_0.mlp.linear_1.bias", "blocks.0.mlp.fc1.bias"),
                ("encoder.ln.bias", "norm.bias"),
                ("heads.head.weight", "head.head.weight"),
            ],
        );
    }

    #[test]
    fn a_convnext_of_torchvision_has_timms_names() {
        check(
            "torchvision",
            &[
                ("features.0.0.weight", "stem.0.weight"),
                ("features.0.1.bias", "stem.1.bias"),
                ("features.1.2.layer_scale", "stages.0.blocks.2.gamma"),
                ("features.1.0.block.0.weight", "stages.0.blocks.0.conv_dw.weight"),
                ("features.2.1.weight", "stages.1.downsample.1.weight"),
                ("features.7.0.block.5.bias", "stages.3.blocks.0.mlp.fc2.bias"),
                ("classifier.0.weight", "head.norm.weight"),
                ("classifier.2.weight", "head.fc.2.weight"),
            ],
        );
    }

    #[test]
    fn the_converted_simclr_v2_has_torchvisions_names() {
        check(
            "SimCLR v2, converted",
            &[
                ("0.0.weight", "conv1.weight"),
                ("0.1.0.running_mean", "bn1.running_mean"),
                ("1.blocks.0.projection.shortcut.weight", "layer1.0.downsample.0.weight"),
                ("1.blocks.0.projection.bn.0.bias", "layer1.0.downsample.1.bias"),
                ("1.blocks.0.net.0.weight", "layer1.0.conv1.weight"),
                ("4.blocks.2.net.3.0.weight", "layer4.2.bn2.weight"),
                ("4.blocks.2.net.4.weight", "layer4.2.conv3.weight"),
                ("4.blocks.2.net.5.0.running_var", "layer4.2.bn3.running_var"),
            ],
        );
        check(
            "SimCLR v2, converted",
            &[
                ("0.0.weight", "deep_stem.0.0.weight"),
                ("0.3.0.bias", "deep_stem.1.1.bias"),
                ("0.4.weight", "conv1.weight"),
                ("0.5.0.weight", "bn1.weight"),
                ("1.blocks.0.projection.shortcut.2.weight", "layer1.0.downsample.0.weight"),
                ("1.blocks.0.net.0.weight", "layer1.0.conv1.weight"),
                ("1.blocks.0.net.2.main_conv.0.weight", "layer1.0.conv2.weight"),
                ("1.blocks.0.net.2.main_conv.1.0.weight", "layer1.0.bn2.weight"),
                ("1.blocks.0.net.2.mixing_conv.0.weight", "layer1.0.attn.fc_reduce.weight"),
                ("1.blocks.0.net.2.mixing_conv.1.0.bias", "layer1.0.attn.bn.bias"),
                ("1.blocks.0.net.2.mixing_conv.2.weight", "layer1.0.attn.fc_select.weight"),
                ("1.blocks.0.net.3.weight", "layer1.0.conv3.weight"),
                ("1.blocks.0.net.4.0.weight", "layer1.0.bn3.weight"),
            ],
        );
    }

    #[test]
    fn the_children_of_a_resnet_in_a_row_get_their_names_back() {
        check(
            "lightly",
            &[
                ("0.weight", "conv1.weight"),
                ("1.running_var", "bn1.running_var"),
                ("4.0.conv1.weight", "layer1.0.conv1.weight"),
                ("7.1.bn2.bias", "layer4.1.bn2.bias"),
            ],
        );
        let another = ["0.weight", "2.0.conv1.weight", "4.0.conv1.weight"];
        assert_eq!(translation(&another), (another.map(str::to_owned).into(), None));
        check(
            "lightly",
            &[
                ("conv1.weight", "conv1.weight"),
                ("layer2.0.shortcut.0.weight", "layer2.0.downsample.0.weight"),
            ],
        );
    }

    #[test]
    fn blocks_in_chunks_keep_their_numbers() {
        check(
            "DINOv2",
            &[
                ("blocks.0.3.norm1.weight", "blocks.3.norm1.weight"),
                ("blocks.1.12.mlp.fc1.bias", "blocks.12.mlp.fc1.bias"),
                ("norm.bias", "norm.bias"),
            ],
        );
    }

    #[test]
    fn our_own_names_stay_as_they_are() {
        let own = [
            "blocks.0.norm1.weight",
            "conv1.weight",
            "layer1.0.downsample.0.weight",
            "stages.0.blocks.0.gamma",
            "stem.0.weight",
        ];
        assert_eq!(translation(&own), (own.map(str::to_owned).into(), None));
    }
}
