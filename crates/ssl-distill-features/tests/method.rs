//! What a step of feature distillation does, tested with small networks on made images.

use std::sync::Arc;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use ssl_core::math::{NORMALIZE_EPS, l2_normalize};
use ssl_core::{NoState, named};
use ssl_distill_features::{
    DistillFeatures, DistillFeaturesConfig, DistillFeaturesStudent, Encoder, Features, Frozen, FrozenEncoder,
    Init, MethodRules, Pass, SslMethod, Step, TokenEncoder, Views,
};
use ssl_encoders::{BlockKind, Pool, ResNet, ResNetConfig, Stem, Vit, VitConfig};
use ssl_fixtures::{assert_trains_only, context, descend, device, floats, images, init, resnet};

/// Two blocks on [`images`] of 4×4 patches.
fn small_vit() -> VitConfig {
    VitConfig::new(16, 2, 2).with_image_size(8).with_patch_size(2)
}

/// A teacher of another architecture and width, with batch norm.
fn wide_resnet() -> ResNet {
    let config = ResNetConfig::new(BlockKind::Basic, [1]).with_width(6).with_stem(Stem::Cifar);
    config.init(&mut Init::new(5, &device()))
}

fn wide_vit() -> Vit {
    VitConfig::new(24, 1, 2).with_image_size(8).with_patch_size(2).init(&mut Init::new(5, &device()))
}

fn method(config: DistillFeaturesConfig, teacher: impl FrozenEncoder + 'static) -> DistillFeatures {
    let mut method = config.build().expect("a valid configuration");
    method.learn_from(Arc::new(teacher));
    method
}

fn both() -> DistillFeaturesConfig {
    DistillFeaturesConfig::new().with_token_weight(0.5)
}

fn step<E: Encoder>(method: &DistillFeatures, student: &DistillFeaturesStudent<E>) -> Step<()> {
    method.loss(student, &NoState {}, &Views::new(vec![images(0.0)], 1), &context(0))
}

fn start<E: Encoder>(method: &DistillFeatures, encoder: E) -> DistillFeaturesStudent<E> {
    method.check(&encoder, 4).expect("networks that fit");
    method.init(encoder, &mut init()).0
}

/// Notes the images that it is shown.
#[derive(Debug)]
struct Watching {
    encoder: Vit,
    seen: Arc<std::sync::Mutex<Vec<Vec<f32>>>>,
}

impl FrozenEncoder for Watching {
    fn features(&self, images: Tensor<4>) -> Features {
        assert!(!images.is_autodiff(), "the teacher's images are tracked");
        self.seen.lock().expect("nobody panics").push(floats(images.clone()));
        Features::of(&self.encoder, images, &Pass::eval())
    }

    fn feature_dim(&self) -> usize {
        self.encoder.feature_dim()
    }

    fn patch_size(&self) -> Option<usize> {
        self.encoder.tokens().map(TokenEncoder::patch_size)
    }
}

#[test]
fn every_parameter_of_a_resnet_is_trained_by_a_teacher_that_stays_as_it_is() {
    let teacher = wide_resnet();
    let before = named::collect(&teacher);
    let method = method(DistillFeaturesConfig::new(), Frozen::new(teacher.clone()));
    let mut student = start(&method, resnet(&mut init()));
    assert!(student.token_projector.is_none());
    assert_trains_only(&student, &teacher, &step(&method, &student));
    let loss = step(&method, &student).loss;
    student = descend(student, &loss, 0.1);
    step(&method, &student);
    // A teacher in training mode would move its running statistics.
    assert_eq!(named::collect(&teacher), before);
}

#[test]
fn every_parameter_of_a_vit_is_trained_on_features_and_tokens_and_the_teacher_is_not() {
    let teacher = wide_vit();
    let method = method(both(), Frozen::new(teacher.clone()));
    let student = start(&method, small_vit().init(&mut init()));
    assert_trains_only(&student, &teacher, &step(&method, &student));
}

#[test]
fn a_teacher_that_tracks_gradients_gets_none() {
    let tracked = VitConfig::new(24, 1, 2).with_image_size(8).with_patch_size(2).init(&mut init());
    let method = method(both(), Frozen::new(tracked.clone()));
    let student = start(&method, small_vit().init(&mut init()));
    let mut gradients = step(&method, &student).loss.backward();
    assert!(GradientsParams::from_module(&mut gradients, &tracked).is_empty());
}

#[test]
fn the_teacher_sees_the_view_of_the_student_in_evaluation_mode() {
    let seen = Arc::default();
    let teacher = Watching { encoder: wide_vit(), seen: Arc::clone(&seen) };
    let method = method(both(), teacher);
    step(&method, &start(&method, small_vit().init(&mut init())));
    assert_eq!(*seen.lock().expect("nobody panics"), [floats(images(0.0))]);

    // Of a network with batch norm, an image's features then do not depend on the others.
    let teacher = Frozen::new(wide_resnet());
    let alone = teacher.features(images(0.0).narrow(0, 0, 1)).pooled;
    let among = teacher.features(images(0.0)).pooled.narrow(0, 0, 1);
    assert!(floats((alone - among).abs()).iter().all(|apart| *apart < 1e-6));
}

