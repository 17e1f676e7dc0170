//! AVX2 and AVX-512. Sums are bit-identical with both, since both add in the same order.

// SAFETY of every call here: the vectors are used only inside the two functions whose callers check the processor.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{Eight, Instructions, Job, LANES, Lanes, Vector};

#[target_feature(enable = "avx2,fma")]
pub(super) fn with_avx2<J: Job>(job: J) -> J::Output {
    job.run::<Avx2>()
}

#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq,avx512bw")]
pub(super) fn with_avx512<J: Job>(job: J) -> J::Output {
    job.run::<Avx512>()
}

struct Avx2;

impl Instructions for Avx2 {
    type Eight = F32x8;
    type Wide = F32x8;
}

struct Avx512;

impl Instructions for Avx512 {
    type Eight = F32x8;
    type Wide = F32x16;
}

/// Operations common to vectors of both widths.
macro_rules! arithmetic {
    ($set1:ident, $add:ident, $sub:ident, $mul:ident, $fmadd:ident) => {
        #[inline(always)]
        fn splat(value: f32) -> Self {
            Self(unsafe { $set1(value) })
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            Self(unsafe { $add(self.0, other.0) })
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            Self(unsafe { $sub(self.0, other.0) })
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            Self(unsafe { $mul(self.0, other.0) })
        }
        #[inline(always)]
        fn mul_add(self, a: Self, b: Self) -> Self {
            Self(unsafe { $fmadd(a.0, b.0, self.0) })
        }
    };
}

#[derive(Clone, Copy)]
pub(in crate::ops::cpu) struct F32x8(__m256);

impl Vector for F32x8 {
    const PARTS: usize = 2;
    arithmetic!(_mm256_set1_ps, _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps, _mm256_fmadd_ps);
    #[inline(always)]
    fn load(from: &Lanes, part: usize) -> Self {
        let from: &[f32] = &from.0[part * 8..part * 8 + 8];
        Self(unsafe { _mm256_load_ps(from.as_ptr()) })
    }
    #[inline(always)]
    fn store(self, to: &mut Lanes, part: usize) {
        let to: &mut [f32] = &mut to.0[part * 8..part * 8 + 8];
        unsafe { _mm256_store_ps(to.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn read(from: &[f32; LANES], part: usize) -> Self {
        let from = &from[part * 8..part * 8 + 8];
        Self(unsafe { _mm256_loadu_ps(from.as_ptr()) })
    }
    #[inline(always)]
    fn write(self, to: &mut [f32; LANES], part: usize) {
        let to = &mut to[part * 8..part * 8 + 8];
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn positive(self) -> Self {
        // If either operand is NaN, the second one is the result.
        Self(unsafe { _mm256_max_ps(_mm256_setzero_ps(), self.0) })
    }
    #[inline(always)]
    fn where_positive(self, other: Self) -> Self {
        Self(unsafe { _mm256_and_ps(self.0, _mm256_cmp_ps::<_CMP_GT_OQ>(other.0, _mm256_setzero_ps())) })
    }
}

impl Eight for F32x8 {
    #[inline(always)]
    fn load_slice(from: &[f32; 8]) -> Self {
        Self(unsafe { _mm256_loadu_ps(from.as_ptr()) })
    }
    #[inline(always)]
    fn store_slice(self, to: &mut [f32; 8]) {
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn transpose(r: [Self; 8]) -> [Self; 8] {
        unsafe {
            let pair =
                |a: usize| (_mm256_unpacklo_ps(r[a].0, r[a + 1].0), _mm256_unpackhi_ps(r[a].0, r[a + 1].0));
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

#[derive(Clone, Copy)]
pub(in crate::ops::cpu) struct F32x16(__m512);

impl Vector for F32x16 {
    const PARTS: usize = 1;
    arithmetic!(_mm512_set1_ps, _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_fmadd_ps);
    #[inline(always)]
    fn load(from: &Lanes, part: usize) -> Self {
        debug_assert_eq!(part, 0, "a pixel is one vector");
        Self(unsafe { _mm512_load_ps(from.0.as_ptr()) })
    }
    #[inline(always)]
    fn store(self, to: &mut Lanes, part: usize) {
        debug_assert_eq!(part, 0, "a pixel is one vector");
        unsafe { _mm512_store_ps(to.0.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn read(from: &[f32; LANES], part: usize) -> Self {
        debug_assert_eq!(part, 0, "sixteen numbers are one vector");
        Self(unsafe { _mm512_loadu_ps(from.as_ptr()) })
    }
    #[inline(always)]
    fn write(self, to: &mut [f32; LANES], part: usize) {
        debug_assert_eq!(part, 0, "sixteen numbers are one vector");
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn positive(self) -> Self {
        // As with eight numbers.
        Self(unsafe { _mm512_max_ps(_mm512_setzero_ps(), self.0) })
    }
    #[inline(always)]
    fn where_positive(self, other: Self) -> Self {
        unsafe {
            let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(other.0, _mm512_setzero_ps());
            Self(_mm512_maskz_mov_ps(above, self.0))
        }
    }
}
