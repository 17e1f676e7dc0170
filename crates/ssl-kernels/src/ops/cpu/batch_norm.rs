//! Batch normalisation and the operation after it, as one job per channel, forward and backward.
//!
//! ```text
//! y = act(weight · x̂ + bias + shortcut),   x̂ = (x − mean) · scale,   scale = 1 / sqrt(var + eps)
//! ```

mod channel;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{DispatchTensor, TensorMetadata};
use burn::tensor::{Device, Tensor};

use super::parallel::map;
use super::pool::any_values;
use super::simd::dispatch;
use super::{Bridge, Host, Tracked, owned, tensor, tracked};
use crate::ops::any_rank::AnyRank;
use channel::{GradientSums, Layout, Moments};

/// The output, the mean and the variance; see [`batch_norm_train`](crate::ops::batch_norm_train) and the related functions.
pub(in crate::ops) fn batch_norm_train<B: Host>(
    x: AnyRank,
    weight: Tensor<1>,
    bias: Tensor<1>,
    shortcut: Option<AnyRank>,
    relu: bool,
    eps: f64,
) -> (AnyRank, [Tensor<1>; 2])
where
    DispatchTensor: Bridge<B>,
{
    let added = shortcut.is_some();
    // Without a shortcut, a constant takes the place of its node.
    let shortcut = shortcut.unwrap_or_else(|| Tensor::<1>::zeros([1], &x.device().inner()).into());
    let plain =
        ![x.device(), weight.device(), bias.device(), shortcut.device()].iter().any(Device::is_autodiff);
    let (x, shortcut) = (tracked::<B>(x), tracked::<B>(shortcut));
    let (weight, bias) = (tracked::<B>(weight), tracked::<B>(bias));

    let saved = Normalised::<B>::of(
        B::contiguous(x.primitive()),
        B::contiguous(weight.primitive()),
        &B::contiguous(bias.primitive()),
        added.then(|| B::contiguous(shortcut.primitive())).as_ref(),
        relu,
        eps,
    );
    let vector = |value: fn(&Moments) -> f32| {
        let values: Vec<f32> = saved.moments.iter().map(value).collect();
        Tensor::from_primitive::<B>(tensor::<B>(values, [saved.moments.len()]))
    };
    let statistics = [vector(|m| m.mean), vector(|m| m.variance)];
    let output = saved.output.clone();
    if plain {
        return (AnyRank::of::<B>(output), statistics);
    }
    let nodes = [x.node(), weight.node(), bias.node(), shortcut.node()];
    let output = match Normalisation.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(saved.for_backward(), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    (AnyRank::of::<Tracked<B>>(output), statistics)
}

/// The results of the forward pass.
struct Normalised<B: Host> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    moments: Vec<Moments>,
    output: FloatTensor<B>,
    added: bool,
    relu: bool,
}

impl<B: Host> Normalised<B> {
    fn of(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        bias: &FloatTensor<B>,
        shortcut: Option<&FloatTensor<B>>,
        relu: bool,
        eps: f64,
    ) -> Self {
        let layout = Layout::of(&x.shape().to_vec());
        if let Some(shortcut) = shortcut {
            assert_eq!(shortcut.shape(), x.shape(), "batch norm: shape of the shortcut and of the input");
        }
        let mut output = any_values(x.shape().num_elements());
        let (values, shortcut) = (B::values(&x), shortcut.map(B::values));
        let (weights, biases) = (B::values(&weight), B::values(bias));
        let channel = |(channel, output)| {
            let (weight, bias) = (weights[channel], biases[channel]);
            dispatch(channel::Forward {
                layout,
                channel,
                x: values,
                shortcut,
                relu,
                weight,
                bias,
                eps,
                output,
            })
        };
        let moments = map::<B, _, _>(layout.planes_mut(&mut output).into_iter().enumerate(), channel);
        let output = tensor::<B>(output, x.shape().to_vec());
        Self { x, weight, moments, output, added: shortcut.is_some(), relu }
    }

    /// The part that the backward pass needs.
    fn for_backward(self) -> SavedForBackward<B> {
        let Self { x, weight, moments, output, added, relu } = self;
        SavedForBackward { x, weight, moments, output: relu.then_some(output), added }
    }
}

#[derive(Clone, Debug)]
struct SavedForBackward<B: Host> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    moments: Vec<Moments>,
    /// The output, if ReLU was applied.
    output: Option<FloatTensor<B>>,
    /// Whether a shortcut was added.
    added: bool,
}

#[derive(Debug)]
struct Normalisation;

impl<B: Host> Backward<B, 4> for Normalisation {
    type State = SavedForBackward<B>;

