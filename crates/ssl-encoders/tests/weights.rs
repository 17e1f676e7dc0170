//! Checks names, weight files and features against torchvision and timm.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use ssl_core::{DeviceSpec, Encoder, Init, Masking, Pass, TokenEncoder, named};
use ssl_encoders::weights::{self, WeightsError};
use ssl_encoders::{
    AnyEncoder, Artifact, BlockKind, EncoderConfig, Kind, NameScheme, Preprocessing, Provenance, ResNet,
    ResNetConfig, Vit, VitConfig, vit::Pool,
};

/// Largest difference between features, relative to the largest feature.
const TOLERANCE: f32 = 1e-4;

#[test]
fn names_and_shapes_are_those_of_torchvision_and_timm() {
    assert_eq!(names(&ResNetConfig::resnet18().init(&mut init())), golden_text("resnet18.txt"));
    assert_eq!(names(&ResNetConfig::resnet50().init(&mut init())), golden_text("resnet50.txt"));
    assert_eq!(names(&VitConfig::tiny().init(&mut init())), golden_text("vit_tiny.txt"));
}

#[test]
fn names_and_shapes_are_those_of_timms_dinov2_with_and_without_registers() {
    // Two of the twelve blocks are enough to compare names, and quick to build.
    let plain = EncoderConfig {
        patch_size: Some(14),
        depth: Some(2),
        layer_scale: Some(1e-5),
        ..EncoderConfig::named("vit-small")
    };
    let encoder = plain.init(518, &mut init()).expect("a usable network");
    assert_eq!(names(&encoder), first_blocks("vit_small_patch14_dinov2.txt"));

    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("timm.safetensors");
    let config = EncoderConfig { registers: Some(4), mask_token: Some(true), ..plain };
    let encoder = config.init(518, &mut init()).expect("a usable network");
    let artifact = Artifact::new(&config, Preprocessing::new(518));
    weights::save_as(&encoder, &path, &artifact, NameScheme::Timm).expect("a writable folder");
    let bytes = std::fs::read(&path).expect("the file");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let written: BTreeMap<_, _> = file.tensors().into_iter().collect();
    let lines: String = written.iter().map(|(name, view)| line(name, view.shape())).collect();
    assert_eq!(lines, first_blocks("vit_small_patch14_reg4_dinov2.txt"));

    let config = EncoderConfig { mask_token: None, ..config };
    let fresh = config.init(518, &mut Init::new(1, init().device())).expect("a usable network");
    let (loaded, original) = (weights::load(&path, fresh).expect("timm's names"), named::collect(&encoder));
    // The position of the class token has become a part of it.
    let is_split = |path: &str| path == "pos_embed" || path == "cls_token";
    let same = |(path, data): (&String, &TensorData)| is_split(path) || *data == original[path];
    assert!(named::collect(&loaded).iter().all(same));
}

/// The lines of a golden list of names, with the first two blocks alone.
fn first_blocks(name: &str) -> String {
    let is_deep = |line: &&str| {
        let block = line.strip_prefix("blocks.").and_then(|rest| rest.split('.').next());
        block.is_some_and(|block| block.parse::<usize>().expect("a number") > 1)
    };
    golden_text(name).split_inclusive('\n').filter(|line| !is_deep(line)).collect()
}

#[test]
fn the_mean_of_the_patches_is_the_feature_that_timm_computes() {
    let config = VitConfig { mlp_ratio: 2, ..VitConfig::new(16, 1, 2) };
    let config = config.with_image_size(32).with_patch_size(8).with_pool(Pool::Mean);
    let encoder = weights::load(&golden("mean.safetensors"), config.init(&mut init())).expect("timm's names");
    assert_close(&encoder.encode(golden_of("mean", "pixels"), &Pass::eval()), &golden_of("mean", "features"));
}

