//! Losses and their gradients.

use anyhow::{Result, ensure};
use burn::tensor::{Int, Tensor};
use ssl_barlow_twins::{BarlowTwinsInput, BarlowTwinsLoss};
use ssl_byol::{ByolInput, ByolLoss};
use ssl_core::loss::{
    DistillationInput, DistillationLoss, mean_logits, next_center, sinkhorn as sinkhorn_codes,
};
use ssl_core::math::NORMALIZE_EPS;
use ssl_core::patches::patchify;
use ssl_core::{HiddenPatches, Loss};
use ssl_dino::{DinoInput, DinoLoss};
use ssl_distill_features::{DistillFeaturesInput, DistillFeaturesLoss};
use ssl_ibot::ibot as ibot_loss;
use ssl_ijepa::{IJepaInput, IJepaLoss, targets_of};
use ssl_lejepa::{LeJepaInput, LeJepaLoss, SigReg};
use ssl_mae::{MaeInput, MaeLoss};
use ssl_moco::{MoCoInput, MoCoLoss, MoCoV3Input, MoCoV3Loss};
use ssl_msn::{MsnInput, MsnLoss};
use ssl_nnclr::{NnClrInput, NnClrLoss, nearest};
use ssl_simclr::{DclInput, DclLoss, NtXentInput, NtXentLoss};
use ssl_simmim::{SimMimInput, SimMimLoss};
use ssl_simsiam::{SimSiamInput, SimSiamLoss};
use ssl_supcon::{SupConInput, SupConLoss};
use ssl_swav::{SwavInput, SwavLoss};
use ssl_testing::tensors::{array, data, device, leaf, tensor};
use ssl_testing::{Case, LossInputs, Outputs};
use ssl_tico::{TiCoInput, TiCoLoss, next_covariance};
use ssl_vicreg::{VicRegInput, VicRegLoss};

use super::Op;

pub(super) const OPS: &[(&str, Op)] = &[
    ("nt_xent", nt_xent),
    ("dcl", dcl),
    ("dclw", dcl),
    ("simclr_v2_distill", simclr_v2_distill),
    ("info_nce_queue", info_nce_queue),
    ("moco_v3", moco_v3),
    ("nnclr", nnclr),
    ("byol", byol),
    ("simsiam", simsiam),
    ("sup_con", sup_con),
    ("barlow_twins", barlow_twins),
    ("vicreg", vicreg),
    ("tico", tico),
    ("sigreg", sigreg),
    ("lejepa", lejepa),
    ("sinkhorn", sinkhorn),
    ("swav", swav),
    ("dino", dino),
    ("distill_features", distill_features),
    ("ibot", ibot),
    ("koleo", koleo),
    ("dinov2_sinkhorn_center", dinov2_sinkhorn_center),
    ("mae", mae),
    ("ijepa", ijepa),
    ("simmim", simmim),
    ("msn", msn),
];

fn nt_xent(case: &Case) -> Result<Outputs> {
    expect_normalize_eps(case, NORMALIZE_EPS)?;
    let mut inputs = LossInputs::of(case);
    let [z1, z2] = inputs.take(["z1", "z2"])?;
    outputs(inputs, &NtXentLoss::new(case.param("temperature")?), NtXentInput { z1, z2 })
}

/// Both versions; a case of DCLW has a `sigma`.
fn dcl(case: &Case) -> Result<Outputs> {
    expect_normalize_eps(case, NORMALIZE_EPS)?;
    let mut inputs = LossInputs::of(case);
    let [z1, z2] = inputs.take(["z1", "z2"])?;
    let loss = DclLoss::new(case.param("temperature")?);
    let loss = case.param::<Option<f64>>("sigma")?.map_or(loss, |sigma| loss.with_weights(sigma));
    outputs(inputs, &loss, DclInput { z1, z2 })
}

fn simclr_v2_distill(case: &Case) -> Result<Outputs> {
    let mut inputs = LossInputs::of(case);
    let [student, teacher] = inputs.take(["student", "teacher"])?;
    let loss = DistillationLoss::new(case.param("temperature")?).with_t2_scale(case.param("t2_scale")?);
    outputs(inputs, &loss, DistillationInput { student, teacher })
}

