//! Evaluation: k-NN and metrics of features.

use anyhow::{Result, ensure};
use ssl_core::math::{NORMALIZE_EPS, feature_std as mean_std};
use ssl_eval::{Features, KnnConfig, knn_among};
use ssl_testing::tensors::{loss_value, scalar, tensor};
use ssl_testing::{Array, Case, Outputs};

use super::Op;

pub(super) const OPS: &[(&str, Op)] = &[
    ("alignment", alignment),
    ("feature_std", feature_std),
    ("knn", knn),
    ("rankme", rankme),
    ("uniformity", uniformity),
];

fn knn(case: &Case) -> Result<Outputs> {
    let config = KnnConfig { k: case.param("k")?, temperature: case.param("temperature")? };
    let classes: usize = case.param("num_classes")?;
    let found = knn_among(classes, &features(case, "bank")?, &features(case, "query")?, &config)?;
    let queries = found.scores.len();
    let answers = found.predictions.first().map_or(0, Vec::len);
    let scores = found.scores.iter().flatten().map(|&score| score as f32).collect();
    Ok(Outputs::from([
        ("out.scores".to_owned(), Array::f32([queries, classes], scores)),
        ("out.pred".to_owned(), Array::i64([queries, answers], found.predictions.concat())),
        ("out.top1".to_owned(), scalar(found.top1)),
        ("out.top5".to_owned(), scalar(found.top5)),
    ]))
}

fn features(case: &Case, name: &str) -> Result<Features> {
    let (_, labels) = case.i64(&format!("in.{name}_labels"))?;
    Ok(Features { values: tensor(case, &format!("in.{name}"))?, labels: Some(labels.to_vec()) })
}

fn rankme(case: &Case) -> Result<Outputs> {
    Ok(value(ssl_eval::rankme(tensor(case, "in.z")?, case.param("eps")?)))
}

fn feature_std(case: &Case) -> Result<Outputs> {
    let eps: f64 = case.param("normalize_eps")?;
    ensure!(eps == NORMALIZE_EPS, "normalize_eps is {eps}, expected {NORMALIZE_EPS}");
    ensure!(case.param::<bool>("unbiased")?, "unbiased is false, expected true");
    Ok(Outputs::from([("out.value".to_owned(), loss_value(&mean_std(tensor(case, "in.z")?)))]))
}

fn alignment(case: &Case) -> Result<Outputs> {
    Ok(value(ssl_eval::alignment(tensor(case, "in.x")?, tensor(case, "in.y")?, case.param("alpha")?)))
}

fn uniformity(case: &Case) -> Result<Outputs> {
    Ok(value(ssl_eval::uniformity(tensor(case, "in.x")?, case.param("t")?)))
}

fn value(value: f64) -> Outputs {
    Outputs::from([("out.value".to_owned(), scalar(value))])
}
