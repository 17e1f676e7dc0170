//! Python that loads an exported encoder.

use std::path::Path;

use ssl_encoders::{EncoderConfig, Family, NameScheme, Preprocessing};

use super::timm::{TimmModel, has_small_stem};

/// What a program has to know of an exported file.
pub(super) struct Snippet<'a> {
    pub(super) file: &'a Path,
    pub(super) format: NameScheme,
    pub(super) encoder: &'a EncoderConfig,
    pub(super) preprocessing: &'a Preprocessing,
}

impl Snippet<'_> {
    /// A complete program that loads the file and defines `features(image)`; none if no library of Python has the network.
    pub(super) fn python(&self) -> Option<String> {
        let (import, mut lines) = self.model()?;
        lines.extend(self.stem());
        lines.push(format!("model.load_state_dict(load_file({:?}))", self.file.display().to_string()));
        lines.push("model.eval()".to_owned());
        let imports = format!(
            "import {import}\nimport torch\nfrom safetensors.torch import load_file\n\
             from torchvision.transforms import functional as F"
        );
        Some(format!("{imports}\n\n{}\n\n{}", lines.join("\n"), self.features()))
    }

    /// The module to import, and the lines that make the network.
    fn model(&self) -> Option<(&'static str, Vec<String>)> {
        let EncoderConfig { name, width, selective_kernel, registers, .. } = self.encoder;
        if self.encoder.family()? != Family::ResNet {
            // With registers, the file has to be in timm's form.
            let others = registers.is_some_and(|count| count > 0) && self.format != NameScheme::Timm;
            return if others { None } else { Some(("timm", vec![self.timms()?])) };
        }
        if *selective_kernel {
            return None;
        }
        // timm cannot make a ResNet of another width, and its tensors have the names of torchvision's.
        if self.format == NameScheme::Timm && *width == 64 {
            return Some(("timm", vec![self.timms()?]));
        }
        let model = format!("model = torchvision.models.{name}()");
        let lines = [model, "model.fc = torch.nn.Identity()".to_owned()];
        Some(("torchvision", lines.into_iter().chain(self.narrow()).collect()))
    }

    /// A network of timm.
    fn timms(&self) -> Option<String> {
        let model = TimmModel::of(self.encoder, self.preprocessing.size)?;
        Some(format!("model = timm.create_model({:?}, num_classes=0{})", model.name, model.python_args()))
    }

    /// A ResNet of torchvision made anew in another width.
    fn narrow(&self) -> Vec<String> {
        let width = self.encoder.width;
        if width == 64 {
            return Vec::new();
        }
        vec![
            format!("# {width} channels in place of 64"),
            format!("model.inplanes = {width}"),
            format!("model.conv1 = torch.nn.Conv2d(3, {width}, 7, stride=2, padding=3, bias=False)"),
            format!("model.bn1 = torch.nn.BatchNorm2d({width})"),
            "layers = [model.layer1, model.layer2, model.layer3, model.layer4]".to_owned(),
            "for i, layer in enumerate(layers):".to_owned(),
            format!("    block, channels = type(layer[0]), {width} * 2**i"),
            "    layer = model._make_layer(block, channels, len(layer), stride=min(i + 1, 2))".to_owned(),
            "    setattr(model, f\"layer{i + 1}\", layer)".to_owned(),
        ]
    }

    /// The first layers for small images.
    fn stem(&self) -> Vec<String> {
        if !has_small_stem(self.encoder) {
            return Vec::new();
        }
        let width = self.encoder.width;
        let layers = match self.encoder.family() {
            // With `patch_size=2`, timm would add a layer to the first stage.
            Some(Family::ConvNext) => {
                vec!["model.stem[0] = torch.nn.Conv2d(3, model.stem[0].out_channels, 2, stride=2)".to_owned()]
            }
            _ => vec![
                format!("model.conv1 = torch.nn.Conv2d(3, {width}, 3, stride=1, padding=1, bias=False)"),
                "model.maxpool = torch.nn.Identity()".to_owned(),
            ],
        };
        std::iter::once("# the first layers for small images".to_owned()).chain(layers).collect()
    }

    /// The function that prepares an image as the run did and gives its features.
    fn features(&self) -> String {
        let Preprocessing { size, resize, mean, std, .. } = self.preprocessing;
        let resize = resize.max(size);
        [
            "def features(image):  # of a PIL image".to_owned(),
            "    image = image.convert(\"RGB\")".to_owned(),
            format!("    if image.size != ({size}, {size}):"),
            format!("        image = F.center_crop(F.resize(image, {resize}), {size})"),
            format!("    mean, std = {mean:?}, {std:?}"),
            "    image = F.normalize(F.to_tensor(image), mean, std)".to_owned(),
            "    with torch.no_grad():".to_owned(),
            "        return model(image[None])[0]".to_owned(),
        ]
        .join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_encoders::{Pool, StemChoice};

    fn python(encoder: &EncoderConfig, format: NameScheme, size: usize) -> Option<String> {
        let preprocessing = Preprocessing::new(size);
        let file = Path::new("e.safetensors");
        Snippet { file, format, encoder, preprocessing: &preprocessing }.python()
    }

    #[test]
    fn a_usual_resnet_needs_no_changes_but_the_stem_of_small_images() {
        let plain = python(&EncoderConfig::named("resnet50"), NameScheme::Torchvision, 224).expect("known");
        let start = "import torchvision\nimport torch\nfrom safetensors.torch import load_file\n";
        assert!(plain.starts_with(start), "{plain}");
        assert!(plain.contains("model = torchvision.models.resnet50()\nmodel.fc = torch.nn.Identity()\nmodel.load_state_dict(load_file(\"e.safetensors\"))"), "{plain}");
        assert!(plain.contains("F.resize(image, 256), 224)"), "{plain}");
        assert!(plain.contains("[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]"), "{plain}");

        let cifar = EncoderConfig { stem: StemChoice::Cifar, ..EncoderConfig::named("resnet18") };
        let timm = python(&cifar, NameScheme::Timm, 32).expect("known");
        assert!(timm.contains("timm.create_model(\"resnet18\", num_classes=0)\n# the first"), "{timm}");
        assert!(timm.contains("torch.nn.Conv2d(3, 64, 3, stride=1"), "{timm}");
    }

    #[test]
    fn a_narrow_resnet_is_one_of_torchvision_in_every_format() {
        let narrow = EncoderConfig { width: 16, ..EncoderConfig::named("resnet18") };
        for format in NameScheme::ALL {
            let text = python(&narrow, format, 224).expect("known");
            assert!(text.contains("torchvision.models.resnet18()"), "{text}");
            assert!(text.contains("model.inplanes = 16\n") && text.contains("BatchNorm2d(16)"), "{text}");
        }
    }

    #[test]
    fn a_convnext_has_its_widths_and_the_stem_of_small_images() {
        let convnext = EncoderConfig { stem: StemChoice::ImageNet, ..EncoderConfig::named("convnext-tiny") };
        let text = python(&convnext, NameScheme::Timm, 224).expect("known");
        let call = "model = timm.create_model(\"convnext_tiny\", num_classes=0)\nmodel.load_state_dict";
        assert!(text.contains(call), "{text}");
        let narrow = EncoderConfig { dims: Some([8, 16, 24, 32]), stem: StemChoice::Cifar, ..convnext };
        let text = python(&narrow, NameScheme::Safetensors, 32).expect("known");
        let call = "timm.create_model(\"convnext_tiny\", num_classes=0, dims=[8, 16, 24, 32])\n# the first";
        assert!(text.contains(call) && text.contains("out_channels, 2, stride=2)\n"), "{text}");
    }

    #[test]
    fn a_vit_has_its_size_and_a_network_without_a_library_has_no_program() {
        let vit = EncoderConfig { patch_size: Some(4), ..EncoderConfig::named("vit-tiny") };
        let text = python(&vit, NameScheme::Safetensors, 32).expect("known");
        let call = "timm.create_model(\"vit_tiny_patch16_224\", num_classes=0, img_size=32, patch_size=4)";
        assert!(text.contains(call), "{text}");

        let small =
            EncoderConfig { embed_dim: Some(96), depth: Some(6), pool: Some(Pool::Mean), ..vit.clone() };
        let text = python(&small, NameScheme::Timm, 32).expect("known");
        assert!(text.contains("embed_dim=96, depth=6, global_pool=\"avg\", fc_norm=False)"), "{text}");

        let registers = EncoderConfig { registers: Some(4), ..vit };
        assert_eq!(python(&registers, NameScheme::Safetensors, 32), None, "DINOv2's form is not timm's");
        let text = python(&registers, NameScheme::Timm, 32).expect("known");
        assert!(text.contains("reg_tokens=4, no_embed_class=True"), "{text}");
        let selective = EncoderConfig { selective_kernel: true, ..EncoderConfig::named("resnet50") };
        assert_eq!(python(&selective, NameScheme::Safetensors, 224), None);
    }
}
