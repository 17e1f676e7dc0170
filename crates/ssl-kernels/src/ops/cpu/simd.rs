//! Vectors of eight numbers, as instructions where the processor has them.

/// One pixel of sixteen channels: a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(in crate::ops::cpu) struct Lanes(pub(super) [f32; LANES]);

/// Channels of a block.
pub(in crate::ops::cpu) const LANES: usize = 16;

/// Work that is compiled once for every kind of vector.
///
/// `run` and all it calls must be `#[inline(always)]`: only what is inlined is compiled for the instructions in question.
pub(in crate::ops::cpu) trait Job {
    /// What the work results in.
    type Output;
    /// Does the work.
    fn run<V: Vector>(self) -> Self::Output;
}

/// Does the work with the widest vectors that this processor has.
pub(in crate::ops::cpu) fn dispatch<J: Job>(job: J) -> J::Output {
    #[cfg(test)]
    if PORTABLE.load(std::sync::atomic::Ordering::Relaxed) {
        return job.run::<Portable>();
    }
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        #[allow(unsafe_code)] // instructions beyond the baseline
        // SAFETY: the processor has both extensions, as just checked.
        return unsafe { avx2::run(job) };
    }
    job.run::<Portable>()
}

/// Whether the processor has the instructions of [`avx2`].
#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// The instructions that [`dispatch`] chooses, in words.
pub(crate) fn instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        return "AVX2";
    }
    "no vector instructions"
}

/// Whether tests do without the processor's vectors.
#[cfg(test)]
pub(in crate::ops::cpu) static PORTABLE: std::sync::atomic::AtomicBool =
    std::sync::atomic::AtomicBool::new(false);

/// Held by tests that set [`PORTABLE`], or compare bits.
#[cfg(all(test, feature = "flex"))]
pub(in crate::ops::cpu) fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Eight numbers.
pub(in crate::ops::cpu) trait Vector: Copy {
    /// All equal to `value`.
    fn splat(value: f32) -> Self;
    /// The first (`half` = 0) or last eight of a block's channels.
    fn load(from: &Lanes, half: usize) -> Self;
    /// The eight from `at` on.
    fn load_slice(from: &[f32; 8]) -> Self;
    /// The inverse of [`Vector::load`].
    fn store(self, to: &mut Lanes, half: usize);
    /// The inverse of [`Vector::load_slice`].
    fn store_slice(self, to: &mut [f32; 8]);
    /// `self + other`
    fn add(self, other: Self) -> Self;
    /// `self − other`
    fn sub(self, other: Self) -> Self;
    /// `self · other`
    fn mul(self, other: Self) -> Self;
    /// `self + a · b`
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// `self`, or 0 where it is below 0; what is no number stays.
    fn positive(self) -> Self;
    /// `self`, or 0 where `other` is not above 0.
    fn where_positive(self, other: Self) -> Self;
    /// Rows to columns.
    fn transpose(rows: [Self; 8]) -> [Self; 8];
}

/// Plain arithmetic, for any processor.
#[derive(Clone, Copy)]
pub(in crate::ops::cpu) struct Portable([f32; 8]);

impl Vector for Portable {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 8])
    }
    #[inline(always)]
    fn load(from: &Lanes, half: usize) -> Self {
        Self(std::array::from_fn(|i| from.0[half * 8 + i]))
    }
    #[inline(always)]
    fn load_slice(from: &[f32; 8]) -> Self {
        Self(*from)
    }
    #[inline(always)]
    fn store(self, to: &mut Lanes, half: usize) {
        to.0[half * 8..half * 8 + 8].copy_from_slice(&self.0);
    }
    #[inline(always)]
    fn store_slice(self, to: &mut [f32; 8]) {
        *to = self.0;
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + a.0[i] * b.0[i]))
    }
    #[inline(always)]
    fn positive(self) -> Self {
        Self(self.0.map(|v| if v < 0.0 { 0.0 } else { v }))
    }
    #[inline(always)]
    fn where_positive(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| if other.0[i] > 0.0 { self.0[i] } else { 0.0 }))
    }
    #[inline(always)]
    fn transpose(rows: [Self; 8]) -> [Self; 8] {
        std::array::from_fn(|i| Self(std::array::from_fn(|j| rows[j].0[i])))
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    #![allow(unsafe_code)] // SAFETY of every call here: `Avx2` is used inside of `run` alone, whose callers check the processor

    use std::arch::x86_64::*;

    use super::{Job, Lanes, Vector};

    #[target_feature(enable = "avx2,fma")]
    pub(in crate::ops::cpu) fn run<J: Job>(job: J) -> J::Output {
        job.run::<Avx2>()
    }

    #[derive(Clone, Copy)]
    struct Avx2(__m256);

    impl Vector for Avx2 {
        #[inline(always)]
        fn splat(value: f32) -> Self {
            Self(unsafe { _mm256_set1_ps(value) })
        }
        #[inline(always)]
        fn load(from: &Lanes, half: usize) -> Self {
            let from: &[f32] = &from.0[half * 8..half * 8 + 8];
            Self(unsafe { _mm256_load_ps(from.as_ptr()) })
        }
        #[inline(always)]
        fn load_slice(from: &[f32; 8]) -> Self {
            Self(unsafe { _mm256_loadu_ps(from.as_ptr()) })
        }
        #[inline(always)]
        fn store(self, to: &mut Lanes, half: usize) {
            let to: &mut [f32] = &mut to.0[half * 8..half * 8 + 8];
            unsafe { _mm256_store_ps(to.as_mut_ptr(), self.0) }
        }
        #[inline(always)]
        fn store_slice(self, to: &mut [f32; 8]) {
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), self.0) }
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            Self(unsafe { _mm256_add_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            Self(unsafe { _mm256_sub_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            Self(unsafe { _mm256_mul_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn mul_add(self, a: Self, b: Self) -> Self {
            Self(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
        }
        #[inline(always)]
        fn positive(self) -> Self {
            // The second operand is the result where one is no number.
            Self(unsafe { _mm256_max_ps(_mm256_setzero_ps(), self.0) })
        }
        #[inline(always)]
        fn where_positive(self, other: Self) -> Self {
            Self(unsafe { _mm256_and_ps(self.0, _mm256_cmp_ps::<_CMP_GT_OQ>(other.0, _mm256_setzero_ps())) })
        }
        #[inline(always)]
        fn transpose(r: [Self; 8]) -> [Self; 8] {
            unsafe {
                let pair = |a: usize| {
                    (_mm256_unpacklo_ps(r[a].0, r[a + 1].0), _mm256_unpackhi_ps(r[a].0, r[a + 1].0))
                };
                let (a, b, c, d) = (pair(0), pair(2), pair(4), pair(6));
                let four = |a: (__m256, __m256), b: (__m256, __m256)| {
                    [
                        _mm256_shuffle_ps::<0x44>(a.0, b.0),
                        _mm256_shuffle_ps::<0xEE>(a.0, b.0),
                        _mm256_shuffle_ps::<0x44>(a.1, b.1),
                        _mm256_shuffle_ps::<0xEE>(a.1, b.1),
                    ]
                };
                let (low, high) = (four(a, b), four(c, d));
                let first = |i: usize| Self(_mm256_permute2f128_ps::<0x20>(low[i], high[i]));
                let last = |i: usize| Self(_mm256_permute2f128_ps::<0x31>(low[i], high[i]));
                [first(0), first(1), first(2), first(3), last(0), last(1), last(2), last(3)]
            }
        }
    }
}
