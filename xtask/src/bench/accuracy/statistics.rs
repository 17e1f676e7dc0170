//! Means, their errors, and the judgements based on them.

use std::fmt;

/// Runs per side that a judgement needs.
pub(super) const SEEDS: usize = 3;
/// The largest standard error of a difference, in points, that a judgement may rest on.
const LARGEST_ERROR: f64 = 0.7;
/// Standard errors by which ours may be lower than PyTorch's.
const TOLERANCE: f64 = 2.0;
/// Standard errors by which a trained network must be better than an untrained one.
const BAR: f64 = 3.0;

/// Some runs of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) count: usize,
    pub(super) mean: f64,
    /// Sample standard deviation of the runs (`count - 1`); NaN for a single run.
    pub(super) deviation: f64,
}

impl Sample {
    /// `None` without values.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self { count, mean, deviation: (squares / (count as f64 - 1.0)).sqrt() })
    }

    /// The difference of two means.
    pub(super) fn minus(&self, other: &Self) -> Difference {
        let (error, count) = (self.error().hypot(other.error()), self.count.min(other.count));
        Difference { mean: self.mean - other.mean, error, count }
    }

    /// The standard error of the mean.
    fn error(&self) -> f64 {
        self.deviation / (self.count as f64).sqrt()
    }
}

impl From<Sample> for Difference {
    /// The mean of differences of pairs.
    fn from(sample: Sample) -> Self {
        Self { mean: sample.mean, error: sample.error(), count: sample.count }
    }
}

/// A difference of two means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Difference {
    pub(super) mean: f64,
    /// Its standard error.
    pub(super) error: f64,
    /// Number of runs of the side that has fewer.
    count: usize,
}

/// Whether a method matches PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Lower,
    MoreSeeds,
    Missing,
}

/// Whether a method learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bar {
    Above,
    Below,
    /// PyTorch's side is not above it either.
    NotAsked,
    Missing,
}

/// Ours minus PyTorch's, judged: right when ours is higher, or lower by no more than two standard errors; if the standard
/// error is above 0.7 points, more seeds are needed to tell. Three more seeds that have begun are finished first: what looked best
/// on the way would be chosen otherwise.
pub(super) fn verdict(difference: Option<Difference>) -> Verdict {
    match difference {
        Some(Difference { mean, error, count }) if count >= SEEDS => match () {
            () if error > LARGEST_ERROR || !count.is_multiple_of(SEEDS) => Verdict::MoreSeeds,
            () if mean >= -TOLERANCE * error => Verdict::Right,
            () => Verdict::Lower,
        },
        _ => Verdict::Missing,
    }
}

/// Trained minus untrained, judged: above by three standard errors or not.
pub(super) fn over_untrained(difference: Option<Difference>) -> Bar {
    match difference {
        Some(difference) if difference.count >= SEEDS => {
            if difference.mean > BAR * difference.error {
                Bar::Above
            } else {
                Bar::Below
            }
        }
        _ => Bar::Missing,
    }
}

/// The mean of ours against raw pixels, judged where PyTorch's mean is above them. Each side is a pair of samples: trained,
/// pixels.
pub(super) fn over_pixels(ours: Option<[Sample; 2]>, theirs: Option<[Sample; 2]>) -> Bar {
    let above =
        |[trained, pixels]: [Sample; 2]| (trained.count >= SEEDS).then_some(trained.mean > pixels.mean);
    match (ours.and_then(above), theirs.and_then(above)) {
        (_, None) | (None, Some(true)) => Bar::Missing,
        (Some(true), Some(true)) => Bar::Above,
        (Some(false), Some(true)) => Bar::Below,
        (_, Some(false)) => Bar::NotAsked,
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Right => "right",
            Self::Lower => "**lower**",
            Self::MoreSeeds => "**more seeds**",
            Self::Missing => "missing",
        })
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Above => "yes",
            Self::Below => "**no**",
            Self::NotAsked => "PyTorch neither",
            Self::Missing => "missing",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: &[f64]) -> Sample {
        Sample::of(values).expect("values")
    }

    fn judged(ours: &[f64], theirs: &[f64]) -> Verdict {
        verdict(Some(sample(ours).minus(&sample(theirs))))
    }

    #[test]
    fn the_error_of_a_difference_is_that_of_both_means() {
        let (a, b) = (sample(&[1.0, 2.0, 3.0]), sample(&[4.0, 4.0, 4.0, 8.0]));
        assert_eq!((a.mean, a.deviation, b.mean, b.deviation), (2.0, 1.0, 5.0, 2.0));
        let difference = a.minus(&b);
        assert_eq!(difference.mean, -3.0);
        assert!((difference.error - (1.0_f64 / 3.0 + 4.0 / 4.0).sqrt()).abs() < 1e-12);
        assert_eq!(Sample::of(&[]), None);
    }

    #[test]
    fn a_method_is_right_within_two_errors_or_above() {
        // Deviation 1 on both sides: a standard error of 0.816.
        assert_eq!(judged(&[37.0, 38.0, 39.0], &[37.0, 38.0, 39.0]), Verdict::MoreSeeds);
        // Deviation 0.5: 0.408.
        let theirs = [37.5, 38.0, 38.5];
        assert_eq!(judged(&[36.7, 37.2, 37.7], &theirs), Verdict::Right);
        assert_eq!(judged(&[36.6, 37.1, 37.6], &theirs), Verdict::Lower);
        assert_eq!(judged(&[40.0, 40.5, 41.0], &theirs), Verdict::Right);
    }

    #[test]
    fn fewer_than_three_seeds_are_no_result() {
        assert_eq!(judged(&[38.0, 38.1], &[38.0, 38.1, 38.2]), Verdict::Missing);
        assert_eq!(judged(&[38.0, 38.1, 38.2], &[38.0]), Verdict::Missing);
        assert_eq!(verdict(None), Verdict::Missing);
        assert_eq!(over_untrained(None), Bar::Missing);
    }

    #[test]
    fn nothing_is_judged_between_three_seeds_and_six() {
        let six = [37.5, 38.0, 38.5, 37.5, 38.0, 38.5];
        for count in 3..=6 {
            let expected = if count % 3 == 0 { Verdict::Right } else { Verdict::MoreSeeds };
            assert_eq!(judged(&six[..count], &six[..count]), expected, "{count} seeds");
        }
    }

    #[test]
    fn a_trained_network_has_to_be_better_by_three_errors() {
        // 0.408 as above: 1.22 is asked for.
        let over =
            |trained: &[f64]| over_untrained(Some(sample(trained).minus(&sample(&[27.5, 28.0, 28.5]))));
        assert_eq!(over(&[28.8, 29.3, 29.8]), Bar::Above);
        assert_eq!(over(&[28.7, 29.2, 29.7]), Bar::Below);
        assert_eq!(over(&[20.0, 20.5, 21.0]), Bar::Below);
    }

    #[test]
    fn pixels_have_to_be_beaten_where_pytorch_beats_them() {
        let (good, bad, pixels) =
            (sample(&[38.0, 39.0, 40.0]), sample(&[33.0, 34.0, 35.0]), sample(&[36.5; 3]));
        let judged = |ours: Sample, theirs: Sample| over_pixels(Some([ours, pixels]), Some([theirs, pixels]));
        assert_eq!(judged(good, good), Bar::Above);
        assert_eq!(judged(bad, good), Bar::Below);
        assert_eq!(judged(bad, bad), Bar::NotAsked);
        assert_eq!(judged(sample(&[40.0, 40.0]), good), Bar::Missing);
        assert_eq!(over_pixels(Some([good, pixels]), None), Bar::Missing);
    }
}
