//! What a step of iBOT does, tested with a small ViT on made images.

use std::collections::BTreeMap;

use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Tensor, TensorData, Tolerance};
use ssl_core::{MaskKind, Masking, named};
use ssl_encoders::{Vit, VitConfig};
use ssl_fixtures::{
    assert_hidden_patches_are_unseen, at, context, crops_with_masks, descend, device, floats, hides, images,
    init, noise_at, vit,
};
use ssl_ibot::{
    IBot, IBotConfig, IBotState, IBotStudent, Init, Mask, MethodRules, Pass, Progress, SslMethod,
    TokenEncoder, Views, train_step,
};

/// Patches of an image of 8 pixels with patches of 2.
const PATCHES: usize = 16;
const OUTPUTS: usize = 6;

type Student = IBotStudent<Vit>;
type State = IBotState<Vit>;

fn config() -> IBotConfig {
    let config = IBotConfig::new().with_hidden_dim(8).with_bottleneck_dim(5).with_output_dim(OUTPUTS);
    config.with_teacher_momentum(0.9)
}

fn method(config: &IBotConfig) -> IBot {
    config.build().expect("a valid configuration")
}

fn start_with(config: &IBotConfig, vit: &VitConfig) -> (Student, State) {
    let mut init = init();
    let encoder = vit.clone().with_mask_token(true).init(&mut init);
    method(config).init(encoder, &mut init)
}

fn start(config: &IBotConfig) -> (Student, State) {
    start_with(config, &vit())
}

fn views(seed: f32) -> Views {
    crops_with_masks(images(seed), images(seed + 0.3), 8)
}

fn loss(method: &IBot, student: &Student, state: &State, views: &Views) -> f32 {
    method.loss(student, state, views, &context(0)).loss.into_scalar()
}

#[test]
fn no_pixel_of_a_hidden_patch_reaches_the_student() {
    let (student, state) = start(&config());
    assert_hidden_patches_are_unseen(|views| {
        method(&config()).loss(&student, &state, views, &context(0)).loss
    });
}

#[test]
fn the_teacher_sees_hidden_patches_and_says_what_they_are() {
    let only_patches = config().with_class_weight(0.0);
    let (student, state) = start(&only_patches);
    // Noise in hidden patches, which only the teacher sees.
    let noisy = noise_at(hides(8).hidden(PATCHES));
    let of = |first| loss(&method(&only_patches), &student, &state, &crops_with_masks(first, images(0.3), 8));
    assert_ne!(of(images(0.0)), of(noisy));
}

#[test]
fn without_hidden_patches_the_second_term_is_zero_and_the_centers_move_on() {
    let (student, state) = start(&config());
    let views = crops_with_masks(images(0.0), images(0.3), 0);
    let step = method(&config()).loss(&student, &state, &views, &context(0));
    let without = config().with_patch_weight(0.0);
    assert_eq!(step.loss.clone().into_scalar::<f32>(), loss(&method(&without), &student, &state, &views));
    let values: BTreeMap<_, _> = step.metrics.read().into_iter().collect();
    assert_eq!(values["patch_loss"], 0.0);
    let state = method(&config()).absorb(state, step.carry);
    assert!(floats(state.patch_center.val()).iter().any(|value| value.abs() > 1e-4), "all patches count");
}

#[test]
fn the_student_is_trained_but_for_fixed_parts_and_the_teacher_is_not() {
    for trains_lengths in [false, true] {
        let config = config().with_train_prototype_lengths(trains_lengths);
        let (student, state) = start(&config);
        let step = method(&config).loss(&student, &state, &views(0.0), &context(0));
        let names: Vec<_> = step.metrics.names().collect();
        let expected =
            ["z_std", "teacher_entropy", "teacher_patch_entropy", "center_norm", "class_loss", "patch_loss"];
        assert_eq!(names, expected);
        for (name, entropy) in step.metrics.read().into_iter().skip(1).take(2) {
            assert!(0.0 < entropy && entropy < (OUTPUTS as f64).ln(), "{name} is {entropy}");
        }
        let mut gradients = step.loss.backward();
        assert!(GradientsParams::from_module(&mut gradients, &state).is_empty(), "of teacher or centres");
        let parameters = named::collect(&student).len();
        let fixed = if trains_lengths { 1 } else { 2 }; // the positions, and the lengths of prototypes
        assert_eq!(GradientsParams::from_module(&mut gradients, &student).len() + fixed, parameters);
    }
}

#[test]
fn the_loss_uses_the_old_centers_and_the_step_moves_each_by_its_mean() {
    let config = config().with_center_momentum(0.6).with_patch_center_momentum(0.7);
    let (student, state) = start(&config);
    let step = method(&config).loss(&student, &state, &views(0.0), &context(0));
    assert_eq!(floats(state.center.val()), [0.0; OUTPUTS]);
    let teacher = state.teacher.network();
    let both = Tensor::cat(vec![images(0.0), images(0.3)], 0);
    let tokens = teacher.encoder.encode_tokens(both, Masking::None, &Pass::eval());
    let mean_of = |rows: Tensor<2>| {
        let z = ssl_core::Head::forward(&teacher.head, rows, &Pass::eval());
        teacher.head.logits(z).mean_dim(0)
    };
    let class = mean_of(tokens.class.expect("a class token"));
    let patch = mean_of(tokens.patches.flatten(0, 1));
    let moved = method(&config).absorb(state, step.carry);
    for (center, mean, share) in [(moved.center, class, 0.4), (moved.patch_center, patch, 0.3)] {
        let want = mean.mul_scalar(share).squeeze_dim::<1>(0).into_data();
        center.val().into_data().assert_approx_eq::<f32>(&want, Tolerance::absolute(1e-6));
        assert!(want.iter::<f32>().any(|value| value.abs() > 1e-3), "means that need a centre");
    }
}

