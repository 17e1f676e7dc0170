//! The network that a file of another library holds, from the names and shapes of its tensors.

use std::collections::BTreeMap;
use std::path::Path;

use super::names::Group;
use super::{Artifact, WeightsError, names, read};
use crate::{ConvNextConfig, EncoderConfig, StemChoice};

type Shapes = BTreeMap<String, Vec<usize>>;

/// The configuration of the encoder in a file of weights: as burn-ssl wrote it there, otherwise as the names and shapes of
/// the tensors tell. None if they are of no named model, such as a ResNet of another depth.
///
/// # Errors
/// If the file cannot be read.
pub fn describe(path: &Path) -> Result<Option<EncoderConfig>, WeightsError> {
    if let Some(artifact) = Artifact::read(path)? {
        return Ok(Some(artifact.encoder));
    }
    Ok(names::groups(read::shapes(path)?).filter_map(|group| network(&group)).last())
}

/// Height and width of the images that the ViT in a file of weights was made for, in pixels: as burn-ssl wrote it there,
/// otherwise as its position embedding tells. None for a network that takes images of any size, such as a ResNet.
///
/// # Errors
/// If the file cannot be read.
pub fn image_size(path: &Path) -> Result<Option<usize>, WeightsError> {
    if let Some(artifact) = Artifact::read(path)? {
        return Ok(Some(artifact.preprocessing.size));
    }
    Ok(names::groups(read::shapes(path)?).filter_map(|group| vit_pixels(&group.tensors)).last())
}

fn network(group: &Group<Vec<usize>>) -> Option<EncoderConfig> {
    let shapes = &group.tensors;
    let found = resnet(shapes).or_else(|| vit(shapes)).or_else(|| convnext(shapes))?;
    // The tensors do not tell the number of heads, and MoCo v3's ViT-S has twice as many as others (official `vits.py`).
    let heads = (found.name == "vit-small" && group.prefix.contains("base_encoder.")).then_some(12);
    Some(EncoderConfig { heads: heads.or(found.heads), ..found })
}

fn vit_pixels(shapes: &Shapes) -> Option<usize> {
    let &[_, _, patch, _] = &shapes.get("patch_embed.proj.weight")?[..] else { return None };
    let &[_, entries, _] = &shapes.get("pos_embed")?[..] else { return None };
    // The class token has an entry too, except in timm's ViTs with registers. No number is a square and one more than a square.
    let side =
        [entries, entries.saturating_sub(1)].into_iter().find(|places| places.isqrt().pow(2) == *places)?;
    Some(side.isqrt() * patch)
}

fn resnet(shapes: &Shapes) -> Option<EncoderConfig> {
    let first = shapes.get("conv1.weight")?;
    let (&[width, _, kernel, _], inner) = (&first[..], shapes.get("layer1.0.conv1.weight")?) else {
        return None;
    };
    let blocks =
        ["layer1.", "layer2.", "layer3.", "layer4."].map(|layer| blocks(shapes, layer, ".conv1.weight"));
    let name = match (blocks, shapes.contains_key("layer1.0.conv3.weight")) {
        ([2, 2, 2, 2], false) => "resnet18",
        ([3, 4, 6, 3], false) => "resnet34",
        ([3, 4, 6, 3], true) => "resnet50",
        ([3, 4, 23, 3], true) => "resnet101",
        ([3, 8, 36, 3], true) => "resnet152",
        _ => return None,
    };
    // Those of torchvision's wide ResNets are wider inside of the blocks alone.
    let is_ours = inner.first() == Some(&width);
    let is_small = kernel == 3 && !shapes.contains_key("deep_stem.0.0.weight");
    let stem = if is_small { StemChoice::Cifar } else { StemChoice::ImageNet };
    let selective_kernel = shapes.contains_key("layer1.0.attn.fc_select.weight");
    is_ours.then(|| EncoderConfig { width, stem, selective_kernel, ..EncoderConfig::named(name) })
}

fn vit(shapes: &Shapes) -> Option<EncoderConfig> {
    let &[dim, _, patch, _] = &shapes.get("patch_embed.proj.weight")?[..] else { return None };
    let name = match (dim, blocks(shapes, "blocks.", ".norm1.weight")) {
        (192, 12) => "vit-tiny",
        (384, 12) => "vit-small",
        (768, 12) => "vit-base",
        (1024, 24) => "vit-large",
        _ => return None,
    };
    let registers = shapes.get("register_tokens").and_then(|shape| shape.get(1)).copied();
    Some(EncoderConfig {
        patch_size: Some(patch),
        class_token: (!shapes.contains_key("cls_token")).then_some(false),
        registers,
        // The values are those of the file.
        layer_scale: shapes.contains_key("blocks.0.ls1.gamma").then_some(1.0),
        ..EncoderConfig::named(name)
    })
}

