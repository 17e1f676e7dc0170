//! What a step of MSN does, tested with a small ViT on made images.

use std::collections::BTreeSet;

use burn::tensor::{Tensor, TensorData};
use ssl_core::{Group, Head, MaskKind, Masking, named};
use ssl_encoders::{Vit, VitConfig};
use ssl_fixtures::{
    assert_near, assert_trains_only, at, context, crops, descend, device, floats, images, init, noise_at,
};
use ssl_msn::{
    EncoderWith, Mask, MethodRules, Msn, MsnConfig, MsnLoss, MsnStudent, Pass, SslMethod, Step, TeacherState,
    TokenEncoder, Views, assignments, targets_of,
};

type Student = MsnStudent<Vit>;
type State = TeacherState<EncoderWith<Vit>>;

fn config() -> MsnConfig {
    let config = MsnConfig::new().with_hidden_dim(8).with_output_dim(6).with_prototypes(5);
    config.with_teacher_momentum(0.9)
}

fn method() -> Msn {
    config().build().expect("a valid configuration")
}

/// Two blocks on images of 4×4 patches.
fn start() -> (Student, State) {
    let mut init = init();
    let encoder = VitConfig::new(16, 2, 2).with_image_size(8).with_patch_size(2).init(&mut init);
    method().init(encoder, &mut init)
}

/// The first twelve of 16 patches.
fn kept() -> Mask {
    Mask::keep(&vec![(0..12).collect(); 4], 16, &device()).expect("usable lists")
}

/// 1 at the patches that are hidden.
fn hidden() -> Tensor<2> {
    kept().hidden(16)
}

/// A target, a masked anchor, and two focal views of 2×2 patches.
fn views_of(target: Tensor<4>, anchor: Tensor<4>) -> Views {
    let focal = [0.3, 0.4].map(|seed| crops(4, 4, seed));
    Views::new([target, anchor].into_iter().chain(focal).collect(), 2).with_masks(vec![
        None,
        Some(kept()),
        None,
        None,
    ])
}

fn step(student: &Student, state: &State, views: &Views) -> Step<()> {
    method().loss(student, state, views, &context(0))
}

fn loss(target: Tensor<4>, anchor: Tensor<4>) -> f32 {
    let (student, state) = start();
    step(&student, &state, &views_of(target, anchor)).loss.into_scalar()
}

#[test]
fn an_anchor_is_seen_in_part_and_the_target_as_a_whole() {
    let (plain, noisy) = (images(0.0), noise_at(hidden()));
    assert_eq!(loss(images(1.0), plain.clone()), loss(images(1.0), noisy.clone()), "hidden patches are seen");
    assert_ne!(loss(plain, images(1.0)), loss(noisy, images(1.0)), "the target is seen in part");
}

#[test]
fn the_student_is_trained_with_its_prototypes_and_the_teacher_is_not() {
    let (student, state) = start();
    assert_trains_only(&student, &state, &step(&student, &state, &views_of(images(0.0), images(1.0))));
}

#[test]
fn it_reports_how_many_prototypes_are_used() {
    let (student, state) = start();
    let offers = step(&student, &state, &views_of(images(0.0), images(1.0))).metrics.read();
    assert_eq!(offers.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["z_std", "prototype_usage"]);
    let config = config();
    let loss = MsnLoss {
        temperature: config.temperature,
        sharpen_temperature: config.sharpen_temperature,
        sinkhorn_iterations: config.sinkhorn_iterations,
        regularization_weight: config.regularization_weight,
    };
    let (student, state) = start();
    let z = state.teacher.network().embed(images(0.0), &context(0).teacher_pass());
    let logits = assignments(z, student.prototypes.weight.val(), loss.temperature);
    let targets = floats(targets_of(logits, &loss, &Group::default()));
    let first = |row: &[f32]| (0..5).max_by(|&a, &b| row[a].total_cmp(&row[b]));
    let chosen: BTreeSet<_> = targets.chunks(5).map(first).collect();
    assert!(chosen.len() > 1, "as if all targets were the same: {targets:?}");
    assert!((offers[1].1 - chosen.len() as f64 / 5.0).abs() < 1e-6, "{offers:?} of {targets:?}");
}

