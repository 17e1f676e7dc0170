//! Tensors across all processes that train together.
//!
//! The convention: a process gathers plain values, keeps its own rows tracked, and computes the loss of all images. The
//! gradients of all processes then add up to those of the whole batch, and no backward pass waits for another process.
//! Synchronised batch norm is the one exception, see [`all_reduce_sum`].
//!
//! With a single process, every function here returns its input.

mod statistics;

use burn::tensor::{Int, Tensor};
use ssl_kernels::Group;
pub use ssl_kernels::ops::all_reduce_sum;
pub use statistics::average_statistics;

/// The rows of all processes, in rank order. Gradients flow only to the rows of this process.
///
/// # Shapes
/// - `rows`: `[batch, dim]`, the same number in each process
/// - returns: `[size · batch, dim]`
pub fn gather(rows: Tensor<2>, group: &Group) -> Tensor<2> {
    if group.is_solo() {
        return rows;
    }
    let [count, _] = rows.dims();
    let all = group.all_gather(rows.clone().without_autodiff());
    let (start, end) = (group.rank() * count, (group.rank() + 1) * count);
    let rest = |from: usize, to: usize| {
        let part = all.clone().narrow(0, from, to - from);
        if rows.is_autodiff() { part.autodiff() } else { part }
    };
    let mut parts = Vec::new();
    if start > 0 {
        parts.push(rest(0, start));
    }
    parts.push(rows.clone());
    if end < all.dims()[0] {
        parts.push(rest(end, all.dims()[0]));
    }
    Tensor::cat(parts, 0)
}

/// [`gather`] for the rows of several views.
pub fn gather_each(views: Vec<Tensor<2>>, group: &Group) -> Vec<Tensor<2>> {
    views.into_iter().map(|rows| gather(rows, group)).collect()
}

/// The labels of all processes, `[size · batch]`.
pub fn gather_labels(labels: Tensor<1, Int>, group: &Group) -> Tensor<1, Int> {
    if group.is_solo() {
        return labels;
    }
    // Labels are far below 2²⁴, up to which float32 holds every whole number.
    group.all_gather(labels.float().unsqueeze_dim(1)).squeeze_dim::<1>(1).int()
}

/// The images of all processes, `[size · batch, channel, height, width]`, without gradient.
pub fn gather_images(images: Tensor<4>, group: &Group) -> Tensor<4> {
    if group.is_solo() {
        return images;
    }
    let [_, channels, height, width] = images.dims();
    let rows: Tensor<2> = images.without_autodiff().flatten(1, 3);
    let all = group.all_gather(rows);
    let [count, _] = all.dims();
    all.reshape([count, channels, height, width])
}

/// This process's part of a tensor whose first axis runs over the images of all processes.
pub fn share<const D: usize>(all: Tensor<D>, group: &Group) -> Tensor<D> {
    if group.is_solo() {
        return all;
    }
    let count = all.dims()[0] / group.size();
    all.narrow(0, group.rank() * count, count)
}

/// The mean over all processes, without gradient.
///
/// # Shapes
/// - `values` and the result: `[value]`
pub fn mean(values: Tensor<1>, group: &Group) -> Tensor<1> {
    if group.is_solo() {
        return values;
    }
    group.all_reduce_sum(values.without_autodiff()).div_scalar(group.size() as f64)
}

/// The mean over all processes, with the gradient of this process's part of it.
///
/// # Shapes
/// - `values` and the result: `[value]`
pub fn mean_with_own(values: Tensor<1>, group: &Group) -> Tensor<1> {
    if group.is_solo() {
        return values;
    }
    let plain = values.clone().without_autodiff();
    let others = group.all_reduce_sum(plain.clone()) - plain;
    let others = if values.is_autodiff() { others.autodiff() } else { others };
    (values + others).div_scalar(group.size() as f64)
}

/// A loss over the images of all processes, as a term of one that is a mean over the images of each process: gradients of such a
/// loss are averaged over processes, and those of this term have to be summed.
///
/// # Shapes
/// - `loss` and the result: `[1]`, the same value
pub fn as_share(loss: Tensor<1>, group: &Group) -> Tensor<1> {
    if group.is_solo() {
        return loss;
    }
    let zero = loss.clone() - loss.clone().without_autodiff();
    loss + zero.mul_scalar(group.size() as f64 - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceSpec;

    #[test]
    fn a_term_of_the_group_keeps_its_value_and_counts_once_for_every_process() {
        let gradients = ssl_testing::ranks(3, |group| {
            let device = DeviceSpec::Flex.open().expect("flex is compiled in").autodiff();
            let own = Tensor::<2>::full([1, 1], group.rank() as f32, &device).require_grad();
            let loss = gather(own.clone(), &group).square().sum();
            let term = as_share(loss.clone(), &group);
            assert_eq!(term.clone().into_scalar::<f32>(), loss.into_scalar::<f32>());
            own.grad(&term.backward()).expect("its own row").into_scalar::<f32>()
        });
        // Three times 2 x, of which the mean over processes is 2 x where only one has the row.
        assert_eq!(gradients, [0.0, 6.0, 12.0]);
    }

    #[test]
    fn a_mean_over_processes_has_the_gradient_of_its_own_part() {
        let found = ssl_testing::ranks(2, |group| {
            let device = DeviceSpec::Flex.open().expect("flex is compiled in").autodiff();
            let own = Tensor::<1>::full([1], 1.0 + group.rank() as f32, &device).require_grad();
            let mean = mean_with_own(own.clone(), &group);
            let gradient = own.grad(&mean.clone().square().sum().backward()).expect("its own value");
            (mean.into_scalar::<f32>(), gradient.into_scalar::<f32>())
        });
        assert_eq!(found, [(1.5, 1.5), (1.5, 1.5)]);
    }
}
