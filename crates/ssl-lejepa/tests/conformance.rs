//! Checks SIGReg and the loss against the golden values of the conformance suite and float64 loops.

use burn::tensor::{Tensor, Tolerance};
use ssl_lejepa::{LeJepaInput, LeJepaLoss, Loss, SigReg};
use ssl_testing::oracle::{Rows, gradient, rows};
use ssl_testing::tensors::of_rows;
use ssl_testing::{Case, CaseError, LossInputs};

fn sigreg(case: &Case) -> Result<SigReg, CaseError> {
    Ok(SigReg::new(case.param("knots")?, case.param("t_max")?))
}

#[test]
fn sigreg_and_its_gradient_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "sigreg") {
        let mut inputs = LossInputs::of(&case);
        let (proj, slices) = (inputs.take_one("proj")?, inputs.take_one::<2>("slices")?);
        let loss = sigreg(&case)?.forward(proj, slices.inner());
        case.assert_passes(&inputs.outputs(loss)?);
    }
    Ok(())
}

#[test]
fn the_loss_and_its_gradients_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "lejepa") {
        let mut inputs = LossInputs::of(&case);
        let (global, local) = (inputs.take_one::<3>("global")?, inputs.take_one::<3>("local")?);
        let slices = inputs.take_one::<2>("slices")?.inner();
        let global_views = global.dims()[0];
        let input = LeJepaInput { proj: Tensor::cat(vec![global, local], 0), global_views, slices };
        let loss = LeJepaLoss::new(case.param("lambda")?, sigreg(&case)?).forward(input);
        case.assert_passes(&inputs.outputs(loss)?);
    }
    Ok(())
}

/// SIGReg of one view as loops over slices, knots and images.
fn loops(proj: &Rows, slices: &Rows, knots: usize, t_max: f64) -> f64 {
    let (batch, count, dt) = (proj.len() as f64, slices[0].len(), t_max / (knots - 1) as f64);
    let mut sum = 0.0;
    for slice in 0..count {
        let x: Vec<f64> = proj
            .iter()
            .map(|row| row.iter().zip(slices).map(|(z, slice_of)| z * slice_of[slice]).sum())
            .collect();
        for knot in 0..knots {
            let t = knot as f64 * dt;
            let phi = (-t * t / 2.0).exp();
            let real = x.iter().map(|x| (t * x).cos()).sum::<f64>() / batch - phi;
            let imaginary = x.iter().map(|x| (t * x).sin()).sum::<f64>() / batch;
            let weight = if knot == 0 || knot == knots - 1 { dt } else { 2.0 * dt };
            sum += batch * weight * phi * (real.powi(2) + imaginary.powi(2));
        }
    }
    sum / count as f64
}

#[test]
fn sigreg_and_its_gradient_are_those_of_the_loops_in_float64() {
    for (batch, dim, count, knots, t_max) in [(6, 3, 4, 17, 3.0), (2, 5, 1, 2, 1.0), (9, 2, 3, 5, 4.0)] {
        let (proj, slices) = (rows(batch, dim, 1), rows(dim, count, 2));
        let leaf = of_rows(&proj);
        let loss = SigReg::new(knots, t_max).forward(leaf.clone().unsqueeze(), of_rows(&slices).inner());
        let want = loops(&proj, &slices, knots, t_max);
        let got = f64::from(loss.clone().into_scalar::<f32>());
        assert!((got - want).abs() < 1e-5 * want.max(1.0), "{got} is not {want}");

        let got = leaf.grad(&loss.backward()).expect("a leaf").into_data();
        let want = of_rows(&gradient(|proj| loops(proj, &slices, knots, t_max), &proj)).into_data();
        got.assert_approx_eq::<f32>(&want, Tolerance::absolute(1e-4).set_relative(1e-4));
    }
}
