//! Outputs and gradients of the kernels, compared with Burn's generic operations in float32 and float64.

use burn::tensor::{DType, Device, Distribution, Tensor, TensorData, activation};

use crate::DeviceSpec;
use crate::ops::{
    AttentionInput, BatchNormOutput, SgdRates, add_scaled, attention, batch_norm, conv, depthwise_conv,
    layer_norm, linear, relu, sgd, with_backend_kernels,
};

/// Allowed error relative to the largest value of a tensor.
const TOLERANCE: f64 = 5e-5;

fn device() -> Device {
    DeviceSpec::Tch.open().expect("libtorch runs on every CPU")
}

fn drawn<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.5, 1.0), &device())
}

/// A tensor of the given precision that requires a gradient.
fn variable<const D: usize>(values: &Tensor<D>, dtype: DType) -> Tensor<D> {
    Tensor::<D>::from_inner(values.clone().cast(dtype)).require_grad()
}

/// `y`, then the gradients of `Σ y sin(y)`, which weights every element of `y` differently.
fn results<const D: usize>(
    y: Tensor<D>,
    inputs: &[&dyn Fn(&burn::tensor::Gradients) -> TensorData],
) -> Vec<TensorData> {
    let gradients = (y.clone() * y.clone().sin()).sum().backward();
    with_gradients(y, &gradients, inputs)
}

fn with_gradients<const D: usize>(
    y: Tensor<D>,
    gradients: &burn::tensor::Gradients,
    inputs: &[&dyn Fn(&burn::tensor::Gradients) -> TensorData],
) -> Vec<TensorData> {
    let gradients = inputs.iter().map(|input| input(gradients));
    std::iter::once(y.inner().into_data()).chain(gradients).collect()
}

fn gradient<const D: usize>(x: &Tensor<D>) -> impl Fn(&burn::tensor::Gradients) -> TensorData {
    let x = x.clone();
    move |gradients| x.grad(gradients).expect("a gradient").into_data()
}

fn assert_close(ours: &[TensorData], want: &[TensorData], about: &str) {
    assert_eq!(ours.len(), want.len());
    for (index, (ours, want)) in ours.iter().zip(want).enumerate() {
        assert_eq!(ours.shape(), want.shape(), "{about}, result {index}");
        // Taking the maximum of some errors would skip NaN.
        assert!(ours.iter::<f64>().all(f64::is_finite), "{about}, result {index} is not finite");
        let scale = want.iter::<f64>().fold(0.0, |scale: f64, value| scale.max(value.abs()));
        let error = ours
            .iter::<f64>()
            .zip(want.iter::<f64>())
            .fold(0.0, |error: f64, (a, b)| error.max((a - b).abs()));
        assert!(error <= TOLERANCE * scale, "{about}, result {index}: off by {error} of {scale}");
    }
}

#[test]
fn convolution_and_its_gradients_are_those_of_the_portable_operation_and_of_float64() {
    for (batch, from, to, size, kernel, stride, padding) in [
        (5, 3, 4, 8, 3, 1, 1),
        (4, 4, 6, 8, 3, 2, 1),
        (3, 4, 6, 9, 1, 2, 0),
        (2, 3, 5, 33, 7, 2, 3),
        (1, 16, 16, 4, 3, 1, 1),
        (8, 4, 8, 16, 1, 2, 0), // see `arranged` in conv.rs
        (8, 8, 8, 16, 1, 2, 0),
        (9, 16, 24, 12, 3, 1, 1), // Winograd
    ] {
        let (x, w) = (drawn([batch, from, size, size]), drawn([to, from, kernel, kernel]));
        let run = |dtype, convolve: fn(Tensor<4>, Tensor<4>, usize, usize) -> Tensor<4>| {
            let (x, w) = (variable(&x, dtype), variable(&w, dtype));
            results(convolve(x.clone(), w.clone(), stride, padding), &[&gradient(&x), &gradient(&w)])
        };
        let portable = |x, w, stride, padding| conv::portable(x, w, None, stride, padding);
        let about = format!("kernel {kernel}, stride {stride}");
        for convolve in [super::conv2d, super::conv::conv2d] {
            assert_close(&run(DType::F32, convolve), &run(DType::F64, portable), &about);
            assert_close(&run(DType::F32, convolve), &run(DType::F32, portable), &about);
        }
        assert_close(&run(DType::F64, super::conv2d), &run(DType::F64, portable), &about);
    }
}

