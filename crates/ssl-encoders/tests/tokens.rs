//! A ViT as a token encoder: masks, registers, intermediate blocks, attention and drop-path.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Bool, Int, Tensor, TensorData, Tolerance};
use ssl_core::{DeviceSpec, Draws, Encoder, Init, Masking, Pass, TokenEncoder, Tokens, named};
use ssl_encoders::{AnyEncoder, BlockKind, ResNetConfig, Vit, VitConfig};

#[test]
fn kept_patches_have_the_tokens_of_the_full_pass_where_no_token_sees_another() {
    // Without blocks, nothing mixes the tokens.
    for class_token in [true, false] {
        let vit = config(0).with_class_token(class_token).with_registers(2).init(&mut init());
        for pixels in [[16, 16], [8, 20]] {
            let all = tokens(&vit, waves(pixels), Masking::None);
            let kept = tokens(&vit, waves(pixels), Masking::Keep(places()));
            let rows = places().unsqueeze_dim::<3>(2).expand([2, 3, 16]);
            assert_close(kept.patches, all.patches.gather(1, rows));
            assert_eq!(kept.registers.map(data), all.registers.map(data));
            assert_eq!(kept.class.map(data), all.class.map(data));
        }
    }
}

#[test]
fn the_order_of_kept_patches_is_that_of_their_tokens_and_changes_nothing_else() {
    let vit = config(2).with_registers(1).init(&mut init());
    let flipped = tokens(&vit, waves([16, 16]), Masking::Keep(places().flip([1])));
    let kept = tokens(&vit, waves([16, 16]), Masking::Keep(places()));
    assert_close(flipped.patches, kept.patches.clone().flip([1]));
    assert_close(flipped.class.expect("a class token"), kept.class.expect("a class token"));
    let all = tokens(&vit, waves([16, 16]), Masking::None);
    let first = |tokens: Tensor<3>| data(tokens.slice([0..1, 0..1]));
    assert_ne!(first(kept.patches), first(all.patches.slice_dim(1, 14..15)), "the others are out of sight");
}

#[test]
fn pixels_below_the_mask_token_get_no_gradient_and_all_others_do() {
    let vit = config(2).with_mask_token(true).init(&mut Init::new(0, &device().autodiff()));
    let images = Tensor::<4>::from_data(waves([16, 16]).into_data(), &device().autodiff()).require_grad();
    let tokens = vit.encode_tokens(images.clone(), Masking::Replace(mask()), &Pass::train());
    let gradients = (tokens.patches.powi_scalar(3)).sum().backward();
    let gradient: Vec<f32> =
        images.grad(&gradients).expect("images are tracked").into_data().iter().collect();
    let hidden: Vec<bool> = mask().into_data().iter().collect();
    for (index, value) in gradient.into_iter().enumerate() {
        let (image, row, column) = (index / (3 * 256), index / 16 % 16 / 4, index % 16 / 4);
        assert_eq!(value == 0.0, hidden[image * 16 + row * 4 + column], "value {value} at {index}");
    }
}

#[test]
fn a_mask_of_nothing_changes_nothing_and_a_mask_of_all_hides_the_image() {
    let vit = config(2).with_mask_token(true).init(&mut init());
    let masked = |images, value: bool| {
        let mask = TensorData::new(vec![value; 32], [2, 16]);
        tokens(&vit, images, Masking::Replace(Tensor::from_data(mask, &device()))).patches
    };
    let images = waves([16, 16]);
    let all = tokens(&vit, images.clone(), Masking::None).patches;
    assert_eq!(data(masked(images.clone(), false)), data(all));
    assert_eq!(data(masked(images.clone(), true)), data(masked(images * 2.0 + 1.0, true)));
}

#[test]
fn registers_have_no_position_and_the_class_token_has_one() {
    let vit = config(0).with_registers(2).init(&mut init());
    let without = changed(&vit, config(0).with_registers(2), |path, data| match path {
        "pos_embed" => TensorData::new(vec![0.0_f32; data.num_elements()], data.shape().to_vec()),
        _ => data,
    });
    let (one, other) =
        (tokens(&vit, waves([16, 16]), Masking::None), tokens(&without, waves([8, 20]), Masking::None));
    assert_eq!(one.registers.map(data), other.registers.map(data));
    assert_ne!(one.class.map(data), other.class.map(data));
}

#[test]
fn the_last_block_gives_the_tokens_and_those_before_it_what_a_shallower_network_gives() {
    let deep = config(3).with_registers(1).init(&mut init());
    let shallow = changed(&deep, config(2).with_registers(1), |_, data| data);
    let images = || waves([16, 16]);
    let blocks = deep.last_blocks(images(), 2, &Pass::eval());
    assert_eq!(blocks.len(), 2);
    assert_same(&blocks[0], &tokens(&shallow, images(), Masking::None));
    assert_same(&blocks[1], &tokens(&deep, images(), Masking::None));
    assert_same(&deep.last_blocks(images(), 1, &Pass::eval())[0], &blocks[1]);
}

