//! Random numbers that depend on what they are for, and on nothing else.
//!
//! Every number behind a view derives from `(seed, epoch, sample, view, operation)`, never from a shared
//! generator. The views of a sample are therefore the same on one thread or sixty-four, after a resume in
//! the middle of an epoch, and on whichever shard the sample falls.
//!
//! ```text
//! mix(x)   = the output function of SplitMix64, of x + G         G = 0x9E3779B97F4A7C15
//! stream   = mix(mix(mix(mix(mix(seed) ⊕ epoch) ⊕ sample) ⊕ view) ⊕ operation)
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
        let parts = [self.epoch, self.sample, view as u64, operation as u64];
        Generator { state: parts.into_iter().fold(mix(self.seed), |stream, part| mix(stream ^ part)) }
    }
}

/// SplitMix64, the stream of random numbers of one operation on one view.
#[derive(Clone, Debug)]
pub struct Generator {
    state: u64,
}

impl Generator {
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

    use super::{Generator, SampleKey};

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
