//! Exponential function and normal distribution, in a form that compilers turn into vector instructions.
//!
//! Products and sums are rounded separately, so results have the same bits on every processor.

/// `e^x` with a relative error of at most 2e-7; 0 below -87.3, where float32 has few bits left.
///
/// `x` must not exceed 88.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// Adding it rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // The first ten bits of ln 2, so that products with small integers are exact, and the rest.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // Cephes, expf.c: minimax on ±ln(2) / 2.
    const TERMS: [f32; 6] =
        [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let bounded = if x < -87.3 { -87.3 } else { x };
    let shifted = bounded * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = bounded - whole * LN2[0] - whole * LN2[1];
    let series = TERMS.iter().fold(0.0, |sum, term| sum * rest + term);
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    let value = (series * rest * rest + rest + 1.0) * power;
    if x < -87.3 { 0.0 } else { value }
}

/// Distribution function and density of the standard normal distribution.
///
/// The distribution function has an absolute error of at most 2e-7.
#[inline(always)]
pub(super) fn normal(x: f32) -> (f32, f32) {
    // erfc(z) = exp(-z²) · t · P(t), t = 1 / (1 + 0.39 z), z = |x| / sqrt(2); P is our own fit.
    const TERMS: [f32; 6] =
        [-0.227_536_95, 0.886_663_7, -0.635_399_1, 0.649_558_4, 0.091_388_79, 0.235_325_16];
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.39 * z);
    let bell = exp(-0.5 * x * x);
    let tail = 0.5 * bell * t * TERMS.iter().fold(0.0, |sum, term| sum * t + term);
    let share = if x < 0.0 { tail } else { 1.0 - tail };
    (share, bell * 0.398_942_3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_has_the_precision_of_float32() {
        for step in -87_000..88_000 {
            let x = step as f32 * 1e-3;
            let want = f64::from(x).exp();
            let error = (f64::from(exp(x)) - want).abs() / want;
            assert!(error < 2e-7, "exp({x}): relative error {error:e}");
        }
        assert_eq!((exp(0.0), exp(-100.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn the_distribution_is_the_integral_of_the_density() {
        // Simpson's rule from -12, where nothing is left below.
        let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let (width, mut share) = (1e-3, 0.0);
        for step in 0..24_000 {
            let left = f64::from(step) * width - 12.0;
            share +=
                width / 6.0 * (density(left) + 4.0 * density(left + width / 2.0) + density(left + width));
            let right = left + width;
            let (ours, bell) = normal(right as f32);
            assert!((f64::from(ours) - share).abs() < 2e-7, "normal({right}) is {ours}, expected {share}");
            assert!((f64::from(bell) - density(right)).abs() < 1e-7, "density at {right}");
        }
        assert!(normal(f32::NAN).0.is_nan());
        assert_eq!((normal(f32::INFINITY).0, normal(f32::NEG_INFINITY).0), (1.0, 0.0));
    }
}
