//! The scalar product of two rows.

/// Sums that run side by side, as many as the widest vector has.
const SIDE: usize = 16;

/// `Σ a · b`, in the same order whatever the vectors.
#[inline(always)]
pub(super) fn scalar_product(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<SIDE>(), b.as_chunks::<SIDE>());
    let mut sums = [0.0; SIDE];
    for (a, b) in a.iter().zip(b) {
        for i in 0..SIDE {
            sums[i] += a[i] * b[i];
        }
    }
    for (sum, (a, b)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *sum += a * b;
    }
    sums.iter().sum()
}
