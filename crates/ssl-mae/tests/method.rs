//! What a step of MAE does, tested with a small ViT on made images.

use burn::optim::AdamWConfig;
use burn::tensor::{Int, Tensor};
use ssl_core::{MaskKind, NoState, named};
use ssl_encoders::{Vit, VitConfig};
use ssl_fixtures::{context, descend, device, floats, images, init, masked, noise_at, vit};
use ssl_mae::{
    DecoderInput, Mae, MaeConfig, MaeStudent, Mask, MethodRules, Pass, SslMethod, mae, train_step,
};

/// Patches of an image of 8 pixels with patches of 2.
const PATCHES: usize = 16;

fn method() -> Mae {
    let config = MaeConfig::new().with_decoder_dim(8).with_decoder_depth(1).with_decoder_heads(2);
    config.build().expect("a valid configuration")
}

fn start_with(config: &VitConfig) -> (MaeStudent<Vit>, NoState) {
    let mut init = init();
    let encoder = config.init(&mut init);
    method().init(encoder, &mut init)
}

fn start() -> (MaeStudent<Vit>, NoState) {
    start_with(&vit())
}

/// Four kept patches of each of four images.
fn lists() -> Vec<Vec<usize>> {
    vec![vec![0, 5, 10, 15], vec![1, 2, 3, 4], vec![12, 9, 6, 3], vec![5, 6, 9, 10]]
}

fn mask() -> Mask {
    Mask::keep(&lists(), PATCHES, &device()).expect("usable lists")
}

fn loss_of(student: &MaeStudent<Vit>, images: Tensor<4>, mask: Mask) -> f32 {
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
    let predict = |images| floats(student.predict(images, &mask(), &Pass::eval()).1);
    assert_eq!(predict(with_noise_in(false)), predict(images(0.0)), "a hidden patch was seen");
    assert_ne!(predict(with_noise_in(true)), predict(images(0.0)), "a kept patch was not seen");
}

#[test]
fn the_pixels_of_hidden_patches_alone_are_the_target() {
    let (student, _) = start();
    let loss = |images| loss_of(&student, images, mask());
    assert!((loss(with_noise_in(false)) - loss(images(0.0))).abs() > 1e-3, "a hidden patch is no target");
    let (_, pred) = student.predict(images(0.0), &mask(), &Pass::eval());
    let of = |images| mae(images, pred.clone(), mask().hidden(PATCHES), true).into_scalar::<f32>();
    assert_eq!(of(images(0.0)), of(with_noise_in(true)), "a kept patch is a target");
}

#[test]
fn the_order_of_the_kept_patches_does_not_matter() {
    let (student, _) = start();
    let mut reversed = lists();
    reversed.iter_mut().for_each(|list| list.reverse());
    let reversed = Mask::keep(&reversed, PATCHES, &device()).expect("usable lists");
    let (one, other) = (loss_of(&student, images(0.0), mask()), loss_of(&student, images(0.0), reversed));
    assert!((one - other).abs() < 1e-5, "{one} and {other}");
}

#[test]
fn a_kept_patch_goes_back_to_its_own_place() {
    let (student, _) = start();
    let (tokens, pred) = student.predict(images(0.0), &mask(), &Pass::eval());
    let decoded = |places: Vec<Vec<usize>>| {
        let places = Mask::keep(&places, PATCHES, &device()).expect("usable lists");
        let Mask::Keep(places) = places else { panic!("places") };
        let (class, patches) = (tokens.class.clone(), tokens.patches.clone());
        let input = DecoderInput { class, patches, places, grid: [4, 4] };
        floats(student.decoder.forward(input, &Pass::eval()))
    };
    assert_eq!(decoded(lists()), floats(pred.clone()));
    let next = |list: Vec<usize>| list.into_iter().map(|patch| (patch + 1) % PATCHES).collect();
    assert_ne!(decoded(lists().into_iter().map(next).collect()), floats(pred), "places make no difference");
}

#[test]
fn every_parameter_is_trained_but_the_positions() {
    let (student, state) = start();
    let before = named::collect(&student);
    let step = method().loss(&student, &state, &masked(images(0.0), mask()), &context(0));
    assert_eq!(step.metrics.names().collect::<Vec<_>>(), ["z_std"]);
    let after = named::collect(&descend(student, &step.loss, 0.1));
    let fixed: Vec<_> =
        before.iter().filter(|(path, data)| after[*path] == **data).map(|(path, _)| path).collect();
    assert_eq!(fixed, ["decoder.pos_embed", "encoder.pos_embed"]);
}

#[test]
fn the_loss_falls_below_that_of_the_mean_of_every_patch() {
    let (mut student, mut state) = start();
    let guess = method().loss_scale(4).guess.expect("the mean of every patch costs 1");
    let mut optimizer = AdamWConfig::new().init();
    let mut loss = f32::INFINITY;
    for step in 0..200 {
        let views = masked(images(0.0), mask());
        let optimize = |student, gradients| optimizer.step(0.02, student, gradients);
        let done = train_step(&method(), student, state, &views, &context(step), optimize);
        (student, state, loss) = (done.student, done.state, done.loss.into_scalar());
    }
    assert!(f64::from(loss) < 0.8 * guess, "{loss} after 200 steps on the same images");
}

#[test]
fn encoders_without_class_token_or_with_registers_are_trained_too() {
    for config in [vit().with_class_token(false), vit().with_registers(2)] {
        let (student, state) = start_with(&config);
        let step = method().loss(&student, &state, &masked(images(0.0), mask()), &context(0));
        assert!(step.loss.into_scalar::<f32>().is_finite());
    }
}

#[test]
fn views_of_another_size_than_the_encoder_was_made_for_have_resized_positions() {
    let (student, state) = start();
    let small = ssl_fixtures::crops(2, 4, 0.0);
    let mask = Mask::keep(&[vec![3], vec![0]], 4, &device()).expect("usable lists");
    let step = method().loss(&student, &state, &masked(small, mask), &context(0));
    assert!(step.loss.into_scalar::<f32>().is_finite());
}

#[test]
fn it_needs_one_view_whose_mask_keeps_patches() {
    let needs = method().needs();
    assert_eq!((needs.global_views, needs.tokens, needs.masks), (1, true, Some(MaskKind::Keep)));
}

#[test]
#[should_panic(expected = "16 of 16 patches are kept: expected at least 1 and one to predict")]
fn a_mask_that_hides_nothing_is_refused() {
    let all = Tensor::<1, Int>::arange(0..16, &device()).unsqueeze::<2>().expand([4, 16]);
    loss_of(&start().0, images(0.0), Mask::Keep(all));
}

#[test]
#[should_panic(expected = "MAE hides single patches: expected a mask that keeps the others, got Replace")]
fn a_mask_of_another_kind_is_refused() {
    let hidden = Tensor::<2>::zeros([4, 16], &device()).greater_elem(0.5);
    loss_of(&start().0, images(0.0), Mask::Replace(hidden));
}

#[test]
#[should_panic(expected = "this method needs an encoder with tokens and got one without: expected a ViT")]
fn a_network_without_tokens_is_refused() {
    let mut init = init();
    let resnet = ssl_fixtures::resnet(&mut init);
    method().init(resnet, &mut init);
}
