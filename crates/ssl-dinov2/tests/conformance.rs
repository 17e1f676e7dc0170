//! Checks KoLeo and Sinkhorn centring against the golden values of the conformance suite.

use ssl_dinov2::{koleo, sinkhorn};
use ssl_testing::tensors::{array, leaf};
use ssl_testing::{Case, CaseError, LossInputs, Outputs};

#[test]
fn koleo_and_its_gradient_are_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "koleo") {
        assert_eq!(case.param::<f64>("eps")?, 1e-8);
        let mut inputs = LossInputs::of(&case);
        let loss = koleo(inputs.take_one("x")?);
        case.assert_passes(&inputs.outputs(loss)?);
    }
    Ok(())
}

#[test]
fn sinkhorn_centring_is_golden() -> Result<(), CaseError> {
    for case in Case::of("loss", "dinov2_sinkhorn_center") {
        let teacher = leaf::<2>(&case, "in.teacher")?;
        let [rows, _] = teacher.dims();
        let codes = sinkhorn(teacher, case.param("teacher_temp")?, case.param("iterations")?, rows);
        case.assert_passes(&Outputs::from([("out.codes".to_owned(), array(&codes.into_data()))]));
    }
    Ok(())
}
