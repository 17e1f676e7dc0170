//! Vectors of eight or sixteen numbers, using SIMD instructions where the processor has them.

#[cfg(target_arch = "x86_64")]
mod x86;

/// One pixel of sixteen channels: a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(in crate::ops::cpu) struct Lanes(pub(super) [f32; LANES]);

/// Channels per block.
pub(in crate::ops::cpu) const LANES: usize = 16;

#[allow(unsafe_code)] // the same memory as numbers and as pixels
impl Lanes {
    /// The numbers of pixels.
    pub(in crate::ops::cpu) fn values(pixels: &[Self]) -> &[f32] {
        // SAFETY: a pixel is sixteen numbers, without gaps.
        unsafe { std::slice::from_raw_parts(pixels.as_ptr().cast(), pixels.len() * LANES) }
    }

    /// The numbers of pixels.
    pub(in crate::ops::cpu) fn values_mut(pixels: &mut [Self]) -> &mut [f32] {
        // SAFETY: as above, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(pixels.as_mut_ptr().cast(), pixels.len() * LANES) }
    }

    /// The pixels of numbers that are whole cache lines.
    pub(in crate::ops::cpu) fn of_values(values: &[f32]) -> Option<&[Self]> {
        // SAFETY: any sixteen numbers are a pixel.
        let (before, pixels, after) = unsafe { values.align_to() };
        (before.is_empty() && after.is_empty()).then_some(pixels)
    }

    /// The pixels of numbers that are whole cache lines.
    pub(in crate::ops::cpu) fn of_values_mut(values: &mut [f32]) -> Option<&mut [Self]> {
        // SAFETY: as above.
        let (before, pixels, after) = unsafe { values.align_to_mut() };
        (before.is_empty() && after.is_empty()).then_some(pixels)
    }
}

/// Work that is compiled once per instruction set.
///
/// `run` and everything it calls must be `#[inline(always)]`: only inlined code is compiled for the instruction set.
pub(in crate::ops::cpu) trait Job {
    /// The result of the work.
    type Output;
    /// Does the work.
    fn run<I: Instructions>(self) -> Self::Output;
}

/// Does the work with the widest vectors that this processor supports.
pub(in crate::ops::cpu) fn dispatch<J: Job>(job: J) -> J::Output {
    dispatch_at(Level::of_processor(), job)
}

/// Does the work with the vectors of a level, or with the widest ones below it that this processor supports.
pub(in crate::ops::cpu) fn dispatch_at<J: Job>(level: Level, job: J) -> J::Output {
    match level.min(Level::detected()) {
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)] // instructions beyond the baseline
        // SAFETY: the processor supports this level.
        Level::Avx512 => unsafe { x86::with_avx512(job) },
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)] // as above
        // SAFETY: as above
        Level::Avx2 => unsafe { x86::with_avx2(job) },
        _ => job.run::<Portable>(),
    }
}

/// Instruction sets, from the most basic up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ops::cpu) enum Level {
    /// Available on every processor.
    Portable,
    /// AVX2 with FMA.
    #[allow(dead_code)] // unused on other architectures
    Avx2,
    /// AVX-512 with the extensions that every server processor with AVX-512 has: F, VL, DQ, BW.
    #[allow(dead_code)] // unused on other architectures
    Avx512,
}

impl Level {
    /// The highest level that the processor supports, capped by tests.
    pub(in crate::ops::cpu) fn of_processor() -> Self {
        #[cfg(test)]
        return Self::detected().min(*LIMIT.read().unwrap_or_else(std::sync::PoisonError::into_inner));
        #[cfg(not(test))]
        Self::detected()
    }

    #[cfg(target_arch = "x86_64")]
    fn detected() -> Self {
        if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
            Self::Portable
        } else if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
        {
            Self::Avx512
        } else {
            Self::Avx2
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn detected() -> Self {
        Self::Portable
    }
}

/// A description of the instructions that [`dispatch`] chooses.
pub(crate) fn instructions() -> &'static str {
    match Level::of_processor() {
        Level::Portable => "no vector instructions",
        Level::Avx2 => "AVX2",
        Level::Avx512 => "AVX-512",
    }
}

/// The highest level that a test allows.
#[cfg(test)]
static LIMIT: std::sync::RwLock<Level> = std::sync::RwLock::new(Level::Avx512);

/// Held by tests that limit the [`Level`] or compare bits.
#[cfg(all(test, feature = "flex"))]
pub(in crate::ops) struct Alone {
    _guard: std::sync::MutexGuard<'static, ()>,
}

/// Waits until no other test holds the lock.
#[cfg(all(test, feature = "flex"))]
pub(in crate::ops) fn alone() -> Alone {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    Alone { _guard: ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner) }
}

#[cfg(all(test, feature = "flex"))]
impl Alone {
    /// Allows no level above this one until `self` is dropped.
    pub(in crate::ops::cpu) fn limit(&self, level: Level) {
        *LIMIT.write().unwrap_or_else(std::sync::PoisonError::into_inner) = level;
    }
}

#[cfg(all(test, feature = "flex"))]
impl Drop for Alone {
    fn drop(&mut self) {
        self.limit(Level::Avx512);
    }
}

/// An instruction set, defined by its vectors.
pub(in crate::ops::cpu) trait Instructions {
    /// Eight numbers.
    type Eight: Eight;
    /// As many numbers as one instruction takes, at most sixteen.
    type Wide: Vector;
}

