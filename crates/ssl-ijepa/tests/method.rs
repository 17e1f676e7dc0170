//! What a step of I-JEPA does, tested with a small ViT on made images.

use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Tensor, TensorData};
use ssl_core::{MaskKind, Masking, TokenShape, named};
use ssl_encoders::{Vit, VitConfig};
use ssl_fixtures::{at, context, descend, device, images, init, masked, vit};
use ssl_ijepa::{
    IJepa, IJepaConfig, IJepaStudent, Init, Mask, MethodRules, Pass, PredictorInput, SslMethod, Step,
    TargetEncoder, TeacherState, TokenEncoder, Views, ijepa,
};

type Student = IJepaStudent<Vit>;
type State = TeacherState<TargetEncoder<Vit>>;

fn config() -> IJepaConfig {
    let config = IJepaConfig::new().with_predictor_dim(8).with_predictor_depth(1).with_predictor_heads(2);
    config.with_teacher_momentum(0.9)
}

fn method() -> IJepa {
    config().build().expect("a valid configuration")
}

fn start_with(vit: &VitConfig) -> (Student, State) {
    let mut init = init();
    let encoder = vit.init(&mut init);
    method().init(encoder, &mut init)
}

fn start() -> (Student, State) {
    start_with(&vit().with_class_token(false))
}

/// The upper half of 4×4 patches, and two blocks of two patches in the lower half.
fn mask() -> Mask {
    Mask::Predict {
        context: Tensor::from_data([[0, 1, 2, 3, 4, 5, 6, 7]; 4], &device()),
        targets: Tensor::from_data([[[8, 9], [14, 15]]; 4], &device()),
    }
}

fn views_of(images: Tensor<4>) -> Views {
    masked(images, mask())
}

fn step(student: &Student, state: &State, images: Tensor<4>) -> Step<()> {
    method().loss(student, state, &views_of(images), &context(0))
}

fn loss(student: &Student, state: &State, images: Tensor<4>) -> f32 {
    step(student, state, images).loss.into_scalar()
}

/// The loss of this student's predictions against the tokens of an encoder.
fn loss_against(encoder: &Vit, student: &Student) -> f32 {
    let Mask::Predict { context: context_places, targets } = mask() else { panic!("a context and targets") };
    let context = student.encoder.encode_tokens(images(0.0), mask().masking(), &Pass::train()).patches;
    let target_places = targets.swap_dims(0, 1);
    let input =
        PredictorInput { context, context_places, target_places: target_places.clone(), grid: [4, 4] };
    let pred = student.predictor.forward(input, &Pass::train());
    let tokens = encoder.encode_tokens(images(0.0), Masking::None, &Pass::train()).patches;
    ijepa(pred, tokens, target_places).into_scalar()
}

/// The images with noise in the lower half.
fn with_noise_below() -> Tensor<4> {
    let above = images(0.0).narrow(2, 0, 4);
    Tensor::cat(vec![above, images(7.0).narrow(2, 4, 4)], 2)
}

#[test]
fn the_predictor_is_expected_to_keep_what_blocks_and_their_size_ask_for() {
    let of = |targets, target| {
        let shape = TokenShape {
            feature_dim: 8,
            images: 4,
            views: 1,
            patches: 16,
            patch_size: 2,
            seen: 0.5,
            targets,
            target,
        };
        method().token_footprint(&shape)
    };
    let [one, two, larger] = [of(1, 0.25), of(2, 0.25), of(1, 0.5)];
    assert_eq!(two.other_kept, 2.0 * one.other_kept);
    assert_eq!(larger.other_kept * 3.0, one.other_kept * 4.0);
    assert_eq!(two.loss, 2.0 * one.loss);
    assert_eq!(two.other_parameters, one.other_parameters);
}

#[test]
fn the_student_sees_the_context_alone_and_the_teacher_all() {
    let (student, state) = start();
    let tokens = |images: Tensor<4>| -> Vec<f32> {
        let seen = student.encoder.encode_tokens(images, mask().masking(), &Pass::eval());
        seen.patches.into_data().iter().collect()
    };
    assert_eq!(tokens(images(0.0)), tokens(with_noise_below()));
    let (one, other) = (loss(&student, &state, images(0.0)), loss(&student, &state, with_noise_below()));
    assert_ne!(one, other, "the teacher did not see the targets");
}

#[test]
fn the_student_predicts_the_tokens_of_its_teacher_and_not_its_own() {
    // A student that is far from its teacher: at the start, and after few steps, their tokens are nearly the same.
    let encoder = vit().with_class_token(false).init(&mut Init::new(1, &device().autodiff()));
    let (student, state) = (IJepaStudent { encoder, ..start().0 }, start().1);
    let found = loss(&student, &state, images(0.0));
    let of_teacher = loss_against(&state.teacher.network().encoder, &student);
    let of_student = loss_against(&student.encoder, &student);
    assert!((found - of_teacher).abs() < 1e-6, "{found}, expected {of_teacher}");
    assert!((found - of_student).abs() > 1e-4, "{found}, as against its own tokens");
}

