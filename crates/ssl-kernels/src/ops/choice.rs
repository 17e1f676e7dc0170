//! Which kernels compute: the loops of [`cpu`](super::cpu), or those of the backend.

use std::cell::Cell;

thread_local! {
    static BACKEND_KERNELS: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` without this crate's loops: layers and optimizers in float32 on `flex` and `tch` then use the kernels of
/// Burn and libtorch.
///
/// This applies to operations that the current thread calls in `work`, and to their backward passes whenever they run.
/// Training is slower this way; the function exists to compare the two.
///
/// ```
/// use burn::tensor::Tensor;
/// use ssl_kernels::{DeviceSpec, ops};
///
/// let device = DeviceSpec::Flex.open().unwrap();
/// let (image, weight) = (Tensor::ones([1, 1, 8, 8], &device), Tensor::ones([1, 1, 3, 3], &device));
/// let convolve = || ops::conv2d(image.clone(), weight.clone(), None, 1, 1).into_data();
/// assert_eq!(convolve(), ops::with_backend_kernels(convolve));
/// ```
pub fn with_backend_kernels<T>(work: impl FnOnce() -> T) -> T {
    /// Restores the previous choice, even if `work` panics.
    struct Before(bool);

    impl Drop for Before {
        fn drop(&mut self) {
            BACKEND_KERNELS.set(self.0);
        }
    }

    let _before = Before(BACKEND_KERNELS.replace(true));
    work()
}

/// Whether this crate's loops are disabled on this thread.
#[cfg(any(feature = "flex", feature = "tch"))]
pub(super) fn backend_kernels() -> bool {
    BACKEND_KERNELS.get()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use std::panic::catch_unwind;

    use burn::tensor::{Device, Tensor};

    use super::*;
    use crate::ops::{conv, conv2d, cpu};

    fn bits(convolve: impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4>) -> Vec<u32> {
        let device = Device::flex();
        let wave = |shape: [usize; 4]| {
            let count = shape.iter().product::<usize>() as i64;
            Tensor::<1, burn::tensor::Int>::arange(0..count, &device).float().sin().reshape(shape)
        };
        let y = convolve(wave([2, 16, 9, 9]), wave([16, 16, 3, 3])).into_data();
        y.iter::<f32>().map(f32::to_bits).collect()
    }

    #[test]
    fn the_kernels_are_those_of_the_backend_inside_and_the_loops_again_after_it() {
        let _alone = cpu::alone();
        let ours = || bits(|x, w| conv2d(x, w, None, 1, 1));
        let burns = bits(|x, w| conv::portable(x, w, None, 1, 1));
        let before = ours();
        assert_ne!(before, burns, "the two round differently, or nothing is tested here");
        assert_eq!(with_backend_kernels(ours), burns);
        assert_eq!(ours(), before);
        assert!(catch_unwind(|| with_backend_kernels(|| panic!("on purpose"))).is_err());
        assert_eq!(ours(), before);
    }
}