fn info_nce_queue(case: &Case) -> Result<Outputs> {
    expect_normalize_eps(case, NORMALIZE_EPS)?;
    let mut inputs = LossInputs::of(case);
    let [q, k, queue] = inputs.take(["q", "k", "queue"])?;
    outputs(inputs, &MoCoLoss::new(case.param("temperature")?), MoCoInput { q, k, queue })
}

fn moco_v3(case: &Case) -> Result<Outputs> {
    expect_normalize_eps(case, NORMALIZE_EPS)?;
    let mut inputs = LossInputs::of(case);
    let [q1, q2, k1, k2] = inputs.take(["q1", "q2", "k1", "k2"])?;
    outputs(inputs, &MoCoV3Loss::new(case.param("temperature")?), MoCoV3Input { q1, q2, k1, k2 })
}

fn nnclr(case: &Case) -> Result<Outputs> {
    expect_normalize_eps(case, NORMALIZE_EPS)?;
    let mut inputs = LossInputs::of(case);
    let [z1, z2, p1, p2, queue] = inputs.take(["z1", "z2", "p1", "p2", "queue"])?;
    let [n1, n2] = [z1, z2].map(|z| nearest(z, queue.clone()));
    outputs(inputs, &NnClrLoss::new(case.param("temperature")?), NnClrInput { n1, n2, p1, p2 })
}

fn byol(case: &Case) -> Result<Outputs> {
    expect_normalize_eps(case, NORMALIZE_EPS)?;
    let mut inputs = LossInputs::of(case);
    let [p1, p2, z1, z2] = inputs.take(["p1", "p2", "z1", "z2"])?;
    outputs(inputs, &ByolLoss, ByolInput { p1, p2, z1, z2 })
}

fn simsiam(case: &Case) -> Result<Outputs> {
    expect_normalize_eps(case, 1e-8)?;
    let mut inputs = LossInputs::of(case);
    let [p1, p2, z1, z2] = inputs.take(["p1", "p2", "z1", "z2"])?;
    outputs(inputs, &SimSiamLoss, SimSiamInput { p1, p2, z1, z2 })
}

fn sup_con(case: &Case) -> Result<Outputs> {
    expect_normalize_eps(case, NORMALIZE_EPS)?;
    let mut inputs = LossInputs::of(case);
    let z = inputs.take_one("z")?;
    let labels = match case.param("labels")? {
        true => Some(Tensor::from_data(data(case.tensor("in.labels")?), &device())),
        false => None,
    };
    let loss = SupConLoss::new(case.param("temperature")?, case.param("base_temperature")?);
    outputs(inputs, &loss, SupConInput { z, labels })
}

fn barlow_twins(case: &Case) -> Result<Outputs> {
    let eps: f64 = case.param("eps")?;
    ensure!(eps == 1e-5, "eps is {eps}, expected 1e-5");
    let mut inputs = LossInputs::of(case);
    let [z1, z2] = inputs.take(["z1", "z2"])?;
    let loss = BarlowTwinsLoss::new(case.param("lambda")?, case.param("scale")?);
    outputs(inputs, &loss, BarlowTwinsInput { z1, z2 })
}

fn vicreg(case: &Case) -> Result<Outputs> {
    let eps: f64 = case.param("eps")?;
    ensure!(eps == 1e-4, "eps is {eps}, expected 1e-4");
    let mut inputs = LossInputs::of(case);
    let [z1, z2] = inputs.take(["z1", "z2"])?;
    let loss = VicRegLoss::new(case.param("lambda")?, case.param("mu")?, case.param("nu")?);
    outputs(inputs, &loss, VicRegInput { z1, z2 })
}

fn tico(case: &Case) -> Result<Outputs> {
    expect_normalize_eps(case, NORMALIZE_EPS)?;
    let mut inputs = LossInputs::of(case);
    let [z1, z2, covariance] = inputs.take(["z1", "z2", "cov"])?;
    let covariance = next_covariance(covariance, z1.clone(), case.param("beta")?);
    let next = array(&covariance.to_data());
    let mut outputs = outputs(inputs, &TiCoLoss::new(case.param("rho")?), TiCoInput { z1, z2, covariance })?;
    outputs.insert("out.cov".to_owned(), next);
    Ok(outputs)
}

