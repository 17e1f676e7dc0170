//! How far embeddings are from a standard normal distribution.

use std::iter;

use burn::tensor::{Tensor, TensorData};
use ssl_core::{Draws, assert_shape};

/// Sketched isotropic Gaussian regularisation: how far the embeddings of a batch are from a standard normal distribution,
/// along random directions.
///
/// ```text
/// x    = proj · slice                            of each view and slice
/// stat = batch · Σ_k w_k · φ(t_k) · ( (mean cos(t_k · x) − φ(t_k))² + (mean sin(t_k · x))² )        over images
/// φ(t) = exp(−t² / 2),   t = linspace(0, t_max, knots),   w = dt · [1, 2, …, 2, 1]
/// ```
///
/// The integrand is even, so the weights of the trapezoidal rule cover `-t_max` to `t_max`.
///
/// # Source
/// Balestriero & LeCun 2025, <https://arxiv.org/abs/2511.08544>; official `MINIMAL.md`, `SIGReg`.
#[derive(Clone, Debug)]
pub struct SigReg {
    /// `t_k`, `φ(t_k)` and `w_k · φ(t_k)` of each knot.
    knots: Vec<[f64; 3]>,
}

impl SigReg {
    /// Creates the statistic with a number of knots, the last of which is at `t_max`.
    ///
    /// # Panics
    /// If there are fewer than two knots.
    pub fn new(knots: usize, t_max: f64) -> Self {
        assert!(knots > 1, "SIGReg: {knots} knots, expected at least 2");
        let dt = t_max / (knots - 1) as f64;
        let knot = |k: usize| {
            let t = k as f64 * dt;
            let phi = (-t * t / 2.0).exp();
            let weight = if k == 0 || k + 1 == knots { dt } else { 2.0 * dt };
            [t, phi, weight * phi]
        };
        Self { knots: (0..knots).map(knot).collect() }
    }

    /// The statistic, averaged over views and slices.
    ///
    /// # Shapes
    /// - `proj`: embeddings of each view, `[view, batch, dim]`, used as given
    /// - `slices`: directions of unit length, `[dim, slice]`
    /// - returns: `[1]`, at least 0; it grows with the batch unless the embeddings are normal
    ///
    /// # Panics
    /// If the two differ in `dim`.
    pub fn forward(&self, proj: Tensor<3>, slices: Tensor<2>) -> Tensor<1> {
        let ([views, batch, dim], [_, count]) = (proj.dims(), slices.dims());
        assert_shape!(slices, [dim, count]);
        let x = proj.reshape([views * batch, dim]).matmul(slices).reshape([views, batch, count]);
        let of_knot = |&[t, phi, weight]: &[f64; 3]| {
            let angle = x.clone().mul_scalar(t);
            let real = angle.clone().cos().mean_dim(1).sub_scalar(phi);
            let imaginary = angle.sin().mean_dim(1);
            (real.square() + imaginary.square()).mean().mul_scalar(weight)
        };
        // At t = 0 both characteristic functions are 1.
        let terms = self.knots.iter().skip(1).map(of_knot);
        let sum = terms.reduce(|sum, term| sum + term).expect("two knots or more");
        sum.mul_scalar(batch as f64)
    }
}

/// Random directions of unit length, `[dim, slice]`, uniformly distributed over the sphere: the draw `slices`.
pub(crate) fn slices(draws: &Draws, dim: usize, count: usize) -> TensorData {
    let mut values = draws.normal("slices", dim * count);
    for slice in 0..count {
        let places = || iter::successors(Some(slice), |place| Some(place + count)).take(dim);
        let length = places().map(|place| f64::from(values[place]).powi(2)).sum::<f64>().sqrt();
        places().for_each(|place| values[place] = (f64::from(values[place]) / length) as f32);
    }
    TensorData::new(values, [dim, count])
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssl_testing::tensors::device;

    fn value(statistic: Tensor<1>) -> f32 {
        statistic.into_scalar::<f32>()
    }

    fn directions(dim: usize, count: usize) -> Tensor<2> {
        Tensor::from_data(slices(&Draws::new(0, 0, 0), dim, count), &device())
    }

    /// Normal embeddings of one view, `[1, batch, dim]`.
    fn normal(batch: usize, dim: usize, seed: u64) -> Tensor<3> {
        let values = Draws::new(seed, 1, 0).normal("embeddings", batch * dim);
        Tensor::from_data(TensorData::new(values, [1, batch, dim]), &device())
    }

    #[test]
    fn slices_are_directions_of_unit_length_that_depend_on_the_step() {
        let lengths: Vec<f32> = directions(5, 7).square().sum_dim(0).into_data().iter().collect();
        assert!(
            lengths.len() == 7 && lengths.iter().all(|length| (length - 1.0).abs() < 1e-6),
            "{lengths:?}"
        );
        let of_step = |step| slices(&Draws::new(0, step, 0), 5, 7);
        assert_eq!(of_step(3), of_step(3));
        assert_ne!(of_step(3), of_step(4));
    }

    #[test]
    fn normal_embeddings_cost_little_and_collapsed_ones_grow_with_the_batch() {
        let (sigreg, slices) = (SigReg::new(17, 3.0), directions(4, 32));
        let of_normal = value(sigreg.forward(normal(256, 4, 0), slices.clone()));
        let collapsed =
            |batch: usize| value(sigreg.forward(Tensor::zeros([1, batch, 4], &device()), slices.clone()));
        assert!(of_normal < 2.0, "{of_normal}");
        assert!(collapsed(256) > 20.0 * of_normal, "{} of {of_normal}", collapsed(256));
        assert!((collapsed(256) / collapsed(64) - 4.0).abs() < 1e-3);
    }

    #[test]
    fn scale_and_shift_of_normal_embeddings_are_noticed() {
        let (sigreg, slices) = (SigReg::new(17, 3.0), directions(4, 32));
        let statistic = |z: Tensor<3>| value(sigreg.forward(z, slices.clone()));
        let z = normal(512, 4, 0);
        let fits = statistic(z.clone());
        for (name, other) in [("narrow", z.clone() * 0.5), ("wide", z.clone() * 2.0), ("shifted", z + 1.0)] {
            assert!(statistic(other) > 5.0 * fits, "{name}");
        }
    }

    #[test]
    fn views_are_tested_one_by_one() {
        // Together, both are as normal as one of them; each alone is not.
        let (sigreg, slices) = (SigReg::new(17, 3.0), directions(2, 16));
        let z = normal(256, 2, 0);
        let halves = Tensor::cat(vec![z.clone().abs(), z.clone().abs().neg()], 0);
        let fits = value(sigreg.forward(z, slices.clone()));
        assert!(value(sigreg.forward(halves, slices)) > 5.0 * fits);
    }
}