#[test]
fn a_checkpoint_of_moco_gives_the_features_that_torchvision_computes() {
    let (encoder, loaded) = weights::load_and_tell(&golden("moco.pth"), tiny_resnet())
        .expect("torchvision's names, wrapped by MoCo");
    assert_eq!(loaded.format, weights::FileFormat::Pytorch);
    assert!(loaded.left_out.iter().any(|name| name.contains("fc.")), "{loaded}");
    assert!(loaded.left_out.iter().all(|name| !name.contains("encoder_q.conv1")), "{loaded}");
    assert_close(&encoder.encode(golden_tensor("pixels"), &Pass::eval()), &golden_tensor("resnet"));
}

#[test]
fn a_checkpoint_of_dino_gives_the_features_that_timm_computes_with_the_teacher() {
    let encoder = weights::load(&golden("dino.pth"), tiny_vit()).expect("timm's names, wrapped by DINO");
    assert_close(&encoder.encode(golden_tensor("pixels"), &Pass::eval()), &golden_tensor("vit"));
}

#[test]
fn a_vit_with_registers_of_timm_gives_the_tokens_that_timm_computes() {
    let encoder = weights::load(&golden("registers.safetensors"), registers_vit()).expect("timm's names");
    let tokens = encoder.encode_tokens(golden_of("registers", "pixels"), Masking::None, &Pass::eval());
    let class = tokens.class.expect("a class token").unsqueeze_dim(1);
    let found = Tensor::cat(vec![class, tokens.registers.expect("registers"), tokens.patches], 1);
    assert_close(&found, &golden_of("registers", "tokens"));
}

#[test]
fn a_vit_with_registers_goes_to_timm_and_comes_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("timm.safetensors");
    let config = EncoderConfig { mask_token: Some(true), ..EncoderConfig::named("vit-tiny") };
    let encoder = VitConfig { mask_token: true, ..registers_config() }.init(&mut init());
    let artifact = Artifact::new(&config, Preprocessing::new(32));
    weights::save_as(&encoder, &path, &artifact, NameScheme::Timm).expect("a writable folder");

    let names = |bytes: &[u8], prefix: &str| {
        let file = SafeTensors::deserialize(bytes).expect("a safetensors file");
        let own = |(name, view): (String, TensorView<'_>)| {
            Some((name.strip_prefix(prefix)?.to_owned(), view.shape().to_vec()))
        };
        file.tensors().into_iter().filter_map(own).collect::<BTreeMap<_, _>>()
    };
    let written = names(&std::fs::read(&path).expect("the file"), "");
    let timms = std::fs::read(golden("registers.safetensors")).expect("a golden file");
    assert_eq!(written, names(&timms, "model."));

    let artifact = Artifact::read(&path).expect("a readable file").expect("own description");
    assert_eq!(artifact.encoder.mask_token, None, "the file has none");
    let loaded = weights::load(&path, registers_vit()).expect("own file");
    let pixels = || golden_of("registers", "pixels");
    assert_close(&loaded.encode(pixels(), &Pass::eval()), &encoder.encode(pixels(), &Pass::eval()));
}

#[test]
fn a_saved_encoder_is_loaded_with_the_same_tensors_and_described_by_its_artifact() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("encoder.safetensors");
    let vit = || EncoderConfig { patch_size: Some(8), ..EncoderConfig::named("vit-tiny") };
    let more = EncoderConfig {
        class_token: Some(false),
        registers: Some(2),
        mask_token: Some(true),
        layer_scale: Some(1e-5),
        drop_path: Some(0.1),
        ..vit()
    };
    for config in [small_resnet_config(), vit(), more] {
        let encoder = config.init(32, &mut init()).expect("a valid configuration");
        let preprocessing = Preprocessing::new(32).with_normalization([0.5; 3], [0.25; 3]);
        let provenance = Provenance { steps: Some(3), ..Provenance::default() };
        let artifact = Artifact::new(&config, preprocessing).with_provenance(provenance);
        weights::save(&encoder, &path, &artifact).expect("a writable folder");
        let first = std::fs::read(&path).expect("the file");

        let read = Artifact::read(&path).expect("a readable file").expect("own description");
        assert_eq!(read, artifact);
        let mut other = Init::new(1, init().device());
        let other = read.encoder.init(read.preprocessing.size, &mut other).expect("the same network");
        let loaded = weights::load(&path, other).expect("own file");
        assert_eq!(named::collect(&loaded), named::collect(&encoder));

        weights::save(&loaded, &path, &read).expect("a writable folder");
        assert_eq!(std::fs::read(&path).expect("the file"), first, "equal tensors give equal bytes");
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("the folder").count(),
        1,
        "nothing is left beside the file"
    );
}

