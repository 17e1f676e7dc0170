//! What a step of DINOv2 does, tested with a small ViT on made images.

use std::collections::BTreeMap;

use burn::module::Param;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Tensor, TensorData, Tolerance};
use ssl_core::{Head, MaskKind, Masking, named};
use ssl_dinov2::{
    Centering, DinoV2, DinoV2Config, DinoV2State, DinoV2Student, Init, MethodRules, Pass, Progress,
    SslMethod, TokenEncoder, Views, train_step,
};
use ssl_encoders::{Vit, VitConfig};
use ssl_fixtures::{
    assert_hidden_patches_are_unseen, at, context, crops_with_masks, descend, device, floats, images, init,
    vit,
};
use ssl_testing::ranks;

const OUTPUTS: usize = 6;
const PATCH_OUTPUTS: usize = 7;

type Student = DinoV2Student<Vit>;
type State = DinoV2State<Vit>;

fn config() -> DinoV2Config {
    let config = DinoV2Config::new().with_hidden_dim(8).with_bottleneck_dim(5).with_output_dim(OUTPUTS);
    config.with_teacher_momentum(0.9)
}

/// Sinkhorn-Knopp, and a head of their own for patches.
fn with_own_head() -> DinoV2Config {
    let config = config().with_centering(Centering::Sinkhorn).with_separate_patch_head(true);
    config.with_patch_hidden_dim(8).with_patch_bottleneck_dim(4).with_patch_output_dim(PATCH_OUTPUTS)
}

fn method(config: &DinoV2Config) -> DinoV2 {
    config.build().expect("a valid configuration")
}

fn start_with(config: &DinoV2Config, vit: &VitConfig) -> (Student, State) {
    let mut init = init();
    let encoder = vit.clone().with_mask_token(true).init(&mut init);
    method(config).init(encoder, &mut init)
}

fn start(config: &DinoV2Config) -> (Student, State) {
    start_with(config, &vit())
}

fn views(seed: f32) -> Views {
    crops_with_masks(images(seed), images(seed + 0.3), 8)
}

fn loss(config: &DinoV2Config, student: &Student, state: &State, views: &Views) -> f32 {
    method(config).loss(student, state, views, &context(0)).loss.into_scalar()
}

#[test]
fn no_pixel_of_a_hidden_patch_reaches_the_student() {
    let (student, state) = start(&config());
    assert_hidden_patches_are_unseen(|views| {
        method(&config()).loss(&student, &state, views, &context(0)).loss
    });
}

#[test]
fn the_student_is_trained_but_for_fixed_parts_and_the_teacher_is_not() {
    let fixed_lengths = config().with_train_prototype_lengths(false);
    // The positions, and the lengths of prototypes where they are fixed.
    for (config, fixed) in [(config(), 1), (with_own_head(), 1), (fixed_lengths, 2)] {
        let (student, state) = start(&config);
        let step = method(&config).loss(&student, &state, &views(0.0), &context(0));
        let names: Vec<_> = step.metrics.names().collect();
        let teacher = ["teacher_entropy", "teacher_patch_entropy", "center_norm"];
        let teacher = &teacher[..if state.center.is_some() { 3 } else { 2 }];
        let expected = [&["z_std"], teacher, &["class_loss", "patch_loss", "koleo"]].concat();
        assert_eq!(names, expected);
        let most = [OUTPUTS, if config.separate_patch_head { PATCH_OUTPUTS } else { OUTPUTS }];
        for ((name, entropy), outputs) in step.metrics.read().into_iter().skip(1).zip(most) {
            assert!(0.0 < entropy && entropy < (outputs as f64).ln(), "{name} is {entropy}");
        }
        let mut gradients = step.loss.backward();
        assert!(GradientsParams::from_module(&mut gradients, &state).is_empty(), "of teacher or centres");
        let parameters = named::collect(&student).len();
        assert_eq!(GradientsParams::from_module(&mut gradients, &student).len() + fixed, parameters);
    }
}

#[test]
fn without_hidden_patches_the_second_term_is_zero_and_its_center_stays() {
    for config in [config(), with_own_head()] {
        let (student, mut state) = start(&config);
        state.patch_center = state.patch_center.map(|center| center.map(|zeros| zeros + 0.25));
        let before = state.patch_center.as_ref().map(|center| floats(center.val()));
        let none = crops_with_masks(images(0.0), images(0.3), 0);
        let step = method(&config).loss(&student, &state, &none, &context(0));
        let without = config.clone().with_patch_weight(0.0);
        assert_eq!(step.loss.clone().into_scalar::<f32>(), loss(&without, &student, &state, &none));
        let gradients = GradientsParams::from_grads(step.loss.backward(), &student);
        let state = method(&config).absorb(state, step.carry);
        assert_eq!(state.patch_center.map(|center| floats(center.val())), before);
        let moved = state.center.is_none_or(|center| floats(center.val()).iter().any(|value| *value != 0.0));
        assert!(moved && !gradients.is_empty());
    }
}

