//! What a step of SimMIM does, tested with a small ViT on made images.

use burn::optim::AdamWConfig;
use burn::tensor::{Int, Tensor};
use ssl_core::{MaskKind, NoState, named};
use ssl_encoders::{Vit, VitConfig};
use ssl_fixtures::{context, descend, device, floats, images, init, masked, noise_at, vit};
use ssl_simmim::{
    Mask, MethodRules, Pass, SimMim, SimMimConfig, SimMimStudent, SslMethod, simmim, train_step,
};

/// Patches of an image of 8 pixels with patches of 2.
const PATCHES: usize = 16;

fn method() -> SimMim {
    SimMimConfig::new().build().expect("a valid configuration")
}

fn start_with(config: &VitConfig) -> (SimMimStudent<Vit>, NoState) {
    let mut init = init();
    let encoder = config.clone().with_mask_token(true).init(&mut init);
    method().init(encoder, &mut init)
}

fn start() -> (SimMimStudent<Vit>, NoState) {
    start_with(&vit())
}

/// Eight kept patches of each of four images.
fn mask() -> Mask {
    let list = |image: usize| (0..8).map(|place| (2 * place + image) % PATCHES).collect();
    Mask::keep(&(0..4).map(list).collect::<Vec<_>>(), PATCHES, &device()).expect("usable lists")
}

fn loss_of(student: &SimMimStudent<Vit>, images: Tensor<4>, mask: Mask) -> f32 {
    method().loss(student, &NoState {}, &masked(images, mask), &context(0)).loss.into_scalar()
}

/// The images with noise in the hidden patches, or in the kept ones.
fn with_noise_in(kept: bool) -> Tensor<4> {
    let hidden = mask().hidden(PATCHES);
    noise_at(if kept { hidden.neg().add_scalar(1.0) } else { hidden })
}

#[test]
fn nothing_of_a_hidden_patch_enters_the_network() {
    let (student, _) = start();
    let predict = |images| floats(student.predict(images, mask().hidden(PATCHES), &Pass::eval()).1);
    assert_eq!(predict(with_noise_in(false)), predict(images(0.0)), "a hidden patch was seen");
    assert_ne!(predict(with_noise_in(true)), predict(images(0.0)), "a kept patch was not seen");
}

#[test]
fn the_pixels_of_hidden_patches_alone_are_the_target() {
    let (student, _) = start();
    let loss = |images| loss_of(&student, images, mask());
    assert!((loss(with_noise_in(false)) - loss(images(0.0))).abs() > 1e-3, "a hidden patch is no target");
    let (_, pred) = student.predict(images(0.0), mask().hidden(PATCHES), &Pass::eval());
    let of = |images| simmim(images, pred.clone(), mask().hidden(PATCHES)).into_scalar::<f32>();
    assert_eq!(of(images(0.0)), of(with_noise_in(true)), "a kept patch is a target");
}

#[test]
fn every_parameter_is_trained_but_fixed_positions() {
    let (student, state) = start();
    let before = named::collect(&student);
    let step = method().loss(&student, &state, &masked(images(0.0), mask()), &context(0));
    assert_eq!(step.metrics.names().collect::<Vec<_>>(), ["z_std"]);
    let after = named::collect(&descend(student, &step.loss, 0.1));
    let fixed = before.iter().filter(|(path, data)| after[*path] == **data).map(|(path, _)| path);
    assert_eq!(fixed.collect::<Vec<_>>(), ["encoder.pos_embed"]);
}

#[test]
fn the_loss_falls() {
    let (mut student, mut state) = start();
    let mut optimizer = AdamWConfig::new().init();
    let mut losses = Vec::new();
    for step in 0..100 {
        let views = masked(images(0.0), mask());
        let optimize = |student, gradients| optimizer.step(0.02, student, gradients);
        let done = train_step(&method(), student, state, &views, &context(step), optimize);
        (student, state) = (done.student, done.state);
        losses.push(done.loss.into_scalar::<f32>());
    }
    assert!(losses[99] < 0.8 * losses[0], "{losses:?}");
}

#[test]
fn encoders_without_class_token_or_with_registers_are_trained_too() {
    for config in [vit().with_class_token(false), vit().with_registers(2)] {
        assert!(loss_of(&start_with(&config).0, images(0.0), mask()).is_finite());
    }
}

#[test]
fn it_needs_one_view_whose_mask_keeps_patches() {
    let needs = method().needs();
    assert_eq!((needs.global_views, needs.tokens, needs.masks), (1, true, Some(MaskKind::Keep)));
}

#[test]
fn an_encoder_without_a_mask_token_is_an_error() {
    let error = method().check(&vit().init(&mut init()), 4).expect_err("no mask token").to_string();
    assert_eq!(error, "encoder.mask_token is false, expected true: it takes the place of hidden patches");
    assert!(method().check(&vit().with_mask_token(true).init(&mut init()), 4).is_ok());
}

#[test]
#[should_panic(expected = "16 of 16 patches are kept: expected at least one to predict")]
fn a_mask_that_hides_nothing_is_refused() {
    let all = Tensor::<1, Int>::arange(0..16, &device()).unsqueeze::<2>().expand([4, 16]);
    loss_of(&start().0, images(0.0), Mask::Keep(all));
}

#[test]
#[should_panic(expected = "SimMIM hides single patches: expected a mask that keeps the others, got Replace")]
fn a_mask_of_another_kind_is_refused() {
    let hidden = Tensor::<2>::zeros([4, 16], &device()).greater_elem(0.5);
    loss_of(&start().0, images(0.0), Mask::Replace(hidden));
}
