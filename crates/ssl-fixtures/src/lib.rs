//! What the tests of every method need: a small encoder, images, the context of a step, one step of gradient descent, and
//! the checks that hold for all methods. Everything is on `flex` and the same on every call.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Int, Tensor, TensorData, Tolerance};
use ssl_core::{
    DeviceSpec, Encoder, EncoderWith, Head, Init, Mask, Pass, Progress, Step, StepContext, Views,
    WithPredictor, named,
};
use ssl_encoders::{BlockKind, Positions, ResNet, ResNetConfig, Stem, VitConfig, VitInit};

/// The device of all fixtures, without autodiff.
///
/// # Panics
/// If the build lacks `flex`.
pub fn device() -> Device {
    DeviceSpec::Flex.open().expect("flex is compiled in")
}

/// Initial values from seed 0, on the autodiff device.
pub fn init() -> Init {
    Init::new(0, &device().autodiff())
}

/// A residual network of one block and four channels.
pub fn resnet(init: &mut Init) -> ResNet {
    ResNetConfig::new(BlockKind::Basic, [1]).with_width(4).with_stem(Stem::Cifar).init(init)
}

/// A vision transformer of two blocks on [`images`] of 4×4 patches, with fixed positions.
pub fn vit() -> VitConfig {
    let config = VitConfig::new(16, 2, 2).with_image_size(8).with_patch_size(2);
    config.with_start(VitInit::Xavier).with_positions(Positions::SinCosColumnRow)
}

/// A step of a run of ten steps, which are one epoch.
pub fn at(step: u64) -> Progress {
    Progress { step, total_steps: 10, steps_per_epoch: 10 }
}

/// The context of the step [`at`] this place, with seed 0.
pub fn context(step: u64) -> StepContext {
    StepContext::new(0, at(step), 0)
}

/// Images of one batch whose values look random, others for each seed: `[batch, 3, size, size]`.
pub fn crops(batch: usize, size: usize, seed: f32) -> Tensor<4> {
    let count = (batch * 3 * size * size) as i64;
    let places = Tensor::<1, Int>::arange(1..count + 1, &device()).float();
    (places * 0.618 + seed).sin().reshape([batch, 3, size, size])
}

/// [`crops`] of four images: `[4, 3, 8, 8]`.
pub fn images(seed: f32) -> Tensor<4> {
    crops(4, 8, seed)
}

/// Two views of four images without labels: [`images`] of the seeds 0 and 1.
pub fn views() -> Views {
    Views::two(images(0.0), images(1.0))
}

/// One view of each image, and its mask.
pub fn masked(images: Tensor<4>, mask: Mask) -> Views {
    Views::new(vec![images], 1).with_masks(vec![Some(mask)])
}

/// A mask for [`images`] that hides the first `count` of the 4×4 patches of the first image, half as many of the second, and none
/// of the others.
pub fn hides(count: usize) -> Mask {
    let hidden = (0..4).flat_map(|image| (0..16).map(move |patch| patch < count >> image && image < 2));
    Mask::Replace(Tensor::from_data(TensorData::new(hidden.collect::<Vec<_>>(), [4, 16]), &device()))
}

/// Two global crops, of which [`hides`] hides `hidden` patches and half as many, and a small one.
pub fn crops_with_masks(first: Tensor<4>, second: Tensor<4>, hidden: usize) -> Views {
    let crops = vec![first, second, crops(4, 4, 0.6)];
    Views::new(crops, 2).with_masks(vec![Some(hides(hidden)), Some(hides(hidden / 2)), None])
}