#[test]
fn a_student_that_says_the_same_of_every_patch_pays_because_its_teacher_does_not() {
    let (student, state) = start();
    let mut tensors = named::collect(&student);
    for name in ["encoder.norm.weight", "encoder.norm.bias"] {
        let collapsed = TensorData::new(vec![0.0_f32; 16], [16]);
        assert!(tensors.insert(name.to_owned(), collapsed).is_some(), "no {name}");
    }
    let student = named::load(student, tensors).expect("the same student");
    // Targets have variance 1. Of its own, there would be none to predict.
    let (found, own) = (loss(&student, &state, images(0.0)), loss_against(&student.encoder, &student));
    assert!(found > 0.2 && own < 0.05, "{found}, and {own} against its own tokens");
}

#[test]
fn blocks_of_targets_do_not_see_each_other() {
    let (student, _) = start();
    let context = student.encoder.encode_tokens(images(0.0), mask().masking(), &Pass::eval()).patches;
    let predicted = |second: i64| -> Vec<f32> {
        let Mask::Predict { context: context_places, .. } = mask() else { panic!("a context") };
        let targets = Tensor::from_data([[[8, 9]; 4], [[second, 15]; 4]], &device());
        let input =
            PredictorInput { context: context.clone(), context_places, target_places: targets, grid: [4, 4] };
        student.predictor.forward(input, &Pass::eval()).into_data().iter().collect()
    };
    let (one, other) = (predicted(14), predicted(11));
    let half = one.len() / 2;
    assert_eq!(one[..half], other[..half], "a block depends on another");
    assert_ne!(one[half..], other[half..], "the place of a target makes no difference");
}

#[test]
fn the_student_is_trained_but_for_its_positions_and_the_teacher_is_not() {
    let (student, state) = start();
    let before = named::collect(&student);
    let out = step(&student, &state, images(0.0));
    assert_eq!(out.metrics.names().collect::<Vec<_>>(), ["z_std"]);
    let mut gradients = out.loss.backward();
    assert!(GradientsParams::from_module(&mut gradients, &state).is_empty(), "the teacher has gradients");
    let gradients = GradientsParams::from_module(&mut gradients, &student);
    // A large step, since the gradients of the norms are small beside their weights of 1.
    let after = named::collect(&SgdConfig::new().init().step(1e3, student, gradients));
    let fixed = before.iter().filter(|(path, data)| after[*path] == **data).map(|(path, _)| path);
    assert_eq!(fixed.collect::<Vec<_>>(), ["encoder.pos_embed", "predictor.pos_embed"]);
}

#[test]
fn the_teacher_is_the_average_of_its_students_along_a_line() {
    let (mut student, mut state) = start();
    let mut by_hand = named::collect(state.teacher.network());
    for t in 0..3 {
        let out = method().loss(&student, &state, &views_of(images(t as f32)), &context(t));
        student = descend(student, &out.loss, 0.1);
        state = method().after_step(&student, state, at(t));
        let momentum = 0.9 + 0.1 * t as f64 / 10.0;
        let (m, rest) = (momentum as f32, (1.0 - momentum) as f32);
        let now = named::collect(&student.target());
        for (path, data) in &mut by_hand {
            let pairs = data.iter::<f32>().zip(now[path].iter::<f32>());
            let values: Vec<f32> = pairs.map(|(teacher, student)| teacher * m + student * rest).collect();
            *data = TensorData::new(values, data.shape().clone());
        }
        assert_eq!(named::collect(state.teacher.network()), by_hand, "after step {t}");
    }
    assert_ne!(by_hand, named::collect(&student.target()), "the teacher lags behind");
    let kept = named::collect(method().encoder(&student, &state));
    assert_eq!(kept, named::collect(&state.teacher.network().encoder));
}

#[test]
fn encoders_with_a_class_token_or_registers_are_trained_too() {
    for config in [vit(), vit().with_registers(2)] {
        let (student, state) = start_with(&config);
        assert!(loss(&student, &state, images(0.0)).is_finite());
    }
}

#[test]
fn it_needs_one_view_whose_mask_has_targets() {
    let needs = method().needs();
    assert_eq!((needs.global_views, needs.tokens, needs.masks), (1, true, Some(MaskKind::Predict)));
}

#[test]
#[should_panic(expected = "I-JEPA predicts blocks of patches: expected a mask that has them, got Keep")]
fn a_mask_of_another_kind_is_refused() {
    let (student, state) = start();
    let kept = Mask::keep(&vec![vec![0, 1]; 4], 16, &device()).expect("usable lists");
    let views = Views::new(vec![images(0.0)], 1).with_masks(vec![Some(kept)]);
    method().loss(&student, &state, &views, &context(0));
}
