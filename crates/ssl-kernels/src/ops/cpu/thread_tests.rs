//! What no other test runs on several numbers of threads: pooling, norms of planes, updates of parameters.

use burn::tensor::{Device, Distribution, Tensor, TensorData};

use crate::ops::comparison::assert_threads_change_no_bit;
use crate::ops::{
    AdamWRates, Maps, SgdRates, adamw, average, batch_norm_relu_train, layer_squares, sgd_momentum,
};

/// More values than one job has, and no multiple of anything.
const COUNT: usize = 300_001;

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (images, planes) = (random([5, 3, 21, 19]), random([6, 7, 33, 31]));
    let kernel = random([20, 3, 3, 3]);
    let [p, g, first, second] = std::array::from_fn(|_| random([COUNT]));
    let sgd = SgdRates { lr: 0.06, momentum: 0.9, decay: 5e-4, nesterov: true, lr_in_momentum: false };
    let of_adamw = AdamWRates { lr: 1e-3, decay: 0.05, betas: [0.9, 0.95], eps: 1e-8, step: 3 };
    let layer = Tensor::from_floats([0.3, 1.0], &Device::flex());
    assert_threads_change_no_bit(|| {
        let pooled = pool(&images, &kernel);
        let normalised = norm(&planes);
        let of_sgd = sgd_momentum(p.clone(), g.clone(), Some(first.clone()), sgd, Some(layer.clone()));
        let moments = Some([first.clone(), second.clone().abs()]);
        let (parameters, moments) = adamw(p.clone(), g.clone(), moments, of_adamw);
        let flat = [
            of_sgd.0,
            of_sgd.1,
            parameters,
            moments[0].clone(),
            moments[1].clone(),
            average(p.clone(), g.clone(), 0.99),
            layer_squares(&p, &g, 1e-4),
        ];
        [pooled, normalised, flat.map(Tensor::into_data).to_vec()].concat()
    });
}

/// A max-pool of packed pixels, and its gradient.
fn pool(images: &Tensor<4>, kernel: &Tensor<4>) -> Vec<TensorData> {
    let kernel = Tensor::<4>::from_inner(kernel.clone()).require_grad();
    let maps = Maps::from(Tensor::from_inner(images.clone())).conv2d(kernel.clone(), 1, 1);
    let pooled = maps.max_pool2d(3, 2, 1).into_planes();
    let gradients = (pooled.clone() * pooled.clone().sin()).sum().backward();
    vec![pooled.inner().into_data(), kernel.grad(&gradients).expect("a gradient").into_data()]
}

/// The end of a block on planes, and its gradients.
fn norm(planes: &Tensor<4>) -> Vec<TensorData> {
    let x = Tensor::<4>::from_inner(planes.clone()).require_grad();
    let parameter =
        |value: f32| Tensor::<1>::from_inner(Tensor::full([7], value, &Device::flex())).require_grad();
    let (weight, bias) = (parameter(0.7), parameter(0.1));
    let shortcut = Tensor::<4>::from_inner(planes.clone().flip([0]));
    let y = batch_norm_relu_train(x.clone(), weight.clone(), bias.clone(), Some(shortcut), 1e-5).output;
    let gradients = (y.clone() * y.clone().sin()).sum().backward();
    let of = |tensor: &Tensor<1>| tensor.grad(&gradients).expect("a gradient").into_data();
    vec![y.inner().into_data(), x.grad(&gradients).expect("a gradient").into_data(), of(&weight), of(&bias)]
}