/// Without its centre, one output wins everywhere; so each must reach the loss.
#[test]
fn a_loss_without_one_of_the_centers_would_be_another() {
    let (student, mut state) = start(&config());
    let method = method(&config());
    let plain = loss(&method, &student, &state, &views(1.0));
    let shift = || {
        burn::module::Param::from_tensor(Tensor::<1>::from_floats([0.5, 0.0, 0.0, 0.0, 0.0, -0.5], &device()))
    };
    let before = state.center.clone();
    state.center = shift();
    assert!((loss(&method, &student, &state, &views(1.0)) - plain).abs() > 1e-4, "the centre of classes");
    (state.center, state.patch_center) = (before, shift());
    assert!((loss(&method, &student, &state, &views(1.0)) - plain).abs() > 1e-4, "the centre of patches");
}

#[test]
fn the_teacher_is_bit_equal_to_the_average_of_the_students_by_hand() {
    let method = method(&config());
    let (mut student, mut state) = start(&config());
    let mut by_hand = named::collect(state.teacher.network());
    for t in 0..3 {
        let out = method.loss(&student, &state, &views(t as f32), &context(t));
        student = descend(student, &out.loss, 0.1);
        state = method.after_step(&student, state, at(t));
        let momentum = 1.0 - (1.0 - 0.9) * (0.5 * (1.0 + (std::f64::consts::PI * t as f64 / 10.0).cos()));
        let (m, rest) = (momentum as f32, (1.0 - momentum) as f32);
        let now = named::collect(&student);
        for (path, data) in &mut by_hand {
            let pairs = data.iter::<f32>().zip(now[path].iter::<f32>());
            let values: Vec<f32> = pairs.map(|(teacher, student)| teacher * m + student * rest).collect();
            *data = TensorData::new(values, data.shape().clone());
        }
        assert_eq!(named::collect(state.teacher.network()), by_hand, "after step {t}");
    }
    assert_ne!(by_hand, named::collect(&student), "the teacher lags behind");
    let kept = named::collect(method.encoder(&student, &state));
    assert_eq!(kept, named::collect(&state.teacher.network().encoder));
}

#[test]
fn the_last_layer_is_frozen_in_the_first_epoch() {
    let at = |step| Progress { step, total_steps: 10, steps_per_epoch: 2 };
    for path in ["head.last_layer.weight_v", "head.last_layer.weight_g"] {
        let is_frozen = |step| method(&config()).gradient_rules(at(step)).is_frozen(path);
        assert!(is_frozen(1) && !is_frozen(2));
    }
    assert!(!method(&config()).gradient_rules(at(0)).is_frozen("head.mlp.layers.2.linear.weight"));
}

#[test]
fn another_network_learns_what_a_teacher_that_stays_says() {
    let config = config().with_freeze_last_layer_epochs(0).with_teacher_momentum(1.0);
    let config = config.with_center_momentum(1.0).with_patch_center_momentum(1.0);
    let method = method(&config);
    let mut init = Init::new(1, &device().autodiff());
    let encoder = vit().with_mask_token(true).init(&mut init);
    let (mut student, _) = method.init(encoder, &mut init);
    let (_, mut state) = start(&config);
    let mut optimizer = AdamWConfig::new().init();
    let mut losses = Vec::new();
    for step in 0..60 {
        let optimize = |student, gradients| optimizer.step(2e-3, student, gradients);
        let done = train_step(&method, student, state, &views(0.0), &context(step % 10), optimize);
        (student, state) = (done.student, done.state);
        losses.push(done.loss.into_scalar::<f32>());
    }
    assert!(losses[59] < 0.5 * losses[0], "{losses:?}");
}

#[test]
fn registers_and_crops_of_one_size_are_fine_too() {
    let (student, state) = start_with(&config(), &vit().with_registers(2));
    let two = Views { crops: views(0.0).global().to_vec(), ..views(0.0) };
    assert!(loss(&method(&config()), &student, &state, &two).is_finite());
}

#[test]
fn it_needs_tokens_and_masks_that_replace_patches() {
    let needs = method(&config()).needs();
    let found = (needs.global_views, needs.local_views, needs.tokens, needs.masks);
    assert_eq!(found, (2, true, true, Some(MaskKind::Replace)));
}

#[test]
fn an_encoder_without_mask_token_or_class_token_is_an_error() {
    let error = |vit: VitConfig| {
        method(&config()).check(&vit.init(&mut init()), 4).expect_err("a token is missing").to_string()
    };
    assert!(error(vit()).starts_with("encoder.mask_token is false"), "{}", error(vit()));
    let without_class = vit().with_mask_token(true).with_class_token(false);
    assert!(error(without_class).starts_with("encoder.class_token is false"));
}

#[test]
#[should_panic(expected = "expected a mask of view 0 that replaces patches, got Some(Keep)")]
fn a_mask_of_another_kind_is_refused() {
    let (student, state) = start(&config());
    let kept = Mask::keep(&vec![vec![0, 1]; 4], PATCHES, &device()).expect("usable lists");
    let views = Views::two(images(0.0), images(0.3)).with_masks(vec![Some(kept.clone()), Some(kept)]);
    loss(&method(&config()), &student, &state, &views);
}
