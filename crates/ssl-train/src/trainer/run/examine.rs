//! What an observer finds wrong with a run.

use ssl_core::MethodRules;

use super::Run;
use crate::metrics::MetricsFile;
use crate::{Finding, FindingKind, Observer, OnCollapse, TrainError, checkpoint};

impl<M: MethodRules> Run<'_, M> {
    /// Shows a row of metrics to the observer, and writes what it finds wrong. Fails if the run has collapsed and is to stop then;
    /// every process of a group does.
    pub(super) fn examine(
        &self,
        values: &[(&'static str, f64)],
        observer: &mut dyn Observer,
        metrics: &mut MetricsFile,
    ) -> Result<(), TrainError> {
        let has_row = self.writes() && !values.is_empty();
        let found = if has_row { observer.on_row(self.at, values) } else { Vec::new() };
        for finding in &found {
            metrics.write_finding(self.at.step, self.at.epoch(), finding)?;
            observer.on_finding(self.at, finding);
        }
        if !self.stops_on_collapse() {
            return Ok(());
        }
        let collapse = found.into_iter().find(|finding| finding.kind == FindingKind::Collapse);
        match self.told_by_first(collapse) {
            Some(finding) => Err(self.collapsed(finding)),
            None => Ok(()),
        }
    }

    /// Whether a collapse ends the run.
    pub(super) fn stops_on_collapse(&self) -> bool {
        self.trainer.config.batch.on_collapse == OnCollapse::Stop
    }

    /// What the first process has found.
    fn told_by_first(&self, here: Option<Finding>) -> Option<Finding> {
        let group = &self.trainer.group;
        if group.is_solo() {
            return here;
        }
        let bytes = here.and_then(|finding| serde_json::to_vec(&finding).ok()).unwrap_or_default();
        let all = group.gather_bytes(bytes);
        serde_json::from_slice(&all[0]).ok()
    }

    fn collapsed(&self, finding: Finding) -> TrainError {
        let last_good = checkpoint::newest_before(self.trainer.run, finding.since);
        TrainError::Collapsed { step: self.at.step, finding: Box::new(finding), last_good }
    }
}
