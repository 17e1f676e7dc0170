//! Shuffled batch norm: which images share the statistics of a query, and which share those of its key.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use burn::module::Module;
use burn::tensor::{Int, Tensor, Tolerance};
use ssl_encoders::{BlockKind, ResNetConfig, Stem};
use ssl_fixtures::{crops, device, init};
use ssl_moco::{Encoder, MoCo, MoCoConfig, Pass, Progress, SslMethod, StepContext, Views};

fn context(seed: u64, step: u64, micro_batch: usize) -> StepContext {
    StepContext::new(seed, Progress { step, total_steps: 1000, steps_per_epoch: 10 }, micro_batch)
}

/// An encoder that records the order in which images pass through it; an image is its index.
#[derive(Module, Debug)]
struct Witness {
    #[module(skip)]
    seen: Arc<Mutex<Vec<Vec<usize>>>>,
}

impl Encoder for Witness {
    fn encode(&self, images: Tensor<4>, _pass: &Pass) -> Tensor<2> {
        let numbers = images.to_data().iter::<f32>().map(|number| number as usize).collect();
        self.seen.lock().expect("no test has panicked").push(numbers);
        images.flatten(1, 3)
    }

    fn feature_dim(&self) -> usize {
        1
    }
}

/// The orders in which `batch` images pass through the networks of a symmetric step: queries, keys, queries, keys.
fn passes(batch: usize, context: &StepContext) -> [Vec<usize>; 4] {
    let config = MoCoConfig::v1().with_queue_len(2 * batch).with_output_dim(2).with_symmetric(true);
    let method: MoCo = config.build().expect("a valid configuration");
    let seen = Arc::default();
    let (student, state) = method.init(Witness { seen: Arc::clone(&seen) }, &mut init());
    let numbers = Tensor::<1, Int>::arange(0..batch as i64, &device()).float().reshape([batch, 1, 1, 1]);
    method.loss(&student, &state, &Views::two(numbers.clone(), numbers), context);
    let seen = seen.lock().expect("no test has panicked").clone();
    seen.try_into().expect("two views pass two networks")
}

/// For every image, the others in its batch-norm group when the images pass in the order `order`.
fn companions(order: &[usize], splits: usize) -> Vec<BTreeSet<usize>> {
    let mut all = vec![BTreeSet::new(); order.len()];
    for (place, &image) in order.iter().enumerate() {
        let others = order.iter().skip(place % splits).step_by(splits);
        all[image] = others.copied().filter(|&other| other != image).collect();
    }
    all
}

/// The share of an image's companions among `queries` that it also has among `keys`, and the share of images whose
/// companions are all the same.
fn kept(queries: &[usize], keys: &[usize], splits: usize) -> (f64, f64) {
    let (queries, keys) = (companions(queries, splits), companions(keys, splits));
    let pairs = || queries.iter().zip(&keys);
    let common: usize = pairs().map(|(query, key)| query.intersection(key).count()).sum();
    let total: usize = queries.iter().map(BTreeSet::len).sum();
    let same = pairs().filter(|(query, key)| query == key).count();
    (common as f64 / total as f64, same as f64 / queries.len() as f64)
}

const BATCH: usize = 32;
const SPLITS: usize = 8;

#[test]
fn an_order_that_leaks_is_found_out() {
    let queries: Vec<usize> = (0..BATCH).collect();
    let within_groups: Vec<usize> = (0..BATCH).map(|place| (place + 3 * SPLITS) % BATCH).collect();
    let whole_groups: Vec<usize> =
        (0..BATCH).map(|place| place / SPLITS * SPLITS + (place + 3) % SPLITS).collect();
    assert!(within_groups != queries && whole_groups != queries);
    for leak in [&queries, &within_groups, &whole_groups] {
        assert_eq!(kept(&queries, leak, SPLITS), (1.0, 1.0), "{leak:?}");
    }
    // Key groups of four consecutive images, which come from four different query groups.
    let apart: Vec<usize> = (0..BATCH).map(|place| place % SPLITS * 4 + place / SPLITS).collect();
    assert_eq!(kept(&queries, &apart, SPLITS), (0.0, 0.0));
}

/// By chance, 3 of 31 other images share an image's group, and the same three only once in C(31, 3) = 4495 draws.
#[test]
fn a_key_shares_its_group_with_companions_of_its_query_by_chance_alone() {
    for encoding in [0, 1] {
        let steps = 200;
        let mut sums = (0.0, 0.0);
        for step in 0..steps {
            let passes = passes(BATCH, &context(0, step, 0));
            let (queries, keys) = (&passes[2 * encoding], &passes[2 * encoding + 1]);
            assert!(queries.iter().copied().eq(0..BATCH), "queries pass in their own order");
            let (companions, images) = kept(queries, keys, SPLITS);
            sums = (sums.0 + companions, sums.1 + images);
        }
        let (companions, images) = (sums.0 / steps as f64, sums.1 / steps as f64);
        assert!((companions - 3.0 / 31.0).abs() < 0.015, "{companions} of the companions are kept");
        assert!(images < 0.005, "{images} of the images have the same companions as query and as key");
    }
}

