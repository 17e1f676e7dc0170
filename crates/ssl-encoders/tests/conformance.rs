//! Checks the encoders against the golden values of the conformance suite.

mod common;

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Bool, Int, Tensor, TensorData};
use common::gradients_by_path;
use ssl_core::named::{self, is_buffer};
use ssl_core::{Encoder, Init, Masking, Pass, TokenEncoder, Tokens};
use ssl_encoders::vit::resize_pos_embed;
use ssl_encoders::{BlockKind, ResNetConfig, Stem, VitConfig};
use ssl_testing::tensors::{array, data, device, tensor};
use ssl_testing::{Case, LossInputs, Outputs};

#[test]
fn a_resnet_computes_features_gradients_and_running_statistics_as_torchvision_does() {
    for case in Case::of("model", "resnet") {
        let encoder = with_initial_values(resnet(&case).init(&mut init()), &case);
        let mut outputs = train_step(&case, &encoder, "out.train", |x| encoder.encode(x, &Pass::train()));
        let buffers = named::collect(&encoder).into_iter().filter(|(path, _)| is_buffer(path));
        outputs.extend(buffers.map(|(path, data)| (format!("out.buffer.{path}"), array(&data))));
        let images = tensor(&case, "in.x").expect("images of the case");
        let evaluated = encoder.valid().encode(images, &Pass::eval());
        outputs.insert("out.eval".to_owned(), array(&evaluated.into_data()));
        case.assert_passes(&outputs);
    }
}

#[test]
fn a_vit_computes_features_and_gradients_as_timm_does() {
    for case in Case::of("model", "vit") {
        let encoder = with_initial_values(vit(&case).init(&mut init()), &case);
        let outputs = train_step(&case, &encoder, "out.cls", |x| encoder.encode(x, &Pass::train()));
        case.assert_passes(&outputs);
    }
}

#[test]
fn a_vit_computes_tokens_as_mae_ijepa_ibot_and_dinov2_do() {
    for case in Case::of("model", "vit_tokens") {
        let encoder = with_initial_values(vit(&case).init(&mut init()), &case);
        let outputs = train_step(&case, &encoder, "out.tokens", |images| {
            in_one(encoder.encode_tokens(images, masking(&case), &Pass::train()))
        });
        case.assert_passes(&outputs);
    }
}

#[test]
fn a_position_embedding_is_resized_as_dino_does() {
    for case in Case::of("model", "pos_embed_resize") {
        let grid = case.param("grid_out").expect("two numbers");
        let given = tensor(&case, "in.pos_embed").expect("a position embedding of the case");
        let resized = array(&resize_pos_embed(given, grid).into_data());
        case.assert_passes(&Outputs::from([("out.pos_embed".to_owned(), resized)]));
    }
}

fn init() -> Init {
    Init::new(0, &device().autodiff())
}

fn resnet(case: &Case) -> ResNetConfig {
    let arch: BTreeMap<String, serde_json::Value> = case.param("arch").expect("an object");
    let number = |key: &str| usize::try_from(arch[key].as_u64().expect("a number")).expect("a small number");
    let block: BlockKind = serde_json::from_value(arch["block"].clone()).expect("a kind of block");
    let stem: Stem = serde_json::from_value(arch["stem"].clone()).expect("a stem");
    let layers: Vec<usize> = serde_json::from_value(arch["layers"].clone()).expect("numbers of blocks");
    ResNetConfig::new(block, layers)
        .with_width(number("width"))
        .with_stem(stem)
        .with_bn_splits(number("splits"))
}

fn vit(case: &Case) -> VitConfig {
    let arch: BTreeMap<String, serde_json::Value> = case.param("arch").expect("an object");
    let number = |key: &str| usize::try_from(arch[key].as_u64().expect("a number")).expect("a small number");
    let flag = |key: &str, default| arch.get(key).map_or(default, |flag| flag.as_bool().expect("a flag"));
    let config = VitConfig::new(number("dim"), number("depth"), number("heads"));
    let config = config.with_image_size(number("image")).with_patch_size(number("patch"));
    VitConfig {
        mlp_ratio: number("mlp_ratio"),
        class_token: flag("cls_token", true),
        registers: if arch.contains_key("registers") { number("registers") } else { 0 },
        mask_token: flag("mask_token", false),
        layer_scale: flag("layer_scale", false).then_some(1.0),
        ..config
    }
}

/// The mask of a case, if it has one: `in.ids_keep` or `in.mask`.
fn masking(case: &Case) -> Masking {
    let device = device();
    if let Ok((shape, places)) = case.i64("in.ids_keep") {
        let places = TensorData::new(places.to_vec(), shape.to_vec());
        return Masking::Keep(Tensor::<2, Int>::from_data(places, &device));
    }
    let Ok((shape, mask)) = case.i64("in.mask") else { return Masking::None };
    let mask = TensorData::new(mask.iter().map(|&hidden| hidden == 1).collect(), shape.to_vec());
    Masking::Replace(Tensor::<3, Bool>::from_data(mask, &device).flatten(1, 2))
}

/// Class token, registers and patches, as far as present, `[batch, token, dim]`.
fn in_one(tokens: Tokens) -> Tensor<3> {
    let class = tokens.class.map(|class| class.unsqueeze_dim(1));
    Tensor::cat(class.into_iter().chain(tokens.registers).chain([tokens.patches]).collect(), 1)
}

fn with_initial_values<M: Module>(encoder: M, case: &Case) -> M {
    let tensors = case.under("init").map(|(path, array)| (path.to_owned(), data(array))).collect();
    named::load(encoder, tensors).expect("the names of the case are those of the network")
}

/// The output of `encode` for the images of the case, the loss of the case and its gradients.
fn train_step<const D: usize>(
    case: &Case,
    encoder: &impl Module,
    features_name: &str,
    encode: impl Fn(Tensor<4>) -> Tensor<D>,
) -> Outputs {
    let mut inputs = LossInputs::of(case);
    let features = encode(inputs.take_one("x").expect("images of the case"));
    let weights = tensor(case, "in.loss_weights").expect("weights of the case");
    let loss = (features.clone() * weights).sum();
    let (mut outputs, gradients) = inputs.backward(loss).expect("the images get a gradient");
    outputs.insert(features_name.to_owned(), array(&features.into_data()));

    let gradients = GradientsParams::from_grads(gradients, encoder);
    let by_path = gradients_by_path(encoder, gradients).into_iter();
    outputs.extend(by_path.map(|(path, gradient)| (format!("grad.param.{path}"), array(&gradient))));
    outputs
}
