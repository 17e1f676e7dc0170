//! One training step of every method: loss, gradients, their norm, what clipping leaves of them, and how student, state and
//! optimizer change.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use burn_ssl::core::frozen::Frozen;
use burn_ssl::core::{Mask, MaskKind, named};
use burn_ssl::encoders::{BlockKind, ResNetConfig, Stem, Vit, VitConfig};
use burn_ssl::prelude::*;
use burn_ssl::registry::{METHODS, MethodInfo, WithMethod, needs, resolve_options, with_method};
use burn_ssl::train::{Gradients, Optimizer, OptimizerConfig, OptimizerName, Rates};

use crate::Case;
use crate::inputs::Inputs;
use crate::record::Record;

const BATCH: usize = 8;
const IMAGE_SIZE: usize = 16;
const LOCAL_SIZE: usize = 8;

/// Large, so that steps are not lost in the rounding of the weights.
const RATES: Rates = Rates { lr: 10.0, lr_1d: 10.0, lr_constant: 10.0, weight_decay: 1e-4 };

/// Options that make every method small and teachers fast; a method takes those that it knows.
const SMALL: &str = "
    hidden_dim = 16
    output_dim = 8
    bottleneck_dim = 8
    patch_hidden_dim = 16
    patch_output_dim = 8
    patch_bottleneck_dim = 8
    predictor_dim = 8
    queue_len = 32
    prototypes = 12
    queue_start_epoch = 0
    freeze_prototypes_steps = 0
    freeze_last_layer_epochs = 0
    off_diagonal_weight = 0.05
    momentum = 0.9
    teacher_momentum = 0.9
    decoder_dim = 16
    decoder_depth = 1
    decoder_heads = 2
    predictor_depth = 1
    predictor_heads = 2
";

/// One case per method and network: a ResNet for all that take one, a ViT for those whose papers train one.
pub(crate) fn cases() -> Vec<Case> {
    let of_tokens = |method: &&MethodInfo| needs(method.name).expect("a method of the registry").tokens;
    let resnets = METHODS.iter().filter(|method| !of_tokens(method));
    let resnets = resnets.map(|method| case(method.name, Network::ResNet));
    let both = ["dino", "moco-v3"];
    let vits = METHODS.iter().filter(|method| both.contains(&method.name) || of_tokens(method));
    resnets.chain(vits.map(|method| case(method.name, Network::Vit))).collect()
}

#[derive(Clone, Copy, Debug)]
enum Network {
    ResNet,
    Vit,
}

impl Network {
    fn init(self, init: &mut Init) -> AnyEncoder {
        match self {
            Self::ResNet => AnyEncoder::ResNet(
                ResNetConfig::new(BlockKind::Basic, [1, 1]).with_width(16).with_stem(Stem::Cifar).init(init),
            ),
            Self::Vit => {
                let vit = VitConfig::new(16, 2, 2).with_image_size(IMAGE_SIZE).with_patch_size(4);
                let vit = vit.with_mask_token(true).init(init);
                AnyEncoder::Vit(grown(vit))
            }
        }
    }
}

/// The network with larger weights, as training makes them.
///
/// The features of a fresh one hardly differ between images: batch norms divide by next to nothing then, and what is
/// compared is rounding.
fn grown(vit: Vit) -> Vit {
    const FACTOR: f32 = 8.0;
    let mut tensors = named::collect(&vit);
    for (path, data) in &mut tensors {
        if path.starts_with("blocks.") && data.shape().num_dims() == 2 {
            data.as_mut_slice::<f32>().expect("weights of float32").iter_mut().for_each(|w| *w *= FACTOR);
        }
    }
    named::load(vit, tensors).expect("its own tensors")
}

fn case(method: &'static str, network: Network) -> Case {
    let name = format!("step {method} {}", format!("{network:?}").to_lowercase());
    Case::new(name, move |inputs| {
        let known = resolve_options(method, &Default::default()).expect("defaults are valid");
        let mut options: toml::Table = SMALL.parse().expect("valid TOML");
        options.retain(|key, _| known.contains_key(key));
        let step = OneStep { network, descent: descent(method, network), inputs };
        with_method(method, &options, step).expect("the options are valid")
    })
}

/// Less than the gradients of any method have.
const CLIP_NORM: f64 = 0.05;

/// The optimizer of a step, and its clipping: as the methods have them, and all of them.
fn descent(method: &str, network: Network) -> OptimizerConfig {
    let (name, clip_norm) = match (method, network) {
        (_, Network::Vit) => (OptimizerName::AdamW, Some(CLIP_NORM)),
        ("barlow-twins" | "byol" | "simclr" | "simclr-v2" | "vicreg", _) => (OptimizerName::Lars, None),
        ("swav", _) => (OptimizerName::Larc, None),
        _ => (OptimizerName::Sgd, Some(CLIP_NORM)),
    };
    OptimizerConfig::new(name).with_clip_norm(clip_norm).with_clip_per_parameter(method == "dino")
}