/// Checks that a loss of [`crops_with_masks`] depends on every pixel that the student may see of the global crops, and on no other.
///
/// # Panics
/// If it depends on a pixel of a hidden patch, or not on a patch that is seen.
pub fn assert_hidden_patches_are_unseen(loss: impl FnOnce(&Views) -> Tensor<1>) {
    let global = [0.0, 0.3].map(|seed| images(seed).autodiff().require_grad());
    let [first, second] = global.clone();
    let gradients = loss(&crops_with_masks(first, second, 8)).backward();
    for (image, hidden) in global.iter().zip([hides(8), hides(4)]) {
        let gradient = image.grad(&gradients).expect("the student sees it").abs();
        let of_patches = gradient.reshape([4, 3, 4, 2, 4, 2]).sum_dim(5).sum_dim(3).sum_dim(1);
        let seen: Vec<_> = floats(of_patches).iter().map(|sum| *sum > 0.0).collect();
        let hidden: Vec<_> = floats(hidden.hidden(16)).iter().map(|hidden| *hidden == 0.0).collect();
        assert_eq!(seen, hidden);
    }
}

/// [`images`] of seed 0, with noise in some of the 4×4 patches: those where `places` is 1 and not 0, `[4, 16]`.
pub fn noise_at(places: Tensor<2>) -> Tensor<4> {
    let pixels = places.reshape([4, 1, 4, 1, 4, 1]).expand([4, 3, 4, 2, 4, 2]);
    images(0.0) + images(7.0) * pixels.reshape([4, 3, 8, 8])
}

/// The values of a tensor.
pub fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter().collect()
}

/// The embeddings of images in training mode, layer after layer: `[image, dim]`.
pub fn embed<E: Encoder>(network: &EncoderWith<E>, images: Tensor<4>) -> Tensor<2> {
    network.projector.forward(network.encoder.encode(images, &Pass::train()), &Pass::train())
}

/// The predictions for images in training mode, layer after layer: `[image, dim]`.
pub fn predict<E: Encoder>(student: &WithPredictor<E>, images: Tensor<4>) -> Tensor<2> {
    let z = student.projector.forward(student.encoder.encode(images, &Pass::train()), &Pass::train());
    student.predictor.forward(z, &Pass::train())
}

/// A network after one step of plain gradient descent.
pub fn descend<M: Module>(network: M, loss: &Tensor<1>, learning_rate: f64) -> M {
    let gradients = GradientsParams::from_grads(loss.backward(), &network);
    SgdConfig::new().init().step(learning_rate, network, gradients)
}

/// Checks that two networks have the same tensors but for rounding.
///
/// # Panics
/// If a tensor is missing or differs by more than 1e-7.
pub fn assert_near(found: &impl Module, want: &impl Module) {
    let found = named::collect(found);
    for (path, tensor) in named::collect(want) {
        found[&path].assert_approx_eq::<f32>(&tensor, Tolerance::absolute(1e-7));
    }
}

/// Checks that the running statistics of a module are others than before, and its parameters the same.
///
/// # Panics
/// At the first tensor of which that is not true.
pub fn assert_only_statistics_changed(before: &BTreeMap<String, TensorData>, after: &impl Module) {
    for (path, tensor) in named::collect(after) {
        assert_eq!(tensor == before[&path], !named::is_buffer(&path), "{path}");
    }
}

/// Checks that a step trains every parameter of its student, nothing of its state (such as a teacher), and offers the
/// spread of the embeddings.
///
/// # Panics
/// If a parameter of the student gets no gradient, one of the state gets one, or the first metric of the step is not `z_std`.
pub fn assert_trains_only<M: Module, S: Module, C>(student: &M, state: &S, step: &Step<C>) {
    assert_eq!(step.metrics.names().next(), Some("z_std"));
    let mut gradients = step.loss.backward();
    let of_state = GradientsParams::from_module(&mut gradients, state).len();
    assert_eq!(of_state, 0, "parameters of the state with a gradient");
    let parameters = named::collect(student).keys().filter(|path| !named::is_buffer(path)).count();
    let of_student = GradientsParams::from_module(&mut gradients, student).len();
    assert_eq!(of_student, parameters, "parameters of the student with a gradient");
}
