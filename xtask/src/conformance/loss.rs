//! Losses and their gradients.

use anyhow::{Result, ensure};
use burn::tensor::Tensor;
use ssl_barlow_twins::barlow_twins as barlow_twins_loss;
use ssl_byol::byol as byol_loss;
use ssl_core::Loss;
use ssl_core::math::NORMALIZE_EPS;
use ssl_dino::{dino as dino_loss, mean_logits, next_center};
use ssl_moco::{moco as moco_loss, moco_v3 as moco_v3_loss};
use ssl_simclr::{DistillationInput, DistillationLoss, nt_xent as simclr_loss};
use ssl_simsiam::simsiam as simsiam_loss;
use ssl_supcon::sup_con as sup_con_loss;
use ssl_swav::{sinkhorn as sinkhorn_codes, swav as swav_loss};
use ssl_testing::{Case, Outputs};

use super::Op;
use super::values::{LossOutputs, array, data, device, leaf, tensor};

pub(super) const OPS: &[(&str, Op)] = &[
    ("nt_xent", nt_xent),
    ("simclr_v2_distill", simclr_v2_distill),
    ("info_nce_queue", info_nce_queue),
    ("moco_v3", moco_v3),
    ("byol", byol),
    ("simsiam", simsiam),
    ("sup_con", sup_con),
    ("barlow_twins", barlow_twins),
    ("sinkhorn", sinkhorn),
    ("swav", swav),
    ("dino", dino),
];

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

fn info_nce_queue(case: &Case) -> Result<Outputs> {
    expect_normalize_eps(case, NORMALIZE_EPS)?;
    let (q, k) = (leaf::<2>(case, "in.q")?, leaf::<2>(case, "in.k")?);
    let queue = tensor::<2>(case, "in.queue")?;
    let loss = moco_loss(q.clone(), k, queue, case.param("temperature")?);
    Ok(LossOutputs::of(loss).gradient("q", &q).done())
}

fn moco_v3(case: &Case) -> Result<Outputs> {
    expect_normalize_eps(case, NORMALIZE_EPS)?;
    let [q1, q2, k1, k2] = four(case, ["in.q1", "in.q2", "in.k1", "in.k2"])?;
    let loss = moco_v3_loss(q1.clone(), q2.clone(), k1, k2, case.param("temperature")?);
    Ok(LossOutputs::of(loss).gradient("q1", &q1).gradient("q2", &q2).done())
}

fn byol(case: &Case) -> Result<Outputs> {
    expect_normalize_eps(case, NORMALIZE_EPS)?;
    let [p1, p2, z1, z2] = four(case, ["in.p1", "in.p2", "in.z1", "in.z2"])?;
    let loss = byol_loss(p1.clone(), p2.clone(), z1, z2);
    Ok(LossOutputs::of(loss).gradient("p1", &p1).gradient("p2", &p2).done())
}

fn simsiam(case: &Case) -> Result<Outputs> {
    expect_normalize_eps(case, 1e-8)?;
    let [p1, p2, z1, z2] = four(case, ["in.p1", "in.p2", "in.z1", "in.z2"])?;
    let loss = simsiam_loss(p1.clone(), p2.clone(), z1, z2);
    Ok(LossOutputs::of(loss).gradient("p1", &p1).gradient("p2", &p2).done())
}

fn sup_con(case: &Case) -> Result<Outputs> {
    expect_normalize_eps(case, NORMALIZE_EPS)?;
    let z = leaf::<3>(case, "in.z")?;
    let device = device()?;
    let labels = match case.param("labels")? {
        true => Some(Tensor::from_data(data(case.tensor("in.labels")?), &device)),
        false => None,
    };
    let loss = sup_con_loss(z.clone(), labels, case.param("temperature")?, case.param("base_temperature")?);
    Ok(LossOutputs::of(loss).gradient("z", &z).done())
}

fn four(case: &Case, [a, b, c, d]: [&str; 4]) -> Result<[Tensor<2>; 4]> {
    Ok([leaf(case, a)?, leaf(case, b)?, leaf(case, c)?, leaf(case, d)?])
}

fn barlow_twins(case: &Case) -> Result<Outputs> {
    let eps: f64 = case.param("eps")?;
    ensure!(eps == 1e-5, "eps is {eps}, expected 1e-5");
    let (z1, z2) = (leaf::<2>(case, "in.z1")?, leaf::<2>(case, "in.z2")?);
    let loss = barlow_twins_loss(z1.clone(), z2.clone(), case.param("lambda")?, case.param("scale")?);
    Ok(LossOutputs::of(loss).gradient("z1", &z1).gradient("z2", &z2).done())
}

fn sinkhorn(case: &Case) -> Result<Outputs> {
    let scores = leaf::<2>(case, "in.scores")?;
    let (iterations, take_last) = (case.param("iterations")?, case.param("take_last")?);
    let codes = sinkhorn_codes(scores, case.param("epsilon")?, iterations, take_last);
    Ok(Outputs::from([("out.codes".to_owned(), array(&codes.into_data()))]))
}

fn swav(case: &Case) -> Result<Outputs> {
    let assigned: Vec<usize> = case.param("crops_for_assign")?;
    ensure!(assigned == [0, 1], "codes are of the crops {assigned:?}, expected [0, 1]");
    let (scores, codes) = (leaves(case, "in.scores")?, leaves(case, "in.codes")?);
    let loss = swav_loss(&scores, &codes, case.param("temperature")?);
    Ok(with_gradients(LossOutputs::of(loss), "scores", &scores).done())
}

fn dino(case: &Case) -> Result<Outputs> {
    let (student, teacher) = (leaves(case, "in.student")?, leaves(case, "in.teacher")?);
    let center = tensor::<1>(case, "in.center")?;
    let temperatures = (case.param("student_temp")?, case.param("teacher_temp")?);
    let loss = dino_loss(&student, &teacher, center.clone(), temperatures.0, temperatures.1);
    let next = next_center(center, mean_logits(&teacher), case.param("center_momentum")?);
    let outputs = LossOutputs::of(loss).output("out.center", array(&next.into_data()));
    Ok(with_gradients(outputs, "student", &student).done())
}

/// The tensors `<name>.0`, `<name>.1`, and so on, each with a gradient.
fn leaves(case: &Case, name: &str) -> Result<Vec<Tensor<2>>> {
    (0..case.under(name).count()).map(|index| leaf::<2>(case, &format!("{name}.{index}"))).collect()
}

fn with_gradients(outputs: LossOutputs, name: &str, inputs: &[Tensor<2>]) -> LossOutputs {
    let add = |outputs: LossOutputs, (index, input)| outputs.gradient(&format!("{name}.{index}"), input);
    inputs.iter().enumerate().fold(outputs, add)
}

/// The smallest norm that a loss divides by is a constant here.
fn expect_normalize_eps(case: &Case, here: f64) -> Result<()> {
    let eps: f64 = case.param("normalize_eps")?;
    ensure!(eps == here, "normalize_eps is {eps}, expected {here}");
    Ok(())
}
