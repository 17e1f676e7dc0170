//! The teacher's distributions: kept in balance by a centre or by Sinkhorn-Knopp.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use ssl_core::loss::{mean_logits, sinkhorn, sinkhorn_in_group};
use ssl_core::{Group, HiddenPatches, ViewRows, group, names};

/// How the teacher's outputs are kept in balance, so that none of them wins everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Centering {
    /// The moving mean of the logits is subtracted, as in DINO and iBOT.
    #[default]
    Center,
    /// Sinkhorn-Knopp assigns all outputs equally often within the batch, as in SwAV.
    Sinkhorn,
}

names!(Centering: "centering" { Center = "center", Sinkhorn = "sinkhorn" });

/// The means of the teacher's logits over the images of all processes, which the centres move towards.
#[derive(Clone, Debug)]
pub struct Means {
    /// Of the class tokens of the global crops, `[output]`.
    pub class: Tensor<1>,
    /// Of hidden patches, `[patch_output]`; `None` where nothing is hidden.
    pub patch: Option<Tensor<1>>,
}

/// A teacher's logits in this process, and the processes that share the batch.
pub(crate) struct TeacherLogits<'a> {
    /// Of the class tokens of the global crops, `[crop · batch, output]`.
    pub(crate) class: ViewRows,
    /// Of the hidden patches, `[hidden, patch_output]`.
    pub(crate) patches: Tensor<2>,
    pub(crate) hidden: &'a HiddenPatches,
    pub(crate) group: &'a Group,
}

impl TeacherLogits<'_> {
    /// Their means over all processes.
    pub(crate) fn means(&self) -> Means {
        let class = group::mean(mean_logits(self.class.rows.clone()), self.group);
        let count: usize = self.hidden.counts(self.group).iter().sum();
        let sum = self.hidden.sum(self.patches.clone().without_autodiff());
        let sum = if self.group.is_solo() { sum } else { self.group.all_reduce_sum(sum) };
        let patch = (count > 0).then(|| sum.div_scalar(count as f64));
        Means { class, patch }
    }

    /// Balanced assignments of the class tokens of all crops, over those of all processes.
    pub(crate) fn assign_class(&self, temperature: f64, iterations: usize) -> ViewRows {
        self.class.clone().map(|rows| {
            let [count, _] = rows.dims();
            sinkhorn_in_group(rows, temperature, iterations, count, true, self.group)
        })
    }

    /// Balanced assignments of the hidden patches, over those of all processes.
    pub(crate) fn assign_patches(&self, temperature: f64, iterations: usize) -> Tensor<2> {
        let [rows, _] = self.patches.dims();
        // Where nothing is hidden, a row stands that counts nowhere.
        let counts = self.hidden.count > 0;
        match self.hidden.counts(self.group).iter().any(|&count| count > 0) {
            true => {
                sinkhorn_in_group(self.patches.clone(), temperature, iterations, rows, counts, self.group)
            }
            false => sinkhorn(self.patches.clone(), temperature, iterations, rows),
        }
    }
}
