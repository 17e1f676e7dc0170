//! Random choices within a step, made on the host.
//!
//! A choice depends only on its name and its place in the run: not on the device, nor on which choices came before. So
//! a resumed run repeats the choices of an uninterrupted one, and adding a choice to a method leaves the others
//! unchanged.
//!
//! ```text
//! key      = seed ‖ step ‖ micro-batch ‖ fnv1a(name)     64 bits each, little-endian
//! number n = bits 64·n to 64·n + 63 of the stream of ChaCha8 with this key, nonce 0 and counter 0
//! below(k) = (number · k) >> 64                          in 0..k
//! uniform  = (number >> 40) / 2²⁴                         in [0, 1), exact in float32
//! normal   = r · cos(2π · v), then r · sin(2π · v)        in float64, rounded to float32, where
//!            r = sqrt(−2 · ln u), u = ((number >> 11) + 1) / 2⁵³, v = (next number >> 11) / 2⁵³
//! ```
//!
//! ChaCha: Bernstein 2008, with 8 rounds. `fnv1a`: the 64-bit FNV-1a hash (Fowler, Noll and Vo) of the name's bytes. Normal
//! numbers: Box and Muller 1958.
//! The golden values in this file's tests pin the derivation.

use std::collections::BTreeMap;
use std::f64::consts::PI;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The random choices of one micro-batch, each identified by a name.
///
/// The same name always gives the same values, so two choices in one step need two names.
///
/// ```
/// # use ssl_core::Draws;
/// let draws = Draws::new(0, 7, 0);
/// let order = draws.permutation("shuffle.0", 8);
/// assert_eq!(draws.permutation("shuffle.0", 8), order);
/// assert_ne!(draws.permutation("shuffle.1", 8), order);
/// ```
#[derive(Clone, Debug)]
pub struct Draws(Source);

#[derive(Clone, Debug)]
enum Source {
    Seeded { seed: u64, step: u64, micro_batch: u64 },
    Given(BTreeMap<String, Recorded>),
}

/// A recorded choice.
#[derive(Clone, Debug)]
enum Recorded {
    Places(Vec<usize>),
    Numbers(Vec<f32>),
}

impl Draws {
    /// Creates the choices of one micro-batch of step `step`, in a run with the given seed.
    pub fn new(seed: u64, step: u64, micro_batch: usize) -> Self {
        Self(Source::Seeded { seed, step, micro_batch: micro_batch as u64 })
    }

    /// Uses recorded choices of places, by name: those of a reference trajectory.
    pub fn given<N: Into<String>>(values: impl IntoIterator<Item = (N, Vec<usize>)>) -> Self {
        let recorded = |(name, places): (N, _)| (name.into(), Recorded::Places(places));
        Self(Source::Given(values.into_iter().map(recorded).collect()))
    }

    /// Uses recorded places for the choice `name`; all choices are recorded ones then.
    pub fn with_places(self, name: impl Into<String>, places: Vec<usize>) -> Self {
        self.with_recorded(name.into(), Recorded::Places(places))
    }

    /// Uses recorded numbers for the choice `name`; all choices are recorded ones then.
    pub fn with_numbers(self, name: impl Into<String>, numbers: Vec<f32>) -> Self {
        self.with_recorded(name.into(), Recorded::Numbers(numbers))
    }

    fn with_recorded(self, name: String, choice: Recorded) -> Self {
        let mut recorded = match self.0 {
            Source::Given(recorded) => recorded,
            Source::Seeded { .. } => BTreeMap::new(),
        };
        recorded.insert(name, choice);
        Self(Source::Given(recorded))
    }

    /// Returns `count` numbers distributed uniformly over `[0, 1)`.
    ///
    /// # Panics
    /// If the choices are [given](Self::given): recorded uniform numbers have no use yet.
    pub fn uniform(&self, name: &str, count: usize) -> Vec<f32> {
        match &self.0 {
            Source::Seeded { .. } => {
                let mut stream = self.stream(name);
                (0..count).map(|_| stream.uniform()).collect()
            }
            Source::Given(_) => {
                panic!("the draw '{name}' is of uniform numbers, which the given draws do not hold")
            }
        }
    }

    /// Returns `count` independent normal numbers of mean 0 and standard deviation 1.
    ///
    /// # Panics
    /// If the choices are [given](Self::with_numbers) and this one is missing or not of `count` numbers.
    pub fn normal(&self, name: &str, count: usize) -> Vec<f32> {
        let Source::Given(recorded) = &self.0 else {
            let mut stream = self.stream(name);
            let pairs = (0..count.div_ceil(2)).flat_map(|_| stream.normal_pair());
            return pairs.take(count).collect();
        };
        match find(recorded, name) {
            Recorded::Numbers(numbers) if numbers.len() == count => numbers.clone(),
            other => panic!("the draw '{name}' is given as {other:?}, expected {count} numbers"),
        }
    }

