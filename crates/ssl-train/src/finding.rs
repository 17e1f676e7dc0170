//! What is wrong with a run in progress.

use serde::{Deserialize, Serialize};
use ssl_core::names;

/// What is wrong with a run in progress, why, and what to change: a row of the metrics file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Name of the rule that found it.
    #[serde(rename = "finding")]
    pub rule: String,
    /// How bad it is.
    pub kind: FindingKind,
    /// The step of the first row that shows it.
    pub since: u64,
    /// What is wrong, as a sentence without a full stop.
    pub cause: String,
    /// The numbers that show it.
    pub evidence: String,
    /// A key of the recipe and a value that helps: `optimizer.lr=0.1`.
    pub remedy: String,
    /// Where to read more.
    pub reference: String,
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FindingKind {
    /// The run learns less than it could.
    Advice,
    /// The run will learn nothing any more.
    Collapse,
}

/// What is done about a [`FindingKind::Collapse`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnCollapse {
    /// It is told, and the run goes on.
    #[default]
    Warn,
    /// The run ends with [`TrainError::Collapsed`](crate::TrainError::Collapsed), and its earlier checkpoints stay.
    Stop,
}

names!(OnCollapse: "on_collapse" { Warn = "warn", Stop = "stop" });

impl OnCollapse {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
