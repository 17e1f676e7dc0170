//! Rules by path on the parameters of the networks that there are.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use burn_ssl::core::{GradientRules, named};
use burn_ssl::encoders::VitConfig;
use burn_ssl::eval::Classifier;
use burn_ssl::prelude::*;
use burn_ssl::train::{Gradients, NoDecay, Optimizer, OptimizerConfig, ParamRule, Rates, SgdConfig};
use burn_ssl::{EncoderSource, FinetuneOptions, finetune};

/// A ViT of two blocks with a classifier on it.
fn vit() -> Classifier<AnyEncoder> {
    let mut init = Init::new(0, &DeviceSpec::Flex.open().expect("flex is compiled in").autodiff());
    let encoder = VitConfig::new(8, 2, 2).with_image_size(8).with_patch_size(4).init(&mut init);
    Classifier::new(AnyEncoder::Vit(encoder), None, 3, &mut init)
}

fn values(network: &Classifier<AnyEncoder>) -> BTreeMap<String, Vec<f32>> {
    let tensors = named::collect(network).into_iter();
    tensors.map(|(path, data)| (path, data.try_to_vec().expect("floats"))).collect()
}

/// How far the first value of each parameter goes in a step whose gradients are all 1, and what it was before.
fn steps(config: &OptimizerConfig, weight_decay: f64) -> BTreeMap<String, (f32, f32)> {
    let (network, mut gradients) = (vit(), Gradients::default());
    let device = DeviceSpec::Flex.open().expect("flex is compiled in");
    let before = values(&network);
    for (path, values) in &before {
        gradients.insert(path, Tensor::ones([values.len()], &device));
    }
    gradients.clip(config);
    let rates = Rates { lr: 1.0, lr_1d: 1.0, lr_constant: 1.0, weight_decay };
    let mut optimizer = Optimizer::new(config.clone());
    let after = values(&optimizer.step(network, gradients, rates, &GradientRules::default()));
    let step = |(path, old): (String, Vec<f32>)| (path.clone(), (old[0] - after[&path][0], old[0]));
    before.into_iter().map(step).collect()
}

fn sgd() -> OptimizerConfig {
    OptimizerConfig::new(SgdConfig::default().with_momentum(0.0))
}

#[test]
fn every_parameter_of_a_vit_has_the_rate_of_its_layer() {
    for (path, (step, _)) in steps(&sgd().with_layer_decay(0.5), 0.0) {
        let part = |index: usize| path.split('.').nth(index).unwrap_or_default();
        let expected = match (part(0), part(1)) {
            ("head", _) | ("encoder", "norm") => 1.0,
            ("encoder", "blocks") if part(2) == "1" => 0.5,
            ("encoder", "blocks") => 0.25,
            ("encoder", "cls_token" | "pos_embed" | "patch_embed") => 0.125,
            _ => panic!("{path} is of no layer"),
        };
        assert!((step - expected).abs() < 1e-5, "{path}: {step} is not {expected}");
    }
}

#[test]
fn every_parameter_of_a_vit_decays_or_not_as_the_recipe_says() {
    let weights = |path: &str| path.ends_with(".weight") && !path.contains("norm");
    let token = |path: &str| path.ends_with("cls_token") || path.ends_with("pos_embed");
    type Decays<'a> = (NoDecay, &'a dyn Fn(&str) -> bool);
    let decays: [Decays<'_>; 3] = [
        (NoDecay::None, &|_| true),
        (NoDecay::BiasAndNorm, &|path| weights(path) || token(path)),
        (NoDecay::BiasNormAndTokens, &weights),
    ];
    for (no_decay, expected) in decays {
        for (path, (step, old)) in steps(&sgd().with_no_decay(no_decay), 10.0) {
            let expected = if expected(&path) { 1.0 + 10.0 * old } else { 1.0 };
            assert!((step - expected).abs() < 1e-4, "{no_decay:?}, {path}: {step} is not {expected}");
        }
    }
}

#[test]
fn a_frozen_part_stays_as_it_is_whatever_decays() {
    let freezing = vec![ParamRule::new("encoder.patch_embed").with_frozen(true)];
    let steps = steps(&sgd().with_rules(freezing), 0.1);
    for (path, (step, _)) in steps {
        assert_eq!(step == 0.0, path.starts_with("encoder.patch_embed."), "{path}: {step}");
    }
}

#[test]
fn rules_of_a_recipe_are_read_and_change_the_run() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let recipe = |rules: &str| {
        let mut draft = burn_ssl::recipe::Draft::named("demo").expect("a recipe of the library");
        draft.set_image_size(16).expect("usable");
        for change in ["data.limit=32", "encoder.width=4", "schedule.epochs=1", "schedule.batch_size=16"] {
            draft.assign(change).expect("usable");
        }
        draft.assign(&format!("optimizer.rules={rules}")).expect("usable");
        let mut recipe = draft.finish().expect("usable");
        recipe.eval.test = None;
        recipe
    };
    let tensors = |name: &str, rules: &str| {
        let out = dir.path().join(name);
        pretrain(&recipe(rules), &PretrainOptions::new(&out), &mut NoObserver).expect("a run");
        let bytes = std::fs::read(out.join("encoder.safetensors")).expect("a finished run");
        named::decode(&bytes).expect("tensors").0
    };
    let start = tensors("still", "[{ path = 'encoder', frozen = true }]");
    let first = tensors("first", "[{ path = 'encoder.conv1', frozen = true }]");
    assert_eq!(start["conv1.weight"], first["conv1.weight"]);
    assert_ne!(start["layer1.0.conv1.weight"], first["layer1.0.conv1.weight"]);

    let unused = recipe("[{ path = 'encoder.conv', frozen = true }]");
    let options = PretrainOptions::new(dir.path().join("unused"));
    let error = pretrain(&unused, &options, &mut NoObserver).expect_err("no such parameter").to_string();
    assert!(error.contains("'encoder.conv', which no parameter of this network has in its path"), "{error}");
}

#[test]
fn fine_tuning_a_resnet_layer_by_layer_is_refused_before_the_directory_is_made() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().join("out");
    let config = EncoderConfig { width: 2, ..EncoderConfig::named("resnet18") };
    let mut options = FinetuneOptions::new(EncoderSource::Untrained { config, seed: 0 }, &out);
    options.sets.train = Some("demo:train".into());
    options.sets.test = Some("demo:test".into());
    (options.sets.train_limit, options.sets.test_limit) = (Some(40), Some(20));
    options.sets.preprocessing.image_size = Some(16);
    options.optimizer.layer_decay = Some(0.75);
    let error = finetune(&options, &mut NoObserver).expect_err("no blocks").to_string();
    assert!(error.starts_with("optimizer.layer_decay is 0.75, expected no such key"), "{error}");
    assert!(!out.exists());
}