#[test]
fn the_attention_of_the_class_token_is_that_of_a_computation_by_hand() {
    let config = config(2).with_registers(1);
    let vit = config.init(&mut init());
    let found = vit.class_attention(waves([16, 16]), &Pass::eval());
    assert_eq!(found.dims(), [2, 2, 16]);
    // The input of the last block, before any norm: a network whose final norm is the identity cannot be built, so the
    // norm of the last block replaces the final norm, with the same result.
    let tensors = named::collect(&vit);
    let shallow = changed(&vit, VitConfig { depth: 1, ..config }, |path, data| match path {
        "norm.weight" => tensors["blocks.1.norm1.weight"].clone(),
        "norm.bias" => tensors["blocks.1.norm1.bias"].clone(),
        _ => data,
    });
    let input = tokens(&shallow, waves([16, 16]), Masking::None);
    let class = input.class.expect("a class token").unsqueeze_dim(1);
    let input = Tensor::cat(vec![class, input.registers.expect("registers"), input.patches], 1);
    let expected = attention_by_hand(&data(input), &tensors, 2);
    for (found, expected) in data(found).iter::<f32>().zip(expected) {
        assert!((f64::from(found) - expected).abs() < 1e-5, "{found} and {expected}");
    }
}

/// The attention of the first of 18 tokens of length 16 to the last 16, `[image, head, patch]`.
fn attention_by_hand(input: &TensorData, tensors: &BTreeMap<String, TensorData>, heads: usize) -> Vec<f64> {
    let values = |data: &TensorData| data.iter::<f32>().map(f64::from).collect::<Vec<_>>();
    let (input, weight) = (values(input), values(&tensors["blocks.1.attn.qkv.weight"]));
    let bias = values(&tensors["blocks.1.attn.qkv.bias"]);
    let output = |token: &[f64], row: usize| -> f64 {
        bias[row] + token.iter().zip(&weight[row * 16..]).map(|(x, w)| x * w).sum::<f64>()
    };
    let mut attention = Vec::new();
    for image in input.chunks(18 * 16) {
        let tokens: Vec<&[f64]> = image.chunks(16).collect();
        for head in 0..heads {
            let channels = head * 16 / heads..(head + 1) * 16 / heads;
            let logit = |token: &&[f64]| -> f64 {
                let products = channels.clone().map(|i| output(tokens[0], i) * output(token, 16 + i));
                products.sum::<f64>() / (16.0 / heads as f64).sqrt()
            };
            let exponentials: Vec<f64> = tokens.iter().map(|token| logit(token).exp()).collect();
            let sum: f64 = exponentials.iter().sum();
            attention.extend(exponentials[2..].iter().map(|value| value / sum));
        }
    }
    attention
}

#[test]
fn the_feature_is_the_class_token_or_the_mean_of_the_patches() {
    for class_token in [true, false] {
        let vit = config(2).with_class_token(class_token).with_registers(2).init(&mut init());
        let tokens = tokens(&vit, waves([16, 16]), Masking::None);
        assert_eq!(tokens.class.is_some(), class_token);
        assert_eq!(
            (tokens.registers.as_ref().map(Tensor::dims), tokens.patches.dims()),
            (Some([2, 2, 16]), [2, 16, 16])
        );
        let feature = vit.encode(waves([16, 16]), &Pass::eval());
        assert_eq!(feature.dims(), [2, vit.feature_dim()]);
        assert_close(feature, tokens.pooled());
    }
}

#[test]
fn the_class_token_alone_is_that_of_all_tokens_and_has_its_gradients() {
    let device = device().autodiff();
    let drawn = || Pass::train().with_draws(Draws::new(7, 3, 0), "student");
    let configs = [
        config(0),
        config(1),
        config(2).with_registers(2),
        config(2).with_layer_scale(0.3),
        config(2).with_layer_scale(0.3).with_drop_path(0.5),
    ];
    for config in configs {
        let vit = config.init(&mut Init::new(0, &device));
        let run = |alone: bool| {
            let images = Tensor::cat(vec![waves([16, 16]); 4], 0);
            let images = Tensor::<4>::from_inner(images).require_grad();
            let masking = Masking::Keep(Tensor::from_inner(Tensor::cat(vec![places(); 4], 0)));
            let class = match alone {
                true => vit.encode_class(images.clone(), masking, &drawn()),
                false => vit.encode_tokens(images.clone(), masking, &drawn()).class,
            };
            let class = class.expect("a class token");
            let weights = Tensor::arange(0..class.dims()[1] as i64, &device).float().unsqueeze();
            let gradients = (class.clone() * weights).sum().backward();
            let mut of_parameters = Gradients { of: &gradients, found: Vec::new() };
            vit.visit(&mut of_parameters);
            (class.inner(), images.grad(&gradients).expect("a gradient"), of_parameters.found)
        };
        let ((class, images, parameters), (all, of_all, all_parameters)) = (run(true), run(false));
        assert_close(class, all);
        assert_close(images, of_all);
        assert_eq!(parameters.len(), all_parameters.len());
        for (found, expected) in parameters.iter().zip(&all_parameters) {
            found.assert_approx_eq::<f32>(expected, Tolerance::rel_abs(1e-4, 1e-5));
        }
    }
}