#[test]
fn seed_step_micro_batch_and_encoding_each_have_an_order_of_their_own() {
    let [_, first, _, second] = passes(BATCH, &context(1, 2, 3));
    assert_eq!(passes(BATCH, &context(1, 2, 3))[1], first);
    assert_ne!(first, second);
    for other in [context(0, 2, 3), context(1, 0, 3), context(1, 2, 0)] {
        assert_ne!(passes(BATCH, &other)[1], first);
        assert_ne!(passes(BATCH, &other)[3], second);
    }
}

/// Eight images whose values look random.
fn images(seed: f32) -> Tensor<4> {
    crops(8, 8, seed)
}

/// The images, with one of them made brighter.
fn with_other(images: Tensor<4>, index: usize) -> Tensor<4> {
    let other = images.clone().narrow(0, index, 1).mul_scalar(3.0);
    images.slice_assign([index..index + 1, 0..3, 0..8, 0..8], other)
}

/// Queries and keys, `[8, 6]` each, of a first step with batch norm over `splits` groups.
fn queries_and_keys(splits: usize, shuffle: bool, views: Views) -> (Tensor<2>, Tensor<2>) {
    let config = MoCoConfig::v2().with_queue_len(16).with_output_dim(6).with_shuffle(shuffle);
    let method: MoCo = config.build().expect("a valid configuration");
    let mut init = init();
    let encoder = ResNetConfig::new(BlockKind::Basic, [1]).with_width(4).with_stem(Stem::Cifar);
    let (student, state) = method.init(encoder.with_bn_splits(splits).init(&mut init), &mut init);
    let step = method.loss(&student, &state, &views, &context(0, 0, 0));
    let queries = student.embed(views.pair().0, &Pass::batch_stats()).without_autodiff();
    (queries, step.carry)
}

/// Which rows differ by more than rounding.
fn changed(before: &Tensor<2>, after: &Tensor<2>) -> Vec<bool> {
    let differences = (before.clone() - after.clone()).abs().max_dim(1).into_data();
    differences.iter::<f32>().map(|difference| difference > 1e-5).collect()
}

#[test]
fn a_changed_image_moves_the_queries_of_its_group_and_the_keys_of_another_one() {
    let [_, order, _, _] = passes(8, &context(0, 0, 0));
    let in_query = companions(&(0..8).collect::<Vec<_>>(), 2);
    let in_key = companions(&order, 2);
    let (queries, keys) = queries_and_keys(2, true, Views::two(images(0.0), images(1.0)));
    let (mut only_query, mut only_key) = (0, 0);
    for image in 0..8 {
        let views = Views::two(with_other(images(0.0), image), with_other(images(1.0), image));
        let (other_queries, other_keys) = queries_and_keys(2, true, views);
        let (queries, keys) = (changed(&queries, &other_queries), changed(&keys, &other_keys));
        for row in (0..8).filter(|&row| row != image) {
            assert_eq!(queries[row], in_query[row].contains(&image), "query {row}, image {image}");
            assert_eq!(keys[row], in_key[row].contains(&image), "key {row}, image {image}");
            only_query += usize::from(queries[row] && !keys[row]);
            only_key += usize::from(keys[row] && !queries[row]);
        }
    }
    assert!(only_query > 8 && only_key > 8, "{only_query} and {only_key} of 56 pairs");
}

#[test]
fn without_the_shuffle_a_key_has_the_companions_of_its_query() {
    let in_query = companions(&(0..8).collect::<Vec<_>>(), 2);
    let (_, keys) = queries_and_keys(2, false, Views::two(images(0.0), images(1.0)));
    let views = Views::two(images(0.0), with_other(images(1.0), 3));
    let moved = changed(&keys, &queries_and_keys(2, false, views).1);
    for row in (0..8).filter(|&row| row != 3) {
        assert_eq!(moved[row], in_query[row].contains(&3), "key {row}");
    }
}

#[test]
fn over_one_group_the_order_changes_nothing_but_rounding() {
    let views = || Views::two(images(0.0), images(1.0));
    let (plain, shuffled) = (queries_and_keys(1, false, views()).1, queries_and_keys(1, true, views()).1);
    shuffled.into_data().assert_approx_eq::<f32>(&plain.into_data(), Tolerance::absolute(1e-5));
    let (plain, shuffled) = (queries_and_keys(2, false, views()).1, queries_and_keys(2, true, views()).1);
    assert!(changed(&plain, &shuffled).into_iter().any(|changed| changed), "over two groups it does");
}
