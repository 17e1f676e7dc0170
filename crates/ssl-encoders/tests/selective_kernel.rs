//! ResNets with selective kernels: checked against SimCLR v2's definition in PyTorch, and their size against the paper.

mod common;

use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use common::{Tensors, gradients_by_path, under};
use ssl_core::{DeviceSpec, Encoder, Init, Pass, named};
use ssl_encoders::{BlockKind, EncoderConfig, ResNet, ResNetConfig, Stem};

/// Largest difference from float64, relative to the largest value of a tensor.
const TOLERANCE: f32 = 1e-4;

#[test]
fn features_and_running_statistics_are_those_of_the_definition() {
    let golden = golden();
    let network = golden_network(&golden);
    assert_close("train", network.encode(pixels(&golden), &Pass::train()).into_data(), &golden["train"]);
    let tensors = named::collect(&network);
    for (path, running) in under(&golden, "after.") {
        assert_close(&path, tensors[&path].clone(), &running);
    }
    assert_close("eval", network.encode(pixels(&golden), &Pass::eval()).into_data(), &golden["eval"]);
}

#[test]
fn gradients_are_those_of_the_definition() {
    let golden = golden();
    let network = golden_network(&golden);
    let images = pixels(&golden).require_grad();
    let weights = Tensor::<2>::from_data(golden["weights"].clone(), init().device());
    let gradients = (network.encode(images.clone(), &Pass::train()) * weights).sum().backward();
    let of_images = images.grad(&gradients).expect("images are tracked").into_data();
    assert_close("pixels", of_images, &golden["grad_pixels"]);

    let wanted = under(&golden, "grad.");
    let got = gradients_by_path(&network, GradientsParams::from_grads(gradients, &network));
    assert_eq!(got.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (path, gradient) in got {
        assert_close(&path, gradient, &wanted[&path]);
    }
}

/// Table 1 of SimCLR v2 and the official README: 24, 43 and 58 million without selective kernels, 35, 65 and 89 with.
#[test]
fn the_number_of_parameters_is_that_of_the_paper() {
    let depths = [
        (ResNetConfig::resnet50 as fn() -> ResNetConfig, 24.0, 35.0),
        (ResNetConfig::resnet101, 43.0, 65.0),
        (ResNetConfig::resnet152, 58.0, 89.0),
    ];
    for (config, plain, selective) in depths {
        let millions = |config: ResNetConfig| parameters_at_width_64(&config) as f64 / 1e6;
        let (found, found_selective) = (millions(config()), millions(config().with_selective_kernel(true)));
        assert_eq!((found.round(), found_selective.round()), (plain, selective), "{:?}", config().layers);
    }
}

/// Every layer has `a · width² + b · width + c` parameters, since up to a width of 64 the attention has 32 channels in
/// every stage; so three narrow networks determine the number for a wide one.
fn parameters_at_width_64(config: &ResNetConfig) -> i64 {
    let count = |width: usize| -> i64 {
        let network = config.clone().with_width(width).init(&mut init());
        let parameters = named::collect(&network).into_iter().filter(|(path, _)| !named::is_buffer(path));
        parameters.map(|(_, data)| data.num_elements() as i64).sum()
    };
    let (two, four, six) = (count(2), count(4), count(6));
    // Newton's forward differences with steps of 2: width 64 is 31 steps away.
    two + 31 * (four - two) + 31 * 30 / 2 * (six - 2 * four + two)
}

#[test]
fn names_are_torchvisions_where_it_has_the_layer() {
    let paths = |selective| {
        let config = ResNetConfig::new(BlockKind::Bottleneck, [2, 1]).with_width(4);
        named::collect(&config.with_selective_kernel(selective).init(&mut init())).into_keys()
    };
    let plain: Vec<String> = paths(false).collect();
    let (shared, more): (Vec<_>, Vec<_>) = paths(true).partition(|path| plain.contains(path));
    assert_eq!(shared, plain);
    assert!(more.iter().all(|path| path.starts_with("deep_stem.") || path.contains(".attn.")), "{more:?}");
}

#[test]
fn both_stems_take_images_of_any_size_and_batch_norm_in_groups() {
    for stem in [Stem::Cifar, Stem::ImageNet] {
        let config = ResNetConfig::new(BlockKind::Bottleneck, [1, 1, 1]).with_width(4).with_stem(stem);
        let network = config.with_selective_kernel(true).with_bn_splits(2).init(&mut init());
        for size in [17, 24] {
            let images = Tensor::ones([4, 3, size, size], init().device());
            assert_eq!(network.encode(images, &Pass::train()).dims(), [4, 64], "{stem:?} {size}");
        }
    }
}

#[test]
fn a_recipe_asks_for_it_by_one_key() {
    let text = "name = \"resnet50\"\nwidth = 4\nselective_kernel = true";
    let config: EncoderConfig = toml::from_str(text).expect("a valid section");
    let encoder = config.init(32, &mut init()).expect("a valid configuration");
    assert!(named::collect(&encoder).contains_key("layer1.0.attn.fc_select.weight"));
}

fn init() -> Init {
    Init::new(0, &DeviceSpec::Flex.open().expect("flex is compiled in").autodiff())
}

fn golden() -> Tensors {
    common::golden("selective_kernel")
}

fn golden_network(golden: &Tensors) -> ResNet {
    let config = ResNetConfig::new(BlockKind::Bottleneck, [2, 1]).with_width(4).with_selective_kernel(true);
    named::load(config.init(&mut init()), under(golden, "init.")).expect("the names of the golden file")
}

fn pixels(golden: &Tensors) -> Tensor<4> {
    Tensor::from_data(golden["pixels"].clone(), init().device())
}

fn assert_close(name: &str, got: TensorData, want: &TensorData) {
    assert_eq!(got.shape(), want.shape(), "{name}");
    // Taking the maximum of some differences would skip NaN.
    assert!(got.iter::<f32>().all(f32::is_finite), "{name} is not finite");
    let largest = want.iter::<f32>().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let difference =
        got.iter::<f32>().zip(want.iter::<f32>()).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(difference <= TOLERANCE * largest, "{name} differs by {difference}, the largest is {largest}");
}