/// Several numbers: all sixteen channels of a pixel, or half of them.
pub(in crate::ops::cpu) trait Vector: Copy {
    /// Vectors per pixel: 1 or 2.
    const PARTS: usize;
    /// Sets all elements to `value`.
    fn splat(value: f32) -> Self;
    /// Loads a part of a pixel's channels.
    fn load(from: &Lanes, part: usize) -> Self;
    /// The inverse of [`Vector::load`].
    fn store(self, to: &mut Lanes, part: usize);
    /// Loads a part of sixteen numbers, wherever they are.
    fn read(from: &[f32; LANES], part: usize) -> Self;
    /// The inverse of [`Vector::read`].
    fn write(self, to: &mut [f32; LANES], part: usize);
    /// `self + other`
    fn add(self, other: Self) -> Self;
    /// `self − other`
    fn sub(self, other: Self) -> Self;
    /// `self · other`
    fn mul(self, other: Self) -> Self;
    /// `self + a · b`
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// `self`, or 0 where it is below 0; NaN stays NaN.
    fn positive(self) -> Self;
    /// `self`, or 0 where `other` is not above 0.
    fn where_positive(self, other: Self) -> Self;
}

/// Eight numbers.
pub(in crate::ops::cpu) trait Eight: Vector {
    /// Loads eight consecutive numbers.
    fn load_slice(from: &[f32; 8]) -> Self;
    /// The inverse of [`Eight::load_slice`].
    fn store_slice(self, to: &mut [f32; 8]);
    /// Turns rows into columns.
    fn transpose(rows: [Self; 8]) -> [Self; 8];
}

/// Plain arithmetic, for any processor.
#[derive(Clone, Copy)]
pub(in crate::ops::cpu) struct Portable([f32; 8]);

impl Instructions for Portable {
    type Eight = Self;
    type Wide = Self;
}

impl Vector for Portable {
    const PARTS: usize = 2;
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 8])
    }
    #[inline(always)]
    fn load(from: &Lanes, part: usize) -> Self {
        Self::read(&from.0, part)
    }
    #[inline(always)]
    fn store(self, to: &mut Lanes, part: usize) {
        self.write(&mut to.0, part);
    }
    #[inline(always)]
    fn read(from: &[f32; LANES], part: usize) -> Self {
        Self(std::array::from_fn(|i| from[part * 8 + i]))
    }
    #[inline(always)]
    fn write(self, to: &mut [f32; LANES], part: usize) {
        to[part * 8..part * 8 + 8].copy_from_slice(&self.0);
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
}

impl Eight for Portable {
    #[inline(always)]
    fn load_slice(from: &[f32; 8]) -> Self {
        Self(*from)
    }
    #[inline(always)]
    fn store_slice(self, to: &mut [f32; 8]) {
        *to = self.0;
    }
    #[inline(always)]
    fn transpose(rows: [Self; 8]) -> [Self; 8] {
        std::array::from_fn(|i| Self(std::array::from_fn(|j| rows[j].0[i])))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    /// Every operation, on whole numbers so small that every order of adding gives the same.
    struct Everything([Lanes; 3]);

    impl Job for Everything {
        type Output = Vec<f32>;
        #[inline(always)]
        fn run<I: Instructions>(self) -> Vec<f32> {
            let mut results = of_pixels::<I::Wide>(&self.0);
            results.extend(of_rows::<I::Eight>(&self.0));
            results
        }
    }

    #[inline(always)]
    fn of_pixels<V: Vector>([a, b, c]: &[Lanes; 3]) -> Vec<f32> {
        let operation = |operation: usize| {
            let mut out = Lanes::default();
            for part in 0..V::PARTS {
                let [a, b, c] = [a, b, c].map(|lanes| V::load(lanes, part));
                let result = match operation {
                    0 => a.add(b),
                    1 => a.sub(b),
                    2 => a.mul(b),
                    3 => a.mul_add(b, c),
                    4 => a.positive(),
                    5 => a.where_positive(b),
                    6 => {
                        // Numbers that begin within a cache line.
                        let mut values = [0.0; LANES + 3];
                        let odd: &mut [f32; LANES] = values[3..].first_chunk_mut().expect("sixteen numbers");
                        a.write(odd, part);
                        V::read(odd, part)
                    }
                    _ => V::splat(3.0),
                };
                result.store(&mut out, part);
            }
            out.0
        };
        (0..8).flat_map(operation).collect()
    }

    #[inline(always)]
    fn of_rows<E: Eight>([a, _, _]: &[Lanes; 3]) -> Vec<f32> {
        let eight = |lanes: &Lanes| E::load_slice(lanes.0.first_chunk().expect("sixteen numbers"));
        let rows = std::array::from_fn(|row| eight(a).add(E::splat(100.0 * row as f32)));
        let vectors = Vec::from(E::transpose(rows));
        let values = |vector: E| {
            let mut out = [0.0; 8];
            vector.store_slice(&mut out);
            out
        };
        vectors.into_iter().flat_map(values).collect()
    }

    #[test]
    fn every_instruction_set_computes_the_same() {
        let alone = alone();
        let lanes = [7, 5, 3].map(|step| Lanes(std::array::from_fn(|i| (i * step % 11) as f32 - 5.0)));
        let [plain, avx2, avx512] = [Level::Portable, Level::Avx2, Level::Avx512].map(|level| {
            alone.limit(level);
            dispatch(Everything(lanes))
        });
        assert_eq!((&plain, &plain), (&avx2, &avx512));
        let [a, b, c] = lanes.map(|lanes| lanes.0[3]);
        assert_eq!(
            [plain[3], plain[19], plain[35], plain[51], plain[67], plain[83], plain[99], plain[115]],
            [a + b, a - b, a * b, a + b * c, a.max(0.0), if b > 0.0 { a } else { 0.0 }, a, 3.0]
        );
        let transposed = |row: usize, column: usize| plain[8 * 16 + row * 8 + column];
        assert_eq!(transposed(1, 6), lanes[0].0[1] + 600.0);
    }
}