/// ConvNeXt V2 has no `gamma`.
fn convnext(shapes: &Shapes) -> Option<EncoderConfig> {
    let &[_, _, patch, _] = &shapes.get("stem.0.weight")?[..] else { return None };
    let stages = [0, 1, 2, 3].map(|stage| {
        let width = shapes.get(&format!("stages.{stage}.blocks.0.gamma"))?.first()?;
        Some((blocks(shapes, &format!("stages.{stage}.blocks."), ".gamma"), *width))
    });
    let [Some(first), Some(second), Some(third), Some(last)] = stages else { return None };
    let (depths, dims) = ([first.0, second.0, third.0, last.0], [first.1, second.1, third.1, last.1]);
    let stem = match patch {
        2 => StemChoice::Cifar,
        4 => StemChoice::ImageNet,
        _ => return None,
    };
    let models = [
        ("convnext-base", ConvNextConfig::base()),
        ("convnext-small", ConvNextConfig::small()),
        ("convnext-tiny", ConvNextConfig::tiny()),
    ];
    let exact = models.iter().find(|(_, model)| (model.depths, model.dims) == (depths, dims));
    // One of other widths is called after the model of its depths.
    let (name, model) =
        exact.or_else(|| models.iter().rfind(|(_, model)| model.depths == depths)).unwrap_or(&models[2]);
    Some(EncoderConfig {
        stem,
        depths: (model.depths != depths).then_some(depths),
        dims: (model.dims != dims).then_some(dims),
        ..EncoderConfig::named(*name)
    })
}

/// How many blocks have a tensor of that name.
fn blocks(shapes: &Shapes, before: &str, after: &str) -> usize {
    let index = |name: &String| name.strip_prefix(before)?.strip_suffix(after)?.parse::<usize>().ok();
    shapes.keys().filter_map(index).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::{DeviceSpec, Init, named};

    /// What is found in a file of the plain tensors of a network, under a prefix.
    fn found(config: &EncoderConfig, prefix: &str) -> Option<EncoderConfig> {
        in_file(config, prefix, |path| describe(path).expect("readable"))
    }

    /// What is said of a file of the plain tensors of a network for images of 32 pixels.
    fn in_file<T>(config: &EncoderConfig, prefix: &str, say: impl Fn(&Path) -> T) -> T {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("theirs.safetensors");
        let mut init = Init::new(0, &DeviceSpec::Flex.open().expect("flex is compiled in"));
        let encoder = config.init(32, &mut init).expect("usable");
        let tensors = named::collect(&encoder).into_iter().map(|(name, tensor)| {
            let values = tensor.try_to_vec::<f32>().expect("floats");
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (format!("{prefix}{name}"), tensor.shape().to_vec(), bytes)
        });
        let tensors: Vec<_> = tensors.collect();
        let views = tensors.iter().map(|(name, shape, bytes)| {
            let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
            (name.clone(), view.expect("as many values as the shape has"))
        });
        safetensors::serialize_to_file(views, None, &path).expect("writable");
        say(&path)
    }

    #[test]
    fn the_images_of_a_vit_are_as_large_as_its_positions_say() {
        let size = |config: &EncoderConfig| in_file(config, "", |path| image_size(path).expect("readable"));
        let vit = EncoderConfig { patch_size: Some(8), ..EncoderConfig::named("vit-tiny") };
        assert_eq!(size(&vit), Some(32));
        assert_eq!(size(&EncoderConfig { class_token: Some(false), ..vit }), Some(32));
        assert_eq!(size(&EncoderConfig { width: 2, ..EncoderConfig::named("resnet18") }), None);
    }

    #[test]
    fn depth_width_and_stem_of_a_resnet_are_found_under_a_prefix() {
        for (name, width, stem, prefix) in [
            ("resnet18", 4, StemChoice::Cifar, ""),
            ("resnet34", 2, StemChoice::ImageNet, "module.encoder_q."),
            ("resnet50", 2, StemChoice::ImageNet, "backbone."),
        ] {
            let config = EncoderConfig { width, stem, ..EncoderConfig::named(name) };
            assert_eq!(found(&config, prefix), Some(config));
        }
    }

    #[test]
    fn selective_kernels_and_the_heads_of_moco_v3_are_found() {
        let selective = EncoderConfig {
            width: 2,
            stem: StemChoice::ImageNet,
            selective_kernel: true,
            ..EncoderConfig::named("resnet50")
        };
        assert_eq!(found(&selective, "resnet."), Some(selective));
        let vit = EncoderConfig { patch_size: Some(16), ..EncoderConfig::named("vit-small") };
        let moco = EncoderConfig { heads: Some(12), ..vit.clone() };
        assert_eq!(found(&vit, "state_dict.module.base_encoder."), Some(moco));
        assert_eq!(found(&vit, ""), Some(vit));
    }

    #[test]
    fn size_and_patches_of_a_vit_are_found() {
        let config = EncoderConfig { patch_size: Some(8), ..EncoderConfig::named("vit-tiny") };
        assert_eq!(found(&config, "teacher.backbone."), Some(config));
    }

    #[test]
    fn depths_widths_and_stem_of_a_convnext_are_found() {
        let named = |name| EncoderConfig { stem: StemChoice::Cifar, ..EncoderConfig::named(name) };
        let narrow = EncoderConfig { dims: Some([4, 6, 8, 10]), ..named("convnext-tiny") };
        let small = EncoderConfig { dims: Some([4, 6, 8, 10]), ..named("convnext-small") };
        let shallow = EncoderConfig { depths: Some([1, 1, 2, 1]), ..narrow.clone() };
        let whole =
            EncoderConfig { depths: Some([1; 4]), stem: StemChoice::ImageNet, ..named("convnext-tiny") };
        for config in [narrow, small, shallow, whole] {
            assert_eq!(found(&config, "backbone."), Some(config));
        }
    }
}