#[test]
fn a_depthwise_convolution_and_its_gradients_are_those_of_float64() {
    for [batch, height, width, channels] in [[1, 1, 1, 1], [3, 5, 9, 17], [2, 16, 14, 32]] {
        let (x, w, b) =
            (drawn([batch, height, width, channels]), drawn([channels, 1, 7, 7]), drawn([channels]));
        let run = |dtype, convolve: fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>| {
            let (x, w, b) = (variable(&x, dtype), variable(&w, dtype), variable(&b, dtype));
            results(
                convolve(x.clone(), w.clone(), b.clone()).mul_scalar(0.1),
                &[&gradient(&x), &gradient(&w), &gradient(&b)],
            )
        };
        let about = format!("{height} x {width} pixels of {channels} channels");
        let portable = run(DType::F64, depthwise_conv::portable);
        assert_close(&run(DType::F32, depthwise_conv::depthwise_conv2d), &portable, &about);
        let theirs = with_backend_kernels(|| run(DType::F32, depthwise_conv::depthwise_conv2d));
        assert_close(&theirs, &portable, &about);
    }
}

#[test]
fn on_request_libtorch_convolves_float32_too() {
    let (x, w) = (drawn([9, 16, 12, 12]), drawn([24, 16, 3, 3]));
    let ours = || conv::conv2d(x.clone(), w.clone(), None, 1, 1).into_data();
    let libtorchs = super::conv::conv2d(x.clone(), w.clone(), 1, 1).into_data();
    assert_ne!(ours(), libtorchs, "the two round differently, or nothing is tested here");
    assert_eq!(with_backend_kernels(ours), libtorchs);
}

#[test]
fn batch_norm_and_its_gradients_are_those_of_the_portable_operation_and_of_float64() {
    type Normalise<const D: usize> = fn(Tensor<D>, Tensor<1>, Tensor<1>, f64) -> BatchNormOutput<D>;
    fn check<const D: usize>(shape: [usize; D]) {
        let (x, w, b) = (drawn(shape), drawn([shape[1]]), drawn([shape[1]]));
        let run = |dtype, normalise: Normalise<D>| {
            let (x, w, b) = (variable(&x, dtype), variable(&w, dtype), variable(&b, dtype));
            let out = normalise(x.clone(), w.clone(), b.clone(), 1e-5);
            let mut results = results(out.output, &[&gradient(&x), &gradient(&w), &gradient(&b)]);
            results
                .extend([out.mean, out.variance].map(|statistic| statistic.without_autodiff().into_data()));
            results
        };
        let about = format!("{shape:?}");
        for normalise in [batch_norm::batch_norm_train, super::batch_norm::batch_norm_train] {
            assert_close(&run(DType::F32, normalise), &run(DType::F64, batch_norm::portable), &about);
            assert_close(&run(DType::F32, normalise), &run(DType::F32, batch_norm::portable), &about);
        }
    }
    check([6, 3, 7, 5]);
    check([4, 16, 8, 8]);
    check([9, 5]);
}

#[test]
fn the_operations_of_transformers_are_those_of_float64() {
    let (x, w, b) = (drawn([2, 200, 48]), drawn([30, 48]), drawn([30]));
    let ours = [linear::linear::<3>, linear::linear_gelu::<3>];
    for (then_gelu, ours) in [false, true].into_iter().zip(ours) {
        let run = |dtype, layer: &dyn Fn(Tensor<3>, Tensor<2>, Option<Tensor<1>>) -> Tensor<3>| {
            let (x, w, b) = (variable(&x, dtype), variable(&w, dtype), variable(&b, dtype));
            results(
                layer(x.clone(), w.clone(), Some(b.clone())),
                &[&gradient(&x), &gradient(&w), &gradient(&b)],
            )
        };
        let portable = run(DType::F64, &|x, w, b| linear::portable(x, w, b, then_gelu));
        assert_close(&run(DType::F32, &ours), &portable, &format!("linear layer, GELU: {then_gelu}"));
    }
    let (w, b) = (drawn([48]), drawn([48]));
    let run = |dtype, normalise: fn(Tensor<3>, Tensor<1>, Tensor<1>, f64) -> Tensor<3>| {
        let (x, w, b) = (variable(&x, dtype), variable(&w, dtype), variable(&b, dtype));
        results(
            normalise(x.clone(), w.clone(), b.clone(), 1e-6),
            &[&gradient(&x), &gradient(&w), &gradient(&b)],
        )
    };
    let portable = run(DType::F64, layer_norm::portable);
    assert_close(&run(DType::F32, layer_norm::layer_norm), &portable, "layer norm");
    let run = |dtype, attend: fn(Tensor<3>, usize) -> Tensor<3>| {
        let x = variable(&x, dtype);
        results(attend(x.clone(), 2), &[&gradient(&x)])
    };
    let portable = |qkv, heads| attention::portable(AttentionInput::packed(qkv, heads));
    assert_close(&run(DType::F32, attention::attention), &run(DType::F64, portable), "attention");
}

