//! Teachers that follow a student.

use anyhow::Result;
use ssl_core::{Teacher, named};
use ssl_testing::tensors::{array, device};
use ssl_testing::{Case, Outputs};

use super::Op;
use super::tree::Tree;

pub(super) const OPS: &[(&str, Op)] = &[("update", update)];

fn update(case: &Case) -> Result<Outputs> {
    let device = device();
    let mut teacher = Teacher::from_student(&Tree::new(case.under("in.teacher"), &device)?);
    let mut outputs = Outputs::new();
    for (step, momentum) in case.param::<Vec<f64>>("momentum")?.into_iter().enumerate() {
        let student = Tree::new(case.under(&format!("in.student.{step}")), &device.clone().autodiff())?;
        teacher = teacher.follow(&student, momentum);
        for (path, data) in named::collect(teacher.network()) {
            outputs.insert(format!("out.teacher.{step}.{path}"), array(&data));
        }
    }
    Ok(outputs)
}