    fn backward(
        self,
        ops: Ops<SavedForBackward<B>, 4>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [x_node, weight_node, bias_node, shortcut_node] = ops.parents;
        let (dx, dshortcut, sums) = ops.state.gradients(grads.consume::<B>(&ops.node));
        let dw: Vec<f32> = sums.iter().map(|s| s.with_normalised as f32).collect();
        let db: Vec<f32> = sums.iter().map(|s| s.plain as f32).collect();
        let channels = [sums.len()];
        let mut register = |node: Option<NodeId>, gradient: FloatTensor<B>| {
            if let Some(node) = node {
                grads.register::<B>(node, gradient);
            }
        };
        register(x_node.map(|node| node.id), dx);
        register(weight_node.map(|node| node.id), tensor::<B>(dw, channels));
        register(bias_node.map(|node| node.id), tensor::<B>(db, channels));
        if let Some(dshortcut) = dshortcut {
            register(shortcut_node.map(|node| node.id), dshortcut);
        }
    }
}

impl<B: Host> SavedForBackward<B> {
    /// Gradients of the input and of the shortcut, if any, and the sums that are the gradients of bias and weight.
    fn gradients(
        self,
        gradient: FloatTensor<B>,
    ) -> (FloatTensor<B>, Option<FloatTensor<B>>, Vec<GradientSums>) {
        let shape = self.x.shape();
        let layout = Layout::of(&shape.to_vec());
        let mut gradient = owned::<B>(gradient);
        let mut dx = any_values(if self.added { shape.num_elements() } else { 0 });
        let mut dx_planes = self.added.then(|| layout.planes_mut(&mut dx));
        let planes = layout.planes_mut(B::own_values(&mut gradient).expect("made one's own above"));
        let (x, y) = (B::values(&self.x), self.output.as_ref().map(B::values));
        let weights = B::values(&self.weight);
        let jobs: Vec<_> = planes
            .into_iter()
            .enumerate()
            .map(|(channel, gradient)| channel::Backward {
                layout,
                channel,
                x,
                y,
                moments: self.moments[channel],
                weight: weights[channel],
                gradient,
                dx: dx_planes.as_mut().map(|planes| std::mem::take(&mut planes[channel])),
            })
            .collect();
        let sums = map::<B, _, _>(jobs, dispatch);
        match self.added {
            true => (tensor::<B>(dx, shape.to_vec()), Some(gradient), sums),
            false => (gradient, None, sums),
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use crate::ops::comparison::{assert_close, on_every_host, operand, random, results};
    use crate::ops::{batch_norm_relu_train, batch_norm_train};
    use burn::tensor::{Device, FloatDType, Tensor, TensorData};

    /// The operation after the normalisation.
    #[derive(Clone, Copy, Debug)]
    enum Then {
        Nothing,
        Relu,
        AddRelu,
    }

    fn run<const D: usize>(shape: [usize; D], then: Then, dtype: FloatDType) -> Vec<TensorData> {
        let x = operand(&(random(shape, 1) * 4.0 + 3.0), dtype);
        let shortcut = operand(&(random(shape, 2) * 3.0), dtype);
        let row = |seed| random([shape[1]], seed);
        let (weight, bias) = (operand(&(row(3) * 0.5 + 1.0), dtype), operand(&row(4), dtype));
        let (input, w, b) = (x.clone(), weight.clone(), bias.clone());
        let out = match then {
            Then::Nothing => batch_norm_train(input, w, b, 1e-5),
            Then::Relu => batch_norm_relu_train(input, w, b, None, 1e-5),
            Then::AddRelu => batch_norm_relu_train(input, w, b, Some(shortcut.clone()), 1e-5),
        };
        // Squared: whether a value is just above 0 or not is a matter of rounding, but there the square has no slope.
        let squared = out.output.clone() * out.output.clone();
        let mut results = match then {
            Then::AddRelu => results!(squared, x, weight, bias, shortcut),
            Then::Nothing | Then::Relu => results!(squared, x, weight, bias),
        };
        results.push(out.output.inner().into_data());
        results.extend([out.mean, out.variance].map(|values| values.without_autodiff().into_data()));
        results
    }

    fn check<const D: usize>(shape: [usize; D]) {
        for then in [Then::Nothing, Then::Relu, Then::AddRelu] {
            let run = |dtype| run(shape, then, dtype);
            let about = format!("{shape:?}, {then:?}");
            assert_close(&run(FloatDType::F32), &run(FloatDType::F64), 3e-6, &about);
        }
    }

    #[test]
    fn outputs_statistics_and_gradients_are_those_of_float64() {
        on_every_host(|| {
            check([6, 3, 7, 5]);
            check([4, 2, 8, 8]);
            check([9, 5]);
            check([1, 3, 17, 31]);
        });
    }

    #[test]
    fn a_large_offset_does_not_spoil_the_variance() {
        let device = Device::flex();
        let x = Tensor::<2>::from_floats([[1000.0], [1001.0], [1002.0], [1003.0]], &device);
        let out = batch_norm_train(x, Tensor::ones([1], &device), Tensor::zeros([1], &device), 1e-5);
        assert!((out.variance.into_scalar::<f32>() - 1.25).abs() < 1e-5);
    }
}
