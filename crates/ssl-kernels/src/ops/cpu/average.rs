//! A moving average in one pass, in place if nothing else uses the old values.

use burn::backend::{DispatchTensor, TensorMetadata};

use super::parallel::each;
use super::simd::{Instructions, Job, dispatch};
use super::{Bridge, Host, owned};
use crate::ops::any_rank::AnyRank;

/// Values per job.
const PIECE: usize = 1 << 15;

/// See [`average`](crate::ops::average).
pub(in crate::ops) fn average<B: Host>(old: AnyRank, new: AnyRank, momentum: f64) -> AnyRank
where
    DispatchTensor: Bridge<B>,
{
    let (mut old, new) = (owned::<B>(old.primitive::<B>()), B::contiguous(&new.primitive::<B>()));
    assert_eq!(old.shape(), new.shape(), "average: shape of the old and of the new values");
    let values = B::own_values(&mut old).expect("made one's own above");
    let jobs = values.chunks_mut(PIECE).zip(B::values(&new).chunks(PIECE));
    let (kept, taken) = (momentum as f32, (1.0 - momentum) as f32);
    each::<B, _>(jobs, |(old, new)| dispatch(Average { old, new, kept, taken }));
    AnyRank::of::<B>(old)
}

struct Average<'a> {
    old: &'a mut [f32],
    new: &'a [f32],
    kept: f32,
    taken: f32,
}

impl Job for Average<'_> {
    type Output = ();

    /// In the order of the portable operation, so that the result is bit-identical.
    #[inline(always)]
    fn run<I: Instructions>(self) {
        self.old.iter_mut().zip(self.new).for_each(|(old, new)| *old = *old * self.kept + new * self.taken);
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use crate::ops::average;
    use crate::ops::comparison::{assert_close, on_every_host, random};
    use burn::tensor::{Device, Distribution, FloatDType, Tensor};

    #[test]
    fn averages_have_the_bits_of_the_portable_operation_and_leave_shared_values_alone() {
        let random = || Tensor::<2>::random([70, 1001], Distribution::Uniform(-1.0, 1.0), &Device::flex());
        let (old, new) = (random(), random());
        let before = old.clone().into_data();
        let want = average::portable(old.clone(), new.clone(), 0.996).into_data();
        assert_eq!(average::average(old.clone(), new.clone(), 0.996).into_data(), want);
        assert_eq!(old.clone().into_data(), before);
        assert_eq!(average::average(old, new, 0.996).into_data(), want);
    }

    #[test]
    fn a_teacher_of_some_students_is_that_of_float64() {
        let run = |dtype: FloatDType| {
            let students = (1..5).map(|seed| random([7, 143], seed).cast(dtype));
            let teacher = students.fold(random([7, 143], 9).cast(dtype), |teacher, student| {
                average::average(teacher, student, 0.9)
            });
            [teacher.into_data()]
        };
        on_every_host(|| assert_close(&run(FloatDType::F32), &run(FloatDType::F64), 1e-6, "four students"));
    }
}