#[test]
fn training_goes_on_from_loaded_weights() {
    let device = init().device().clone().autodiff();
    let encoder =
        ResNetConfig::new(BlockKind::Basic, [1, 1, 1, 1]).with_width(4).init(&mut Init::new(0, &device));
    let encoder = weights::load(&golden("moco.pth"), encoder).expect("the tiny network");
    let images = Tensor::ones([2, 3, 32, 32], &device);
    let gradients = encoder.encode(images, &Pass::train()).sum().backward();
    let gradients = burn::optim::GradientsParams::from_grads(gradients, &encoder);
    // Every parameter gets a gradient: one per convolution, two per batch norm.
    let parameters = named::collect(&encoder).into_keys().filter(|path| !named::is_buffer(path)).count();
    assert_eq!(gradients.len(), parameters);
}

#[test]
fn a_recipe_starts_from_the_weights_that_it_names() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("encoder.safetensors");
    let plain = small_resnet_config();
    let encoder = plain.init(32, &mut init()).expect("a valid configuration");
    weights::save(&encoder, &path, &Artifact::new(&plain, Preprocessing::new(32)))
        .expect("a writable folder");

    let config = EncoderConfig { init: Some(path), ..plain };
    let started = config.init(32, &mut Init::new(1, init().device())).expect("the weights fit");
    assert_eq!(named::collect(&started), named::collect(&encoder));
    assert_eq!(
        Artifact::new(&config, Preprocessing::new(32)).encoder.init,
        None,
        "a path of this machine stays out of exports"
    );
}

#[test]
fn positions_for_images_of_another_size_are_resized() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("vit.safetensors");
    let vit = |image_size: usize, class_token: bool| {
        let config = VitConfig { class_token, ..VitConfig::new(16, 1, 2) };
        config.with_image_size(image_size).with_patch_size(8).init(&mut init())
    };
    for (class_token, to) in [(true, 64), (true, 16), (false, 48)] {
        let small = vit(32, class_token);
        weights::save(
            &small,
            &path,
            &Artifact::new(&EncoderConfig::named("vit-tiny"), Preprocessing::new(32)),
        )
        .expect("a writable folder");
        let (large, loaded) = weights::load_and_tell(&path, vit(to, class_token)).expect("it fits");
        assert_eq!(loaded.resized, Some([4, to / 8]));
        assert!(loaded.to_string().contains("positions resized from 4 x 4 patches to"), "{loaded}");
        let images = waves([2, 3, to, to]);
        assert_close(&large.encode(images.clone(), &Pass::eval()), &small.encode(images, &Pass::eval()));
        let (_, same) = weights::load_and_tell(&path, vit(32, class_token)).expect("it fits");
        assert_eq!(same.resized, None);
        // Without its class token, the embedding is that of no square.
        assert!(weights::load(&path, vit(to, !class_token)).is_err());
    }
}

#[test]
fn half_precision_is_read_as_float32() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("half.safetensors");
    let encoder = tiny_resnet();
    // 1 in bfloat16 is 0x3f80.
    let tensors: BTreeMap<_, _> = named::collect(&encoder)
        .into_iter()
        .map(|(name, data)| (name, (data.shape().to_vec(), [0x80, 0x3f].repeat(data.num_elements()))))
        .collect();
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        (name, TensorView::new(Dtype::BF16, shape.clone(), bytes).expect("two bytes per value"))
    });
    std::fs::write(&path, safetensors::serialize(views, None).expect("valid tensors"))
        .expect("a writable folder");
    let loaded = weights::load(&path, encoder).expect("half precision");
    let ones = |data: &TensorData| data.iter::<f32>().all(|value| value == 1.0);
    assert!(named::collect(&loaded).values().all(ones));
}

