//! Files of other packages, as `golden/make_others.py` has written them: the encoder in them gives the package's own features.

mod common;

use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use ssl_core::{DeviceSpec, Encoder, Init, Pass};
use ssl_encoders::weights::{self, FileFormat, Loaded};
use ssl_encoders::{AnyEncoder, BlockKind, ConvNextConfig, ResNetConfig, Stem, VitConfig};

/// Largest difference between features, relative to the largest feature.
const TOLERANCE: f32 = 1e-4;

#[test]
fn a_checkpoint_of_lightly_with_the_children_of_torchvisions_resnet() {
    let loaded = check("lightly_torchvision", "lightly_torchvision.ckpt", resnet(Stem::ImageNet));
    assert_is(&loaded, "lightly", "state_dict.backbone.");
    assert!(loaded.left_out.iter().any(|name| name.contains("projection_head")), "{loaded}");
}

#[test]
fn a_resnet_of_lightly() {
    let loaded = check("lightly_resnet", "lightly_resnet.pth", resnet(Stem::Cifar));
    assert_is(&loaded, "lightly", "");
}

#[test]
fn a_checkpoint_of_lightly_with_a_vit_of_timm() {
    let loaded = check("lightly_vit", "lightly_vit.ckpt", vit(1, None));
    assert_is(&loaded, "lightly", "state_dict.backbone.vit.");
}

#[test]
fn a_vit_of_torchvision() {
    let loaded = check("torchvision_vit", "torchvision_vit.pth", vit(2, None));
    assert_is(&loaded, "torchvision", "");
    assert_eq!(loaded.left_out, ["heads.head.bias", "heads.head.weight"]);
}

#[test]
fn a_convnext_of_torchvision() {
    let convnext = ConvNextConfig::new([1, 1, 2, 1], [8, 16, 24, 32]).init(&mut init());
    let loaded = check("torchvision_convnext", "torchvision_convnext.pth", AnyEncoder::ConvNext(convnext));
    assert_is(&loaded, "torchvision", "");
    let described = weights::describe(&golden("torchvision_convnext.pth")).expect("readable").expect("known");
    assert_eq!((described.depths, described.dims), (Some([1, 1, 2, 1]), Some([8, 16, 24, 32])));
}

#[test]
fn a_checkpoint_of_dinov2_with_its_blocks_in_chunks() {
    let loaded = check("official_dinov2", "official_dinov2.pth", vit(2, Some(1.0)));
    assert_is(&loaded, "DINOv2", "teacher.backbone.");
}

#[test]
fn a_whole_checkpoint_of_dino_in_the_format_of_before_torch_1_6() {
    let loaded = check("official_dino", "official_dino.pth", vit(1, None));
    assert_is(&loaded, "DINO", "teacher.backbone.");
}

#[test]
fn a_converted_file_of_simclr_v2() {
    let resnet = ResNetConfig::new(BlockKind::Bottleneck, [1; 4]).with_width(2).init(&mut init());
    let loaded = check("simclr_v2", "simclr_v2.pth", AnyEncoder::ResNet(resnet));
    assert_is(&loaded, "SimCLR v2, converted", "resnet.net.");
}

#[track_caller]
fn assert_is(loaded: &Loaded, source: &str, prefix: &str) {
    assert_eq!((loaded.source, &*loaded.prefix), (Some(source), prefix));
    assert_eq!(loaded.format, FileFormat::Pytorch);
}

/// Loads a file into an encoder and compares its features with those of the package.
#[track_caller]
fn check(name: &str, file: &str, encoder: AnyEncoder) -> Loaded {
    let (encoder, loaded) = weights::load_and_tell(&golden(file), encoder).expect("a file of that encoder");
    let mut tensors = common::golden("others/features");
    let pixels = tensors.remove("pixels").expect("pixels");
    let found = encoder.encode(Tensor::from_data(pixels, init().device()), &Pass::eval()).into_data();
    assert_close(&found, &tensors[name]);
    loaded
}

#[track_caller]
fn assert_close(found: &TensorData, want: &TensorData) {
    assert_eq!(found.shape(), want.shape());
    let largest = want.iter::<f32>().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    for (found, want) in found.iter::<f32>().zip(want.iter::<f32>()) {
        let is_close = (found - want).abs() <= TOLERANCE * largest;
        assert!(is_close, "{found} here and {want} in the package, the largest is {largest}");
    }
}

fn resnet(stem: Stem) -> AnyEncoder {
    let config = ResNetConfig::new(BlockKind::Basic, [1; 4]).with_width(4).with_stem(stem);
    AnyEncoder::ResNet(config.init(&mut init()))
}

fn vit(depth: usize, layer_scale: Option<f64>) -> AnyEncoder {
    let config = VitConfig::new(16, depth, 2).with_image_size(32).with_patch_size(8);
    AnyEncoder::Vit(config.with_layer_scale(layer_scale).init(&mut init()))
}

fn init() -> Init {
    Init::new(0, &DeviceSpec::Flex.open().expect("flex is compiled in"))
}

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/others").join(file)
}
