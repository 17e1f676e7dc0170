//! The Gaussian error linear unit.

use burn::tensor::{Device, Tensor, activation};

/// `x · Φ(x)`, element by element, in its exact form and with its exact gradient.
///
/// On backends without a kernel for it, Burn uses the gradient of the tanh approximation, which is off by up to 4e-4;
/// there this function uses the error function instead.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if has_kernel(&x.device()) { activation::gelu(x) } else { portable(x) }
}

#[allow(unused_variables)] // a build may have neither backend
fn has_kernel(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    if super::flex::serves(&[device]) {
        return true;
    }
    #[cfg(feature = "tch")]
    if super::libtorch::serves(&[device]) {
        return true;
    }
    false
}

/// The portable version, with the error function.
fn portable<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let twice_the_share = x.clone().mul_scalar(std::f64::consts::FRAC_1_SQRT_2).erf().add_scalar(1.0);
    x * twice_the_share.mul_scalar(0.5)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::{TensorData, Tolerance};

    #[test]
    fn both_forms_have_the_values_and_gradients_of_the_definition() {
        // x, Φ(x) and its derivative.
        let table = [
            [-2.0_f64, 0.022750132, 0.053990967],
            [-0.5, 0.308537539, 0.352065327],
            [0.0, 0.5, 0.398942280],
            [1.0, 0.841344746, 0.241970725],
            [3.0, 0.998650102, 0.004431848],
        ];
        let places = table.map(|[x, _, _]| x as f32);
        let want = TensorData::from(table.map(|[x, share, _]| (x * share) as f32));
        let slope = TensorData::from(table.map(|[x, share, density]| (share + x * density) as f32));
        for form in [gelu::<1>, portable::<1>] {
            let x = Tensor::<1>::from_floats(places, &Device::flex().autodiff()).require_grad();
            let y = form(x.clone());
            let gradient = x.grad(&y.clone().sum().backward()).expect("a gradient").into_data();
            let tolerance = Tolerance::absolute(1e-6);
            y.into_data().assert_approx_eq::<f32>(&want, tolerance);
            gradient.assert_approx_eq::<f32>(&slope, tolerance);
        }
    }
}