/// A teacher whose features are some of the pixels, so that they differ from image to image.
#[derive(Debug)]
struct Pixels;

impl FrozenEncoder for Pixels {
    fn features(&self, images: Tensor<4>) -> Features {
        Features { pooled: images.flatten::<2>(1, 3).narrow(1, 0, 24), tokens: None }
    }

    fn feature_dim(&self) -> usize {
        24
    }

    fn patch_size(&self) -> Option<usize> {
        None
    }
}

#[test]
fn a_student_that_learns_tells_images_apart_where_a_collapsed_one_cannot() {
    let method = method(DistillFeaturesConfig::new(), Pixels);
    // The best answer that is the same for all images is the mean of the directions.
    let directions = l2_normalize(Pixels.features(images(0.0)).pooled, NORMALIZE_EPS);
    let mean: f32 = directions.mean_dim(0).square().sum().sqrt().into_scalar();
    let collapsed = 1.0 - mean;
    let mut student = start(&method, resnet(&mut init()));
    let mut losses = Vec::new();
    for _ in 0..60 {
        let out = step(&method, &student);
        losses.push(out.loss.clone().into_scalar::<f32>());
        student = descend(student, &out.loss, 0.3);
    }
    assert!(collapsed > 0.2 && losses[59] < 0.5 * collapsed, "{losses:?}, collapsed {collapsed}");
}

#[test]
fn the_loss_is_the_weighted_sum_of_both_terms() {
    let value = |pooled: f64, tokens: f64| -> f64 {
        let config = DistillFeaturesConfig::new().with_pooled_weight(pooled).with_token_weight(tokens);
        let method = method(config, Frozen::new(wide_vit()));
        // Both terms have adapters, so that those drawn are the same.
        let (all, _) = with_both();
        let student = DistillFeaturesStudent {
            projector: all.projector.filter(|_| pooled > 0.0),
            token_projector: all.token_projector.filter(|_| tokens > 0.0),
            encoder: all.encoder,
        };
        step(&method, &student).loss.into_data().iter::<f64>().next().expect("a number")
    };
    let (pooled, tokens) = (value(1.0, 0.0), value(0.0, 1.0));
    assert!(pooled > 0.1 && tokens > 0.1 && (pooled - tokens).abs() > 1e-3, "{pooled} and {tokens}");
    let both = value(2.0, 0.5);
    assert!((both - 2.0 * pooled - 0.5 * tokens).abs() < 1e-5, "{both}");
}

fn with_both() -> (DistillFeaturesStudent<Vit>, NoState) {
    let method = method(both(), Frozen::new(wide_vit()));
    method.init(small_vit().init(&mut init()), &mut init())
}

#[test]
fn a_student_is_asked_for_the_feature_that_it_is_kept_for() {
    for pool in [Pool::Class, Pool::Mean] {
        let encoder = small_vit().with_pool(pool).init(&mut init()).valid();
        let one_pass = Features::of(&encoder, images(0.0), &Pass::eval()).pooled;
        let feature = encoder.encode(images(0.0), &Pass::eval());
        assert!(floats((one_pass - feature).abs()).iter().all(|apart| *apart < 1e-6), "{pool}");
    }
}

#[test]
fn networks_whose_tokens_cannot_be_compared_are_refused_in_a_sentence() {
    let error = |encoder: &Vit, teacher: Arc<dyn FrozenEncoder>| {
        let mut method = both().build().expect("a valid configuration");
        method.learn_from(teacher);
        method.check(encoder, 4).expect_err("they cannot be compared").to_string()
    };
    let student = small_vit().init(&mut init());
    assert_eq!(
        error(&student, Arc::new(Frozen::new(wide_resnet()))),
        "token_weight is 0.5 for a student with patches of 2 pixels and a teacher with no tokens, expected 0, or \
         networks with patches of one size"
    );
    let coarse = small_vit().with_patch_size(4).init(&mut Init::new(0, &device()));
    let said = error(&student, Arc::new(Frozen::new(coarse)));
    assert!(said.contains("patches of 2 pixels and a teacher with patches of 4 pixels"), "{said}");
}

#[test]
fn it_needs_one_view_and_a_teacher_and_tokens_only_where_they_count() {
    let needs = |config: DistillFeaturesConfig| config.build().expect("valid").needs();
    let found = needs(DistillFeaturesConfig::new());
    assert_eq!((found.global_views, found.teacher, found.tokens), (1, true, false));
    assert!(needs(both()).tokens);
}

#[test]
#[should_panic(expected = "feature distillation has no teacher: expected learn_from before")]
fn a_step_without_a_teacher_is_refused() {
    let method = DistillFeaturesConfig::new().build().expect("a valid configuration");
    let (student, _) = method.init(resnet(&mut init()), &mut init());
    step(&method, &student);
}