fn sigreg(case: &Case) -> Result<Outputs> {
    let mut inputs = LossInputs::of(case);
    let (proj, slices) = (inputs.take_one("proj")?, inputs.take_one::<2>("slices")?);
    let sigreg = SigReg::new(case.param("knots")?, case.param("t_max")?);
    Ok(inputs.outputs(sigreg.forward(proj, slices.inner()))?)
}

fn lejepa(case: &Case) -> Result<Outputs> {
    let mut inputs = LossInputs::of(case);
    let (global, local) = (inputs.take_one::<3>("global")?, inputs.take_one::<3>("local")?);
    let slices = inputs.take_one::<2>("slices")?.inner();
    let sigreg = SigReg::new(case.param("knots")?, case.param("t_max")?);
    let global_views = global.dims()[0];
    let input = LeJepaInput { proj: Tensor::cat(vec![global, local], 0), global_views, slices };
    outputs(inputs, &LeJepaLoss::new(case.param("lambda")?, sigreg), input)
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
    let mut inputs = LossInputs::of(case);
    let (scores, codes) = (inputs.take_list("scores")?, inputs.take_list("codes")?);
    outputs(
        inputs,
        &SwavLoss::new(case.param("temperature")?),
        SwavInput { scores: scores.into(), codes: codes.into() },
    )
}

fn dino(case: &Case) -> Result<Outputs> {
    let mut inputs = LossInputs::of(case);
    let (student, teacher) = (inputs.take_list("student")?, inputs.take_list("teacher")?);
    let mean = mean_logits(Tensor::cat(teacher.clone(), 0));
    let loss = DinoLoss::new(case.param("student_temp")?, case.param("teacher_temp")?);
    let center = inputs.take_one("center")?;
    let mut outputs =
        outputs(inputs, &loss, DinoInput { student: student.into(), teacher: teacher.into(), center })?;
    let next = next_center(tensor(case, "in.center")?, mean, case.param("center_momentum")?);
    outputs.insert("out.center".to_owned(), array(&next.into_data()));
    Ok(outputs)
}

/// The term of hidden patches; that of class tokens is DINO's.
fn ibot(case: &Case) -> Result<Outputs> {
    let mut inputs = LossInputs::of(case);
    let [student, teacher] = inputs.take(["student", "teacher"])?;
    let mean = mean_logits(teacher.clone());
    let mask = Tensor::<3, Int>::from_data(data(case.tensor("in.mask")?), &device());
    let weights = HiddenPatches::of(mask.flatten::<2>(1, 2).greater_elem(0)).weights;
    let center = inputs.take_one("center")?;
    let (student_t, teacher_t) = (case.param("student_temp")?, case.param("teacher_temp")?);
    let mut outputs = inputs.outputs(ibot_loss(student, teacher, weights, center, student_t, teacher_t))?;
    let next = next_center(tensor(case, "in.center")?, mean, case.param("center_momentum")?);
    outputs.insert("out.center".to_owned(), array(&next.into_data()));
    Ok(outputs)
}

fn koleo(case: &Case) -> Result<Outputs> {
    let eps: f64 = case.param("eps")?;
    ensure!(eps == 1e-8, "eps is {eps}, expected 1e-8");
    let mut inputs = LossInputs::of(case);
    let loss = ssl_core::loss::koleo(inputs.take_one("x")?);
    Ok(inputs.outputs(loss)?)
}

fn dinov2_sinkhorn_center(case: &Case) -> Result<Outputs> {
    let teacher = leaf::<2>(case, "in.teacher")?;
    let [rows, _] = teacher.dims();
    let codes = sinkhorn_codes(teacher, case.param("teacher_temp")?, case.param("iterations")?, rows);
    Ok(Outputs::from([("out.codes".to_owned(), array(&codes.into_data()))]))
}

fn mae(case: &Case) -> Result<Outputs> {
    let eps: f64 = case.param("eps")?;
    ensure!(eps == 1e-6, "eps is {eps}, expected 1e-6");
    let mut inputs = LossInputs::of(case);
    let (images, pred, hidden) = (inputs.take_one("images")?, inputs.take_one("pred")?, hidden(case)?);
    let loss = MaeLoss::new(case.param("norm_pix_loss")?);
    let mut outputs = outputs(inputs, &loss, MaeInput { images, pred, hidden })?;
    let patches = patchify(tensor(case, "in.images")?, case.param("patch")?);
    outputs.insert("out.patches".to_owned(), array(&patches.into_data()));
    Ok(outputs)
}

