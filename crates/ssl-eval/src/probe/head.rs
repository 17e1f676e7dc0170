//! Classifiers on what a probe sees.

use burn::module::Module;
use burn::tensor::Tensor;
use ssl_core::nn::{Affine, BatchNorm, BatchNormConfig, Linear};
use ssl_core::{Init, Pass, names};

use super::AttentivePool;
use crate::linear_head;

/// Added to the variance of the batch norm (MAE, `main_linprobe.py`).
const EPS: f64 = 1e-6;

/// The kind of classifier on a frozen encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProbeHead {
    /// A linear layer.
    #[default]
    Linear,
    /// Batch norm without weight and bias, and a linear layer (MAE, appendix A.1; `main_linprobe.py`). It changes which
    /// features are large, and nothing that a linear layer could not undo.
    BatchNorm,
    /// A learned query that attends to the patches, and a linear layer; see [`AttentivePool`].
    Attentive,
}

names!(ProbeHead: "head" { Linear = "linear", BatchNorm = "batch-norm", Attentive = "attentive" });

impl ProbeHead {
    /// A classifier of inputs of length `dim`, those of each patch for [`Attentive`](Self::Attentive).
    pub fn init(self, dim: usize, classes: usize, init: &mut Init) -> Probe {
        let norm =
            || BatchNormConfig { eps: EPS, ..BatchNormConfig::new(dim).with_affine(Affine::None) }.init(init);
        let norm = (self == Self::BatchNorm).then(norm);
        let pool = (self == Self::Attentive).then(|| AttentivePool::init(dim, init));
        Probe { norm, pool, linear: linear_head(dim, classes, init), dim }
    }
}

/// A classifier on what a probe sees of an encoder.
#[derive(Module, Debug)]
pub struct Probe {
    norm: Option<BatchNorm>,
    pool: Option<AttentivePool>,
    linear: Linear,
    dim: usize,
}

impl Probe {
    /// Class scores.
    ///
    /// # Shapes
    /// - `input`: `[batch, dim]`; with attention `[batch, patch · dim]`
    /// - returns: `[batch, class]`
    pub fn forward(&self, input: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let input = match &self.pool {
            Some(pool) => pool.forward(self.patches(input)),
            None => input,
        };
        let input = match &self.norm {
            Some(norm) => norm.forward(input, pass),
            None => input,
        };
        self.linear.forward(input)
    }

    /// `[batch, patch, dim]`
    fn patches(&self, input: Tensor<2>) -> Tensor<3> {
        let [batch, values] = input.dims();
        input.reshape([batch, values / self.dim, self.dim])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_core::{DeviceSpec, named};

    fn init() -> Init {
        Init::new(0, &DeviceSpec::Flex.open().expect("flex is compiled in"))
    }

    #[test]
    fn a_linear_probe_is_the_linear_head_of_its_seed() {
        let probe = ProbeHead::Linear.init(6, 3, &mut init());
        let head = linear_head(6, 3, &mut init());
        let tensors = named::collect(&probe);
        assert_eq!(tensors["linear.weight"], named::collect(&head)["weight"]);
        assert_eq!(tensors.len(), 2);
    }

    #[test]
    fn batch_norm_has_no_parameters_and_forgets_the_scale_of_features() {
        let probe = ProbeHead::BatchNorm.init(2, 3, &mut init());
        let names: Vec<_> = named::collect(&probe).into_keys().collect();
        assert_eq!(names, ["linear.bias", "linear.weight", "norm.running_mean", "norm.running_var"]);
        let device = init().plain_device();
        let scores = |scale: f32| {
            let input =
                Tensor::from_floats([[1.0 * scale, 4.0], [-3.0 * scale, 1.0], [0.5 * scale, 2.0]], &device);
            probe.forward(input, &Pass::batch_stats()).into_data().try_to_vec::<f32>().expect("floats")
        };
        let (small, large) = (scores(1.0), scores(1000.0));
        assert!(small.iter().zip(&large).all(|(a, b)| (a - b).abs() < 1e-6), "{small:?} {large:?}");
    }
}