#[test]
fn the_loss_uses_the_old_centers_and_the_step_moves_each_by_its_mean() {
    let config = config().with_center_momentum(0.6);
    let (student, state) = start(&config);
    let step = method(&config).loss(&student, &state, &views(0.0), &context(0));
    let teacher = state.teacher.network();
    let both = Tensor::cat(vec![images(0.0), images(0.3)], 0);
    let tokens = teacher.encoder.encode_tokens(both, Masking::None, &Pass::eval());
    let mean_of = |rows: Tensor<2>| {
        let z = teacher.head.forward(rows, &Pass::eval());
        teacher.head.logits(z).mean_dim(0)
    };
    let class = mean_of(tokens.class.expect("a class token"));
    // Eight and four hidden patches of the first crop, four and two of the second.
    let places = [0..8, 16..20, 64..68, 80..82].map(|range| range.collect::<Vec<i64>>()).concat();
    let rows = tokens.patches.flatten::<2>(0, 1);
    let patch = mean_of(rows.select(0, Tensor::from_data(places.as_slice(), &device())));
    let moved = method(&config).absorb(state, step.carry);
    let centers = [moved.center, moved.patch_center].map(|center| center.expect("a centre"));
    for (center, mean) in centers.into_iter().zip([class, patch]) {
        let want = mean.mul_scalar(0.4).squeeze_dim::<1>(0).into_data();
        center.val().into_data().assert_approx_eq::<f32>(&want, Tolerance::absolute(1e-6));
        assert!(want.iter::<f32>().any(|value| value.abs() > 1e-3), "means that need a centre");
    }
}

/// Without a balance, one output wins everywhere; so each of its parts must reach the loss.
#[test]
fn a_loss_without_the_balance_of_classes_or_patches_would_be_another() {
    let (student, mut state) = start(&config());
    let plain = loss(&config(), &student, &state, &views(1.0));
    let shift = || {
        let values = Tensor::<1>::from_floats([0.5, 0.0, 0.0, 0.0, 0.0, -0.5], &device());
        Some(Param::from_tensor(values))
    };
    let before = state.center.clone();
    state.center = shift();
    assert!((loss(&config(), &student, &state, &views(1.0)) - plain).abs() > 1e-4, "of classes");
    (state.center, state.patch_center) = (before, shift());
    assert!((loss(&config(), &student, &state, &views(1.0)) - plain).abs() > 1e-4, "of patches");
}

#[test]
fn sinkhorn_uses_all_outputs_where_every_logit_favours_one() {
    let config = with_own_head().with_teacher_temperature(0.04);
    let (student, mut state) = start(&config);
    let entropies = |state: &State| {
        let metrics = method(&config).loss(&student, state, &views(0.0), &context(0)).metrics.read();
        metrics.into_iter().collect::<BTreeMap<_, _>>()
    };
    let balanced = entropies(&state);
    // Prototypes that are all alike but for the first, which is far longer: its logit decides everywhere.
    let mut tensors = named::collect(&state.teacher);
    for path in ["network.head.last_layer.weight_g", "network.patch_head.last_layer.weight_g"] {
        let lengths =
            tensors[path].iter::<f32>().enumerate().map(|(row, _)| if row == 0 { 9.0 } else { 1.0 });
        let data = TensorData::new(lengths.collect::<Vec<_>>(), tensors[path].shape().clone());
        tensors.insert(path.to_owned(), data);
    }
    state.teacher = named::load(state.teacher, tensors).expect("the same teacher");
    let found = entropies(&state);
    for name in ["teacher_entropy", "teacher_patch_entropy"] {
        assert!(found[name] > 0.3 * balanced[name], "{name}: {} of {}", found[name], balanced[name]);
    }
}

#[test]
fn koleo_sees_class_tokens_before_the_head() {
    let only = config().with_class_weight(1e-9).with_patch_weight(0.0).with_koleo_weight(1.0);
    let (student, state) = start(&only);
    let step = method(&only).loss(&student, &state, &views(0.0), &context(0));
    let moved = gradients(student, &step.loss);
    let largest = |path: &str| moved[path].iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    assert!(largest("encoder.norm.weight") > 1e-3, "the class tokens");
    assert!(largest("head.last_layer.weight_v") < 1e-6, "nothing of the head");
}