#[test]
fn a_small_variance_is_not_lost_beside_eps() {
    let x = Tensor::<2>::from_floats([[0.0], [2e-4], [0.0], [2e-4]], &device());
    let (weight, bias) = (Tensor::ones([1], &device()), Tensor::zeros([1], &device()));
    for normalise in [batch_norm::batch_norm_train, super::batch_norm::batch_norm_train] {
        let out = normalise(x.clone(), weight.clone(), bias.clone(), 1e-5);
        let variance = out.variance.into_scalar::<f32>();
        assert!((variance - 1e-8).abs() < 1e-13, "{variance}");
    }
}

#[test]
fn relu_has_the_gradient_of_the_portable_operation() {
    let x = drawn([3, 5]);
    let run = |rectify: fn(Tensor<2>) -> Tensor<2>| {
        let x = variable(&x, DType::F32);
        results(rectify(x.clone().mul_scalar(2.0)), &[&gradient(&x)])
    };
    assert_close(&run(relu), &run(activation::relu), "relu");
}

#[test]
fn relu_leaves_what_others_read() {
    let x = variable(&drawn([4, 4]), DType::F32);
    let doubled = x.clone().mul_scalar(2.0);
    let before = doubled.to_data();
    let y = relu(doubled.clone());
    assert_eq!(doubled.to_data(), before);
    assert_ne!(y.to_data(), before);
    let plain = doubled.inner();
    let _rectified = relu(plain.clone());
    assert_eq!(plain.into_data(), before);
}

#[test]
fn a_scaled_sum_changes_neither_summand_that_others_read() {
    let (a, b) = (drawn([5, 3]), drawn([5, 3]));
    let (a_before, b_before) = (a.to_data(), b.to_data());
    let want = (a.clone() + b.clone().mul_scalar(-0.3)).into_data();
    let shared = add_scaled(a.clone(), b.clone(), -0.3).into_data();
    assert_close(&[shared], std::slice::from_ref(&want), "shared");
    assert_eq!((a.to_data(), b.to_data()), (a_before.clone(), b_before.clone()));
    let own = Tensor::<2>::from_data(a_before, &device());
    assert_close(&[add_scaled(own, b.clone(), -0.3).into_data()], &[want], "in place");
    assert_eq!(b.into_data(), b_before);
}

#[test]
fn images_without_gradient_are_constants() {
    for convolve in [super::conv2d, super::conv::conv2d] {
        let x = Tensor::<4>::ones([2, 1, 4, 4], &device());
        let weight = Tensor::<4>::ones([1, 1, 3, 3], &device().autodiff()).require_grad();
        let y = convolve(x.clone(), weight.clone(), 1, 1);
        let plain = convolve(x, weight.clone().inner(), 1, 1);
        assert!(!plain.device().is_autodiff());
        assert_eq!(y.clone().inner().into_data(), plain.into_data());
        let gradient = weight.grad(&y.sum().backward()).expect("a gradient");
        assert_eq!(gradient.slice([0..1, 0..1, 1..2, 1..2]).into_scalar::<f32>(), 32.0);
    }
}

#[test]
fn no_image_has_no_output_and_no_gradient() {
    let x = Tensor::<4>::zeros([0, 3, 8, 8], &device().autodiff()).require_grad();
    let weight = variable(&drawn([4, 3, 3, 3]), DType::F32);
    let y = conv::conv2d(x.clone(), weight.clone(), None, 1, 1);
    assert_eq!(y.dims(), [0, 4, 8, 8]);
    let gradients = y.sum().backward();
    assert_eq!(x.grad(&gradients).expect("a gradient").dims(), [0, 3, 8, 8]);
    let gradient = weight.grad(&gradients).expect("a gradient");
    assert_eq!(gradient.abs().sum().into_scalar::<f32>(), 0.0);
}

