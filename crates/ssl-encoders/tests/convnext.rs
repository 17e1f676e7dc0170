//! ConvNeXts against timm's in float64: features, maps and gradients, drop-path, and files of weights.

mod common;

use std::path::Path;
use std::process::Command;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use common::{Tensors, gradients_by_path, under};
use ssl_core::{DeviceSpec, Draws, Encoder, Init, Pass, Precision, named};
use ssl_encoders::{
    Artifact, ConvNext, ConvNextConfig, EncoderConfig, NameScheme, Preprocessing, StemChoice, weights,
};
use ssl_testing::cases_dir;

/// Largest difference from float64, relative to the largest value of a tensor.
const TOLERANCE: f32 = 2e-5;

#[test]
fn features_and_maps_are_those_of_timm_with_and_without_gradients() {
    for (golden, network) in cases() {
        for pass in [Pass::train(), Pass::eval()] {
            assert_close(
                "features",
                network.encode(pixels(&golden), &pass).into_data(),
                &golden["out.train"],
            );
            let map = network.feature_map(pixels(&golden), &pass).expect("a ConvNeXt has one");
            assert_close("map", map.into_data(), &golden["out.map"]);
        }
        let plain = network.valid();
        let features = plain.encode(pixels(&golden).inner(), &Pass::eval());
        assert_close("features", features.into_data(), &golden["out.train"]);
        assert!(plain.tokens().is_none());
    }
}

