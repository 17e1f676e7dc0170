//! What the accuracies of a run are compared with.

/// The names of accuracies in the metrics file.
pub(crate) const KNN_TOP1: &str = "knn_top1";
pub(crate) const LINEAR_TOP1: &str = "linear_top1";
pub(crate) const LINEAR_TOP5: &str = "linear_top5";
/// The same of raw pixels, which have a value before the first step alone.
pub(crate) const KNN_TOP1_PIXELS: &str = "knn_top1_pixels";
pub(crate) const LINEAR_TOP1_PIXELS: &str = "linear_top1_pixels";

/// Accuracies, in per cent, that a trained network has to beat.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Baseline {
    /// Of raw pixels.
    pub(crate) pixels: Option<f64>,
    /// Of the untrained network.
    pub(crate) untrained: Option<f64>,
}

/// The baselines of both evaluations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Baselines {
    pub(crate) knn: Baseline,
    pub(crate) linear: Baseline,
}

impl Baselines {
    /// The baselines among the metrics of before the first step.
    pub(crate) fn of(untrained: impl Fn(&str) -> Option<f64>) -> Self {
        let baseline =
            |pixels, network| Baseline { pixels: untrained(pixels), untrained: untrained(network) };
        Self { knn: baseline(KNN_TOP1_PIXELS, KNN_TOP1), linear: baseline(LINEAR_TOP1_PIXELS, LINEAR_TOP1) }
    }
}

impl Baseline {
    /// An accuracy as multiples of what is known, in parentheses after a space: ` (1.6x pixels, 1.3x untrained)`.
    pub(crate) fn multiples(&self, accuracy: f64) -> String {
        let known = [(self.pixels, "pixels"), (self.untrained, "untrained")];
        let known = known.into_iter().filter_map(|(value, name)| Some((times(accuracy, value)?, name)));
        let known: Vec<_> = known.map(|(times, name)| format!("{times} {name}")).collect();
        if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) }
    }
}

/// An accuracy as a multiple of another one, if that is known and not 0: `1.6x`.
pub(crate) fn times(accuracy: f64, of: Option<f64>) -> Option<String> {
    of.filter(|&of| of > 0.0).map(|of| format!("{:.1}x", accuracy / of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accuracy_is_told_in_multiples_of_what_is_known() {
        let multiples = |pixels, untrained| Baseline { pixels, untrained }.multiples(48.0);
        assert_eq!(multiples(Some(30.0), Some(24.0)), " (1.6x pixels, 2.0x untrained)");
        assert_eq!(multiples(None, Some(40.0)), " (1.2x untrained)");
        assert_eq!(multiples(Some(0.0), None), "", "nothing is a multiple of 0");
    }

    #[test]
    fn baselines_are_the_metrics_of_before_the_first_step() {
        let value = |name: &str| match name {
            "knn_top1" => Some(20.0),
            "linear_top1_pixels" => Some(30.0),
            _ => None,
        };
        let Baselines { knn, linear } = Baselines::of(value);
        assert_eq!((knn.pixels, knn.untrained), (None, Some(20.0)));
        assert_eq!((linear.pixels, linear.untrained), (Some(30.0), None));
    }
}