    /// Returns a uniformly random permutation of `0..len`: a Fisher-Yates shuffle (Knuth, The Art of Computer
    /// Programming, 3.4.2, algorithm P).
    ///
    /// # Panics
    /// If the choices are [given](Self::given) and this one is missing or not a permutation of `0..len`.
    pub fn permutation(&self, name: &str, len: usize) -> Vec<usize> {
        let Source::Given(recorded) = &self.0 else {
            let mut stream = self.stream(name);
            let mut order: Vec<usize> = (0..len).collect();
            (1..len).rev().for_each(|last| order.swap(last, stream.below(last + 1)));
            return order;
        };
        match find(recorded, name) {
            Recorded::Places(order) if is_permutation(order, len) => order.clone(),
            Recorded::Places(order) => {
                panic!("the draw '{name}' is given as {order:?}, expected a permutation of 0..{len}")
            }
            Recorded::Numbers(_) => {
                panic!("the draw '{name}' is given as numbers, expected a permutation of 0..{len}")
            }
        }
    }

    /// The random numbers of a choice that is not recorded.
    fn stream(&self, name: &str) -> Stream {
        let Source::Seeded { seed, step, micro_batch } = &self.0 else {
            unreachable!("recorded choices have no random numbers")
        };
        Stream::new([*seed, *step, *micro_batch, fnv1a(name)])
    }
}

fn find<'a>(recorded: &'a BTreeMap<String, Recorded>, name: &str) -> &'a Recorded {
    recorded.get(name).unwrap_or_else(|| {
        let known: Vec<_> = recorded.keys().collect();
        panic!("the draw '{name}' is not among the given ones, which are {known:?}: expected it there too")
    })
}

/// The random numbers of one choice.
struct Stream(ChaCha8Rng);

impl Stream {
    fn new(key: [u64; 4]) -> Self {
        let mut bytes = [0; 32];
        for (place, part) in bytes.chunks_exact_mut(8).zip(key) {
            place.copy_from_slice(&part.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(bytes))
    }

    /// Returns a number distributed uniformly over `0..count`, with a bias below `count / 2⁶⁴`.
    fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.0.next_u64()) * count as u128) >> 64) as usize
    }

    fn uniform(&mut self) -> f32 {
        (self.0.next_u64() >> 40) as f32 / (1_u32 << 24) as f32
    }

    /// Two independent normal numbers.
    fn normal_pair(&mut self) -> [f32; 2] {
        let mut share = |more: u64| ((self.0.next_u64() >> 11) + more) as f64 / (1_u64 << 53) as f64;
        // Above 0, whose logarithm is infinite.
        let radius = (-2.0 * share(1).ln()).sqrt();
        let (sin, cos) = (2.0 * PI * share(0)).sin_cos();
        [(radius * cos) as f32, (radius * sin) as f32]
    }
}

fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