#[test]
fn gradients_are_those_of_timm() {
    for (golden, network) in cases() {
        let images = pixels(&golden).require_grad();
        let weights = Tensor::<2>::from_data(golden["in.loss_weights"].clone(), init().device());
        let gradients = (network.encode(images.clone(), &Pass::train()) * weights).sum().backward();
        let of_images = images.grad(&gradients).expect("images are tracked").into_data();
        assert_close("pixels", of_images, &golden["grad.x"]);

        let wanted = under(&golden, "grad.param.");
        let got = gradients_by_path(&network, GradientsParams::from_grads(gradients, &network));
        assert_eq!(got.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
        for (path, gradient) in got {
            assert_close(&path, gradient, &wanted[&path]);
        }
    }
}

/// Without choices, a rate takes the operations apart that are one without it.
#[test]
fn blocks_that_may_drop_their_branch_compute_the_same() {
    for (golden, network) in cases() {
        let [_, _, _, patch] = named::collect(&network)["stem.0.weight"].shape().dims();
        let apart = config(patch).with_drop_path(0.5).init(&mut init());
        let apart = named::load(apart, named::collect(&network)).expect("the same names");
        let gradients = |network: &ConvNext| {
            let sum = network.encode(pixels(&golden), &Pass::train()).powi_scalar(3).sum();
            gradients_by_path(network, GradientsParams::from_grads(sum.backward(), network))
        };
        let (whole, apart) = (gradients(&network), gradients(&apart));
        whole.into_iter().for_each(|(path, gradient)| assert_close(&path, gradient, &apart[&path]));
    }
}

#[test]
fn bfloat16_gives_float32_with_its_own_error() {
    let (golden, network) = golden_case(2);
    let config = config(2);
    let rounded = config.init(&mut init().with_precision(Precision::Bf16));
    let rounded = named::load(rounded, named::collect(&network)).expect("the same names");
    let got = rounded.encode(pixels(&golden), &Pass::eval()).into_data();
    let difference = difference(&got, &golden["out.train"]);
    assert!((1e-4..0.1).contains(&difference), "{difference}");
}

#[test]
fn the_choices_of_drop_path_are_those_of_the_pass() {
    let network = ConvNextConfig { layer_scale: 1.0, ..config(2).with_drop_path(0.9) }.init(&mut init());
    let golden = golden(2);
    let encode = |pass: &Pass| network.encode(pixels(&golden), pass).into_data();
    let pass = |step| Pass::train().with_draws(Draws::new(0, step, 0), "student");
    let one = encode(&pass(5));
    assert_eq!(one, encode(&pass(5)), "a resumed run makes the same choices");
    for other in [pass(6), pass(5).part("view", 1), Pass::train(), Pass::eval()] {
        assert_ne!(one, encode(&other), "{other:?}");
    }
    assert_eq!(encode(&Pass::train()), encode(&Pass::eval()), "nothing is dropped without draws");
}

#[test]
fn weights_come_back_as_they_were_in_every_form() {
    let (golden, network) = golden_case(4);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("encoder.safetensors");
    let config = EncoderConfig {
        depths: Some([1, 1, 2, 1]),
        dims: Some([8, 16, 24, 32]),
        stem: StemChoice::ImageNet,
        ..EncoderConfig::named("convnext-tiny")
    };
    let artifact = Artifact::new(&config, Preprocessing::new(64));
    for scheme in [NameScheme::Timm, NameScheme::Safetensors] {
        weights::save_as(&network, &path, &artifact, scheme).expect("writable");
        assert_eq!(weights::describe(&path).expect("readable"), Some(config.clone()));
        let fresh = config.init(64, &mut init()).expect("usable");
        let loaded = weights::load(&path, fresh).expect("the same network");
        assert_eq!(named::collect(&loaded), named::collect(&network), "{scheme}");
    }
    assert_eq!(named::collect(&network), under(&golden, "init."));
}

#[test]
fn a_file_of_the_official_code_is_that_network() {
    let (_, network) = golden_case(2);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("official.safetensors");
    let mut tensors: Tensors = named::collect(&network)
        .into_iter()
        .map(|(name, tensor)| (format!("model.{}", official(&name)), tensor))
        .collect();
    tensors.insert("model.head.weight".into(), TensorData::zeros::<f32, _>([5, 32]));
    tensors.insert("model.head.bias".into(), TensorData::zeros::<f32, _>([5]));
    std::fs::write(&path, named::encode(&tensors, "")).expect("writable");
    let described = weights::describe(&path).expect("readable").expect("a ConvNeXt");
    assert_eq!((described.depths, described.dims), (Some([1, 1, 2, 1]), Some([8, 16, 24, 32])));
    let fresh = described.init(64, &mut init()).expect("usable");
    let (loaded, told) = weights::load_and_tell(&path, fresh).expect("the same network");
    assert_eq!(told.left_out, ["model.head.bias", "model.head.weight"]);
    assert_eq!(named::collect(&loaded), named::collect(&network));
}

/// timm's name in the official code.
fn official(name: &str) -> String {
    let name = name.replace("stem.", "downsample_layers.0.").replace(".blocks.", ".");
    let name = name.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv").replace("head.norm", "norm");
    match name.split('.').collect::<Vec<_>>()[..] {
        ["stages", stage, "downsample", layer, value] => format!("downsample_layers.{stage}.{layer}.{value}"),
        _ => name,
    }
}

#[test]
fn names_and_shapes_are_those_of_timms_convnext_tiny() {
    let golden = include_str!("golden/convnext_tiny.txt");
    let network = ConvNextConfig::tiny().init(&mut init());
    let line = |(name, tensor): (String, TensorData)| {
        let shape: Vec<String> = tensor.shape().iter().map(ToString::to_string).collect();
        format!("{name} {}", shape.join(" "))
    };
    let mut lines: Vec<String> = named::collect(&network).into_iter().map(line).collect();
    lines.sort();
    assert_eq!(lines, golden.lines().collect::<Vec<_>>());
}

#[test]
fn what_a_convnext_cannot_be_is_refused_in_a_sentence() {
    let named = || EncoderConfig::named("convnext-tiny");
    let cases = [
        (
            EncoderConfig { width: 32, ..named() },
            "encoder.width is 32, expected 64: only ResNets have a width",
        ),
        (
            EncoderConfig { bn_splits: 2, ..named() },
            "encoder.bn_splits is 2, expected 1: only ResNets have batch norm",
        ),
        (
            EncoderConfig { patch_size: Some(4), ..named() },
            "encoder.patch_size is 4, expected no such key: only ViTs have it",
        ),
        (
            EncoderConfig { depths: Some([3, 0, 9, 3]), ..named() },
            "encoder.depths is [3, 0, 9, 3], expected four numbers from 1, at most 256 together: published networks have 36 \
             blocks",
        ),
        (
            EncoderConfig { depths: Some([1, 1, 300, 1]), ..named() },
            "encoder.depths is [1, 1, 300, 1], expected four numbers from 1, at most 256 together: published networks have \
             36 blocks",
        ),
        (
            EncoderConfig { dims: Some([8, 16, 0, 32]), ..named() },
            "encoder.dims is [8, 16, 0, 32], expected four numbers from 1 to 8192: published networks have up to 2816",
        ),
        (
            EncoderConfig { layer_scale: Some(0.0), ..named() },
            "encoder.layer_scale is 0, expected a number above 0 and at most 1000: published ones are from 1e-6 to 1",
        ),
        (
            EncoderConfig { drop_path: Some(1.0), ..named() },
            "encoder.drop_path is 1, expected a number from 0 to below 1",
        ),
        (
            EncoderConfig { stem: StemChoice::ImageNet, ..named() },
            "data.image_size is 24, expected at least 32: a ConvNeXt with the ImageNet stem divides the sides of images by 32",
        ),
        (
            EncoderConfig { dims: Some([8; 4]), ..EncoderConfig::named("resnet18") },
            "encoder.dims is [8, 8, 8, 8], expected no such key: only ConvNeXts have it",
        ),
        (
            EncoderConfig { depths: Some([1; 4]), ..EncoderConfig::named("vit-tiny") },
            "encoder.depths is [1, 1, 1, 1], expected no such key: only ConvNeXts have it",
        ),
    ];
    for (config, expected) in cases {
        assert_eq!(config.validate(24).expect_err("an unusable value").to_string(), expected);
    }
    assert!(named().validate(24).is_ok());
    let view = named().check_view(24, 12).expect_err("a view without a position").to_string();
    assert_eq!(
        view,
        "views.size is 12, expected at least 16: a ConvNeXt with the CIFAR stem divides the sides of images by 16"
    );
    assert!(named().check_view(24, 16).is_ok());
}

#[test]
#[ignore = "needs a Python with torch and timm, named by BURN_SSL_PYTHON"]
fn timm_loads_an_export_strictly_and_computes_the_same_features() {
    let python = std::env::var("BURN_SSL_PYTHON").expect("BURN_SSL_PYTHON names a Python with timm");
    let narrow = EncoderConfig {
        dims: Some([8, 16, 24, 32]),
        layer_scale: Some(0.5),
        ..EncoderConfig::named("convnext-small")
    };
    let small = EncoderConfig { stem: StemChoice::Cifar, depths: Some([1, 1, 2, 1]), ..narrow.clone() };
    for config in [narrow, small, EncoderConfig::named("convnext-tiny")] {
        let encoder = config.init(224, &mut init()).expect("usable").valid();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [export, case] = ["export", "case"].map(|name| folder.path().join(format!("{name}.safetensors")));
        weights::save(&encoder, &export, &Artifact::new(&config, Preprocessing::new(224))).expect("writable");
        let pixels = pixels(&golden(2)).inner();
        let features = encoder.encode(pixels.clone(), &Pass::eval()).into_data();
        let tensors = [("pixels".to_owned(), pixels.into_data()), ("features".to_owned(), features)].into();
        std::fs::write(&case, named::encode(&tensors, "")).expect("writable");

        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/baseline/export_check.py");
        let mut check = Command::new(&python);
        check.arg(script).args(["--model", &config.name]).arg("--weights").arg(&export);
        let output = check.arg("--pixels").arg(&case).output().expect("Python starts");
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(output.status.success(), "{config:?}: {said:?}");
    }
}

fn init() -> Init {
    Init::new(0, &DeviceSpec::Flex.open().expect("flex is compiled in").autodiff())
}

fn config(patch_size: usize) -> ConvNextConfig {
    ConvNextConfig::new([1, 1, 2, 1], [8, 16, 24, 32]).with_patch_size(patch_size)
}

/// Whole patches of 4 pixels, and patches of 2 that leave a row and a column out in the last stage.
fn cases() -> [(Tensors, ConvNext); 2] {
    [4, 2].map(golden_case)
}

fn golden_case(patch_size: usize) -> (Tensors, ConvNext) {
    let golden = golden(patch_size);
    let network = config(patch_size).init(&mut init());
    let network = named::load(network, under(&golden, "init.")).expect("the names of the golden file");
    (golden, network)
}

/// The tensors of a case of the conformance suite, which `cargo xtask conformance` computes too.
fn golden(patch_size: usize) -> Tensors {
    let path = cases_dir().join(format!("model.convnext.patch{patch_size}.safetensors"));
    named::decode(&std::fs::read(path).expect("a golden file")).expect("a safetensors file").0
}

fn pixels(golden: &Tensors) -> Tensor<4> {
    Tensor::from_data(golden["in.x"].clone(), init().device())
}

fn assert_close(name: &str, got: TensorData, want: &TensorData) {
    let difference = difference(&got, want);
    assert!(difference <= TOLERANCE, "{name} differs by {difference} of the largest");
}

/// The largest difference, relative to the largest value.
fn difference(got: &TensorData, want: &TensorData) -> f32 {
    assert_eq!(got.shape(), want.shape());
    // Taking the maximum of some differences would skip NaN.
    assert!(got.iter::<f32>().all(f32::is_finite), "not finite");
    let largest = want.iter::<f32>().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let worst = |worst: f32, (a, b): (f32, f32)| worst.max((a - b).abs());
    got.iter::<f32>().zip(want.iter::<f32>()).fold(0.0, worst) / largest
}