struct OneStep<'a> {
    network: Network,
    descent: OptimizerConfig,
    inputs: &'a Inputs,
}

impl WithMethod<AnyEncoder> for OneStep<'_> {
    type Output = Record;

    fn run<M: SslMethod<AnyEncoder>>(self, mut method: M) -> Record {
        let Self { network, descent, inputs } = self;
        if method.needs().teacher {
            let teacher = network.init(&mut Init::new(2, inputs.device()));
            method.learn_from(Arc::new(Frozen::new(inputs.module(teacher))));
        }
        // The student has other weights than its teacher, or an average before the first step would change nothing.
        let [(student, _), (_, state)] = [0, 1].map(|seed| {
            let mut init = Init::new(seed, &inputs.device().clone().autodiff());
            method.init(network.init(&mut init), &mut init)
        });
        let (student, state) = (inputs.module(student), inputs.module(state));
        let (student_before, state_before) = (named::collect(&student), named::collect(&state));
        let views = views(&method, inputs);
        let at = Progress { step: 3, total_steps: 100, steps_per_epoch: 10 };
        let mut record = Record::default();

        // What the trainer does, and a look at all that it reads.
        let (student, state) = method.before_step(student, state, at);
        let step = method.loss(&student, &state, &views, &StepContext::new(0, at, 0));
        let mut gradients = Gradients::of(step.loss.backward(), &student);
        record.insert("loss", "", step.loss);
        insert_gradients(&mut record, "gradient", &gradients);
        let norm = gradients.norm().expect("the loss depends on the student");
        record.insert("norm", "", norm);
        gradients.clip(&descent);
        insert_gradients(&mut record, "clipped", &gradients);
        assert_eq!(
            record.differ("gradient", "clipped"),
            descent.clip_norm.is_some(),
            "clipping that has to act does"
        );
        let rules = method.gradient_rules(at);
        gradients.drop_frozen(&rules);
        let state = method.absorb(state, step.carry);
        let mut optimizer = Optimizer::new(descent);
        let student = optimizer.step(student, gradients, RATES, &rules);
        let state = method.after_step(&student, state, at);
        record.insert_all("optimizer", optimizer.state());
        record.insert_changes("student", &student_before, named::collect(&student));
        record.insert_changes("state", &state_before, named::collect(&state));
        record
    }
}

fn insert_gradients(record: &mut Record, group: &str, gradients: &Gradients) {
    for (path, gradient) in gradients.iter() {
        record.insert(group, path, gradient.clone());
    }
}

/// Drawn views of the kinds that the method needs.
fn views(method: &impl MethodRules, inputs: &Inputs) -> Views {
    let (needs, device) = (method.needs(), inputs.device());
    let mut draws = Init::new(1, device);
    let mut crop = |size: usize| inputs.tensor(draws.normal([BATCH, 3, size, size], 1.0).val());
    let mut crops: Vec<Tensor<4>> = (0..needs.global_views).map(|_| crop(IMAGE_SIZE)).collect();
    if needs.local_views {
        crops.extend((0..2).map(|_| crop(LOCAL_SIZE)));
    }
    let labels = (0..BATCH as i64).map(|index| index % 3).collect::<Vec<_>>();
    let labels = needs.labels.then(|| Tensor::from_data(TensorData::new(labels, [BATCH]), device));
    // Small crops are whole.
    let of_view = |kind, view| (view < needs.global_views).then(|| mask(kind, device));
    let masks = |kind| (0..crops.len()).map(|view| of_view(kind, view)).collect();
    let masks = needs.masks.map(masks).unwrap_or_default();
    Views { labels, masks, ..Views::new(crops, needs.global_views) }
}

/// A mask of images of 4×4 patches, another for each image.
fn mask(kind: MaskKind, device: &Device) -> Mask {
    let list = |image: usize| (0..4).map(|place| (image * 3 + place * 5) % 16).collect();
    let lists: Vec<Vec<usize>> = (0..BATCH).map(list).collect();
    match kind {
        MaskKind::Keep => Mask::keep(&lists, 16, device).expect("lists of four patches"),
        MaskKind::Predict => {
            let halves = |first: usize| -> Vec<i64> {
                lists
                    .iter()
                    .flat_map(|list| list[first..first + 2].iter().map(|&patch| patch as i64))
                    .collect()
            };
            let context = Tensor::from_data(TensorData::new(halves(0), [BATCH, 2]), device);
            Mask::Predict {
                context,
                targets: Tensor::from_data(TensorData::new(halves(2), [BATCH, 1, 2]), device),
            }
        }
        MaskKind::Replace => {
            // The last image has nothing hidden.
            let hidden = |image: usize| (0..16).map(move |patch| (image, patch));
            let hidden = (0..BATCH).flat_map(hidden);
            let hidden = hidden.map(|(image, patch)| image + 1 < BATCH && lists[image].contains(&patch));
            Mask::Replace(Tensor::from_data(TensorData::new(hidden.collect::<Vec<_>>(), [BATCH, 16]), device))
        }
    }
}