#[test]
fn a_dense_map_has_each_patch_at_its_place() {
    let vit = config(1).with_registers(1).init(&mut init());
    let map = vit.feature_map(waves([8, 20]), &Pass::eval()).expect("a ViT has one");
    assert_eq!((map.dims(), vit.patch_grid([8, 20])), ([2, 16, 2, 5], [2, 5]));
    let patches = tokens(&vit, waves([8, 20]), Masking::None).patches;
    let place = map.slice([1..2, 0..16, 1..2, 3..4]);
    assert_eq!(data(place.reshape([1, 1, 16])), data(patches.slice([1..2, 8..9, 0..16])));
}

#[test]
fn the_feature_of_a_resnet_is_the_mean_of_its_map() {
    let resnet = ResNetConfig::new(BlockKind::Basic, [1, 1]).with_width(4).init(&mut init());
    let map = resnet.feature_map(waves([32, 48]), &Pass::eval()).expect("a ResNet has one");
    assert_eq!(map.dims(), [2, resnet.feature_dim(), 4, 6]);
    let mean = map.mean_dim(2).mean_dim(3).reshape([2, resnet.feature_dim()]);
    assert_close(resnet.encode(waves([32, 48]), &Pass::eval()), mean);
}

#[test]
fn of_the_encoders_of_a_recipe_only_a_vit_has_tokens() {
    let resnet = AnyEncoder::ResNet(ResNetConfig::new(BlockKind::Basic, [1]).with_width(4).init(&mut init()));
    assert!(resnet.tokens().is_none() && resnet.feature_map(waves([8, 8]), &Pass::eval()).is_some());
    let vit = config(1).init(&mut init());
    let any = AnyEncoder::Vit(vit.clone());
    let encoder = any.tokens().expect("a ViT has tokens");
    assert_eq!(encoder.token_dim(), 16);
    let found = encoder.encode_tokens(waves([16, 16]), Masking::None, &Pass::eval());
    assert_same(&found, &tokens(&vit, waves([16, 16]), Masking::None));
    assert!(any.feature_map(waves([16, 16]), &Pass::eval()).is_some());
}

#[test]
fn parts_that_are_added_leave_the_initial_values_of_all_others_as_they_were() {
    let plain = named::collect(&config(2).init(&mut init()));
    let more = config(2).with_registers(4).with_mask_token(true).with_layer_scale(0.1).with_drop_path(0.1);
    let more = named::collect(&more.init(&mut init()));
    assert!(plain.iter().all(|(path, data)| more[path] == *data));
    let added: Vec<_> = more.iter().filter(|(path, _)| !plain.contains_key(*path)).collect();
    let shapes: Vec<_> = added.iter().map(|(path, data)| (path.as_str(), data.shape().to_vec())).collect();
    let scales = ["blocks.0.ls1.gamma", "blocks.0.ls2.gamma", "blocks.1.ls1.gamma", "blocks.1.ls2.gamma"];
    let mut expected: Vec<_> = scales.into_iter().map(|path| (path, vec![16])).collect();
    expected.extend([("mask_token", vec![1, 16]), ("register_tokens", vec![1, 4, 16])]);
    assert_eq!(shapes, expected);
}

#[test]
fn a_pass_leaves_out_the_same_branches_again_and_another_view_others() {
    let vit = config(4).with_drop_path(0.9).init(&mut init());
    let encode = |pass: &Pass| data(vit.encode(waves([16, 16]), pass));
    let pass = |step| Pass::train().with_draws(Draws::new(0, step, 0), "student");
    let one = encode(&pass(5).part("view", 0));
    assert_eq!(one, encode(&pass(5).part("view", 0)), "a resumed run makes the same choices");
    for other in [pass(5).part("view", 1), pass(6).part("view", 0), Pass::train()] {
        assert_ne!(one, encode(&other), "{other:?}");
    }
}

#[test]
fn nothing_is_left_out_in_evaluation_and_in_passes_without_draws() {
    let dropping = config(4).with_drop_path(0.9).init(&mut init());
    let whole = data(config(4).init(&mut init()).encode(waves([16, 16]), &Pass::eval()));
    let drawn = Pass::eval().with_draws(Draws::new(0, 0, 0), "student");
    for pass in [Pass::train(), Pass::batch_stats(), Pass::eval(), drawn] {
        assert_eq!(data(dropping.encode(waves([16, 16]), &pass)), whole, "{pass:?}");
    }
}