fn ijepa(case: &Case) -> Result<Outputs> {
    let (beta, eps): (f64, f64) = (case.param("beta")?, case.param("layer_norm_eps")?);
    ensure!((beta, eps) == (1.0, 1e-5), "beta and eps are {beta} and {eps}, expected 1 and 1e-5");
    let contexts: usize = case.param("contexts")?;
    let mut inputs = LossInputs::of(case);
    let (pred, tokens) = (inputs.take_one("pred")?, inputs.take_one("tokens")?);
    let places = Tensor::<3, Int>::from_data(data(case.tensor("in.ids_target")?), &device());
    // Several contexts of an image are as many images, after one another within each block.
    let [blocks, batch, count] = places.dims();
    let places = places.unsqueeze_dim::<4>(1).expand([blocks, contexts, batch, count]);
    let places = places.reshape([blocks, contexts * batch, count]);
    let repeated = |tokens: Tensor<3>| Tensor::cat(vec![tokens; contexts], 0);
    let input = IJepaInput { pred, tokens: repeated(tokens), places: places.clone() };
    let mut outputs = outputs(inputs, &IJepaLoss, input)?;
    let target = targets_of(repeated(tensor(case, "in.tokens")?), places);
    outputs.insert("out.target".to_owned(), array(&target.into_data()));
    Ok(outputs)
}

fn distill_features(case: &Case) -> Result<Outputs> {
    expect_normalize_eps(case, NORMALIZE_EPS)?;
    let (beta, eps): (f64, f64) = (case.param("beta")?, case.param("layer_norm_eps")?);
    ensure!((beta, eps) == (1.0, 1e-5), "beta and eps are {beta} and {eps}, expected 1 and 1e-5");
    let mut inputs = LossInputs::of(case);
    // Tokens are rows.
    let [student, teacher] = match case.tensor("in.student")?.shape.len() {
        3 => {
            [inputs.take_one::<3>("student")?, inputs.take_one("teacher")?].map(|tokens| tokens.flatten(0, 1))
        }
        _ => inputs.take(["student", "teacher"])?,
    };
    let (distance, teacher_norm) = (case.param("distance")?, case.param("teacher_norm")?);
    outputs(
        inputs,
        &DistillFeaturesLoss { distance, teacher_norm },
        DistillFeaturesInput { student, teacher },
    )
}

fn msn(case: &Case) -> Result<Outputs> {
    expect_normalize_eps(case, NORMALIZE_EPS)?;
    let loss = MsnLoss {
        temperature: case.param("temperature")?,
        sharpen_temperature: case.param("target_sharpen_temperature")?,
        sinkhorn_iterations: case.param("sinkhorn_iterations")?,
        regularization_weight: case.param("regularization_weight")?,
    };
    let mut inputs = LossInputs::of(case);
    let [anchors, targets, prototypes] = inputs.take(["anchors", "targets", "prototypes"])?;
    outputs(inputs, &loss, MsnInput { anchors, targets, prototypes })
}

fn simmim(case: &Case) -> Result<Outputs> {
    let mut inputs = LossInputs::of(case);
    let (images, pred, hidden) = (inputs.take_one("images")?, inputs.take_one("pred")?, hidden(case)?);
    outputs(inputs, &SimMimLoss, SimMimInput { images, pred, hidden })
}

/// Which patches are hidden, as numbers.
fn hidden(case: &Case) -> Result<Tensor<2>> {
    Ok(Tensor::<2, Int>::from_data(data(case.tensor("in.mask")?), &device()).float())
}

/// The value of a loss, and its gradients for the inputs of a case.
fn outputs<L: Loss>(inputs: LossInputs<'_>, loss: &L, input: L::Input) -> Result<Outputs> {
    Ok(inputs.outputs(loss.forward(input))?)
}

/// Checks the smallest norm that a loss divides by, which is a constant here.
fn expect_normalize_eps(case: &Case, here: f64) -> Result<()> {
    let eps: f64 = case.param("normalize_eps")?;
    ensure!(eps == here, "normalize_eps is {eps}, expected {here}");
    Ok(())
}
