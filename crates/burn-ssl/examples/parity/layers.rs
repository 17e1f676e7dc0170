//! The layers of the networks one by one, to locate errors of a backend.

use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, module};
use burn_ssl::core::Init;
use burn_ssl::core::math::l2_normalize;
use burn_ssl::core::nn::{batch_norm_relu_train, gelu, relu};

use crate::Case;
use crate::inputs::Inputs;
use crate::record::Record;

/// One case per layer, on images `[6, 4, 8, 8]` or rows `[6, 10]`, and a weight.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        case("matmul", [6, 10], [10, 4], |x, w| x.matmul(w)),
        case("linear", [6, 10], [10, 4], |x, w| module::linear(x, w, None)),
        case("relu", [6, 10], [6, 10], |x, w| relu(x * w)),
        case("gelu", [6, 10], [6, 10], |x, w| gelu(x * w)),
        case("softmax", [6, 10], [6, 10], |x, w| softmax(x * w, 1)),
        case("mean and variance", [6, 10], [6, 10], |x, w| {
            let x = x * w;
            let centred = x.clone() - x.mean_dim(0);
            centred.clone() / (centred.square().mean_dim(0) + 1e-5).sqrt()
        }),
        case("batch norm of rows", [6, 10], [1, 10], |x, w| normalised(x, w.reshape([10]))),
        case("batch norm of images", [6, 4, 8, 8], [1, 4, 1, 1], |x, w| normalised(x, w.reshape([4]))),
        case("convolution 3 x 3", [6, 4, 8, 8], [5, 4, 3, 3], |x, w| conv2d(x, w, 1, 1)),
        case("convolution 3 x 3, stride 2", [6, 4, 8, 8], [5, 4, 3, 3], |x, w| conv2d(x, w, 2, 1)),
        case("convolution 1 x 1, stride 2", [6, 4, 8, 8], [5, 4, 1, 1], |x, w| conv2d(x, w, 2, 0)),
        // From sixteen channels on, ours are those after Winograd.
        case("convolution 3 x 3 of 16", [6, 16, 9, 9], [16, 16, 3, 3], |x, w| conv2d(x, w, 1, 1)),
        case("convolution 3 x 3, 20 to 35", [6, 20, 8, 8], [35, 20, 3, 3], |x, w| conv2d(x, w, 1, 1)),
        case("convolution 3 x 3 of 16, stride 2", [6, 16, 9, 9], [32, 16, 3, 3], |x, w| conv2d(x, w, 2, 1)),
        case("convolution 1 x 1 of 16", [6, 16, 8, 8], [24, 16, 1, 1], |x, w| conv2d(x, w, 1, 0)),
        case("convolution 1 x 1 of 16, stride 2", [6, 16, 8, 8], [32, 16, 1, 1], |x, w| conv2d(x, w, 2, 0)),
        case("convolution 7 x 7, stride 2", [6, 3, 24, 24], [16, 3, 7, 7], |x, w| conv2d(x, w, 2, 3)),
        case("batch norm of 20 channels", [6, 20, 8, 8], [1, 20, 1, 1], |x, w| {
            normalised(x, w.reshape([20]))
        }),
        case("convolution, batch norm, relu", [6, 4, 8, 8], [5, 4, 3, 3], rectified),
        case("convolution of 16, batch norm, relu", [6, 16, 8, 8], [16, 16, 3, 3], rectified),
        case("residual sum", [6, 4, 8, 8], [4, 4, 3, 3], residual),
        case("residual sum of 16", [6, 16, 8, 8], [16, 16, 3, 3], residual),
        case("mean over pixels", [6, 4, 8, 8], [1, 4, 1, 1], |x, w| (x * w).mean_dim(3).mean_dim(2)),
        case("rows of length one", [6, 10], [6, 10], |x, w| l2_normalize(x * w, 1e-12)),
        case("head", [6, 10], [10, 10], |x, w| {
            let norm = || Tensor::ones([10], &x.device());
            let hidden = relu(normalised(x.clone().matmul(w.clone()), norm()));
            l2_normalize(normalised(hidden.matmul(w), norm()), 1e-12)
        }),
    ]
}

/// A convolution, batch norm and a rectifier, as one kernel where there is one.
fn rectified(x: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
    after_batch_norm(conv2d(x, weight, 1, 1), None)
}

/// The same with a shortcut, on channels that the convolution keeps.
fn residual(x: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
    let x = relu(x * 2.0);
    after_batch_norm(conv2d(x.clone(), weight, 1, 1), Some(x))
}

fn after_batch_norm(x: Tensor<4>, shortcut: Option<Tensor<4>>) -> Tensor<4> {
    let weight = Tensor::ones([x.dims()[1]], &x.device());
    let bias = weight.zeros_like();
    batch_norm_relu_train(x, weight, bias, shortcut, 1e-5).output
}

fn conv2d(x: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    burn_ssl::core::nn::conv2d(x, weight, None, stride, padding)
}

fn normalised<const D: usize>(x: Tensor<D>, weight: Tensor<1>) -> Tensor<D> {
    let bias = weight.zeros_like();
    burn_ssl::core::nn::batch_norm_train(x, weight, bias, 1e-5).output
}

fn case<const D: usize>(
    name: &str,
    input: [usize; D],
    weight: [usize; D],
    layer: fn(Tensor<D>, Tensor<D>) -> Tensor<D>,
) -> Case {
    Case::new(format!("layer {name}"), move |inputs| output_and_gradients(input, weight, layer, inputs))
}

/// The output, and the gradients of `Σ y sin(y)`, which weighs every element on its own.
fn output_and_gradients<const D: usize>(
    input: [usize; D],
    weight: [usize; D],
    layer: fn(Tensor<D>, Tensor<D>) -> Tensor<D>,
    inputs: &Inputs,
) -> Record {
    let mut draws = Init::new(0, &inputs.device().clone().autodiff());
    let mut normal = |shape| inputs.tensor(draws.normal(shape, 1.0).val()).require_grad();
    let (x, w): (Tensor<D>, Tensor<D>) = (normal(input), normal(weight));
    let y = layer(x.clone(), w.clone());
    let gradients = (y.clone() * y.clone().sin()).sum().backward();
    let mut record = Record::default();
    record.insert("output", "", y);
    for (name, tensor) in [("input", x), ("weight", w)] {
        record.insert("gradient", name, tensor.grad(&gradients).expect("the output depends on it"));
    }
    record
}
