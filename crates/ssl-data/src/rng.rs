//! Random numbers that depend on what they are for, and on nothing else.
//!
//! Every number behind a view derives from `(seed, epoch, sample, view, operation)`, every number behind a mask from
//! `(seed, step, sample, view, operation)`, never from a shared generator. The views and masks of a sample are
//! therefore the same on one thread or sixty-four, after a resume in the middle of an epoch, and on whichever shard
//! the sample falls.
//!
//! ```text
//! mix(x)   = the output function of SplitMix64, of x + G         G = 0x9E3779B97F4A7C15
//! views    : stream = mix(mix(mix(mix(mix(seed) ⊕ epoch) ⊕ sample) ⊕ view) ⊕ operation)
//! masks    : stream = mix(mix(mix(mix(mix(mix(seed) ⊕ M) ⊕ step) ⊕ sample) ⊕ view) ⊕ operation)
//!            M = the bytes "ssl-mask" as a big-endian number; sample = 2⁶⁴ − 1 for choices of the whole batch
//! number n = mix(stream + n·G)                                   n = 0, 1, 2, …   (SplitMix64 from `stream`)
//! uniform  = (number >> 11) · 2⁻⁵³                               in [0, 1)
//! below(k) = (number · k) >> 64                                  in 0..k
//! ```
//!
//! Sums are modulo 2⁶⁴, ⊕ is exclusive or. SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom
//! number generators", OOPSLA 2014. The golden values in this file's tests pin the derivation.

const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// Names one visit of one sample: all the randomness of its views follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SampleKey {
    /// Seed of the run.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Index of the sample in the data set, from 0; not its place in the shuffled order.
    pub sample: u64,
}

impl SampleKey {
    /// The generator of operation `operation` (its place in the list, from 0) of view `view`.
    pub fn generator(self, view: usize, operation: usize) -> Generator {
        Generator::keyed(self.seed, [self.epoch, self.sample, view as u64, operation as u64])
    }
}

/// Keeps the masks of a step apart from the views of the epoch with the same number.
const MASKS: u64 = u64::from_be_bytes(*b"ssl-mask");

/// No image has this number: its random numbers are free for what a whole batch has in common.
const WHOLE_BATCH: u64 = u64::MAX;

/// Names one step of a run: all the randomness of its masks follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MaskKey {
    /// Seed of the run.
    pub seed: u64,
    /// Batches before this one, from the start of the run.
    pub step: u64,
}

impl MaskKey {
    /// The generator of operation `operation` on view `view` for what all images of the batch have in common.
    pub(crate) fn batch(self, view: usize, operation: u64) -> Generator {
        self.sample(WHOLE_BATCH, view, operation)
    }

    /// The generator of operation `operation` on view `view` of the image `sample` of the data set.
    pub(crate) fn sample(self, sample: u64, view: usize, operation: u64) -> Generator {
        Generator::keyed(self.seed, [MASKS, self.step, sample, view as u64, operation])
    }
}

/// SplitMix64, the stream of random numbers of one operation on one view.
#[derive(Clone, Debug)]
pub struct Generator {
    state: u64,
}

impl Generator {
    fn keyed<const N: usize>(seed: u64, parts: [u64; N]) -> Self {
        Self { state: parts.into_iter().fold(mix(seed), |stream, part| mix(stream ^ part)) }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let bits = mix(self.state);
        self.state = self.state.wrapping_add(GOLDEN_GAMMA);
        bits
    }

    /// A number evenly spread over `[low, high)`; `low` where the two are equal.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        const STEP: f64 = 1.0 / (1u64 << 53) as f64;
        low + (high - low) * ((self.next_u64() >> 11) as f64 * STEP)
    }

    /// A number evenly spread over `0..count`.
    ///
    /// The bias of the multiplication is below `count / 2⁶⁴`.
    ///
    /// # Panics
    /// If `count` is 0.
    pub fn below(&mut self, count: usize) -> usize {
        assert!(count > 0, "a random number below 0");
        ((u128::from(self.next_u64()) * count as u128) >> 64) as usize
    }

    /// `count` different numbers of `0..len` in random order, each selection as likely as any other: the first steps
    /// of a shuffle after Fisher and Yates (Knuth, The Art of Computer Programming, 3.4.2, algorithm P), from the front.
    ///
    /// # Panics
    /// If `count` is larger than `len`.
    pub(crate) fn choose(&mut self, len: usize, count: usize) -> Vec<usize> {
        let mut numbers: Vec<usize> = (0..len).collect();
        (0..count).for_each(|place| numbers.swap(place, place + self.below(len - place)));
        numbers.truncate(count);
        numbers
    }

    /// True with probability `p`: always for 1, never for 0.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform(0.0, 1.0) < p
    }
}

fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(GOLDEN_GAMMA);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Generator, MaskKey, SampleKey};

    #[test]
    fn the_generator_is_splitmix64() {
        // Reference output of SplitMix64 for seed 1234567, as printed on Rosetta Code.
        let mut generator = Generator { state: 1_234_567 };
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(expected.map(|_| generator.next_u64()), expected);
    }

    #[test]
    fn the_derivation_never_changes() {
        // Computed by the formulas at the head of this file in Python.
        let golden = [
            (
                (0, 0, 0, 0, 0),
                [14_687_217_854_757_187_732, 2_996_136_051_415_371_519],
                0.04287353733707111,
                7,
            ),
            (
                (42, 3, 49_999, 1, 2),
                [18_043_888_786_298_826_114, 78_944_122_792_282_055],
                0.3020914058678916,
                1,
            ),
            (
                (u64::MAX, u64::MAX, u64::MAX, 7, 9),
                [17_074_451_304_450_693_022, 13_600_625_341_434_519_667],
                0.7894415083972874,
                0,
            ),
        ];
        for ((seed, epoch, sample, view, operation), bits, uniform, below) in golden {
            let mut generator = SampleKey { seed, epoch, sample }.generator(view, operation);
            assert_eq!(bits.map(|_| generator.next_u64()), bits);
            assert_eq!(generator.uniform(0.0, 1.0), uniform);
            assert_eq!(generator.below(10), below);
        }
    }

    #[test]
    fn the_derivation_of_masks_never_changes() {
        // Computed by the formulas at the head of this file in Python.
        let golden = [
            ((0, 0, 0, 0, 0), [12_203_082_591_270_766_944, 10_226_709_774_763_146_950]),
            ((42, 1_000, 49_999, 1, 2), [99_385_215_152_973_052, 12_934_909_132_988_012_977]),
            ((u64::MAX, u64::MAX, u64::MAX, 7, 1), [11_397_597_883_805_094_556, 7_605_349_502_625_029_459]),
        ];
        for ((seed, step, sample, view, operation), bits) in golden {
            let key = MaskKey { seed, step };
            let mut generator = key.sample(sample, view, operation);
            assert_eq!(bits.map(|_| generator.next_u64()), bits);
            let whole_batch = key.batch(view, operation).next_u64() == bits[0];
            assert_eq!(whole_batch, sample == u64::MAX);
        }
        assert_eq!(MaskKey { seed: 5, step: 9 }.sample(2, 1, 0).choose(10, 4), [0, 6, 2, 4]);
    }

    #[test]
    fn chosen_numbers_differ_and_come_equally_often() {
        let mut generator = MaskKey { seed: 1, step: 2 }.batch(0, 0);
        let mut counts = [[0u32; 2]; 5];
        for _ in 0..20_000 {
            let chosen = generator.choose(5, 2);
            assert_ne!(chosen[0], chosen[1]);
            chosen.into_iter().enumerate().for_each(|(place, number)| counts[number][place] += 1);
        }
        assert!(counts.as_flattened().iter().all(|&count| count.abs_diff(4000) < 300), "{counts:?}");
    }

    #[test]
    fn every_part_of_the_key_changes_the_stream() {
        let first = |seed, epoch, sample, view, operation| {
            SampleKey { seed, epoch, sample }.generator(view, operation).next_u64()
        };
        let mut seen = HashSet::new();
        for i in 0..4u64 {
            for j in 0..4u64 {
                for k in 0..16u64 {
                    for view in 0..4 {
                        for operation in 0..4 {
                            seen.insert(first(i, j, k, view, operation));
                        }
                    }
                }
            }
        }
        assert_eq!(seen.len(), 4 * 4 * 16 * 4 * 4);
    }

    #[test]
    fn chance_is_exact_at_its_ends() {
        let mut generator = SampleKey { seed: 1, epoch: 2, sample: 3 }.generator(0, 0);
        for _ in 0..10_000 {
            assert!(generator.chance(1.0));
            assert!(!generator.chance(0.0));
        }
    }

    #[test]
    fn uniform_and_below_fill_their_ranges_evenly() {
        let mut generator = SampleKey { seed: 7, epoch: 0, sample: 0 }.generator(0, 0);
        let mean = (0..100_000).map(|_| generator.uniform(-1.0, 3.0)).sum::<f64>() / 100_000.0;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");

        let mut counts = [0u32; 5];
        for _ in 0..50_000 {
            counts[generator.below(5)] += 1;
        }
        assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 500), "{counts:?}");
    }
}