#[test]
#[should_panic(expected = "a ViT without a mask token cannot hide patches")]
fn replacing_patches_needs_a_mask_token() {
    tokens(&config(1).init(&mut init()), waves([16, 16]), Masking::Replace(mask()));
}

#[test]
#[should_panic(expected = "a mask of shape [2, 16] does not fit 2 images of 4 patches")]
fn a_mask_of_another_grid_is_refused() {
    let vit = config(1).with_mask_token(true).init(&mut init());
    tokens(&vit, waves([8, 8]), Masking::Replace(mask()));
}

#[test]
#[should_panic(expected = "kept places of 1 images do not fit a batch of 2")]
fn kept_places_of_another_batch_are_refused() {
    let vit = config(1).init(&mut init());
    tokens(&vit, waves([16, 16]), Masking::Keep(places().slice_dim(0, 0..1)));
}

#[test]
#[should_panic(expected = "patches of 4 pixels do not fill images of 16×18")]
fn a_grid_that_patches_do_not_fill_is_refused() {
    config(1).init(&mut init()).patch_grid([16, 18]);
}

#[test]
#[should_panic(expected = "a ViT of 1 blocks was asked for its last 2")]
fn more_blocks_than_there_are_are_refused() {
    config(1).init(&mut init()).last_blocks(waves([16, 16]), 2, &Pass::eval());
}

#[test]
#[should_panic(expected = "a ViT without a class token has no class-token attention")]
fn the_attention_of_a_missing_class_token_is_refused() {
    let vit = config(1).with_class_token(false).init(&mut init());
    vit.class_attention(waves([16, 16]), &Pass::eval());
}

/// The gradients of the parameters that have one.
struct Gradients<'a> {
    of: &'a burn::tensor::Gradients,
    found: Vec<TensorData>,
}

impl ModuleVisitor for Gradients<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        self.found.extend(parameter.grad(self.of).map(Tensor::into_data));
    }
}

fn device() -> burn::tensor::Device {
    DeviceSpec::Flex.open().expect("flex is compiled in")
}

fn init() -> Init {
    Init::new(0, &device())
}

/// Tokens of length 16 with 2 heads; a 4×4 grid of patches of 4 pixels.
fn config(depth: usize) -> VitConfig {
    VitConfig::new(16, depth, 2).with_image_size(16).with_patch_size(4)
}

/// The network of a configuration with another network's tensors, changed; tensors that it does not have are left out.
fn changed(vit: &Vit, config: VitConfig, change: impl Fn(&str, TensorData) -> TensorData) -> Vit {
    let fresh = config.init(&mut init());
    let own = named::collect(&fresh);
    let tensors = named::collect(vit).into_iter().filter(|(path, _)| own.contains_key(path));
    let tensors = tensors.map(|(path, data)| (path.clone(), change(&path, data))).collect();
    named::load(fresh, tensors).expect("the same shapes")
}

fn tokens(vit: &Vit, images: Tensor<4>, masking: Masking) -> Tokens {
    vit.encode_tokens(images, masking, &Pass::eval())
}

/// Two images whose pixels differ.
fn waves([height, width]: [usize; 2]) -> Tensor<4> {
    let count = 2 * 3 * height * width;
    let pixels = Tensor::<1, Int>::arange(0..count as i64, &device()).float().mul_scalar(0.7).sin();
    pixels.reshape([2, 3, height, width])
}

/// Three patches per image, out of order, for grids of at least 10.
fn places() -> Tensor<2, Int> {
    Tensor::from_data([[7, 0, 3], [2, 9, 1]], &device())
}

/// Every third patch of the first image and four of the second, on a grid of 16.
fn mask() -> Tensor<2, Bool> {
    let hidden = |index: usize| if index < 16 { index.is_multiple_of(3) } else { (20..24).contains(&index) };
    Tensor::from_data(TensorData::new((0..32).map(hidden).collect(), [2, 16]), &device())
}

fn data<const D: usize>(tensor: Tensor<D>) -> TensorData {
    tensor.into_data()
}

fn assert_close<const D: usize>(found: Tensor<D>, expected: Tensor<D>) {
    data(found).assert_approx_eq::<f32>(&data(expected), Tolerance::default());
}

fn assert_same(found: &Tokens, expected: &Tokens) {
    assert_eq!(found.class.clone().map(data), expected.class.clone().map(data));
    assert_eq!(found.registers.clone().map(data), expected.registers.clone().map(data));
    assert_eq!(data(found.patches.clone()), data(expected.patches.clone()));
}
