//! Files of other packages, as `golden/make_others.py` has written them: the encoder in them gives the package's own features.
//!
//! lightly, lightly-train, torchvision and timm wrote theirs themselves. Files called `official_` and `simclr_v2` have the layout of
//! official code and of converters, which are no packages; those called `layout_`, that of vissl and solo-learn, which cannot be run
//! beside today's torch. Their networks are torchvision's and timm's, and so are the features.

mod common;

use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use ssl_core::{DeviceSpec, Encoder, Init, Pass, named};
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

#[test]
fn a_checkpoint_of_lightly_train_which_holds_modules_too() {
    let loaded = check("lightly_train", "lightly_train.ckpt", narrow());
    assert_is(&loaded, "lightly-train", "state_dict.embedding_model.wrapped_model._features.");
}

#[test]
fn checkpoints_of_solo_learn_and_of_its_last_release() {
    for (name, prefix) in
        [("layout_solo_learn", "state_dict.backbone."), ("layout_solo_learn_1_0_2", "state_dict.encoder.")]
    {
        let loaded = check(name, &format!("{name}.ckpt"), narrow());
        assert_is(&loaded, "solo-learn", prefix);
        assert!(loaded.left_out.iter().any(|name| name.starts_with("state_dict.momentum_")), "{loaded}");
    }
}

#[test]
fn a_checkpoint_of_vissl_with_values_of_numpy() {
    let loaded = check("layout_vissl", "layout_vissl.torch", narrow());
    assert_is(&loaded, "VISSL", "classy_state_dict.base_model.model.trunk._feature_blocks.");
}

#[test]
fn checkpoints_of_official_code_with_resnets() {
    for (name, source, prefix) in [
        ("official_simsiam", "SimSiam", "state_dict.module.encoder."),
        ("official_swav", "SwAV", "state_dict.module."),
        // A name of 21 letters, as `official_dino_student`: `weights/archive.rs`.
        ("official_barlow_twins", "Barlow Twins", "model.module.backbone."),
        ("official_vicreg", "VICReg", "model.module.backbone."),
    ] {
        assert_is(&check(name, &format!("{name}.pth"), narrow()), source, prefix);
    }
}

#[test]
fn checkpoints_of_official_code_with_vits() {
    for (name, source, prefix) in [
        ("official_moco_v3", "MoCo v3", "state_dict.module.base_encoder."),
        ("official_dino_student", "DINO", "student.module.backbone."),
        ("official_mae", "MAE", "model."),
        ("official_msn", "MSN", "target_encoder.module."),
    ] {
        assert_is(&check(name, &format!("{name}.pth"), vit(1, None)), source, prefix);
    }
}

/// The converter has torchvision's names without counters, as early files of torchvision itself: nothing tells whose they are. Its
/// own network pads otherwise (docs/other-programs.md), so that the features are those of torchvision's.
#[test]
fn a_converted_file_of_byol_is_loaded_and_is_anybodys() {
    let loaded = check("official_byol", "official_byol.pth", narrow());
    assert_eq!((loaded.source, &*loaded.prefix), (None, ""));
    assert_eq!(loaded.left_out, ["fc.bias", "fc.weight"]);
}

/// Who wrote a file, what its encoder is under, and tensors beside it, as the official code has them.
type Layout = (Option<&'static str>, &'static str, &'static [&'static str]);

