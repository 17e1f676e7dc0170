//! Losses and their gradients.

use anyhow::{Result, ensure};
use ssl_core::Loss;
use ssl_core::math::NORMALIZE_EPS;
use ssl_simclr::{DistillationInput, DistillationLoss, nt_xent as simclr_loss};
use ssl_testing::{Case, Outputs};

use super::Op;
use super::values::{LossOutputs, leaf, tensor};

pub(super) const OPS: &[(&str, Op)] = &[("nt_xent", nt_xent), ("simclr_v2_distill", simclr_v2_distill)];

fn nt_xent(case: &Case) -> Result<Outputs> {
    expect_normalize_eps(case, NORMALIZE_EPS)?;
    let (z1, z2) = (leaf::<2>(case, "in.z1")?, leaf::<2>(case, "in.z2")?);
    let loss = simclr_loss(z1.clone(), z2.clone(), case.param("temperature")?);
    Ok(LossOutputs::of(loss).gradient("z1", &z1).gradient("z2", &z2).done())
}

fn simclr_v2_distill(case: &Case) -> Result<Outputs> {
    let student = leaf::<2>(case, "in.student")?;
    let teacher = tensor::<2>(case, "in.teacher")?;
    let loss =
        DistillationLoss { temperature: case.param("temperature")?, t2_scale: case.param("t2_scale")? };
    let loss = loss.forward(DistillationInput { student: student.clone(), teacher });
    Ok(LossOutputs::of(loss).gradient("student", &student).done())
}

/// The smallest norm that a loss divides by is a constant here.
fn expect_normalize_eps(case: &Case, here: f64) -> Result<()> {
    let eps: f64 = case.param("normalize_eps")?;
    ensure!(eps == here, "normalize_eps is {eps}, expected {here}");
    Ok(())
}
