//! What a method keeps in memory around an encoder, counted before a run.

use crate::{LayerConfig, Norm};

/// What a method keeps in memory around an encoder, for an estimate before anything is allocated.
///
/// Counts are of float32 values, as `f64`: a configuration can ask for more than an integer holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Footprint {
    /// The heads of the student.
    pub heads: Vec<HeadShape>,
    /// How many of the first heads a teacher has too; `None` without a teacher.
    pub teacher_heads: Option<usize>,
    /// Views of an image that pass the student; `None` for all.
    pub student_views: Option<usize>,
    /// How many of the first views only a teacher sees.
    pub teacher_views: usize,
    /// Whether all views of one size pass together, or one after the other.
    pub joint: bool,
    /// Values of the state besides the teacher: a queue, a centre.
    pub state: f64,
    /// Values that the loss holds at its peak.
    pub loss: f64,
    /// Parameters of the student besides encoder and heads: those of a decoder.
    pub other_parameters: f64,
    /// Values of an image that these keep for the backward pass.
    pub other_kept: f64,
    /// Share of the patches that pass the student's encoder; `None` for all.
    pub seen: Option<f64>,
}

/// The tokens that a method works on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenShape {
    /// Length of a token.
    pub feature_dim: usize,
    /// Images of a batch.
    pub images: usize,
    /// Views of an image.
    pub views: usize,
    /// Patches of a global view.
    pub patches: usize,
    /// Height and width of a patch in pixels.
    pub patch_size: usize,
    /// Share of the patches that masks leave to see.
    pub seen: f64,
    /// Blocks of patches to predict of an image; 0 of masks without such blocks.
    pub targets: usize,
    /// Share of the patches in the largest of these blocks.
    pub target: f64,
}

/// The layers of a head.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadShape {
    /// Length of an input row.
    pub inputs: usize,
    /// Its layers.
    pub layers: Vec<LayerConfig>,
}

impl Footprint {
    /// A student with these heads and nothing else.
    pub fn of_heads(heads: impl IntoIterator<Item = HeadShape>) -> Self {
        Self { heads: heads.into_iter().collect(), ..Self::default() }
    }

    /// Parameters of the student besides its encoder.
    pub fn parameters(&self) -> f64 {
        self.other_parameters + self.heads.iter().map(HeadShape::parameters).sum::<f64>()
    }

    /// Parameters of the teacher's heads.
    pub fn teacher_parameters(&self) -> f64 {
        self.heads.iter().take(self.teacher_heads.unwrap_or(0)).map(HeadShape::parameters).sum()
    }

    /// Values that the heads keep for the backward pass of `rows` rows.
    pub fn kept(&self, rows: f64) -> f64 {
        self.heads.iter().map(|head| head.kept(rows)).sum()
    }
}

impl HeadShape {
    /// A head on rows of length `inputs`.
    pub fn new(inputs: usize, layers: impl Into<Vec<LayerConfig>>) -> Self {
        Self { inputs, layers: layers.into() }
    }

    /// Length of an output row.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(self.inputs, |layer| layer.outputs)
    }

    fn parameters(&self) -> f64 {
        let inputs = std::iter::once(self.inputs).chain(self.layers.iter().map(|layer| layer.outputs));
        inputs.zip(&self.layers).map(|(inputs, layer)| (inputs as f64 + 3.0) * layer.outputs as f64).sum()
    }

    /// A linear layer keeps its input, a batch norm and an activation theirs.
    fn kept(&self, rows: f64) -> f64 {
        let of_layer = |layer: &LayerConfig| {
            let norm = f64::from(u8::from(layer.norm != Norm::None));
            let activation = f64::from(u8::from(layer.activation != crate::Activation::None));
            (1.0 + norm + activation) * layer.outputs as f64
        };
        rows * (self.inputs as f64 + self.layers.iter().map(of_layer).sum::<f64>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_has_a_weight_and_keeps_its_input_and_that_of_its_norm_and_activation() {
        let hidden = LayerConfig::new(8).norm(Norm::Affine).relu();
        let head = HeadShape::new(4, [hidden, LayerConfig::new(2)]);
        assert_eq!(head.outputs(), 2);
        let footprint = Footprint { teacher_heads: Some(1), ..Footprint::of_heads([head.clone(), head]) };
        assert_eq!(footprint.parameters(), 2.0 * (7.0 * 8.0 + 11.0 * 2.0));
        assert_eq!(footprint.teacher_parameters(), footprint.parameters() / 2.0);
        assert_eq!(footprint.kept(10.0), 2.0 * 10.0 * (4.0 + 3.0 * 8.0 + 2.0));
    }
}
