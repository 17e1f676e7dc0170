//! The sum over ranks and its gradient, with threads instead of processes.

use burn::tensor::{Device, GradientCheckpointingStrategy, Gradients, Tensor};
use ssl_kernels::ops::{all_reduce_sum, batch_norm_train};
use ssl_kernels::{DeviceSpec, Group};
use ssl_testing::{Fault, ranks};

const EPS: f64 = 1e-5;

/// A device of every backend in this build; of those that `BURN_SSL_DEVICES` names, if it is set.
fn devices() -> Vec<Device> {
    let wanted = std::env::var("BURN_SSL_DEVICES").ok();
    let specs = [
        #[cfg(feature = "flex")]
        DeviceSpec::Flex,
        #[cfg(feature = "tch")]
        DeviceSpec::Tch,
        #[cfg(feature = "wgpu-plain")]
        DeviceSpec::Wgpu(None),
        #[cfg(feature = "cuda-plain")]
        DeviceSpec::Cuda(0),
    ];
    let is_wanted = |spec: &&DeviceSpec| match &wanted {
        Some(names) => names.split(' ').any(|name| name == spec.to_string()),
        None => true,
    };
    let found: Vec<Device> =
        specs.iter().filter(is_wanted).map(|spec| spec.open().expect("a device of this kind")).collect();
    assert!(!found.is_empty(), "this build has none of the devices to test: {wanted:?}");
    found
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn gradient<const D: usize>(tensor: &Tensor<D>, gradients: &Gradients) -> Vec<f32> {
    values(tensor.grad(gradients).expect("a gradient"))
}

fn assert_close(got: &[f32], want: &[f32], about: &str) {
    assert_eq!(got.len(), want.len(), "{about}");
    let scale = want.iter().fold(1e-3_f32, |scale, value| scale.max(value.abs()));
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= 1e-5 * scale, "{about}, value {index}: {got}, expected {want}");
    }
}

/// Deterministic pseudo-random values.
fn waves<const D: usize>(shape: [usize; D], seed: f32, device: &Device) -> Tensor<D> {
    let count = shape.iter().product::<usize>() as i64;
    let index = Tensor::<1, burn::tensor::Int>::arange(0..count, device).float();
    (index.mul_scalar(1.7) + seed).sin().mul_scalar(2.0).add_scalar(0.5).reshape(shape)
}

/// `f_r(S) = Σ (r + 1) · S²`, whose gradient is known; returns the gradients of `x_r` on each rank.
fn gradients_of_squares(
    count: usize,
    device: &Device,
    wrap: impl Fn(Group) -> Group + Sync,
) -> Vec<Vec<f32>> {
    ranks(count, |group| {
        let rank = group.rank() as f32;
        let x = Tensor::<1>::from_floats([rank + 1.0, -2.0 * rank], device);
        let x = Tensor::<1>::from_inner(x).require_grad();
        let sum = all_reduce_sum(x.clone(), &wrap(group));
        let loss = sum.powi_scalar(2).mul_scalar(rank + 1.0).sum();
        gradient(&x, &loss.backward())
    })
}

/// `dL/dx_r = Σ_q (q + 1) · 2 · S`, the same on all ranks.
fn expected_of_squares(count: usize) -> Vec<f32> {
    let sum = |term: fn(usize) -> f32| (0..count).map(term).sum::<f32>();
    let weight = sum(|rank| rank as f32 + 1.0);
    vec![2.0 * weight * sum(|rank| rank as f32 + 1.0), 2.0 * weight * sum(|rank| -2.0 * rank as f32)]
}

#[test]
fn the_gradient_is_the_sum_of_those_of_all_ranks() {
    for device in devices() {
        for count in [1, 2, 4] {
            let found = gradients_of_squares(count, &device, |group| group);
            assert_eq!(found, vec![expected_of_squares(count); count], "{count} ranks on {device:?}");
        }
    }
}

#[test]
fn a_group_that_does_not_sum_or_scales_its_sums_has_other_gradients() {
    let device = &devices()[0];
    for fault in [Fault::NoSum, Fault::Scale(0.5)] {
        for count in [2, 4] {
            let found = gradients_of_squares(count, device, |group| fault.in_group(group));
            assert!(found.iter().any(|gradient| *gradient != expected_of_squares(count)), "{fault:?}");
        }
    }
}

#[test]
fn a_group_of_one_gives_back_the_tensor_itself() {
    let x = Tensor::<1>::from_floats([1.0, 2.0], &devices()[0].clone().autodiff()).require_grad();
    let y = all_reduce_sum(x, &Group::default());
    // The output of an operation would not be marked as requiring a gradient.
    assert!(y.is_require_grad());
}

#[test]
fn plain_tensors_and_constants_are_summed_without_a_gradient() {
    for device in devices() {
        let found = ranks(2, |group| {
            let plain = Tensor::<1>::full([1], group.rank() as f32 + 1.0, &device);
            let constant = Tensor::<1>::from_inner(plain.clone());
            let (plain, constant) = (all_reduce_sum(plain, &group), all_reduce_sum(constant, &group));
            assert!(!plain.device().is_autodiff() && constant.device().is_autodiff());
            [values(plain), values(constant.inner())]
        });
        assert_eq!(found, vec![[[3.0], [3.0]]; 2]);
    }
}