fn is_permutation(order: &[usize], len: usize) -> bool {
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    sorted.into_iter().eq(0..len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_derivation_never_changes() {
        // Computed in Python from the formulas at the top of this file.
        assert_eq!(Draws::new(0, 0, 0).permutation("shuffle.0", 8), [3, 7, 5, 0, 6, 4, 2, 1]);
        assert_eq!(Draws::new(42, 3, 1).permutation("shuffle.1", 12), [7, 11, 0, 3, 6, 2, 1, 5, 4, 9, 8, 10]);
        assert_eq!(Draws::new(u64::MAX, u64::MAX, 7).permutation("", 5), [1, 0, 3, 4, 2]);
        assert_eq!(
            Draws::new(7, 1000, 0).permutation("ids_keep", 20),
            [14, 11, 0, 16, 13, 12, 9, 5, 8, 18, 15, 10, 19, 1, 17, 7, 6, 4, 2, 3]
        );
    }

    #[test]
    fn uniform_numbers_are_the_first_24_bits_of_the_stream() {
        let draws = Draws::new(3, 1, 0);
        let numbers = draws.uniform("drop_path", 4096);
        assert_eq!(draws.uniform("drop_path", 3), numbers[..3]);
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        // Mean and mean square of 4096 numbers have standard deviations 0.0045 and 0.0047.
        let mean = |power: i32| numbers.iter().map(|n| n.powi(power)).sum::<f32>() / 4096.0;
        assert!(
            (mean(1) - 0.5).abs() < 0.02 && (mean(2) - 1.0 / 3.0).abs() < 0.02,
            "{} {}",
            mean(1),
            mean(2)
        );
        // The 24-bit number is the upper part of the number that a permutation would draw.
        let mut stream = Stream::new([3, 1, 0, fnv1a("drop_path")]);
        assert!(
            numbers.iter().take(9).all(|number| stream.below(1 << 24) as f32 / (1 << 24) as f32 == *number)
        );
    }

    #[test]
    fn normal_numbers_are_those_of_the_formula() {
        // Computed in Python from the formulas at the top of this file.
        let want = [-2.322_993_7, -0.187_787_03, 1.084_385, -0.413_320_92, 0.591_261_6];
        let found = Draws::new(42, 3, 1).normal("slices", 5);
        let is_close = |(found, want): (&f32, &f32)| (found - want).abs() <= 1e-6;
        assert!(found.len() == 5 && found.iter().zip(&want).all(is_close), "{found:?}");
        assert_eq!(Draws::new(42, 3, 1).normal("slices", 2), found[..2]);
        assert_ne!(Draws::new(42, 4, 1).normal("slices", 5), found);
    }

    #[test]
    fn normal_numbers_have_the_moments_of_their_distribution() {
        let numbers = Draws::new(3, 1, 0).normal("slices", 4096);
        let mean = |power: i32| numbers.iter().map(|n| n.powi(power)).sum::<f32>() / 4096.0;
        // The standard deviations of these means are 0.016, 0.022, 0.061 and 0.153.
        let moments = [mean(1), mean(2), mean(3), mean(4)];
        let bounds = [(0.0, 0.07), (1.0, 0.1), (0.0, 0.25), (3.0, 0.6)];
        for (moment, (want, by)) in moments.into_iter().zip(bounds) {
            assert!((moment - want).abs() < by, "{moments:?}");
        }
    }

    #[test]
    fn given_numbers_are_drawn_under_their_names_beside_places() {
        let draws = Draws::given([("shuffle.0", vec![1, 0])]).with_numbers("slices", vec![0.5, -1.5]);
        assert_eq!(draws.normal("slices", 2), [0.5, -1.5]);
        assert_eq!(draws.permutation("shuffle.0", 2), [1, 0]);
    }

    #[test]
    #[should_panic(expected = "the draw 'slices' is given as Numbers([0.5]), expected 2 numbers")]
    fn given_numbers_of_another_count_are_refused() {
        Draws::given::<&str>([]).with_numbers("slices", vec![0.5]).normal("slices", 2);
    }

    #[test]
    fn the_hash_of_names_is_fnv1a() {
        // The authors' test vectors, http://www.isthe.com/chongo/src/fnv/test_fnv.c.
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn seed_step_micro_batch_and_name_each_change_a_draw() {
        let draw = |seed, step, micro_batch, name| Draws::new(seed, step, micro_batch).permutation(name, 20);
        let one = draw(1, 2, 3, "shuffle.0");
        assert_eq!(one, draw(1, 2, 3, "shuffle.0"));
        let others = [
            draw(2, 2, 3, "shuffle.0"),
            draw(1, 3, 3, "shuffle.0"),
            draw(1, 2, 4, "shuffle.0"),
            draw(1, 2, 3, "shuffle.1"),
            draw(2, 1, 3, "shuffle.0"),
            draw(1, 3, 2, "shuffle.0"),
        ];
        assert!(others.iter().all(|other| *other != one), "{one:?} is also one of {others:?}");
    }

    #[test]
    fn a_draw_does_not_depend_on_those_before_it() {
        let (fresh, used) = (Draws::new(5, 0, 0), Draws::new(5, 0, 0));
        used.permutation("another", 100);
        assert_eq!(fresh.permutation("shuffle.0", 12), used.permutation("shuffle.0", 12));
    }

    #[test]
    fn every_permutation_comes_equally_often() {
        let mut counts = BTreeMap::new();
        for step in 0..6000 {
            let order = Draws::new(3, step, 0).permutation("order", 3);
            assert!(is_permutation(&order, 3));
            *counts.entry(order).or_insert(0_u32) += 1;
        }
        // The standard deviation of a count is 29.
        assert!(counts.len() == 6 && counts.values().all(|count| count.abs_diff(1000) < 150), "{counts:?}");
        assert!(Draws::new(0, 0, 0).permutation("none", 0).is_empty());
    }

    #[test]
    fn given_values_are_drawn_under_their_names() {
        let draws = Draws::given([("shuffle.0", vec![2, 0, 1]), ("shuffle.1", vec![0, 1])]);
        assert_eq!(draws.permutation("shuffle.0", 3), [2, 0, 1]);
        assert_eq!(draws.permutation("shuffle.1", 2), [0, 1]);
    }

    #[test]
    #[should_panic(expected = "the draw 'shuffle.1' is not among the given ones, which are [\"shuffle.0\"]")]
    fn a_draw_that_was_not_given_is_refused() {
        Draws::given([("shuffle.0", vec![0])]).permutation("shuffle.1", 1);
    }

    #[test]
    #[should_panic(expected = "the draw 'order' is given as [0, 0, 1], expected a permutation of 0..3")]
    fn a_given_list_that_is_no_permutation_is_refused() {
        Draws::given([("order", vec![0, 0, 1])]).permutation("order", 3);
    }
}