#[test]
fn every_file_that_does_not_fit_is_refused_in_a_sentence_that_names_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str| folder.path().join(name);
    let resnet = AnyEncoder::ResNet(tiny_resnet());
    weights::save(&resnet, &file("whole"), &Artifact::new(&small_resnet_config(), Preprocessing::new(32)))
        .expect("a writable folder");
    std::fs::write(file("noise"), b"this is no weight file").expect("a writable folder");
    let bytes = std::fs::read(file("whole")).expect("the file");
    std::fs::write(file("cut"), &bytes[..bytes.len() / 2]).expect("a writable folder");

    let error = |path: PathBuf, encoder: AnyEncoder| {
        let sentence = weights::load(&path, encoder).expect_err("it does not fit").to_string();
        assert!(sentence.contains(&path.display().to_string()) && !sentence.contains('\n'), "{sentence}");
        sentence
    };
    let deeper = || {
        AnyEncoder::ResNet(ResNetConfig::new(BlockKind::Basic, [2, 1, 1, 1]).with_width(4).init(&mut init()))
    };
    let shallower =
        || AnyEncoder::ResNet(ResNetConfig::new(BlockKind::Basic, [1, 1]).with_width(4).init(&mut init()));
    let wider =
        || AnyEncoder::ResNet(ResNetConfig::new(BlockKind::Basic, [1; 4]).with_width(8).init(&mut init()));
    assert!(error(file("absent"), resnet.clone()).starts_with("cannot access the weights"));
    assert!(error(file("noise"), resnet.clone()).contains("is not a usable weight file"));
    assert!(error(file("cut"), resnet).contains("is not a usable weight file"));
    assert!(
        error(file("whole"), deeper()).contains("tensor 'layer1.1.conv1.weight' of the model is missing")
    );
    assert!(
        error(file("whole"), shallower()).contains("tensor 'layer3.0.bn1.bias' of the file has no place")
    );
    let sentence = error(file("whole"), wider());
    let shapes = "tensor 'conv1.weight' has shape [4, 3, 7, 7] in the file and [8, 3, 7, 7] in the model";
    assert!(sentence.ends_with(shapes), "{sentence}");
    let sentence = error(file("whole"), AnyEncoder::Vit(tiny_vit()));
    assert!(
        sentence.contains("found 'bn1.bias', ") && sentence.contains("names like 'blocks.0."),
        "{sentence}"
    );
}

#[test]
fn files_of_others_and_checkpoints_have_no_description() {
    assert_eq!(Artifact::read(&golden("features.safetensors")).expect("a readable file"), None);
    assert_eq!(Artifact::read(&golden("moco.pth")).expect("a readable file"), None);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("student.safetensors");
    std::fs::write(&path, named::encode(&named::collect(&tiny_resnet()), "checkpoint"))
        .expect("a writable folder");
    assert_eq!(Artifact::read(&path).expect("a readable file"), None);
    weights::load(&path, tiny_resnet()).expect("the tensors are those of an encoder");
}

#[test]
fn embeddings_are_no_encoder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("features.safetensors");
    let rows = Kind::Embeddings { files: vec!["a.png".into()], classes: None };
    let artifact = Artifact::new(&small_resnet_config(), Preprocessing::new(32)).with_kind(rows);
    let features = TensorData::from([[0.5_f32, 1.0]]);
    artifact.write(&path, &[("features".to_owned(), features)].into()).expect("a writable folder");
    let error = weights::load(&path, tiny_resnet()).expect_err("another kind");
    assert!(matches!(error, WeightsError::Kind { .. }));
    assert_eq!(error.to_string(), format!("{} holds embeddings, expected an encoder", path.display()));
}