#[test]
fn gradient_checkpointing_stays_as_it_was() {
    let strategy = GradientCheckpointingStrategy::Balanced;
    let device = devices()[0].clone().autodiff().gradient_checkpointing();
    let found = ranks(2, |group| {
        let x = Tensor::<1>::full([1], group.rank() as f32 + 1.0, &device).require_grad();
        let sum = all_reduce_sum(x.clone(), &group);
        assert_eq!(sum.device().gradient_checkpointing_strategy(), Some(strategy));
        gradient(&x, &(sum * x.clone()).sum().backward())
    });
    // L_r = S · x_r: dL/dx_r = Σ_q x_q + S
    assert_eq!(found, [[6.0], [6.0]]);
}

#[test]
fn networks_made_by_each_rank_or_forked_before_have_graphs_of_their_own() {
    use burn::module::{Module, Param};

    let device = devices()[0].clone().autodiff();
    let parameter = Param::from_tensor(Tensor::<1>::from_floats([3.0], &device));
    let forks: Vec<_> = (0..2).map(|_| parameter.clone().fork(&device)).collect();
    let found = ranks(2, |group| {
        let parameter = forks[group.rank()].clone();
        let x = group.rank() as f32 + 1.0;
        let sum = all_reduce_sum(parameter.val().mul_scalar(x), &group);
        gradient(&parameter.val(), &sum.powi_scalar(2).backward())
    });
    // S = 3 · (1 + 2): dL/dp_r = x_r · 2 · 2 · S
    assert_eq!(found, [[36.0], [72.0]]);
}

/// Batch normalisation with the statistics of the images of all ranks.
fn synchronised(x: Tensor<4>, weight: Tensor<1>, bias: Tensor<1>, group: &Group) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let per_channel = |x: Tensor<4>| x.swap_dims(0, 1).reshape([channels, batch * height * width]).sum_dim(1);
    let over_images = |x: Tensor<1>| x.reshape([1, channels as i32, 1, 1]);
    let count = Tensor::<1>::full([1], (batch * height * width) as f32, &x.device());
    let count = all_reduce_sum(count, group);
    let mean = all_reduce_sum(per_channel(x.clone()).reshape([-1]), group) / count.clone();
    let centred = x - over_images(mean);
    let squares = per_channel(centred.clone().powi_scalar(2)).reshape([-1]);
    let variance = all_reduce_sum(squares, group) / count;
    let scale = weight / variance.add_scalar(EPS).sqrt();
    centred * over_images(scale) + over_images(bias)
}

/// Output and gradients of input, weight and bias, for a loss that weights every value differently.
fn results(
    x: Tensor<4>,
    device: &Device,
    weighing: Tensor<4>,
    normalise: impl Fn(Tensor<4>, Tensor<1>, Tensor<1>) -> Tensor<4>,
) -> [Vec<f32>; 4] {
    let channels = x.dims()[1];
    let x = Tensor::<4>::from_inner(x).require_grad();
    let [weight, bias] =
        [3.0, 4.0].map(|seed| Tensor::<1>::from_inner(waves([channels], seed, device)).require_grad());
    let y = normalise(x.clone(), weight.clone(), bias.clone());
    let gradients = (y.clone().sin() * weighing).sum().backward();
    [values(y.inner()), gradient(&x, &gradients), gradient(&weight, &gradients), gradient(&bias, &gradients)]
}

/// Synchronised batch norm on ranks with the given numbers of images: outputs and gradients of all images in rank
/// order, and gradients of the parameters summed over ranks.
fn on_ranks(images: &[usize], device: &Device, wrap: impl Fn(Group) -> Group + Sync) -> [Vec<f32>; 4] {
    let of_ranks = ranks(images.len(), |group| {
        let rank = group.rank();
        let first: usize = images[..rank].iter().sum();
        let own = |all: Tensor<4>| all.narrow(0, first, images[rank]);
        let (x, weighing) = batch(images.iter().sum(), device);
        let group = wrap(group);
        results(own(x), device, own(weighing), |x, weight, bias| synchronised(x, weight, bias, &group))
    });
    let mut all = [const { Vec::new() }; 4];
    for of_rank in of_ranks {
        for (index, (all, of_rank)) in all.iter_mut().zip(of_rank).enumerate() {
            match index {
                0 | 1 => all.extend(of_rank),
                _ if all.is_empty() => *all = of_rank,
                _ => all.iter_mut().zip(of_rank).for_each(|(sum, value)| *sum += value),
            }
        }
    }
    all
}

fn batch(images: usize, device: &Device) -> (Tensor<4>, Tensor<4>) {
    let shape = [images, 3, 5, 4];
    (waves(shape, 1.0, device), waves(shape, 2.0, device))
}

#[test]
fn a_synchronised_batch_norm_is_that_of_the_whole_batch() {
    for device in devices() {
        for images in [vec![8], vec![4, 4], vec![2, 2, 2, 2], vec![3, 1, 4]] {
            let (x, weighing) = batch(8, &device);
            let whole = results(x, &device, weighing, |x, weight, bias| {
                batch_norm_train(x, weight, bias, EPS).output
            });
            let found = on_ranks(&images, &device, |group| group);
            for ((found, whole), what) in found.iter().zip(&whole).zip(["output", "dx", "dweight", "dbias"]) {
                assert_close(found, whole, &format!("{what}, ranks of {images:?} images on {device:?}"));
            }
        }
    }
}

#[test]
fn a_synchronised_batch_norm_in_a_group_that_does_not_sum_is_another() {
    let device = &devices()[0];
    let whole = on_ranks(&[8], device, |group| group);
    // A common factor on all sums would change nothing: it also scales the number of values.
    let found = on_ranks(&[4, 4], device, |group| Fault::NoSum.in_group(group));
    let pairs = found[1].iter().zip(&whole[1]);
    let error = pairs.fold(0.0_f32, |error, (a, b)| error.max((a - b).abs()));
    assert!(error > 1e-2, "the gradients of the images are off by {error}");
}
