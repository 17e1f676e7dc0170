//! The estimates of a pretraining run and of the training of a classifier.

use ssl_core::{Footprint, HeadShape, LayerConfig, MethodRules, TokenShape};
use ssl_data::{Dataset, DatasetOptions, MaskConfig};
use ssl_encoders::{EncoderConfig, EncoderFootprint};
use ssl_train::Algorithm;

use super::{Estimate, Part, PartKind};
use crate::Recipe;
use crate::recipe::RecipeError;

/// Bytes of a float32.
const FLOAT: f64 = 4.0;
/// The program with its libraries, threads and small tensors, as measured.
const PROGRAM: f64 = 30e6;
/// Batches in the loader besides the one of the step: those in the making.
const IN_THE_MAKING: f64 = 2.0;
/// Copies of the largest file of a checkpoint while it is read back and encoded, and one that is freed in pieces, as measured.
const COPIES: f64 = 3.0;
/// Copies of an image while it is decoded and cut by one thread.
const DECODING: f64 = 2.0;

/// The keys that change a part.
const NETWORK: &str = "a smaller encoder.name or encoder.width";
const HEAD: &str = "smaller layers in method_options";
const BATCH: &str = "a smaller schedule.batch_size, smaller views, or a larger train.accumulate";

/// What an estimate is made of besides the recipe.
pub(crate) struct Run<'a, M> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) method: &'a M,
    pub(crate) images: &'a Dataset,
    /// Images that pass the encoder at a time in evaluation; 0 without one.
    pub(crate) evaluated: usize,
    /// The network that the method learns from, if it learns from one, on a view.
    pub(crate) teacher: Option<EncoderFootprint>,
}

/// What the estimate of the training of a classifier is made of: one network on one view of each image.
pub(crate) struct Training<'a> {
    pub(crate) encoder: &'a EncoderConfig,
    /// The layers between encoder and class scores.
    pub(crate) neck: Vec<LayerConfig>,
    pub(crate) classes: usize,
    /// Height and width of the images.
    pub(crate) size: usize,
    /// Images of a step that this process passes through the network.
    pub(crate) batch: usize,
    pub(crate) algorithm: &'a Algorithm,
    pub(crate) images: &'a Dataset,
    pub(crate) workers: usize,
    /// Images that pass the network at a time in evaluation; 0 without one.
    pub(crate) evaluated: usize,
    /// The classifier that is learned from, if there is one: it has no gradients.
    pub(crate) teacher: Option<EncoderFootprint>,
}

/// The estimate of the training of a classifier; `None` for a custom encoder, of which nothing is known.
pub(crate) fn of_classifier(training: &Training<'_>) -> Option<Estimate> {
    let Training { batch, classes, size, teacher, .. } = *training;
    let encoder = training.encoder.footprint(size, size).ok()?;
    let mut layers = training.neck.clone();
    layers.push(LayerConfig::new(classes).bias());
    // Scores, their logarithms, what they are compared with, and the gradient.
    let (batch, loss) = (batch as f64, 4.0 * batch as f64 * classes as f64);
    let method =
        Footprint { joint: true, loss, ..Footprint::of_heads([HeadShape::new(encoder.feature_dim, layers)]) };
    // The teacher is evaluated, too.
    let of_image = teacher.map_or(encoder.plain, |teacher| teacher.plain.max(encoder.plain));
    let evaluated = training.evaluated as f64 * of_image;
    let frozen = teacher.map_or(0.0, |teacher| teacher.parameters + batch * teacher.plain);
    let (sizes, encoders) = (vec![size], vec![encoder]);
    let counts = Counts { sizes, encoders, method, batch, pass: batch, evaluated, frozen };
    let mut parts = counts.parts(training.algorithm, 1);
    parts.push(images(training.images, training.workers));
    parts.iter_mut().for_each(|part| part.keys = of_command(part.kind));
    Some(Estimate::new(parts))
}

/// What makes a part smaller where there is no recipe.
fn of_command(kind: PartKind) -> &'static str {
    match kind {
        PartKind::Teacher => "a smaller teacher or a smaller batch_size",
        PartKind::Encoder | PartKind::Heads | PartKind::Loss | PartKind::Batches => {
            "a smaller batch_size or smaller images"
        }
        PartKind::Evaluation => "smaller images",
        PartKind::Images => "smaller images, or fewer workers",
        PartKind::Program
        | PartKind::Parameters
        | PartKind::Gradients
        | PartKind::Optimizer
        | PartKind::State
        | PartKind::Checkpoint => "a smaller network",
    }
}