#[test]
fn layouts_of_other_operations_are_read_in_the_order_of_their_axes() {
    let (whole, weight) = (drawn([3, 9, 9, 16]), drawn([16, 16, 3, 3]));
    let run = |convolve: fn(Tensor<4>, Tensor<4>) -> Tensor<4>| {
        let (whole, weight) = (variable(&whole, DType::F32), variable(&weight, DType::F32));
        // Channels-last in memory, and a view that does not start where its memory does.
        let x = whole.clone().permute([0, 3, 1, 2]).slice([1..3, 0..16, 1..9, 1..9]);
        let y = convolve(x, weight.clone());
        results(y.permute([0, 2, 3, 1]), &[&gradient(&whole), &gradient(&weight)])
    };
    let ours = run(|x, w| conv::conv2d(x, w, None, 1, 1));
    assert_close(&ours, &run(|x, w| conv::portable(x, w, None, 1, 1)), "a view");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (x, weight) = (drawn([12, 16, 12, 12]), drawn([24, 16, 3, 3]));
    let (tokens, matrix) = (drawn([5, 197, 48]), drawn([144, 48]).mul_scalar(0.1));
    let run = |threads| {
        tch::set_num_threads(threads);
        let (x, weight) = (variable(&x, DType::F32), variable(&weight, DType::F32));
        let y = conv::conv2d(x.clone(), weight.clone(), None, 1, 1);
        // Without libtorch's sums, whose order is its own.
        let convolved = with_gradients(y.clone(), &y.backward(), &[&gradient(&x), &gradient(&weight)]);
        let (tokens, matrix) = (variable(&tokens, DType::F32), variable(&matrix, DType::F32));
        let seen = attention::attention(linear::linear(tokens.clone(), matrix.clone(), None), 2);
        // Every output has another gradient.
        let y = seen * tokens.clone();
        let attended = with_gradients(y.clone(), &y.backward(), &[&gradient(&tokens), &gradient(&matrix)]);
        [convolved, attended].concat()
    };
    let before = tch::get_num_threads();
    let one = run(1);
    for threads in [2, 3, 7] {
        assert_eq!(run(threads), one, "{threads} threads");
    }
    tch::set_num_threads(before);
}

#[test]
fn updates_have_the_values_of_the_portable_operation() {
    let usual = SgdRates { lr: 0.06, momentum: 0.9, decay: 5e-4, ..SgdRates::default() };
    let others = SgdRates { nesterov: true, lr_in_momentum: true, ..usual };
    let layer = Tensor::<1>::from_floats([0.37, 1.0], &device());
    let (p, g) = (drawn([70_001]), drawn([70_001]));
    let buffers = [None, Some(drawn([70_001]))];
    let kinds = [(usual, None), (others, None), (usual, Some(layer))];
    for (buffer, (rates, layer)) in
        buffers.iter().flat_map(|buffer| kinds.clone().map(|kind| (buffer.clone(), kind)))
    {
        let before = [p.to_data(), g.to_data()];
        let ours = crate::ops::cpu::sgd_momentum::<super::Backend>(
            p.clone(),
            g.clone(),
            buffer.clone(),
            rates,
            layer.clone(),
        );
        let want = sgd::portable(p.clone(), g.clone(), buffer, rates, layer);
        let data = |(p, buffer): (Tensor<1>, Tensor<1>)| [p.into_data(), buffer.into_data()];
        assert_close(&data(ours), &data(want), "parameter and buffer");
        assert_eq!([p.to_data(), g.to_data()], before, "others read them");
    }
}

#[test]
fn the_end_of_a_block_has_the_gradients_of_its_parts() {
    let (x, shortcut) = (drawn([4, 16, 8, 8]), drawn([4, 16, 8, 8]));
    let (w, b) = (drawn([16]), drawn([16]));
    let run = |fused: bool, added: bool, dtype| {
        let (x, shortcut) = (variable(&x, dtype), variable(&shortcut, dtype));
        let (w, b) = (variable(&w, dtype), variable(&b, dtype));
        let after = added.then(|| shortcut.clone());
        let y = match (fused, after) {
            (true, after) => {
                batch_norm::batch_norm_relu_train(x.clone(), w.clone(), b.clone(), after, 1e-5).output
            }
            (false, after) => {
                let out = batch_norm::portable(x.clone(), w.clone(), b.clone(), 1e-5).output;
                activation::relu(after.map_or(out.clone(), |shortcut| out + shortcut))
            }
        };
        // Used elsewhere too, so that its gradient has more than one contribution.
        let y = y + x.clone() + shortcut.clone();
        results(y, &[&gradient(&x), &gradient(&shortcut), &gradient(&w), &gradient(&b)])
    };
    for added in [false, true] {
        // Float64 uses libtorch's own kernels, as everything does on CUDA.
        for dtype in [DType::F32, DType::F64] {
            assert_close(&run(true, added, dtype), &run(false, added, dtype), &format!("{dtype:?}, {added}"));
        }
    }
}

#[test]
fn a_batch_norm_of_constants_has_gradients_for_its_parameters_alone() {
    let (x, b) = (drawn([4, 3, 8, 8]), drawn([3]));
    for normalise in [batch_norm::batch_norm_train, super::batch_norm::batch_norm_train] {
        let weight = variable(&drawn([3]), DType::F32);
        let y = normalise(x.clone(), weight.clone(), b.clone(), 1e-5).output;
        let plain = normalise(x.clone(), weight.clone().inner(), b.clone(), 1e-5).output;
        assert!(!plain.device().is_autodiff());
        assert_eq!(y.clone().inner().into_data(), plain.into_data());
        assert!(weight.grad(&y.sum().backward()).is_some());
    }
}
