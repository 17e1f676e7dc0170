//! The evaluations agree with the golden values.

use burn::tensor::{Device, Tensor, TensorData};
use ssl_core::DeviceSpec;
use ssl_eval::{Features, KnnConfig, alignment, feature_std, knn_among, rankme, uniformity};
use ssl_testing::{Array, Case, Outputs};

fn device() -> Device {
    DeviceSpec::Flex.open().expect("flex is compiled in")
}

fn tensor(case: &Case, name: &str) -> Tensor<2> {
    let (shape, values) = case.f32(name).expect("a matrix of floats");
    Tensor::from_data(TensorData::new(values.to_vec(), shape.to_vec()), &device())
}

fn features(case: &Case, name: &str) -> Features {
    let labels = case.i64(&format!("in.{name}_labels")).expect("labels").1.to_vec();
    Features { values: tensor(case, &format!("in.{name}")), labels: Some(labels) }
}

fn check(case: &Case, outputs: Outputs) {
    for (name, comparison) in case.compare(&outputs).expect("all outputs computed") {
        assert!(comparison.passes(), "{}: {name} is off by {comparison:?}", case.name);
    }
}

fn check_value(op: &str, value: impl Fn(&Case) -> f64) {
    for case in Case::of("eval", op) {
        let value = Array::f32([], vec![value(&case) as f32]);
        check(&case, Outputs::from([("out.value".to_owned(), value)]));
    }
}

#[test]
fn knn_agrees_with_the_reference() {
    for case in Case::of("eval", "knn") {
        let param = |name: &str| case.param::<usize>(name).expect("a number");
        let config = KnnConfig { k: param("k"), temperature: case.param("temperature").expect("a number") };
        let classes = param("num_classes");
        let found = knn_among(classes, &features(&case, "bank"), &features(&case, "query"), &config);
        let found = found.expect("usable");
        let queries = found.scores.len();
        let scores = found.scores.concat().iter().map(|&score| score as f32).collect();
        let share = |share: f64| Array::f32([], vec![share as f32]);
        let outputs = [
            ("out.scores", Array::f32([queries, classes], scores)),
            ("out.pred", Array::i64([queries, classes.min(5)], found.predictions.concat())),
            ("out.top1", share(found.top1)),
            ("out.top5", share(found.top5)),
        ];
        check(&case, outputs.map(|(name, array)| (name.to_owned(), array)).into());
    }
}

#[test]
fn rankme_agrees_with_the_reference() {
    check_value("rankme", |case| rankme(tensor(case, "in.z"), case.param("eps").expect("a number")));
}

#[test]
fn feature_std_agrees_with_the_reference() {
    check_value("feature_std", |case| f64::from(feature_std(tensor(case, "in.z")).into_scalar::<f32>()));
}

#[test]
fn alignment_agrees_with_the_reference() {
    let alpha = |case: &Case| case.param("alpha").expect("a number");
    check_value("alignment", |case| alignment(tensor(case, "in.x"), tensor(case, "in.y"), alpha(case)));
}

#[test]
fn uniformity_agrees_with_the_reference() {
    check_value("uniformity", |case| uniformity(tensor(case, "in.x"), case.param("t").expect("a number")));
}