/// The estimate of a run; `None` for a custom encoder, of which nothing is known.
///
/// # Errors
/// If the recipe has no usable views.
pub(crate) fn of_run(run: &Run<'_, impl MethodRules>) -> Result<Option<Estimate>, RecipeError> {
    let Some(counts) = counts(run)? else { return Ok(None) };
    let mut parts = counts.parts(&run.recipe.optimizer.algorithm, run.recipe.train.accumulate);
    parts.push(images(run.images, run.recipe.data.worker_threads()));
    Ok(Some(Estimate::new(parts)))
}

/// The bytes of a checkpoint; `None` for a custom encoder.
///
/// # Errors
/// If the recipe has no usable views.
pub(crate) fn of_checkpoint(run: &Run<'_, impl MethodRules>) -> Result<Option<f64>, RecipeError> {
    Ok(counts(run)?.map(|counts| counts.checkpoint(run.recipe)))
}

/// What is known of a run; nothing of a custom encoder.
fn counts(run: &Run<'_, impl MethodRules>) -> Result<Option<Counts>, RecipeError> {
    let recipe = run.recipe;
    let views = recipe.views()?;
    let sizes: Vec<usize> = (0..views.len()).map(|view| views.size(view)).collect();
    let of_size = |&size: &usize| recipe.encoder.footprint(recipe.data.image_size, size);
    let Ok(encoders) = sizes.iter().map(of_size).collect::<Result<Vec<_>, _>>() else { return Ok(None) };
    let config = recipe.train_config();
    let (batch, pass) = (config.micro_batch(), config.pass());
    let feature_dim = encoders[0].feature_dim;
    let method = match recipe.encoder.patch_pixels() {
        Some(patch_size) => run.method.token_footprint(&TokenShape {
            feature_dim,
            images: batch,
            views: sizes.len(),
            patches: (sizes[0] / patch_size).pow(2),
            patch_size,
            seen: recipe.mask.as_ref().map_or(1.0, MaskConfig::seen),
            targets: recipe.mask.as_ref().map_or(0, MaskConfig::targets),
            target: recipe.mask.as_ref().map_or(0.0, MaskConfig::target),
        }),
        None => run.method.footprint(feature_dim, batch, sizes.len()),
    };
    let of_image = of_size(&recipe.data.image_size).map_or(0.0, |encoder| encoder.plain);
    let evaluated = run.evaluated as f64 * of_image;
    let frozen = run.teacher.map_or(0.0, |teacher| teacher.parameters + pass as f64 * teacher.plain);
    let (batch, pass) = (batch as f64, pass as f64);
    Ok(Some(Counts { sizes, encoders, method, batch, pass, evaluated, frozen }))
}

/// Bytes of decoded images that the data set will keep.
pub(crate) fn kept_images(images: &Dataset) -> f64 {
    (bytes_of_image(images) * images.len() as f64).min(DatasetOptions::default().cache_bytes as f64)
}

/// Bytes of the first readable image.
fn bytes_of_image(images: &Dataset) -> f64 {
    let first = (0..images.len()).find_map(|index| images.image(index).ok());
    first.map_or(0.0, |image| image.pixels().len() as f64)
}

/// Decoded images: those that the data set keeps, and those in the hands of the workers.
fn images(images: &Dataset, workers: usize) -> Part {
    let bytes = kept_images(images) + DECODING * bytes_of_image(images) * workers as f64;
    Part { kind: PartKind::Images, bytes, keys: "smaller images, or fewer data.workers" }
}

/// What is known of a run, in float32 values.
struct Counts {
    /// Height and width of each view.
    sizes: Vec<usize>,
    /// The encoder on each view.
    encoders: Vec<EncoderFootprint>,
    method: Footprint,
    /// Images of a micro-batch.
    batch: f64,
    /// Images that pass the network at a time.
    pass: f64,
    /// Activations of an evaluation.
    evaluated: f64,
    /// A frozen network and its activations.
    frozen: f64,
}

impl Counts {
    /// Parameters of the student and of its teacher.
    fn networks(&self) -> [f64; 2] {
        let (encoder, heads) = (self.encoders[0].parameters, self.method.parameters());
        let teacher = match self.method.teacher_heads {
            Some(_) => encoder + self.method.teacher_parameters(),
            None => 0.0,
        };
        [encoder + heads, teacher]
    }

