//! Weight files that describe networks which nothing could hold are refused before anything is built.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use ssl_core::{DeviceSpec, Init, LayerConfig};
use ssl_encoders::weights;
use ssl_encoders::{Artifact, ClassifierHead, EncoderConfig, Kind, Preprocessing};

/// Writes a file of one small tensor with this description.
fn write(path: &Path, artifact: &Artifact) {
    let tensors = BTreeMap::from([("conv1.weight".to_owned(), TensorData::new(vec![0.0_f32; 4], [4]))]);
    artifact.write(path, &tensors).expect("a writable folder");
}

/// Opens the encoder of a file as the commands do.
fn open(path: &Path) -> String {
    let opened = Artifact::read(path).map_err(|error| error.to_string()).and_then(|artifact| {
        let artifact = artifact.expect("a description");
        let (encoder, size) = (artifact.encoder, artifact.preprocessing.size);
        encoder.check_file(path, size).map_err(|error| error.to_string())
    });
    opened.expect_err("too large")
}

#[test]
fn a_description_of_a_network_that_the_file_cannot_hold_is_an_error_before_it_is_built() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("a.safetensors");
    let named = EncoderConfig::named;
    let resnet = |width| EncoderConfig { width, ..named("resnet18") };
    let vit = |patch| EncoderConfig { patch_size: Some(patch), ..named("vit-tiny") };
    for (encoder, size, expected) in [
        (resnet(1 << 20), 32, "encoder.width is 1048576, expected at most 2048"),
        (resnet(1 << 63), 32, "encoder.width is 9223372036854775808, expected at most 2048"),
        (resnet(2048), 32, "holds 4 values, and the network that it should fill has"),
        (
            vit(16),
            1 << 31,
            "its description is unusable: preprocessing.size is 2147483648, expected 1 to 8192",
        ),
        (vit(1), 8192, "holds 4 values, and the network that it should fill has"),
        (vit(1 << 40), 32, "encoder.patch_size is 1099511627776 for images of 32 pixels"),
    ] {
        write(&path, &Artifact::new(&encoder, Preprocessing { size, resize: 32, ..Preprocessing::new(32) }));
        let error = open(&path);
        assert!(error.contains(expected), "{error}");
    }
    let resize = Preprocessing { resize: 1 << 40, ..Preprocessing::new(32) };
    write(&path, &Artifact::new(&resnet(8), resize));
    assert!(open(&path).contains("preprocessing.resize is 1099511627776, expected at most 16384"));
}

#[test]
fn weights_to_start_from_that_cannot_hold_the_network_are_an_error_before_it_is_built() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("a.safetensors");
    write(&path, &Artifact::new(&EncoderConfig::named("resnet18"), Preprocessing::new(32)));
    let mut init = Init::new(0, &DeviceSpec::Flex.open().expect("flex is compiled in"));
    let config = EncoderConfig { width: 2048, init: Some(path), ..EncoderConfig::named("resnet152") };
    let error = config.init(32, &mut init).expect_err("240 GB").to_string();
    assert!(error.contains("holds 4 values, and the network that it should fill has 5"), "{error}");
}

#[test]
fn a_classifier_that_nothing_could_hold_is_an_error() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("a.safetensors");
    let head = |neck: &[usize], classes| {
        let neck = neck.iter().map(|&outputs| LayerConfig::new(outputs)).collect();
        ClassifierHead { neck, classes, class_names: None }
    };
    for (head, expected) in [
        (head(&[1 << 40], 10), "neck.outputs is 1099511627776, expected at most 262144"),
        (head(&[8; 65], 10), "neck is 65, expected at most 64"),
        (head(&[0], 10), "neck.outputs is 0, expected at least 1"),
        (head(&[], 1 << 40), "classes is 1099511627776, expected at most 1048576"),
        (head(&[], 0), "classes is 0, expected at least 1"),
    ] {
        let artifact = Artifact::new(&EncoderConfig::named("resnet18"), Preprocessing::new(32));
        write(&path, &artifact.with_kind(Kind::Classifier(head)));
        let error = Artifact::read(&path).expect_err("too large").to_string();
        assert!(error.contains(expected), "{error}");
    }
    let wide = head(&[1 << 18; 64], 10).weights(512);
    assert!(wide > 4e12);
    assert!(weights::check_room(&path, wide).is_err());
}

#[test]
fn a_vit_of_timm_whose_positions_are_no_whole_tokens_is_an_error() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("a.safetensors");
    for (class, positions) in [(3, 13), (0, 4)] {
        let tensors = BTreeMap::from([
            ("cls_token".to_owned(), TensorData::new(vec![0.0_f32; class], [1, 1, class])),
            ("pos_embed".to_owned(), TensorData::new(vec![0.0_f32; positions], [1, 1, positions])),
        ]);
        let plain = Artifact::new(&EncoderConfig::named("vit-tiny"), Preprocessing::new(32));
        plain.write(&path, &tensors).expect("a writable folder");
        let mut init = Init::new(0, &DeviceSpec::Flex.open().expect("flex is compiled in"));
        let vit = EncoderConfig::named("vit-tiny").init(32, &mut init).expect("usable");
        assert!(weights::load(&path, vit).is_err());
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_device_as_weights_is_an_error_and_no_hang() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [pipe, link] = ["a.pth", "b.safetensors"].map(|name| dir.path().join(name));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    std::os::unix::fs::symlink("/dev/zero", &link).expect("writable");
    for path in [pipe, link] {
        let error = weights::describe(&path).expect_err("it has no end").to_string();
        assert!(error.ends_with("it is a pipe, socket or device, expected a file"), "{error}");
    }
}