/// Layouts with other encoders than the files above have, and some more.
const LAYOUTS: [Layout; 17] = [
    (
        Some("MoCo"),
        "state_dict.module.encoder_q.",
        &["state_dict.module.encoder_q.fc.0.weight", "state_dict.module.queue"],
    ),
    (
        Some("MoCo v3"),
        "state_dict.module.base_encoder.",
        &["state_dict.module.base_encoder.head.0.weight", "state_dict.module.predictor.0.weight"],
    ),
    (
        Some("SimSiam"),
        "state_dict.module.encoder.",
        &["state_dict.module.encoder.fc.0.weight", "state_dict.module.predictor.0.weight"],
    ),
    (Some("SwAV"), "module.", &["module.projection_head.0.weight", "module.prototypes.weight"]),
    (
        Some("SwAV"),
        "state_dict.module.",
        &["state_dict.module.projection_head.0.weight", "state_dict.module.prototypes.prototypes0.weight"],
    ),
    (
        Some("DINO"),
        "teacher.backbone.",
        &["student.module.head.last_layer.weight_g", "teacher.head.mlp.0.weight"],
    ),
    (Some("DINO"), "student.module.backbone.", &["student.module.head.last_layer.weight_g"]),
    (
        Some("Barlow Twins"),
        "model.module.backbone.",
        &["model.module.bn.running_mean", "model.module.projector.0.weight"],
    ),
    (Some("VICReg"), "model.module.backbone.", &["model.module.projector.0.weight"]),
    (
        Some("VISSL"),
        "classy_state_dict.base_model.model.trunk._feature_blocks.",
        &["classy_state_dict.base_model.model.heads.0.clf.0.weight"],
    ),
    (
        Some("solo-learn"),
        "state_dict.backbone.",
        &["state_dict.classifier.weight", "state_dict.momentum_backbone.bn1.weight"],
    ),
    (
        Some("solo-learn"),
        "state_dict.encoder.",
        &["state_dict.classifier.weight", "state_dict.projector.0.weight"],
    ),
    (
        Some("lightly-train"),
        "state_dict.embedding_model.wrapped_model._features.",
        &["state_dict.embedding_model.embed_head.weight"],
    ),
    (Some("MAE"), "model.", &["model.decoder_blocks.0.norm1.weight", "model.decoder_pos_embed"]),
    (
        Some("MSN"),
        "target_encoder.module.",
        &["encoder.module.fc.fc1.weight", "target_encoder.module.fc.fc1.weight"],
    ),
    // torchvision, timm, and the converted BYOL.
    (None, "", &["fc.weight"]),
    (None, "module.", &["epoch"]),
];

#[test]
fn the_encoder_of_official_layouts_is_found_and_the_rest_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("official.safetensors");
    for (source, prefix, others) in LAYOUTS {
        for encoder in [resnet(Stem::ImageNet), vit(1, None)] {
            let own = named::collect(&encoder);
            // Other values than those that the encoder starts with.
            let ones = |data: &TensorData| TensorData::ones::<f32, _>(data.shape().clone());
            let theirs = own.iter().map(|(name, data)| (format!("{prefix}{name}"), ones(data)));
            let others = others.iter().map(|name| ((*name).to_owned(), TensorData::from([0.5_f32])));
            let names: Vec<String> = others.clone().map(|(name, _)| name).collect();
            std::fs::write(&file, named::encode(&theirs.chain(others).collect(), "")).expect("writable");
            let (encoder, loaded) = weights::load_and_tell(&file, encoder).expect("an encoder");
            assert_eq!((loaded.source, &*loaded.prefix, &loaded.left_out), (source, prefix, &names));
            let loaded = named::collect(&encoder);
            assert!(loaded.values().all(|data| *data == ones(data)), "{source:?} under '{prefix}'");
        }
    }
}

#[test]
fn everything_that_does_not_fit_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("other.safetensors");
    let mut tensors = named::collect(&resnet(Stem::ImageNet));
    for (theirs, ours) in
        [("layer2.9.conv1.weight", "layer1.0.conv1.weight"), ("layer3.9.bn1.bias", "bn1.bias")]
    {
        let tensor = tensors.remove(ours).expect("a tensor of the encoder");
        tensors.insert(theirs.to_owned(), tensor);
    }
    std::fs::write(&file, named::encode(&tensors, "")).expect("writable");
    let sentence = weights::load(&file, resnet(Stem::ImageNet)).expect_err("another network").to_string();
    let end =
        "; missing: bn1.bias, layer1.0.conv1.weight; left over: layer2.9.conv1.weight, layer3.9.bn1.bias";
    assert!(sentence.ends_with(end), "{sentence}");
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

/// A ResNet of half that width, for which files are small.
fn narrow() -> AnyEncoder {
    let config = ResNetConfig::new(BlockKind::Basic, [1; 4]).with_width(2).with_stem(Stem::ImageNet);
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