/// The gradients of a loss, as what a step of descent takes away.
fn gradients(student: Student, loss: &Tensor<1>) -> BTreeMap<String, Vec<f32>> {
    let before = named::collect(&student);
    let after = named::collect(&descend(student, loss, 1.0));
    let taken = |(path, data): (String, TensorData)| {
        let values = data.iter::<f32>().zip(after[&path].iter::<f32>());
        let taken = values.map(|(before, after)| before - after).collect();
        (path, taken)
    };
    before.into_iter().map(taken).collect()
}

#[test]
fn the_teacher_is_bit_equal_to_the_average_of_the_students_by_hand() {
    let config = with_own_head();
    let method = method(&config);
    let (mut student, mut state) = start(&config);
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
fn the_rate_of_last_layers_is_zero_in_the_first_epoch() {
    let at = |step| Progress { step, total_steps: 10, steps_per_epoch: 2 };
    for path in ["head.last_layer.weight_v", "patch_head.last_layer.weight_g"] {
        let rules = |step| method(&config()).gradient_rules(at(step));
        assert!(rules(1).has_zero_lr(path) && !rules(2).has_zero_lr(path) && !rules(1).is_frozen(path));
    }
    assert!(!method(&config()).gradient_rules(at(0)).has_zero_lr("head.mlp.layers.2.linear.weight"));
}

#[test]
fn another_network_learns_what_a_teacher_that_stays_says() {
    for config in [config().with_center_momentum(1.0), with_own_head()] {
        let config = config.with_teacher_momentum(1.0).with_koleo_weight(0.0);
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
}

/// Gradients of the class tokens' norm, with the batch shared by `size` processes whose gradients are averaged.
fn shared_gradient(config: &DinoV2Config, size: usize) -> (f32, Vec<f32>) {
    let results = ranks(size, |group| {
        let (student, state) = start(config);
        let count = 4 / size;
        let views = views(0.0).narrow(group.rank() * count, count);
        let context = context(0).with_group(group.clone());
        let step = method(config).loss(&student, &state, &views, &context);
        let mut gradients = gradients(student, &step.loss);
        (step.loss.into_scalar::<f32>(), gradients.remove("encoder.norm.weight").expect("it is trained"))
    });
    let share = 1.0 / size as f32;
    let loss = results.iter().map(|(loss, _)| loss * share).sum();
    let sum = |place: usize| results.iter().map(|(_, gradient)| gradient[place] * share).sum();
    (loss, (0..results[0].1.len()).map(sum).collect())
}

#[test]
fn any_number_of_processes_computes_the_same_also_where_one_has_nothing_hidden() {
    for config in [config(), with_own_head()] {
        let (loss, gradient) = shared_gradient(&config, 1);
        for size in [2, 4] {
            let (found, of_size) = shared_gradient(&config, size);
            assert!((found - loss).abs() < 1e-4 * loss.abs(), "{size}: {found} is not {loss}");
            let largest = gradient.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            for (found, want) in of_size.iter().zip(&gradient) {
                assert!((found - want).abs() < 1e-3 * largest, "{size}: {found} is not {want}");
            }
        }
    }
}

#[test]
fn registers_layer_scale_and_crops_of_one_size_are_fine_too() {
    let vit = vit().with_registers(2).with_layer_scale(1e-5);
    let (student, state) = start_with(&config(), &vit);
    let two = Views { crops: views(0.0).global().to_vec(), ..views(0.0) };
    assert!(loss(&config(), &student, &state, &two).is_finite());
}

#[test]
fn it_needs_tokens_and_masks_that_replace_patches() {
    let needs = method(&config()).needs();
    let found = (needs.global_views, needs.local_views, needs.tokens, needs.masks);
    assert_eq!(found, (2, true, true, Some(MaskKind::Replace)));
}

#[test]
fn an_encoder_without_its_tokens_and_koleo_on_one_image_are_errors() {
    let error = |config: DinoV2Config, vit: VitConfig, batch: usize| {
        method(&config).check(&vit.init(&mut init()), batch).expect_err("unusable").to_string()
    };
    assert!(error(config(), vit(), 4).starts_with("encoder.mask_token is false"));
    let with_mask = vit().with_mask_token(true);
    assert!(
        error(config(), with_mask.clone().with_class_token(false), 4)
            .starts_with("encoder.class_token is false")
    );
    assert_eq!(
        error(config(), with_mask.clone(), 1),
        "koleo_weight is 0.1 for batches of 1 image, expected 0, or batches of at least 2 images"
    );
    assert!(method(&config().with_koleo_weight(0.0)).check(&with_mask.init(&mut init()), 1).is_ok());
}