    /// Bytes of the networks, the optimizer and the state of the method.
    fn checkpoint(&self, recipe: &Recipe) -> f64 {
        let [student, teacher] = self.networks();
        FLOAT * (student * (1.0 + moments(&recipe.optimizer.algorithm)) + teacher + self.method.state)
    }

    fn parts(&self, algorithm: &Algorithm, accumulate: usize) -> Vec<Part> {
        let (encoder, heads) = (self.encoders[0].parameters, self.method.parameters());
        let [student, teacher] = self.networks();
        let moments = moments(algorithm);
        let sums = if accumulate > 1 { 2.0 } else { 1.0 };
        let copies = COPIES * student.max(teacher).max(moments * student).max(self.method.state);
        let weights = if encoder >= heads { NETWORK } else { HEAD };
        let part = |kind, values: f64, keys| Part { kind, bytes: FLOAT * values, keys };
        let program = PROGRAM + FLOAT * self.encoders[0].workspace;
        vec![
            Part { kind: PartKind::Program, bytes: program, keys: NETWORK },
            part(PartKind::Parameters, student, weights),
            part(PartKind::Gradients, (sums - 1.0) * student + self.gradients(), weights),
            part(PartKind::Optimizer, moments * student, weights),
            part(PartKind::Teacher, teacher + self.teacher_pass() + self.frozen, weights),
            part(PartKind::State, self.method.state, "a shorter method_options.queue_len"),
            part(PartKind::Encoder, self.activations(), BATCH),
            part(PartKind::Heads, self.heads_keep(), HEAD),
            part(PartKind::Loss, self.method.loss, "a smaller schedule.batch_size or smaller method_options"),
            part(
                PartKind::Batches,
                self.batches(),
                "a smaller schedule.batch_size, or fewer or smaller views",
            ),
            part(PartKind::Checkpoint, copies, weights),
            part(PartKind::Evaluation, self.evaluation(), "a smaller data.image_size, or no eval.test"),
        ]
    }

    /// Gradients of the student's parameters, as far as they do not fit where activations were: the backward pass frees these as it
    /// goes, those of the heads first. Half of them count, since a convolutional network keeps its largest maps almost to the end.
    fn gradients(&self) -> f64 {
        let beyond = |parameters: f64, activations: f64| (parameters - 0.5 * activations).max(0.0);
        let heads = beyond(self.method.parameters(), self.heads_keep());
        heads + beyond(self.encoders[0].parameters, self.activations())
    }

    /// What an evaluation needs beyond the memory of a step, which is free by then.
    fn evaluation(&self) -> f64 {
        (self.evaluated - self.activations() - self.heads_keep()).max(0.0)
    }

    /// What heads and decoder keep for the backward pass.
    fn heads_keep(&self) -> f64 {
        self.method.kept(self.rows()) + self.pass * self.method.other_kept
    }

    /// What the encoder keeps of all views of the student, and the gradients of the activations of a pass.
    fn activations(&self) -> f64 {
        let kept: f64 = self.student().map(|encoder| encoder.kept).sum();
        let seen = self.method.seen.unwrap_or(1.0);
        seen * self.pass * (kept + self.widest(|encoder| encoder.gradients))
    }

    /// The activations of a teacher, where they are more than the gradients that take their place.
    fn teacher_pass(&self) -> f64 {
        let more = self.widest(|encoder| encoder.plain) - self.widest(|encoder| encoder.gradients);
        if self.method.teacher_heads.is_some() { self.pass * more.max(0.0) } else { 0.0 }
    }

    /// The largest value of a pass: all views of one size in a joint one, otherwise one view.
    fn widest(&self, value: impl Fn(&EncoderFootprint) -> f64) -> f64 {
        let views: Vec<_> = self.sizes.iter().skip(self.method.teacher_views).zip(self.student()).collect();
        let of = |size: &usize| {
            let same = views.iter().filter(|(other, _)| *other == size);
            let values = same.map(|(_, encoder)| value(encoder));
            if self.method.joint { values.sum::<f64>() } else { values.fold(0.0, f64::max) }
        };
        self.sizes.iter().map(of).fold(0.0, f64::max)
    }