/// Run by CI, with Debian's torchvision.
#[test]
#[ignore = "needs a Python with torch and torchvision, named by BURN_SSL_PYTHON"]
fn torchvision_loads_an_export_strictly_and_computes_the_same_features() {
    let python = std::env::var("BURN_SSL_PYTHON").expect("BURN_SSL_PYTHON names a Python with torchvision");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for model in ["resnet18", "resnet50"] {
        let config = EncoderConfig::named(model);
        let encoder = config.init(224, &mut init()).expect("a named model");
        // One pass in training mode, so that the running statistics differ from the initial ones.
        encoder.encode(waves([8, 3, 64, 64]), &Pass::train());
        let (export, case) =
            (folder.path().join("export.safetensors"), folder.path().join("case.safetensors"));
        weights::save(&encoder, &export, &Artifact::new(&config, Preprocessing::new(224)))
            .expect("a writable folder");
        let pixels = waves([2, 3, 96, 96]);
        let features = encoder.encode(pixels.clone(), &Pass::eval()).into_data();
        let tensors = [("pixels".to_owned(), pixels.into_data()), ("features".to_owned(), features)].into();
        std::fs::write(&case, named::encode(&tensors, "")).expect("a writable folder");

        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/baseline/export_check.py");
        let mut check = Command::new(&python);
        check.arg(script).args(["--model", model, "--tolerance", &TOLERANCE.to_string()]);
        check.arg("--weights").arg(&export).arg("--pixels").arg(&case);
        let output = check.output().expect("Python starts");
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{model}: {text}");
        eprintln!("{model}: {text}");
    }
}

fn init() -> Init {
    Init::new(0, &DeviceSpec::Flex.open().expect("flex is compiled in"))
}

fn small_resnet_config() -> EncoderConfig {
    EncoderConfig { width: 4, ..EncoderConfig::named("resnet18") }
}

fn tiny_resnet() -> ResNet {
    ResNetConfig::new(BlockKind::Basic, [1, 1, 1, 1]).with_width(4).init(&mut init())
}

/// Same as `write_registers` in `golden/make.py`.
fn registers_config() -> VitConfig {
    let config = VitConfig::new(16, 2, 2).with_image_size(32).with_patch_size(8);
    config.with_registers(3).with_layer_scale(1e-5)
}

fn registers_vit() -> Vit {
    registers_config().init(&mut init())
}

fn tiny_vit() -> Vit {
    VitConfig::new(16, 1, 2).with_image_size(32).with_patch_size(8).init(&mut init())
}

/// Pixels that differ.
fn waves(shape: [usize; 4]) -> Tensor<4> {
    let count: usize = shape.iter().product();
    Tensor::<1, Int>::arange(0..count as i64, init().device()).float().mul_scalar(0.7).sin().reshape(shape)
}

/// One line per tensor: name and shape.
fn names(module: &impl Module) -> String {
    named::collect(module).iter().map(|(name, data)| line(name, &data.shape().to_vec())).collect()
}

fn line(name: &str, shape: &[usize]) -> String {
    let shape: String = shape.iter().map(|length| format!(" {length}")).collect();
    format!("{name}{shape}\n")
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn golden_text(name: &str) -> String {
    std::fs::read_to_string(golden(name)).expect("a golden file")
}

fn golden_tensor<const D: usize>(name: &str) -> Tensor<D> {
    golden_of("features", name)
}

fn golden_of<const D: usize>(file: &str, name: &str) -> Tensor<D> {
    let bytes = std::fs::read(golden(&format!("{file}.safetensors"))).expect("a golden file");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let view = file.tensor(name).expect("a tensor of the file");
    let data =
        TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), burn::tensor::DType::F32);
    Tensor::from_data(data, init().device())
}

fn assert_close<const D: usize>(got: &Tensor<D>, want: &Tensor<D>) {
    assert_eq!(got.dims(), want.dims());
    let largest: f32 = want.clone().abs().max().into_scalar();
    let difference: f32 = (got.clone() - want.clone()).abs().max().into_scalar();
    assert!(difference <= TOLERANCE * largest, "features differ by {difference}, the largest is {largest}");
}