#[test]
fn large_views_pass_the_network_first_and_focal_ones_together_after_them() {
    let (student, state) = start();
    let views = views_of(images(0.0), images(1.0));
    step(&student, &state, &views);
    let (by_hand, _) = start();
    let groups = [
        (views.crops[1].clone(), kept().masking()),
        (Tensor::cat(views.crops[2..].to_vec(), 0), Masking::None),
    ];
    for (images, masking) in groups {
        let features = by_hand.encoder.encode_pooled(images, masking, &Pass::train());
        by_hand.projector.forward(features, &Pass::train());
    }
    // Each group has moved the running statistics.
    assert_near(&student.projector, &by_hand.projector);
}

#[test]
fn the_order_of_large_views_does_not_count_and_a_focal_view_may_have_a_mask() {
    let method = config().with_random_views(2).build().expect("a valid configuration");
    let (student, state) = start();
    let value = |anchors: [Tensor<4>; 2], focal: Option<Mask>| -> f32 {
        let crops = [images(0.0)].into_iter().chain(anchors).chain([images(2.0)]).collect();
        let views = Views::new(crops, 3).with_masks(vec![None, Some(kept()), Some(kept()), focal]);
        method.loss(&student, &state, &views, &context(0)).loss.into_scalar()
    };
    let [a, b] = [images(1.0), images(3.0)];
    let (one, other) = (value([a.clone(), b.clone()], None), value([b.clone(), a.clone()], None));
    assert!((one - other).abs() < 1e-5, "{one} and {other}");
    let block = Mask::keep(&vec![vec![0, 1, 4, 5]; 4], 16, &device()).expect("usable lists");
    assert_ne!(one, value([a, b], Some(block)));
}

#[test]
fn the_teacher_is_the_average_of_its_students_along_a_line_and_is_kept() {
    let (mut student, mut state) = start();
    let mut by_hand = named::collect(state.teacher.network());
    for t in 0..3 {
        let out = method().loss(&student, &state, &views_of(images(t as f32), images(1.0)), &context(t));
        student = descend(student, &out.loss, 0.1);
        state = method().after_step(&student, state, at(t));
        let momentum = 0.9 + 0.1 * t as f64 / 10.0;
        let (m, rest) = (momentum as f32, (1.0 - momentum) as f32);
        let (now, teacher) = (named::collect(&student.target()), named::collect(state.teacher.network()));
        for (path, data) in &mut by_hand {
            if named::is_buffer(path) {
                // Its own, of its own passes.
                *data = teacher[path].clone();
                continue;
            }
            let pairs = data.iter::<f32>().zip(now[path].iter::<f32>());
            let values: Vec<f32> = pairs.map(|(teacher, student)| teacher * m + student * rest).collect();
            *data = TensorData::new(values, data.shape().clone());
        }
        assert_eq!(teacher, by_hand, "after step {t}");
    }
    let kept = named::collect(method().encoder(&student, &state));
    assert_eq!(kept, named::collect(&state.teacher.network().encoder));
    assert_ne!(kept, named::collect(&student.encoder), "the teacher lags behind");
}

#[test]
fn it_needs_a_target_anchors_with_masks_and_takes_focal_views() {
    let needs = config().with_random_views(2).build().expect("valid").needs();
    assert_eq!((needs.global_views, needs.local_views, needs.tokens), (3, true, true));
    assert_eq!(needs.masks, Some(MaskKind::Keep));
}

#[test]
#[should_panic(expected = "MSN sees some patches of an anchor: expected a mask that keeps them, got Replace")]
fn a_mask_of_another_kind_is_refused() {
    let (student, state) = start();
    let replaced = Mask::Replace(Tensor::from_data([[true; 16]; 4], &device()));
    let views = Views::two(images(0.0), images(1.0)).with_masks(vec![None, Some(replaced)]);
    step(&student, &state, &views);
}