    /// The encoder on the views that pass the student.
    fn student(&self) -> impl Iterator<Item = &EncoderFootprint> {
        let views = self.encoders.iter().skip(self.method.teacher_views);
        views.take(self.method.student_views.unwrap_or(usize::MAX))
    }

    /// Rows that pass the heads at a time.
    fn rows(&self) -> f64 {
        self.pass * self.student().count() as f64
    }

    /// The views of the step, put together where they pass jointly, and those that the loader prepares.
    fn batches(&self) -> f64 {
        let view: f64 = self.sizes.iter().map(|&size| 3.0 * (size as f64).powi(2)).sum();
        view * self.batch * (1.0 + IN_THE_MAKING)
    }
}

/// Values that an optimizer keeps of each parameter.
fn moments(algorithm: &Algorithm) -> f64 {
    match algorithm {
        Algorithm::AdamW(_) => 2.0,
        Algorithm::Sgd(config) if config.momentum == 0.0 => 0.0,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::testing::recipe;
    use ssl_data::Image;

    /// A method with a head of one layer; with a teacher and a queue, or without.
    struct Head {
        teacher: bool,
    }

    impl MethodRules for Head {
        fn footprint(&self, feature_dim: usize, images: usize, _views: usize) -> Footprint {
            Footprint {
                teacher_heads: self.teacher.then_some(1),
                joint: true,
                state: if self.teacher { 1e6 } else { 0.0 },
                loss: images as f64,
                ..Footprint::of_heads([HeadShape::new(feature_dim, [LayerConfig::new(128)])])
            }
        }
    }

    fn estimate(teacher: bool, evaluated: usize, change: impl Fn(&mut Recipe)) -> Option<Estimate> {
        let mut recipe = recipe("simclr/cifar10");
        recipe.schedule.batch_size = 64;
        change(&mut recipe);
        let images = Dataset::from_images(vec![Image::new(32, 32, vec![0; 3072])], None);
        let run =
            Run { recipe: &recipe, method: &Head { teacher }, images: &images, evaluated, teacher: None };
        of_run(&run).expect("usable views")
    }

    fn bytes(estimate: Option<Estimate>, kind: PartKind) -> f64 {
        let parts = estimate.expect("a known encoder").parts;
        parts.iter().find(|part| part.kind == kind).map_or(0.0, |part| part.bytes)
    }

    #[test]
    fn activations_grow_with_the_batch_and_shrink_with_chunks_and_micro_batches() {
        let encoder = |change: fn(&mut Recipe)| bytes(estimate(false, 0, change), PartKind::Encoder);
        let usual = encoder(|_| ());
        assert_eq!(encoder(|r| r.schedule.batch_size = 128), 2.0 * usual);
        assert_eq!(encoder(|r| r.train.embed_chunk = Some(16)), usual / 4.0);
        assert_eq!(encoder(|r| r.train.accumulate = 4), usual / 4.0);
        assert!(encoder(|r| r.encoder.width = 32) < 0.6 * usual);
    }

    #[test]
    fn gradients_find_the_memory_of_activations() {
        let gradients = |change: fn(&mut Recipe)| bytes(estimate(false, 0, change), PartKind::Gradients);
        let parameters = bytes(estimate(false, 0, |_| ()), PartKind::Parameters);
        assert!(gradients(|recipe| recipe.schedule.batch_size = 512) < 0.1 * parameters);
        let few = gradients(|recipe| recipe.schedule.batch_size = 2);
        assert!((0.8 * parameters..parameters).contains(&few), "two images have few activations: {few}");
        // Those of the micro-batches before stay.
        assert!(gradients(|recipe| recipe.train.accumulate = 2) >= parameters);
    }

    #[test]
    fn a_teacher_is_a_second_network_and_adam_has_two_moments() {
        let (with, without) = (estimate(true, 0, |_| ()), estimate(false, 0, |_| ()));
        let student = bytes(without.clone(), PartKind::Parameters);
        let recipe = recipe("simclr/cifar10");
        let encoder = recipe.encoder.footprint(32, 32).expect("usable");
        // Its maps, where those of both views are more than the gradients of the student's.
        let pass = FLOAT * 64.0 * 2.0 * (encoder.plain - encoder.gradients).max(0.0);
        assert_eq!(bytes(with.clone(), PartKind::Teacher), student + pass);
        assert_eq!((bytes(without.clone(), PartKind::Teacher), bytes(with, PartKind::State)), (0.0, 4e6));
        assert_eq!(bytes(without, PartKind::Optimizer), student);
        let adam = |recipe: &mut Recipe| recipe.optimizer.algorithm = ssl_train::OptimizerName::AdamW.into();
        assert_eq!(bytes(estimate(false, 0, adam), PartKind::Optimizer), 2.0 * student);
    }

    #[test]
    fn an_evaluation_counts_and_a_vit_has_an_estimate_too() {
        let evaluation = |images| bytes(estimate(false, images, |_| ()), PartKind::Evaluation);
        assert_eq!(evaluation(16), 0.0, "so few images find the memory of a step");
        let [some, more] = [100_000, 200_000].map(evaluation);
        assert!(some > 0.0 && more > 2.0 * some);
        let vit = estimate(true, 256, |recipe| {
            let patch_size = Some(4);
            recipe.encoder = EncoderConfig { patch_size, ..EncoderConfig::named("vit-tiny") };
        });
        let vit = vit.expect("a known encoder");
        assert_eq!(vit.largest().map(|part| part.kind), Some(PartKind::Encoder), "{vit}");
    }

    /// The estimate of a classifier of ten classes on images of 32 pixels.
    fn classifier(change: impl Fn(&mut Training<'_>)) -> Option<Estimate> {
        let (encoder, algorithm) = (EncoderConfig::named("resnet18"), Algorithm::default());
        let images = Dataset::from_images(vec![Image::new(32, 32, vec![0; 3072])], None);
        let mut training = Training {
            encoder: &encoder,
            neck: Vec::new(),
            classes: 10,
            size: 32,
            batch: 64,
            algorithm: &algorithm,
            images: &images,
            workers: 1,
            evaluated: 0,
            teacher: None,
        };
        change(&mut training);
        of_classifier(&training)
    }

    #[test]
    fn a_classifier_is_one_network_on_one_view_and_its_teacher_has_no_gradients() {
        let usual = classifier(|_| ());
        let of = |kind| bytes(usual.clone(), kind);
        let encoder = EncoderConfig::named("resnet18").footprint(32, 32).expect("usable");
        // The weights and biases of the scores come on top.
        let scores = 10.0 * 515.0;
        assert_eq!(of(PartKind::Parameters), FLOAT * (encoder.parameters + scores));
        assert_eq!(of(PartKind::Optimizer), of(PartKind::Parameters));
        assert_eq!(of(PartKind::Encoder), FLOAT * 64.0 * (encoder.kept + encoder.gradients));
        assert_eq!((of(PartKind::Teacher), of(PartKind::Evaluation)), (0.0, 0.0));
        let larger = classifier(|training| training.batch = 128);
        assert_eq!(bytes(larger, PartKind::Encoder), 2.0 * of(PartKind::Encoder));
        let taught = classifier(|training| training.teacher = Some(encoder));
        let teacher = FLOAT * (encoder.parameters + 64.0 * encoder.plain);
        assert_eq!(bytes(taught, PartKind::Teacher), teacher);
        let evaluated = classifier(|training| training.evaluated = 100_000);
        assert!(bytes(evaluated, PartKind::Evaluation) > 0.0);
    }

    #[test]
    fn a_classifier_that_is_too_large_is_refused_by_its_largest_part() {
        let estimate = classifier(|training| training.batch = 100_000).expect("a known encoder");
        let machine = crate::memory::Machine { total: 1e9, available: 1e9 };
        let error = estimate.check(&machine, 1).expect_err("more than twice the memory").to_string();
        assert!(error.contains("for activations of the encoder, and this machine has 1.0 GB"), "{error}");
        assert!(error.ends_with("expected a smaller batch_size or smaller images"), "{error}");
    }

    #[test]
    fn nothing_is_known_of_a_custom_encoder() {
        assert_eq!(estimate(false, 0, |recipe| recipe.encoder.name = "mine".into()), None);
        let mine = EncoderConfig::named("mine");
        let images = Dataset::from_images(vec![Image::new(32, 32, vec![0; 3072])], None);
        let training = Training {
            encoder: &mine,
            neck: Vec::new(),
            classes: 10,
            size: 32,
            batch: 64,
            algorithm: &Algorithm::default(),
            images: &images,
            workers: 1,
            evaluated: 0,
            teacher: None,
        };
        assert_eq!(of_classifier(&training), None);
    }
}
