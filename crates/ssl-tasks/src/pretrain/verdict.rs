//! Whether a run learned anything, also without labels.

use std::fmt;

use serde::Serialize;
use ssl_core::LossScale;
use ssl_train::Summary;

use crate::self_check::{RANKME_TRAIN, VIEW_RETRIEVAL, VIEW_RETRIEVAL_CHANCE, VIEW_RETRIEVAL_IMAGES};

/// Below this share of the untrained network's RankMe, features count as collapsed (our choice).
const COLLAPSED: f64 = 0.1;

/// Gains of more than this many standard errors count.
const ERRORS: f64 = 2.0;

/// Whether a run learned anything. Accuracies and shares are in per cent.
///
/// Two augmented views of some hundred training images are embedded before and after training. What counts is how many
/// views have another view of their own image as nearest neighbour; of their own class, if the method trains with labels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The answer.
    pub learned: Learned,
    /// Views that find another view of their image, after training.
    pub view_retrieval: f64,
    /// The same before training.
    pub view_retrieval_untrained: f64,
    /// The same for features without information.
    pub view_retrieval_chance: f64,
    /// Images that were checked.
    pub view_retrieval_images: u64,
    /// Effective number of dimensions of their features after training.
    pub rankme_train: f64,
    /// The same before training.
    pub rankme_train_untrained: f64,
    /// The loss of embeddings that say nothing, in the unit of the loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_of_guessing: Option<f64>,
    /// The smallest loss there can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_floor: Option<f64>,
}

/// The answer of a [`Verdict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Learned {
    /// Views find each other more often than before, by more than two standard errors.
    Yes,
    /// They do not.
    No,
    /// The untrained network found almost all of them, and so does the trained one.
    Unclear,
    /// The features have lost nearly all their dimensions.
    Collapsed,
}

impl Verdict {
    /// The verdict on a finished run; none if its images were not checked before and after.
    pub(crate) fn of(summary: &Summary, scale: LossScale) -> Option<Self> {
        let value = |metrics: &[(String, f64)], name: &str| {
            metrics.iter().find(|(found, _)| found == name).map(|&(_, value)| value)
        };
        let (before, after) = (&summary.untrained, &summary.evaluation);
        let mut verdict = Self {
            learned: Learned::No,
            view_retrieval: value(after, VIEW_RETRIEVAL)?,
            view_retrieval_untrained: value(before, VIEW_RETRIEVAL)?,
            view_retrieval_chance: value(after, VIEW_RETRIEVAL_CHANCE)?,
            view_retrieval_images: value(after, VIEW_RETRIEVAL_IMAGES)? as u64,
            rankme_train: value(after, RANKME_TRAIN)?,
            rankme_train_untrained: value(before, RANKME_TRAIN)?,
            loss_of_guessing: scale.guess,
            loss_floor: scale.floor,
        };
        verdict.learned = verdict.judge();
        Some(verdict)
    }

    fn judge(&self) -> Learned {
        let (before, after) = (self.view_retrieval_untrained, self.view_retrieval);
        // Two views of an image are no independent draws, so images are counted.
        let images = self.view_retrieval_images;
        if self.rankme_train < COLLAPSED * self.rankme_train_untrained {
            Learned::Collapsed
        } else if is_above(after, before, images) {
            Learned::Yes
        } else if before > 95.0 && !is_above(before, after, images) {
            Learned::Unclear
        } else {
            Learned::No
        }
    }
}

/// Standard error of a share in per cent of `count` draws.
pub(crate) fn standard_error(share: f64, count: u64) -> f64 {
    (share * (100.0 - share) / count as f64).sqrt()
}

/// Whether a share in per cent of `count` draws is above another one by more than chance explains.
pub(crate) fn is_above(share: f64, other: f64, count: u64) -> bool {
    share - other > ERRORS * standard_error(share, count).hypot(standard_error(other, count))
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = match self.learned {
            Learned::Yes => "yes, views that belong together find each other more often than before",
            Learned::No => "no, views that belong together find each other no more often than before",
            Learned::Unclear => "unclear, the untrained network already finds nearly all views",
            Learned::Collapsed => "no, the features have collapsed into few dimensions",
        };
        let Self { view_retrieval: after, view_retrieval_untrained: before, .. } = self;
        writeln!(f, "learned: {answer}")?;
        writeln!(
            f,
            "  views found  {after:.1} %, untrained {before:.1} %, chance {:.1} % ({} images)",
            self.view_retrieval_chance, self.view_retrieval_images
        )?;
        write!(f, "  RankMe       {:.1}, untrained {:.1}", self.rankme_train, self.rankme_train_untrained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(before: f64, after: f64, ranks: [f64; 2]) -> Verdict {
        let scores = |retrieval, rank| {
            let names = [VIEW_RETRIEVAL, VIEW_RETRIEVAL_CHANCE, VIEW_RETRIEVAL_IMAGES, RANKME_TRAIN];
            let values = [retrieval, 0.1, 512.0, rank];
            names.map(str::to_owned).into_iter().zip(values).collect()
        };
        let summary = Summary {
            untrained: scores(before, ranks[0]),
            evaluation: scores(after, ranks[1]),
            ..Summary::default()
        };
        Verdict::of(&summary, LossScale::default()).expect("checked before and after")
    }

    #[test]
    fn a_gain_counts_if_chance_does_not_explain_it() {
        assert_eq!(verdict(30.0, 60.0, [10.0, 20.0]).learned, Learned::Yes);
        assert_eq!(verdict(30.0, 33.0, [10.0, 20.0]).learned, Learned::No);
        assert_eq!(verdict(60.0, 30.0, [10.0, 20.0]).learned, Learned::No);
    }

    #[test]
    fn a_network_that_began_near_the_top_is_not_blamed() {
        assert_eq!(verdict(99.0, 98.8, [10.0, 20.0]).learned, Learned::Unclear);
        assert_eq!(verdict(99.0, 80.0, [10.0, 20.0]).learned, Learned::No);
    }

    #[test]
    fn features_without_dimensions_have_collapsed_whatever_they_find() {
        assert_eq!(verdict(30.0, 60.0, [30.0, 1.1]).learned, Learned::Collapsed);
    }

    #[test]
    fn a_run_that_was_not_checked_has_no_verdict() {
        assert_eq!(Verdict::of(&Summary::default(), LossScale::default()), None);
    }
}
